"""A replay that was killed, at known points and at any time, goes on with the same command and ends like one that was not.

The killed one ran in another folder, time zone and hash seed and on one core, and none of that shows.
"""

import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from resources.serving.endpoint import STOPPED
from tests.journeys.conftest import table
from tests.journeys.killed import POINTS
from tests.journeys.tiny import LAST, Kiosk, cut_off, digests, ledger, made, mlflow, replay_arguments, rows, runs

KILLED = -signal.SIGKILL
LATER = "2020-03"
SERVICE = "deployment/kiosk/service"


def succeeded(found: Counter[tuple[str, str, str]]) -> dict[tuple[str, str], int]:
    """How often each work was done; a deployment follows each set of live versions, and kills decide which sets there are."""
    return {(what, month): count for (status, what, month), count in found.items() if status == "SUCCESS" and what != SERVICE}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Kiosk, str]:
    """A home that was replayed in one go, and what the command said."""
    one = Kiosk(tmp_path_factory.mktemp("undisturbed"), TZ="UTC", PYTHONHASHSEED="0", POLARS_MAX_THREADS="2", OMP_NUM_THREADS="2")
    done = one.replay(until=LATER)
    assert done.returncode == 0, done.stderr
    return one, table(done.stdout)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Kiosk, str]:
    """A home whose replay was killed at every point, then in the next month at times drawn by lot, and what the last command said.

    In a path with blanks and accents, another time zone and hash seed, and on one core: nothing of that may show.
    """
    one = Kiosk(
        tmp_path_factory.mktemp("killed") / "a löng påth",
        TZ="Asia/Kathmandu",
        PYTHONHASHSEED="1",
        POLARS_MAX_THREADS="1",
        OMP_NUM_THREADS="1",
    )
    for point in POINTS:
        done = one.run(str(Path(__file__).with_name("killed.py")), point, *replay_arguments(LAST))
        assert done.returncode == KILLED, f"{point}: {done.returncode} {done.stderr}"
    lot = random.Random(12)  # noqa: S311  no secret
    for _ in range(3):
        with one.start("-m", "mlops_assets.replay", *replay_arguments(LATER)) as process:
            time.sleep(lot.uniform(2, 7))
            process.kill()
    done = one.replay(until=LATER)
    assert done.returncode == 0, done.stderr
    return one, table(done.stdout)


def test_kills_at_every_stage_leave_the_table_and_the_lake_as_they_would_have_been(
    killed: tuple[Kiosk, str], undisturbed: tuple[Kiosk, str]
) -> None:
    assert killed[1].split("\n\n")[0] == undisturbed[1].split("\n\n")[0]
    assert rows(killed[0]) == rows(undisturbed[0])
    assert digests(killed[0]) == digests(undisturbed[0])


def test_kills_double_no_ledger_entry_and_leave_the_chain_whole(killed: tuple[Kiosk, str], undisturbed: tuple[Kiosk, str]) -> None:
    assert ledger(killed[0]) == ledger(undisturbed[0])


def test_kills_leave_one_finished_mlflow_run_a_content_and_no_version_twice(
    killed: tuple[Kiosk, str], undisturbed: tuple[Kiosk, str]
) -> None:
    assert mlflow(killed[0]) == mlflow(undisturbed[0])


def test_kills_double_no_run_and_make_again_only_what_the_killed_step_made(
    killed: tuple[Kiosk, str], undisturbed: tuple[Kiosk, str]
) -> None:
    there, here = runs(killed[0]), runs(undisturbed[0])
    assert {status for status, *_ in there} == {"SUCCESS", "FAILURE"}
    assert succeeded(there) == succeeded(here)
    again = made(killed[0]) - made(undisturbed[0])
    assert set(made(killed[0])) == set(made(undisturbed[0]))
    assert {work for work in again if work[0] != SERVICE} <= cut_off(killed[0])  # a service is made for each set of live versions


def test_kills_leave_no_process_and_no_half_written_file(killed: tuple[Kiosk, str], undisturbed: tuple[Kiosk, str]) -> None:
    for one, _ in (killed, undisturbed):
        assert one.processes() == []
        assert [path.name for path in (one.home / "serving").glob("*.json")] == [STOPPED]
        assert list((one.home / "releases" / ".unfinished").glob("*")) == []
