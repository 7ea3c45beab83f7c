import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from resources.feature_store.direct import STATUS, Lookup
from resources.feature_store.light import load_feast
from resources.feature_store.refusals import NaiveInstant, RefusedOnlineStore, UnfitExamples, UnfitPush, UnknownName, UnpackableType
from resources.feature_store.serving_rows import SAMPLE
from resources.feature_store.store import FeatureStore
from resources.lake import DeltaLake
from tests.resources.feature_store.scenes import DEMAND, HOUR, NOON, PRICE, SALES, TICK, examples, filled, prices, sales

VIEWS = ["shop_sales", "offer_price"]


def stock(store: FeatureStore) -> Any:
    """Feast as anybody would open it: from the folder of feature_store.yaml."""
    load_feast()
    from feast import FeatureStore as Stock

    return Stock(repo_path=store.home)


def asked(store: FeatureStore, rows: Sequence[tuple[str | None, int | None]], *, at: datetime) -> pl.DataFrame:
    return store.online("demand", pl.DataFrame(rows, schema={"shop": pl.String, "article": pl.Int64}, orient="row"), at=at)


def count(store: FeatureStore, *, at: datetime) -> tuple[int | None, str]:
    row = asked(store, [("north", 1)], at=at).row(0, named=True)
    return row["shop_sales__count_3h"], row["shop_sales__status"]


def month(store: FeatureStore, name: str, rows: Sequence[tuple[str | None, datetime | None, int | None, float | None]]) -> None:
    store.lake.replace(SALES.address, sales(rows).with_columns(month=pl.lit(name)), partition=name)


def test_what_is_online_is_what_history_says_of_that_instant(tmp_path: Path) -> None:
    store = filled(tmp_path)
    keys: list[tuple[str | None, int | None]] = [("north", 1), ("north", 2), ("south", 1), ("west", 1), (None, 1), ("north", 1)]
    store.materialize(VIEWS, until=NOON)

    online = asked(store, keys, at=NOON)

    history = store.historical("demand", examples([(shop, article, NOON) for shop, article in keys]))
    assert online.select(history.columns[4:]).rows() == history.select(history.columns[4:]).rows()
    assert online.schema["shop_sales__count_3h"] == pl.Int64()
    assert online["offer_price__status"].to_list() == ["fresh", "fresh", "fresh", "absent", "absent", "fresh"]


