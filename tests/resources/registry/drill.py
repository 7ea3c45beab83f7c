"""A stock MLflow client with edit rights and somebody with the disk do what they like while a service is asked: what must hold.

Several workers answer over a real MLflow store; versions go live and are rolled back by our acts meanwhile, and after each thing that the
client did, one look of the reconciliation is all that MLflow gets.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from resources.registry import acts
from resources.registry.acts import By
from resources.registry.mirror import FOLLOWED, HASH_TAG, SET, STATE_TAG, follow
from resources.registry.releases import ReleaseChanged
from resources.registry.states import BEGINS_LIVE, Entry, live_at
from resources.serving.controller import Serving
from resources.settings import child_environment
from resources.tracking.resource import Tracking
from tests.resources.registry.dying import tick
from tests.resources.serving.clients import Answer, Clients
from tests.resources.serving.tiny import Tiny
from tests.servers.ports import free_port

MODEL: Final = "tiny"
EXAMPLE: Final = {"x": 2.0, "k": "b", "n": 1}
WORKERS: Final = 3
CLIENTS: Final = 4
LEAD: Final = timedelta(seconds=0.7)
"""How long before its instant a promotion is written: workers look every 0.1 s and load meanwhile."""

MOST_BEHIND: Final = timedelta(seconds=1)
"""How long the version before may answer after a rollback, which counts at once and which workers have to hear of first."""

INSTANT: Final = timedelta(microseconds=1)
START_SECONDS: Final = 60


@dataclass
class Found:
    """What was counted; ``failed``, ``not_live`` and ``alias_wrong`` have to stay 0."""

    answers: int = 0
    failed: list[str] = field(default_factory=list[str])
    not_live: int = 0
    behind: int = 0
    slowest: float = 0.0
    flips: int = 0
    tricks: int = 0
    repairs: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    alias_wrong: list[str] = field(default_factory=list[str])
    refusals: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class Scene:
    """A model with versions in ledger, release store and MLflow; ``client`` is what anybody may install."""

    folder: Path
    tiny: Tiny
    tracking: Tracking
    client: Any

    def release(self) -> int:
        """A further version, with a run of its own whose artifact is what MLflow would load."""
        place = self.folder / "artifacts" / str(time.monotonic_ns())
        run = self.client.create_run(self.client.create_experiment(place.name, place.as_uri())).info.run_id
        self.client.log_text(run, "weights", "model/weights.json")
        made, now = self.tiny.store({"weights": {"x": float(time.monotonic_ns())}}), datetime.now(UTC)
        return int(self.tiny.registry.register(MODEL, made, mlflow_run_id=run, actor="trainer", data_at=now).version or 0)

    def by(self) -> By:
        return By(actor="ana", data_at=datetime.now(UTC), why="a drill")

    def entries(self) -> tuple[Entry, ...]:
        return self.tiny.ledger.entries(MODEL)

    def release_file(self, version: int) -> Path:
        entry = next(one for one in self.entries() if one.kind == "registered" and one.version == version)
        return self.tiny.releases.path(MODEL, str(entry.content_hash)) / "weights.json"


def scene(folder: Path) -> Scene:
    """Two versions that went live one after the other, and MLflow following."""
    from mlflow import MlflowClient

    tiny = Tiny(folder)
    tracking = Tracking(uri=f"sqlite:///{folder}/mlflow.db", artifacts=str(folder / "artifacts"))
    tracking.client()
    one = Scene(folder, tiny, tracking, MlflowClient(tracking.uri))
    for _ in range(2):
        acts.promote(tiny.registry.desk(), MODEL, one.release(), one.by())
    follow(tiny.ledger, tracking, model=MODEL)
    return one


@contextmanager
def served(one: Scene, *, workers: int = WORKERS) -> Generator[str]:
    """``bentoml serve`` with several workers, from the Bento that the platform made; its URL."""
    tiny, home = one.tiny, one.folder / "serving"
    serving = Serving(home=str(home), ledger_url=tiny.ledger.url, releases_root=str(tiny.releases.root))
    serving.ensure([tiny.route()], tiny.package)
    serving.stop()
    settings = one.folder / "bentoml.yaml"
    settings.write_text(f"services: {{{tiny.package}: {{workers: {workers}}}}}\n")
    port, own = free_port(), {"BENTOML_HOME": str(home / "bento"), "BENTOML_CONFIG": str(settings), "BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-P", "-m", "bentoml", "serve", f"{tiny.package}:latest", "--host", "127.0.0.1", "--port", str(port)]
    with (one.folder / "serve.log").open("ab") as log:
        process = subprocess.Popen(command, env=child_environment(**own), cwd=one.folder, stdout=log, stderr=log)
        try:
            _until(lambda: len(_ready(one, process.pid)) == workers)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=30)


def _ready(one: Scene, supervisor: int) -> set[str]:
    """The workers of a supervisor that have said that a version answers."""
    said = [each["worker"] for each in one.tiny.ledger.observations() if each["what"] == "live"]
    return {worker for worker in said if _parent(int(worker.split("/")[1])) == supervisor}


def _parent(pid: int) -> int | None:
    import psutil

    try:
        return psutil.Process(pid).ppid()
    except psutil.NoSuchProcess:
        return None


def _until(found: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def tricks(one: Scene) -> Iterator[tuple[str, Callable[[], object]]]:
    """What the client does to a model in MLflow, one thing after the other."""
    client, model = one.client, MODEL

    def live() -> str:
        return str(client.get_model_version_by_alias(model, "production").version)

    def other() -> str:
        return next(str(each.version) for each in client.search_model_versions(f"name = '{model}'") if str(each.version) != live())

    def tagged(version: str) -> str:
        return str(client.get_model_version(model, version).tags[HASH_TAG])

    def hide_a_move() -> None:
        to = other()
        client.set_registered_model_alias(model, "production", to)
        client.set_registered_model_tag(model, f"{SET}production", to)

    yield "moves the alias", lambda: client.set_registered_model_alias(model, "production", other())
    yield "takes the alias away", lambda: client.delete_registered_model_alias(model, "production")
    yield "deletes the live version", lambda: client.delete_model_version(model, live())
    yield "says another state of it", lambda: client.set_model_version_tag(model, live(), STATE_TAG, "retired")
    yield "says another content of it", lambda: client.set_model_version_tag(model, live(), HASH_TAG, "f" * 64)
    yield "says of another version that it is the live one", lambda: client.set_model_version_tag(model, other(), HASH_TAG, tagged(live()))
    yield "takes our tags away", lambda: client.delete_registered_model_tag(model, FOLLOWED)
    yield "moves the alias and says that we did", hide_a_move
    yield "flips a byte of every artifact", lambda: flip_all(one.folder / "artifacts")
    yield "deletes the run", lambda: client.delete_run(client.get_model_version(model, live()).run_id)
    yield "renames the model", lambda: client.rename_registered_model(model, f"{model} {time.monotonic_ns()}")
    yield "deletes the model", lambda: client.delete_registered_model(model)


def flip(file: Path) -> None:
    """One bit of one byte; whoever owns a disk need not ask for permission."""
    os.chmod(file, 0o644)  # noqa: PTH101  a release is read-only
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)


def flip_all(folder: Path) -> None:
    """One bit of every model that MLflow would load."""
    files = [*folder.rglob("weights.json")]
    assert files
    for file in files:
        flip(file)


def drill(one: Scene, url: str, *, seconds: float) -> Found:
    """Ask all the time; meanwhile do every trick again and again, one look of ours after each, and let versions go live and back."""
    found, desk, end = Found(), one.tiny.registry.desk(), time.monotonic() + seconds
    with Clients(lambda: url, [EXAMPLE], model=MODEL, count=CLIENTS, pause=0.002) as clients:
        while time.monotonic() < end:
            for what, does in tricks(one):
                _turn(one, desk, found)
                tick(desk, one.tracking, MODEL)
                found.alias_wrong += [] if right(one) else [f"before it {what}"]
                does()
                found.tricks += 1
                found.repairs.setdefault(what, []).extend(tick(desk, one.tracking, MODEL))
                found.alias_wrong += [] if right(one) else [what]
        found.refusals = _changed_store(one, desk)
    found.failed, found.answers = clients.failed, len(clients.answers)
    found.not_live, found.behind, found.slowest = judged(one.entries(), clients.answers)
    return found


def _changed_store(one: Scene, desk: acts.Desk) -> list[str]:
    """Flip a byte of the live release, of the one before and of one that is to go live; what those acts say that would need them."""
    live = live_at(one.entries(), datetime.now(UTC))
    assert live is not None
    version, new = int(live.version or 0), one.release()
    for each in (version, version - 1, new):
        flip(one.release_file(each))
    said = [
        refused(lambda: acts.roll_back(desk, MODEL, one.by(), to=version - 1)),
        refused(lambda: acts.promote(desk, MODEL, new, one.by())),
    ]
    time.sleep(LEAD.total_seconds())
    return said


def right(one: Scene) -> bool:
    """Whether the alias names the live version: not by tags, which anybody may edit, but by its run or source, which nobody can."""
    number = one.client.get_registered_model(MODEL).aliases.get("production")
    if number is None:
        return False
    entries, found = one.entries(), one.client.get_model_version(MODEL, number)
    live = live_at(entries, datetime.now(UTC))
    registered = next(each for each in entries if live and each.kind == "registered" and each.content_hash == live.content_hash)
    return found.run_id == registered.payload["mlflow_run_id"] or found.source == f"release:{MODEL}/{registered.content_hash}"


def _turn(one: Scene, desk: acts.Desk, found: Found) -> None:
    """A new version from an instant ahead; or, every other time, the version before at once."""
    live = live_at(one.entries(), datetime.now(UTC))
    if found.flips % 2:
        acts.roll_back(desk, MODEL, one.by(), to=(live.version or 0) - 1 if live else None)
        acts.lift(desk, MODEL, one.by())
    else:
        entry = acts.promote(desk, MODEL, one.release(), one.by(), activate_at=datetime.now(UTC) + LEAD)
        _until(lambda: entry.activate_at is not None and datetime.now(UTC) > entry.activate_at)
    found.flips += 1


def judged(entries: Sequence[Entry], answers: Sequence[Answer]) -> tuple[int, int, float]:
    """Answers by a version that was live at no moment between question and answer, as the ledger says, after all that it was told.

    Those that came while workers had still to hear of an entry that counts at once are the second number; the third is the longest that
    this took, in seconds.
    """
    not_live, late = 0, list[float]()
    for one in answers:
        turns = {
            entry.content_hash
            for entry in entries
            if entry.kind in BEGINS_LIVE and one.asked < (entry.activate_at or entry.at) <= one.answered
        }
        now = live_at(entries, one.asked)
        if one.said["content_hash"] in turns | {now and now.content_hash}:
            continue
        before = live_at(entries, now.at - INSTANT) if now is not None and now.activate_at == now.at else None
        if now is not None and before is not None and before.content_hash == one.said["content_hash"] and one.asked < now.at + MOST_BEHIND:
            late.append((one.asked - now.at).total_seconds())
        else:
            not_live += 1
    return not_live, len(late), max(late, default=0.0)


def refused(act: Callable[[], object]) -> str:
    """What an act on a changed release says; it must not pass."""
    try:
        act()
    except ReleaseChanged as problem:
        return str(problem)
    raise AssertionError("a changed release was taken")
