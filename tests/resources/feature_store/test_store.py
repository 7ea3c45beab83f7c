import asyncio
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import polars as pl
import pytest
from deltalake import write_deltalake
from polars.testing import assert_frame_equal

from resources.feature_store.declarations import Service, View
from resources.feature_store.light import load_feast
from resources.feature_store.refusals import BadDeclaration, MovedTable, RowsChanged, UnfitExamples, UnknownName
from resources.feature_store.store import FeatureStore
from resources.lake import DeltaLake
from tests.resources.feature_store.scenes import DEMAND, HOUR, NOON, PRICE, SALES, TICK, examples, filled, prices, sales, world

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return filled(tmp_path_factory.mktemp("home"))


def registered(store: FeatureStore) -> Any:
    load_feast()
    from feast import FeatureStore as Stock

    return Stock(repo_path=store.home)


def test_the_spine_comes_back_as_it_was_with_the_features_of_its_instants(store: FeatureStore) -> None:
    spine = examples(
        [("north", 1, NOON - TICK), ("south", 1, NOON), ("north", 2, NOON + HOUR), ("west", 1, NOON), ("north", 1, NOON - TICK)]
    )

    rows = store.historical("demand", spine)

    assert_frame_equal(rows.select(spine.columns), spine)
    assert rows["shop_sales__count_3h"].to_list() == [1, 7, 3, None, 1]
    assert rows["offer_price__price"].to_list() == [None, 9.0, 2.5, None, None]
    assert rows["offer_price__label"].to_list() == [None, "tee", None, None, None]
    assert rows.schema["shop_sales__count_3h"] == pl.Int64()
    assert rows.schema["offer_price__reduced"] == pl.Boolean()


def test_features_of_the_later_month_win_at_one_instant(store: FeatureStore) -> None:
    assert store.historical("demand", examples([("north", 1, NOON)]))["shop_sales__count_3h"].to_list() == [3]


@pytest.mark.parametrize("days", [0, 30, 31, 32, 45, 61, 62, 63, 400])
def test_the_newest_row_of_a_key_is_found_however_old_it_is(store: FeatureStore, days: int) -> None:
    later = NOON + timedelta(days=days)
    spine = examples([("south", 1, later), ("west", 1, later), ("north", 1, later + 4 * HOUR)])
    assert store.historical("demand", spine)["shop_sales__count_3h"].to_list() == [7, None, 0]


def test_a_row_holds_to_the_end_of_its_ttl_and_no_tick_longer(store: FeatureStore) -> None:
    spine = examples([("north", 2, NOON + 2 * HOUR), ("north", 2, NOON + 2 * HOUR + TICK)])
    assert store.historical("demand", spine)["offer_price__price"].to_list() == [2.5, None]


def test_not_a_number_is_not_null(tmp_path: Path) -> None:
    store = filled(tmp_path)
    rows = sales([("south", NOON, 0, float("nan"))]).with_columns(month=pl.lit("2013-01"))
    write_deltalake(store.lake.uri(SALES.address), rows, mode="overwrite", partition_by=["month"])
    assert store.historical("demand", examples([("south", 1, NOON)]))["shop_sales__mean_3h"].is_nan().to_list() == [True]


def test_no_examples_give_no_rows_and_every_column(store: FeatureStore) -> None:
    rows = store.historical("demand", examples([]))
    assert rows.height == 0
    assert rows.columns[-5:] == [
        "shop_sales__count_3h", "shop_sales__mean_3h", "offer_price__price", "offer_price__label", "offer_price__reduced"
    ]  # fmt: skip


def test_the_instant_may_have_any_name_and_zone(store: FeatureStore) -> None:
    spine = examples([("north", 1, NOON)]).select(
        "shop", "article", pl.col("predict_at").dt.convert_time_zone("America/New_York").alias("asked")
    )
    rows = store.historical("demand", spine, at="asked")
    assert rows["shop_sales__count_3h"].to_list() == [3]
    assert rows.schema["asked"] == spine.schema["asked"]


