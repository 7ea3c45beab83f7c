"""One way to make a training set, in this process alone: `python -m tests.benchmarks.features.ways WAY FOLDER`; prints what it took."""

import json
import resource
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import polars as pl

from tests.benchmarks.features.tables import AT, INSTANT, VIEWS


@dataclass(frozen=True, kw_only=True)
class Took:
    """Seconds without imports, the most memory in MB with them, rows, and what is equal for equal rows in any order."""

    wall: float
    cpu: float
    peak: float
    rows: int
    digest: int


def by_hand(folder: Path) -> pl.DataFrame:
    """The join as one writes it who knows that the table fits."""
    rows = _spine(folder).with_row_index("row").sort(AT)
    for name, view in VIEWS.items():
        columns = [pl.col(feature).alias(f"{name}__{feature}") for feature in view.features]
        features = pl.read_delta(str(folder / name), columns=[*view.keys, AT, *view.features]).sort(AT).select(*view.keys, AT, *columns)
        rows = rows.join_asof(features, on=AT, by=list(view.keys), tolerance=view.ttl, check_sortedness=False)
    return rows.sort("row").drop("row")


def ours(folder: Path) -> pl.DataFrame:
    """Our offline store over the Delta tables, by Feast's own call."""
    return _job(folder, "resources.feature_store.offline.PolarsOfflineStore", delta=True, spine=_spine(folder)).to_polars()


def duckdb(folder: Path) -> pl.DataFrame:
    """Feast's DuckDB store over the Parquet files: its reader of Delta tables is downloaded."""
    return pl.DataFrame(_job(folder, "duckdb", delta=False, spine=_spine(folder).to_pandas()).to_arrow())


def dask(folder: Path) -> pl.DataFrame:
    """Feast's default store over the Parquet files."""
    return pl.DataFrame(_job(folder, "dask", delta=False, spine=_spine(folder).to_pandas()).to_arrow())


def streamed(folder: Path) -> pl.DataFrame:
    """Our store from files to files, a slice in memory at a time; nothing comes back."""
    from feast.infra.offline_stores.file_source import SavedDatasetFileStorage

    place = folder / "result"
    job = _job(
        folder, "resources.feature_store.offline.PolarsOfflineStore", delta=True, spine=pl.scan_parquet(folder / "spine" / "*.parquet")
    )
    job.persist(SavedDatasetFileStorage(path=str(place)), allow_overwrite=True)
    return pl.DataFrame()


WAYS: Final[Mapping[str, Callable[[Path], pl.DataFrame]]] = {
    "by_hand": by_hand, "ours": ours, "duckdb": duckdb, "dask": dask, "streamed": streamed
}  # fmt: skip


def _spine(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "spine" / "*.parquet")


def _job(folder: Path, store: str, *, delta: bool, spine: object) -> Any:
    import feast
    from feast import types
    from feast.infra.provider import get_provider

    from resources.feature_store.delta import DeltaSource

    config = feast.RepoConfig(
        project="flights", provider="local", registry=str(folder / "registry.db"), offline_store={"type": store},
        online_store={"type": "sqlite"}, entity_key_serialization_version=3, repo_path=folder,
    )  # fmt: skip
    views: list[Any] = []
    for name, view in VIEWS.items():
        source: Any = (
            DeltaSource(name=name, uri=str(folder / name))
            if delta
            else feast.FileSource(name=name, path=str(folder / f"{name}.parquet"), timestamp_field=AT)
        )
        entities = [feast.Entity(name=key, join_keys=[key], value_type=feast.ValueType.STRING) for key in view.keys]
        columns = [*((key, types.String) for key in view.keys), *((feature, types.Float64) for feature in view.features)]
        schema = [feast.Field(name=column, dtype=dtype) for column, dtype in columns]
        views.append(feast.FeatureView(name=name, entities=entities, ttl=view.ttl, schema=schema, source=source))
    references = [f"{name}:{feature}" for name, view in VIEWS.items() for feature in view.features]
    provider: Any = get_provider(config)
    return provider.get_historical_features(
        config=config,
        feature_views=views,
        feature_refs=references,
        entity_df=spine,
        registry=Nothing(),
        project="flights",
        full_feature_names=True,
    )


class Nothing:
    """A registry without on-demand views."""

    def list_on_demand_feature_views(self, *_arguments: object, **_options: object) -> list[object]:
        """None."""
        return []


def measured(way: str, folder: Path) -> Took:
    """Run it once. Libraries are imported before the clock starts."""
    if way != "by_hand":
        from resources.feature_store.light import load_feast

        load_feast()
        import_module("resources.feature_store.offline")
    began, used = time.perf_counter(), time.process_time()
    result = WAYS[way](folder)
    wall, cpu = time.perf_counter() - began, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if way == "streamed":
        rows = pl.scan_parquet(folder / "result" / "*.parquet").select(pl.len()).collect().item()
        return Took(wall=wall, cpu=cpu, peak=peak, rows=rows, digest=0)
    return Took(wall=wall, cpu=cpu, peak=peak, rows=result.height, digest=_digest(result))


def _digest(result: pl.DataFrame) -> int:
    keys = sorted({key for view in VIEWS.values() for key in view.keys})
    features = (pl.col(f"{name}__{feature}").cast(pl.Float64).fill_nan(None) for name, view in VIEWS.items() for feature in view.features)
    return int(result.select(*(pl.col(key).cast(pl.String) for key in keys), pl.col(AT).cast(INSTANT), *features).hash_rows().sum())


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(asdict(measured(sys.argv[1], Path(sys.argv[2])))))
