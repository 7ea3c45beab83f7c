"""Two people who register, gate, approve, promote and roll back at once, and die of ``kill -9`` at any moment; what must hold."""

import multiprocessing
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from resources.errors import PlatformError
from resources.registry import acts
from resources.registry.acts import By, Signed
from resources.registry.mirror import follow, wanted
from resources.registry.mirrored import Shown, shown
from resources.registry.resource import Registry
from resources.registry.states import BEGINS_LIVE, Entry, live_at, states
from resources.security import tokens
from resources.tracking.resource import Tracking
from tests.resources.registry.records import WHOLE

APRIL: Final = datetime(2013, 4, 1, 4, tzinfo=UTC)
PRELOADED: Final = ("tests.resources.registry.dying", "mlflow", "sqlalchemy", "cryptography", "jwt", "filelock")
ACTS: Final = ("register", "gate", "approve", "promote", "roll back", "lift", "follow")
ROUNDS_A_MODEL: Final = 25
"""A model whose history grew for ever would make each later round longer."""


@dataclass(frozen=True)
class Scene:
    """One ledger, one release store, one MLflow, and a folder of journals."""

    folder: Path
    url: str
    password: str = ""

    @property
    def registry(self) -> Registry:
        return Registry(ledger_url=self.url, releases_root=str(self.folder / "releases"))

    @property
    def tracking(self) -> Tracking:
        return Tracking(uri=f"sqlite:///{self.folder}/mlflow.db", artifacts=str(self.folder / "artifacts"))


@dataclass
class Found:
    """What was counted; all but ``kills`` and ``inside`` have to stay 0."""

    kills: int = 0
    inside: Counter[str] = field(default_factory=Counter[str])
    half_promoted: int = 0
    lost: int = 0
    alias_wrong: int = 0
    entries: int = 0


def life(scene: Scene, model: str, who: str, seed: int) -> None:
    """Act until killed; what is begun and what has returned goes to the journal."""
    os.environ["PGPASSWORD"] = scene.password  # the fork server has the environment of whoever started it first
    lot, desk, journal = random.Random(seed), scene.registry.desk(), os.open(scene.folder / f"{who}.log", os.O_WRONLY | os.O_CREAT)  # noqa: S311  moments, no secrets
    token = Signed(token=tokens.issue(desk.people, person=who, valid=timedelta(days=1)))
    client, number = scene.tracking.client(), 0
    del client  # opened before the first act: opening takes longer than any of them
    while True:
        number += 1
        for act in (*ACTS[:4], *lot.sample(ACTS[1:], k=3)):
            os.write(journal, f"begin {act}\n".encode())
            try:
                entry = _done(scene, desk, act, model, who, token, name=f"{who} {seed} {number}")
            except PlatformError:  # the other was faster, or nothing to do: told by name, and that is right
                entry = None
            os.write(journal, f"end {entry.hash if entry else '-'}\n".encode())


def _done(scene: Scene, desk: acts.Desk, act: str, model: str, who: str, token: Signed, *, name: str) -> Entry | None:
    by = By(actor=who, data_at=APRIL, why="a test")
    known = desk.ledger.entries(model)
    version = max((entry.version or 0 for entry in known if entry.kind == "registered"), default=0)
    if act == "register":
        made = desk.releases.write(model, {"weight": name}, WHOLE, {"entry": "acme:predict"})
        facts = {"level": "confidential"}
        return scene.registry.register(model, made, mlflow_run_id="none", actor="trainer", data_at=APRIL, facts=facts)
    if act == "follow":
        follow(desk.ledger, scene.tracking, model=model)
        return None
    about = {"content_hash": known[-1].content_hash, "version": known[-1].version, "gate": [name]}
    does: dict[str, Callable[[], Entry]] = {
        "gate": lambda: desk.ledger.append(model, "gated", about, expect_head=known[-1].hash, actor=who, data_at=APRIL),
        "approve": lambda: acts.approve(desk, model, version, by, token),
        "promote": lambda: acts.promote(desk, model, version, by),
        "roll back": lambda: acts.roll_back(desk, model, by),
        "lift": lambda: acts.lift(desk, model, by),
    }
    return does[act]()


