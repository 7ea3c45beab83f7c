"""Feast's offline store over Delta tables, joined with Polars. Every registry stores this class path: do not move it.

Reads only. The join itself is ``resources.feature_store.asof``; what it promises is written down in ``tests/ports/test_offline_store.py``.
"""

# ruff: noqa: TID253, ARG002, ARG004, FBT001, FBT002 -- Feast loads this module and gives its methods their arguments

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, cast

import pandas as pd
import polars as pl
import pyarrow as pa
from feast import FeatureView, RepoConfig
from feast.data_source import DataSource
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import FeastConfigBaseModel
from pydantic import Field

from resources.feature_store.asof import INSTANT, RECENT, holding, latest, ordered
from resources.feature_store.declarations import STAMP
from resources.feature_store.delta import DeltaSource
from resources.feature_store.refusals import NotThroughFeast, UnfitExamples

CLASS_PATH: Final = "resources.feature_store.offline.PolarsOfflineStore"


class PolarsOfflineStoreConfig(FeastConfigBaseModel):
    """``versions`` pins lake tables by address for one retrieval; ``storage_options`` reach delta-rs (none for local folders)."""

    type: Literal["resources.feature_store.offline.PolarsOfflineStore"] = CLASS_PATH
    versions: dict[str, int] = Field(default_factory=dict)
    storage_options: dict[str, str] = Field(default_factory=dict)


class PolarsRetrievalJob(RetrievalJob):
    """A join that runs when its result is asked for."""

    def __init__(
        self, evaluate: Callable[[], pl.DataFrame], *, full_feature_names: bool, metadata: RetrievalMetadata | None = None
    ) -> None:
        self._evaluate = evaluate
        self._full_feature_names = full_feature_names
        self._metadata = metadata

    def to_polars(self) -> pl.DataFrame:
        """The result, with the types of the entity frame and of the feature tables."""
        return self._evaluate()

    def _to_arrow_internal(self, timeout: int | None = None) -> Any:
        arrow: Any = pa  # ships no types
        frame: Any = self._evaluate()
        table: Any = frame.to_arrow()
        fields = [field.with_type(arrow.string()) if field.type == arrow.large_string() else field for field in table.schema]
        return table.cast(arrow.schema(fields))

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._to_arrow_internal().to_pandas()

    @property
    def full_feature_names(self) -> bool:
        """Whether features are called ``view__feature``."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """None: this platform computes features before they are stored."""
        return []

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """What was asked for."""
        return self._metadata


@dataclass(frozen=True, kw_only=True)
class Join:
    """One view's part of a retrieval: ``on`` maps its key columns to those of the examples, ``named`` its features to result columns."""

    source: DeltaSource
    on: Mapping[str, str]
    named: Mapping[str, str]
    ttl: timedelta | None

    def features(self, examples: pl.DataFrame, config: RepoConfig) -> pl.DataFrame:
        """The features that held at each example's instant, one row each, in order.

        Most are found among the rows since ``RECENT`` before the first instant asked for; only for the others all older rows are searched.
        """
        table, keys = self.source.opened(config), tuple(self.on)
        since, until = (pl.lit(instant, dtype=INSTANT) for instant in (examples[STAMP].min(), examples[STAMP].max()))
        stamp, recent = pl.col(self.source.timestamp_field), since - RECENT
        rows = self.source.rows(table, keys=keys, features=self.named, among=stamp.is_between(recent, until)).collect()
        self._demand_equal_types(examples, rows)
        found = self._holding(examples, rows)
        lost = found.is_null().arg_true()
        asked = examples[lost].select(pl.col(column).unique().implode().alias(key) for key, column in self.on.items())
        among = pl.all_horizontal(stamp < recent, *(pl.col(key).is_in(asked[key]) for key in keys))
        older = self.source.rows(table, keys=keys, features=self.named, among=among).collect()
        found = found.scatter(lost, self._holding(examples[lost], older) + rows.height)
        return pl.concat([rows, older]).select(pl.col(feature).gather(found).alias(name) for feature, name in self.named.items())

    def _holding(self, examples: pl.DataFrame, rows: pl.DataFrame) -> pl.Series:
        return holding(examples, rows, at=STAMP, on=self.on, columns=self.source.columns(self.on), ttl=self.ttl)

    def _demand_equal_types(self, examples: pl.DataFrame, rows: pl.DataFrame) -> None:
        for key, column in self.on.items():
            if examples.schema[column] != rows.schema[key]:
                why = f"column {column} is {examples.schema[column]}, the key {key} of {self.source.name} is {rows.schema[key]}"
                raise UnfitExamples(what=self.source.name, why=why)


