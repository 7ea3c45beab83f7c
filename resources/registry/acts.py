"""What people and gates do to a model's versions: each act is one entry, may be repeated after a kill, and says by name what stops it.

Needs no Dagster: jobs, assets and the commands of ``mlops_assets.operate`` call the same functions.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from resources.errors import PlatformError
from resources.registry.approvals import approvals, expiry, person
from resources.registry.states import BEGINS_LIVE, FREEZE, HOLD, Entry, LedgerConflict, live_at, states, turned_on, versions
from resources.security import tokens

if TYPE_CHECKING:
    from resources.registry.ledger import Ledger
    from resources.registry.releases import Releases
    from resources.security.keys import KeyRing

NO_APPROVAL_NEEDED: Final = "gate passed, no approval needed"
APPROVED_FOR: Final = timedelta(days=14)
CARRIED: Final = ("manifest_hash", "mlflow_run_id", "statement_hash", "key_id")
"""What an entry that begins a life repeats of the registration: a worker needs no second look."""


class VersionUnknown(PlatformError):
    """A version that was never registered."""

    def __init__(self, *, model: str, version: int, known: int) -> None:
        has = f"it has versions 1 to {known}" if known else "it has none"
        super().__init__(
            f"{model} has no version {version}: {has}. Nothing was done; what is live stays live. "
            f"Materialize release/{model}/candidate to make one."
        )


class ModelUnknown(PlatformError):
    """A model that the ledger knows nothing of."""

    def __init__(self, *, model: str, known: Sequence[str]) -> None:
        close = difflib.get_close_matches(model, known, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Known are: {', '.join(known) or 'none'}."
        super().__init__(f"the ledger knows no model {model}, so nothing was done. {hint}")


class NothingBefore(PlatformError):
    """A model without a version to go back to."""

    def __init__(self, *, model: str) -> None:
        super().__init__(
            f"{model} has no version that was live before and may be again, so there is nothing to roll back to. What is live stays live. "
            f"Hold it (python -m mlops_assets.operate hold {model} --why '...') and release a mended version."
        )


class NotOn(PlatformError):
    """A hold or freeze that is lifted and was never there."""

    def __init__(self, *, subject: str, switch: str) -> None:
        what = "The platform is not frozen" if switch == FREEZE else f"{subject} is not held"
        super().__init__(f"{what}, so there is nothing to lift. See python -m mlops_assets.operate status.")


class TokenSeen(PlatformError):
    """A token that others can read."""

    def __init__(self, *, person: str, by: Entry) -> None:
        super().__init__(
            f"the token of {person} stood in the config of a Dagster run ({by.kind} of {by.subject} {by.version or ''}), where others read "
            f"it, so it signs nothing else. Issue another: python -m mlops_assets.operate token {person}."
        )


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Where acts are done: the ledger, the releases that they are about, the ring of people's keys."""

    ledger: "Ledger"
    releases: "Releases"
    people: "KeyRing"


def desk(*, ledger_url: str, releases_root: str, keys_root: str) -> Desk:
    """The desk of these places."""
    from resources.registry.ledger import ledger_at
    from resources.registry.releases import Releases
    from resources.security.keys import ring_for

    ledger, release, people = (ring_for(one, keys_root=keys_root, releases_root=releases_root) for one in ("ledger", "release", "people"))
    return Desk(ledger=ledger_at(ledger_url, str(ledger.root)), releases=Releases(releases_root, release), people=people)


@dataclass(frozen=True, kw_only=True)
class By:
    """Who acts, when by the data clock, and why."""

    actor: str
    data_at: datetime
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A person's token. ``shown``: others can read where it stood (the config of a run), so it is good for this act alone."""

    token: str
    shown: bool = False


def promote(desk: Desk, model: str, version: int, by: By, *, activate_at: datetime | None = None) -> Entry:
    """Make a registered version live, from ``activate_at`` (default: now). What was live retires by the same entry.

    Its signed statement and its bytes are checked first. A change of the model between look and entry is a ``LedgerConflict``; a version
    that is live already returns its entry.
    """
    known = desk.ledger.entries(model)
    registered = _registered(known, model, version)
    name, about = str(registered.content_hash), _about(registered)
    state, head = states(known)[name], known[-1].hash
    if state == "live":
        return next(entry for entry in reversed(known) if entry.kind in BEGINS_LIVE and entry.content_hash == name)
    _whole(desk, registered)
    if state == "candidate" and not approvals(known, name).needed and turned_on(known, HOLD) is None:
        why: dict[str, object] = {"approvers": [], "why": NO_APPROVAL_NEEDED}
        head = desk.ledger.append(model, "approved", about | why, expect_head=head, actor=by.actor, data_at=by.data_at).hash
    return desk.ledger.append(
        model, "promoted", _begins(registered, by), expect_head=head, actor=by.actor, data_at=by.data_at, activate_at=activate_at
    )


