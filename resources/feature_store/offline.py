"""Feast's offline store over Delta tables and Parquet files, joined with Polars. Every registry stores this class path: do not move it.

What the join promises is written down in ``docs/reference/point-in-time.md`` and held by ``tests/ports/test_offline_store.py``.
"""

# ruff: noqa: TID253, ARG004, FBT001, FBT002, PLR0913, PLR0917 -- Feast loads this module and gives its methods their arguments

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

import pandas as pd
import polars as pl
from deltalake import write_deltalake
from feast import FeatureView, RepoConfig
from feast.data_format import DeltaFormat
from feast.data_source import DataSource
from feast.feature_logging import LoggingConfig, LoggingSource
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.infra.offline_stores.file_source import FileLoggingDestination, FileSource
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import FeastConfigBaseModel
from feast.utils import compute_non_entity_date_range
from pydantic import Field

from resources.feature_store import files
from resources.feature_store.asof import Columns, latest, ordered
from resources.feature_store.declarations import STAMP
from resources.feature_store.jobs import PolarsRetrievalJob, PolarsRetrievalMetadata
from resources.feature_store.join import Join, joined
from resources.feature_store.refusals import NotThroughFeast, UnfitExamples, UnfitRows
from resources.feature_store.sources import place_of, raw_scan, scan, storage_options
from resources.feature_store.spine import Spine, spine

CLASS_PATH: Final = "resources.feature_store.offline.PolarsOfflineStore"
Views = dict[str, FeatureView]


class PolarsOfflineStoreConfig(FeastConfigBaseModel):
    """``versions`` pins lake tables by address for one retrieval; ``storage_options`` reach delta-rs and Polars."""

    type: Literal["resources.feature_store.offline.PolarsOfflineStore"] = CLASS_PATH
    versions: dict[str, int] = Field(default_factory=dict)
    storage_options: dict[str, str] = Field(default_factory=dict)


