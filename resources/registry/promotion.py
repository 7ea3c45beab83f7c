"""What people and gates do to a model's versions: register, refuse, promote. Each is one decision, safe to repeat after a kill."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from resources.errors import PlatformError
from resources.registry import states
from resources.registry.ledger import Ledger, LedgerConflict
from resources.registry.states import Entry

NO_APPROVAL_NEEDED: Final = "gate passed, no approval needed"
ATTEMPTS: Final = 20
_CARRIED: Final = ("manifest_hash", "mlflow_run_id")
"""What an entry that makes a version live repeats from its registration, so that a worker needs no second look."""


class VersionUnknown(PlatformError):
    """A version that was never registered."""

    def __init__(self, *, model: str, version: int, known: int) -> None:
        has = f"it has versions 1 to {known}" if known else "it has none"
        super().__init__(
            f"{model} has no version {version}: {has}. Nothing was promoted; what is live stays live. "
            f"Materialize release/{model}/candidate first."
        )


def register(
    ledger: Ledger,
    *,
    model: str,
    content_hash: str,
    manifest_hash: str,
    mlflow_run_id: str,
    actor: str,
    data_at: datetime,
    facts: Mapping[str, object] | None = None,
) -> Entry:
    """Give a release the model's next version number. The same release is registered once: again returns the entry that is there."""
    for _ in range(ATTEMPTS):
        known = ledger.entries(model)
        found = _registration(known, content_hash)
        if found is not None:
            return found
        payload: dict[str, object] = {
            **(facts or {}),
            "content_hash": content_hash,
            "version": max(states.versions(known).values(), default=0) + 1,
            "manifest_hash": manifest_hash,
            "mlflow_run_id": mlflow_run_id,
        }
        try:
            return ledger.append(model, "registered", payload, expect_head=_head(known), actor=actor, data_at=data_at)
        except LedgerConflict:
            continue
    raise LedgerConflict(subject=model, kind="registered", expected=None, head=ledger.entries(model)[-1])


def refuse(ledger: Ledger, *, model: str, content_hash: str, why: str, actor: str, data_at: datetime) -> Entry:
    """Record that a release may never go live. Refusing it again returns the entry that is there."""
    known = ledger.entries(model)
    if states.states(known).get(content_hash) == "refused":
        return next(entry for entry in known if entry.kind == "refused" and entry.content_hash == content_hash)
    payload = {"content_hash": content_hash, "why": why}
    return ledger.append(model, "refused", payload, expect_head=_head(known), actor=actor, data_at=data_at)


def promote(
    ledger: Ledger,
    *,
    model: str,
    version: int,
    actor: str,
    data_at: datetime,
    activate_at: datetime | None = None,
    expect_head: str | None = None,
    approval: str = NO_APPROVAL_NEEDED,
) -> Entry:
    """Make a version live, from ``activate_at`` (default: now). The one that was live retires by the same entry.

    ``expect_head`` is the model's head when the decision was taken (default: now): a change since then is a ``LedgerConflict``.
    A version that is live already returns its entry.
    """
    known = ledger.entries(model)
    by_number = {number: name for name, number in states.versions(known).items()}
    if version not in by_number:
        raise VersionUnknown(model=model, version=version, known=len(by_number))
    name = by_number[version]
    state = states.states(known).get(name)
    if state == "live":
        return next(entry for entry in reversed(known) if entry.kind in states.BEGINS_LIVE and entry.content_hash == name)
    registration = _registration(known, name)
    carried = {key: registration.payload[key] for key in _CARRIED if registration is not None and key in registration.payload}
    payload: dict[str, object] = {"content_hash": name, "version": version}
    head = expect_head or _head(known)
    if state == "candidate":
        said: dict[str, object] = {**payload, "approvers": [], "why": approval}
        head = ledger.append(model, "approved", said, expect_head=head, actor=actor, data_at=data_at).hash
    return ledger.append(model, "promoted", payload | carried, expect_head=head, actor=actor, data_at=data_at, activate_at=activate_at)


def _registration(entries: tuple[Entry, ...], content_hash: str) -> Entry | None:
    return next((entry for entry in entries if entry.kind == "registered" and entry.content_hash == content_hash), None)


def _head(entries: tuple[Entry, ...]) -> str | None:
    return entries[-1].hash if entries else None
