"""The ledger: append-only, chained, compare-and-swap, its head signed; real processes, real damage, the same on SQLite and Postgres."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from resources.errors import NaiveInstant
from resources.registry.heads import HeadUnsigned, LedgerTampered, RingMissing
from resources.registry.identity import sha256
from resources.registry.ledger import Ledger, LedgerUnavailable, ledger_at
from resources.registry.states import LedgerConflict, PayloadIncomplete, TransitionRefused, live_at, upcoming
from resources.security.keys import KeyRevoked, KeyUnknown, SignatureInvalid
from tests.racing import raced
from tests.resources.registry.books import APRIL, INSERT, Books, forged, register

A, B = "a" * 64, "b" * 64


def test_an_entry_comes_back_as_it_was_written(ledger: Ledger) -> None:
    payload = {"content_hash": A, "version": 1, "gate": {"auc": 0.7, "slices": ["EWR", None]}}
    written = ledger.append("churn", "registered", payload, expect_head=None, actor="ana", data_at=APRIL)
    assert ledger.entries("churn") == (written,)
    assert (written.seq, written.payload, written.actor, written.data_at, written.prev) == (1, payload, "ana", APRIL, None)
    assert abs(written.at - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_registration_is_found_by_the_beginning_of_its_content_hash_whosever_it_is(ledger: Ledger) -> None:
    register(ledger, A, 1)
    register(ledger, B, 1, subject="price")
    assert [(one.subject, one.kind) for one in ledger.registered(B[:8])] == [("price", "registered")]
    assert ledger.registered("%") == ledger.registered("") == ()
    assert ledger.registered("0123456789") == ()


def test_the_chain_runs_over_all_subjects(ledger: Ledger) -> None:
    register(ledger, A, 1)
    register(ledger, A, 1, subject="delay")
    entries = ledger.entries()
    assert [entry.prev for entry in entries] == [None, *(entry.hash for entry in entries[:-1])]
    assert ledger.seq() == 4
    assert ledger.head("churn") == entries[1].hash


def test_another_head_is_a_conflict_that_names_the_last_entry(ledger: Ledger) -> None:
    register(ledger, A, 1)
    with pytest.raises(LedgerConflict, match=r"churn: the entry `promoted`.*the last entry is now `approved` by test"):
        ledger.append("churn", "promoted", {"content_hash": A, "version": 1}, expect_head=None, actor="ana", data_at=APRIL)
    assert ledger.seq() == 2


def test_the_same_fact_again_returns_the_entry_that_is_there(ledger: Ledger) -> None:
    register(ledger, A, 1)
    head = ledger.head("churn")
    said = {"content_hash": A, "version": 1}
    first = ledger.append("churn", "promoted", said, expect_head=head, actor="ana", data_at=APRIL)
    again = ledger.append("churn", "promoted", said, expect_head=head, actor="ana", data_at=APRIL)
    assert (again, ledger.seq()) == (first, 3)


CHANGES: list[tuple[str, str, dict[str, object]]] = [
    ("bo", "promoted", {"content_hash": A, "version": 1}),
    ("ana", "archived", {"content_hash": A, "version": 1}),
    ("ana", "promoted", {"content_hash": A, "version": 1, "why": "x"}),
]


@pytest.mark.parametrize(("actor", "kind", "payload"), CHANGES)
def test_a_different_fact_on_the_same_head_is_a_conflict(ledger: Ledger, actor: str, kind: str, payload: dict[str, object]) -> None:
    register(ledger, A, 1)
    head = ledger.head("churn")
    ledger.append("churn", "promoted", {"content_hash": A, "version": 1}, expect_head=head, actor="ana", data_at=APRIL)
    with pytest.raises(LedgerConflict):
        ledger.append("churn", kind, payload, expect_head=head, actor=actor, data_at=APRIL)


def test_a_transition_that_the_table_lacks_writes_nothing(ledger: Ledger) -> None:
    with pytest.raises(TransitionRefused):
        ledger.append("churn", "promoted", {"content_hash": A, "version": 1}, expect_head=None, actor="ana", data_at=APRIL)
    assert ledger.seq() == 0


def test_an_instant_without_a_zone_is_refused(ledger: Ledger) -> None:
    with pytest.raises(NaiveInstant, match="data_at=2013-04-01T00:00:00 has no time zone"):
        ledger.append("churn", "held", {}, expect_head=None, actor="ana", data_at=datetime(2013, 4, 1))  # noqa: DTZ001  # the mistake


def test_an_instant_of_any_zone_is_kept_in_utc(ledger: Ledger) -> None:
    local = APRIL.astimezone(timezone(timedelta(hours=-4)))
    entry = ledger.append("churn", "held", {}, expect_head=None, actor="ana", data_at=local)
    assert entry.data_at.utcoffset() == timedelta(0)
    assert entry.data_at == APRIL


def test_an_entry_without_an_actor_is_refused(ledger: Ledger) -> None:
    with pytest.raises(PayloadIncomplete, match="actor"):
        ledger.append("churn", "held", {}, expect_head=None, actor="", data_at=APRIL)


def test_a_promotion_is_live_from_its_activation(ledger: Ledger) -> None:
    register(ledger, A, 1)
    later = datetime.now(UTC) + timedelta(hours=1)
    said = {"content_hash": A, "version": 1}
    entry = ledger.append("churn", "promoted", said, expect_head=ledger.head("churn"), actor="ana", data_at=APRIL, activate_at=later)
    assert (ledger.live("churn"), upcoming(ledger.entries(), datetime.now(UTC))) == (None, entry)
    assert (live_at(ledger.entries(), later), upcoming(ledger.entries(), later)) == (entry, None)
    assert (ledger.live_for("churn", APRIL), ledger.live_for("churn", APRIL + timedelta(seconds=1))) == (None, entry)


def test_a_promotion_without_an_instant_is_live_at_once(ledger: Ledger) -> None:
    register(ledger, A, 1)
    entry = ledger.append(
        "churn", "promoted", {"content_hash": A, "version": 1}, expect_head=ledger.head("churn"), actor="ana", data_at=APRIL
    )
    assert (entry.activate_at, ledger.live("churn")) == (entry.at, entry)


CHANGED = ["UPDATE ledger SET actor = 'eve'", "DELETE FROM ledger", "DELETE FROM ledger WHERE seq = 2", "UPDATE heads SET seq = 1"]


@pytest.mark.parametrize("change", [*CHANGED, "DELETE FROM heads"])
def test_the_database_refuses_to_change_an_entry_or_a_signed_head(ledger: Ledger, books: Books, change: str) -> None:
    register(ledger, A, 1)
    with pytest.raises(DBAPIError, match="append-only"):
        books.ask(change)
    assert ledger.verify() == 2


DAMAGE = {
    "actor": ("UPDATE ledger SET actor = 'eve' WHERE seq = 2", 2, "do not add up"),
    "payload": ("UPDATE ledger SET payload = replace(payload, '1', '2') WHERE seq = 1", 1, "do not add up"),
    "payload's layout": ("UPDATE ledger SET payload = replace(payload, ':', ': ') WHERE seq = 1", 1, "do not add up"),
    "no JSON": ("UPDATE ledger SET payload = '{' WHERE seq = 3", 3, "no JSON"),
    "data_at": ("UPDATE ledger SET data_at = replace(data_at, '2013', '2012') WHERE seq = 4", 4, "do not add up"),
    "activate_at": ("UPDATE ledger SET activate_at = at WHERE seq = 2", 2, "do not add up"),
    "hash": ("UPDATE ledger SET hash = replace(hash, substr(hash, 1, 1), 'z') WHERE seq = 4", 4, "do not add up"),
    "prev": ("UPDATE ledger SET prev = 'x' WHERE seq = 3", 3, "does not follow"),
    "removed": ("DELETE FROM ledger WHERE seq = 2", 2, "is missing"),
    "removed first": ("DELETE FROM ledger WHERE seq = 1", 1, "is missing"),
    "swapped": ("UPDATE ledger SET seq = CASE seq WHEN 2 THEN 103 WHEN 3 THEN 102 ELSE seq END", 2, "is missing"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_verify_names_the_first_entry_that_was_touched(ledger: Ledger, books: Books, what: str) -> None:
    register(ledger, A, 1)
    register(ledger, B, 2)
    assert ledger.verify() == 4
    change, seq, sentence = DAMAGE[what]
    books.damage(change)
    with pytest.raises(LedgerTampered, match=f"ledger entry {seq}: .*{sentence}"):
        ledger.verify()


def test_an_entry_slipped_in_with_a_hash_of_its_own_does_not_follow(ledger: Ledger, books: Books) -> None:
    register(ledger, A, 1)
    books.damage(INSERT, **forged(books, prev="0" * 64))
    with pytest.raises(LedgerTampered, match="ledger entry 3: it does not follow"):
        ledger.verify()


def test_an_entry_that_follows_and_that_no_key_signed_is_found_and_nothing_is_built_upon_it(ledger: Ledger, books: Books) -> None:
    register(ledger, A, 1)
    books.damage(INSERT, **forged(books))
    with pytest.raises(LedgerTampered, match="ledger entry 3: no key signed it"):
        ledger.verify()
    with pytest.raises(LedgerTampered, match="ledger entry 3: no key signed it"):
        ledger.append("delay", "held", {}, expect_head=None, actor="ana", data_at=APRIL)


def test_a_tail_that_was_cut_off_is_missed(ledger: Ledger, books: Books) -> None:
    register(ledger, A, 1)
    books.damage("DELETE FROM ledger WHERE seq = 2")
    for act in (ledger.verify, lambda: ledger.append("delay", "held", {}, expect_head=None, actor="ana", data_at=APRIL)):
        with pytest.raises(LedgerTampered, match="ledger entry 2: it is missing; the signed head says that there are 2"):
            act()


def test_a_last_entry_that_was_replaced_is_not_the_one_that_was_signed(ledger: Ledger, books: Books) -> None:
    register(ledger, A, 1)
    first = books.ask("SELECT * FROM ledger WHERE seq = 1")[0]
    other = forged(books, seq=2, prev=first["hash"])
    books.damage("DELETE FROM ledger WHERE seq = 2", INSERT, **other)
    with pytest.raises(LedgerTampered, match="ledger entry 2: it is not the one whose head was signed"):
        ledger.verify()


def test_a_head_whose_signatures_were_all_removed_is_no_head(ledger: Ledger, books: Books) -> None:
    register(ledger, A, 1)
    books.damage("DELETE FROM heads")
    with pytest.raises(HeadUnsigned, match=r"the ledger has 2 entries and no signed head.*operate sign"):
        ledger.verify()


FORGERIES = {
    "signature": ("UPDATE heads SET signature = '00' || substr(signature, 3)", SignatureInvalid),
    "no hexadecimal": ("UPDATE heads SET signature = 'none'", SignatureInvalid),
    "key": ("UPDATE heads SET key_id = '0123456789abcdef'", KeyUnknown),
}


@pytest.mark.parametrize("what", FORGERIES)
def test_a_head_that_was_not_signed_by_a_key_of_the_ring_is_refused_by_name(ledger: Ledger, books: Books, what: str) -> None:
    register(ledger, A, 1)
    change, error = FORGERIES[what]
    books.damage(change + " WHERE seq = 2")
    with pytest.raises(error):
        ledger.verify()


def test_a_ledger_without_its_ring_is_read_and_not_written(ledger: Ledger, books: Books) -> None:
    register(ledger, A, 1)
    bare = Ledger(books.url)
    assert (bare.verify(), len(bare.entries())) == (2, 2)
    with pytest.raises(RingMissing, match="entry 2, is signed, and this process has no ring"):
        bare.append("delay", "held", {}, expect_head=None, actor="ana", data_at=APRIL)
    bare._engine.dispose()


def test_a_ledger_that_was_never_signed_goes_on_once_it_was_signed_by_an_act(books: Books) -> None:
    bare, ledger = Ledger(books.url), books.ledger()
    register(bare, A, 1)
    with pytest.raises(HeadUnsigned):
        ledger.append("delay", "held", {}, expect_head=None, actor="ana", data_at=APRIL)
    assert ledger.sign() == 2
    ledger.append("delay", "held", {}, expect_head=None, actor="ana", data_at=APRIL)
    assert ledger.verify() == 3
    for one in (bare, ledger):
        one._engine.dispose()


def test_a_head_by_a_revoked_key_is_refused_until_it_was_signed_again(ledger: Ledger, books: Books) -> None:
    register(ledger, A, 1)
    signed = ledger.signed_head()
    assert signed is not None
    books.ring.revoke(signed["key_id"], why="it was on a lost laptop")
    books.ring.rotate()
    with pytest.raises(KeyRevoked, match="it was on a lost laptop"):
        ledger.verify()
    ledger.sign()
    register(ledger, B, 2)
    assert ledger.verify() == 4


def test_nothing_is_signed_over_a_chain_that_does_not_hold(ledger: Ledger, books: Books) -> None:
    register(ledger, A, 1)
    books.damage("UPDATE ledger SET actor = 'eve' WHERE seq = 1", "DELETE FROM heads")
    with pytest.raises(LedgerTampered):
        ledger.sign()
    assert ledger.signed_head() is None


def test_a_reader_needs_nothing_of_ours_to_check_the_chain(ledger: Ledger, books: Books) -> None:
    register(ledger, A, 1)
    for found in books.ask("SELECT * FROM ledger"):
        fact = {name: value for name, value in found.items() if name != "hash"} | {"payload": json.loads(found["payload"])}
        text = json.dumps(fact, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert sha256(text.encode()) == found["hash"]


def test_observations_are_kept_beside_the_chain(ledger: Ledger) -> None:
    register(ledger, A, 1)
    ledger.observe("worker-1", "churn", "loaded", {"version": 1})
    ledger.observe("worker-2", "delay", "refused", {"why": "other code"})
    assert ledger.seq() == 2
    assert [(one["worker"], one["subject"], one["what"], one["payload"]) for one in ledger.observations()] == [
        ("worker-1", "churn", "loaded", {"version": 1}),
        ("worker-2", "delay", "refused", {"why": "other code"}),
    ]


def test_one_process_keeps_one_ledger_for_a_url_and_a_ring(books: Books) -> None:
    assert ledger_at(books.url, str(books.ring.root)) is ledger_at(books.url, str(books.ring.root))
    assert ledger_at(books.url).ring is None


def test_a_ledger_below_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(LedgerUnavailable, match=r"ledger sqlite:///.*taken/ledger\.db: .* Nothing was written"):
        Ledger(f"sqlite:///{tmp_path}/taken/ledger.db").seq()


def test_a_file_that_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("not a database, whatever its name says, and long enough to be looked at" * 20)
    with pytest.raises(LedgerUnavailable, match="file is not a database"):
        Ledger(f"sqlite:///{tmp_path}/ledger.db").seq()


RACE = """
import sys
from datetime import UTC, datetime
from resources.registry.ledger import Ledger
from resources.registry.states import LedgerConflict
from resources.security.keys import KeyRing
ledger, name = Ledger(sys.argv[1], KeyRing(sys.argv[2])), sys.argv[3]
{prepare}
print("ready", flush=True)
sys.stdin.readline()
try:
    {act}
    print("won", flush=True)