class PolarsOfflineStore(OfflineStore):
    """Point-in-time joins: rows out are rows in, in order; a row holds from its instant for at most the ttl, both ends included."""

    supports_filter_by_created_timestamp = True
    """Holds by construction: a ``DeltaSource`` row is created at its own instant."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pl.DataFrame | pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        **options: object,
    ) -> RetrievalJob:
        """Examples, a Polars or pandas frame with ``event_timestamp``, joined with the features that held then."""
        examples = _examples(entity_df)
        joins = _joins(feature_views, feature_refs, full_feature_names=full_feature_names)
        _demand_columns(examples, joins)

        def evaluate() -> pl.DataFrame:
            return pl.concat([examples, *(join.features(examples, config) for join in joins)], how="horizontal")

        keys = sorted({column for join in joins for column in join.on.values()})
        instants: Any = examples[STAMP]  # datetimes, or null without examples
        metadata = RetrievalMetadata(feature_refs, keys, instants.min(), instants.max())
        return PolarsRetrievalJob(evaluate, full_feature_names=full_feature_names, metadata=metadata)

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """The last row of each key in the stretch of time, both ends included: what ``feast materialize`` writes."""
        return _pull(config, data_source, join_key_columns, feature_name_columns, start_date, end_date, pick=latest)

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
        return _pull(config, data_source, join_key_columns, feature_name_columns, start_date, end_date, pick=ordered)

    @staticmethod
    def offline_write_batch(config: RepoConfig, feature_view: FeatureView, table: Any, progress: Callable[[int], Any] | None) -> None:
        """Refused: feature tables have one writer."""
        raise NotThroughFeast(what=f"Writing feature table {feature_view.name}", instead="Materialize its feature asset.")

    @staticmethod
    def write_logged_features(*arguments: object, **options: object) -> None:
        """Refused: what was served is logged by the serving process."""
        raise NotThroughFeast(what="Logging served features", instead="The serving process logs what it answers.")


def _examples(entity_df: pl.DataFrame | pd.DataFrame | str | None) -> pl.DataFrame:
    if isinstance(entity_df, pd.DataFrame):
        entity_df = pl.from_pandas(entity_df)
    if not isinstance(entity_df, pl.DataFrame):
        raise NotThroughFeast(what="Retrieval without examples, or by SQL", instead="Give a frame of keys and event_timestamp.")
    if STAMP not in entity_df.columns or not isinstance(entity_df.schema[STAMP], pl.Datetime):
        raise UnfitExamples(what="any feature service", why=f"they need a column {STAMP} of instants")
    instants = pl.col(STAMP) if cast("pl.Datetime", entity_df.schema[STAMP]).time_zone else pl.col(STAMP).dt.replace_time_zone("UTC")
    return entity_df.with_columns(instants.cast(INSTANT))


def _joins(views: Sequence[FeatureView], references: Sequence[str], *, full_feature_names: bool) -> list[Join]:
    by_name = {view.projection.name_to_use(): view for view in views}
    wanted: dict[str, list[str]] = {}
    for reference in references:
        name, _, feature = reference.partition(":")
        if name not in by_name:
            raise NotThroughFeast(what=f"Retrieving {reference}, an on-demand feature,", instead="Write a compute view.")
        wanted.setdefault(name, []).append(feature)
    return [
        Join(
            source=_delta(by_name[name].batch_source),
            on={key.name: by_name[name].projection.join_key_map.get(key.name, key.name) for key in by_name[name].entity_columns},
            named={feature: f"{name}__{feature}" if full_feature_names else feature for feature in features},
            ttl=by_name[name].ttl,
        )
        for name, features in wanted.items()
    ]


def _demand_columns(examples: pl.DataFrame, joins: Sequence[Join]) -> None:
    columns = set(examples.columns)
    for join in joins:
        if missing := [column for column in join.on.values() if column not in columns]:
            raise UnfitExamples(what=join.source.name, why=f"they lack its key {', '.join(missing)}")
        if twice := [name for name in join.named.values() if name in columns]:
            raise UnfitExamples(what=join.source.name, why=f"they have a column {', '.join(twice)}, which is also a feature asked for")
        columns.update(join.named.values())


def _delta(source: DataSource | None) -> DeltaSource:
    if not isinstance(source, DeltaSource):
        raise NotThroughFeast(what=f"Reading a {type(source).__name__}", instead=f"This store reads a {DeltaSource.__name__}.")
    return source


def _pull(
    config: RepoConfig,
    source: DataSource,
    keys: list[str],
    features: list[str],
    *stretch: datetime | None,
    pick: Callable[..., pl.DataFrame],
) -> RetrievalJob:
    delta = _delta(source)
    columns, (start, end) = delta.columns(keys), (None if end is None else pl.lit(end).cast(INSTANT) for end in stretch)
    stamp = pl.col(columns.stamp)
    inside = [*([] if start is None else [stamp >= start]), *([] if end is None else [stamp <= end])]

    def evaluate() -> pl.DataFrame:
        rows = delta.rows(
            delta.opened(config), keys=keys, features=features, among=pl.all_horizontal(pl.lit(value=True), *inside)
        ).collect()
        return pick(rows, columns=columns).select(*keys, *features, columns.stamp)

    return PolarsRetrievalJob(evaluate, full_feature_names=False)
