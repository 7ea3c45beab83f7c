"""What the replay shows on a terminal while a run holds its output: each asset as it is made."""

import os
import pty
import subprocess
import sys
from pathlib import Path

from mlops_assets.replay.progress import CLEAR
from tests.journeys.tiny import Kiosk, replay_arguments

FIRST = "2020-01"


def test_a_terminal_shows_each_asset_with_its_rows_while_the_month_runs(tmp_path: Path) -> None:
    kiosk = Kiosk(tmp_path)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mlops_assets.replay", *replay_arguments(FIRST)]
    with subprocess.Popen(command, env=kiosk.environ(), cwd=kiosk.source, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        said = b"".join(iter(lambda: _read(ours), b"")).decode()
    os.close(ours)
    assert process.returncode == 0, said
    shown = [line for line in said.split(CLEAR) if "table/kiosk/orders" in line]
    assert len(shown) == 1
    assert shown[0].startswith(FIRST)
    assert "rows" in shown[0]


def _read(terminal: int) -> bytes:
    """What was written; nothing when the other side has closed it, which Linux calls an error."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""
