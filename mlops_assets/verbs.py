"""What people do to models, as they call it: one table for the commands of ``operate`` and for Dagster's jobs. Imports no Dagster."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from resources.registry import acts
from resources.registry.acts import By, Desk, Signed
from resources.registry.states import Entry


@dataclass(frozen=True, kw_only=True)
class Field:
    """Something that a verb asks for. ``default`` None: it has to be said."""

    kind: type
    help: str
    default: Any = None


FIELDS: Final[Mapping[str, Field]] = {
    "model": Field(kind=str, help="The model."),
    "version": Field(kind=int, help="The version's number in the ledger."),
    "content_hash": Field(kind=str, help="The whole content hash of the release whose gate failed."),
    "to": Field(kind=int, default=0, help="The version to go back to; 0 is the one that was live before."),
    "days": Field(kind=int, default=1, help="For how many days it counts."),
    "token": Field(kind=str, help="The signed token of the person who says so."),
    "why": Field(kind=str, help="Why: it stands in the ledger."),
    "remark": Field(kind=str, default="", help="Why, if there is something to say."),
}


@dataclass(frozen=True, kw_only=True)
class Verb:
    """An act: its command, its job (none: a command alone), what it does, what it asks for, and the function behind it."""

    command: str
    job: str | None
    does: str
    asks: tuple[str, ...]
    act: Callable[[Desk, By, Mapping[str, Any]], Entry]


VERBS: Final = (
    Verb(
        command="promote", job="promote_release", asks=("model", "version", "remark"),
        does="Make a version live, if gate, level, hold and freeze allow it.",
        act=lambda desk, by, said: acts.promote(desk, said["model"], said["version"], by),
    ),
    Verb(
        command="approve", job="approve_release", asks=("model", "version", "token", "remark"),
        does="One person agrees that a version goes live; counts for 14 days.",
        act=lambda desk, by, said: acts.approve(desk, said["model"], said["version"], by, said["token"]),
    ),
    Verb(
        command="roll-back", job="roll_back_release", asks=("model", "to", "why"),
        does="Make the version before live again, and hold the model.",
        act=lambda desk, by, said: acts.roll_back(desk, said["model"], by, to=said["to"] or None),
    ),
    Verb(
        command="hold", job="hold_model", asks=("model", "why"), does="Nothing new of a model goes live until the hold is lifted.",
        act=lambda desk, by, said: acts.hold(desk, said["model"], by),
    ),
    Verb(
        command="lift", job="lift_hold", asks=("model", "why"), does="End a hold.",
        act=lambda desk, by, said: acts.lift(desk, said["model"], by),
    ),
    Verb(
        command="freeze", job="freeze_platform", asks=("why",),
        does="No retraining, promotion or deployment; what is live goes on answering.",
        act=lambda desk, by, _: acts.freeze(desk, by),
    ),
    Verb(
        command="unfreeze", job="unfreeze_platform", asks=("why",), does="End the freeze.",
        act=lambda desk, by, _: acts.unfreeze(desk, by),
    ),
    Verb(
        command="revoke", job="revoke_release", asks=("model", "version", "why"),
        does="A version is never loaded again; if it was live, nothing is until somebody rolls back.",
        act=lambda desk, by, said: acts.revoke(desk, said["model"], said["version"], by),
    ),
    Verb(
        command="archive", job="archive_release", asks=("model", "version", "why"), does="Put a version away.",
        act=lambda desk, by, said: acts.archive(desk, said["model"], said["version"], by),
    ),
    Verb(
        command="override", job=None, asks=("model", "content_hash", "token", "days", "why"),
        does="One person's word against a failed gate: the release may be registered.",
        act=lambda desk, by, said: acts.override(
            desk, said["model"], said["content_hash"], by, said["token"], valid=timedelta(days=said["days"])
        ),
    ),
    Verb(
        command="adopt", job=None, asks=("model", "version", "why"),
        does="Take over a version that somebody made live by moving MLflow's alias.",
        act=lambda desk, by, said: acts.adopt(desk, said["model"], said["version"], by),
    ),
)  # fmt: skip


def done(entry: Entry) -> str:
    """What an act came to, in one line."""
    version = f" version {entry.version}" if entry.version else ""
    kind, at = entry.kind.replace("_", " "), entry.at.isoformat(timespec="seconds")
    return f"entry {entry.seq}: {entry.subject}{version} {kind} by {entry.actor} at {at}"


def signed(token: str, *, shown: bool) -> Signed:
    """A token as an act takes it."""
    return Signed(token=token.strip(), shown=shown)
