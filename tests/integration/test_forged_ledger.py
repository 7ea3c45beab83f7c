"""A real ``bentoml serve`` over a ledger that somebody changes who may write to its database and has no key. Tests run in order."""

import json
import sqlite3
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resources.registry.ledger import stamp
from resources.registry.states import Entry
from resources.security.keys import KeyRing
from resources.serving.controller import NotServed, ServiceFailed, Serving
from tests.resources.registry.books import INSERT, SIGN, Books, forged, signed_by
from tests.resources.serving.clients import Clients
from tests.resources.serving.tiny import Tiny

EXAMPLE = {"x": 2.0, "k": "b", "n": 1}
LOOKS_SECONDS = 8
"""Within it a worker has looked again: after trouble with the ledger it waits five seconds."""


@dataclass
class Scene:
    """A service that answers with version 2 of a model whose version 1 was live before; its ledger as an intruder sees it."""

    tiny: Tiny
    serving: Serving
    books: Books
    file: Path

    def trouble(self) -> str | None:
        """Why the service does not follow the ledger, as it says itself."""
        found = self.serving.current()
        assert found is not None
        with urllib.request.urlopen(f"{found.url}/models") as answer:  # noqa: S310  always the URL of our own process
            return json.loads(answer.read())["models"]["tiny"]["ledger"]

    def log(self) -> str:
        found = self.serving.current()
        assert found is not None
        return found.log.read_text()

    def promoted(self) -> list[Entry]:
        return [one for one in self.tiny.ledger.entries("tiny") if one.kind == "promoted"]

    def forge(self) -> dict[str, object]:
        """An entry by which version 1 is live again: a true release, a hash that is right, a place in the chain."""
        last, first = self.tiny.ledger.entries()[-1], self.promoted()[0]
        now = stamp(datetime.now(UTC))
        said = {"kind": "promoted", "payload": first.payload, "at": now, "activate_at": now, "subject": "tiny"}
        row = forged(self.books, seq=last.seq + 1, prev=last.hash, **said)
        self.books.damage(INSERT, **row)
        return {**row}

    def forge_and_sign(self) -> None:
        row = self.forge()
        foreign = KeyRing(self.file.with_name("foreign"))
        self.books.damage(SIGN, **signed_by(foreign, self.tiny.ledger.seq(), str(row["hash"])))

    def cut(self) -> None:
        """Take the promotion of version 2 away with its signature: what is left is a ledger as it truly was."""
        self.books.damage("DELETE FROM ledger WHERE seq = :last", "DELETE FROM heads WHERE seq = :last", last=self.tiny.ledger.seq())

    def reorder(self) -> None:
        """Exchange the two promotions."""
        one, two = (entry.seq for entry in self.promoted()[-2:])
        move = "UPDATE ledger SET seq = :to WHERE seq = :at"
        for at, to in ((one, -1), (two, one), (-1, two)):
            self.books.damage(move, at=at, to=to)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("forged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(folder / "source"), *sys.path])
        tiny = Tiny(folder)
        serving = Serving(home=str(folder / "serving"), ledger_url=tiny.ledger.url, releases_root=str(tiny.releases.root))
        for weight in (1.0, 2.0):
            tiny.release(weight)
        serving.ensure([tiny.route()], "tinyco")
        yield Scene(tiny, serving, Books(tiny.ledger.url, tiny.registry.ring("ledger")), folder / "ledger.db")
        serving.stop()


@pytest.fixture
def mended(scene: Scene, tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Puts the ledger back to what it was; so does the end of the test."""
    kept = tmp_path / "kept.db"
    copy(scene.file, kept)
    yield lambda: copy(kept, scene.file)
    copy(kept, scene.file)


def copy(from_: Path, to: Path) -> None:
    """What is in a database into another, under the eyes of those who have it open."""
    with closing(sqlite3.connect(from_)) as one, closing(sqlite3.connect(to)) as other:
        one.backup(other)


def comes(found: Callable[[], bool]) -> bool:
    """Whether something is so before the worker must have looked again."""
    deadline = time.monotonic() + LOOKS_SECONDS
    while not found() and time.monotonic() < deadline:
        time.sleep(0.05)
    return found()


def test_under_load_a_forged_promotion_brings_no_older_version_back_and_the_service_says_so_once(
    scene: Scene, mended: Callable[[], None]
) -> None:
    current = scene.serving.current()
    assert current is not None
    with Clients(lambda: current.url, [EXAMPLE], count=2) as clients:
        scene.forge()
        assert comes(lambda: "no key signed it" in (scene.trouble() or ""))
        time.sleep(LOOKS_SECONDS)  # at least one more look
        assert scene.log().count("keeps its versions: ledger entry") == 1
        mended()
        assert comes(lambda: scene.trouble() is None)
    assert (clients.failed, set(clients.versions), len(clients.answers) > 100) == ([], {2}, True)
    assert scene.log().count("follows the ledger again") == 1


DAMAGE: dict[str, tuple[Callable[[Scene], object], str]] = {
    "an entry with a head that another ring signed": (Scene.forge_and_sign, "is not in the ring"),
    "the last entry cut off with its signature": (Scene.cut, "was removed or replaced after it had been read"),
    "two entries exchanged": (Scene.reorder, "was removed or replaced after it had been read"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_the_service_keeps_what_it_verified_and_names_what_was_done(scene: Scene, mended: Callable[[], None], what: str) -> None:
    act, sentence = DAMAGE[what]
    act(scene)
    assert comes(lambda: sentence in (scene.trouble() or ""))
    assert scene.serving.predict("tiny", [EXAMPLE])["version"] == 2
    with pytest.raises(NotServed, match=sentence):
        scene.serving.wait_for("tiny", "0" * 64)
    mended()
    assert comes(lambda: scene.trouble() is None)


@pytest.mark.parametrize("act", [Scene.forge, Scene.reorder, Scene.forge_and_sign])
def test_no_service_starts_on_a_ledger_that_does_not_hold_and_the_start_says_why(
    scene: Scene, mended: Callable[[], None], act: Callable[[Scene], object]
) -> None:
    scene.serving.stop()
    act(scene)
    with pytest.raises(ServiceFailed, match=r"The service of tinyco does not follow the ledger: (ledger entry|key)"):
        scene.serving.ensure([scene.tiny.route()], "tinyco")
    mended()
    scene.serving.ensure([scene.tiny.route()], "tinyco")
    assert scene.serving.predict("tiny", [EXAMPLE])["version"] == 2


def test_what_is_promoted_after_the_ledger_was_mended_answers(scene: Scene) -> None:
    third = scene.tiny.release(3.0)
    assert scene.serving.wait_for("tiny", third, timeout=20)["version"] == 3
