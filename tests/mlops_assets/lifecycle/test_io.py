"""How a frame reaches the lake: under its key, its month, by merge where the asset says so."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from mlops_assets.lifecycle.assets import MERGE_KEY
from mlops_assets.lifecycle.io import LakeIOManager
from resources.lake import LocalLake
from resources.rows import INSTANT

KEY = dg.AssetKey(["table", "shop", "orders"])
FEBRUARY = datetime(2013, 2, 1, tzinfo=UTC)


@pytest.fixture
def manager(tmp_path: Path) -> LakeIOManager:
    return LakeIOManager(lake=LocalLake(root=str(tmp_path)))


def orders(**amounts: float) -> pl.DataFrame:
    frame = pl.DataFrame({"order": list(amounts), "amount": list(amounts.values())}, schema={"order": pl.String, "amount": pl.Float64})
    return frame.with_columns(ingested_at=pl.lit(FEBRUARY, INSTANT))


def write(manager: LakeIOManager, frame: pl.DataFrame, **metadata: Any) -> dg.OutputContext:
    context = dg.build_output_context(asset_key=KEY, definition_metadata=metadata)  # pyright: ignore[reportUnknownMemberType]  a parameter of dagster's is
    manager.handle_output(context, frame)
    return context


def read(manager: LakeIOManager) -> pl.DataFrame:
    return manager.lake.read("table/shop/orders").sort("order").collect()


def test_a_merge_keeps_what_the_frame_does_not_name(manager: LakeIOManager) -> None:
    write(manager, orders(a=1.0), **{MERGE_KEY: ["order"]})
    write(manager, orders(b=2.0), **{MERGE_KEY: ["order"]})
    assert read(manager)["order"].to_list() == ["a", "b"]
    assert read(manager)["ingested_at"].unique().to_list() == [FEBRUARY]


@pytest.mark.parametrize("before", [orders(), orders(a=1.0)])
def test_a_merge_of_no_rows_leaves_what_is_there(manager: LakeIOManager, before: pl.DataFrame) -> None:
    write(manager, before, **{MERGE_KEY: ["order"]})
    write(manager, orders(), **{MERGE_KEY: ["order"]})
    assert read(manager)["order"].to_list() == before["order"].to_list()


def test_without_a_merge_key_the_frame_replaces_the_table(manager: LakeIOManager) -> None:
    write(manager, orders(a=1.0))
    write(manager, orders(b=2.0))
    assert read(manager)["order"].to_list() == ["b"]


def test_the_asset_page_learns_rows_place_version_digest_and_the_columns_that_no_contract_told(manager: LakeIOManager) -> None:
    told = write(manager, orders(a=1.0)).consume_logged_metadata()
    assert told["dagster/row_count"] == dg.MetadataValue.int(1)
    assert told["dagster/uri"] == dg.MetadataValue.text(manager.lake.uri("table/shop/orders"))
    assert told["content_digest"] == dg.MetadataValue.text(manager.lake.digests("table/shop/orders")[""])
    assert "dagster/column_schema" in told
    declared = write(manager, orders(a=1.0), **{"dagster/column_schema": dg.TableSchema(columns=[])}).consume_logged_metadata()
    assert "dagster/column_schema" not in declared
