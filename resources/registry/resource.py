"""The registry as a Dagster resource: what people and gates do to a model's versions. Each act may be repeated after a kill.

The only module of this package that knows Dagster; the database behind it is imported by the step that asks.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.errors import PlatformError
from resources.registry import acts
from resources.registry.approvals import strictest
from resources.registry.record import complete
from resources.registry.releases import Release, Releases
from resources.registry.states import Entry, LedgerConflict
from resources.security.keys import KeyRing, Purpose, ring_for

if TYPE_CHECKING:
    from resources.registry.ledger import Ledger


class NeverRegistered(PlatformError):
    """A release that no entry of the ledger vouches for."""

    def __init__(self, *, model: str, content_hash: str) -> None:
        super().__init__(
            f"{model}: release {content_hash[:12]} was never registered, so no signed statement vouches for it and it is not loaded. "
            f"Materialize release/{model}/candidate of its month."
        )


class Registry(dg.ConfigurableResource[Any]):
    """What is released, and what is live: ``ledger_url`` a SQLAlchemy URL, ``releases_root`` a folder or ``s3://bucket/folder``.

    ``keys_root`` is the folder of the key rings; when empty, ``keys`` beside a folder of releases. ``copies`` is the folder of this machine
    where what is loaded from S3 is kept for the next time; when empty, a temporary one.
    """

    ledger_url: str
    releases_root: str
    keys_root: str = ""
    copies: str = ""

    def ledger(self) -> "Ledger":
        """The ledger; one engine a process."""
        from resources.registry.ledger import ledger_at

        return ledger_at(self.ledger_url, str(self.ring("ledger").root))

    def desk(self) -> acts.Desk:
        """Where acts are done."""
        return acts.desk(ledger_url=self.ledger_url, releases_root=self.releases_root, keys_root=self.keys_root)

    def releases(self) -> Releases:
        """The release store."""
        return Releases(self.releases_root, self.ring("release"), copies=self.copies)

    def ring(self, purpose: Purpose) -> KeyRing:
        """The keys for one purpose."""
        return ring_for(purpose, keys_root=self.keys_root, releases_root=self.releases_root)

    def load(self, entry: Entry) -> Release:
        """The release that an entry is about, its signed statement and every byte checked against the ledger first."""
        return self.releases().of(entry)

    def released(self, model: str, content_hash: str) -> Release:
        """The release that was registered under a content hash, checked as ``load`` does."""
        entry = _registered(self.ledger().entries(model)).get(content_hash)
        if entry is None:
            raise NeverRegistered(model=model, content_hash=content_hash)
        return self.load(entry)

    def register(
        self, model: str, content_hash: str, *, mlflow_run_id: str, actor: str, data_at: datetime, facts: Mapping[str, object] | None = None
    ) -> Entry:
        """Give a stored release, after checking its bytes and signing what it is, the model's next number; a release is registered once.

        Its level is the one in its record, unless ``facts`` names a stricter one.

        Raises:
            RecordIncomplete: its record does not say all that a release must say of itself; nothing is signed or written.
        """
        ledger, releases = self.ledger(), self.releases()
        record = releases.record(model, content_hash)
        while True:
            known = ledger.entries(model)
            registered = _registered(known)
            if content_hash in registered:
                return registered[content_hash]
            how = complete(model, record).provenance
            level = strictest(how.level, str((facts or {}).get("level", how.level)))
            version = len(registered) + 1
            said = {"content_hash": content_hash, "version": version, "mlflow_run_id": mlflow_run_id}
            made = {"author": how.git.author, "committer": how.git.committer, "level": level}
            payload = {**(facts or {}), **said, **made, **releases.attest(model, content_hash, version=version)}
            head = known[-1].hash if known else None
            with suppress(LedgerConflict):  # somebody else wrote first: look again
                return ledger.append(model, "registered", payload, expect_head=head, actor=actor, data_at=data_at)

    def promote(self, model: str, version: int, *, actor: str, data_at: datetime, activate_at: datetime | None = None) -> Entry:
        """Make a registered version live, from ``activate_at`` (default: now). What was live retires by the same entry.

        A change of the model between look and entry is a ``LedgerConflict``; a version that is live already returns its entry.
        """
        return acts.promote(self.desk(), model, version, acts.By(actor=actor, data_at=data_at), activate_at=activate_at)


def _registered(entries: Iterable[Entry]) -> dict[str | None, Entry]:
    return {entry.content_hash: entry for entry in entries if entry.kind == "registered"}
