"""Served against trained on a small counter, through the real feature store: planted skew is found and named, nothing else is."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC as ZONE
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import dagster as dg
import polars as pl
import pytest

from mlops_assets.keys import key, table
from mlops_assets.lifecycle.assets import IO_MANAGER
from mlops_assets.lifecycle.consistency import (
    ONLINE,
    PER_DAY,
    SERVED,
    Consistency,
    compare,
    consistency,
    examples,
    metadata,
    named,
    sampled,
    verdict,
)
from mlops_assets.lifecycle.examples import spine
from mlops_assets.lifecycle.features import declaration, feature_rows, service, view_name
from mlops_assets.lifecycle.io import LakeIOManager
from mlops_assets.partitions import end_of, start_of
from mlops_assets.specs import FeatureViewSpec, ModelSpec, hours
from resources.clock import DataClock
from resources.feature_store.store import FeatureStore
from resources.lake import LocalLake
from resources.monitors.consistency import Kind
from tests.mlops_assets.lifecycle.orders import CALENDAR, LATE, LATELY, ORDERS, PACKAGE, STALL, Orders, order, orders

MONTH: Final = "2020-02"
NOW: Final = end_of(MONTH, CALENDAR)
INSTANT: Final = pl.Datetime("us", "UTC")


def last_order(rows: pl.DataFrame) -> pl.DataFrame:
    """The order placed last."""
    return rows.with_columns(items="items", many=pl.col("items") > 5)


LAST: Final = FeatureViewSpec(
    name="last", entity=STALL, source=ORDERS, owner="team:counter", features={"items": int, "many": bool}, compute=last_order,
    reads=(Orders.items,), ttl=hours(1.5),
)  # fmt: skip
SPEC: Final = replace(LATE, features=(LATELY, LAST, Orders.items))
VIEWS: Final = (LATELY, LAST)
NAMES: Final = [name for view in VIEWS for name in named(view).values()]

Frame = pl.DataFrame
At = Callable[[Frame], Frame]


class Counter:
    """A month of orders at three stalls: lake, features, registry, online rows, and the log of what offline says."""

    def __init__(self, folder: Path) -> None:
        self.lake = LocalLake(root=str(folder / "lake"))
        self.store = FeatureStore(home=str(folder / "features"), project="counter", lake=self.lake)
        self.clock = DataClock(path=str(folder / "clock.json"))
        self.clock.advance(NOW)
        rows = orders(*made_up())
        for view in VIEWS:
            made = feature_rows(view, rows, since=start_of(MONTH, CALENDAR), until=NOW)
            self.lake.replace(f"feature/{view.address}", made, partition=MONTH)
        self.store.apply([declaration(view, package=PACKAGE) for view in VIEWS], [service(SPEC)])
        self.store.materialize([view_name(view) for view in VIEWS], until=NOW)
        asked = spine(SPEC, rows, calendar=CALENDAR, until=NOW).filter(pl.col("example_month") == MONTH)
        self.log = self.offline(asked.with_columns(prediction_id=pl.col("row_id").hash(1).cast(pl.String)))

    def offline(self, asked: Frame, *, moved: pl.Expr | timedelta = timedelta(0)) -> Frame:
        """The examples with what offline says of an instant that is ``moved``."""
        there = self.store.historical(SPEC.name, asked.with_columns(pl.col("predict_at") + moved))
        return there.with_columns(asked["predict_at"])

    def compare(self, log: Frame) -> Consistency:
        """What the platform makes of a log."""
        return compare(SPEC, log, self.store, self.lake, now=NOW)

    def asked(self) -> Frame:
        """The examples alone."""
        return self.log.drop(NAMES)


def made_up() -> list[dict[str, Any]]:
    """Some 1,800 orders, always the same; now and then none comes for hours."""
    dice = random.Random(5)  # noqa: S311  made-up orders, equal on every machine
    rows: list[dict[str, Any]] = []
    for stall in ("east", "north", "west"):
        due = start_of(MONTH, CALENDAR) + timedelta(hours=5)
        while due < NOW + timedelta(hours=2, minutes=50):
            wait = round(dice.uniform(0, 60), 3)
            rows.append(order(f"{stall}{len(rows)}", due=due, wait=wait, stall=stall, items=dice.randrange(1, 10), month=MONTH))
            due += timedelta(minutes=dice.choice([20, 45, 70, 90, 400]) + dice.randrange(20))
    return rows


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Counter:
    return Counter(tmp_path_factory.mktemp("counter"))


def without_ttl(counter: Counter) -> Frame:
    """What a store says that never lets the last order expire: worked out row by row."""
    rows = counter.lake.read("feature/stall/last").collect().sort("event_timestamp").rows(named=True)

    def held(stall: str, at: datetime) -> tuple[Any, Any]:
        known = [row for row in rows if row["stall"] == stall and row["event_timestamp"] <= at]
        return (known[-1]["items"], known[-1]["many"]) if known else (None, None)

    found = [held(stall, at) for stall, at in counter.log.select("stall", "predict_at").iter_rows()]
    values = pl.DataFrame(found, schema={"stall_last__items": pl.Int64, "stall_last__many": pl.Boolean}, orient="row")
    return counter.log.with_columns(values)


def shuffled(counter: Counter) -> Frame:
    """The values of other examples."""
    return counter.log.with_columns(counter.log.select(NAMES).sample(fraction=1, shuffle=True, seed=3))


def at_midnight(counter: Counter) -> Frame:
    """What was last loaded at midnight."""
    at = pl.col("predict_at")
    return counter.offline(counter.asked(), moved=at.dt.truncate("1d") - at)


SKEWS: Final[dict[Kind, tuple[Callable[[Counter], Frame], list[str]]]] = {
    "other code": (shuffled, NAMES),
    "stale value": (at_midnight, NAMES),
    "time-zone shift": (lambda counter: counter.offline(counter.asked(), moved=timedelta(hours=-5)), NAMES),
    "wrong TTL": (without_ttl, [*named(LAST).values()]),
}


def test_what_was_served_as_it_is_trained_is_equal_and_so_are_the_online_rows(counter: Counter) -> None:
    found = counter.compare(counter.log)
    assert (found.served.mismatched, found.online.mismatched) == (0, 0)
    assert found.served.compared == counter.log.height * len(NAMES)
    assert found.online.compared > 0
    assert found.rows["compared"].sum() == found.served.compared
    assert found.rows.filter(pl.col("rate") > 0).is_empty()
    assert found.rows["kind"].null_count() == found.rows.height
    assert found.served.sentence == f"{found.served.compared:,} values compared: all are equal."


@pytest.mark.parametrize("kind", SKEWS)
def test_planted_skew_is_found_and_named(counter: Counter, kind: Kind) -> None:
    served, names = SKEWS[kind]
    found = counter.compare(served(counter)).served
    assert {one.feature: one.kind for one in found.skews} == dict.fromkeys(names, kind)
    assert all(one.over for one in found.skews)
    check = verdict(key("monitor", "late", "consistency"), SERVED, found, level="internal")
    assert not check.passed
    assert f"Likely {kind}" in str(check.description)


def test_the_kind_stands_beside_the_days_on_which_something_differs(counter: Counter) -> None:
    day = counter.log["day"][400]
    moved = counter.offline(counter.asked(), moved=timedelta(hours=-5))
    log = pl.concat([counter.log.filter(pl.col("day") != day), moved.filter(pl.col("day") == day)])
    differ = counter.compare(log).rows.filter(pl.col("kind").is_not_null())
    assert set(differ["day"]) == {day}
    assert differ["mismatched"].min() != 0


def test_an_online_store_that_holds_other_values_is_found(tmp_path: Path) -> None:
    other = Counter(tmp_path)
    stamp = other.lake.read("feature/stall/last").group_by("stall").agg(pl.col("event_timestamp").max()).collect()
    wrong = stamp.with_columns(items=pl.lit(77, pl.Int64), many=pl.lit(value=False))
    assert other.store.push("stall_last", wrong.select("stall", "items", "many", "event_timestamp")) == wrong.height
    found = other.compare(other.log)
    assert found.served.mismatched == 0
    assert {one.feature for one in found.online.skews} >= {"stall_last__items"}
    assert not verdict(key("monitor", "late", "consistency"), ONLINE, found.online, level="internal").passed


def test_what_has_no_fresh_online_row_is_not_compared_and_passes_with_a_sentence(counter: Counter) -> None:
    found = compare(SPEC, counter.log, counter.store, counter.lake, now=NOW - timedelta(days=60))
    check = verdict(key("monitor", "late", "consistency"), ONLINE, found.online, level="internal")
    assert check.passed
    assert "No entity of late has a fresh online row at 2020-01-01" in str(check.description)
    assert "online_mismatch_rate" not in metadata(found, predictions=1)


def test_a_log_of_another_writer_is_compared_by_its_columns_alone(counter: Counter) -> None:
    columns = ["prediction_id", "stall", "predict_at", "day", *named(LATELY).values()]
    found = counter.compare(counter.log.select(columns).sample(fraction=1, shuffle=True, seed=1))
    assert found.served.compared == counter.log.height * len(LATELY.features)
    assert found.served.mismatched == 0


@pytest.mark.parametrize(("level", "told"), [("public", True), ("internal", True), ("confidential", False), ("restricted", False)])
def test_examples_carry_ids_always_and_values_up_to_internal(counter: Counter, level: Any, told: bool) -> None:  # noqa: FBT001  a column of the table
    log = counter.log.with_columns(pl.lit(123.456).alias("stall_lately__wait_2h"))
    text = examples(counter.compare(log).served.skews, level=level)
    assert str(log["prediction_id"][0]) in text
    assert ("123.456" in text) == told
    assert (f"the model's level is {level}" in text) == (not told)


def test_a_sample_takes_so_many_of_a_day_and_always_the_same(home: Path) -> None:
    lake, ids = LocalLake(root=str(home / "lake")), [f"{number:04d}" for number in range(400)]
    rows = pl.DataFrame(
        {"prediction_id": ids, "predict_at": [datetime(2020, 2, 1 + n % 4, tzinfo=ZONE) for n in range(400)], "month": [MONTH] * 400}
    ).with_columns(pl.col("predict_at").dt.date().alias("day"))
    lake.replace("prediction/late/batch", rows.filter(pl.col("prediction_id") != "0000"), partition=MONTH)
    some = sampled(lake, SPEC, MONTH)
    assert some["day"].value_counts()["count"].to_list() == [PER_DAY] * 4
    lake.replace("prediction/late/batch", rows.filter(pl.col("prediction_id") != "0000").reverse(), partition=MONTH)
    assert sampled(lake, SPEC, MONTH).equals(some)
    assert not sampled(lake, replace(SPEC, seed=8), MONTH).equals(some)
    assert sampled(lake, SPEC, "2020-03").is_empty()


def materialized(counter: Counter, spec: ModelSpec, month: str) -> dg.ExecuteInProcessResult:
    """The asset of a model's month, run by Dagster."""
    partitions = dg.StaticPartitionsDefinition(["2020-01", MONTH])
    upstream = [key("prediction", spec.name, "batch"), *(table(v.address, stage=s) for v in spec.views for s in ("feature", "online"))]
    return dg.materialize(
        [consistency(spec, partitions_def=partitions), *(dg.AssetSpec(one, partitions_def=partitions) for one in upstream)],
        partition_key=month,
        resources={
            IO_MANAGER: LakeIOManager(lake=counter.lake),
            "lake": counter.lake,
            "feature_store": counter.store,
            "clock": counter.clock,
        },
    )


