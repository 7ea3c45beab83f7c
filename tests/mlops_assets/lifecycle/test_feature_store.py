"""How far back a load of online rows reads, and what its page says of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import dagster as dg
import polars as pl
import pytest

from mlops_assets.keys import key, table
from mlops_assets.lifecycle.feature_store import online, unread_from
from mlops_assets.lifecycle.features import declaration, feature_rows, months_back
from mlops_assets.partitions import end_of, start_of
from mlops_assets.specs import FeatureViewSpec, hours
from resources.clock import DataClock
from resources.feature_store.store import FeatureStore
from resources.lake import LocalLake
from resources.registry.resource import Registry
from tests.mlops_assets.lifecycle.orders import CALENDAR, LATE, LATELY, NOON, PACKAGE, Orders, as_it_is, order, orders

pytestmark = pytest.mark.filterwarnings(
    "ignore:InitResourceContext.dagster_run is deprecated"  # Dagster's own call for a resource in a resource
)
VIEW = LATE.views[0]
NOW = "a" * 64
MONTHS = ("2020-01", "2020-02", "2020-03", "2020-04")
MONTH: Final = "2020-01"
LAST: Final = replace(LATELY, name="last", features={"items": int}, compute=as_it_is, reads=(Orders.items,), ttl=hours(4))
VIEWS: Final = (LATELY, LAST)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance in which four months of the view were built."""
    with dg.DagsterInstance.ephemeral() as one:  # pyright: ignore[reportUnknownMemberType]  a parameter of dagster's is
        for month in MONTHS:
            one.report_runless_asset_event(dg.AssetMaterialization(table(VIEW.address, stage="feature"), partition=month))
        yield one


def first(instance: dg.DagsterInstance, loaded: Sequence[str], *, definition: str = NOW[:16]) -> str | None:
    return unread_from(instance, VIEW, dict.fromkeys(loaded, definition), month="2020-04", now=NOW)


def test_a_load_reads_as_far_as_the_longest_window_once_every_earlier_month_was_loaded(instance: dg.DagsterInstance) -> None:
    assert months_back(VIEW) == 1
    assert first(instance, MONTHS[:2]) == "2020-03"


def test_a_load_reads_everything_into_an_empty_store_and_where_a_month_was_left_out(instance: dg.DagsterInstance) -> None:
    assert first(instance, ()) is None
    assert first(instance, ["2020-02", "2020-03"]) is None


def test_months_that_were_loaded_with_another_definition_do_not_count(instance: dg.DagsterInstance) -> None:
    assert first(instance, MONTHS, definition="b" * 16) is None


def test_a_whole_table_is_read_whole(instance: dg.DagsterInstance) -> None:
    whole = replace(VIEW, source=replace(VIEW.source, partitions=None))
    assert unread_from(instance, whole, dict.fromkeys(MONTHS, NOW[:16]), month="2020-04", now=NOW) is None


class Counter:
    """Two stalls, one of which has sold nothing for a day: their features in the lake, and a registry that declares the views."""

    def __init__(self, folder: Path) -> None:
        self.lake = LocalLake(root=str(folder / "lake"))
        self.store = FeatureStore(home=str(folder / "features"), project="counter", lake=self.lake)
        self.clock = DataClock(path=str(folder / "clock.json"))
        self.registry = Registry(ledger_url=f"sqlite:///{folder}/ledger.db", releases_root=str(folder / "releases"))
        rows = orders(order("1", items=4), order("2", stall="west", items=9, due=NOON - hours(24)))
        for view in VIEWS:
            made = feature_rows(view, rows, since=start_of(MONTH, CALENDAR), until=end_of(MONTH, CALENDAR))
            self.lake.replace(f"feature/{view.address}", made, partition=MONTH)
        self.store.apply([declaration(view, package=PACKAGE) for view in VIEWS], [])

    def load(self, views: Sequence[FeatureViewSpec] = VIEWS, *, at: datetime) -> dg.ExecuteInProcessResult:
        """The online asset, run by Dagster when the data clock shows ``at``."""
        self.clock.advance(at)
        partitions = dg.StaticPartitionsDefinition([MONTH])
        upstream = [key("feature", "counter", "registry"), *(table(view.address, stage="feature") for view in views)]
        return dg.materialize(
            [online("counter", views, [], package=PACKAGE, partitions_def=partitions), *(dg.AssetSpec(one) for one in upstream)],
            partition_key=MONTH,
            resources={"feature_store": self.store, "registry": self.registry, "clock": self.clock},
            raise_on_error=False,
        )


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    return Counter(tmp_path)


