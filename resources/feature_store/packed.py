"""One packed row a view and key in a SQLite file: our own layout, JSON arrays, readable without Feast.

A row says from when it holds (``since``) and until when it can be trusted (``valid_until``, exclusive; null: until something newer comes).
A write never takes a key back to an earlier instant, nor at one instant to an older version of the lake table; rows of another ``layout``
(the view's spec changed) read as absent and are always replaced.
"""

import json
import sqlite3
import threading
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BUSY_SECONDS: Final = 30
CHUNK: Final = 10_000
"""Keys a query: SQLite takes 32,766 parameters."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS online (
    project TEXT NOT NULL, view TEXT NOT NULL, key TEXT NOT NULL,
    layout TEXT NOT NULL, since INTEGER NOT NULL, valid_until INTEGER, version INTEGER, row TEXT NOT NULL,
    PRIMARY KEY (project, view, key)
) WITHOUT ROWID, STRICT
"""
UPSERT: Final = """
INSERT INTO online (project, view, key, layout, since, valid_until, version, row) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (project, view, key) DO UPDATE SET
    layout = excluded.layout, since = excluded.since, valid_until = excluded.valid_until,
    version = coalesce(excluded.version, online.version), row = excluded.row
WHERE excluded.layout <> online.layout
    OR excluded.since > online.since
    OR (excluded.since = online.since AND coalesce(excluded.version >= online.version, TRUE))
"""
SELECT: Final = "SELECT key, since, valid_until, version, row FROM online WHERE project = ? AND view = ? AND layout = ? AND key IN ({keys})"

Value = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A stored row: microseconds of Unix time, the lake version it was read from (None: pushed through Feast), packed key and values."""

    key: str
    since: int
    valid_until: int | None
    version: int | None
    row: str


def pack(values: Sequence[Value]) -> str:
    """Values as a JSON array, exactly: NaN and infinities survive, floats keep every bit."""
    return json.dumps(values, separators=(",", ":"))


def unpack(row: str) -> list[Value]:
    """The values of one row."""
    return json.loads(row)


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

    def read(self, project: str, view: str, layout: str, keys: Sequence[str]) -> dict[str, Packed]:
        """The stored rows of these keys; a key that is absent, or of another layout, is missing."""
        found: dict[str, Packed] = {}
        for start in range(0, len(keys), CHUNK):
            some = keys[start : start + CHUNK]
            query = SELECT.format(keys=", ".join("?" * len(some)))
            for key, since, valid_until, version, row in self._connection().execute(query, (project, view, layout, *some)):
                found[key] = Packed(key=key, since=since, valid_until=valid_until, version=version, row=row)
        return found

    def drop(self, project: str, view: str) -> None:
        """Forget a view."""
        with self._writing() as connection:
            connection.execute("DELETE FROM online WHERE project = ? AND view = ?", (project, view))

    def close(self) -> None:
        """Close this thread's connection; the next use opens another."""
        connection = self._local.__dict__.pop("connection", None)
        if connection is not None:
            connection.close()

    def _connection(self) -> sqlite3.Connection:
        if "connection" not in self._local.__dict__:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
            connection.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; {SCHEMA}")
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
