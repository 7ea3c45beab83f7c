"""What the offline store writes: saved results, pushed rows, logged features. Each file appears whole or not at all."""

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from resources.feature_store import files, spine
from resources.feature_store.refusals import NotThroughFeast, UnfitRows
from tests.resources.feature_store.drivers import CITY, DAY, HOUR, NOON, STATS, THREE, TRIPS, asked, repository

arrow: Any = pa  # ships no types


@pytest.fixture
def store(tmp_path: Path) -> Any:
    return repository(tmp_path)


def storage(place: Path, *, delta: bool = False) -> Any:
    from feast.data_format import DeltaFormat, ParquetFormat
    from feast.infra.offline_stores.file_source import SavedDatasetFileStorage

    return SavedDatasetFileStorage(path=str(place), file_format=DeltaFormat() if delta else ParquetFormat())


def read(place: Path, *, delta: bool = False) -> pl.DataFrame:
    return pl.read_delta(str(place)) if delta else pl.read_parquet(place)


@pytest.mark.parametrize(("name", "delta"), [("one.parquet", False), ("folder", False), ("table", True)])
def test_a_saved_result_is_the_result_slice_by_slice(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, *, delta: bool
) -> None:
    THREE.write_parquet(tmp_path / "examples.parquet")
    monkeypatch.setattr(spine, "SLICE", 1)
    job = store.get_historical_features(str(tmp_path / "examples.parquet"), STATS)

    job.persist(storage(tmp_path / name, delta=delta))

    assert read(tmp_path / name, delta=delta).sort("label").equals(job.to_polars())  # a Delta table has no order


@pytest.mark.parametrize(("name", "delta"), [("one.parquet", False), ("folder", False), ("table", True)])
def test_a_saved_result_is_replaced_only_when_that_is_allowed(store: Any, tmp_path: Path, name: str, *, delta: bool) -> None:
    from feast.errors import SavedDatasetLocationAlreadyExists

    place = storage(tmp_path / name, delta=delta)
    store.get_historical_features(THREE, STATS).persist(place)
    fewer = store.get_historical_features(THREE.head(1), STATS)
    with pytest.raises(SavedDatasetLocationAlreadyExists):
        fewer.persist(place)
    assert read(tmp_path / name, delta=delta).height == 3

    fewer.persist(place, allow_overwrite=True)

    assert read(tmp_path / name, delta=delta).height == 1


