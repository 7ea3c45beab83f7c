"""Rows and corrections that come days late and out of order: where they end does not depend on the way, and the past stays as it was."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlops_assets.lifecycle.features import OVERLAP, declaration, feature_contract, feature_rows, months_back, service, view_name
from mlops_assets.partitions import end_of, start_of
from mlops_assets.specs import FeatureViewSpec
from mlops_assets.windows import count, days, maximum, mean
from resources.feature_store.store import FeatureStore
from resources.lake import DeltaLake
from resources.rows import as_of
from tests.mlops_assets.lifecycle.orders import CALENDAR, LATE, LATELY, ORDERS, PACKAGE, Orders, as_it_is, orders

START: Final = datetime(2020, 1, 5, 12, tzinfo=UTC)
END: Final = datetime(2020, 4, 1, tzinfo=UTC)
MONTHS: Final = ("2020-01", "2020-02", "2020-03")
LANDINGS: Final = 500
CORRECTIONS: Final = 200
INSTANT: Final = pl.Datetime("us", "UTC")
KEY: Final = ("order_id",)

SOURCE: Final = replace(ORDERS, lands="on_arrival")
WINDOWS: Final = replace(
    LATELY, source=SOURCE,
    features={
        "wait_7d": mean(Orders.wait, over=days(7)),
        "handed_20d": count(Orders.wait, over=days(20)),
        "most_3d": maximum(Orders.wait, over=days(3)),
    },
)  # fmt: skip
LATEST: Final = replace(LATELY, name="latest", source=SOURCE, compute=as_it_is, features={"items": int}, reads=(Orders.items,))
VIEWS: Final[tuple[FeatureViewSpec, ...]] = (WINDOWS, LATEST)
MODEL: Final = replace(LATE, examples=SOURCE, features=VIEWS)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Rows of one month's file, and when they came."""

    at: datetime
    month: str
    rows: pl.DataFrame


def deliveries(seed: int) -> list[Delivery]:
    """Landings up to six days late, corrections up to twelve days after those, in the order in which they came."""
    lot = random.Random(seed)  # noqa: S311  # made-up orders
    landed = [_landing(number, lot) for number in range(LANDINGS)]
    corrected = [_correction(row, lot) for row in lot.sample(landed, CORRECTIONS)]
    frame = orders(*landed, *corrected).sort("ingested_at")
    return [
        Delivery(at=at, month=month, rows=rows.drop("ingested_at"))
        for (at, month), rows in frame.group_by(["ingested_at", "month"], maintain_order=True)
        if isinstance(at, datetime) and isinstance(month, str)
    ]


def _landing(number: int, lot: random.Random) -> dict[str, Any]:
    due = START + timedelta(minutes=lot.randrange(75 * 24 * 60))
    wait = lot.choice([None, float(lot.randrange(60)), float(lot.randrange(60))])
    handed = None if wait is None else due + timedelta(minutes=wait)
    return {
        "order_id": f"{number}", "month": f"{due - timedelta(hours=5):%Y-%m}", "stall": lot.choice(["east", "west", "south"]),
        "items": lot.randrange(9), "placed_at": due - timedelta(hours=3), "due_at": due, "handed_at": handed, "wait": wait,
        "lost": wait is None, "ingested_at": _arrival(due + timedelta(days=lot.uniform(0.1, 6))),
    }  # fmt: skip


def _correction(row: dict[str, Any], lot: random.Random) -> dict[str, Any]:
    wait = 100.0 + lot.randrange(60)
    handed = row["due_at"] + timedelta(minutes=wait)
    came = _arrival(row["ingested_at"] + timedelta(days=lot.uniform(0.1, 12)))
    return {**row, "items": 100 + lot.randrange(9), "handed_at": handed, "wait": wait, "lost": False, "ingested_at": came}


