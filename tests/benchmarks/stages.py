"""`make demo` with a clock for each stage: `python -m tests.benchmarks.stages` in an empty MLOPS_HOME."""

import sys
import time
from collections import Counter

import dagster as dg

from mlops_assets.replay.__main__ import TUNED, main
from resources.settings import be_quiet

wall: Counter[str] = Counter()
cpu: Counter[str] = Counter()
started: dict[str, tuple[float, float]] = {}


def heard(entry: dg.EventLogEntry) -> None:
    """Count the seconds between the start and the end of a step for its stage; the instance's own stamps are data time."""
    event = entry.dagster_event
    if event is not None and event.step_key is not None:
        if event.is_step_start:
            started[event.step_key] = (time.perf_counter(), time.process_time())
        elif event.is_step_success or event.is_step_failure:
            began = started.pop(event.step_key)
            stage = event.step_key.partition("__")[0]
            wall[stage] += time.perf_counter() - began[0]  # pyright: ignore[reportArgumentType]  # a Counter counts seconds as well
            cpu[stage] += time.process_time() - began[1]  # pyright: ignore[reportArgumentType]  # a Counter counts seconds as well


def listen() -> None:
    """Hear every event of the replay's runs."""
    be_quiet(**TUNED)  # before the replay is loaded, and Polars with it
    from mlops_assets.replay.daemon import ToldLauncher

    tell = ToldLauncher._tell

    def both(self: ToldLauncher, entry: dg.EventLogEntry) -> None:
        heard(entry)
        tell(self, entry)

    ToldLauncher._tell = both


if __name__ == "__main__":
    listen()
    began = time.perf_counter()
    code = main([*sys.argv[1:]])
    rest = time.perf_counter() - began - sum(wall.values()), time.process_time() - sum(cpu.values())
    print(f"\n{'stage':<20}{'wall s':>8}{'cpu s':>8}")
    for name, seconds in wall.most_common():
        print(f"{name:<20}{seconds:8.1f}{cpu[name]:8.1f}")
    print(f"{'ticks, runs, rest':<20}{rest[0]:8.1f}{rest[1]:8.1f}")
    sys.exit(code)
