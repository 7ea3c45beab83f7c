"""The UIs of `make ui` on a replayed home."""

import shutil
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import psutil

from mlops_assets import ui
from resources.settings import child_environment


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that run."""
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_all_uis_answer_on_a_replayed_home_and_end_without_a_child(year: tuple[Path, str], tmp_path: Path, ports: str) -> None:
    home = shutil.copytree(year[0], tmp_path / "home")
    environment = child_environment(MLOPS_HOME=str(home), MLOPS_UI_PORTS=ports)
    with subprocess.Popen([sys.executable, "-m", "mlops_assets.ui"], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline() for _ in range(6)]
            assert lines[-1] == "Ctrl-C stops them\n"
            answers = {port: urlopen(f"http://{ui.HOST}:{port}/", timeout=60).status for port in ports.split(",")}
            children = psutil.Process(process.pid).children(recursive=True)
        finally:
            process.terminate()
        assert process.wait(60) == 0
    assert set(answers.values()) == {200}
    until = time.monotonic() + 30
    while alive(children) and time.monotonic() < until:
        time.sleep(0.2)
    assert alive(children) == []
