"""A Delta table as a Feast data source: where the table is, never its rows. Every registry stores this class path: do not move it."""

# ruff: noqa: TID253 -- Feast loads this module, never the other way round; the platform imports it inside functions

import json
from collections.abc import Callable, Iterable
from typing import Any, Final

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from feast import RepoConfig, ValueType
from feast.data_source import DataSource
from feast.protos.feast.core.DataSource_pb2 import DataSource as DataSourceProto

from resources.feature_store.asof import Columns
from resources.feature_store.declarations import STAMP
from resources.feature_store.refusals import NoFeatureTable, UnfitTable
from resources.lake_log import NamedTable

CLASS_PATH: Final = "resources.feature_store.delta.DeltaSource"
SAID: Final = ("name", "timestamp_field", "created_timestamp_column", "date_partition_column", "description", "owner")
"""What Feast keeps of every source, under the same names in its registry."""

VALUE_TYPES: Final = {
    "String": ValueType.STRING,
    "Int64": ValueType.INT64,
    "Float64": ValueType.DOUBLE,
    "Boolean": ValueType.BOOL,
    "Datetime": ValueType.UNIX_TIMESTAMP,
}


class DeltaSource(DataSource):
    """A feature table: ``name`` is its lake address, ``uri`` where it lies, ``version`` an optional pin of its history.

    Rows carry the instant from which they hold in ``timestamp_field``. Those of the platform's features are created at that very instant:
    they have no ``created_timestamp_column``. ``date_partition_column`` decides between rows of the same key and instant (and creation):
    the later partition wins.
    """

    def __init__(self, *, uri: str, version: int | None = None, **said: Any) -> None:
        told: dict[str, Any] = {"timestamp_field": STAMP, **said}
        super().__init__(**told)
        self.uri = uri
        self.version = version

    def __eq__(self, other: object) -> bool:
        base: Any = super()  # Feast leaves its __eq__ untyped
        return isinstance(other, DeltaSource) and base.__eq__(other) and (self.uri, self.version) == (other.uri, other.version)

    __hash__ = DataSource.__hash__

    def source_type(self) -> "DataSourceProto.SourceType.ValueType":
        """What Feast calls sources that it does not know."""
        return DataSourceProto.CUSTOM_SOURCE

    @staticmethod
    def from_proto(data_source: DataSourceProto) -> "DeltaSource":
        """The source as the registry holds it."""
        said: dict[str, Any] = {name: getattr(data_source, name) for name in SAID}
        where = json.loads(data_source.custom_options.configuration)
        return DeltaSource(**where, **said, tags=dict(data_source.tags), field_mapping=dict(data_source.field_mapping))

    def _to_proto_impl(self) -> DataSourceProto:
        where = json.dumps({"uri": self.uri, "version": self.version}).encode()
        said: dict[str, Any] = {name: getattr(self, name) for name in SAID}
        return DataSourceProto(
            type=DataSourceProto.CUSTOM_SOURCE,
            data_source_class_type=CLASS_PATH,
            custom_options=DataSourceProto.CustomSourceOptions(configuration=where),
            tags=self.tags,
            field_mapping=self.field_mapping,
            **said,
        )

    def validate(self, config: RepoConfig) -> None:
        """A view may be registered before its table is first written, so there is nothing to demand here."""

    def get_table_query_string(self) -> str:
        """Where the table lies."""
        return self.uri

    @staticmethod
    def source_datatype_to_feast_value_type() -> Callable[[str], ValueType]:
        """Polars type name to Feast type."""
        return lambda dtype: VALUE_TYPES[dtype.split("(")[0]]

    def get_table_column_names_and_types(self, config: RepoConfig) -> Iterable[tuple[str, str]]:
        """The columns of the table now."""
        return [(name, str(dtype)) for name, dtype in pl.scan_delta(self.opened(config)).collect_schema().items()]

    def columns(self, keys: Iterable[str]) -> Columns:
        """How the rows of this table are ordered."""
        created, tie = self.created_timestamp_column or None, self.date_partition_column or None
        return Columns(keys=tuple(keys), stamp=self.timestamp_field, created=created, tie=tie)

    def opened(self, config: RepoConfig) -> DeltaTable:
        """The table at the version that ``config`` pins for it, else this source, else now.

        Raises:
            NoFeatureTable: it was never written, or not at that version.
        """
        store: Any = config.offline_store
        version = store.versions.get(self.name, self.version)
        try:
            return NamedTable(self.uri, version=version, storage_options=store.storage_options or None)
        except DeltaError as error:
            raise NoFeatureTable(address=self.name, uri=self.uri, version=version) from error

    def rows(self, table: DeltaTable, *, keys: Iterable[str], features: Iterable[str], among: pl.Expr | None = None) -> pl.LazyFrame:
        """The columns that a join needs, and no others, of the rows ``among`` which it looks.

        Raises:
            UnfitTable: a column is missing.
        """
        scan = pl.scan_delta(table)
        order = self.columns(keys)
        needed = list(dict.fromkeys([*order.keys, *order.order, *features]))
        has = scan.collect_schema().names()
        if missing := [name for name in needed if name not in has]:
            raise UnfitTable(address=self.name, missing=missing, has=has)
        return (scan if among is None else scan.filter(among)).select(needed)
