"""Which versions wait for people before they may go live. Pure: entries in, answers out; no clock, no store."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from resources.registry.approvals import Approvals, approvals
from resources.registry.states import FREEZE, HOLD, Entry, live_at, states, turned_on


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A version that too few people agree to: what is ``lacking``, in words, and the approvals that count, by person.

    ``live`` is what it would replace, ``held`` what keeps it from going live even then, ``newer`` the next version that waits too.
    """

    entries: Sequence[Entry]
    registered: Entry
    approvals: Approvals
    valid: Mapping[str, Entry]
    lacking: str
    live: Entry | None
    held: Entry | None
    newer: Entry | None


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """All that waits, by model and the newest first; the freeze, if it is on."""

    versions: Sequence[Pending]
    frozen: Entry | None


def waiting(entries: Iterable[Entry], at: datetime) -> Waiting:
    """What waits for people at wall instant ``at``."""
    known: dict[str, list[Entry]] = {}
    for entry in entries:
        known.setdefault(entry.subject, []).append(entry)
    frozen = turned_on(known.pop(FREEZE, []), FREEZE)
    return Waiting(versions=[one for model in sorted(known) for one in _of_model(known[model], at)], frozen=frozen)


def _of_model(known: Sequence[Entry], at: datetime) -> list[Pending]:
    """Versions after the live one that may go live once enough people agree; to one before it only a rollback leads back."""
    live, held, now = live_at(known, at), turned_on(known, HOLD), states(known)
    found: list[Pending] = []
    for entry in reversed([one for one in known if one.kind == "registered"]):
        name, after = str(entry.content_hash), live is None or (entry.version or 0) > (live.version or 0)
        asked = approvals(known, name)
        if after and now[name] in {"candidate", "approved"} and (lacking := asked.lacking(at)):
            newer = found[-1].registered if found else None
            one = Pending(
                entries=known, registered=entry, approvals=asked, valid=asked.valid(at), lacking=lacking, live=live, held=held, newer=newer
            )
            found.append(one)
    return found
