"""The ledger: an append-only, hash-chained table of facts about models and things, and the observations that workers report.

Appending is a compare-and-swap on the subject's head in one transaction, in which the table of states is checked. The chain runs over all
subjects. Folds and states are pure and live in ``states``; this module only stores and reads. Works on SQLite and Postgres.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import sqlalchemy as sa

from resources.errors import PlatformError
from resources.registry import states
from resources.registry.database import ENTRIES, OBSERVATIONS, Database
from resources.registry.identity import canonical, plain_object, sha256
from resources.registry.states import Entry, PayloadIncomplete

_LAST_SEQ: Final = sa.select(sa.func.max(ENTRIES.c.seq))


class LedgerConflict(PlatformError):
    """Somebody else wrote about the subject first."""

    def __init__(self, *, subject: str, kind: str, expected: str | None, head: Entry | None) -> None:
        last = f"`{head.kind}` by {head.actor} at {stamp(head.at)}" if head else "nothing: the subject is new"
        super().__init__(
            f"{subject}: the entry `{kind}` was decided on head {(expected or 'none')[:12]}, but the last entry is now {last}. "
            "Nothing was written. Look at what changed and decide again."
        )


class LedgerTampered(PlatformError):
    """The chain does not hold: rows were changed, removed, added or reordered behind the ledger's back."""

    def __init__(self, *, seq: int, what: str) -> None:
        super().__init__(
            f"ledger entry {seq}: {what}. Nothing from this entry on can be trusted. "
            "Restore the ledger from a backup; until then promote nothing. What is being served stays as it is."
        )


class NaiveInstant(PlatformError):
    """An instant without a time zone."""

    def __init__(self, *, name: str, value: datetime) -> None:
        super().__init__(
            f"{name}={value.isoformat()} has no time zone, so the ledger cannot order it. Pass an aware datetime, e.g. in UTC."
        )


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What a worker reported about a subject: loaded, refused, answered."""

    id: int
    at: datetime
    worker: str
    subject: str
    what: str
    payload: Mapping[str, object]


def stamp(instant: datetime) -> str:
    """An instant as the ledger writes it: UTC, microseconds, fixed width, so that text order is time order."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds")