def approve(desk: Desk, model: str, version: int, by: By, signed: Signed, *, valid: timedelta = APPROVED_FOR) -> Entry:
    """One person's approval of a version's content, for ``valid``; the same person's approval that still counts is returned."""
    now = datetime.now(UTC)
    who = tokens.read(desk.people, signed.token, now=now)
    while True:
        known = desk.ledger.entries(model)
        registered = _registered(known, model, version)
        if (before := approvals(known, str(registered.content_hash)).valid(now).get(person(who.person))) is not None:
            return before
        _refuse_seen(desk, who)
        said = _said(who, signed, by, until=now + valid) | {"approver": who.person, **_about(registered)}
        with suppress(LedgerConflict):  # somebody else wrote first: look again
            return desk.ledger.append(model, "approved", said, expect_head=_head(known), actor=who.person, data_at=by.data_at)


def override(desk: Desk, model: str, content_hash: str, by: By, signed: Signed, *, valid: timedelta) -> Entry:
    """One person's word, for ``valid``, that a release whose gate failed may be registered all the same."""
    now = datetime.now(UTC)
    who = tokens.read(desk.people, signed.token, now=now)
    while True:
        known = desk.ledger.entries(model)
        before = overridden(known, content_hash, at=now)
        if before is not None and before.actor == who.person:
            return before
        _refuse_seen(desk, who)
        said = _said(who, signed, by, until=now + valid) | {"person": who.person, "content_hash": content_hash}
        with suppress(LedgerConflict):
            return desk.ledger.append(model, "overridden", said, expect_head=_head(known), actor=who.person, data_at=by.data_at)


def overridden(entries: Sequence[Entry], content_hash: str, *, at: datetime) -> Entry | None:
    """The override of a release's gate that counts at ``at``."""
    said = [entry for entry in entries if entry.kind == "overridden" and entry.content_hash == content_hash]
    return next((entry for entry in reversed(said) if at < expiry(entry)), None)


def roll_back(desk: Desk, model: str, by: By, *, to: int | None = None) -> Entry:
    """Make the version before live again (or version ``to``), and hold the model by the same entry, so that no retraining undoes it.

    Its signed statement and its bytes are checked first. Repeated, it returns the rollback that is there: to go further back, name the
    version.
    """
    known = desk.ledger.entries(model)
    live = live_at(known, datetime.now(UTC))
    rolled = live is not None and live.kind == "rolled_back" and turned_on(known, HOLD) is not None
    if live is not None and (live.version == to or (to is None and rolled)):
        return live
    registered = _registered(known, model, to) if to is not None else previous(known, model, live)
    _whole(desk, registered)
    said = _begins(registered, by) | {"from_version": live.version if live else None}
    return desk.ledger.append(model, "rolled_back", said, expect_head=_head(known), actor=by.actor, data_at=by.data_at)


def adopt(desk: Desk, model: str, version: int, by: By) -> Entry:
    """Take over what somebody did by moving MLflow's alias: the version is live by an entry, with all that a promotion needs."""
    known = desk.ledger.entries(model)
    registered = _registered(known, model, version)
    live = live_at(known, datetime.now(UTC))
    if live is not None and live.version == version:
        return live
    _whole(desk, registered)
    return desk.ledger.append(model, "alias_adopted", _begins(registered, by), expect_head=_head(known), actor=by.actor, data_at=by.data_at)


def hold(desk: Desk, model: str, by: By) -> Entry:
    """Nothing new of the model goes live until somebody lifts it."""
    if not desk.ledger.entries(model):
        raise ModelUnknown(model=model, known=sorted({entry.subject for entry in desk.ledger.entries()} - {FREEZE}))
    return _once(desk, model, "held", by, {}, there=lambda known: turned_on(known, HOLD))


def lift(desk: Desk, model: str, by: By) -> Entry:
    """End a hold."""
    return _once(desk, model, "released_hold", by, {}, there=lambda known: _lifted(known, model, HOLD, "released_hold"))


def freeze(desk: Desk, by: By) -> Entry:
    """No retraining, promotion or deployment of any model; what is live goes on answering, and can be rolled back or revoked."""
    return _once(desk, FREEZE, "frozen", by, {}, there=lambda known: turned_on(known, FREEZE))


def unfreeze(desk: Desk, by: By) -> Entry:
    """End the freeze."""
    return _once(desk, FREEZE, "unfrozen", by, {}, there=lambda known: _lifted(known, FREEZE, FREEZE, "unfrozen"))


