"""A thousand kills of people who act on the ledger at once; and how soon the service answers what was promoted or rolled back to.

Run it with `python -m tests.benchmarks.registry [KILLS]`; a thousand kills take an hour on two busy cores. One line a figure at the end.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Final

from resources.registry import acts
from resources.registry.acts import By
from resources.serving.controller import Serving
from tests.resources.registry.dying import Found, Scene, kills
from tests.resources.serving.tiny import Tiny

KILLS: Final = 1000
TIMES: Final = 10


def killed(folder: Path, times: int) -> Found:
    """The kills, on SQLite: its lock is a file, and a killed holder must leave it free."""
    began = time.monotonic()
    found = kills(Scene(folder, f"sqlite:///{folder}/ledger.db"), times=times, seed=7)
    print(
        f"{found.kills} kills in {time.monotonic() - began:.0f} s, {found.entries} entries in the ledger; {sum(found.inside.values())} fell"
    )
    print("inside an act: " + ", ".join(f"{act} {count}" for act, count in found.inside.most_common()))
    return found


def answered(folder: Path) -> dict[str, list[float]]:
    """Seconds from the call of an act to the first answer with the version that it made live, by a real service."""
    tiny = Tiny(folder)
    sys.path.insert(0, str(tiny.source))
    serving = Serving(home=str(folder / "serving"), ledger_url=tiny.ledger.url, releases_root=str(tiny.releases.root))
    tiny.release(1.0)
    serving.ensure([tiny.route()], "tinyco")
    spent: dict[str, list[float]] = {"promotion": [], "rollback": []}
    desk, by = tiny.registry.desk(), By(actor="bench", data_at=tiny.ledger.entries()[0].data_at, why="measured")
    try:
        for number in range(2, TIMES + 2):
            made = tiny.store({"weights": {"x": float(number)}})
            entry = tiny.registry.register("tiny", made, mlflow_run_id="none", actor="bench", data_at=by.data_at)
            version = int(entry.version or 0)
            spent["promotion"].append(_seconds(serving, lambda: acts.promote(desk, "tiny", version, by), version))  # noqa: B023  called at once
            spent["rollback"].append(_seconds(serving, lambda: acts.roll_back(desk, "tiny", by, to=1), 1))
            acts.lift(desk, "tiny", by)
    finally:
        serving.stop()
    return spent


def _seconds(serving: Serving, act: Callable[[], object], version: int) -> float:
    began = time.monotonic()
    act()
    while serving.predict("tiny", [{"x": 1.0, "k": "a", "n": 1}])["version"] != version:
        time.sleep(0.005)
    return time.monotonic() - began


def main(times: int) -> None:
    """Measure, then the figures."""
    with tempfile.TemporaryDirectory() as name:
        spent = answered(Path(name))
    with tempfile.TemporaryDirectory() as name:
        found = killed(Path(name), times)
    for what, seconds in spent.items():
        print(f"figure {what}_answers = {median(seconds):.2f} s (goal <= 1)")
        print(f"figure {what}_answers_slowest = {max(seconds):.2f} s (goal <= 1)")
    print(f"figure kills = {found.kills} kills (goal >= 1000)")
    for what in ("half_promoted", "lost", "alias_wrong"):
        print(f"figure {what} = {getattr(found, what)} of {found.kills} kills (goal <= 0)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else KILLS)
