"""One writer of the feature registry at a time, and all that it writes in one step.

Feast writes each object in a transaction of its own and takes no lock. Here the writes of an apply join one transaction: a reader finds
the registry as it was before or as it is after, a kill leaves it as it was. The second writer waits at a lock that dies with its holder's
connection: SQLite's write lock, in Postgres an advisory lock, so that writers on several machines keep out of each other's way.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from resources.feature_store.refusals import RegistryBusy

if TYPE_CHECKING:
    from feast.infra.registry.base_registry import BaseRegistry
    from sqlalchemy import Connection, Engine

WAIT_SECONDS: Final = 120
ADVISORY: Final = int.from_bytes(b"feast")
"""The number of the advisory lock: one a database, because Feast keeps all projects of a database in the same tables."""

LOCK: Final[Mapping[str, tuple[str, ...]]] = {
    "sqlite": (f"PRAGMA busy_timeout = {WAIT_SECONDS * 1000}", "BEGIN IMMEDIATE"),
    "postgresql": (
        f"SET LOCAL lock_timeout = '{WAIT_SECONDS}s'",
        f"SET LOCAL idle_in_transaction_session_timeout = '{WAIT_SECONDS}s'",  # a holder whose machine is gone, unknown to the server
        f"SELECT pg_advisory_xact_lock({ADVISORY})",
    ),
}
"""What makes a transaction the only writer, by dialect."""


@contextmanager
def only_writer(registry: "BaseRegistry") -> Generator[None]:
    """Everything that ``registry`` writes inside is written at the end, all or nothing, by the only writer there is.

    Raises:
        RegistryBusy: another writer kept the lock for two minutes.
    """
    sql: Any = registry
    engine, cache_mode = sql.write_engine, sql.cache_mode
    with _locked(engine) as connection:
        sql.write_engine = sql.read_engine = _Joined(connection)
        sql.cache_mode = "held"  # in mode sync Feast reads the whole registry again after each object
        try:
            yield
        finally:
            sql.write_engine, sql.read_engine, sql.cache_mode = engine, engine, cache_mode
    sql.refresh()


def create(said: Mapping[str, Any]) -> None:
    """Make the tables of the registry that ``feature_store.yaml`` will name, unless they are there.

    Raises:
        RegistryBusy: another writer kept the lock for two minutes.
    """
    from feast.infra.registry.sql import metadata
    from sqlalchemy import create_engine

    engine = create_engine(said["path"], **said["sqlalchemy_config_kwargs"])
    try:
        with _locked(engine) as connection:
            metadata.create_all(connection)
    finally:
        engine.dispose()


@contextmanager
def _locked(engine: "Engine") -> Generator["Connection"]:
    from sqlalchemy.exc import OperationalError

    with engine.begin() as connection:
        *settings, lock = LOCK[engine.dialect.name]
        for setting in settings:
            connection.exec_driver_sql(setting)
        try:
            connection.exec_driver_sql(lock)
        except OperationalError as error:
            raise RegistryBusy(url=engine.url.render_as_string(), seconds=WAIT_SECONDS) from error
        yield connection


class _Joined:
    """An engine whose transactions are all part of one that somebody else ends."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    @contextmanager
    def begin(self) -> Generator["Connection"]:
        yield self._connection
