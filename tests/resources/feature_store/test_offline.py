from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from resources.feature_store import configuration
from resources.feature_store.light import load_feast
from resources.feature_store.refusals import NoFeatureTable, NotThroughFeast, UnfitExamples, UnfitTable
from resources.feature_store.store import FeatureStore
from tests.resources.feature_store.scenes import DEMAND, HOUR, NOON, PRICE, SALES, examples, filled, sales, world

REFERENCES = ["shop_sales:count_3h"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return filled(tmp_path_factory.mktemp("home"))


def stock(store: FeatureStore) -> Any:
    """Feast as anybody would open it: from the folder of feature_store.yaml."""
    load_feast()
    from feast import FeatureStore as Stock

    return Stock(repo_path=store.home)


def test_stock_feast_retrieves_with_a_pandas_frame_of_naive_instants(store: FeatureStore) -> None:
    asked = pl.DataFrame({"shop": ["north", "west"], "event_timestamp": [NOON.replace(tzinfo=None)] * 2}).to_pandas()

    found = stock(store).get_historical_features(entity_df=asked, features=REFERENCES).to_arrow()

    assert found["count_3h"].to_pylist() == [3, None]
    assert str(found.schema.field("shop").type) == "string"


def test_a_renamed_view_and_key_are_joined_under_their_new_names(tmp_path: Path) -> None:
    feast = stock(filled(tmp_path))
    from feast import FeatureService

    view = feast.get_feature_view("shop_sales").with_name("rival").with_join_key_map({"shop": "other"})[["count_3h"]]
    feast.apply([FeatureService(name="rivals", features=[view])])
    asked = pl.DataFrame({"other": ["south"], "event_timestamp": [NOON]})

    found = feast.get_historical_features(asked, feast.get_feature_service("rivals"), full_feature_names=True).to_polars()

    assert found["rival__count_3h"].to_list() == [7]


def test_an_example_column_with_the_name_of_a_feature_is_refused(store: FeatureStore) -> None:
    asked = pl.DataFrame({"shop": ["north"], "event_timestamp": [NOON], "count_3h": [0]})
    with pytest.raises(UnfitExamples, match="count_3h, which is also a feature"):
        stock(store).get_historical_features(entity_df=asked, features=REFERENCES)


def test_a_key_of_another_type_is_refused_by_name(store: FeatureStore) -> None:
    asked = pl.DataFrame({"shop": [1], "event_timestamp": [NOON]})
    with pytest.raises(UnfitExamples, match="column shop is Int64, the key shop of feature/shop/sales is String"):
        stock(store).get_historical_features(entity_df=asked, features=REFERENCES).to_polars()


def test_examples_without_a_key_are_refused_by_name(store: FeatureStore) -> None:
    with pytest.raises(UnfitExamples, match="lack its key shop"):
        stock(store).get_historical_features(entity_df=pl.DataFrame({"event_timestamp": [NOON]}), features=REFERENCES)


def test_examples_without_instants_are_refused(store: FeatureStore) -> None:
    asked = pl.DataFrame({"shop": ["north"], "event_timestamp": ["2013-01-31"]})
    with pytest.raises(UnfitExamples, match="need a column event_timestamp of instants"):
        stock(store).get_historical_features(entity_df=asked, features=REFERENCES)


def test_a_feature_table_has_one_writer_and_it_is_not_feast(store: FeatureStore) -> None:
    frame = sales([("north", NOON, 1, 1.0)]).with_columns(month=pl.lit("2013-01")).to_pandas()
    with pytest.raises(NotThroughFeast, match="Materialize its feature asset"):
        stock(store).write_to_offline_store("shop_sales", frame)


def test_only_the_columns_of_the_join_are_read(store: FeatureStore) -> None:
    load_feast()
    source = stock(store).get_data_source(SALES.address)
    rows = source.rows(source.opened(stock(store).config), keys=["shop"], features=["count_3h"])
    assert rows.collect_schema().names() == ["shop", "event_timestamp", "month", "count_3h"]


def test_a_table_that_was_never_written_is_named_with_the_asset_that_writes_it(tmp_path: Path) -> None:
    empty = world(tmp_path)
    empty.apply([SALES, PRICE], [DEMAND])
    with pytest.raises(NoFeatureTable, match="Materialize feature/shop/sales first"):
        empty.historical("demand", examples([("north", 1, NOON)]))


def test_a_version_that_never_was_is_named(store: FeatureStore) -> None:
    with pytest.raises(NoFeatureTable, match="at version 99"):
        store.historical("demand", examples([("north", 1, NOON)]), versions={SALES.address: 99})


def test_a_table_without_a_declared_feature_is_refused_by_name(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.lake.replace("feature/shop/old", sales([("north", NOON, 1, 1.0)]).drop("mean_3h"))
    old = replace(SALES, address="feature/shop/old", partitioned=False)
    store.apply([old, PRICE], [DEMAND])
    with pytest.raises(UnfitTable, match="lacks the columns mean_3h"):
        store.historical("demand", examples([("north", 1, NOON)]))


def test_a_source_survives_the_registry() -> None:
    load_feast()
    from feast.data_source import DataSource

    from resources.feature_store.delta import DeltaSource

    source = DeltaSource(name="feature/a/b", uri="s3://lake/feature/a/b", version=7, date_partition_column="month", owner="team:a")

    again = DataSource.from_proto(source.to_proto())

    assert again == source
    assert again != DeltaSource(name="feature/a/b", uri="s3://lake/feature/a/b", version=8, date_partition_column="month", owner="team:a")
    assert source.to_proto().data_source_class_type == "resources.feature_store.delta.DeltaSource"


def test_stock_feast_lists_the_columns_of_a_source(store: FeatureStore) -> None:
    feast = stock(store)
    source = feast.get_data_source(PRICE.address)
    typed = source.source_datatype_to_feast_value_type()
    columns = {name: typed(dtype).name for name, dtype in source.get_table_column_names_and_types(feast.config)}
    assert columns == {
        "shop": "STRING", "article": "INT64", "event_timestamp": "UNIX_TIMESTAMP", "price": "DOUBLE", "label": "STRING", "reduced": "BOOL"
    }  # fmt: skip


def test_all_rows_of_a_stretch_come_in_the_order_in_which_they_hold(store: FeatureStore) -> None:
    feast = stock(store)
    pull = feast._get_provider().offline_store.pull_all_from_table_or_query
    source = feast.get_data_source(SALES.address)
    job = pull(feast.config, source, ["shop"], ["count_3h"], "event_timestamp", None, NOON - HOUR, NOON + timedelta(hours=3))
    assert job.to_polars()["count_3h"].to_list() == [7, 2, 3, 0]


@pytest.mark.parametrize("refused", ["dask", "file"])
def test_an_offline_store_that_loses_rows_is_refused_when_it_is_configured(tmp_path: Path, refused: str) -> None:
    with pytest.raises(configuration.RefusedOfflineStore, match=f"'{refused}'.*it .*loses"):
        FeatureStore(home=str(tmp_path), project="shops", lake=world(tmp_path).lake, offline_store=refused)


def test_an_untested_offline_store_is_refused_with_the_test_that_it_has_to_pass(tmp_path: Path) -> None:
    with pytest.raises(configuration.RefusedOfflineStore, match=r"tests/ports/test_offline_store\.py"):
        FeatureStore(home=str(tmp_path), project="shops", lake=world(tmp_path).lake, offline_store="duckdb")


@pytest.mark.parametrize("text", ["offline_store: {type: file}", "offline_store: dask", "project: shops"])
def test_a_feature_store_yaml_that_somebody_turned_to_dask_is_refused(tmp_path: Path, text: str) -> None:
    store = filled(tmp_path)
    path = Path(store.home) / "feature_store.yaml"
    path.write_text(text)
    with pytest.raises(configuration.RefusedOfflineStore, match=r"feature_store\.yaml is refused"):
        store.historical("demand", examples([("north", 1, NOON)]))
    assert path.read_text() == text