def test_pinned_tables_give_the_training_set_of_then(tmp_path: Path) -> None:
    store = filled(tmp_path)
    spine = examples([("north", 1, NOON), ("north", 1, NOON + 4 * HOUR)])
    versions = {SALES.address: store.lake.version(SALES.address), PRICE.address: store.lake.version(PRICE.address)}
    then = store.historical("demand", spine)
    corrected = sales([("north", NOON, 33, 3.3)]).with_columns(month=pl.lit("2013-02"))
    store.lake.replace(SALES.address, corrected, partition="2013-02")

    assert_frame_equal(store.historical("demand", spine, versions=versions), then)
    assert store.historical("demand", spine)["shop_sales__count_3h"].to_list() == [33, 33]


@pytest.mark.parametrize(
    ("spine", "why"),
    [
        (examples([("north", 1, NOON)]).drop("article"), "lack the key article"),
        (examples([("north", 1, NOON)]).cast({"article": pl.String}), "their key article is String, the views have Int64"),
        (examples([("north", 1, NOON)]).drop("predict_at"), "need a column predict_at of instants"),
        (examples([("north", 1, NOON)]).with_columns(pl.col("predict_at").dt.replace_time_zone(None)), "with a time zone"),
        (examples([("north", 1, NOON)]).with_columns(offer_price__price=1.0), "have columns offer_price__price of their own"),
    ],
)
def test_examples_that_do_not_fit_are_refused_by_name(store: FeatureStore, spine: pl.DataFrame, why: str) -> None:
    with pytest.raises(UnfitExamples, match=why):
        store.historical("demand", spine)


def test_an_unknown_service_is_answered_with_those_there_are(store: FeatureStore) -> None:
    with pytest.raises(UnknownName, match="feature service demnd is not in the feature registry, which has demand"):
        store.historical("demnd", examples([("north", 1, NOON)]))


