"""The commands for three in the morning, typed as printed, each in under five seconds, while a service answers and clients ask it."""

import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from resources.errors import PlatformError
from resources.serving.controller import Serving
from tests.docs.pages import commands, done, project
from tests.resources.serving.tiny import Tiny

PAGE = "how-to/act-at-three-in-the-morning.md"
MODEL = "flight_delay"
MOST_SECONDS = 5
EXAMPLE = {"x": 2.0, "k": "b", "n": 1}


class Night:
    """A project whose model has two versions, the second live, and a candidate that needs an approval; a service under load."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        project(folder)
        self.home = folder / ".mlops"
        self.tiny = Tiny(self.home)
        self.serving = Serving(home=str(self.home / "serving"), ledger_url=self.tiny.ledger.url, releases_root=str(self.tiny.releases.root))
        self.answers: list[int] = []
        self.failed: list[str] = []
        self._over = threading.Event()
        self._load = threading.Thread(target=self._ask)

    def begin(self) -> None:
        for weight in (1.0, 2.0):
            self.tiny.release(weight, model=MODEL)
        made, facts = self.tiny.store({"weights": {"x": 3.0}}, model=MODEL), {"level": "confidential"}
        self.tiny.registry.register(MODEL, made, mlflow_run_id="none", actor="dagster", data_at=datetime.now(UTC), facts=facts)
        self.serving.ensure([self.tiny.route(MODEL)], "tinyco")
        self._load.start()

    def end(self) -> None:
        self._over.set()
        self._load.join()
        self.serving.stop()

    def _ask(self) -> None:
        while not self._over.wait(0.02):
            try:
                self.answers.append(int(self.serving.predict(MODEL, [EXAMPLE])["version"]))
            except (PlatformError, OSError) as problem:
                self.failed.append(str(problem))

    def answers_with(self, version: int) -> bool:
        deadline = time.monotonic() + 5
        while self.answers[-1] != version and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.answers[-1] == version

    def type(self, block: str) -> str:
        """What the commands of a block print, each of them in time."""
        said = ""
        for line in block.replace("\\\n", " ").strip().splitlines():
            began = time.monotonic()
            said += done(self.folder, line)
            assert line.startswith("dagster ") or time.monotonic() - began < MOST_SECONDS, line
        return said


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Night]:
    one = Night(tmp_path)
    monkeypatch.setattr(sys, "path", [str(one.tiny.source), *sys.path])
    one.begin()
    yield one
    one.end()


def test_a_night_goes_as_the_page_says_and_no_answer_fails(night: Night) -> None:
    look, back, revoke, freeze, morning, hold, approve, after, job = commands(PAGE)
    before = night.type(look)
    assert (f"{MODEL}  2     2" in before, "version 3 waits: a confidential model needs 1 person's approval" in before) == (True, True)
    assert f"{MODEL} version 1 rolled back by" in night.type(back)
    assert night.answers_with(1)
    assert "is held by" in night.type(look)
    assert f"{MODEL} version 2 revoked by" in night.type(revoke)
    assert "freeze frozen by" in night.type(freeze)
    assert "the platform is frozen by" in night.type(look)
    assert "released hold by" in night.type(morning)
    assert "held by" in night.type(hold)
    assert f"{MODEL} version 3 promoted by" in night.type(approve)
    assert night.answers_with(3)
    assert "entries and the signed head are in ledger.jsonl" in night.type(after)
    night.type(job)
    frozen: Any = night.tiny.ledger.entries("freeze")[-1]
    assert (frozen.kind, frozen.actor) == ("frozen", "bo")
    assert (night.failed, set(night.answers)) == ([], {1, 2, 3})
