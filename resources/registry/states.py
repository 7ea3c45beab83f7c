"""The one table of states and the folds over entries. Pure: entries in, answers out; no clock, no store."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from resources.errors import PlatformError
from resources.registry.approvals import DEFAULT_LEVEL, NEEDED, ApprovalsMissing, approvals

BEGINS_LIVE: Final = frozenset({"promoted", "rolled_back", "alias_adopted"})
ENDS_LIVE: Final = frozenset({"retired", "revoked", "archived"})
TURNS: Final = BEGINS_LIVE | ENDS_LIVE
"""Kinds by which alone what is live changes."""

TRANSITIONS: Final[Mapping[str, Mapping[str | None, str]]] = {
    "trained": {None: "trained"},
    "registered": {None: "candidate", "trained": "candidate"},
    "gated": {"trained": "trained", "candidate": "candidate"},
    "refused": dict.fromkeys((None, "trained", "candidate", "approved"), "refused"),
    "approved": {"candidate": "approved", "approved": "approved"},
    "promoted": {"approved": "live"},
    "rolled_back": {"retired": "live"},
    "alias_adopted": {"approved": "live", "retired": "live"},
    "retired": {"live": "retired"},
    "archived": dict.fromkeys(("trained", "candidate", "approved", "live", "retired"), "retired"),
    "revoked": dict.fromkeys(("trained", "candidate", "approved", "live", "retired"), "revoked"),
    "freed": {"retired": "retired", "revoked": "revoked", "refused": "refused"},
    "held": {None: "on", "off": "on"},
    "released_hold": {"on": "off"},
    "frozen": {None: "on", "off": "on"},
    "unfrozen": {"on": "off"},
}
"""What an entry of a kind makes of the thing that it is about: state before -> state after. What is not here is refused."""

FREEZE: Final = "freeze"
"""Subject and switch of the freeze, which is about every model."""

HOLD: Final = "hold"
SWITCHES: Final[Mapping[str, str]] = {"held": HOLD, "released_hold": HOLD, "frozen": FREEZE, "unfrozen": FREEZE}
"""Kinds about the whole subject, and the switch that they turn; the others are about the release that their payload names."""

NEW: Final = frozenset({"promoted", "alias_adopted"})
"""Kinds that bring something new to life: a freeze and a hold stop them. A rollback is the way back and is never stopped."""

_ON: Final[Mapping[str, str]] = {"held": HOLD, "rolled_back": HOLD, "frozen": FREEZE}
"""Kinds that turn a switch on. A rollback holds the model by the same entry: the next training must not bring the fault back."""

NOTES: Final = frozenset({"overridden", "declassified"})
"""Kinds that change no state."""

KINDS: Final = frozenset(TRANSITIONS) | NOTES


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One fact in the ledger. ``at`` is the wall clock, ``data_at`` the data's; ``hash`` covers every other field."""

    seq: int
    subject: str
    kind: str
    payload: Mapping[str, Any]
    at: datetime
    data_at: datetime
    activate_at: datetime | None
    actor: str
    prev: str | None
    hash: str

    @property
    def content_hash(self) -> str | None:
        """The release that the entry is about, if it is about one."""
        return self.payload.get("content_hash")

    @property
    def version(self) -> int | None:
        """The version number that the entry names, if any."""
        return self.payload.get("version")


class LedgerConflict(PlatformError):
    """Somebody else wrote about the subject first."""

    def __init__(self, *, subject: str, kind: str, expected: str | None, head: Entry | None) -> None:
        last = f"`{head.kind}` by {head.actor} at {head.at.isoformat()}" if head else "nothing: the subject is new"
        super().__init__(
            f"{subject}: the entry `{kind}` was decided on head {(expected or 'none')[:12]}, but the last entry is now {last}. "
            "Nothing was written. Look at what changed and decide again."
        )


class TransitionRefused(PlatformError):
    """An entry that does not follow from the state that its subject is in."""

    def __init__(self, *, subject: str, kind: str, thing: str, state: str | None, allowed: Iterable[str]) -> None:
        super().__init__(
            f"{subject}: {thing} is {state or 'unknown to the ledger'}, so it cannot be {kind.replace('_', ' ')}. Nothing was written. "
            f"What may follow now: {', '.join(sorted(allowed)) or 'nothing'}."
        )


class Held(PlatformError):
    """A model whose next version does not go live until somebody lifts the hold."""

    def __init__(self, *, subject: str, by: Entry) -> None:
        super().__init__(
            f"{subject} is held {since(by)}. Nothing was promoted; what is live stays live. When the cause is mended, lift it: "
            f"python -m mlops_assets.operate lift {subject} --why '...' (job lift_hold), and promote again."
        )


