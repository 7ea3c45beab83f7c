"""Which released bytes may go: never what is live, may become so, would be rolled back to, made predictions, or is young."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resources.registry.ledger import Ledger
from resources.registry.retention import free

LATER = datetime.now(UTC) + timedelta(days=1)
YESTERDAY = datetime.now(UTC) - timedelta(days=1)
APRIL = datetime(2013, 4, 1, tzinfo=UTC)


class Book:
    """A ledger of one model whose versions are named by letters."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger(f"sqlite:///{folder}/ledger.db")
        self.numbers: dict[str, int] = {}

    def say(self, kind: str, name: str, **more: object) -> None:
        if kind == "registered":
            self.numbers[name] = len(self.numbers) + 1
        said = {"content_hash": name, "version": self.numbers[name], **more}
        self.ledger.append("churn", kind, said, expect_head=self.ledger.head("churn"), actor="t", data_at=APRIL)

    def live(self, *names: str) -> None:
        for name in names:
            self.say("registered", name)
            self.say("approved", name, approvers=[], why="no approval needed")
            self.say("promoted", name)

    def free(self, *predicted: str, before: datetime = LATER) -> list[str | None]:
        return [entry.content_hash for entry in free(self.ledger.entries("churn"), predicted=predicted, before=before)]


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


def test_the_live_version_and_the_one_before_it_stay(book: Book) -> None:
    book.live("a", "b", "c", "d")
    assert book.free() == ["a", "b"]


def test_a_version_that_may_become_live_stays(book: Book) -> None:
    book.live("a", "b", "c")
    book.say("registered", "candidate")
    book.say("registered", "approved")
    book.say("approved", "approved", approvers=[], why="no approval needed")
    assert book.free() == ["a"]


def test_a_version_that_made_predictions_stays(book: Book) -> None:
    book.live("a", "b", "c", "d")
    assert book.free("a") == ["b"]


def test_a_version_of_which_something_was_said_lately_stays(book: Book) -> None:
    book.live("a", "b", "c")
    assert book.free(before=YESTERDAY) == []


def test_a_version_that_was_said_to_be_freed_and_is_still_there_goes(book: Book) -> None:
    book.live("a", "b", "c")
    between = datetime.now(UTC)
    book.say("freed", "a")
    assert book.free(before=between) == ["a"]


def test_a_revoked_version_goes(book: Book) -> None:
    book.live("a", "b", "c")
    book.say("registered", "bad")
    book.say("revoked", "bad")
    assert book.free() == ["a", "bad"]
