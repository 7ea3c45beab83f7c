"""What a training set costs against the join written by hand and Feast's other stores, and as it grows. Each way in its own process."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from resource import RLIMIT_DATA, setrlimit
from signal import SIGKILL
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from hypothesis import HealthCheck, given, settings

from tests.benchmarks.features.figure import Figure
from tests.benchmarks.features.tables import flights, synthetic
from tests.benchmarks.features.ways import Took
from tests.ports.scenes import Scene, scenes
from tests.ports.test_offline_store import agrees

CAP_SECONDS: Final = 300
DASK_SECONDS: Final = 60
MEMORY_GB: Final = 12
TIMES: Final = 5
SMALL: Final = 3_000_000
LARGE: Final = 30_000_000


def figures() -> Iterator[Figure]:
    """Every figure of the offline side; a difference in values between two ways, or from the loop over all rows, is an error."""
    yield from _correct()
    with TemporaryDirectory() as name:
        flights(Path(name))
        yield from _flights(Path(name))
    yield from _growth()


def _correct() -> Iterator[Figure]:
    compared = 0

    @settings(max_examples=1000, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(scene=scenes())
    def compare(scene: Scene) -> None:
        nonlocal compared
        agrees(scene)
        compared += 1

    compare()
    yield Figure(name="random_tables_equal", value=compared, unit="tables", goal=">=", bound=1000)


def _flights(folder: Path) -> Iterator[Figure]:
    pairs = [(_took("by_hand", folder), _took("ours", folder)) for _ in range(TIMES)]
    hand, ours = pairs[0]
    _demand_equal([hand, ours])
    wall = median(one.wall for _, one in pairs)
    yield Figure(name="offline_rows", value=ours.rows, unit="rows of 26 features in 4 views")
    yield Figure(name="offline_wall", value=wall, unit="s")
    yield Figure(name="offline_to_hand", value=wall / median(one.wall for one, _ in pairs), unit="x time", goal="<=", bound=1.2)
    peaks = [median(one.peak for one in column) for column in zip(*pairs, strict=True)]
    yield Figure(name="offline_to_hand_peak", value=peaks[1] / peaks[0], unit="x memory", goal="<=", bound=1.5)
    duckdb = _took("duckdb", folder)
    _demand_equal([hand, duckdb])
    yield Figure(name="duckdb_to_offline", value=duckdb.wall / wall, unit="x time", goal=">=", bound=30)
    yield Figure(name="duckdb_peak", value=duckdb.peak / 1024, unit="GB")
    try:
        yield Figure(name="dask", value=_took("dask", folder, seconds=DASK_SECONDS).rows, unit=f"of {ours.rows} rows returned")
    except subprocess.TimeoutExpired:
        yield Figure(name="dask_did_not_finish", value=DASK_SECONDS, unit="s, then killed")
    except subprocess.CalledProcessError as error:
        if error.returncode != -SIGKILL and "MemoryError" not in error.stderr:
            raise SystemExit(error.stderr) from error
        yield Figure(name="dask_did_not_finish", value=MEMORY_GB, unit="GB, then out of memory")


def _growth() -> Iterator[Figure]:
    took: list[Took] = []
    for size in (SMALL, LARGE):
        with TemporaryDirectory() as name:
            synthetic(Path(name), size)
            took.append(_took("streamed", Path(name)))
    small, large = took
    yield Figure(name="offline_3m_wall", value=small.wall, unit="s, to files")
    yield Figure(name="offline_30m_wall", value=large.wall, unit="s, to files")
    yield Figure(
        name="offline_30m_to_3m", value=(large.cpu / large.rows) / (small.cpu / small.rows), unit="x CPU a row", goal="<=", bound=1.3
    )
    yield Figure(
        name="offline_30m_to_3m_wall",
        value=(large.wall / large.rows) / (small.wall / small.rows),
        unit="x time a row",
        goal="<=",
        bound=1.3,
    )
    yield Figure(name="offline_30m_peak", value=large.peak / 1024, unit="GB", goal="<=", bound=6)


def _took(way: str, folder: Path, *, seconds: int = CAP_SECONDS) -> Took:
    command = [sys.executable, "-m", "tests.benchmarks.features.ways", way, str(folder)]
    bound = partial(setrlimit, RLIMIT_DATA, (MEMORY_GB << 30, MEMORY_GB << 30))  # dask takes the whole machine
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds, preexec_fn=bound).stdout
    return Took(**json.loads(said.splitlines()[-1]))


def _demand_equal(results: Sequence[Took]) -> None:
    told = {(one.rows, one.digest) for one in results}
    if len(told) != 1:
        raise SystemExit(f"the ways disagree: {told}. The figures compare nothing. Run tests/ports/test_offline_store.py.")
