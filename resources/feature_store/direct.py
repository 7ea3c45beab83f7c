"""The direct read path: all views of a model in one round trip, decoded straight into columns, each with a verdict on its age.

Light: a serving process builds a ``Reader`` from plain data that its release recorded; Feast and Dagster are not loaded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from resources.feature_store.declarations import Dtype, View
from resources.feature_store.packed import GONE, TYPES, Layout, PackedRows, Place, Unpacked, Unpacking, Value, pack_keys
from resources.feature_store.packed_sqlite import SqliteRows

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
STATUS: Final = pl.Enum(["fresh", "stale", "ahead", "absent"])


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """How one view of a model is read: plain data, the same in a release and in the registry. ``keys`` are sorted."""

    view: str
    layout: str
    keys: tuple[str, ...]
    features: Mapping[str, Dtype]

    def record(self) -> dict[str, Any]:
        """As JSON holds it; the order of the features is that of the bytes, so they are no JSON object."""
        return {**asdict(self), "features": [*self.features.items()]}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Lookup":
        """From what ``record`` gave."""
        return cls(view=record["view"], layout=record["layout"], keys=tuple(record["keys"]), features=dict(record["features"]))

    @classmethod
    def declared(cls, view: View) -> "Lookup":
        """Of a declaration."""
        return cls(view=view.full_name, layout=view.layout, keys=tuple(sorted(view.keys)), features=dict(view.features))

    @property
    def packing(self) -> Layout:
        """How its rows are packed."""
        return Layout(name=self.layout, features=tuple(self.features.items()))


class Told(NamedTuple):
    """One view's answer for each entity: values by ``view__feature``, null where a row is not fresh; a status; since when it holds."""

    columns: dict[str, Sequence[Value]]
    status: Sequence[str]
    since: Sequence[int]

    def age(self, at: int) -> list[float | None]:
        """Seconds for which each row has held; None for an absent one."""
        return [None if status == "absent" else (at - since) / 1_000_000 for status, since in zip(self.status, self.since, strict=True)]


class Reader:
    """Reads the views of one model. Made once; several threads may share it."""

    def __init__(self, rows: PackedRows, *, project: str, lookups: Sequence[Lookup]) -> None:
        self._rows = rows
        self._lookups = lookups
        self._places = [Place(project=project, view=one.view, layout=one.layout) for one in lookups]
        self._unpack = Unpacking([one.packing for one in lookups])
        self._names = [[f"{one.view}__{name}" for name in one.features] for one in lookups]

    def read(self, keys: Sequence[Sequence[str]], *, at: int) -> list[Told]:
        """What holds at an instant (microseconds) of packed ``keys``, one list a view, all of one length."""
        found = self._unpack(self._rows.read([*zip(self._places, keys, strict=True)]))
        return [_told(rows, names, at) for rows, names in zip(found, self._names, strict=True)]

    def frame(self, entities: pl.DataFrame, *, at: datetime) -> pl.DataFrame:
        """``view__feature``, ``view__status`` and ``view__age`` (seconds) for each entity, in order. A null key is absent."""
        parts = [self._asked(one, entities) for one in self._lookups]
        told = self.read([keys for keys, _ in parts], at=(instant := microseconds(at)))
        framed = [_framed(one, kept, answer, at=instant) for one, (_, kept), answer in zip(self._lookups, parts, told, strict=True)]
        return pl.concat(framed, how="horizontal") if framed else pl.DataFrame()

    def _asked(self, lookup: Lookup, entities: pl.DataFrame) -> tuple[list[str], pl.Series]:
        """Packed keys, an empty one in place of a null one; and which are not null."""
        keys = entities.select(lookup.keys)
        kept = keys.select(pl.all_horizontal(pl.all().is_not_null())).to_series()
        names = iter(pack_keys(keys.filter(kept)))
        return [next(names) if known else "" for known in kept], kept


def opened(url: str, *, home: Path) -> PackedRows:
    """The store behind a setting: ``redis://host:port/db``, or the file of ``home`` when it is empty."""
    if url:
        from resources.feature_store.packed_redis import RedisRows

        return RedisRows(url)
    return SqliteRows(home / "online.db")


def microseconds(instant: datetime) -> int:
    """Unix time; Feast's naive instants are UTC."""
    return ((instant if instant.tzinfo else instant.replace(tzinfo=UTC)) - EPOCH) // MICROSECOND


def _told(rows: Unpacked, names: Sequence[str], at: int) -> Told:
    if rows.since and rows.fresh(at):
        return Told(dict(zip(names, rows.columns, strict=True)), ["fresh"] * len(rows.since), rows.since)
    status = [_status(*one, at) for one in zip(rows.since, rows.until, rows.flags, strict=True)]
    given = [one == "fresh" for one in status]
    return Told({name: rows.values(index, given=given) for index, name in enumerate(names)}, status, rows.since)


def _status(since: int, until: int, flags: bytes, at: int) -> str:
    if flags[:1] == GONE:
        return "absent"
    return "ahead" if at < since else "fresh" if at < until else "stale"


def _framed(lookup: Lookup, kept: pl.Series, told: Told, *, at: int) -> pl.DataFrame:
    types = {f"{lookup.view}__{name}": TYPES[dtype] for name, dtype in lookup.features.items()}
    columns = [pl.Series(name, told.columns[name], dtype=dtype) for name, dtype in types.items()]
    status, age = f"{lookup.view}__status", f"{lookup.view}__age"
    frame = pl.DataFrame([*columns, pl.Series(status, told.status, dtype=STATUS), pl.Series(age, told.age(at), dtype=pl.Float64)])
    if kept.all():
        return frame
    return frame.with_columns(pl.when(kept).then(pl.all())).with_columns(pl.col(status).fill_null("absent"))