def told(run: dg.ExecuteInProcessResult) -> tuple[dict[str, bool], dict[str, Any]]:
    """Which checks passed, and the page's metadata."""
    (made,) = run.asset_materializations_for_node("monitor__late__consistency")
    return {one.check_name: one.passed for one in run.get_asset_check_evaluations()}, {
        name: one.value for name, one in made.metadata.items()
    }


@pytest.mark.filterwarnings("ignore:InitResourceContext.dagster_run is deprecated")  # Dagster's own call for a resource in a resource
def test_the_asset_reports_a_months_skew_and_fails_its_check_without_failing_the_run(counter: Counter) -> None:
    counter.lake.replace("prediction/late/batch", at_midnight(counter), partition=MONTH)
    run = materialized(counter, SPEC, MONTH)
    passed, page = told(run)
    assert run.success
    assert passed == {"contract": True, SERVED: False, ONLINE: True}
    assert 0.1 < page["served_mismatch_rate"] <= page["served_worst_rate"] <= 1
    assert page["online_mismatch_rate"] == 0
    assert "stale value" in page["worst_features"]
    rows = counter.lake.read("monitor/late/consistency").collect()
    assert set(rows["feature"]) == set(NAMES)
    assert set(rows["kind"].drop_nulls()) == {"stale value"}


@pytest.mark.filterwarnings("ignore:InitResourceContext.dagster_run is deprecated")
def test_a_month_without_predictions_says_so_and_passes(counter: Counter) -> None:
    passed, page = told(materialized(counter, SPEC, "2020-01"))
    assert all(passed.values())
    assert page["predictions"] == 0
    assert "no predictions" in page["served_sentence"]
