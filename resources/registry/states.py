"""The one table of states and the folds over entries. Pure: entries in, answers out; no clock, no store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from resources.errors import PlatformError

Kind = Literal[
    "trained", "registered", "gated", "refused", "approved", "promoted", "rolled_back", "held", "released_hold", "retired", "revoked",
    "archived", "overridden", "declassified", "frozen", "unfrozen", "alias_adopted",
]  # fmt: skip
State = Literal["trained", "candidate", "approved", "live", "retired", "revoked", "refused"]

BEGINS_LIVE: Final[frozenset[str]] = frozenset({"promoted", "rolled_back", "alias_adopted"})
ENDS_LIVE: Final[frozenset[str]] = frozenset({"retired", "revoked", "archived"})

_BEFORE_LIVE: Final = ("trained", "candidate", "approved")
RELEASE_TRANSITIONS: Final[Mapping[str, Mapping[State | None, State]]] = {
    "trained": {None: "trained"},
    "registered": {None: "candidate", "trained": "candidate"},
    "gated": {"trained": "trained", "candidate": "candidate"},
    "refused": {None: "refused", "trained": "refused", "candidate": "refused", "approved": "refused"},
    "approved": {"candidate": "approved"},
    "promoted": {"approved": "live"},
    "rolled_back": {"retired": "live"},
    "alias_adopted": {"approved": "live", "retired": "live"},
    "retired": {"live": "retired"},
    "archived": {"trained": "retired", "candidate": "retired", "approved": "retired", "live": "retired", "retired": "retired"},
    "revoked": {"trained": "revoked", "candidate": "revoked", "approved": "revoked", "live": "revoked", "retired": "revoked"},
}
"""What an entry of a kind makes of the release that it names: state before -> state after. What is not here is refused."""

SWITCHES: Final[Mapping[str, tuple[str, str]]] = {
    "held": ("held", "released_hold"),
    "released_hold": ("held", "released_hold"),
    "frozen": ("frozen", "unfrozen"),
    "unfrozen": ("frozen", "unfrozen"),
}
"""Kinds that turn something on or off for the whole subject: (on, off). Nothing is turned on or off twice."""

NOTES: Final[frozenset[str]] = frozenset({"overridden", "declassified"})
"""Kinds that change no state."""

KINDS: Final[frozenset[str]] = frozenset(RELEASE_TRANSITIONS) | frozenset(SWITCHES) | NOTES


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One fact in the ledger. ``at`` is the wall clock, ``data_at`` the data's; ``hash`` covers every other field."""

    seq: int
    subject: str
    kind: str
    payload: Mapping[str, object]
    at: datetime
    data_at: datetime
    activate_at: datetime | None
    actor: str
    prev: str | None
    hash: str

    @property
    def content_hash(self) -> str | None:
        """The release that the entry is about, if it is about one."""
        named = self.payload.get("content_hash")
        return named if isinstance(named, str) else None

    @property
    def version(self) -> int | None:
        """The version number that the entry names, if any."""
        number = self.payload.get("version")
        return number if type(number) is int else None


class TransitionRefused(PlatformError):
    """An entry that does not follow from the state that its subject is in."""

    def __init__(self, *, subject: str, kind: str, thing: str, state: str | None, allowed: Iterable[str]) -> None:
        super().__init__(
            f"{subject}: {thing} is {state or 'unknown to the ledger'}, so it cannot be {kind.replace('_', ' ')}. Nothing was written. "
            f"What may follow now: {', '.join(sorted(allowed)) or 'nothing'}."
        )


class PayloadIncomplete(PlatformError):
    """An entry that does not name what it is about."""

    def __init__(self, *, subject: str, kind: str, field: str, found: object) -> None:
        super().__init__(f"{subject}: an entry `{kind}` needs {field} in its payload, found {found!r}. Nothing was written.")


def states(entries: Iterable[Entry]) -> dict[str, State]:
    """State of each release (by content hash) after the entries of one subject; a release that another replaced is ``retired``."""
    found: dict[str, State] = {}
    live: str | None = None
    for entry in entries:
        name = entry.content_hash
        if name is None or entry.kind not in RELEASE_TRANSITIONS:
            continue
        if entry.kind in BEGINS_LIVE:
            if live is not None and live != name:
                found[live] = "retired"
            live = name
        found[name] = RELEASE_TRANSITIONS[entry.kind][found.get(name)]
        if live == name and found[name] != "live":
            live = None
    return found


