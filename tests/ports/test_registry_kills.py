"""Processes that are killed while they register, gate, approve, promote, roll back and follow lose nothing and leave nothing half done."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.resources.registry.dying import Scene, kills
from tests.servers.postgres import Postgres, postgres

KILLS = 6


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.mark.parametrize("where", ["sqlite", "postgres"])
def test_kills_at_random_moments_leave_the_ledger_whole_and_mlflow_right_after_one_tick(
    tmp_path: Path, server: Postgres, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", server.password)
    url = server.database() if where == "postgres" else f"sqlite:///{tmp_path}/ledger.db"
    found = kills(Scene(tmp_path, url, server.password), times=KILLS, seed=time.time_ns())
    assert (found.kills, found.half_promoted, found.lost, found.alias_wrong) == (KILLS, 0, 0, 0)
    assert found.entries > 0