def page(run: dg.ExecuteInProcessResult, view: FeatureViewSpec) -> Mapping[str, Any]:
    """What the page of a view's online rows says."""
    (made,) = (
        one for one in run.asset_materializations_for_node("online__counter") if one.asset_key == table(view.address, stage="online")
    )
    return {name: one.value for name, one in made.metadata.items()}


def checks(run: dg.ExecuteInProcessResult, view: FeatureViewSpec) -> dict[str, dg.AssetCheckEvaluation]:
    """The checks of a view's online rows."""
    asset_key = table(view.address, stage="online")
    return {one.check_name: one for one in run.get_asset_check_evaluations() if one.asset_key == asset_key}


def test_the_page_of_online_rows_says_how_many_were_written_and_what_a_client_is_told_of_them(counter: Counter) -> None:
    at = NOON + hours(0.5)
    run = counter.load(at=at)
    assert run.success
    said = page(run, LAST)
    assert {name: said[name] for name in ("rows_written", "rows_read_back", "read_back_fresh", "read_back_stale")} == {
        "rows_written": 2,
        "rows_read_back": 2,
        "read_back_fresh": 1,
        "read_back_stale": 1,
    }
    assert said["until"] == at.timestamp()
    assert page(run, LATELY)["read_back_fresh"] == 2, "an empty window is an answer"
    assert page(counter.load(at=at), LAST)["rows_written"] == 2, "rows of the same version are written again"


def test_the_columns_of_online_rows_come_from_those_of_the_features(counter: Counter) -> None:
    lineage = page(counter.load(at=NOON), LATELY)["dagster/column_lineage"].deps_by_column
    feature = table(LATELY.address, stage="feature")
    assert {name: [(one.asset_key, one.column_name) for one in deps] for name, deps in lineage.items()} == {
        name: [(feature, name)] for name in ("stall", "wait_2h", "handed_2h", "event_timestamp")
    }


def test_online_rows_that_hold_pass_their_contract_and_old_ones_are_called_late(counter: Counter) -> None:
    run = counter.load(at=NOON + hours(0.5))
    assert {name: one.passed for name, one in checks(run, LAST).items()} == {"contract": True, "fresh": True}
    late = counter.load(at=NOON + hours(9))
    assert late.success
    assert {name: one.passed for name, one in checks(late, LAST).items()} == {"contract": True, "fresh": False}
    assert checks(late, LAST)["contract"].metadata["rows"].value == 2
    assert "stall/last promises rows at most 4 h old" in str(checks(late, LAST)["fresh"].description)


def test_online_rows_of_another_type_than_the_view_declares_fail_its_contract(counter: Counter) -> None:
    other = replace(LAST, features={"items": float})
    run = counter.load([other], at=NOON)
    assert not checks(run, other)["contract"].passed
    assert not run.success, "the check blocks what comes after"
    assert "column items is Int64, not Float64" in str(checks(run, other)["contract"].metadata["rules_broken"].value)


def test_of_rows_that_are_twice_in_the_lake_one_is_online(counter: Counter) -> None:
    twice = pl.concat([counter.lake.read("feature/stall/last").collect()] * 2)
    counter.lake.replace("feature/stall/last", twice, partition=MONTH)
    found = checks(counter.load(at=NOON), LAST)["contract"]
    assert (found.passed, found.metadata["rows"].value) == (True, 2)