def versions(entries: Iterable[Entry]) -> dict[str, int]:
    """Version number of each registered release, by content hash, in order of registration."""
    return {
        entry.content_hash: entry.version
        for entry in entries
        if entry.kind == "registered" and entry.content_hash is not None and entry.version is not None
    }


def switched_on(entries: Iterable[Entry], kind: str) -> bool:
    """Whether the switch (``held`` or ``frozen``) of a subject is on after its entries."""
    on, off = SWITCHES[kind]
    return next((entry.kind == on for entry in reversed(list(entries)) if entry.kind in {on, off}), False)


def check(subject: str, kind: str, payload: Mapping[str, object], before: Iterable[Entry]) -> None:
    """Refuse an entry that does not follow from the subject's entries before it."""
    known = list(before)
    if kind in RELEASE_TRANSITIONS:
        _check_release(subject, kind, payload, known)
    elif kind in SWITCHES:
        on, off = SWITCHES[kind]
        now_on = switched_on(known, kind)
        if now_on == (kind == on):
            allowed = [off if now_on else on]
            raise TransitionRefused(subject=subject, kind=kind, thing="it", state=on if now_on else f"not {on}", allowed=allowed)
    elif kind not in NOTES:
        raise TransitionRefused(subject=subject, kind=kind, thing=f"`{kind}`", state="not a kind of entry", allowed=KINDS)


def _check_release(subject: str, kind: str, payload: Mapping[str, object], before: list[Entry]) -> None:
    name = payload.get("content_hash")
    if not isinstance(name, str):
        raise PayloadIncomplete(subject=subject, kind=kind, field="content_hash", found=name)
    state = states(before).get(name)
    if state not in RELEASE_TRANSITIONS[kind]:
        allowed = [other for other, table in RELEASE_TRANSITIONS.items() if state in table]
        raise TransitionRefused(subject=subject, kind=kind, thing=f"release {name[:12]}", state=state, allowed=allowed)
    numbers = versions(before)
    said = payload.get("version")
    if kind == "registered":
        following = max(numbers.values(), default=0) + 1
        if said != following or type(said) is not int:
            raise PayloadIncomplete(subject=subject, kind=kind, field=f"version {following}, the next number,", found=said)
    elif name in numbers and said not in {None, numbers[name]}:
        raise PayloadIncomplete(subject=subject, kind=kind, field=f"version {numbers[name]}, the number of {name[:12]},", found=said)
    if kind in BEGINS_LIVE and said is None:
        raise PayloadIncomplete(subject=subject, kind=kind, field="version", found=said)


def _spans(entries: Iterable[Entry]) -> list[tuple[Entry, datetime]]:
    """Entries that begin or end a life, each with the instant from which it counts."""
    relevant = (entry for entry in entries if entry.kind in BEGINS_LIVE | ENDS_LIVE)
    return [(entry, entry.activate_at or entry.at) for entry in relevant]


def live_at(entries: Iterable[Entry], at: datetime) -> Entry | None:
    """The entry that is live at wall instant ``at``: the last one with ``activate_at <= at``, unless it was ended since.

    A release that was retired, archived or revoked before its activation never becomes live.
    """
    spans = _spans(entries)
    live: Entry | None = None
    for entry, since in spans:
        if since > at:
            continue
        if entry.kind in ENDS_LIVE:
            live = None if live is not None and live.content_hash == entry.content_hash else live
        elif not _ended_between(spans, entry, since):
            live = entry
    return live


def _ended_between(spans: list[tuple[Entry, datetime]], begun: Entry, since: datetime) -> bool:
    return any(
        end.kind in ENDS_LIVE and end.content_hash == begun.content_hash and end.seq > begun.seq and ended <= since for end, ended in spans
    )


def upcoming(entries: Iterable[Entry], after: datetime) -> Entry | None:
    """The next entry that will become live after wall instant ``after``, as things stand; None when nothing is planned."""
    known = list(entries)
    planned = sorted({since for entry, since in _spans(known) if entry.kind in BEGINS_LIVE and since > after})
    follow = (live_at(known, instant) for instant in planned)
    return next((entry for entry in follow if entry and (entry.activate_at or entry.at) > after), None)


def live_for(entries: Iterable[Entry], data_at: datetime) -> Entry | None:
    """The entry that was live for data of instant ``data_at``: the last one whose data clock is before it, unless ended before it."""
    live: Entry | None = None
    for entry, _ in _spans(entries):
        if entry.data_at >= data_at:
            continue
        if entry.kind in BEGINS_LIVE:
            live = entry
        elif live is not None and live.content_hash == entry.content_hash:
            live = None
    return live
