"""The first quarter again, in another time zone, with another hash seed and another number of threads: nothing of that shows."""

from pathlib import Path
from typing import Final

from tests.journeys.conftest import MONTHS, replay, world

ELSEWHERE: Final = {"OMP_NUM_THREADS": "3", "POLARS_MAX_THREADS": "3", "TZ": "Australia/Lord_Howe", "PYTHONHASHSEED": "4242"}
CUTOFF: Final = MONTHS[2]
STAGES: Final = ("table", "quarantine", "feature", "training_set", "evaluation")


def digests(home: Path) -> dict[str, dict[str, str]]:
    """Content of each table up to the cut-off, by address and month."""
    lake, root = world(home).lake, home / "lake"
    addresses = sorted(str(log.parent.relative_to(root)) for stage in STAGES for log in (root / stage).rglob("_delta_log"))
    return {one: {month: said for month, said in lake.digests(one).items() if month <= CUTOFF} for one in addresses}


def first_versions(home: Path) -> dict[str, str | None]:
    """Content hash of version 1 of each model."""
    return {
        one.subject: one.content_hash for one in world(home).registry.ledger().entries() if one.kind == "registered" and one.version == 1
    }


def test_the_same_command_elsewhere_writes_equal_tables_and_releases_models_of_equal_hash(year: tuple[Path, str], tmp_path: Path) -> None:
    elsewhere = tmp_path / "home"
    done = replay(elsewhere, "--until", CUTOFF, **ELSEWHERE)
    assert done.returncode == 0, done.stderr
    assert first_versions(elsewhere) == first_versions(year[0])
    assert set(first_versions(elsewhere)) == {"flight_delay", "air_time"}
    assert digests(elsewhere) == digests(year[0])
