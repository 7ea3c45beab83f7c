"""A process that is killed while it loads or pushes online rows loses nothing and serves nothing stale as fresh, on each store."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.resources.feature_store.loads import How, Shops, kills
from tests.servers.redis import Redis, redis

KILLS = 4


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    with redis() as running:
        yield running


@pytest.mark.parametrize("how", ["materialize", "push"])
@pytest.mark.parametrize("where", ["sqlite", "redis"])
def test_kills_at_random_moments_lose_nothing(tmp_path: Path, server: Redis, where: str, how: How, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", server.password)
    server.client().flushall()
    shops = Shops(folder=tmp_path, url=server.url() if where == "redis" else "", password=server.password)
    kills(shops, how, times=KILLS, seed=time.time_ns())
