"""Dagster's SQLite storage, kept open while a replay uses it. Holder of Dagster privates, as ``daemon``; pinned by tests/upstream.

Dagster makes a new engine for every query and reads alembic's revisions whenever an instance is opened: a third of a replay's time.
"""

import contextlib
import unittest.mock
from collections import OrderedDict
from collections.abc import Generator
from typing import Any, Final

import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from sqlalchemy.event import listen

OPEN: Final = 16
"""Engines kept: the three indexes, and the event logs of the last runs, each a file of its own."""

BUSY_SECONDS: Final = 60.0


class Engines:
    """One engine a database file, the least recently used closed."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[sa.Engine, Any]] = OrderedDict()

    def engine(self, url: str, **_: object) -> sa.Engine:
        """The engine of ``url``; takes the place of ``create_engine`` in Dagster's storages, which dispose of theirs after each query."""
        if url not in self._kept:
            made = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS})
            listen(made, "connect", _commit_without_waiting)
            self._kept[url] = made, made.dispose
            vars(made)["dispose"] = lambda: None
        self._kept.move_to_end(url)
        if len(self._kept) > OPEN:
            self._kept.popitem(last=False)[1][1]()
        return self._kept[url][0]

    def close(self) -> None:
        """Close every file."""
        for _, dispose in self._kept.values():
            dispose()
        self._kept.clear()


def _commit_without_waiting(connection: Any, _: object) -> None:
    """With a write-ahead log a killed process loses nothing this way; a power cut may lose the last commits, never the database.

    Dagster turns that log on after it has made its tables: 48 waits for the disk at every run, whose events are a file of their own.
    """
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


@contextlib.contextmanager
def kept_open() -> Generator[None]:
    """Keep engines and revisions for as long as the context lasts."""
    engines, revisions, read = Engines(), dict[str | None, ScriptDirectory](), ScriptDirectory.from_config

    def once(config: Config) -> ScriptDirectory:
        place = config.get_main_option("script_location")
        if place not in revisions:
            revisions[place] = read(config)
        return revisions[place]

    with contextlib.ExitStack() as stack:
        stack.callback(engines.close)
        stack.enter_context(unittest.mock.patch.object(ScriptDirectory, "from_config", once))
        for module in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
            stack.enter_context(unittest.mock.patch.object(module, "create_engine", engines.engine))
        yield
