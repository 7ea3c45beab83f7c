"""What tracking costs a fit: `python -m tests.benchmarks.tracking`. Three stores: a file, a real server, a server that is dead.

The same fit runs in a process of its own, silent and with 10,000 points said: CPU seconds are the difference, once with mlflow imported
before, once by it; seconds are what the tracked fit takes longer than the silent one. Medians of three.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Final

from resources.settings import be_quiet
from tests.benchmarks.features.figure import Figure
from tests.ports.runs import remote

POINTS: Final = 10_000
TIMES: Final = 3
FIT: Final = """
import pathlib, sys, time
import lightgbm, numpy
from resources.tracking.resource import Tracking

uri, artifacts, spool, said, warm, left = sys.argv[1:]
tracking = Tracking(uri=uri, artifacts=artifacts, spool=spool)
rows = numpy.random.default_rng(0).random((20_000, 20))
if warm == "warm":
    with tracking.run("warm", experiment="benchmark"):
        pass


def fit(log):
    data = lightgbm.Dataset(rows, rows.sum(axis=1))
    lightgbm.train({"verbose": -1, "num_threads": 1}, data, 60)
    for point in range(int(said)):
        log("loss", 1 / (point + 1), step=point)


began, cpu = time.perf_counter(), time.process_time()
if int(said):
    with tracking.run(spool, experiment="benchmark") as run:
        fit(run.metric)
else:
    fit(None)
wall = time.perf_counter() - began
while int(left) < len([*pathlib.Path(spool).glob("*.jsonl")]):  # what a fit does not wait for on a busy machine is counted all the same
    tracking.deliver()
    time.sleep(0.1)
print(wall, time.process_time() - cpu)
"""


def fitted(where: list[str], *, said: int, warm: bool, left: int = 0) -> tuple[float, float]:
    """Median wall seconds of a fit, and CPU seconds until all but ``left`` runs have been delivered."""
    found: list[tuple[float, float]] = []
    for _ in range(TIMES):
        with tempfile.TemporaryDirectory() as spool:
            command = [sys.executable, "-c", FIT, *where, spool, str(said), "warm" if warm else "cold", str(left)]
            wall, cpu = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            found.append((float(wall), float(cpu)))
    return median(one for one, _ in found), median(one for _, one in found)


def figures(folder: Path) -> Iterator[Figure]:
    """All of them, measured against one silent fit."""
    wall, cpu = fitted(["sqlite:///", ""], said=0, warm=False)
    embedded = [f"sqlite:///{folder}/mlflow.db", str(folder / "artifacts")]
    with remote(folder) as world:
        for name, where in (("embedded", embedded), ("remote", [world.server.url, ""])):
            warm, cold = (fitted(where, said=POINTS, warm=one)[1] - cpu for one in (True, False))
            yield Figure(name=f"tracking_{name}", value=warm, unit=f"s CPU for {POINTS:,} points", goal="<=", bound=2)
            yield Figure(name=f"tracking_{name}_first", value=cold, unit="s CPU, mlflow imported for it")
        world.server.kill()
        dead = fitted([world.server.url, ""], said=POINTS, warm=False, left=1)[0] - wall
        yield Figure(name="tracking_dead", value=dead, unit="s longer than the silent fit", goal="<=", bound=5)


if __name__ == "__main__":
    be_quiet()
    with tempfile.TemporaryDirectory() as place:
        for figure in figures(Path(place)):
            print(figure.line(), flush=True)
