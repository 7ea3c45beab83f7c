"""Processes that begin at one moment: what goes wrong between two of a kind shows here or nowhere."""

import subprocess
from collections.abc import Sequence


def raced(commands: Sequence[Sequence[str]], *, seconds: float = 60) -> list[str]:
    """What each process says, in order. Each prints ``ready`` and goes on at a line of its input; none may end with an error."""
    runners = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for command in commands]
    for runner in runners:
        assert runner.stdout is not None
        assert runner.stdout.readline() == "ready\n"
    for runner in runners:
        assert runner.stdin is not None
        runner.stdin.write("go\n")
        runner.stdin.flush()
    said = [runner.communicate(timeout=seconds)[0].strip() for runner in runners]
    assert [runner.returncode for runner in runners] == [0] * len(runners)
    return said
