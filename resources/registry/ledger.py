"""The ledger: an append-only, hash-chained table of facts about models and things, and the observations that workers report.

Appending is a compare-and-swap on the subject's head in one transaction, in which the table of states is checked and the new head is
signed: an entry is there with its signature or not at all. The chain runs over all subjects. Folds and states are pure and live in
``states``; this module only stores and reads. Works on SQLite and Postgres.
"""

import json
import re
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from resources.errors import PlatformError, in_utc
from resources.registry import states
from resources.registry.heads import LedgerTampered, Mark, demand, newest, sign
from resources.registry.identity import canonical, digest, plain
from resources.registry.states import FREEZE, NEW, Entry, LedgerConflict, PayloadIncomplete
from resources.registry.tables import ENTRIES, META, OBSERVATIONS, alone, at_once

if TYPE_CHECKING:
    from resources.security.keys import KeyRing

LOCK_WAIT_SECONDS: Final = 30
AT_ONCE: Final = 10_000
"""Rows that are asked for by their numbers in one statement: databases bound how many values it may hold."""


class LedgerUnavailable(PlatformError):
    """The database behind the ledger did not answer or refused to write."""

    def __init__(self, *, url: str, why: str) -> None:
        super().__init__(
            f"ledger {url}: {why}. Nothing was written. Mend the database (disk space, permissions, reachability) and run again."
        )


