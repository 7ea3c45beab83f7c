"""Offline stores asked as Feast asks them, each with its own way to say no."""

import warnings
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import polars as pl

from resources.feature_store import configuration
from resources.feature_store.light import load_feast
from tests.ports.scenes import Scene, Table

OURS: Final = configuration.OFFLINE
NAMES: Final[Mapping[str, str]] = {"ours": OURS, "dask": "dask", "duckdb": "duckdb"}


def job(
    folder: Path,
    scene: Scene,
    store: str,
    *,
    entity_df: object = None,
    versions: Mapping[str, int] | None = None,
    views: list[Any] | None = None,
) -> Any:
    """The retrieval job of a store over the tables of a scene, features in full names."""
    load_feast()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dask and ibis warn as they are imported; neither is in a process of the platform
        from feast import RepoConfig
        from feast.infra.provider import get_provider

        said = configuration.settings(folder, "things")
        pins = {"versions": dict(versions)} if versions else {}
        config = RepoConfig(
            **{**said, "offline_store": {"type": NAMES[store], **pins}, "online_store": {"type": "sqlite"}}, repo_path=folder
        )
        provider: Any = get_provider(config)
        views = [view(table, table.write(folder)) for table in scene.tables] if views is None else views
        examples = entity_df if entity_df is not None else scene.spine() if store == "ours" else scene.spine().to_pandas()
        known = {"filter_by_created_timestamp": True} if scene.as_known else {}
        return provider.get_historical_features(
            config=config, feature_views=views, feature_refs=[f"{one.name}:{name}" for one in views for name in ("x", "text")],
            entity_df=examples, registry=Nothing(), project="things", full_feature_names=True, **known,
        )  # fmt: skip


class Nothing:
    """A registry without on-demand views."""

    def list_on_demand_feature_views(self, *_arguments: object, **_options: object) -> list[object]:
        """None."""
        return []


def view(table: Table, place: str) -> Any:
    """A table's feature view."""
    import feast
    from feast.data_format import DeltaFormat, ParquetFormat
    from feast.types import Int64, String

    from resources.feature_store.delta import DeltaSource

    of_columns: dict[str, Any] = {"timestamp_field": "ts", "created_timestamp_column": "created" if table.created else ""}
    if table.kind == "DeltaSource":
        source: Any = DeltaSource(name=table.name, uri=place, date_partition_column="month" if table.partitioned else "", **of_columns)
    else:
        file_format = ParquetFormat() if table.kind == "FileSource on Parquet" else DeltaFormat()
        source = feast.FileSource(name=table.name, path=place, file_format=file_format, **of_columns)
    types: dict[str, Any] = {"k": String, "j": Int64}
    return feast.FeatureView(
        name=table.name,
        entities=[feast.Entity(name=key, join_keys=[key], value_type=types[key].to_value_type()) for key in table.keys],
        ttl=timedelta(microseconds=table.ttl // 1000),
        schema=[
            *(feast.Field(name=key, dtype=types[key]) for key in table.keys),
            feast.Field(name="x", dtype=Int64),
            feast.Field(name="text", dtype=String),
        ],
        source=source,
    )


def answer(scene: Scene, store: str) -> list[tuple[Any, ...]]:
    """Row, then x and text of each view, in the order in which they come."""
    with TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas', of the other stores
        retrieval = job(Path(name), scene, store)
        table = pl.DataFrame(retrieval.to_arrow()) if store != "ours" else retrieval.to_polars()
    return table.select("row", *(f"{one.name}__{feature}" for one in scene.tables for feature in ("x", "text"))).rows()
