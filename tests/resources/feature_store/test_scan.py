"""What a retrieval takes from the disk: only the files of its stretch of time, only the columns of its features, and it says how much."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import write_deltalake

from resources.feature_store.scan import Read
from tests.ports.kinds import table
from tests.ports.scenes import Scene, hours
from tests.ports.stores import job, view
from tests.resources.feature_store import scenes
from tests.resources.feature_store.drivers import DAY, HOUR, NOON, STATS, THREE, TRIPS, repository
from tests.resources.feature_store.scenes import filled

MONTHS = ["2013-01", "2013-06", "2013-12"]


def year(folder: Path) -> tuple[Scene, list[Path]]:
    """Three files of a year, half a year apart, and an example right after the middle one."""
    half = 24 * 160
    rows = [{"ts": hours(half * number), "x": number, "text": "t" * 50, "month": month} for number, month in enumerate(MONTHS)]
    scene = Scene(tables=(table(*rows, kind="DeltaSource", partitioned=True),), examples=({"k": "a", "j": 1, "at": hours(half + 1)},))
    place = Path(scene.tables[0].write(folder))
    return scene, [next(place.glob(f"month={month}/*.parquet")) for month in MONTHS]


def retrieval(folder: Path, scene: Scene) -> Any:
    return job(folder, scene, "ours", views=[view(scene.tables[0], str(folder / "by_k"))])


def test_a_file_outside_the_stretch_is_not_opened(tmp_path: Path) -> None:
    scene, (january, _, december) = year(tmp_path)
    for other in (january, december):
        other.write_bytes(b"not opened")
    assert retrieval(tmp_path, scene).to_polars()["by_k__x"].to_list() == [1]


def test_what_was_read_is_told_in_files_rows_and_bytes(tmp_path: Path) -> None:
    scene, (_, june, _) = year(tmp_path)
    done = retrieval(tmp_path, scene)
    assert done.metadata.reads() == []

    done.to_polars()

    first, *_ = done.metadata.reads()
    assert (first.source, first.files, first.rows) == ("by_k", 1, 1)
    assert 0 < first.bytes < june.stat().st_size


def test_fewer_features_take_fewer_bytes(tmp_path: Path) -> None:
    store = repository(tmp_path)
    taken: list[int] = []
    for features in (STATS, STATS[:1]):
        done = store.get_historical_features(THREE, features)
        done.to_polars()
        taken.append(sum(one.bytes for one in done.metadata.reads()))
    assert taken[1] < taken[0]


def test_the_platforms_retrieval_hands_on_what_it_read(tmp_path: Path) -> None:
    told: list[Read] = []
    filled(tmp_path).historical("demand", scenes.examples([("north", 1, scenes.NOON)]), tell=told.extend)
    assert [(one.source, one.files > 0, one.bytes > 0) for one in told] == [
        ("feature/shop/sales", True, True), ("feature/shop/sales", False, False), ("feature/offer/price", True, True)
    ]  # fmt: skip


def test_a_parquet_file_is_read_by_row_groups(tmp_path: Path) -> None:
    store = repository(tmp_path)
    long = pl.concat([TRIPS.with_columns(pl.col("ts", "made") + timedelta(days=100 * number)) for number in range(5)]).sort("ts")
    long.write_parquet(tmp_path / "trips.parquet", row_group_size=4)
    done = store.get_historical_features(THREE, STATS)
    done.to_polars()
    assert [(one.files, one.rows) for one in done.metadata.reads()] == [(1, 4)]


def test_a_ttl_bounds_what_is_searched_for_a_key_that_is_not_there(tmp_path: Path) -> None:
    store = repository(tmp_path)
    done = store.get_historical_features(THREE.filter(pl.col("driver") == 7), STATS)
    done.to_polars()
    assert len(done.metadata.reads()) == 1


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_both_ends_of_a_stretch_are_exact_in_every_unit(tmp_path: Path, unit: Any) -> None:
    store = repository(tmp_path)
    TRIPS.with_columns(pl.col("ts").cast(pl.Datetime(unit, "UTC"))).write_parquet(tmp_path / "trips.parquet")
    pull = store._get_provider().offline_store.pull_all_from_table_or_query
    tick = timedelta(microseconds=1)

    def pulled(start: Any, end: Any) -> list[int]:
        found = pull(store.config, store.get_data_source("trips"), ["driver"], ["n"], "ts", "made", start, end)
        return found.to_polars()["n"].to_list()

    assert pulled(NOON - HOUR, NOON - HOUR) == [20, 11]  # in the order of their creation
    assert pulled(NOON - HOUR + tick, NOON + DAY - tick) == []
    assert pulled(None, None) == [10, 20, 11, 30]


def test_the_last_row_of_each_key_is_pulled_under_the_names_of_the_file(tmp_path: Path) -> None:
    store = repository(tmp_path)
    pull = store._get_provider().offline_store.pull_latest_from_table_or_query
    found = pull(store.config, store.get_data_source("trips"), ["driver"], ["n"], "ts", "made", NOON - DAY, NOON).to_polars()
    assert found.select("driver", "n", "made").rows() == [(1, 11, NOON + HOUR), (2, 20, NOON - HOUR)]


def test_naive_bounds_of_a_stretch_are_in_utc(tmp_path: Path) -> None:
    store = repository(tmp_path)
    pull = store._get_provider().offline_store.pull_latest_from_table_or_query
    naive = (NOON - HOUR).replace(tzinfo=None)
    found = pull(store.config, store.get_data_source("trips"), ["driver"], ["n"], "ts", "made", naive, naive).to_polars()
    assert found["n"].to_list() == [11, 20]


def test_the_one_row_of_a_view_without_keys_is_pulled_with_feasts_placeholder(tmp_path: Path) -> None:
    store = repository(tmp_path)
    write_deltalake(tmp_path / "weather", pl.DataFrame({"ts": [NOON + HOUR], "rain": [3]}), mode="append")
    pull = store._get_provider().offline_store.pull_latest_from_table_or_query
    found = pull(store.config, store.get_data_source("weather"), [], ["rain"], "ts", None, NOON - DAY, NOON + DAY).to_polars()
    assert found.select("__dummy_id", "rain").rows() == [("", 3)]
