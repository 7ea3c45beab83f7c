"""The registry as a Dagster resource: what people and gates do to a model's versions. Each act may be repeated after a kill.

The only module of this package that knows Dagster; the database behind it is imported by the step that asks.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from resources.errors import PlatformError
from resources.registry.releases import Release, Releases
from resources.registry.states import BEGINS_LIVE, Entry, LedgerConflict, states, versions

if TYPE_CHECKING:
    from resources.registry.ledger import Ledger

NO_APPROVAL_NEEDED: Final = "gate passed, no approval needed"
ATTEMPTS: Final = 20


class VersionUnknown(PlatformError):
    """A version that was never registered."""

    def __init__(self, *, model: str, version: int, known: int) -> None:
        has = f"it has versions 1 to {known}" if known else "it has none"
        super().__init__(
            f"{model} has no version {version}: {has}. Nothing was promoted; what is live stays live. "
            f"Materialize release/{model}/candidate first."
        )


class Registry(dg.ConfigurableResource[Any]):
    """What is released, and what is live: ``ledger_url`` a SQLAlchemy URL, ``releases_root`` a folder."""

    ledger_url: str
    releases_root: str

    def ledger(self) -> "Ledger":
        """The ledger; one engine a process."""
        from resources.registry.ledger import ledger_at

        return ledger_at(self.ledger_url)

    def releases(self) -> Releases:
        """The release store."""
        return Releases(Path(self.releases_root))

    def load(self, entry: Entry) -> Release:
        """The release that an entry is about, every byte checked against the ledger first."""
        return self.releases().of(entry)

    def register(
        self, model: str, content_hash: str, *, mlflow_run_id: str, actor: str, data_at: datetime, facts: Mapping[str, object] | None = None
    ) -> Entry:
        """Give a stored release, after checking its bytes, the model's next version number; a release is registered once."""
        ledger, said = self.ledger(), {"manifest_hash": self.releases().verify(model, content_hash), "mlflow_run_id": mlflow_run_id}
        for left in reversed(range(ATTEMPTS)):
            known = ledger.entries(model)
            numbers = versions(known)
            if content_hash in numbers:
                break
            payload = {**(facts or {}), **said, "content_hash": content_hash, "version": len(numbers) + 1}
            try:
                return ledger.append(model, "registered", payload, expect_head=_head(known), actor=actor, data_at=data_at)
            except LedgerConflict:
                if not left:
                    raise
        return _registration(ledger.entries(model), content_hash)

    def promote(self, model: str, version: int, *, actor: str, data_at: datetime, activate_at: datetime | None = None) -> Entry:
        """Make a registered version live, from ``activate_at`` (default: now). What was live retires by the same entry.

        A change of the model between look and entry is a ``LedgerConflict``; a version that is live already returns its entry.
        """
        ledger = self.ledger()
        known = ledger.entries(model)
        by_number = {number: name for name, number in versions(known).items()}
        if version not in by_number:
            raise VersionUnknown(model=model, version=version, known=len(by_number))
        name, head = by_number[version], _head(known)
        state = states(known)[name]
        if state == "live":
            return next(entry for entry in reversed(known) if entry.kind in BEGINS_LIVE and entry.content_hash == name)
        about = {"content_hash": name, "version": version}
        if state == "candidate":
            said: dict[str, object] = {**about, "approvers": [], "why": NO_APPROVAL_NEEDED}
            head = ledger.append(model, "approved", said, expect_head=head, actor=actor, data_at=data_at).hash
        registered = _registration(known, name).payload
        carried = {key: registered[key] for key in ("manifest_hash", "mlflow_run_id") if key in registered}  # a worker needs no second look
        return ledger.append(model, "promoted", about | carried, expect_head=head, actor=actor, data_at=data_at, activate_at=activate_at)


def _registration(entries: tuple[Entry, ...], content_hash: str) -> Entry:
    return next(entry for entry in entries if entry.kind == "registered" and entry.content_hash == content_hash)


def _head(entries: tuple[Entry, ...]) -> str | None:
    return entries[-1].hash if entries else None
