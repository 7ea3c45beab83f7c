"""Feast's online store over packed rows. Every ``feature_store.yaml`` stores these class paths: do not move them.

Feast asks for no instant, so ``get_online_features`` gives the stored values with their event timestamps and says nothing of their age:
the platform reads through ``direct.Reader``, which does. An absent or deleted key is NOT_FOUND, a null value PRESENT without a value.
"""

# ruff: noqa: TID253, ARG002, FBT001 -- Feast loads this module and gives its methods their arguments

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl
from feast import Entity, FeatureView, RepoConfig
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value as ValueProto
from feast.repo_config import FeastConfigBaseModel

from resources.feature_store.declarations import Dtype
from resources.feature_store.direct import EPOCH, MICROSECOND, Lookup, microseconds, opened
from resources.feature_store.packed import GONE, TYPES, PackedRows, Place, Unpacking, Value, pack_keys
from resources.feature_store.refusals import UnpackableType
from resources.feature_store.registration import LAYOUT, WINDOW

CLASS_PATH: Final = "resources.feature_store.online.PackedSqliteOnlineStore"
REDIS_PATH: Final = "resources.feature_store.online.PackedRedisOnlineStore"
FIELDS: Final[Mapping[Dtype, str]] = {"string": "string_val", "int64": "int64_val", "float64": "double_val", "bool": "bool_val"}
DTYPES: Final[Mapping[str, Dtype]] = {"String": "string", "Int64": "int64", "Float64": "float64", "Bool": "bool"}
Given = Sequence[tuple[EntityKey, dict[str, ValueProto], datetime, datetime | None]]


class PackedSqliteOnlineStoreConfig(FeastConfigBaseModel):
    """Rows lie in ``online.db`` beside ``feature_store.yaml``."""

    type: Literal["resources.feature_store.online.PackedSqliteOnlineStore"] = CLASS_PATH


class PackedRedisOnlineStoreConfig(FeastConfigBaseModel):
    """``url`` is ``redis://host:port/db`` without a password: that comes from ``REDIS_PASSWORD``."""

    type: Literal["resources.feature_store.online.PackedRedisOnlineStore"] = REDIS_PATH
    url: str


class PackedOnlineStore(OnlineStore):
    """One packed row a view and key; a write never goes back in event time, at an equal event time it corrects."""

    def __init__(self) -> None:
        self._rows: PackedRows | None = None

    def online_write_batch(self, config: RepoConfig, table: FeatureView, data: Given, progress: Callable[[int], Any] | None) -> None:
        """Rows from ``feast materialize`` and ``push``."""
        lookup = lookup_of(table)
        names = [_key(key) for key, _, _, _ in data]
        stamps = [stamp for _, _, stamp, _ in data]
        columns = {
            name: pl.Series([plain(values.get(name)) for _, values, _, _ in data], dtype=TYPES[dtype])
            for name, dtype in lookup.features.items()
        }
        rows = lookup.packing.pack(
            pl.DataFrame(columns),
            since=pl.Series([microseconds(stamp) for stamp in stamps], dtype=pl.Int64),
            until=pl.Series([_trusted_until(table, stamp) for stamp in stamps], dtype=pl.Int64),
            read=None,
        )
        self.rows(config).write(place_of(config.project, lookup), names, rows)
        if progress:
            progress(len(rows))

    def online_read(
        self, config: RepoConfig, table: FeatureView, entity_keys: list[EntityKey], requested_features: list[str] | None = None
    ) -> list[tuple[datetime | None, dict[str, ValueProto] | None]]:
        """For each key its event timestamp and values; ``(None, None)`` for one that is absent."""
        lookup, wanted = lookup_of(table), set(requested_features or ())
        place, keys = place_of(config.project, lookup), [_key(key) for key in entity_keys]
        (found,) = Unpacking([lookup.packing])(self.rows(config).read([(place, keys)]))
        held = [flags[:1] != GONE for flags in found.flags]
        columns: list[tuple[str, Dtype, Sequence[Value]]] = [
            (name, dtype, found.values(at, given=held))
            for at, (name, dtype) in enumerate(lookup.features.items())
            if name in wanted or not wanted
        ]
        return [
            (EPOCH + since * MICROSECOND, {name: proto(dtype, values[row]) for name, dtype, values in columns})
            if held[row]
            else (None, None)
            for row, since in enumerate(found.since)
        ]

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Refuse views that cannot be packed; forget those that are gone."""
        for table in tables_to_keep:
            packable(table)
        self.teardown(config, tables_to_delete, entities_to_delete)

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Forget these views."""
        for table in tables:
            self.rows(config).forget(config.project, table.name)

    def rows(self, config: RepoConfig) -> PackedRows:
        """The rows behind this store."""
        if self._rows is None:
            said: Any = config.online_store
            self._rows = opened(getattr(said, "url", ""), home=config.repo_path or Path.cwd())
        return self._rows


class PackedSqliteOnlineStore(PackedOnlineStore):
    """Rows in a file."""


class PackedRedisOnlineStore(PackedOnlineStore):
    """Rows in Redis."""


def lookup_of(table: FeatureView) -> Lookup:
    """How a registered view is read."""
    keys = tuple(sorted(column.name for column in table.entity_columns))
    return Lookup(view=table.name, layout=layout(table), keys=keys, features=packable(table))


def place_of(project: str, lookup: Lookup) -> Place:
    """Where a view's rows are."""
    return Place(project=project, view=lookup.view, layout=lookup.layout)


def layout(table: FeatureView) -> str:
    """What names the layout of a view's rows: its tag, or for a view that the platform did not declare its fields."""
    fields = repr([(field.name, str(field.dtype)) for field in table.features])
    return table.tags.get(LAYOUT) or hashlib.sha256(fields.encode()).hexdigest()[:16]


def packable(table: FeatureView) -> dict[str, Dtype]:
    """The features of a view and their types.

    Raises:
        UnpackableType: some have a type that an online row cannot hold.
    """
    if odd := {field.name: str(field.dtype) for field in table.features if str(field.dtype) not in DTYPES}:
        raise UnpackableType(view=table.name, features=odd)
    return {field.name: DTYPES[str(field.dtype)] for field in table.features}


def _key(key: EntityKey) -> str:
    """The values of a key in the order of their columns' names, as Feast sorts them too."""
    untyped: Any = key  # protobuf says nothing of its containers
    of: dict[str, ValueProto] = dict(zip(untyped.join_keys, untyped.entity_values, strict=True))
    return pack_keys(pl.DataFrame({name: [plain(of[name])] for name in sorted(of)}))[0]


def _trusted_until(table: FeatureView, stamp: datetime) -> int | None:
    """Feast does not say when a windowed row expires: it is trusted at its own instant and no later, until the platform writes it."""
    if WINDOW in table.tags:
        return microseconds(stamp) + 1
    return microseconds(stamp + table.ttl) + 1 if table.ttl else None


def proto(dtype: Dtype, value: Value) -> ValueProto:
    """A value as Feast carries it; null is a value without a field."""
    carried = ValueProto()
    if value is not None:
        setattr(carried, FIELDS[dtype], value)
    return carried


def plain(value: ValueProto | None) -> Value:
    """A value as Python has it."""
    field = None if value is None else value.WhichOneof("val")
    return None if field in {None, "null_val"} else getattr(value, str(field))