class Frozen(PlatformError):
    """The freeze is on. ``undone`` is what was not done to the subject."""

    def __init__(self, *, subject: str, by: Entry, undone: str = "promoted") -> None:
        super().__init__(
            f"{subject}: the platform is frozen {since(by)}. Nothing was {undone}; what is live stays live. "
            "When the cause is mended, unfreeze it: python -m mlops_assets.operate unfreeze --why '...' (job unfreeze_platform)."
        )


class PayloadIncomplete(PlatformError):
    """An entry that does not name what it is about."""

    def __init__(self, *, subject: str, kind: str, field: str, found: object) -> None:
        super().__init__(f"{subject}: an entry `{kind}` needs {field} in its payload, found {found!r}. Nothing was written.")


def since(entry: Entry) -> str:
    """Since when, by whom and why, in words."""
    return f"since {entry.at.isoformat(timespec='seconds')} by {entry.actor}: {entry.payload.get('why') or 'no reason was given'}"


def states(entries: Iterable[Entry]) -> dict[str, str]:
    """State of each release (by content hash) and switch of one subject; a release that another replaced is ``retired``.

    A release that was approved by fewer people than its level asks for stays a candidate.
    """
    found: dict[str, str] = {}
    about: dict[str, list[Entry]] = {}
    for entry in entries:
        thing = _thing(entry.kind, entry.payload)
        if entry.kind in NOTES or thing is None:
            continue
        if entry.kind in BEGINS_LIVE:
            found |= dict.fromkeys([name for name, state in found.items() if state == "live"], "retired")
        about.setdefault(thing, []).append(entry)
        enough = entry.kind != "approved" or not approvals(about[thing], thing).lacking(entry.at)
        found[thing] = TRANSITIONS[entry.kind][found.get(thing)] if enough else found[thing]
        if entry.kind in _ON:
            found[_ON[entry.kind]] = "on"
    return found


def turned_on(entries: Iterable[Entry], switch: str) -> Entry | None:
    """The entry by which a switch is on now; None when it is off."""
    found = None
    for entry in entries:
        if _ON.get(entry.kind) == switch:
            found = entry
        elif SWITCHES.get(entry.kind) == switch:
            found = None
    return found


def refuse_frozen(freeze: Iterable[Entry], *, subject: str, undone: str) -> None:
    """Refuse to begin work on a subject while the freeze is on, by the entries about the freeze."""
    if (by := turned_on(freeze, FREEZE)) is not None:
        raise Frozen(subject=subject, by=by, undone=undone)


def freed(entries: Iterable[Entry]) -> dict[str, Entry]:
    """The entry by which the bytes of a release went, by content hash; once it is live again or otherwise of use, they are back."""
    last = {str(entry.content_hash): entry for entry in entries if entry.content_hash is not None and entry.kind not in NOTES}
    return {name: entry for name, entry in last.items() if entry.kind == "freed"}


def versions(entries: Iterable[Entry]) -> dict[str, int]:
    """Version number of each registered release, by content hash, in order of registration."""
    return {entry.payload["content_hash"]: entry.payload["version"] for entry in entries if entry.kind == "registered"}


def check(
    subject: str, kind: str, payload: Mapping[str, Any], before: Sequence[Entry], *, at: datetime, frozen: Entry | None = None
) -> None:
    """Refuse an entry, written at wall instant ``at``, that does not follow from the subject's entries before it, or from a freeze."""
    for field in _lacks(kind, payload):
        raise PayloadIncomplete(subject=subject, kind=kind, field=field, found=dict(payload))
    if kind in NOTES:
        return
    if kind not in TRANSITIONS:
        raise TransitionRefused(subject=subject, kind=kind, thing=f"`{kind}`", state="not a kind of entry", allowed=KINDS)
    if (subject == FREEZE) != (SWITCHES.get(kind) == FREEZE):  # a model of that name would be taken for the freeze
        own = {one for one in KINDS if (SWITCHES.get(one) == FREEZE) == (subject == FREEZE)}
        raise TransitionRefused(subject=subject, kind=kind, thing=f"`{kind}`", state=f"not about {subject}", allowed=own)
    thing = _thing(kind, payload)
    if not isinstance(thing, str):
        raise PayloadIncomplete(subject=subject, kind=kind, field="content_hash", found=thing)
    state = states(before).get(thing)
    if kind in NEW:
        _refuse_new(subject, thing, payload, before, at=at, frozen=frozen, unapproved=state in {"candidate", "approved"})
    if state not in TRANSITIONS[kind]:
        allowed = [one for one, table in TRANSITIONS.items() if state in table and SWITCHES.get(one) == SWITCHES.get(kind)]
        shown = f"the {thing}" if kind in SWITCHES else f"release {thing[:12]}"
        raise TransitionRefused(subject=subject, kind=kind, thing=shown, state=state, allowed=allowed)
    numbers, said = versions(before), payload.get("version")
    number = numbers.get(thing, max(numbers.values(), default=0) + 1 if kind == "registered" else None)
    needed = kind == "registered" or kind in BEGINS_LIVE or said is not None
    if number is not None and needed and said != number:
        raise PayloadIncomplete(subject=subject, kind=kind, field=f"version {number}, the number of {thing[:12]},", found=said)


