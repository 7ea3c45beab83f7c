"""`make check` is clean: linter, formatter and type checker."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("command", [["ruff", "check"], ["ruff", "format", "--check"], ["basedpyright"]], ids=" ".join)
def test_a_checker_has_nothing_to_say(command: list[str]) -> None:
    tool = Path(sys.executable).with_name(command[0])
    said = subprocess.run([tool, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert said.returncode == 0, said.stdout[-3000:]