def revoke(desk: Desk, model: str, version: int, by: By) -> Entry:
    """The version is never loaded again. If it was live, nothing is: which other one answers is for a person to say, by a rollback."""
    return _end(desk, model, version, "revoked", by)


def archive(desk: Desk, model: str, version: int, by: By) -> Entry:
    """Put a version away: it is live no more, and no rollback takes it unless it is named."""
    return _end(desk, model, version, "archived", by)


def free(desk: Desk, model: str, version: int, by: By) -> Entry:
    """Say that the bytes of a version which is live no more go; whoever deletes them says so first."""
    return _end(desk, model, version, "freed", by)


def resign(desk: Desk, model: str, version: int) -> str:
    """Put the current key's signature under the statement that the ledger recorded for a version; the id of that key.

    No entry: the ledger binds the statement, whoever signs it.
    """
    registered = _registered(desk.ledger.entries(model), model, version)
    return desk.releases.statements.resign(registered)["key_id"]


def _whole(desk: Desk, registered: Entry) -> None:
    """What no worker would load does not become live in the ledger either."""
    desk.releases.statements.verified(registered)
    desk.releases.verify(registered.subject, str(registered.content_hash))


def _end(desk: Desk, model: str, version: int, kind: str, by: By) -> Entry:
    registered = _registered(desk.ledger.entries(model), model, version)

    def there(known: Sequence[Entry]) -> Entry | None:
        about = [entry for entry in known if entry.content_hash == registered.content_hash and entry.kind != "overridden"]
        return about[-1] if about[-1].kind == kind else None

    return _once(desk, model, kind, by, _about(registered), there=there)


def _once(
    desk: Desk, subject: str, kind: str, by: By, about: Mapping[str, object], *, there: Callable[[Sequence[Entry]], Entry | None]
) -> Entry:
    """The entry that is ``there`` already, else a new one. What others write meanwhile does not change what these acts mean."""
    while True:
        known = desk.ledger.entries(subject)
        if (found := there(known)) is not None:
            return found
        said = {**about, "why": by.why}
        with suppress(LedgerConflict):
            return desk.ledger.append(subject, kind, said, expect_head=_head(known), actor=by.actor, data_at=by.data_at)


def _lifted(known: Sequence[Entry], subject: str, switch: str, kind: str) -> Entry | None:
    if turned_on(known, switch) is not None:
        return None
    found = next((entry for entry in reversed(known) if entry.kind == kind), None)
    if found is None:
        raise NotOn(subject=subject, switch=switch)
    return found


def previous(known: Sequence[Entry], model: str, live: Entry | None) -> Entry:
    """The registration of the version that was live last before ``live`` and may be again.

    Raises:
        NothingBefore: there is none.
    """
    now, away = states(known), {entry.content_hash for entry in known if entry.kind in {"archived", "freed"}}
    lives = [entry for entry in known if entry.kind in BEGINS_LIVE and (live is None or entry.seq < live.seq)]
    for entry in reversed(lives):
        name = str(entry.content_hash)
        if now[name] == "retired" and name not in away:
            return _registered(known, model, versions(known)[name])
    raise NothingBefore(model=model)


def _registered(known: Sequence[Entry], model: str, version: int) -> Entry:
    found = [entry for entry in known if entry.kind == "registered"]
    for entry in found:
        if entry.version == version:
            return entry
    raise VersionUnknown(model=model, version=version, known=len(found))


def _about(registered: Entry) -> dict[str, object]:
    return {"content_hash": registered.content_hash, "version": registered.version}


def _begins(registered: Entry, by: By) -> dict[str, object]:
    """The payload of an entry that begins a life."""
    carried = {key: registered.payload[key] for key in CARRIED if key in registered.payload}
    return _about(registered) | carried | ({"why": by.why} if by.why else {})


def _said(who: tokens.Token, signed: Signed, by: By, *, until: datetime) -> dict[str, object]:
    """What an entry keeps of a person's word: never the token, only its id."""
    said: dict[str, object] = {"token_id": who.token_id, "expires_at": until.isoformat(), "why": by.why}
    return said | ({"token_shown": True} if signed.shown else {})


def _refuse_seen(desk: Desk, who: tokens.Token) -> None:
    """A token that others could read has done its one act."""
    for entry in desk.ledger.entries(kinds=("approved", "overridden")):
        if entry.payload.get("token_id") == who.token_id and entry.payload.get("token_shown"):
            raise TokenSeen(person=who.person, by=entry)


def _head(known: Sequence[Entry]) -> str | None:
    return known[-1].hash if known else None
