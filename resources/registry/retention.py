"""Which released bytes may go, told from the ledger alone. Pure: entries in, answers out."""

from collections.abc import Collection, Sequence
from datetime import datetime

from resources.registry.states import BEGINS_LIVE, Entry, states

KEPT_STATES = frozenset({"live", "approved", "candidate", "trained"})


def free(entries: Sequence[Entry], *, predicted: Collection[str], before: datetime) -> list[Entry]:
    """The registrations of one model's versions that nobody needs any more.

    Kept are: what is live or may become so, what a rollback would bring back, what made predictions that are still there, and whatever
    something was said about since ``before``.
    """
    now = states(entries)
    lives = list(dict.fromkeys(entry.content_hash for entry in reversed(entries) if entry.kind in BEGINS_LIVE))
    lately = {
        entry.content_hash for entry in entries if entry.at >= before and entry.kind != "freed"
    }  # one that was killed in between goes on
    needed = {*predicted, *lately, *lives[:2], *(name for name, state in now.items() if state in KEPT_STATES)}
    return [entry for entry in entries if entry.kind == "registered" and entry.content_hash not in needed]
