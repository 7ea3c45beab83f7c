"""A feature repository as a Feast user has one: drivers in Parquet files, a Delta table of cities, an on-demand view."""

import warnings
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pandas as pd
import polars as pl
from deltalake import write_deltalake

from resources.feature_store import configuration
from resources.feature_store.light import load_feast

NOON: Final = datetime(2013, 1, 31, 12, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
INSTANT: Final = pl.Datetime("us", "UTC")
STATS: Final = ["driver_stats:trips", "driver_stats:rate"]

TRIPS: Final = pl.DataFrame(
    [
        (1, NOON - 3 * HOUR, NOON - 3 * HOUR, 10, 0.5),
        (1, NOON - HOUR, NOON + HOUR, 11, 0.6),
        (2, NOON - HOUR, NOON - HOUR, 20, None),
        (3, NOON + DAY, NOON + DAY, 30, 0.9),
    ],
    schema={"driver": pl.Int64, "ts": INSTANT, "made": INSTANT, "n": pl.Int64, "rate": pl.Float64},
    orient="row",
)
"""The column ``n`` is called ``trips`` where features are asked for."""
CITY: Final = pl.DataFrame({"ts": [NOON - 2 * HOUR, NOON], "rain": [1, 2]}, schema={"ts": INSTANT, "rain": pl.Int64})


def asked(rows: Sequence[tuple[int | None, datetime | None]]) -> pl.DataFrame:
    """Examples: driver, instant, and a label of their own."""
    frame = pl.DataFrame(rows, schema={"driver": pl.Int64, "event_timestamp": INSTANT}, orient="row")
    return frame.with_columns(label=pl.int_range(pl.len(), dtype=pl.Int64))


THREE: Final = asked([(2, NOON), (1, NOON), (7, NOON)])


def views(folder: Path) -> list[Any]:
    """Everything that is applied."""
    import feast
    from feast.data_format import DeltaFormat, ParquetFormat
    from feast.on_demand_feature_view import on_demand_feature_view
    from feast.types import Float64, Int64

    trips = feast.FileSource(
        name="trips", path="trips.parquet", file_format=ParquetFormat(), timestamp_field="ts", created_timestamp_column="made",
        field_mapping={"n": "trips"},
    )  # fmt: skip
    weather = feast.FileSource(name="weather", path=str(folder / "weather"), file_format=DeltaFormat(), timestamp_field="ts")
    driver = feast.Entity(name="driver", join_keys=["driver"], value_type=feast.ValueType.INT64)
    stats = feast.FeatureView(
        name="driver_stats", entities=[driver], ttl=2 * DAY, source=trips, offline=True,
        schema=[feast.Field(name="driver", dtype=Int64), feast.Field(name="trips", dtype=Int64), feast.Field(name="rate", dtype=Float64)],
    )  # fmt: skip
    rain = feast.FeatureView(name="city", entities=[], source=weather, schema=[feast.Field(name="rain", dtype=Int64)])
    wanted = feast.RequestSource(name="wanted", schema=[feast.Field(name="extra", dtype=Int64)])

    @on_demand_feature_view(sources=[stats, wanted], schema=[feast.Field(name="more", dtype=Int64)], mode="pandas")
    def with_extra(inputs: pd.DataFrame) -> pd.DataFrame:
        untyped: Any = inputs
        return pd.DataFrame({"more": (untyped["trips"] + untyped["extra"]).astype("Int64")})

    return [driver, stats, rain, with_extra]


def repository(folder: Path, *, online: dict[str, Any] | None = None) -> Any:
    """A Feast store over files in that folder, with our offline store and, unless told an ``online`` one, nothing else of ours."""
    load_feast()
    import feast

    TRIPS.write_parquet(folder / "trips.parquet")
    write_deltalake(folder / "weather", CITY)
    said: dict[str, Any] = {
        "project": "drivers", "provider": "local", "registry": {"registry_type": "sql", "path": f"sqlite:///{folder}/registry.db"},
        "offline_store": {"type": configuration.OFFLINE}, "online_store": online or {"type": "sqlite", "path": str(folder / "online.db")},
        "entity_key_serialization_version": 3,
    }  # fmt: skip
    store = feast.FeatureStore(config=feast.RepoConfig(**said, repo_path=folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Feast calls on-demand views experimental
        store.apply(views(folder))
    return store