except LedgerConflict:
    print("told", flush=True)
"""
START_TOGETHER = Callable[[str, str, int], list[str]]


@pytest.fixture
def race(books: Books) -> START_TOGETHER:
    """Runs ``act`` in as many processes as asked, from one starting shot; what each of them says."""

    def run(prepare: str, act: str, count: int) -> list[str]:
        code = RACE.format(prepare=prepare, act=act)
        command = [sys.executable, "-W", "error", "-c", code, books.url, str(books.ring.root)]
        return raced([[*command, f"runner-{n}"] for n in range(count)])

    return run


def test_of_promoters_at_once_one_wins_and_the_others_are_told(ledger: Ledger, race: START_TOGETHER) -> None:
    register(ledger, A, 1)
    act = (
        f"ledger.append('churn', 'promoted', {{'content_hash': '{A}', 'version': 1}}, expect_head=head, actor=name,"
        " data_at=datetime(2013, 4, 1, tzinfo=UTC))"
    )
    said = race("head = ledger.head('churn')", act, 4)
    assert sorted(said) == ["told", "told", "told", "won"]
    assert [entry.actor for entry in ledger.entries("churn") if entry.kind == "promoted"] == [f"runner-{said.index('won')}"]


def test_processes_that_open_a_fresh_ledger_together_all_write(ledger: Ledger, race: START_TOGETHER) -> None:
    act = "[ledger.append(name + str(n), 'held', {}, expect_head=None, actor=name, data_at=datetime.now(UTC)) for n in range(20)]"
    assert race("", act, 4) == ["won"] * 4
    assert (ledger.verify(), len({entry.subject for entry in ledger.entries()})) == (80, 80)


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
import sqlalchemy as sa
from resources.registry.ledger import Ledger
from resources.security.keys import KeyRing
ledger = Ledger(sys.argv[1], KeyRing(sys.argv[2]))
ledger.seq()
def die(connection, cursor, statement, *_):
    if statement.startswith("INSERT INTO " + sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
sa.event.listen(ledger._engine, "after_cursor_execute", die)
ledger.append("churn", "held", {}, expect_head=None, actor="killed", data_at=datetime.now(UTC))
"""


@pytest.mark.parametrize("table", ["ledger", "heads"])
def test_a_writer_killed_before_its_commit_has_written_neither_entry_nor_signature(ledger: Ledger, books: Books, table: str) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, books.url, str(books.ring.root), table], check=False)
    assert killed.returncode == -9
    assert (ledger.seq(), ledger.signed_head()) == (0, None)
    assert ledger.append("churn", "held", {}, expect_head=None, actor="next", data_at=APRIL).seq == 1
    assert ledger.verify() == 1
