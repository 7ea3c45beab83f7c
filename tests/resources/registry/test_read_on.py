"""Reading on from what was verified: what is new is believed only when chain and signed head say so; the same on SQLite and Postgres."""

import threading
from pathlib import Path

import pytest

from resources.errors import PlatformError
from resources.registry.heads import HeadUnsigned, LedgerTampered, Mark
from resources.registry.ledger import Ledger
from resources.security.keys import KeyRevoked, KeyRing, KeyUnknown
from tests.resources.registry.books import APRIL, INSERT, SIGN, Books, forged, register, signed_by

A, B, C = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def mark(ledger: Ledger) -> Mark:
    """Where a reader stands that has read two releases of a model."""
    register(ledger, A, 1)
    register(ledger, B, 2)
    return ledger.read_on(Mark(), subjects={"churn"})[0]


def test_only_what_is_new_about_the_asked_subjects_comes_and_the_whole_chain_counts(ledger: Ledger, mark: Mark) -> None:
    register(ledger, A, 1, subject="price")
    register(ledger, C, 3)
    later, new = ledger.read_on(mark, subjects={"churn"})
    assert [(one.subject, one.kind, one.content_hash) for one in new] == [("churn", "registered", C), ("churn", "approved", C)]
    assert (mark.last[0], later.last) == (4, (8, new[-1].hash))
    assert ledger.read_on(later, subjects={"churn"}) == (later, ())


def test_an_empty_ledger_has_nothing_new(ledger: Ledger) -> None:
    assert ledger.read_on(Mark(), subjects={"churn"})[1] == ()


def test_a_forged_entry_that_follows_is_not_believed_and_a_mended_ledger_is_read_on(ledger: Ledger, books: Books, mark: Mark) -> None:
    last = books.ask("SELECT * FROM ledger WHERE seq = 4")[0]
    books.damage(INSERT, **forged(books, seq=5, kind="promoted", prev=last["hash"]))
    for _ in range(2):
        with pytest.raises(LedgerTampered, match="ledger entry 5: no key signed it"):
            ledger.read_on(mark, subjects={"churn"})
    books.damage("DELETE FROM ledger WHERE seq = 5")
    register(ledger, C, 3)
    assert [one.seq for one in ledger.read_on(mark, subjects={"churn"})[1]] == [5, 6]


def test_what_is_read_while_somebody_appends_never_looks_torn(ledger: Ledger, books: Books) -> None:
    def append() -> None:
        other = books.ledger()
        for number in range(60):
            other.append(f"model {number}", "held", {}, expect_head=None, actor="ana", data_at=APRIL)
        other._engine.dispose()

    register(ledger, A, 1)
    mark, found, writer = Mark(), list[int](), threading.Thread(target=append)
    writer.start()
    while len(found) < 62:
        mark, new = ledger.read_on(mark, subjects={"churn", *(f"model {number}" for number in range(60))})
        found += [one.seq for one in new]
    writer.join()
    assert found == list(range(1, 63))


CUT = {
    "the last entry": ["DELETE FROM ledger WHERE seq = 4"],
    "the last entry and its signature": ["DELETE FROM ledger WHERE seq = 4", "DELETE FROM heads WHERE seq = 4"],
    "all": ["DELETE FROM ledger", "DELETE FROM heads"],
    "the last two in the other order": ["UPDATE ledger SET seq = CASE seq WHEN 3 THEN 104 WHEN 4 THEN 103 ELSE seq END WHERE seq > 2"],
    "the last hash": ["UPDATE ledger SET hash = prev || 'x' WHERE seq = 4"],
    "the signature": ["DELETE FROM heads WHERE seq = 4"],
}


@pytest.mark.parametrize("what", CUT)
def test_what_was_read_before_and_is_no_longer_there_is_missed(ledger: Ledger, books: Books, mark: Mark, what: str) -> None:
    books.damage(*CUT[what])
    with pytest.raises((LedgerTampered, HeadUnsigned)):
        ledger.read_on(mark, subjects={"churn"})


def test_a_forged_entry_whose_head_another_ring_signed_is_refused_by_its_key(ledger: Ledger, books: Books, mark: Mark) -> None:
    foreign = KeyRing(books.ring.root.with_name("foreign"))
    row = forged(books, seq=5, kind="promoted", prev=mark.last[1])
    books.damage(INSERT, **row)
    books.damage(SIGN, **signed_by(foreign, 5, str(row["hash"])))
    with pytest.raises(KeyUnknown, match=f"key '{foreign.keys()[0].key_id}' is not in the ring"):
        ledger.read_on(mark, subjects={"churn"})


def test_a_head_signed_again_after_its_key_was_revoked_is_believed_and_one_that_was_not_is_refused(
    ledger: Ledger, books: Books, mark: Mark
) -> None:
    books.ring.revoke(books.ring.keys()[0].key_id, why="lost")
    assert ledger.read_on(mark, subjects={"churn"}) == (mark, ())  # what was believed has not changed
    with pytest.raises(KeyRevoked):
        ledger.read_on(Mark(), subjects={"churn"})
    books.ring.rotate()
    ledger.sign()
    again, new = ledger.read_on(mark, subjects={"churn"})
    assert (again.last, len(again.heads), new) == (mark.last, 2, ())


UNREADABLE = {
    "bytes": ("UPDATE ledger SET payload = x'ff00' WHERE seq = 2", "payload is no JSON"),
    "too deep": ("UPDATE ledger SET payload = printf('%.*c', 100000, '[') WHERE seq = 2", "payload is no JSON"),
    "no text": ("UPDATE ledger SET payload = 7 WHERE seq = 2", "do not add up"),
    "no number": ("UPDATE ledger SET seq = 'last' WHERE seq = 2", "is missing"),
    "no numbered head": ("UPDATE heads SET seq = 'last' WHERE seq = 2", "the signed head is no number"),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_only_sqlite_takes_for_a_value_is_a_named_error_and_no_other(tmp_path: Path, what: str) -> None:
    books = Books(f"sqlite:///{tmp_path}/ledger.db", KeyRing(tmp_path / "keys"))
    register(books.ledger(), A, 1)
    change, sentence = UNREADABLE[what]
    books.damage(change)
    with pytest.raises(PlatformError, match=sentence):
        books.ledger().verify()
