"""Dagster's storages in a replay: the same data, fewer openings."""

from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from dagster._core.storage.runs.sqlite import sqlite_run_storage

from mlops_assets.replay.storage import OPEN, Engines, kept_open


@pytest.fixture
def engines() -> Engines:
    return Engines()


def test_one_database_file_has_one_engine(engines: Engines, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    assert engines.engine(url, poolclass=sa.NullPool) is engines.engine(url)
    assert engines.engine(f"sqlite:///{tmp_path / 'b.db'}") is not engines.engine(url)


def test_disposing_of_an_engine_leaves_its_connection_open_until_all_are_closed(engines: Engines, tmp_path: Path) -> None:
    engine = engines.engine(f"sqlite:///{tmp_path / 'a.db'}")
    with engine.connect() as connection:
        connection.execute(sa.text("select 1"))
    engine.dispose()
    assert isinstance(engine.pool, sa.QueuePool)
    assert engine.pool.checkedin() == 1
    engines.close()
    assert isinstance(engine.pool, sa.QueuePool)
    assert engine.pool.checkedin() == 0


def test_the_least_recently_used_engine_makes_room(engines: Engines, tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path / str(number)}.db" for number in range(OPEN + 1)]
    first = engines.engine(urls[0])
    for url in urls[1:]:
        engines.engine(url)
    assert engines.engine(urls[-1]) is engines.engine(urls[-1])
    assert engines.engine(urls[0]) is not first


def test_an_instance_that_was_used_meanwhile_reads_the_same_afterwards(tmp_path: Path) -> None:
    before = vars(sqlite_run_storage)["create_engine"], ScriptDirectory.from_config
    with kept_open(), dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        made = dg.materialize([dg.asset(name="one")(lambda: 1)], instance=instance)
    assert (vars(sqlite_run_storage)["create_engine"], ScriptDirectory.from_config) == before
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        assert instance.get_run_by_id(made.run_id) is not None
        assert instance.get_latest_materialization_event(dg.AssetKey("one")) is not None
    assert not list(tmp_path.rglob("*.db-wal"))