def _refuse_new(
    subject: str, thing: str, payload: Mapping[str, Any], before: Sequence[Entry], *, at: datetime, frozen: Entry | None, unapproved: bool
) -> None:
    """What stops something new from going live: the freeze, a hold, too few approvals."""
    if frozen is not None:
        raise Frozen(subject=subject, by=frozen)
    if (held := turned_on(before, HOLD)) is not None:
        raise Held(subject=subject, by=held)
    if unapproved and (lacking := approvals(before, thing).lacking(at)):
        raise ApprovalsMissing(model=subject, version=payload.get("version"), lacking=lacking)


def _lacks(kind: str, payload: Mapping[str, Any]) -> Iterator[str]:
    """What the payload of an entry must name beside its release."""
    if kind == "registered" and payload.get("level", DEFAULT_LEVEL) not in NEEDED:
        yield f"a level out of {', '.join(NEEDED)}"
    if kind == "overridden" or (kind == "approved" and "approver" in payload):
        yield from (field for field in _SIGNED[kind] if not payload.get(field))
        yield from () if _aware(payload.get("expires_at")) else ("expires_at, an instant with a time zone,",)


_SIGNED: Final[Mapping[str, tuple[str, ...]]] = {
    "approved": ("approver", "content_hash", "token_id"),
    "overridden": ("person", "content_hash", "token_id", "why"),
}


def _aware(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _thing(kind: str, payload: Mapping[str, Any]) -> Any:
    return SWITCHES.get(kind) or payload.get("content_hash")


def _since(entry: Entry) -> datetime:
    """The wall instant from which an entry that begins or ends a life counts."""
    return entry.activate_at or entry.at


def _live(entries: Sequence[Entry], counts: Callable[[Entry], bool]) -> Entry | None:
    """The last life that was begun by an entry that counts, unless one that counts ended it.

    A release that was retired, archived or revoked before its activation never becomes live.
    """
    ends, live = [entry for entry in entries if entry.kind in ENDS_LIVE], None
    for entry in filter(counts, entries):
        if entry.kind in BEGINS_LIVE:
            cancelled = (end for end in ends if end.content_hash == entry.content_hash and end.seq > entry.seq)
            live = live if any(_since(end) <= _since(entry) for end in cancelled) else entry
        elif entry.kind in ENDS_LIVE and live is not None and live.content_hash == entry.content_hash:
            live = None
    return live


def live_at(entries: Sequence[Entry], at: datetime) -> Entry | None:
    """The entry that is live at wall instant ``at``: the last one with ``activate_at <= at``, unless it was ended since."""
    return _live(entries, lambda entry: _since(entry) <= at)


def live_for(entries: Sequence[Entry], data_at: datetime) -> Entry | None:
    """The entry that was live for data of instant ``data_at``: the last one whose data clock is before it, unless ended before it."""
    return _live(entries, lambda entry: entry.data_at < data_at)


def stays_until(entries: Sequence[Entry], at: datetime) -> datetime:
    """The first instant after wall instant ``at`` at which what is live may change without another entry."""
    turns = (_since(entry) for entry in entries if entry.kind in TURNS)
    return min((since for since in turns if since > at), default=datetime.max.replace(tzinfo=UTC))


def upcoming(entries: Sequence[Entry], after: datetime) -> Entry | None:
    """The next entry that will become live after wall instant ``after``, as things stand; None when nothing is planned."""
    planned = sorted(_since(entry) for entry in entries if entry.kind in BEGINS_LIVE and _since(entry) > after)
    return next((live for at in planned if (live := live_at(entries, at)) and _since(live) > after), None)
