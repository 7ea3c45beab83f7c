"""`make demo` against the same work as one plain script (`tests.benchmarks.floor`), one after the other on this machine.

Run it with `python -m tests.benchmarks.lifecycle`; it takes about ten minutes and closes with one line a figure.
"""

import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from resources.settings import child_environment

LOOK_SECONDS: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a command took: seconds, CPU seconds of it and its children, most memory of the whole tree in GB."""

    wall: float
    cpu: float
    peak: float


def measured(module: str, *arguments: str, **environment: str) -> Cost:
    """Run ``python -m module`` to its end; its output is shown."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], env=child_environment(**environment))
    peaks = [0.0]
    watch = threading.Thread(target=_watch, args=(process, peaks))
    watch.start()
    code = process.wait()
    watch.join()
    if code:
        raise SystemExit(f"{module} ended with {code}, so there is nothing to compare.")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall=time.perf_counter() - began, cpu=cpu, peak=peaks[0])


def _watch(process: "subprocess.Popen[bytes]", peaks: list[float]) -> None:
    while process.poll() is None:
        peaks[0] = max(peaks[0], _resident(process.pid))
        time.sleep(LOOK_SECONDS)


def _resident(pid: int) -> float:
    """Memory of a process and its children, in GB; what ends while we look counts as nothing."""
    found = 0
    try:
        for one in (parent := psutil.Process(pid), *parent.children(recursive=True)):
            found += one.memory_info().rss
    except psutil.NoSuchProcess:
        return 0.0
    return found / 2**30


def main() -> None:
    """Both, then the figures."""
    with tempfile.TemporaryDirectory() as folder:
        floor = measured("tests.benchmarks.floor", str(_made(Path(folder, "floor"))))
        demo = measured("tests.benchmarks.stages", MLOPS_HOME=str(Path(folder, "demo")))
    print(f"\n{'':<12}{'wall s':>8}{'cpu s':>8}{'peak GB':>9}   on {os.cpu_count()} cores")
    for name, cost in (("script", floor), ("make demo", demo)):
        print(f"{name:<12}{cost.wall:8.0f}{cost.cpu:8.0f}{cost.peak:9.2f}")
    print(f"figure demo_wall = {demo.wall:.0f} s (goal <= 300)")
    print(f"figure demo_peak = {demo.peak:.2f} GB (goal <= 3)")
    print(f"figure demo_to_script = {demo.cpu / floor.cpu:.2f} x CPU (goal <= 2)")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
