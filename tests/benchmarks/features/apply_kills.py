"""A hundred kill -9 at random moments of an apply, on each kind of registry: `python -m tests.benchmarks.features apply_kills`."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.benchmarks.features.figure import Figure
from tests.resources.feature_store.generations import Place, kills
from tests.servers.postgres import postgres

KILLS: Final = 100


def figures() -> Iterator[Figure]:
    """How many kills were survived, and how many of them hit an apply that was under way; a registry that is not whole ends the run."""
    with postgres() as server, tempfile.TemporaryDirectory() as folder:
        os.environ["PGPASSWORD"] = server.password
        places = {"sqlite": Place(folder=Path(folder, "a")), "postgres": Place(folder=Path(folder, "b"), url=server.database())}
        for name, place in places.items():
            place.folder.mkdir()
            inside = kills(place, times=KILLS, seed=time.time_ns())
            yield Figure(name=f"apply_kills.{name}", value=KILLS, unit="kills, nothing lost", goal=">=", bound=KILLS)
            yield Figure(name=f"apply_kills.{name}.inside_an_apply", value=inside, unit="kills")
