"""What the journeys share: the demo's command on a folder, and what it leaves there."""

import subprocess
import sys
from pathlib import Path

from resources.profiles import Resources, embedded
from resources.settings import Settings, child_environment

MONTHS = ("2013-01", "2013-02", "2013-03", "2013-04")


def replay(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The demo's command on a folder."""
    command, said = [sys.executable, "-m", "mlops_assets.replay", *arguments], child_environment(MLOPS_HOME=str(home), **environment)
    return subprocess.run(command, env=said, capture_output=True, text=True, check=False, timeout=800)


def table(said: str) -> str:
    """The closing print, from the table's header on."""
    return said[said.index("month    labelled") :]


def world(home: Path) -> Resources:
    """The resources of the replayed home."""
    return embedded(Settings(home=home), "flights")
