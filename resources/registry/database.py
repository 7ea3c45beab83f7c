"""The database under the ledger: its two tables, the guards that keep one append-only, and one writer at a time. SQLite or Postgres."""

import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from resources.errors import PlatformError

LOCK_WAIT_SECONDS: Final = 30
_META: Final = sa.MetaData()
ENTRIES: Final = sa.Table(
    "ledger",
    _META,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("subject", sa.Text, nullable=False, index=True),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("kind", "payload", "at", "data_at")),
    sa.Column("activate_at", sa.Text),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("prev", sa.Text, unique=True),
    sa.Column("hash", sa.Text, nullable=False, unique=True),
)
OBSERVATIONS: Final = sa.Table(
    "observations",
    _META,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("at", "worker", "subject", "what", "payload")),
)
_ALONE: Final[Mapping[str, str]] = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "SELECT pg_advisory_xact_lock(7064001)"}
"""One writer at a time from its first read to its commit, because the chain runs over all subjects."""

_GUARDS: Final = (
    ("sqlite", "CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"),
    ("sqlite", "CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"),
    (
        "postgresql",
        """CREATE OR REPLACE FUNCTION ledger_append_only() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$""",
    ),
    (
        "postgresql",
        "CREATE TRIGGER ledger_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger EXECUTE FUNCTION ledger_append_only()",
    ),
)
for _dialect, _guard in _GUARDS:
    event.listen(ENTRIES, "after_create", sa.DDL(_guard).execute_if(dialect=_dialect))


class LedgerUnavailable(PlatformError):
    """The database behind the ledger did not answer or refused to write."""

    def __init__(self, *, url: str, why: str) -> None:
        super().__init__(
            f"ledger {url}: {why}. Nothing was written. Mend the database (disk space, permissions, reachability) and run again."
        )


class Database:
    """A ledger's engine, kept for the life of the process. Opening does nothing; whoever uses it first makes the tables."""

    def __init__(self, url: str) -> None:
        sqlite = url.startswith("sqlite")
        self.engine = sa.create_engine(url, pool_pre_ping=not sqlite, connect_args={"timeout": LOCK_WAIT_SECONDS} if sqlite else {})
        self._making = threading.Lock()
        self._made = False

    @contextmanager
    def reading(self) -> Generator[sa.Connection]:
        """A connection that sees every commit."""
        with self._door():
            self._make()
            with self.engine.connect() as connection:
                yield connection

    @contextmanager
    def writing(self) -> Generator[sa.Connection]:
        """A connection that nobody else writes beside, committed at the end."""
        with self._door():
            self._make()
            with self._alone() as connection:
                yield connection

    @contextmanager
    def _alone(self) -> Generator[sa.Connection]:
        with self.engine.connect() as connection:
            connection.exec_driver_sql(_ALONE[self.engine.dialect.name])
            yield connection
            connection.commit()

    def _make(self) -> None:
        """Create tables and guards once, under the writers' lock."""
        with self._making:
            if not self._made:
                if self.engine.dialect.name == "sqlite":
                    Path(self.engine.url.database or "").parent.mkdir(parents=True, exist_ok=True)
                with self._alone() as connection:
                    _META.create_all(connection)
                self._made = True

    @contextmanager
    def _door(self) -> Generator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError) as problem:
            cause = problem.orig if isinstance(problem, DBAPIError) else problem
            raise LedgerUnavailable(url=self.engine.url.render_as_string(hide_password=True), why=str(cause).strip()) from problem