def test_a_result_that_cannot_be_made_leaves_no_file(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    THREE.write_parquet(tmp_path / "examples.parquet")
    monkeypatch.setattr(spine, "SLICE", 1)
    job = store.get_historical_features(str(tmp_path / "examples.parquet"), STATS)
    (tmp_path / "trips.parquet").write_bytes(b"no Parquet")

    with pytest.raises(pl.exceptions.ComputeError):
        job.persist(storage(tmp_path / "one.parquet"))

    assert not (tmp_path / "one.parquet").exists()


def test_a_saved_dataset_comes_back_with_its_keys_and_features(store: Any, tmp_path: Path) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Feast calls saved datasets experimental
        store.create_saved_dataset(store.get_historical_features(THREE, STATS), "first", storage(tmp_path / "saved.parquet"))
        again = store.get_saved_dataset("first").to_df()

    assert sorted(again["driver"]) == [1, 2, 7]
    assert sorted(again["trips"].dropna()) == [11, 20]


def test_storage_of_another_kind_is_refused_by_name(store: Any) -> None:
    with pytest.raises(NotThroughFeast, match="Saving to a str"):
        store.get_historical_features(THREE, STATS).persist("somewhere")


def rows(driver: int) -> pl.DataFrame:
    return pl.DataFrame([(driver, NOON, NOON, 5, 0.1)], schema=TRIPS.schema, orient="row")


@pytest.mark.parametrize("folder", [False, True])
def test_pushed_rows_come_behind_those_that_were_there(store: Any, tmp_path: Path, *, folder: bool) -> None:
    place = tmp_path / "trips.parquet"
    if folder:
        place.rename(tmp_path / "first.parquet")
        place.mkdir()
        (tmp_path / "first.parquet").rename(place / "first.parquet")

    store.write_to_offline_store("driver_stats", rows(1).to_pandas())

    assert store.get_historical_features(THREE, STATS).to_polars()["trips"].to_list() == [20, 5, None]
    assert list(tmp_path.rglob("*.partial")) == []


def test_rows_pushed_by_many_at_once_are_all_there(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    TRIPS.write_parquet(tmp_path / "trips.parquet")

    def push(driver: int) -> None:
        files.append(str(tmp_path / "trips.parquet"), rows(driver).to_arrow())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(push, range(100, 120)))
    assert set(range(100, 120)) <= set(pl.read_parquet(tmp_path / "trips.parquet")["driver"])


def test_rows_pushed_to_a_delta_table_are_another_version_of_it(store: Any) -> None:
    later = CITY.with_columns(pl.col("ts") + DAY, rain=pl.lit(7, dtype=pl.Int64))
    view = store.get_feature_view("city")
    store._get_provider().offline_write_batch(store.config, view, later.to_arrow(), None)
    found = store.get_historical_features(asked([(1, NOON + 2 * DAY)]), ["city:rain"]).to_polars()
    assert found["rain"].to_list() == [7]


def test_rows_of_other_columns_are_refused_and_nothing_is_written(store: Any, tmp_path: Path) -> None:
    before = (tmp_path / "trips.parquet").read_bytes()
    with pytest.raises(UnfitRows, match="its files have driver, ts, made, n, rate"):
        store._get_provider().offline_write_batch(
            store.config, store.get_feature_view("driver_stats"), rows(1).drop("rate").to_arrow(), None
        )
    assert (tmp_path / "trips.parquet").read_bytes() == before


def test_progress_is_told_in_rows(store: Any) -> None:
    told: list[int] = []
    store._get_provider().offline_write_batch(store.config, store.get_feature_view("driver_stats"), rows(1).to_arrow(), told.append)
    assert told == [1]


def logged(store: Any, place: Path) -> Any:
    import feast
    from feast.feature_logging import LoggingConfig
    from feast.infra.offline_stores.file_source import FileLoggingDestination

    destination = FileLoggingDestination(path=str(place), partition_by=["driver"])
    service = feast.FeatureService(
        name="rides", features=[store.get_feature_view("driver_stats")], logging_config=LoggingConfig(destination=destination)
    )
    store.apply([service])
    return store.get_feature_service("rides")


def test_logged_features_are_added_to_a_folder_and_pulled_from_it(store: Any, tmp_path: Path) -> None:
    service = logged(store, tmp_path / "log")
    schema = [("driver", arrow.int64()), ("trips", arrow.int64()), ("at", arrow.timestamp("us", "UTC"))]
    write = store._get_provider().offline_store.write_logged_features
    for driver in (1, 2):
        table = arrow.table([[driver], [driver * 10], [NOON]], schema=arrow.schema(schema))
        write(store.config, table, None, service.logging_config, store.registry)

    from feast.infra.offline_stores.file_source import FileSource

    source = FileSource(path=str(tmp_path / "log"), timestamp_field="at")
    pull = store._get_provider().offline_store.pull_all_from_table_or_query
    back = pull(store.config, source, [], ["driver", "trips"], "at", None, NOON - HOUR, NOON).to_polars()

    assert sorted(back.select("driver", "trips").rows()) == [(1, 10), (2, 20)]


def test_a_folder_of_logged_files_may_be_given_instead_of_a_table(store: Any, tmp_path: Path) -> None:
    service = logged(store, tmp_path / "log")
    (tmp_path / "spool").mkdir()
    rows(4).write_parquet(tmp_path / "spool" / "a.parquet")
    write = store._get_provider().offline_store.write_logged_features
    write(store.config, tmp_path / "spool", None, service.logging_config, store.registry)
    assert pl.read_parquet(tmp_path / "log" / "**" / "*.parquet")["n"].to_list() == [5]


def test_logging_to_another_destination_is_refused_by_name(store: Any) -> None:
    from feast.feature_logging import LoggingConfig
    from feast.infra.offline_stores.snowflake_source import SnowflakeLoggingDestination

    config = LoggingConfig(destination=SnowflakeLoggingDestination(table_name="log"))
    with pytest.raises(NotThroughFeast, match="Logging to a SnowflakeLoggingDestination"):
        store._get_provider().offline_store.write_logged_features(store.config, arrow.table({}), None, config, store.registry)