class Ledger:
    """One ledger database. Opening does nothing; the tables are made at first use, by whoever comes first.

    With a ring, each append signs the head and each check verifies it. Without one, a ledger whose head is signed is only read.
    """

    def __init__(self, url: str, ring: "KeyRing | None" = None) -> None:
        self.url = url
        self.ring = ring

    @cached_property
    def _engine(self) -> sa.Engine:
        """The engine, kept for the life of this object; tables and guards are made under the writers' lock."""
        sqlite = self.url.startswith("sqlite")
        engine = sa.create_engine(self.url, pool_pre_ping=not sqlite, connect_args={"timeout": LOCK_WAIT_SECONDS} if sqlite else {})
        if sqlite:
            Path(engine.url.database or "").parent.mkdir(parents=True, exist_ok=True)
        with alone(engine) as connection:
            META.create_all(connection)
            for index in ENTRIES.indexes:  # of a ledger that is older than the index
                index.create(connection, checkfirst=True)
        return engine

    @contextmanager
    def _connected(self, *, writes: bool = False) -> Generator[sa.Connection]:
        """A connection that sees every commit until now; ``writes``: that nobody else writes beside, committed at the end."""
        try:
            with alone(self._engine) if writes else at_once(self._engine) as connection:
                yield connection
        except (SQLAlchemyError, OSError) as problem:
            cause = problem.orig if isinstance(problem, DBAPIError) else problem
            raise LedgerUnavailable(url=sa.make_url(self.url).render_as_string(hide_password=True), why=str(cause).strip()) from problem

    def append(
        self,
        subject: str,
        kind: str,
        payload: Mapping[str, object],
        *,
        expect_head: str | None,
        actor: str,
        data_at: datetime,
        activate_at: datetime | None = None,
    ) -> Entry:
        """Write one fact, if the subject's head is still ``expect_head`` and the table of states allows it.

        Appending the very same fact on the same head again (a lost response, a killed caller) returns the entry that is there.
        """
        fact = plain(payload, f"{subject} {kind}")
        data_at, activate_at = in_utc("data_at", data_at), activate_at and in_utc("activate_at", activate_at)
        if not subject or not actor:
            raise PayloadIncomplete(subject=subject, kind=kind, field="a subject and an actor beside what is", found=(subject, actor))
        with self._connected(writes=True) as connection:
            before = _entries(connection, subject)
            heads = [None, *(entry.hash for entry in before)]
            if heads[-1] != expect_head:
                same = before[heads.index(expect_head)] if expect_head in heads else None
                if same is not None and (same.kind, same.payload, same.actor) == (kind, fact, actor):
                    return same
                raise LedgerConflict(subject=subject, kind=kind, expected=expect_head, head=before[-1] if before else None)
            now, frozen = datetime.now(UTC), states.turned_on(_entries(connection, FREEZE), FREEZE) if kind in NEW else None
            states.check(subject, kind, fact, before, at=now, frozen=frozen)
            last = _last(connection)
            demand(connection, self.ring, last)
            starts = activate_at or (now if kind in states.TURNS else None)
            row: dict[str, Any] = {
                "seq": last[0] + 1, "subject": subject, "kind": kind, "payload": fact, "at": stamp(now),
                "data_at": stamp(data_at), "activate_at": starts and stamp(starts), "actor": actor, "prev": last[1],
            }  # fmt: skip
            row |= {"hash": digest(row), "payload": canonical(fact).decode()}
            connection.execute(ENTRIES.insert().values(**row))
            sign(connection, self.ring, seq=row["seq"], content_hash=row["hash"])
        return Entry(**_read(row))

    def seq(self) -> int:
        """Number of the last entry of all, 0 when there is none: the cheap question to poll."""
        with self._connected() as connection:
            return connection.execute(sa.select(sa.func.max(ENTRIES.c.seq))).scalar() or 0

    def entries(self, subject: str | None = None, *, kinds: Sequence[str] = ()) -> tuple[Entry, ...]:
        """Entries in order, of one subject or of all, of some kinds or of all."""
        with self._connected() as connection:
            return _entries(connection, subject, kinds)

    def since(self, seq: int) -> tuple[Entry, ...]:
        """Entry number ``seq`` and those after it, of all subjects."""
        query = sa.select(ENTRIES).where(ENTRIES.c.seq >= seq).order_by(ENTRIES.c.seq)
        with self._connected() as connection:
            return tuple(Entry(**_read(row)) for row in connection.execute(query).mappings())

    def registered(self, beginning: str) -> tuple[Entry, ...]:
        """The registrations of releases whose content hash begins so, of all subjects: what the id of a prediction begins with."""
        if not re.fullmatch("[0-9a-f]+", beginning):
            return ()
        named = ENTRIES.c.payload.contains(f'"content_hash":"{beginning}')
        query = sa.select(ENTRIES).where(ENTRIES.c.kind == "registered", named).order_by(ENTRIES.c.seq)
        with self._connected() as connection:
            return tuple(Entry(**_read(row)) for row in connection.execute(query).mappings())

    def head(self, subject: str) -> str | None:
        """Hash of the subject's last entry."""
        return next((entry.hash for entry in reversed(self.entries(subject))), None)

    def live(self, subject: str) -> Entry | None:
        """The entry that made the live version live, now by the wall clock."""
        return states.live_at(self.entries(subject), datetime.now(UTC))

    def live_of_all(self, at: datetime) -> dict[str, Entry | None]:
        """What was live of each model at wall instant ``at``, by one look; a model of which nothing had gone live by then is left out.

        Only what was written since a model's last life began is folded: what came before matters no more, unless that life was called off
        before it began.
        """
        with self._connected() as connection:
            known = _since_last_life(connection, in_utc("at", at))
        for subject, (first, *_) in known.items():
            if states.live_at(known[subject], first.activate_at or first.at) is None:
                known[subject] = [*self.entries(subject, kinds=sorted(states.TURNS))]
        return {subject: states.live_at(entries, at) for subject, entries in known.items()}

    def live_for(self, subject: str, data_at: datetime) -> Entry | None:
        """The entry that was live by the data clock just before ``data_at``."""
        return states.live_for(self.entries(subject), in_utc("data_at", data_at))

    def verify(self) -> int:
        """Recompute the whole chain and check that its end is the head that was signed; the number of entries, or ``LedgerTampered``."""
        return self.read_on(Mark(), subjects=())[0].last[0]

    def read_on(self, mark: Mark, *, subjects: Collection[str]) -> tuple[Mark, tuple[Entry, ...]]:
        """What was written about some subjects after a mark, and the next mark: each entry follows the one before, the last is signed.

        Cheap when nothing is new. What stood before the mark is not looked at again, but that the entry at the mark is still there.

        Raises:
            LedgerTampered: or another error of the head, by name; nothing of what is new can be believed, and the mark stays.
        """
        with self._connected() as connection:
            end, last, found = _last(connection), mark.last, list[Entry]()
            if (end, newest(connection)) == (mark.last, mark.heads):
                return mark, ()
            for row in _chained(connection, mark.last):
                last = row["seq"], row["hash"]
                if row["subject"] in subjects:
                    found.append(Entry(**_read(row)))
            if last != end:
                raise LedgerTampered(seq=last[0], what="it was removed or replaced after it had been read here")
            return Mark(last=last, heads=demand(connection, self.ring, last)), tuple(found)

    def sign(self) -> int:
        """Sign the head of a chain that holds and whose head no good key has signed yet: an act of its own, after a look at the entries."""
        with self._connected(writes=True) as connection:
            seq, head = 0, ""
            for row in _chained(connection):
                seq, head = row["seq"], row["hash"]
            if seq:
                sign(connection, self.ring, seq=seq, content_hash=head)
        return seq

    def signed_head(self) -> dict[str, Any] | None:
        """The head that was signed last: ``seq``, ``hash``, ``key_id``, ``signature``."""
        with self._connected() as connection:
            return next(iter(newest(connection)), None)

    def observe(self, worker: str, subject: str, what: str, payload: Mapping[str, object]) -> None:
        """Report what a worker did; no compare-and-swap, no chain."""
        row = {"at": stamp(datetime.now(UTC)), "worker": worker, "subject": subject, "what": what, "payload": canonical(payload).decode()}
        with self._connected(writes=True) as connection:
            connection.execute(OBSERVATIONS.insert().values(**row))

    def observations(self) -> list[dict[str, Any]]:
        """Everything that workers reported (``at``, ``worker``, ``subject``, ``what``, ``payload``), in order."""
        with self._connected() as connection:
            rows = connection.execute(sa.select(OBSERVATIONS).order_by(OBSERVATIONS.c.id)).mappings()
            return [_read(row) for row in rows]


