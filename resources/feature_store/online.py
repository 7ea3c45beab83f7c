"""Feast's online store over ``packed``. Every ``feature_store.yaml`` stores this class path: do not move it.

Feast asks for no instant, so ``get_online_features`` gives the stored values with their event timestamps and says nothing of their age:
the platform reads through ``FeatureStore.online``, which does. An absent key is NOT_FOUND, a null value PRESENT without a value.
"""

# ruff: noqa: TID253, ARG002, FBT001 -- Feast loads this module and gives its methods their arguments

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from feast import Entity, FeatureView, RepoConfig
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value as ValueProto
from feast.repo_config import FeastConfigBaseModel

from resources.feature_store.declarations import Dtype
from resources.feature_store.packed import Packed, PackedFile, Value, pack, unpack
from resources.feature_store.refusals import UnpackableType
from resources.feature_store.registration import LAYOUT, WINDOW

CLASS_PATH: Final = "resources.feature_store.online.PackedSqliteOnlineStore"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
FIELDS: Final[Mapping[Dtype, str]] = {"string": "string_val", "int64": "int64_val", "float64": "double_val", "bool": "bool_val"}
DTYPES: Final[Mapping[str, Dtype]] = {"String": "string", "Int64": "int64", "Float64": "float64", "Bool": "bool"}


class PackedSqliteOnlineStoreConfig(FeastConfigBaseModel):
    """``path`` is relative to the folder of ``feature_store.yaml``."""

    type: Literal["resources.feature_store.online.PackedSqliteOnlineStore"] = CLASS_PATH
    path: str = "online.db"


class PackedSqliteOnlineStore(OnlineStore):
    """One packed row a view and key; a write never goes back in event time, at an equal event time it corrects."""

    def __init__(self) -> None:
        self._file: PackedFile | None = None

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: Sequence[tuple[EntityKey, dict[str, ValueProto], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Rows from ``feast materialize`` and ``push``, in one transaction."""
        dtypes = packable(table)
        rows = [
            Packed(
                key=_key(key),
                since=microseconds(stamp),
                valid_until=_trusted_until(table, stamp),
                version=None,
                row=pack([plain(values.get(name)) for name in dtypes]),
            )
            for key, values, stamp, _ in data
        ]
        self.file(config).write(config.project, table.name, layout(table), sorted(rows, key=lambda row: row.since))
        if progress:
            progress(len(rows))

    def online_read(
        self, config: RepoConfig, table: FeatureView, entity_keys: list[EntityKey], requested_features: list[str] | None = None
    ) -> list[tuple[datetime | None, dict[str, ValueProto] | None]]:
        """For each key its event timestamp and values; ``(None, None)`` for one that is absent."""
        dtypes, keys = packable(table), [_key(key) for key in entity_keys]
        found = self.file(config).read(config.project, table.name, layout(table), keys)
        wanted = set(requested_features or dtypes)

        def answer(packed: Packed | None) -> tuple[datetime | None, dict[str, ValueProto] | None]:
            if packed is None:
                return None, None
            values = zip(dtypes.items(), unpack(packed.row), strict=True)
            return EPOCH + packed.since * MICROSECOND, {name: proto(dtype, value) for (name, dtype), value in values if name in wanted}

        return [answer(found.get(key)) for key in keys]

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
            self.file(config).drop(config.project, table.name)

    def file(self, config: RepoConfig) -> PackedFile:
        """The file behind this store."""
        if self._file is None:
            said: Any = config.online_store
            self._file = PackedFile((config.repo_path or Path.cwd()) / said.path)
        return self._file


def _key(key: EntityKey) -> str:
    """The values of a key in the order of their columns' names, as Feast sorts them too."""
    untyped: Any = key  # protobuf says nothing of its containers
    of: dict[str, ValueProto] = dict(zip(untyped.join_keys, untyped.entity_values, strict=True))
    return pack([plain(of[name]) for name in sorted(of)])


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


def microseconds(instant: datetime) -> int:
    """Unix time; Feast's naive instants are UTC."""
    return ((instant if instant.tzinfo else instant.replace(tzinfo=UTC)) - EPOCH) // MICROSECOND


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