def kills(scene: Scene, *, times: int, seed: int) -> Found:
    """Kill ``times`` acting processes, two at a time at moments of their own; after each pair everything is looked at."""
    lot, found, context = random.Random(seed), Found(), multiprocessing.get_context("forkserver")  # noqa: S311  moments, no secrets
    context.set_forkserver_preload([*PRELOADED])
    scene.tracking.client()  # the store's schema, once
    while found.kills < times:
        model = f"churn_{found.kills // (2 * ROUNDS_A_MODEL)}"
        who = [f"{name}-{found.kills}" for name in ("ada", "bo")]
        two = [context.Process(target=life, args=(scene, model, one, seed + found.kills), daemon=True) for one in who]
        for process in two:
            process.start()
        for one in who:
            _await(scene.folder / f"{one}.log", "begin " if found.kills else "end ")  # so that a few kills never find an empty ledger
        for process in lot.sample(two, k=2):
            time.sleep(lot.uniform(0, 0.5))
            process.kill()
            process.join()
            process.close()
        found.kills += 2
        look(scene, model, [scene.folder / f"{one}.log" for one in who], found)
    scene.registry.ledger()._engine.dispose()
    return found


def look(scene: Scene, model: str, journals: list[Path], found: Found) -> None:
    """Count what is not as it has to be; a chain that does not hold is raised."""
    desk, tracking = scene.registry.desk(), scene.tracking
    found.entries = desk.ledger.verify()
    entries, hashes = desk.ledger.entries(model), {entry.hash for entry in desk.ledger.entries()}
    for journal in journals:
        lines = journal.read_text().splitlines()
        found.lost += sum(line.removeprefix("end ") not in {*hashes, "-"} for line in lines if line.startswith("end "))
        found.inside.update([lines[-1].removeprefix("begin ")] if lines[-1].startswith("begin ") else [])
        journal.unlink()
    found.half_promoted += half_promoted(desk, entries)
    tick(desk, tracking, model)
    found.alias_wrong += alias_wrong(tracking, model, entries)


def tick(desk: acts.Desk, tracking: Tracking, model: str) -> list[str]:
    """The sensor's look, and the run that it asks for; what was put right."""
    entries, there = desk.ledger.entries(model), (shown(tracking.uri) or {}).get(model, Shown())
    return follow(desk.ledger, tracking, model=model) if entries and there.followed != wanted(entries, datetime.now(UTC)) else []


def half_promoted(desk: acts.Desk, entries: tuple[Entry, ...]) -> int:
    """Lives that began without all that a life needs, and a state in which more than one version lives, or another than the fold says."""
    wrong, now = 0, states(entries)
    live = live_at(entries, datetime.now(UTC))
    if [name for name, state in now.items() if state == "live"] != ([live.content_hash] if live else []):
        wrong += 1
    for place, entry in enumerate(entries):
        if entry.kind not in BEGINS_LIVE:
            continue
        before = {one.kind for one in entries[:place] if one.content_hash == entry.content_hash}
        wrong += not {"registered", "approved"} <= before
    for entry in [one for one in entries if one.kind in BEGINS_LIVE][-1:]:
        desk.releases.of(entry)  # signed, whole and readable, or an error of its own
    return wrong


def alias_wrong(tracking: Tracking, model: str, entries: tuple[Entry, ...]) -> int:
    """Whether a stock client sees another live version than the ledger."""
    if not any(entry.kind == "registered" for entry in entries):
        return 0
    client: Any = tracking.client()
    live, aliases = live_at(entries, datetime.now(UTC)), client.get_registered_model(model).aliases
    if live is None or "production" not in aliases:
        return int((live is None) != ("production" not in aliases))
    return int(client.get_model_version(model, str(aliases["production"])).tags["content_hash"] != live.content_hash)


def _await(journal: Path, line: str) -> None:
    deadline = time.monotonic() + 120
    while not journal.exists() or line not in journal.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.005)
