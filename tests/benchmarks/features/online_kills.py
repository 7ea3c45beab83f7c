"""A hundred kill -9 at random moments of a load and of a push, on each online store: `python -m tests.benchmarks.features online_kills`."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, get_args

from tests.benchmarks.features.figure import Figure
from tests.resources.feature_store.loads import How, Shops, kills
from tests.servers.redis import redis

KILLS: Final = 100


def figures() -> Iterator[Figure]:
    """How many kills were survived, and how many of them fell inside a write; a row lost or stale ends the run."""
    with redis() as server, tempfile.TemporaryDirectory() as name:
        for where, url in (("sqlite", ""), ("redis", server.url())):
            for how in get_args(How):
                folder = Path(name, where, how)
                folder.mkdir(parents=True)
                server.client().flushall()
                inside = kills(Shops(folder=folder, url=url, password=server.password), how, times=KILLS, seed=time.time_ns())
                yield Figure(name=f"{how}_kills.{where}", value=KILLS, unit="kills, nothing lost", goal=">=", bound=KILLS)
                yield Figure(name=f"{how}_kills.{where}.inside", value=inside, unit="kills")