def test_stock_feast_reads_the_same_values_and_tells_absent_from_null(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.materialize(VIEWS, until=NOON)
    feast = stock(store)
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

    rows = [{"shop": "north", "article": 2}, {"shop": "west", "article": 2}]
    answer = feast.get_online_features(features=feast.get_feature_service("demand"), entity_rows=rows, full_feature_names=True)

    found = answer.to_dict()
    assert (found["shop_sales__count_3h"], found["offer_price__price"], found["offer_price__label"]) == (
        [3, None],
        [2.5, None],
        [None, None],
    )
    names = list(answer.proto.metadata.feature_names.val)
    label = answer.proto.results[names.index("offer_price__label")]
    assert [FieldStatus.Name(status) for status in label.statuses] == ["PRESENT", "NOT_FOUND"]
    assert label.event_timestamps[0].ToDatetime() == NOON.replace(tzinfo=None)


def test_stock_materialization_writes_rows_that_both_can_read(tmp_path: Path) -> None:
    store = filled(tmp_path)
    feast = stock(store)

    feast.materialize(NOON - 9 * HOUR, NOON + HOUR, feature_views=VIEWS)

    found = feast.get_online_features(["offer_price:price", "shop_sales:count_3h"], [{"shop": "north", "article": 1}]).to_dict()
    assert (found["price"], found["count_3h"]) == ([9.5], [3])
    row = asked(store, [("north", 1)], at=NOON + HOUR).row(0, named=True)
    assert (row["offer_price__price"], row["offer_price__status"]) == (9.5, "fresh")
    assert row["shop_sales__status"] == "stale", "Feast does not know when a windowed row expires"


def test_a_row_is_stale_one_tick_after_its_ttl_as_in_history(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.materialize(["offer_price"], until=NOON)
    end = NOON + timedelta(hours=2)
    statuses = [asked(store, [("north", 1)], at=at)["offer_price__status"].item() for at in (NOON - TICK, NOON, end, end + TICK)]
    assert statuses == ["ahead", "fresh", "fresh", "stale"]


def test_a_windowed_row_is_trusted_until_the_emission_that_follows_it(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.materialize(["shop_sales"], until=NOON)
    assert count(store, at=NOON + 3 * HOUR - TICK) == (3, "fresh")
    assert count(store, at=NOON + 3 * HOUR) == (None, "stale")


def test_a_windowed_row_whose_expiry_nobody_computed_is_trusted_only_when_it_was_written(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.materialize(["shop_sales"], until=NOON + 4 * HOUR)
    assert count(store, at=NOON + 4 * HOUR) == (0, "fresh")
    assert count(store, at=NOON + 4 * HOUR + TICK) == (None, "stale")


def test_a_windowed_row_older_than_its_window_is_empty_and_stays_so(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.materialize(["shop_sales"], until=NOON + 6 * HOUR)
    assert count(store, at=NOON + 600 * HOUR) == (0, "fresh")


def test_an_older_month_never_takes_a_key_back(tmp_path: Path) -> None:
    store = filled(tmp_path)
    assert store.materialize(["shop_sales"], until=NOON)["shop_sales"].rows == 2
    assert store.materialize(["shop_sales"], until=NOON - HOUR)["shop_sales"].rows == 0
    assert count(store, at=NOON) == (3, "fresh")


def test_a_correction_of_the_same_instant_is_applied(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.materialize(["shop_sales"], until=NOON)
    month(store, "2013-02", [("north", NOON, 33, 3.0)])
    store.materialize(["shop_sales"], until=NOON)
    assert count(store, at=NOON) == (33, "fresh")


def test_a_row_that_the_table_no_longer_has_is_replaced_by_the_one_before_it(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.materialize(["shop_sales"], until=NOON)
    month(store, "2013-01", [("north", NOON - HOUR, 4, 4.0)])
    month(store, "2013-02", [("north", NOON + HOUR, 5, 5.0)])
    store.materialize(["shop_sales"], until=NOON)
    assert count(store, at=NOON) == (4, "fresh")


def test_a_row_that_begins_after_the_instant_of_a_load_and_one_that_was_pushed_are_not_taken_back(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.materialize(["shop_sales"], until=NOON)
    store.push("shop_sales", sales([("south", NOON - TICK, 9, 9.0)]))
    month(store, "2013-01", [("north", NOON - 2 * HOUR, 4, 4.0), ("south", NOON - 2 * HOUR, 4, 4.0)])
    month(store, "2013-02", [("north", NOON + HOUR, 5, 5.0)])
    assert store.materialize(["shop_sales"], until=NOON - HOUR)["shop_sales"].rows == 0
    assert count(store, at=NOON) == (3, "fresh")
    assert store.materialize(["shop_sales"], until=NOON)["shop_sales"].rows == 1
    assert asked(store, [("south", 1)], at=NOON - TICK)["shop_sales__count_3h"].to_list() == [9]


def test_a_key_that_left_the_table_and_came_back_with_its_old_row_is_there_again(tmp_path: Path) -> None:
    store, there = filled(tmp_path), prices([("north", 1, NOON, 9.5, "tea", True)])
    for rows, status in ((there, "fresh"), (there.clear(), "absent"), (there, "fresh")):
        store.lake.replace(PRICE.address, rows)
        store.materialize(["offer_price"], until=NOON + HOUR)
        assert asked(store, [("north", 1)], at=NOON + HOUR)["offer_price__status"].to_list() == [status]


def test_rows_of_two_definitions_lie_side_by_side_until_the_old_one_is_forgotten(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.materialize(["shop_sales"], until=NOON)
    store.apply([replace(SALES, spec_hash="sales-2"), PRICE], [DEMAND])
    assert count(store, at=NOON) == (None, "absent")
    month(store, "2013-02", [("north", NOON + 9 * HOUR, 1, 1.0)])
    assert store.materialize(["shop_sales"], until=NOON - 2 * HOUR)["shop_sales"].rows == 1
    assert count(store, at=NOON - 2 * HOUR) == (1, "fresh")
    entities = pl.DataFrame({"shop": ["north"], "article": [1]})
    trained = [Lookup.of(Lookup.declared(view).record()) for view in (SALES, PRICE)]
    assert store.online("demand", entities, at=NOON, lookups=trained)["shop_sales__count_3h"].to_list() == [3]
    store.forget("shop_sales", keep={replace(SALES, spec_hash="sales-2").layout})
    assert store.online("demand", entities, at=NOON, lookups=trained)["shop_sales__status"].to_list() == ["absent"]
    assert count(store, at=NOON - 2 * HOUR) == (1, "fresh")


def test_other_words_in_a_description_keep_the_rows(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.materialize(["shop_sales"], until=NOON)
    store.apply([replace(SALES, description="Other words."), PRICE], [DEMAND])
    assert count(store, at=NOON) == (3, "fresh")


def test_a_view_that_is_gone_leaves_no_rows(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.materialize(VIEWS, until=NOON)
    store.apply([PRICE], [replace(DEMAND, views=("offer_price",))])
    with sqlite3.connect(Path(store.home) / "online.db") as connection:
        assert connection.execute("SELECT DISTINCT view FROM packed").fetchall() == [("offer_price",)]
    connection.close()


def test_null_keys_and_instants_are_never_online(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.lake.replace(
        PRICE.address, prices([(None, 1, NOON, 1.0, "a", True), ("north", None, NOON, 1.0, "a", True), ("north", 1, None, 1.0, "a", True)])
    )
    assert store.materialize(["offer_price"], until=NOON)["offer_price"].rows == 0


def test_an_instant_without_a_zone_is_refused(tmp_path: Path) -> None:
    store = filled(tmp_path)
    with pytest.raises(NaiveInstant, match="until=2013-01-31 12:00:00 has no time zone"):
        store.materialize(["shop_sales"], until=NOON.replace(tzinfo=None))
    with pytest.raises(NaiveInstant, match="at="):
        asked(store, [("north", 1)], at=NOON.replace(tzinfo=None))


def test_an_unknown_view_and_a_missing_key_are_named(tmp_path: Path) -> None:
    store = filled(tmp_path)
    with pytest.raises(UnknownName, match="feature view shop_sale is not in the feature registry, which has offer_price, shop_sales"):
        store.materialize(["shop_sale"], until=NOON)
    with pytest.raises(UnfitExamples, match="lack the key article"):
        store.online("demand", pl.DataFrame({"shop": ["north"]}), at=NOON)


def test_a_type_that_cannot_be_packed_is_refused_when_it_is_registered(tmp_path: Path) -> None:
    feast = stock(filled(tmp_path))
    from feast import FeatureView, Field
    from feast.types import Array, Float32

    shop, source = feast.get_entity("shop"), feast.get_data_source(SALES.address)
    with pytest.raises(UnpackableType, match=r"odd cannot be kept online: x \(Array\(Float32\)\)"):
        feast.apply([FeatureView(name="odd", entities=[shop], schema=[Field(name="x", dtype=Array(Float32))], source=source)])


def test_a_key_that_was_quiet_for_months_keeps_its_row(tmp_path: Path) -> None:
    store = filled(tmp_path)
    month(store, "2013-07", [("north", NOON + 4000 * HOUR, 9, 9.0), ("north", NOON + 4400 * HOUR, 8, 8.0)])
    until = NOON + 4200 * HOUR
    store.materialize(VIEWS, until=until)
    found = asked(store, [("north", 1), ("south", 1)], at=until)
    assert found["shop_sales__count_3h"].to_list() == [9, 7]


def test_a_month_is_loaded_with_those_after_it_and_in_any_order(tmp_path: Path) -> None:
    store = filled(tmp_path)
    assert store.materialize(["shop_sales"], until=NOON, since={"shop_sales": "2013-02"})["shop_sales"].rows == 1
    assert asked(store, [("south", 1)], at=NOON)["shop_sales__status"].to_list() == ["absent"]
    assert store.materialize(["shop_sales"], until=NOON, since={"shop_sales": "2013-01"})["shop_sales"].rows == 2
    assert count(store, at=NOON) == (3, "fresh"), "of two months that say something of one instant the later holds"
    assert asked(store, [("south", 1)], at=NOON)["shop_sales__count_3h"].to_list() == [7]


def test_a_key_that_left_the_table_is_absent_after_the_next_whole_load(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.materialize(["offer_price"], until=NOON)
    store.push("offer_price", prices([("east", 5, NOON, 1.0, None, None)]))
    store.lake.replace(PRICE.address, prices([("north", 1, NOON, 9.5, "tea", True)]))
    store.materialize(["offer_price"], until=NOON + HOUR)
    found = asked(store, [("north", 1), ("north", 2), ("east", 5)], at=NOON + HOUR)
    assert found["offer_price__status"].to_list() == ["fresh", "absent", "fresh"], "what was pushed was never in the table"


def test_a_deleted_key_is_not_brought_back_by_an_older_row(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.materialize(["offer_price"], until=NOON)
    assert store.delete("offer_price", pl.DataFrame({"shop": ["north"], "article": [1]}), at=NOON + HOUR) == 1
    assert store.materialize(["offer_price"], until=NOON)["offer_price"].rows == 2
    assert asked(store, [("north", 1)], at=NOON + HOUR)["offer_price__status"].to_list() == ["absent"]
    store.push("offer_price", prices([("north", 1, NOON + 2 * HOUR, 1.5, None, None)]))
    assert asked(store, [("north", 1)], at=NOON + 2 * HOUR)["offer_price__price"].to_list() == [1.5]


def test_a_pushed_row_is_there_at_once_and_a_windowed_one_at_its_instant_only(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.materialize(VIEWS, until=NOON)
    assert store.push("shop_sales", sales([("north", NOON + HOUR, 8, 8.0), ("north", NOON + HOUR - TICK, 7, 7.0)])) == 1
    assert count(store, at=NOON + HOUR) == (8, "fresh")
    assert count(store, at=NOON + HOUR + TICK) == (None, "stale")
    assert store.push("shop_sales", sales([("north", NOON, 0, 0.0)])) == 0


@pytest.mark.parametrize(
    ("fresh", "why"),
    [
        (sales([("north", NOON, 1, 1.0)]).drop("mean_3h"), "they lack the column mean_3h"),
        (sales([("north", NOON, 1, 1.0)]).cast({"count_3h": pl.Float64}), "column count_3h is Float64, the view has Int64"),
        (sales([("north", NOON, 1, 1.0)]).drop("event_timestamp"), "they need a column event_timestamp of instants with a time zone"),
        (sales([(None, NOON, 1, 1.0)]), "shop is null in some"),
        (sales([("north", None, 1, 1.0)]), "event_timestamp is null in some"),
    ],
)
def test_what_does_not_fit_a_view_is_not_pushed_and_the_fault_is_named(tmp_path: Path, fresh: pl.DataFrame, why: str) -> None:
    store = filled(tmp_path)
    with pytest.raises(UnfitPush, match=f"rows pushed into shop_sales do not fit it: {why}"):
        store.push("shop_sales", fresh)
    assert count(store, at=NOON)[1] == "absent"


def test_a_row_tells_its_age(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.materialize(VIEWS, until=NOON)
    found = asked(store, [("south", 1), ("west", 1), (None, None)], at=NOON + HOUR)
    assert found["shop_sales__age"].to_list() == [7200.0, None, None]


def test_a_load_says_from_when_the_newest_row_that_it_read_holds(tmp_path: Path) -> None:
    store = filled(tmp_path)
    assert {name: done.newest for name, done in store.materialize(VIEWS, until=NOON - HOUR).items()} == {
        "shop_sales": NOON - HOUR,
        "offer_price": NOON - 2 * HOUR,
    }
    assert store.materialize(["shop_sales"], until=NOON)["shop_sales"].newest == NOON
    assert store.materialize(["shop_sales"], until=NOON - 9 * HOUR)["shop_sales"].newest is None, "nothing held then"


def test_a_load_reads_rows_back_with_the_values_of_the_lake_and_nulls_for_those_that_are_stale(tmp_path: Path) -> None:
    store = filled(tmp_path)
    sample = store.materialize(["offer_price"], until=NOON + HOUR)["offer_price"].sample
    stale = pl.col("shop") == "south"
    lake, told = store.lake.read(PRICE.address).collect(), pl.when(stale).then(pl.lit("stale")).otherwise(pl.lit("fresh"))
    expected = lake.with_columns(pl.when(~stale).then(pl.col(*PRICE.features)), status=told.cast(STATUS))
    assert expected["price"].to_list() == [9.5, 2.5, None]
    assert_frame_equal(sample, expected, check_row_order=False, check_column_order=False)


def test_a_load_that_comes_after_a_newer_row_reads_back_what_a_client_of_its_instant_gets(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.push("shop_sales", sales([("north", NOON + HOUR, 8, 8.0)]))
    sample = store.materialize(["shop_sales"], until=NOON)["shop_sales"].sample.sort("shop")
    assert sample.rows() == [("north", None, None, NOON + HOUR, "ahead"), ("south", 7, 0.5, NOON - HOUR, "fresh")]


def test_a_load_of_nothing_reads_nothing_back_and_one_of_much_a_sample(tmp_path: Path) -> None:
    store = filled(tmp_path)
    assert store.materialize(["offer_price"], until=NOON - 9 * HOUR)["offer_price"].sample.height == 0
    store.lake.replace(PRICE.address, prices([("north", number, NOON, float(number), None, None) for number in range(SAMPLE + 50)]))
    done = store.materialize(["offer_price"], until=NOON)["offer_price"]
    assert (done.rows, done.sample.height) == (SAMPLE + 50, SAMPLE)
    assert done.sample["price"].to_list() == done.sample["article"].cast(pl.Float64).to_list()


def test_another_online_store_than_redis_is_refused_when_it_is_configured(tmp_path: Path) -> None:
    with pytest.raises(RefusedOnlineStore, match="online store 'dynamodb://x' in the feature store's settings is refused"):
        FeatureStore(home=str(tmp_path), project="shops", lake=DeltaLake(root=str(tmp_path)), online_url="dynamodb://x")