def _arrival(at: datetime) -> datetime:
    """Files come every second noon."""
    return START + timedelta(days=2) * (-(-(at - START) // timedelta(days=2)))


class World:
    """The platform's own pieces without its graph: table, features, registry, online rows."""

    def __init__(self, folder: Path) -> None:
        self.lake = DeltaLake(root=str(folder / "lake"))
        self.store = FeatureStore(home=str(folder / "features"), project="counter", lake=self.lake)
        self.store.apply([declaration(spec, package=PACKAGE) for spec in VIEWS], [service(MODEL)])
        self.known = START

    def deliver(self, delivery: Delivery, *, at: datetime | None = None) -> int:
        """Merge one file, stamped with when it came; returns how many rows were news."""
        self.known = max(self.known, delivery.at)
        where = f"table/{SOURCE.table}"
        return self.lake.merge(where, delivery.rows, key=KEY, partition=delivery.month, ingested_at=at or delivery.at).inserted

    def table(self) -> pl.DataFrame:
        return self.lake.read(f"table/{SOURCE.table}").collect()

    def features(self, spec: FeatureViewSpec) -> pl.DataFrame:
        rows = self.lake.read(declaration(spec, package=PACKAGE).address).collect()
        return rows.sort(*rows.columns)

    def build(self) -> None:
        """What the feature assets do, month by month."""
        for spec in VIEWS:
            for at, month in enumerate(sorted({*self.table()["month"]})):
                read = MONTHS[max(0, at - months_back(spec)) : at + 1]
                source = self.lake.read(f"table/{SOURCE.table}", partitions=read).collect()
                since, until = start_of(month, CALENDAR) - OVERLAP, end_of(month, CALENDAR)
                made = feature_rows(spec, source, since=since, until=until)
                assert made.select(feature_contract(spec).key).is_unique().all()
                self.lake.replace(declaration(spec, package=PACKAGE).address, made, partition=month)

    def load(self) -> None:
        """What the online assets do, at the newest instant that a file came."""
        self.store.materialize([view_name(spec) for spec in VIEWS], until=self.known)

    def training_set(self, *, until: datetime) -> pl.DataFrame:
        spine = SPINE.filter(pl.col("predict_at") <= until)
        return self.store.historical(MODEL.name, spine)

    def online(self, at: datetime) -> pl.DataFrame:
        return self.store.online(MODEL.name, SPINE.select("stall").unique().sort("stall"), at=at)


SPINE: Final = pl.DataFrame(
    [(stall, START + timedelta(hours=at)) for at in range(0, 80 * 24, 7) for stall in ("east", "west", "south", "north")],
    schema={"stall": pl.String, "predict_at": INSTANT}, orient="row",
)  # fmt: skip


def rendered(folder: Path, came: Sequence[Delivery], *, loads_after: Sequence[int] = ()) -> World:
    """A world in which these files came, in this order; features are built twice on the way and at the end, and then loaded online."""
    world = World(folder)
    for number, delivery in enumerate(came):
        world.deliver(delivery)
        if number in {len(came) // 2, len(came) - 5} | {*loads_after}:
            world.build()
        if number in loads_after:
            world.load()
    world.build()
    world.load()
    return world


@pytest.fixture(scope="module")
def in_order(tmp_path_factory: pytest.TempPathFactory) -> World:
    came = deliveries(seed=4)
    return rendered(tmp_path_factory.mktemp("in_order"), came, loads_after=range(len(came) // 2, len(came), 7))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_tables_features_and_online_rows_end_equal_in_whichever_order_files_come(in_order: World, tmp_path: Path, order: int) -> None:
    came = deliveries(seed=4)
    random.Random(order).shuffle(came)  # noqa: S311  # an order
    world = rendered(tmp_path, came)

    table = in_order.table()
    assert table.height == LANDINGS + CORRECTIONS
    assert_frame_equal(world.table(), table, check_row_order=False)
    assert world.lake.digests(f"table/{SOURCE.table}") == in_order.lake.digests(f"table/{SOURCE.table}")
    said: dict[str, Any] = {"key": KEY, "instant": "placed_at", "availability": {"wait": "handed_at"}, "lands": SOURCE.lands}
    for at in (START + timedelta(days=number) for number in range(0, 90, 9)):
        assert_frame_equal(as_of(world.table(), **said, at=at), as_of(table, **said, at=at), check_row_order=False)
    for spec in VIEWS:
        assert_frame_equal(world.features(spec), in_order.features(spec))
    assert_frame_equal(world.training_set(until=END), in_order.training_set(until=END))
    online = world.online(world.known)
    assert online["stall_lately__status"].to_list() == ["fresh", "absent", "fresh", "fresh"]
    assert_frame_equal(online, in_order.online(world.known))


def test_files_that_come_again_change_nothing(in_order: World) -> None:
    came, world = deliveries(seed=4), in_order
    table, features, online = world.table(), [world.features(spec) for spec in VIEWS], world.online(world.known)
    versions = world.lake.version(f"table/{SOURCE.table}")

    assert sum(world.deliver(delivery) for delivery in came) == 0
    assert sum(world.deliver(delivery, at=world.known + timedelta(days=1)) for delivery in came if delivery.at == came[-1].at) == 0
    assert world.lake.version(f"table/{SOURCE.table}") == versions
    world.build()
    world.load()

    assert_frame_equal(world.table(), table)
    for spec, before in zip(VIEWS, features, strict=True):
        assert_frame_equal(world.features(spec), before)
    assert_frame_equal(world.online(world.known), online)


def test_what_was_predicted_before_late_rows_came_stays_and_what_comes_next_sees_them(tmp_path: Path) -> None:
    came = deliveries(seed=5)
    half = next(number for number, delivery in enumerate(came) if delivery.at > START + timedelta(days=60))
    world = World(tmp_path)
    for delivery in came[:half]:
        world.deliver(delivery)
    world.build()
    world.load()
    then = world.known
    trained, served = world.training_set(until=then), world.online(then)

    for delivery in came[half:]:
        assert delivery.at > then
        world.deliver(delivery)
    world.build()
    world.load()

    assert_frame_equal(world.training_set(until=then), trained)
    at_once = world.store.historical(MODEL.name, served.select("stall", predict_at=pl.lit(then, INSTANT)))
    features = [name for name in at_once.columns if "__" in name]
    assert_frame_equal(served.select(features), at_once.select(features))
    now = world.online(world.known)
    assert now.select(features).rows() != served.select(features).rows()
    late = pl.concat([delivery.rows for delivery in came[half:]]).filter(pl.col("due_at") < then)
    assert late.height > 30, "rows of before that came after"
    after = world.store.historical(MODEL.name, served.select("stall", predict_at=pl.lit(came[half].at, INSTANT)))
    assert after.select(features).rows() != at_once.select(features).rows()