class PolarsOfflineStore(OfflineStore):
    """Point-in-time joins: rows out are rows in, in order; a row holds from its instant for at most the ttl, both ends included."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pl.DataFrame | pl.LazyFrame | pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Examples joined with the features that held then; ``filter_by_created_timestamp``: as they were known then.

        Examples are a frame (Polars, lazy or not; pandas; Arrow), the name of a registered source, the address of a Delta table or Parquet
        files, or a query over registered sources; without any, every key and instant of the views' rows ``start_date`` .. ``end_date``.
        """
        views: Views = {view.projection.name_to_use(): view for view in feature_views}
        joins = _joins(config, views, feature_refs, full_feature_names=full_feature_names, as_known=filter_by_created_timestamp)
        if entity_df is None:
            start, end = compute_non_entity_date_range(feature_views, start_date=start_date, end_date=end_date)
            examples = _every_row(joins, start, end)
        else:
            tables = {} if not isinstance(entity_df, str) else _tables(config, registry, project, entity_df)
            examples = spine(entity_df, tables=tables, storage_options=storage_options(config))
        columns = examples.frame.collect_schema().names()
        _demand_columns(columns, joins)
        metadata = PolarsRetrievalMetadata(
            features=feature_refs, keys=[name for name in columns if name != examples.at], span=examples.span()
        )

        def join(piece: pl.DataFrame) -> pl.DataFrame:
            found = (one.features(piece, at=examples.at, looks=metadata.looks) for one in joins)
            return pl.concat([piece, *found], how="horizontal")

        odfvs: Any = OnDemandFeatureView
        on_demand = [reference for reference in feature_refs if reference.partition(":")[0] not in views]
        return PolarsRetrievalJob(
            lambda: joined(examples.slices(), join),
            full_feature_names=full_feature_names,
            on_demand=odfvs.get_requested_odfvs(feature_refs, project, registry) if on_demand else (),
            metadata=metadata,
            config=config,
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """The last row of each key in the stretch of time, both ends included: what ``feast materialize`` writes."""
        columns = _columns(data_source, join_key_columns, timestamp_field, created_timestamp_column)
        return _pull(config, data_source, columns, feature_name_columns, (start_date, end_date), pick=latest)

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Every row in the stretch of time, both ends included, in the order in which they come to hold."""
        columns = _columns(data_source, join_key_columns, timestamp_field, created_timestamp_column)
        return _pull(config, data_source, columns, feature_name_columns, (start_date, end_date), pick=ordered)

    @staticmethod
    def offline_write_batch(config: RepoConfig, feature_view: FeatureView, table: Any, progress: Callable[[int], Any] | None) -> None:
        """Add rows, under the names of the view or of the files, to the files of a view's ``FileSource``.

        Raises:
            NotThroughFeast: the view's table is another one, as those of the platform's features, whose assets are their only writers.
            UnfitRows: the columns are not those of the files.
        """
        source = feature_view.batch_source
        if not isinstance(source, FileSource):
            raise NotThroughFeast(what=f"Writing feature table {feature_view.name}", instead="Materialize its feature asset.")
        has = [name for name, _ in source.get_table_column_names_and_types(config)]
        theirs = {new: old for old, new in source.field_mapping.items() if old in has}
        table = table.rename_columns([theirs.get(name, name) for name in table.column_names])
        if has != table.column_names:
            raise UnfitRows(view=feature_view.name, given=table.column_names, has=has)
        place = place_of(source, config)
        if isinstance(source.file_format, DeltaFormat):
            write_deltalake(place, table, mode="append", storage_options=storage_options(config))
        else:
            files.append(place, table, endpoint=source.s3_endpoint_override or "")
        if progress is not None:
            progress(table.num_rows)

    @staticmethod
    def write_logged_features(
        config: RepoConfig, data: Any, source: LoggingSource, logging_config: LoggingConfig, registry: BaseRegistry
    ) -> None:
        """Add an Arrow table, or the Parquet files of a folder, to the files of a ``FileLoggingDestination``.

        Raises:
            NotThroughFeast: another destination.
        """
        destination = logging_config.destination
        if not isinstance(destination, FileLoggingDestination):
            raise NotThroughFeast(what=f"Logging to a {type(destination).__name__}", instead="Give a FileLoggingDestination.")
        place = FileSource.get_uri_for_file_path(repo_path=config.repo_path, uri=destination.path)
        files.add_files(place, data, partition_by=destination.partition_by, endpoint=destination.s3_endpoint_override)


def _joins(config: RepoConfig, views: Views, references: Sequence[str], *, full_feature_names: bool, as_known: bool) -> list[Join]:
    wanted: dict[str, list[str]] = {}
    for reference in references:
        name, _, feature = reference.partition(":")
        if name in views:
            wanted.setdefault(name, []).append(feature)
    joins: list[Join] = []
    for name, features in wanted.items():
        prefix = f"{views[name].projection.name_alias or views[name].name}__" if full_feature_names else ""
        joins.append(_join(config, views[name], {feature: prefix + feature for feature in features}, as_known=as_known))
    return joins


def _join(config: RepoConfig, view: FeatureView, named: dict[str, str], *, as_known: bool) -> Join:
    renamed = view.projection.join_key_map
    keys = [column.name for column in view.entity_columns if column.name != DUMMY_ENTITY_ID]
    return Join(
        scan=scan(view.batch_source, config, keys=keys),
        on={key: renamed.get(key, key) for key in keys},
        named=named,
        ttl=view.ttl or None,
        as_known=as_known,
    )


def _demand_columns(given: Sequence[str], joins: Sequence[Join]) -> None:
    columns = set(given)
    for join in joins:
        if missing := [column for column in join.on.values() if column not in columns]:
            raise UnfitExamples(what=join.scan.source, why=f"they lack its key {', '.join(missing)}")
        if twice := [name for name in join.named.values() if name in columns]:
            raise UnfitExamples(what=join.scan.source, why=f"they have a column {', '.join(twice)}, which is also a feature asked for")
        columns.update(join.named.values())


def _every_row(joins: Sequence[Join], start: datetime, end: datetime) -> Spine:
    """Each key and instant once, by instant, then key, from the views with the most keys; the others must have no other keys."""
    keys = sorted(max((join.on.values() for join in joins), key=len))
    for join in joins:
        if odd := sorted(set(join.on.values()) - set(keys)):
            why = f"without examples the keys of one view must cover those of all, and {', '.join(keys)} lack {', '.join(odd)}"
            raise UnfitExamples(what=join.scan.source, why=why)
    rows = [_keys_and_instants(join, start, end) for join in joins if len(join.on) == len(keys)]
    found = pl.concat([one.select(*keys, STAMP) for one in rows], how="vertical_relaxed").drop_nulls().unique().sort(STAMP, *keys)
    return Spine(frame=found, at=STAMP)


def _keys_and_instants(join: Join, start: datetime, end: datetime) -> pl.LazyFrame:
    keys = (pl.col(key).alias(name) for key, name in join.on.items())
    return join.scan.rows((), since=start, until=end).select(*keys, pl.col(join.scan.columns.stamp).alias(STAMP))


def _tables(config: RepoConfig, registry: BaseRegistry, project: str, text: str) -> dict[str, pl.LazyFrame]:
    """The registered sources that a text names."""
    found = [source for source in registry.list_data_sources(project, allow_cache=True) if source.name in text]
    return {source.name: scan(source, config, keys=()).frame for source in found}


def _columns(source: DataSource, keys: Sequence[str], stamp: str, created: str | None) -> Columns:
    return Columns(keys=tuple(keys), stamp=stamp, created=created or None, tie=source.date_partition_column or None)


def _pull(
    config: RepoConfig,
    source: DataSource,
    columns: Columns,
    features: Sequence[str],
    stretch: tuple[datetime | None, datetime | None],
    *,
    pick: Callable[..., pl.DataFrame],
) -> RetrievalJob:
    since, until = (at if at is None or at.tzinfo else at.replace(tzinfo=UTC) for at in stretch)
    placeholder = () if columns.keys else (pl.lit(DUMMY_ENTITY_VAL).alias(DUMMY_ENTITY_ID),)
    instants = [columns.stamp, *([columns.created] if columns.created else [])]

    def pulled() -> Iterator[pl.DataFrame]:
        rows = raw_scan(source, config, columns).rows(features, since=since, until=until).collect()
        yield pick(rows, columns=columns).select(*dict.fromkeys([*columns.keys, *features, *instants])).with_columns(*placeholder)

    return PolarsRetrievalJob(pulled, config=config)
