"""Who must agree before a release goes live, by its security level, and who has. Pure: entries in, answers out; no clock, no store."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from resources.errors import PlatformError

if TYPE_CHECKING:
    from resources.registry.states import Entry

NEEDED: Final[Mapping[str, int]] = {"public": 0, "internal": 0, "confidential": 1, "restricted": 2}
"""How many different people a level asks for, one of whom has not trained the release."""

MAKERS: Final = ("author", "committer")
"""What an entry ``registered`` calls those who made the code, by their e-mail addresses in git."""

DEFAULT_LEVEL: Final = "internal"
"""Of a release whose registration names none: it then needs nobody, as the gate alone decides there."""


class ApprovalsMissing(PlatformError):
    """A release that too few people have approved."""

    def __init__(self, *, model: str, version: object, lacking: str) -> None:
        super().__init__(
            f"{model}: version {version} may not go live yet: {lacking}. Nothing was promoted; what is live stays live. What to look at: "
            "python -m mlops_assets.operate approvals (job pending_approvals). Have it approved: "
            f"python -m mlops_assets.operate approve {model} {version} --token <file of the person's token> (job approve_release)."
        )


def strictest(*levels: str) -> str:
    """The level that asks for most; one that nobody knows comes out first, so that the ledger refuses it."""
    order = [*NEEDED]
    return max(levels, key=lambda level: order.index(level) if level in NEEDED else len(order))


def person(name: str) -> str:
    """Who is meant by a token's name, a run's user or an e-mail address of git: the part before the @, without tags, in small letters.

    ``Bo@acme.org``, ``bo+git@acme.org``, ``17+bo@users.noreply.github.com`` and ``bo`` are one person: who might be the trainer counts as
    the trainer.
    """
    local = name.casefold().partition("@")[0]
    return re.sub(r"^\d+\+|\+.*", "", local) or local


@dataclass(frozen=True, kw_only=True)
class Approvals:
    """What a release needs and what it was given. ``trainers`` are those who trained it and who wrote or committed its code."""

    level: str
    trainers: frozenset[str]
    given: Sequence["Entry"]

    @property
    def needed(self) -> int:
        """How many people the level asks for."""
        return NEEDED[self.level]

    def valid(self, at: datetime) -> dict[str, "Entry"]:
        """The approval of each person that has not expired at ``at``."""
        known = {person(str(one.payload["approver"])): one for one in self.given if one.payload.get("approver")}
        return {who: one for who, one in known.items() if at < expiry(one)}

    def lacking(self, at: datetime) -> str:
        """What is missing at ``at``, in words; empty when there are enough."""
        people = self.valid(at)
        if len(people) >= self.needed and (not self.needed or set(people) - self.trainers):
            return ""
        have = f"has that of {', '.join(sorted(people))}" if people else "has none"
        expired = sorted({person(str(one.payload["approver"])) for one in self.given if one.payload.get("approver")} - set(people))
        lapsed = f" ({', '.join(expired)} approved it and that has expired)" if expired else ""
        alone = f", who trained it; a trainer does not approve alone (trained by {', '.join(sorted(self.trainers))})"
        why = alone if people and len(people) >= self.needed else ""
        number = "1 person's approval" if self.needed == 1 else f"the approval of {self.needed} different people"
        return f"a {self.level} model needs {number} and {have}{lapsed}{why}"


def expiry(entry: "Entry") -> datetime:
    """Until when an approval or an override counts."""
    return datetime.fromisoformat(str(entry.payload["expires_at"]))


def approvals(entries: Iterable["Entry"], content_hash: str) -> Approvals:
    """What the release needs and has, by its subject's entries."""
    about = [entry for entry in entries if entry.content_hash == content_hash]
    made = [entry for entry in about if entry.kind in {"trained", "registered"}]
    levels = [str(one.payload["level"]) for one in made if one.kind == "registered" and "level" in one.payload]
    return Approvals(
        level=next(iter(levels), DEFAULT_LEVEL),
        trainers=frozenset(person(str(name)) for one in made for name in (one.actor, *map(one.payload.get, MAKERS)) if name),
        given=[entry for entry in about if entry.kind == "approved"],
    )