def _aware(name: str, instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise NaiveInstant(name=name, value=instant)
    return instant.astimezone(UTC)


def entry_hash(row: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON of every field but the hash itself; the payload as a value, instants as text."""
    return sha256(canonical({name: row[name] for name in row if name != "hash"}))


class Ledger:
    """One ledger database. Opening does nothing; the tables are made at first use, by whoever comes first."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._database = Database(url)

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
        fact = plain_object(payload, f"{subject} {kind}")
        data, starts = _aware("data_at", data_at), None if activate_at is None else _aware("activate_at", activate_at)
        if not subject or not actor:
            raise PayloadIncomplete(subject=subject, kind=kind, field="a subject and an actor beside what is", found=(subject, actor))
        with self._database.writing() as connection:
            before = _entries(connection, subject)
            if (before[-1].hash if before else None) != expect_head:
                same = _written_on(before, expect_head)
                if same is not None and (same.kind, same.payload, same.actor) == (kind, fact, actor):
                    return same
                raise LedgerConflict(subject=subject, kind=kind, expected=expect_head, head=before[-1] if before else None)
            states.check(subject, kind, fact, before)
            row = _row(_last(connection), subject, kind, fact, actor, data, starts)
            connection.execute(ENTRIES.insert().values(**row | {"payload": canonical(fact).decode()}))
        return _entry(row)

    def seq(self) -> int:
        """Number of the last entry of all, 0 when there is none: the cheap question to poll."""
        with self._database.reading() as connection:
            return connection.execute(_LAST_SEQ).scalar() or 0

    def head(self, subject: str) -> str | None:
        """Hash of the subject's last entry."""
        query = sa.select(ENTRIES.c.hash).where(ENTRIES.c.subject == subject).order_by(ENTRIES.c.seq.desc()).limit(1)
        with self._database.reading() as connection:
            return connection.execute(query).scalar()

    def entries(self, subject: str | None = None) -> tuple[Entry, ...]:
        """Entries in order, of one subject or of all."""
        with self._database.reading() as connection:
            return _entries(connection, subject)

    def subjects(self) -> tuple[str, ...]:
        """Everything that the ledger has an entry about."""
        with self._database.reading() as connection:
            return tuple(connection.execute(sa.select(ENTRIES.c.subject).distinct().order_by(ENTRIES.c.subject)).scalars())

    def live(self, subject: str, at: datetime | None = None) -> Entry | None:
        """The entry that made the live version live at wall instant ``at`` (default: now)."""
        return states.live_at(self.entries(subject), _aware("at", at) if at else datetime.now(UTC))

    def upcoming(self, subject: str, after: datetime | None = None) -> Entry | None:
        """The next entry that will become live after wall instant ``after`` (default: now), if one is planned."""
        return states.upcoming(self.entries(subject), _aware("after", after) if after else datetime.now(UTC))

    def live_for(self, subject: str, data_at: datetime) -> Entry | None:
        """The entry that was live by the data clock just before ``data_at``."""
        return states.live_for(self.entries(subject), _aware("data_at", data_at))

    def verify(self) -> int:
        """Recompute the whole chain; the number of entries that hold, or ``LedgerTampered``."""
        prev, count = None, 0
        with self._database.reading() as connection:
            for found in connection.execute(sa.select(ENTRIES).order_by(ENTRIES.c.seq)).mappings():
                count += 1
                _verify_row(dict(found), count, prev)
                prev = found["hash"]
        return count

    def observe(self, worker: str, subject: str, what: str, payload: Mapping[str, object]) -> None:
        """Report what a worker did; no compare-and-swap, no chain."""
        row = {"at": stamp(datetime.now(UTC)), "worker": worker, "subject": subject, "what": what, "payload": canonical(payload).decode()}
        with self._database.writing() as connection:
            connection.execute(OBSERVATIONS.insert().values(**row))

    def observations(self, subject: str | None = None, *, what: str | None = None, after: int = 0) -> tuple[Observation, ...]:
        """Reports in order, later than report number ``after``."""
        query = sa.select(OBSERVATIONS).where(OBSERVATIONS.c.id > after).order_by(OBSERVATIONS.c.id)
        query = query if subject is None else query.where(OBSERVATIONS.c.subject == subject)
        query = query if what is None else query.where(OBSERVATIONS.c.what == what)
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings().all()
        return tuple(_observation(row) for row in rows)

    def close(self) -> None:
        """Give the connections back; the next use opens them again."""
        self._database.engine.dispose()


@cache
def ledger_at(url: str) -> Ledger:
    """The one ledger of this process for a URL: engines are kept, not made per call."""
    return Ledger(url)


def _row(
    last: tuple[int, str | None], subject: str, kind: str, fact: object, actor: str, data_at: datetime, activate_at: datetime | None
) -> dict[str, Any]:
    now = datetime.now(UTC)
    starts = activate_at or (now if kind in states.BEGINS_LIVE | states.ENDS_LIVE else None)
    row: dict[str, Any] = {
        "seq": last[0] + 1, "subject": subject, "kind": kind, "payload": fact, "at": stamp(now), "data_at": stamp(data_at),
        "activate_at": None if starts is None else stamp(starts), "actor": actor, "prev": last[1],
    }  # fmt: skip
    return row | {"hash": entry_hash(row)}


def _last(connection: sa.Connection) -> tuple[int, str | None]:
    found = connection.execute(sa.select(ENTRIES.c.seq, ENTRIES.c.hash).order_by(ENTRIES.c.seq.desc()).limit(1)).first()
    return (found.seq, found.hash) if found else (0, None)


def _written_on(entries: tuple[Entry, ...], head: str | None) -> Entry | None:
    """The subject's entry that directly follows ``head``."""
    hashes = [None, *(entry.hash for entry in entries)]
    return entries[hashes.index(head)] if head in hashes[:-1] else None


def _entries(connection: sa.Connection, subject: str | None) -> tuple[Entry, ...]:
    query = sa.select(ENTRIES).order_by(ENTRIES.c.seq)
    query = query if subject is None else query.where(ENTRIES.c.subject == subject)
    return tuple(_entry(dict(row) | {"payload": json.loads(row["payload"])}) for row in connection.execute(query).mappings())


def _entry(row: Mapping[str, Any]) -> Entry:
    return Entry(
        seq=row["seq"],
        subject=row["subject"],
        kind=row["kind"],
        payload=row["payload"],
        at=datetime.fromisoformat(row["at"]),
        data_at=datetime.fromisoformat(row["data_at"]),
        activate_at=datetime.fromisoformat(row["activate_at"]) if row["activate_at"] else None,
        actor=row["actor"],
        prev=row["prev"],
        hash=row["hash"],
    )


def _observation(row: Mapping[Any, Any]) -> Observation:
    return Observation(
        id=row["id"],
        at=datetime.fromisoformat(row["at"]),
        worker=row["worker"],
        subject=row["subject"],
        what=row["what"],
        payload=json.loads(row["payload"]),
    )


def _verify_row(row: dict[str, Any], seq: int, prev: str | None) -> None:
    if row["seq"] != seq:
        raise LedgerTampered(seq=seq, what=f"it is missing; entry {row['seq']} stands in its place")
    if row["prev"] != prev:
        raise LedgerTampered(seq=seq, what="it does not follow from the entry before it")
    try:
        payload = json.loads(row["payload"])
    except json.JSONDecodeError as problem:
        raise LedgerTampered(seq=seq, what=f"its payload is no JSON ({problem})") from problem
    if canonical(payload).decode() != row["payload"] or entry_hash(row | {"payload": payload}) != row["hash"]:
        raise LedgerTampered(seq=seq, what="its fields do not add up to its hash")
