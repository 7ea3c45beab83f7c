"""One packed row a view and key in a SQLite file: our own byte layout, readable without Feast.

A row says from when it holds (``since``) and until when it can be trusted (``valid_until``, exclusive; null: until something newer comes).
A write never takes a key back to an earlier instant, nor at one instant to an older version of the lake table; rows of another ``layout``
(the view's spec changed) read as absent and are always replaced.
"""

import sqlite3
import struct
import threading
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from resources.feature_store.declarations import Dtype

BUSY_SECONDS: Final = 30
CHUNK: Final = 10_000
"""Keys a query: SQLite takes 32,766 parameters."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS packed (
    project TEXT NOT NULL, view TEXT NOT NULL, key BLOB NOT NULL,
    layout TEXT NOT NULL, since INTEGER NOT NULL, valid_until INTEGER, version INTEGER, row BLOB NOT NULL,
    PRIMARY KEY (project, view, key)
) WITHOUT ROWID, STRICT
"""
UPSERT: Final = """
INSERT INTO packed (project, view, key, layout, since, valid_until, version, row) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (project, view, key) DO UPDATE SET
    layout = excluded.layout, since = excluded.since, valid_until = excluded.valid_until,
    version = coalesce(excluded.version, packed.version), row = excluded.row
WHERE excluded.layout <> packed.layout
    OR excluded.since > packed.since
    OR (excluded.since = packed.since AND coalesce(excluded.version >= packed.version, TRUE))
"""

SELECT: Final = "SELECT key, since, valid_until, version, row FROM packed WHERE project = ? AND view = ? AND layout = ? AND key IN ({keys})"

SLOTS: Final[dict[Dtype, str]] = {"float64": "d", "int64": "q", "bool": "?", "string": "I"}
STRING: Final = 2
INT64: Final = 4
"""Feast's numbers for the types of a key."""

Value = str | int | float | bool | None
Key = str | int


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A stored row: microseconds of Unix time, the lake version it was read from (None: pushed through Feast), packed values."""

    key: bytes
    since: int
    valid_until: int | None
    version: int | None
    row: bytes


class Codec:
    """Values to bytes and back, exactly: a bit for each null, fixed slots, then the texts. NaN and infinities survive."""

    def __init__(self, dtypes: Sequence[Dtype]) -> None:
        self._texts = [dtype == "string" for dtype in dtypes]
        self._absent: list[Value] = [False if dtype == "bool" else 0 for dtype in dtypes]
        self._nulls = (len(dtypes) + 7) // 8
        self._slots = struct.Struct(f"<{self._nulls}s" + "".join(SLOTS[dtype] for dtype in dtypes))

    def pack(self, values: Sequence[Value]) -> bytes:
        """The bytes of one row."""
        nulls = sum(1 << place for place, value in enumerate(values) if value is None)
        texts = [str(value or "").encode() if text else b"" for value, text in zip(values, self._texts, strict=True)]
        filled = [
            len(encoded) if text else absent if value is None else value
            for value, text, encoded, absent in zip(values, self._texts, texts, self._absent, strict=True)
        ]
        return self._slots.pack(nulls.to_bytes(self._nulls, "little"), *filled) + b"".join(texts)

    def unpack(self, row: bytes) -> list[Value]:
        """The values of one row."""
        nulls, *values = self._slots.unpack_from(row)
        absent, place = int.from_bytes(nulls, "little"), self._slots.size
        for index, text in enumerate(self._texts):
            if text:
                start, place = place, place + values[index]
                values[index] = row[start:place].decode()
            if absent >> index & 1:
                values[index] = None
        return values


class Keys:
    """Key values to the bytes under which Feast looks a row up (its entity key, serialization 3)."""

    def __init__(self, names: Sequence[str]) -> None:
        self._order = sorted(range(len(names)), key=lambda place: names[place])
        encoded = [names[place].encode() for place in self._order]
        self._prefix = struct.pack("<I", len(encoded)) + b"".join(struct.pack("<II", STRING, len(name)) + name for name in encoded)

    def encode(self, values: Sequence[Key]) -> bytes:
        """The bytes of one key; values in the order of the names."""
        return self._prefix + b"".join(_key_value(values[place]) for place in self._order)


def _key_value(value: Key) -> bytes:
    if isinstance(value, str):
        data = value.encode()
        return struct.pack("<II", STRING, len(data)) + data
    return struct.pack("<IIq", INT64, 8, value)


class PackedFile:
    """The SQLite file, in WAL mode: readers never wait for the one writer. A connection a thread; ``close`` closes this thread's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()

    def write(self, project: str, view: str, layout: str, rows: Iterable[Packed]) -> int:
        """Write rows in one transaction, all or none; returns how many were new or newer."""
        given = ((project, view, row.key, layout, row.since, row.valid_until, row.version, row.row) for row in rows)
        with self._writing() as connection:
            return connection.executemany(UPSERT, given).rowcount

    def read(self, project: str, view: str, layout: str, keys: Sequence[bytes]) -> dict[bytes, Packed]:
        """The stored rows of these keys; a key that is absent, or of another layout, is missing."""
        found: dict[bytes, Packed] = {}
        for start in range(0, len(keys), CHUNK):
            some = keys[start : start + CHUNK]
            query = SELECT.format(keys=", ".join("?" * len(some)))
            for key, since, valid_until, version, row in self._connection().execute(query, (project, view, layout, *some)):
                found[key] = Packed(key=key, since=since, valid_until=valid_until, version=version, row=row)
        return found

    def drop(self, project: str, view: str) -> None:
        """Forget a view."""
        with self._writing() as connection:
            connection.execute("DELETE FROM packed WHERE project = ? AND view = ?", (project, view))

    def close(self) -> None:
        """Close this thread's connection; the next use opens another."""
        connection = self._local.__dict__.pop("connection", None)
        if connection is not None:
            connection.close()

    def _connection(self) -> sqlite3.Connection:
        if "connection" not in self._local.__dict__:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(SCHEMA)
            self._local.connection = connection
        return self._local.connection

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
