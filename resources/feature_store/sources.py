"""Feast's data sources as tables to read: ours, and its own files of Parquet and Delta."""

# ruff: noqa: TID253 -- Feast loads this module

from collections.abc import Iterable
from typing import Any, cast

import polars as pl
from deltalake import DeltaTable
from feast import RepoConfig
from feast.data_format import DeltaFormat
from feast.data_source import DataSource
from feast.infra.offline_stores.file_source import FileSource
from pyarrow import dataset as untyped_dataset

from resources.feature_store import files
from resources.feature_store.asof import Columns
from resources.feature_store.delta import DeltaSource
from resources.feature_store.refusals import NoFeatureTable, NotThroughFeast
from resources.feature_store.scan import Dataset, Scan
from resources.lake_log import NamedTable

datasets: Any = untyped_dataset  # ships no types


def scan(source: DataSource | None, config: RepoConfig, *, keys: Iterable[str]) -> Scan:
    """A view's source under the names of its features.

    Raises:
        NoFeatureTable: there is no table. NotThroughFeast: another kind of source.
    """
    if source is None:
        raise NotThroughFeast(what="Retrieving from a view without a batch source", instead="Give it one.")
    mapping = dict(source.field_mapping)
    frame, dataset = _opened(source, config)
    stamp, created = (mapping.get(name, name) for name in (source.timestamp_field, source.created_timestamp_column))
    columns = Columns(keys=tuple(keys), stamp=stamp, created=created or None, tie=source.date_partition_column or None)
    return Scan(source=source.name, frame=frame, columns=columns, dataset=dataset, renamed=mapping)


def raw_scan(source: DataSource, config: RepoConfig, columns: Columns) -> Scan:
    """A source under its own column names."""
    frame, dataset = _opened(source, config)
    return Scan(source=source.name, frame=frame, columns=columns, dataset=dataset)


def place_of(source: FileSource, config: RepoConfig) -> str:
    """Where the files of a file source are; relative to the feature repository."""
    return FileSource.get_uri_for_file_path(repo_path=config.repo_path, uri=source.path)


def storage_options(config: RepoConfig) -> dict[str, str] | None:
    """What delta-rs and Polars are told about the storage; None where there is nothing to tell."""
    store: Any = config.offline_store
    return store.storage_options or None


def _opened(source: DataSource, config: RepoConfig) -> tuple[pl.LazyFrame, Dataset]:
    if isinstance(source, DeltaSource):
        return _delta(source.opened(config))
    if not isinstance(source, FileSource):
        raise NotThroughFeast(what=f"Reading a {type(source).__name__}", instead="This store reads a DeltaSource or a FileSource.")
    place, endpoint = place_of(source, config), source.s3_endpoint_override or ""
    options = {**(storage_options(config) or {}), **({"aws_endpoint_url": endpoint} if endpoint else {})} or None
    versions: dict[str, int] = cast("Any", config.offline_store).versions
    if isinstance(source.file_format, DeltaFormat):
        if not DeltaTable.is_deltatable(place, options):
            raise NoFeatureTable(address=source.name, uri=place, version=None)
        return _delta(NamedTable(place, version=versions.get(source.name), storage_options=options))
    filesystem, path = files.opened(place, endpoint)
    if not filesystem.get_file_info(path).type:
        raise NoFeatureTable(address=source.name, uri=place, version=None)
    return pl.scan_parquet(place, storage_options=options), lambda: datasets.dataset(path, filesystem=filesystem, partitioning="hive")


def _delta(table: DeltaTable) -> tuple[pl.LazyFrame, Dataset]:
    untyped: Any = table
    return pl.scan_delta(table), untyped.to_pyarrow_dataset