def test_a_store_that_loses_rows_is_found_out(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    load_feast()
    from resources.feature_store.offline import PolarsRetrievalJob

    whole = PolarsRetrievalJob.to_polars

    def mixed_up(job: PolarsRetrievalJob) -> pl.DataFrame:
        return whole(job).reverse()

    monkeypatch.setattr(PolarsRetrievalJob, "to_polars", mixed_up)
    with pytest.raises(RowsChanged, match="asked for 2 examples"):
        store.historical("demand", examples([("north", 1, NOON), ("south", 1, NOON)]))


def test_applying_twice_changes_nothing(tmp_path: Path) -> None:
    store = world(tmp_path)
    first = store.apply([SALES, PRICE], [DEMAND])
    stamps = {view.name: view.last_updated_timestamp for view in registered(store).list_feature_views()}

    second = store.apply([SALES, PRICE], [DEMAND])

    assert first.changed == ("shop_sales", "offer_price", "demand")
    assert first.views == {"shop_sales": "sales-1", "offer_price": "price-1"}
    assert (second.changed, second.removed, second.views) == ((), (), first.views)
    assert {view.name: view.last_updated_timestamp for view in registered(store).list_feature_views()} == stamps


@pytest.mark.parametrize(
    "changed",
    [
        replace(SALES, spec_hash="sales-2"),
        replace(SALES, description="Other words."),
        replace(SALES, owner="team:others"),
        replace(SALES, features={"mean_3h": "float64", "count_3h": "int64"}),
        replace(SALES, window=4 * HOUR),
    ],
)
def test_a_changed_view_is_written_with_the_services_that_join_it(tmp_path: Path, changed: View) -> None:
    store = world(tmp_path)
    store.apply([SALES, PRICE], [DEMAND])
    assert store.apply([changed, PRICE], [DEMAND]).changed == ("shop_sales", "demand")


def test_a_lake_that_moved_is_noticed(tmp_path: Path) -> None:
    store = world(tmp_path)
    store.apply([SALES, PRICE], [DEMAND])
    moved = FeatureStore(home=store.home, project=store.project, lake=DeltaLake(root=str(tmp_path / "elsewhere")))
    assert moved.apply([SALES, PRICE], [DEMAND]).changed == ("shop_sales", "offer_price", "demand")


def test_a_copied_home_is_read_only_after_an_apply_says_where_its_tables_are(tmp_path: Path) -> None:
    old = filled(tmp_path / "old")
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    old.lake.replace(PRICE.address, prices([("north", 1, NOON, 1.0, None, None)]))
    new, spine = world(tmp_path / "new"), examples([("north", 1, NOON)])
    said = f"offer_price reads {old.lake.uri(PRICE.address)}, and the lake of this home has its table at {new.lake.uri(PRICE.address)}: "
    with pytest.raises(MovedTable, match=r"a home that was.*Materialize feature/shops/registry") as refused:
        new.materialize(["offer_price"], until=NOON)
    assert said in str(refused.value)
    with pytest.raises(MovedTable):
        new.historical("demand", spine)
    assert new.online("demand", spine.select("shop", "article"), at=NOON)["offer_price__status"].to_list() == ["absent"]

    assert new.apply([SALES, PRICE], [DEMAND]).changed == ("shop_sales", "offer_price", "demand")

    assert new.historical("demand", spine)["offer_price__price"].to_list() == [9.5]
    assert new.materialize(["offer_price"], until=NOON)["offer_price"].rows == 3
    assert old.historical("demand", spine)["offer_price__price"].to_list() == [1.0], "the old home goes on as it was"


def test_a_home_is_read_through_a_link_to_it(tmp_path: Path) -> None:
    filled(tmp_path / "home")
    (tmp_path / "link").symlink_to(tmp_path / "home")
    linked = world(tmp_path / "link")
    assert linked.historical("demand", examples([("north", 1, NOON)]))["offer_price__price"].to_list() == [9.5]


def test_a_view_that_somebody_else_declared_reads_from_where_it_says(tmp_path: Path) -> None:
    store, elsewhere = filled(tmp_path), tmp_path / "elsewhere"
    feast = registered(store)
    from feast import FeatureView

    from resources.feature_store.delta import DeltaSource

    write_deltalake(elsewhere, sales([("north", NOON, 1, 5.0)]))
    source, schema = DeltaSource(name="foreign", uri=str(elsewhere)), feast.get_feature_view("shop_sales").features
    feast.apply([FeatureView(name="foreign", entities=[feast.get_entity("shop")], source=source, schema=schema)])
    assert store.materialize(["foreign"], until=NOON)["foreign"].rows == 1


def test_what_is_no_longer_declared_goes_with_its_source_entity_and_service(tmp_path: Path) -> None:
    store = world(tmp_path)
    store.apply([SALES, PRICE], [DEMAND])
    removed = store.apply([SALES], []).removed
    feast = registered(store)
    assert removed == ("demand", "offer_price")
    assert [view.name for view in feast.list_feature_views()] == ["shop_sales"]
    assert [source.name for source in feast.list_data_sources()] == [SALES.address]
    assert {entity.name for entity in feast.list_entities()} - {"__dummy"} == {"shop"}
    assert feast.list_feature_services() == []


def test_the_registry_shows_who_owns_what_and_what_it_means(store: FeatureStore) -> None:
    feast = registered(store)
    view, service = feast.get_feature_view("shop_sales"), feast.get_feature_service("demand")
    assert (view.owner, view.description, view.tags["level"], view.tags["spec_hash"]) == (
        "team:shops", "Sales of the last hours.", "internal", "sales-1"
    )  # fmt: skip
    assert {field.name: field.description for field in view.features} == {"count_3h": "Sales in three hours.", "mean_3h": ""}
    assert (service.owner, service.description) == ("team:shops", "Features of model demand.")
    assert feast.get_feature_view("offer_price").ttl == timedelta(hours=2)
    assert sorted(feast.get_feature_view("offer_price").entities) == ["article", "shop"]
    assert feast.get_entity("shop").description == "Key column of offer, shop."


@pytest.mark.parametrize(
    ("views", "services", "why"),
    [
        ([SALES, SALES], [], "the name is used twice"),
        ([SALES], [Service(name="demand", views=("shop_sales", "shop_rent"))], "joins shop_rent, which is not declared"),
        ([SALES, replace(PRICE, key_types={"shop": "int64"})], [], "its key shop is int64, elsewhere string"),
    ],
)
def test_declarations_that_contradict_each_other_are_refused(tmp_path: Path, views: list[View], services: list[Service], why: str) -> None:
    with pytest.raises(BadDeclaration, match=why):
        world(tmp_path).apply(views, services)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"keys": ()}, "at least one key and one feature"),
        ({"features": {"event_timestamp": "float64"}}, "uses the name event_timestamp"),
        ({"features": {"a__b": "float64"}}, "two underscores"),
        ({"features": {"shop": "string"}}, "shop is a key and a feature"),
        ({"features": {"x": "float32"}}, "a feature is float32"),
        ({"key_types": {"shop": "float64"}}, "a key is float64"),
    ],
)
def test_a_view_that_cannot_mean_anything_is_refused_when_it_is_made(change: dict[str, Any], why: str) -> None:
    with pytest.raises(BadDeclaration, match=why):
        View(**{**vars(SALES), **change})


