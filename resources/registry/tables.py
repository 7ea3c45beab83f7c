"""The ledger's tables and their guards, and how one writer at a time gets at them. Works on SQLite and Postgres; knows no facts."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa
from sqlalchemy import event

META: Final = sa.MetaData()
ENTRIES: Final = sa.Table(
    "ledger",
    META,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("subject", sa.Text, nullable=False, index=True),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("kind", "payload", "at", "data_at")),
    sa.Column("activate_at", sa.Text),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("prev", sa.Text, unique=True),
    sa.Column("hash", sa.Text, nullable=False, unique=True),
    sa.Index("ledger_turns", "kind", "subject", "seq", "activate_at", "at"),
)
"""The index holds all that is asked to find when each life began, so that a row is read only when it matters."""

HEADS: Final = sa.Table(
    "heads",
    META,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key_id", sa.Text, primary_key=True),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("hash", "signature")),
)
OBSERVATIONS: Final = sa.Table(
    "observations",
    META,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("at", "worker", "subject", "what", "payload")),
)
_ALONE: Final[Mapping[str, str]] = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "SELECT pg_advisory_xact_lock(7064001)"}
"""One writer at a time from its first read to its commit, because the chain runs over all subjects."""

_AT_ONCE: Final[Mapping[str, str]] = {"sqlite": "BEGIN", "postgresql": "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"}
"""All reads of one moment: an append between two of them would look like a torn head."""

_SAYS: Final = "'the ledger is append-only'"
for _table in (ENTRIES, HEADS):
    for _dialect, _guard in (
        ("sqlite", f"CREATE TRIGGER {_table.name}_no_update BEFORE UPDATE ON {_table.name} BEGIN SELECT RAISE(ABORT, {_SAYS}); END"),
        ("sqlite", f"CREATE TRIGGER {_table.name}_no_delete BEFORE DELETE ON {_table.name} BEGIN SELECT RAISE(ABORT, {_SAYS}); END"),
        (
            "postgresql",
            f"CREATE OR REPLACE FUNCTION ledger_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION {_SAYS}; END $$",
        ),
        (
            "postgresql",
            f"CREATE TRIGGER {_table.name}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {_table.name} EXECUTE FUNCTION ledger_guard()",
        ),
    ):
        event.listen(_table, "after_create", sa.DDL(_guard).execute_if(dialect=_dialect))


@contextmanager
def at_once(engine: sa.Engine) -> Generator[sa.Connection]:
    """A connection that sees every commit until now and none after, and keeps no writer waiting longer than it is open."""
    with engine.connect() as connection:
        connection.exec_driver_sql(_AT_ONCE[engine.dialect.name])
        yield connection


@contextmanager
def alone(engine: sa.Engine) -> Generator[sa.Connection]:
    """A connection that nobody else writes beside, committed at the end."""
    with engine.connect() as connection:
        connection.exec_driver_sql(_ALONE[engine.dialect.name])
        yield connection
        connection.commit()
