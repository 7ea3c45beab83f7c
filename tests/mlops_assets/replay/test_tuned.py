"""What Polars and LightGBM read once must be set before the replay loads them."""

import subprocess
import sys
from typing import Final

from mlops_assets.replay.__main__ import TUNED
from resources.settings import child_environment

PROBE: Final = """
import os, sys
from mlops_assets.replay import __main__ as replay
assert not {"polars", "lightgbm", "dagster"} & set(sys.modules)
try:
    replay.main(["--help"])
except SystemExit:
    assert "polars" in sys.modules
print(os.environ["_RJEM_MALLOC_CONF"], os.environ["GOMP_SPINCOUNT"], sep="\\n")
"""


def test_the_command_sets_its_process_up_before_it_loads_anything() -> None:
    shell = {name: value for name, value in child_environment().items() if name not in TUNED}  # Polars set its own in this process
    done = subprocess.run([sys.executable, "-c", PROBE], env=shell, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    malloc, spins = done.stdout.splitlines()[-2:]
    assert malloc.endswith(TUNED["_RJEM_MALLOC_CONF"])  # Polars puts its own defaults before what it finds
    assert spins == TUNED["GOMP_SPINCOUNT"]
