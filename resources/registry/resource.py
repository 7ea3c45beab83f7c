"""The registry as a Dagster resource: ledger and release store of one profile. The only module of this package that knows Dagster."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from resources.registry import promotion
from resources.registry.ledger import Ledger, ledger_at
from resources.registry.releases import Release, Releases
from resources.registry.states import Entry, versions


class Registry(dg.ConfigurableResource[Any]):
    """What is released, and what is live: ``ledger_url`` a SQLAlchemy URL, ``releases_root`` a folder."""

    ledger_url: str
    releases_root: str

    def ledger(self) -> Ledger:
        """The ledger; one engine a process."""
        return ledger_at(self.ledger_url)

    def releases(self) -> Releases:
        """The release store."""
        return Releases(Path(self.releases_root))

    def register(
        self, model: str, content_hash: str, *, mlflow_run_id: str, actor: str, data_at: datetime, facts: Mapping[str, object] | None = None
    ) -> Entry:
        """Give a stored release, after checking its bytes, the model's next version number; a release is registered once."""
        releases = self.releases()
        manifest_hash = releases.manifest_hash(model, content_hash)
        releases.verify(model, content_hash, manifest_hash=manifest_hash)
        return promotion.register(
            self.ledger(),
            model=model,
            content_hash=content_hash,
            manifest_hash=manifest_hash,
            mlflow_run_id=mlflow_run_id,
            actor=actor,
            data_at=data_at,
            facts=facts,
        )

    def refuse(self, model: str, content_hash: str, *, why: str, actor: str, data_at: datetime) -> Entry:
        """Record that a release may never go live."""
        return promotion.refuse(self.ledger(), model=model, content_hash=content_hash, why=why, actor=actor, data_at=data_at)

    def promote(
        self,
        model: str,
        version: int,
        *,
        actor: str,
        data_at: datetime,
        activate_at: datetime | None = None,
        expect_head: str | None = None,
        approval: str = promotion.NO_APPROVAL_NEEDED,
    ) -> Entry:
        """Make a registered version live; what was live retires by the same entry."""
        return promotion.promote(
            self.ledger(),
            model=model,
            version=version,
            actor=actor,
            data_at=data_at,
            activate_at=activate_at,
            expect_head=expect_head,
            approval=approval,
        )

    def version(self, model: str, content_hash: str) -> int | None:
        """The number of a release, if it is registered."""
        return versions(self.ledger().entries(model)).get(content_hash)

    def load(self, entry: Entry) -> Release:
        """The release that an entry is about, every byte checked against the ledger first."""
        expected = entry.payload.get("manifest_hash")
        manifest_hash = expected if isinstance(expected, str) else None
        return self.releases().load(entry.subject, entry.content_hash or "", manifest_hash=manifest_hash)
