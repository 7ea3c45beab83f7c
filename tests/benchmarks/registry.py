"""A thousand kills of people who act on the ledger at once; how soon the service answers what was promoted or rolled back to; the drill.

`python -m tests.benchmarks.registry [KILLS] [sqlite|postgres]`; a thousand kills take an hour on two busy cores.
`python -m tests.benchmarks.registry drill [SECONDS]`. One line a figure at the end.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Final

import sqlalchemy as sa

from resources.registry import acts
from resources.registry.acts import By
from resources.registry.identity import digest
from resources.registry.tables import ENTRIES
from resources.serving.controller import Serving
from resources.serving.worker import Follower
from tests.benchmarks.lineage import facts
from tests.resources.registry import drill
from tests.resources.registry.dying import Found, Scene, kills
from tests.resources.serving.tiny import Tiny
from tests.servers.postgres import postgres

KILLS: Final = 1000
TIMES: Final = 10
DRILL_SECONDS: Final = 60.0
ENTRIES_FOLLOWED: Final = 10_000
LOOKS: Final = 500


def killed(folder: Path, times: int, database: str) -> Found:
    """The kills: a killed holder of SQLite's lock, a file, or of Postgres's, a session, must leave it free."""
    if database == "postgres":
        with postgres() as running:
            os.environ["PGPASSWORD"] = running.password
            return counted(Scene(folder, running.database(), running.password), times)
    return counted(Scene(folder, f"sqlite:///{folder}/ledger.db"), times)


def counted(scene: Scene, times: int) -> Found:
    """What was left after the kills."""
    began = time.monotonic()
    found = kills(scene, times=times, seed=7)
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


def followed(folder: Path) -> tuple[float, float]:
    """CPU seconds that a worker takes to verify a ledger of 10,000 entries at its start, and CPU milliseconds of each look after that."""
    tiny = Tiny(folder)
    sys.path.insert(0, str(tiny.source))
    tiny.ledger.seq()
    with sa.create_engine(tiny.ledger.url).begin() as connection:
        connection.execute(ENTRIES.insert(), [*islice(facts(lambda model, version: digest([model, version])), ENTRIES_FOLLOWED)])
    tiny.ledger.sign()
    tiny.release(1.0)
    one = Follower(routes=[tiny.route()], ledger=tiny.ledger, releases=tiny.releases, worker="bench")
    began = time.process_time()
    one.step(datetime.now(UTC))
    start, began = time.process_time() - began, time.process_time()
    for _ in range(LOOKS):
        one.step(datetime.now(UTC))
    return start, 1000 * (time.process_time() - began) / LOOKS


def _seconds(serving: Serving, act: Callable[[], object], version: int) -> float:
    began = time.monotonic()
    act()
    while serving.predict("tiny", [{"x": 1.0, "k": "a", "n": 1}])["version"] != version:
        time.sleep(0.005)
    return time.monotonic() - began


def main(times: int, database: str) -> None:
    """Measure, then the figures."""
    with tempfile.TemporaryDirectory() as name:
        start, look = followed(Path(name))
    with tempfile.TemporaryDirectory() as name:
        spent = answered(Path(name))
    with tempfile.TemporaryDirectory() as name:
        found = killed(Path(name), times, database)
    print(f"figure worker_verifies = {start:.2f} s CPU for {ENTRIES_FOLLOWED:,} entries, at its start")
    print(f"figure worker_looks = {look:.2f} ms CPU, ten times a second")
    for what, seconds in spent.items():
        print(f"figure {what}_answers = {median(seconds):.2f} s (goal <= 1)")
        print(f"figure {what}_answers_slowest = {max(seconds):.2f} s (goal <= 1)")
    print(f"figure kills.{database} = {found.kills} kills (goal >= 1000)")
    for what in ("half_promoted", "lost", "alias_wrong"):
        print(f"figure {what}.{database} = {getattr(found, what)} of {found.kills} kills (goal <= 0)")


def drilled(seconds: float) -> None:
    """A stock MLflow client does its worst under load, then the figures."""
    with tempfile.TemporaryDirectory() as name:
        sys.path.insert(0, str(Path(name) / "source"))
        one = drill.scene(Path(name))
        with drill.served(one) as url:
            found = drill.drill(one, url, seconds=seconds)
    print(f"{found.tricks} tricks, {found.flips} changes of what is live, {sum(map(len, found.repairs.values()))} repairs reported")
    print(f"figure drill_answers = {found.answers:,} answers")
    print(f"figure drill_failed = {len(found.failed)} answers (goal <= 0)")
    print(f"figure drill_not_live = {found.not_live} answers (goal <= 0)")
    print(f"figure drill_behind = {found.behind} answers, while workers had to hear of a rollback")
    print(f"figure drill_behind_slowest = {found.slowest:.2f} s (goal <= 1)")
    print(f"figure drill_alias_wrong = {len(found.alias_wrong)} of {found.tricks} tricks (goal <= 0)")


if __name__ == "__main__":
    if sys.argv[1:2] == ["drill"]:
        drilled(float(sys.argv[2]) if sys.argv[2:] else DRILL_SECONDS)
    else:
        counts = [int(one) for one in sys.argv[1:] if one.isdecimal()]
        main(counts[0] if counts else KILLS, "postgres" if "postgres" in sys.argv[1:] else "sqlite")
