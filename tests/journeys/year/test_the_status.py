"""What `status` says after the demo, and that what it says to do works in this checkout."""

import shutil
import subprocess
import sys
from pathlib import Path

from resources.settings import child_environment
from tests.docs.pages import ROOT
from tests.journeys.conftest import world


def test_after_the_demo_nothing_is_red_and_the_printed_command_starts_the_service(year: tuple[Path, str], tmp_path: Path) -> None:
    home = shutil.copytree(year[0], tmp_path / "home")
    environment = child_environment(MLOPS_HOME=str(home), PATH=f"{Path(sys.executable).parent}:/usr/bin:/bin")

    def typed(line: str) -> str:
        done = subprocess.run(["/bin/sh", "-ec", line], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = typed("python -m mlops_assets.operate status")
    assert "\nservice: stopped since 20" in said
    assert said.endswith("red\n  nothing\n")
    command = said.partition("-> ")[2].splitlines()[0]
    assert command == f"DAGSTER_HOME={home}/dagster python -m dagster job execute -m mlops_assets.definitions -j deploy_flights"
    try:
        typed(command)
        said = typed("python -m mlops_assets.operate status")
    finally:
        world(home).serving.stop()
    assert "\nservice: answers at http://127.0.0.1:" in said
    assert [line.split()[:3] for line in said.splitlines() if line.startswith(("air_time", "flight_delay"))] == [
        ["air_time", "2", "2"],
        ["flight_delay", "2", "2"],
    ]
    assert said.endswith("red\n  nothing\n")
