"""A retrieval that runs when its result is asked for: whole, in slices, or straight to disk."""

# ruff: noqa: TID253, ARG002, FBT001, FBT002 -- Feast loads this module and gives its methods their arguments

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
from deltalake import write_deltalake
from feast import RepoConfig
from feast.data_format import DeltaFormat
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import FileSource, SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.saved_dataset import SavedDatasetStorage

from resources.feature_store.files import replace, streamed
from resources.feature_store.refusals import NotThroughFeast
from resources.feature_store.scan import Read
from resources.feature_store.sources import storage_options

arrow: Any = pa  # ships no types


class PolarsRetrievalMetadata(RetrievalMetadata):
    """What was asked for; and after the job has run, what each look into a table took: see ``reads``."""

    def __init__(self, *, features: list[str], keys: list[str], span: tuple[datetime | None, datetime | None]) -> None:
        super().__init__(features, keys, *span)
        self.looks: list[Callable[[], Read]] = []

    def reads(self) -> list[Read]:
        """Files, rows and bytes of each look into a table, in order. Opens the files' footers, no more."""
        return [look() for look in self.looks]


class PolarsRetrievalJob(RetrievalJob):
    """Joined slices, in order, with on-demand features computed from each.

    On-demand functions see a slice, never the whole: like online, each row must be enough for its own result.
    """

    def __init__(
        self,
        slices: Callable[[], Iterator[pl.DataFrame]],
        *,
        full_feature_names: bool = False,
        on_demand: Sequence[OnDemandFeatureView] = (),
        metadata: RetrievalMetadata | None = None,
        config: RepoConfig,
    ) -> None:
        self._slices = slices
        self._full_feature_names = full_feature_names
        self._on_demand = list(on_demand)
        self._metadata = metadata
        self._config = config

    def to_batches(self) -> Iterator[pl.DataFrame]:
        """The result piece by piece, in order; at least one piece."""
        return (self._finished(piece) for piece in self._slices())

    def to_polars(self) -> pl.DataFrame:
        """The result, with the types of the entity frame and of the feature tables, on-demand features last."""
        return pl.concat(self.to_batches())

    def _finished(self, piece: pl.DataFrame) -> pl.DataFrame:
        """On-demand features are Feast's own work, on Arrow."""
        if not self._on_demand:
            return piece
        of_piece: Any = PolarsRetrievalJob(
            lambda: iter([piece]),
            full_feature_names=self._full_feature_names,
            on_demand=self._on_demand,
            metadata=self._metadata,
            config=self._config,
        )
        return pl.DataFrame(of_piece.to_arrow())

    def _to_arrow_internal(self, timeout: int | None = None) -> Any:
        return _feast_table(pl.concat(self._slices()))

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._to_arrow_internal().to_pandas()

    def persist(self, storage: SavedDatasetStorage, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        """Write the result to a Parquet file, a folder of them or a Delta table, one slice in memory at a time.

        Raises:
            NotThroughFeast: another kind of storage. SavedDatasetLocationAlreadyExists: without ``allow_overwrite``.
        """
        if not isinstance(storage, SavedDatasetFileStorage):
            raise NotThroughFeast(what=f"Saving to a {type(storage).__name__}", instead="Give a SavedDatasetFileStorage.")
        options: Any = storage.file_options
        place: str = FileSource.get_uri_for_file_path(repo_path=self._config.repo_path, uri=options.uri)
        if not allow_overwrite and Path(place).exists():
            raise SavedDatasetLocationAlreadyExists(location=place)
        tables = (_feast_table(piece) for piece in self.to_batches())
        if isinstance(options.file_format, DeltaFormat):
            write_deltalake(
                place,
                streamed(tables),
                mode="overwrite",
                schema_mode="overwrite",
                storage_options=storage_options(self._config),
            )
        else:
            replace(place, tables, endpoint=options.s3_endpoint_override)

    @property
    def full_feature_names(self) -> bool:
        """Whether features are called ``view__feature``."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """Those asked for."""
        return self._on_demand

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """What was asked for, and what it took."""
        return self._metadata


def _feast_table(frame: pl.DataFrame) -> Any:
    """The frame with the Arrow types that Feast's type map knows: it has no large ones."""
    untyped: Any = frame
    table = untyped.to_arrow()
    return table.cast(arrow.schema([field.with_type(_small(field.type)) for field in table.schema]))


def _small(arrow_type: Any) -> Any:
    types: Any = arrow.types
    if types.is_large_list(arrow_type) or types.is_list(arrow_type):
        return arrow.list_(_small(arrow_type.value_type))
    small = {arrow.large_string(): arrow.string(), arrow.large_binary(): arrow.binary()}
    return small.get(arrow_type, arrow_type)
