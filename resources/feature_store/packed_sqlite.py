"""Packed rows in a SQLite file: the embedded online store."""

import sqlite3
import threading
import time
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Final

import orjson

from resources.feature_store.packed import HEAD, NOT_READ, TICK_BITS, VERSION_BIT, PackedRows, Place

BUSY_SECONDS: Final = 30
PAUSE_SECONDS: Final = 0.01

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS packed (
    project TEXT NOT NULL, view TEXT NOT NULL, layout TEXT NOT NULL, key TEXT NOT NULL,
    since INTEGER NOT NULL, version INTEGER NOT NULL, row BLOB NOT NULL,
    PRIMARY KEY (project, view, layout, key)
) WITHOUT ROWID, STRICT
"""
AFTER: Final = f"(({{}}.since + {(1 << TICK_BITS) - 1}) >> {TICK_BITS}) > ({{}}.version & {(1 << VERSION_BIT) - 1})"
"""Whether one row begins after the instant for which another was read."""
UPSERT: Final = f"""
INSERT INTO packed (project, view, layout, key, since, version, row) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (project, view, layout, key) DO UPDATE SET
    since = excluded.since, row = excluded.row,
    version = iif(excluded.version = {NOT_READ} AND excluded.since = packed.since, packed.version, excluded.version)
WHERE CASE
    WHEN excluded.version = {NOT_READ} OR packed.version = {NOT_READ}
        OR (excluded.version >> {VERSION_BIT}) = (packed.version >> {VERSION_BIT})
    THEN excluded.since > packed.since
        OR (excluded.since = packed.since AND (excluded.version >= packed.version OR excluded.version = {NOT_READ}))
    WHEN excluded.version > packed.version THEN NOT {AFTER.format("packed", "excluded")}
    ELSE {AFTER.format("excluded", "packed")}
END
"""  # noqa: S608  nothing but this module's own numbers and names goes into it
"""The column ``version`` holds the reading."""

ONE_VIEW: Final = """
SELECT packed.row FROM json_each(?) AS asked
LEFT JOIN packed ON packed.project = ? AND packed.view = ? AND packed.layout = ? AND packed.key = asked.value
"""
"""SQLite goes through the left side of a left join in its order, so the rows come as they were asked for."""


@cache
def _query(views: int) -> str:
    return " UNION ALL ".join([ONE_VIEW] * views)


class SqliteRows(PackedRows):
    """The file, in WAL mode: readers never wait for the one writer. A connection a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()

    def write(self, place: Place, keys: Sequence[str], rows: Sequence[bytes]) -> int:
        """One transaction."""
        at = (place.project, place.view, place.layout)
        given = ((*at, key, *HEAD.unpack_from(row), row) for key, row in zip(keys, rows, strict=True))
        with self._writing() as connection:
            return connection.executemany(UPSERT, given).rowcount if keys else 0

    def read(self, asked: Sequence[tuple[Place, Sequence[str]]]) -> list[bytes | None]:
        """One query."""
        given = [one for place, keys in asked for one in (orjson.dumps(keys).decode(), place.project, place.view, place.layout)]
        return [*chain.from_iterable(self._connection().execute(_query(len(asked)), given))] if asked else []

    def keys(self, place: Place) -> Iterator[str]:
        """From the index."""
        where = "SELECT key FROM packed WHERE project = ? AND view = ? AND layout = ?"
        yield from (key for (key,) in self._connection().execute(where, (place.project, place.view, place.layout)))

    def layouts(self, project: str, view: str) -> set[str]:
        """From the index."""
        found = self._connection().execute("SELECT DISTINCT layout FROM packed WHERE project = ? AND view = ?", (project, view))
        return {layout for (layout,) in found}

    def forget(self, project: str, view: str, *, keep: Collection[str] = ()) -> None:
        """One transaction."""
        kept = "DELETE FROM packed WHERE project = ? AND view = ? AND layout NOT IN (SELECT value FROM json_each(?))"
        with self._writing() as connection:
            connection.execute(kept, (project, view, orjson.dumps(list(keep)).decode()))

    def close(self) -> None:
        """Close this thread's connection."""
        connection = self._local.__dict__.pop("connection", None)
        if connection is not None:
            connection.close()

    def _connection(self) -> sqlite3.Connection:
        if "connection" not in self._local.__dict__:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
            _prepare(connection)
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


def _prepare(connection: sqlite3.Connection) -> None:
    """WAL and the table. Who opens a new file while another turns it to WAL is refused at once, whatever its timeout: it asks again."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; {SCHEMA}")
        except sqlite3.OperationalError as problem:
            if problem.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_SECONDS)
        else:
            return
