"""Retrieval through stock Feast, from its own file sources: every form of examples and of results."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from resources.feature_store import configuration, spine
from resources.feature_store.refusals import NoFeatureTable, NotThroughFeast, UnfitExamples, UnfitTable
from tests.resources.feature_store.drivers import CITY, DAY, HOUR, NOON, STATS, THREE, TRIPS, asked, repository


@pytest.fixture
def store(tmp_path: Path) -> Any:
    return repository(tmp_path)


def test_files_give_features_under_their_mapped_names_in_the_order_of_the_examples(store: Any) -> None:
    found = store.get_historical_features(THREE, STATS).to_polars()
    assert found.drop("rate").rows() == [(2, NOON, 0, 20), (1, NOON, 1, 11), (7, NOON, 2, None)]


def test_a_cut_off_hides_what_was_created_later(store: Any) -> None:
    found = store.get_historical_features(THREE, STATS, filter_by_created_timestamp=True).to_polars()
    assert found["trips"].to_list() == [20, 10, None]


def test_a_view_without_keys_gives_every_example_its_last_row(store: Any) -> None:
    found = store.get_historical_features(asked([(1, NOON), (None, NOON - HOUR)]), ["city:rain"], full_feature_names=True).to_polars()
    assert found["city__rain"].to_list() == [2, 1]


@pytest.mark.parametrize("form", ["polars", "lazy", "pandas", "arrow"])
def test_examples_may_be_any_frame(store: Any, form: str) -> None:
    forms: dict[str, Any] = {"polars": THREE, "lazy": THREE.lazy(), "pandas": THREE.to_pandas(), "arrow": THREE.to_arrow()}
    assert store.get_historical_features(forms[form], STATS).to_polars()["trips"].to_list() == [20, 11, None]


@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_examples_may_be_a_table_by_its_address(store: Any, tmp_path: Path, kind: str) -> None:
    place = tmp_path / f"examples.{kind}"
    if kind == "delta":
        write_deltalake(place, THREE)
    else:
        THREE.write_parquet(place)
    assert store.get_historical_features(str(place), STATS).to_polars()["trips"].to_list() == [20, 11, None]


def test_examples_may_be_a_registered_source_by_its_name(store: Any) -> None:
    found = store.get_historical_features("weather", ["city:rain"], full_feature_names=True).to_polars()
    assert found["city__rain"].to_list() == [1, 2]


def test_examples_may_be_a_query_over_registered_sources(store: Any) -> None:
    query = "SELECT driver, max(ts) AS event_timestamp FROM trips WHERE driver < 3 GROUP BY driver ORDER BY driver"
    found = store.get_historical_features(query, STATS).to_polars()
    assert found.select("driver", "trips").rows() == [(1, 11), (2, 20)]


@pytest.mark.parametrize("given", [[1, 2], 7])
def test_examples_that_are_no_frame_are_refused_by_name(store: Any, given: object) -> None:
    with pytest.raises(UnfitExamples, match=f"a {type(given).__name__} is no frame, table or query"):
        store.get_historical_features(given, STATS)


def test_an_address_without_a_table_is_refused_by_name(store: Any, tmp_path: Path) -> None:
    with pytest.raises(UnfitExamples, match="nowhere is neither a registered source nor a place"):
        store.get_historical_features(str(tmp_path / "nowhere"), STATS)


def test_examples_with_two_columns_of_instants_must_call_one_event_timestamp(store: Any) -> None:
    twice = THREE.rename({"event_timestamp": "at"}).with_columns(seen=pl.col("at"))
    with pytest.raises(UnfitExamples, match="need a column event_timestamp"):
        store.get_historical_features(twice, STATS)


@pytest.mark.parametrize("key", [pl.Int8(), pl.Int32(), pl.UInt64()])
def test_an_integer_key_may_be_of_another_width(store: Any, key: pl.DataType) -> None:
    found = store.get_historical_features(THREE.with_columns(pl.col("driver").cast(key)), STATS).to_polars()
    assert (found.schema["driver"], found["trips"].to_list()) == (key, [20, 11, None])


def test_a_key_that_the_table_cannot_hold_is_unknown_to_it(store: Any) -> None:
    huge = THREE.with_columns(driver=pl.Series([2, 1, 2**64 - 1], dtype=pl.UInt64))
    assert store.get_historical_features(huge, STATS).to_polars()["trips"].to_list() == [20, 11, None]


def test_keys_that_are_all_null_match_nothing(store: Any) -> None:
    found = store.get_historical_features(THREE.with_columns(driver=pl.lit(None)), STATS).to_polars()
    assert found["trips"].to_list() == [None, None, None]


@pytest.mark.parametrize("key", [pl.Float64(), pl.String()])
def test_a_key_of_another_type_is_refused_by_name(store: Any, key: pl.DataType) -> None:
    examples = THREE.with_columns(pl.col("driver").cast(key))
    with pytest.raises(UnfitExamples, match=f"column driver is {key}, the key driver of trips is Int64"):
        store.get_historical_features(examples, STATS).to_polars()


def test_instants_that_nanoseconds_cannot_hold_are_refused(store: Any, tmp_path: Path) -> None:
    TRIPS.with_columns(pl.col("ts").cast(pl.Datetime("ns", "UTC"))).write_parquet(tmp_path / "trips.parquet")
    with pytest.raises(UnfitExamples, match="beyond the years 1678 to 2261"):
        store.get_historical_features(asked([(1, NOON.replace(year=9000)), (1, NOON)]), STATS).to_polars()


@pytest.mark.parametrize("year", [1, 9999])
def test_the_ends_of_the_calendar_are_instants_like_others(store: Any, year: int) -> None:
    found = store.get_historical_features(asked([(1, NOON.replace(year=year, month=12, day=31))]), ["city:rain"], full_feature_names=True)
    assert found.to_polars()["city__rain"].to_list() == [None if year == 1 else 2]


def test_examples_without_any_instant_get_nulls_of_the_right_types(store: Any) -> None:
    found = store.get_historical_features(asked([(1, None)]), STATS).to_polars()
    assert (found["trips"].to_list(), found.schema["trips"]) == ([None], pl.Int64)


def test_days_are_midnights_and_text_is_no_instant(store: Any, tmp_path: Path) -> None:
    TRIPS.with_columns(pl.col("ts").dt.date()).write_parquet(tmp_path / "trips.parquet")
    assert store.get_historical_features(asked([(3, NOON + DAY)]), STATS).to_polars()["trips"].to_list() == [30]
    TRIPS.with_columns(pl.col("ts").cast(pl.String)).write_parquet(tmp_path / "trips.parquet")
    with pytest.raises(UnfitTable, match="trips lacks the columns ts of instants"):
        store.get_historical_features(THREE, STATS).to_polars()


def test_without_examples_every_key_and_instant_of_a_stretch_is_one(store: Any) -> None:
    found = store.get_historical_features(features=STATS, start_date=NOON - 3 * HOUR, end_date=NOON).to_polars()
    assert found.select("event_timestamp", "driver", "trips").rows() == [
        (NOON - 3 * HOUR, 1, 10), (NOON - HOUR, 1, 11), (NOON - HOUR, 2, 20)
    ]  # fmt: skip


def test_without_examples_a_view_with_fewer_keys_adds_its_features_and_no_rows(store: Any) -> None:
    found = store.get_historical_features(features=[*STATS, "city:rain"], start_date=NOON - HOUR, end_date=NOON).to_polars()
    assert found.select("driver", "trips", "rain").rows() == [(1, 11, 1), (2, 20, 1)]


def test_whole_and_in_slices_are_the_same(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = pl.concat([THREE, asked([(3, NOON + DAY), (1, None), (None, NOON), (2, NOON - DAY)])])
    many.write_parquet(tmp_path / "many.parquet")
    monkeypatch.setattr(spine, "SLICE", 2)

    pieces = list(store.get_historical_features(str(tmp_path / "many.parquet"), STATS).to_batches())

    assert [piece.height for piece in pieces] == [2, 2, 2, 1]
    assert pl.concat(pieces).equals(store.get_historical_features(many, STATS).to_polars())


def test_an_empty_table_of_examples_gives_an_empty_result_with_all_columns(store: Any, tmp_path: Path) -> None:
    THREE.clear().write_parquet(tmp_path / "none.parquet")
    found = store.get_historical_features(str(tmp_path / "none.parquet"), STATS).to_polars()
    assert found.schema == {**THREE.schema, "trips": pl.Int64(), "rate": pl.Float64()}
    assert found.height == 0


def test_on_demand_features_are_the_same_in_every_form(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = THREE.with_columns(extra=pl.lit(1))
    examples.write_parquet(tmp_path / "examples.parquet")

    def job() -> Any:
        return store.get_historical_features(str(tmp_path / "examples.parquet"), ["with_extra:more", "driver_stats:rate"])

    whole = job().to_polars()
    monkeypatch.setattr(spine, "SLICE", 2)

    assert whole["more"].to_list() == [21, 12, None]
    assert job().to_polars().equals(whole)
    assert job().to_arrow().column("more").to_pylist() == [21, 12, None]
    assert job().to_df()["more"].tolist()[:2] == [21, 12]


def test_on_demand_features_are_online_what_they_are_offline(tmp_path: Path) -> None:
    store, asked_for = repository(tmp_path, online={"type": configuration.ONLINE}), ["with_extra:more", "driver_stats:trips"]
    stats = store.get_feature_view("driver_stats")
    stats.offline = False  # else Feast would write what it loads back to the files
    store.apply([stats])
    store.materialize(NOON - DAY, NOON, feature_views=["driver_stats"])
    online = store.get_online_features(asked_for, [{"driver": driver, "extra": 5} for driver in THREE["driver"]]).to_dict()
    offline = store.get_historical_features(THREE.with_columns(extra=pl.lit(5)), asked_for).to_polars()
    assert {name: online[name] for name in ("more", "trips")} == offline.select("more", "trips").to_dict(as_series=False)
    assert online["more"] == [25, 16, None]


def test_integers_beside_missing_ones_stay_integers(store: Any) -> None:
    found = store.get_historical_features(THREE, STATS)
    assert found.to_polars().schema["trips"] == pl.Int64
    assert str(found.to_arrow().schema.field("trips").type) == "int64"


def test_a_delta_table_of_a_file_source_is_read_as_of_its_log(store: Any, tmp_path: Path) -> None:
    DeltaTable(tmp_path / "weather").delete("rain = 2")
    assert store.get_historical_features(asked([(1, NOON)]), ["city:rain"]).to_polars()["rain"].to_list() == [1]


def test_a_retrieval_reads_one_version_whatever_is_written_meanwhile(store: Any, tmp_path: Path) -> None:
    job = store.get_historical_features(asked([(1, NOON)]), ["city:rain"])
    write_deltalake(tmp_path / "weather", CITY.with_columns(rain=pl.lit(9)), mode="overwrite")
    assert job.to_polars()["rain"].to_list() == [2]


@pytest.mark.parametrize(("features", "name"), [(STATS, "trips.parquet"), (["city:rain"], "weather")])
def test_files_that_are_not_there_are_named(store: Any, tmp_path: Path, features: list[str], name: str) -> None:
    (tmp_path / name).rename(tmp_path / "gone")
    with pytest.raises(NoFeatureTable, match=f"has no lake table at .*{name}"):
        store.get_historical_features(THREE, features)


def test_a_source_of_another_kind_is_refused_by_name(store: Any) -> None:
    from feast import PushSource

    from resources.feature_store.sources import scan

    with pytest.raises(NotThroughFeast, match="Reading a PushSource"):
        scan(PushSource(name="pushed", batch_source=store.get_data_source("trips")), store.config, keys=["driver"])