@cache
def ledger_at(url: str, keys: str = "") -> Ledger:
    """The one ledger of this process for a URL, its heads signed by the ring in folder ``keys``: engines are kept, not made per call."""
    from resources.security.keys import KeyRing

    return Ledger(url, KeyRing(keys) if keys else None)


def stamp(instant: datetime) -> str:
    """An instant as the ledger writes it: UTC, microseconds, fixed width, so that text order is time order."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds")


def _entries(connection: sa.Connection, subject: str | None, kinds: Sequence[str] = ()) -> tuple[Entry, ...]:
    query = sa.select(ENTRIES).order_by(ENTRIES.c.seq)
    query = query.where(ENTRIES.c.kind.in_(kinds)) if kinds else query
    query = query if subject is None else query.where(ENTRIES.c.subject == subject)
    return tuple(Entry(**_read(row)) for row in connection.execute(query).mappings())


def _since_last_life(connection: sa.Connection, at: datetime) -> dict[str, list[Entry]]:
    """Of each subject the last entry that begins a life by ``at``, and what changes lives by then and was written later."""
    by_then = sa.func.coalesce(ENTRIES.c.activate_at, ENTRIES.c.at) <= stamp(at)
    begins = sa.select(ENTRIES.c.subject, sa.func.max(ENTRIES.c.seq).label("seq")).where(ENTRIES.c.kind.in_(states.BEGINS_LIVE), by_then)
    last = begins.group_by(ENTRIES.c.subject).cte("last")
    later = (ENTRIES.c.subject == last.c.subject) & (ENTRIES.c.seq > last.c.seq)
    ends = sa.select(ENTRIES.c.seq).join(last, later).where(ENTRIES.c.kind.in_(states.ENDS_LIVE), by_then)
    numbers = sorted(connection.scalars(sa.union_all(sa.select(last.c.seq), ends)))
    found = dict[str, list[Entry]]()
    for begin in range(0, len(numbers), AT_ONCE):
        query = sa.select(ENTRIES).where(ENTRIES.c.seq.in_(numbers[begin : begin + AT_ONCE])).order_by(ENTRIES.c.seq)
        for row in connection.execute(query).mappings():
            found.setdefault(row["subject"], []).append(Entry(**_read(row)))
    return found


def _last(connection: sa.Connection) -> tuple[int, str | None]:
    """Number and hash of the last entry of all."""
    found = connection.execute(sa.select(ENTRIES.c.seq, ENTRIES.c.hash).order_by(ENTRIES.c.seq.desc()).limit(1)).first()
    return (found.seq, found.hash) if found else (0, None)


def _chained(connection: sa.Connection, after: tuple[int, str | None] = (0, None)) -> Iterator[dict[str, Any]]:
    """The rows after an entry, number and hash, each of them once it was checked against its own hash and the entry before."""
    begin, prev = after
    rows = connection.execute(sa.select(ENTRIES).where(ENTRIES.c.seq > begin).order_by(ENTRIES.c.seq)).mappings()
    for seq, row in enumerate(rows, begin + 1):
        _verify({**row}, seq, prev)
        prev = row["hash"]
        yield {**row}


def _read(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row's values: instants and the payload from their text."""
    instants = {name: datetime.fromisoformat(row[name]) for name in ("at", "data_at", "activate_at") if row.get(name)}
    return {**row, **instants, "payload": json.loads(row["payload"])}


def _verify(row: dict[str, Any], seq: int, prev: str | None) -> None:
    """The hash covers the canonical JSON of every field but itself: the payload as a value, instants as text."""
    if row["seq"] != seq:
        raise LedgerTampered(seq=seq, what=f"it is missing; entry {row['seq']} stands in its place")
    if row["prev"] != prev:
        raise LedgerTampered(seq=seq, what="it does not follow from the entry before it")
    try:
        fact = {**row, "payload": json.loads(row["payload"])}
        holds = fact.pop("hash") == digest(fact) and canonical(fact["payload"]).decode() == row["payload"]
    except (ValueError, TypeError, RecursionError) as problem:  # bytes, too deep, no text: SQLite keeps what it is given
        raise LedgerTampered(seq=seq, what=f"its payload is no JSON ({problem})") from problem
    if not holds:
        raise LedgerTampered(seq=seq, what="its fields do not add up to its hash")
