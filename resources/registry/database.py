"""The database under the ledger: its two tables, the guards that keep one append-only, and one writer at a time. SQLite or Postgres."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from resources.errors import PlatformError

LOCK_WAIT_SECONDS: Final = 30
_ADVISORY_LOCK: Final = 7_064_001
"""Postgres: one writer at a time, because the chain runs over all subjects."""

_META: Final = sa.MetaData()
ENTRIES: Final = sa.Table(
    "ledger",
    _META,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("subject", sa.Text, nullable=False, index=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("data_at", sa.Text, nullable=False),
    sa.Column("activate_at", sa.Text),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("prev", sa.Text, unique=True),
    sa.Column("hash", sa.Text, nullable=False, unique=True),
)
OBSERVATIONS: Final = sa.Table(
    "observations",
    _META,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("worker", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False, index=True),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
)
_GUARDS: Final[Mapping[str, tuple[str, ...]]] = {
    "sqlite": tuple(
        f"CREATE TRIGGER IF NOT EXISTS ledger_no_{verb.lower()} BEFORE {verb} ON ledger "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        for verb in ("UPDATE", "DELETE")
    ),
    "postgresql": (
        (
            "CREATE OR REPLACE FUNCTION ledger_append_only() RETURNS trigger LANGUAGE plpgsql "
            "AS $$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$"
        ),
        "CREATE OR REPLACE TRIGGER ledger_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger EXECUTE FUNCTION ledger_append_only()",
    ),
}


class LedgerUnavailable(PlatformError):
    """The database behind the ledger did not answer or refused to write."""

    def __init__(self, *, url: str, why: str) -> None:
        super().__init__(
            f"ledger {url}: {why}. Nothing was written. Mend the database (disk space, permissions, reachability) and run again."
        )


class Database:
    """A ledger's engine, kept for the life of the process. Opening does nothing; whoever uses it first makes the tables."""

    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(url, pool_pre_ping=not url.startswith("sqlite"), **_options(url))
        self._ready = threading.Event()
        self._making = threading.Lock()
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _pragmas)

    @contextmanager
    def _door(self) -> Generator[None]:
        try:
            yield
        except SQLAlchemyError as problem:
            cause = problem.orig if isinstance(problem, DBAPIError) else problem
            raise LedgerUnavailable(url=self.engine.url.render_as_string(hide_password=True), why=str(cause).strip()) from problem

    @contextmanager
    def reading(self) -> Generator[sa.Connection]:
        """A connection that sees every commit."""
        with self._door():
            self._make()
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                yield connection

    @contextmanager
    def writing(self) -> Generator[sa.Connection]:
        """A connection that nobody else writes beside, committed at the end."""
        with self._door():
            self._make()
            with _transaction(self.engine) as connection:
                yield connection

    def _make(self) -> None:
        """Create tables and guards once, under the writers' lock."""
        if self._ready.is_set():
            return
        with self._making:
            if self.engine.dialect.name == "sqlite":
                _sqlite_file(self.engine)
            if not _complete(self.engine):
                with _transaction(self.engine) as connection:
                    _META.create_all(connection)
                    for guard in _GUARDS[self.engine.dialect.name]:
                        connection.exec_driver_sql(guard)
            self._ready.set()


def _options(url: str) -> dict[str, Any]:
    return {"connect_args": {"timeout": LOCK_WAIT_SECONDS}} if url.startswith("sqlite") else {}


def _pragmas(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous=FULL")


def _sqlite_file(engine: sa.Engine) -> None:
    """Make the folder and switch the file to WAL; several processes may try at once, and SQLite does not wait for that switch."""
    database = engine.url.database
    if not database or database == ":memory:":
        raise LedgerUnavailable(url=str(engine.url), why="it has to be a file with an absolute path: several processes share it")
    try:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise LedgerUnavailable(url=str(engine.url), why=str(problem)) from problem
    deadline = time.monotonic() + LOCK_WAIT_SECONDS
    while True:
        try:
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        except OperationalError as problem:
            if "locked" not in str(problem) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _complete(engine: sa.Engine) -> bool:
    """Whether tables are there; they and their guards come in one transaction."""
    return sa.inspect(engine).has_table(OBSERVATIONS.name)


@contextmanager
def _transaction(engine: sa.Engine) -> Generator[sa.Connection]:
    """One writer at a time, from the first read to the commit."""
    if engine.dialect.name != "sqlite":
        with engine.begin() as connection:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
            yield connection
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql("COMMIT")
