"""A small world for the feature store's tests: two shops, a lake, views with and without ttl."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl

from resources.feature_store.declarations import Service, View
from resources.feature_store.store import FeatureStore
from resources.lake import DeltaLake

NOON: Final = datetime(2013, 1, 31, 12, tzinfo=UTC)
INSTANT: Final = pl.Datetime("us", "UTC")
HOUR: Final = timedelta(hours=1)
TICK: Final = timedelta(microseconds=1)

SALES: Final = View(
    name="sales",
    entity="shop",
    keys=("shop",),
    address="feature/shop/sales",
    features={"count_3h": "int64", "mean_3h": "float64"},
    spec_hash="sales-1",
    window=3 * HOUR,
    owner="team:shops",
    description="Sales of the last hours.",
    tags={"level": "internal"},
    feature_docs={"count_3h": "Sales in three hours."},
)
PRICE: Final = View(
    name="price",
    entity="offer",
    keys=("shop", "article"),
    key_types={"article": "int64"},
    address="feature/offer/price",
    features={"price": "float64", "label": "string", "reduced": "bool"},
    spec_hash="price-1",
    partitioned=False,
    ttl=2 * HOUR,
    owner="team:offers",
)
DEMAND: Final = Service(name="demand", views=("shop_sales", "offer_price"), owner="team:shops", description="Features of model demand.")


def world(folder: Path) -> FeatureStore:
    """An empty lake and a store over it."""
    return FeatureStore(home=str(folder / "features"), project="shops", lake=DeltaLake(root=str(folder / "lake")))


def sales(rows: Sequence[tuple[str | None, datetime | None, int | None, float | None]]) -> pl.DataFrame:
    """Rows of the sales table: shop, instant, count, mean."""
    schema: Mapping[str, Any] = {"shop": pl.String, "event_timestamp": INSTANT, "count_3h": pl.Int64, "mean_3h": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def prices(rows: Sequence[tuple[str | None, int | None, datetime | None, float | None, str | None, bool | None]]) -> pl.DataFrame:
    """Rows of the price table: shop, article, instant, price, label, reduced."""
    schema: Mapping[str, Any] = {
        "shop": pl.String, "article": pl.Int64, "event_timestamp": INSTANT, "price": pl.Float64, "label": pl.String, "reduced": pl.Boolean
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def examples(rows: Sequence[tuple[str | None, int | None, datetime | None]]) -> pl.DataFrame:
    """Examples: shop, article, the instant of prediction; and a column of their own."""
    schema: Mapping[str, Any] = {"shop": pl.String, "article": pl.Int64, "predict_at": INSTANT}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(weight=pl.int_range(pl.len(), dtype=pl.Int32))


def filled(folder: Path) -> FeatureStore:
    """A store with both views registered and a few rows in each table."""
    store = world(folder)
    january = [("north", NOON - 5 * HOUR, 1, 1.0), ("north", NOON, 2, 2.0), ("south", NOON - HOUR, 7, 0.5)]
    store.lake.replace(SALES.address, sales(january).with_columns(month=pl.lit("2013-01")), partition="2013-01")
    february = [("north", NOON, 3, 3.0), ("north", NOON + 3 * HOUR, 0, None)]
    store.lake.replace(SALES.address, sales(february).with_columns(month=pl.lit("2013-02")), partition="2013-02")
    store.lake.replace(
        PRICE.address,
        prices(
            [("north", 1, NOON, 9.5, "tea", True), ("north", 2, NOON, 2.5, None, None), ("south", 1, NOON - 2 * HOUR, 9.0, "tee", False)]
        ),
    )
    store.apply([SALES, PRICE], [DEMAND])
    return store
