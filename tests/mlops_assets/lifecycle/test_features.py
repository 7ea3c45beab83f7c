"""Rows of a view, how far back they reach, and what a view is named after."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl
import pytest

from mlops_assets.keys import table
from mlops_assets.lifecycle.assets import IO_MANAGER
from mlops_assets.lifecycle.features import declaration, feature_contract, feature_rows, feature_view, months_back, spec_hash
from mlops_assets.lifecycle.io import LakeIOManager
from mlops_assets.partitions import months_of
from mlops_assets.windows import days, mean
from resources.clock import DataClock
from resources.lake import LocalLake
from tests.mlops_assets.lifecycle.orders import LATELY, NOON, PACKAGE, SEATS, Orders, as_it_is, order, orders

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
REGISTER = pl.DataFrame({"stall": ["east", "west"], "seats": [4, 9], "ingested_at": [EPOCH, EPOCH]}).with_columns(
    pl.col("ingested_at").dt.replace_time_zone("UTC")
)


def test_a_window_opens_when_the_value_is_known_and_closes_when_it_has_passed() -> None:
    made = feature_rows(LATELY, orders(order("a", wait=30.0)), since=EPOCH, until=NOON + timedelta(days=1))
    known = NOON + timedelta(minutes=30)
    assert made["event_timestamp"].to_list() == [known, known + timedelta(hours=2)]
    assert made["wait_2h"].to_list() == [30.0, None]
    assert made["handed_2h"].to_list() == [1, 0]


def test_rows_are_cut_to_the_stretch_asked_for_end_excluded() -> None:
    known = NOON + timedelta(minutes=30)
    rows = orders(order("a", wait=30.0))
    assert feature_rows(LATELY, rows, since=known, until=known + timedelta(hours=2)).height == 1
    assert feature_rows(LATELY, rows, since=known + timedelta(microseconds=1), until=known + timedelta(hours=2)).height == 0


def test_rows_of_a_computed_view_count_from_when_they_are_known() -> None:
    corrected = REGISTER.head(1).with_columns(seats=pl.lit(5, pl.Int64), ingested_at=pl.lit(NOON, pl.Datetime("us", "UTC")))
    made = feature_rows(SEATS, pl.concat([REGISTER, corrected]), since=EPOCH, until=NOON + timedelta(days=1))
    assert made.rows() == [("east", 4, EPOCH), ("east", 5, NOON), ("west", 9, EPOCH)]


def test_late_news_of_then_is_not_the_state_of_now() -> None:
    latest = replace(LATELY, name="latest", compute=as_it_is, features={"items": int}, reads=(Orders.items,))
    hour, day = timedelta(hours=1), timedelta(days=1)
    first, second = order("a", items=1, ingested_at=NOON), order("b", items=2, due=NOON + hour, ingested_at=NOON)
    late = [order("a", items=7, ingested_at=NOON + day), order("b", items=9, due=NOON + hour, ingested_at=NOON + 2 * day)]
    made = feature_rows(latest, orders(first, second, *late), since=EPOCH, until=NOON + 9 * day)
    placed = first["placed_at"]
    assert made.select("items", "event_timestamp").rows() == [(1, placed), (2, placed + hour), (9, NOON + 2 * day)]


@pytest.mark.filterwarnings("ignore:InitResourceContext.dagster_run is deprecated")  # Dagster's own call for a resource in a resource
def test_a_view_of_a_whole_table_holds_all_its_rows_before_the_first_month_has_moved_the_clock(home: object) -> None:
    lake, clock = LocalLake(root=f"{home}/lake"), DataClock(path=f"{home}/clock.json")
    lake.replace("table/counter/stalls", REGISTER)
    source = dg.AssetSpec(table("counter/stalls"))
    view = feature_view(SEATS, package=PACKAGE, partitions_def=months_of("counter"))
    assert dg.materialize([source, view], resources={IO_MANAGER: LakeIOManager(lake=lake), "clock": clock}, selection=[view]).success
    assert lake.read("feature/stall/seats").collect().sort("stall")["seats"].to_list() == [4, 9]


@pytest.mark.filterwarnings("ignore:InitResourceContext.dagster_run is deprecated")  # Dagster's own call for a resource in a resource
def test_a_correction_that_comes_two_months_late_is_a_row_of_the_month_in_which_it_came(home: object) -> None:
    lake, months = LocalLake(root=f"{home}/lake"), months_of("counter")
    corrected = NOON + timedelta(days=70)
    lake.replace("table/counter/orders", orders(order("a", items=1), order("a", items=8, ingested_at=corrected)), partition="2020-01")
    lake.replace("table/counter/orders", orders(order("b", due=corrected - timedelta(days=1), stall="west")), partition="2020-03")
    latest = replace(LATELY, name="latest", compute=as_it_is, features={"items": int}, reads=(Orders.items,))
    view = feature_view(latest, package=PACKAGE, partitions_def=months)
    with dg.DagsterInstance.ephemeral() as instance:  # pyright: ignore[reportUnknownMemberType]  a parameter of dagster's is
        instance.add_dynamic_partitions(str(months.name), ["2020-03"])
        resources = {IO_MANAGER: LakeIOManager(lake=lake)}
        source = dg.AssetSpec(table("counter/orders"), partitions_def=months)
        assert dg.materialize([source, view], resources=resources, selection=[view], partition_key="2020-03", instance=instance).success
    rows = lake.read("feature/stall/latest").filter(stall="east").select("items", "event_timestamp").collect().rows()
    assert rows == [(8, corrected)]


@pytest.mark.parametrize(("over", "back"), [(1, 1), (27, 1), (28, 2), (60, 3)])
def test_a_month_reads_as_far_back_as_its_longest_window_and_a_day_more(over: int, back: int) -> None:
    assert months_back(replace(LATELY, features={"wait": mean(Orders.wait, over=days(over))})) == back


def test_a_view_is_named_after_its_windows_and_its_code() -> None:
    other = replace(LATELY, features={"wait_2h": mean(Orders.wait, over=days(2))})
    assert spec_hash(LATELY, package=PACKAGE) == spec_hash(replace(LATELY, description="said differently"), package=PACKAGE)
    assert len({spec_hash(view, package=PACKAGE) for view in (LATELY, other, SEATS)}) == 3


def test_feast_hears_of_the_types_the_longest_window_and_whether_there_are_months() -> None:
    said = declaration(LATELY, package=PACKAGE)
    assert dict(said.features) == {"wait_2h": "float64", "handed_2h": "int64"}
    assert (said.window, said.partitioned, said.address) == (timedelta(hours=2), True, "feature/stall/lately")
    assert (declaration(SEATS, package=PACKAGE).window, declaration(SEATS, package=PACKAGE).partitioned) == (None, False)


def test_the_contract_of_a_view_is_one_row_a_key_and_instant() -> None:
    contract = feature_contract(LATELY)
    assert contract.key == ("stall", "event_timestamp")
    assert [name for name, col in contract.columns.items() if not col.nullable] == ["stall", "event_timestamp"]