def test_several_writers_at_once_leave_one_whole_registry(tmp_path: Path) -> None:
    store = world(tmp_path)
    load_feast()
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(store.apply, [SALES, PRICE], [DEMAND]) for _ in range(8)]
        applied = [one.result() for one in running]
    assert sum(bool(one.changed) for one in applied) == 1
    assert {view.name for view in registered(store).list_feature_views()} == {"shop_sales", "offer_price"}


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["entities", "list"], ["article", "ValueType.INT64", "Key column of offer."]),
        (["feature-services", "list"], ["demand", "shop_sales:count_3h"]),
        (["data-sources", "list"], [SALES.address, "resources.feature_store.delta.DeltaSource"]),
        (["registry-dump"], ['"spec_hash": "sales-1"', "Features of model demand."]),
    ],
)
@pytest.mark.filterwarnings("ignore:list_project_metadata is deprecated:DeprecationWarning")  # Feast's registry-dump calls it
def test_the_commands_of_feast_read_the_folder(store: FeatureStore, command: list[str], shown: list[str]) -> None:
    load_feast()
    from click.testing import CliRunner
    from feast.cli.cli import cli

    done = CliRunner().invoke(cli, ["-c", store.home, *command], catch_exceptions=False)
    assert [word for word in shown if word not in done.stdout] == []


def test_feast_as_it_is_installed_finds_our_classes_from_the_folder_alone(store: FeatureStore) -> None:
    command = [Path(sys.executable).with_name("feast"), "-c", store.home, "feature-views", "list"]
    done = subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, check=True, text=True)
    assert [name for name in ("shop_sales", "offer_price") if name not in done.stdout] == []


@pytest.mark.filterwarnings("ignore:The `root_path` parameter is deprecated")  # Feast's app passes it to FastAPI
def test_the_feast_ui_shows_the_registry(store: FeatureStore) -> None:
    load_feast()
    from feast.ui_server import get_app

    app = get_app(registered(store), project_id="shops")

    async def get(path: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://feast") as client:
            return await client.get(path)

    views, page = asyncio.run(get("/api/v1/feature_views?project=shops")), asyncio.run(get("/"))
    assert (views.status_code, page.status_code) == (200, 200)
    assert "Sales of the last hours." in views.text


@pytest.mark.filterwarnings("ignore:InitResourceContext.dagster_run is deprecated")  # Dagster calls it itself for a nested resource
def test_an_asset_receives_the_store_with_its_lake(store: FeatureStore) -> None:
    seen: list[pl.DataFrame] = []

    @dg.asset
    def training_set(feature_store: FeatureStore) -> None:
        seen.append(feature_store.historical("demand", examples([("north", 1, NOON)])))

    assert dg.materialize([training_set], resources={"feature_store": store}).success
    assert seen[0]["shop_sales__count_3h"].to_list() == [3]


def test_importing_the_store_imports_no_feast() -> None:
    code = "import sys; import resources.feature_store.store; print(*[name for name in ('feast', 'pandas') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True).stdout.split() == []
