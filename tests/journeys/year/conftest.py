"""One home that the demo's command replayed to April, for all tests of this folder; they run in one process."""

from pathlib import Path

import pytest

from tests.journeys.conftest import MONTHS, replay


@pytest.fixture(scope="session")
def year(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home that was replayed to April, and what the command said; copy it before a test writes into it."""
    home = tmp_path_factory.mktemp("year") / "home"
    done = replay(home, "--until", MONTHS[-1])
    assert done.returncode == 0, done.stderr
    return home, done.stdout
