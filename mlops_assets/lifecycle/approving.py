"""What waits for people, gathered for one page: from the ledger what waits, from the releases what it is. Loads no Dagster."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from mlops_assets.lifecycle.approving_pages import NAME, Review, approvals_page, pages_about
from resources.errors import PlatformError
from resources.registry.acts import Desk
from resources.registry.identity import canonical, sha256
from resources.registry.pending import Pending, waiting
from resources.registry.releases import RECORD
from resources.registry.states import Entry
from resources.whole import write_whole

NOTHING_WAITS: Final = "No version waits for approval."


class RecordForeign(PlatformError):
    """A record that is not the one that was signed when its version was registered."""

    def __init__(self, *, entry: Entry) -> None:
        super().__init__(
            f"{entry.subject} version {entry.version}: its record is not the one that was signed when it was registered, so nothing of it "
            "is shown. Do not approve it; restore the release from a backup, and find out who changed it."
        )


def write_approvals(desk: Desk, reports: Path) -> tuple[Path, list[str]]:
    """Write the page of everything that waits into the folder of reports; where it lies, and a line for each version.

    Raises:
        LedgerTampered: the ledger does not hold, so nothing is written and nothing is to be approved.
    """
    at, count = datetime.now(UTC), desk.ledger.verify()
    found = waiting(desk.ledger.entries(), at)
    reviews = [_review(desk, one, reports) for one in found.versions]
    path = reports / f"{NAME}.html"
    write_whole(path, approvals_page(reviews, at=at, frozen=found.frozen, entries=count))
    return path, [f"{one.registered.subject} version {one.registered.version} waits: {one.lacking}" for one in found.versions]


def _review(desk: Desk, one: Pending, reports: Path) -> Review:
    """A version with its record and that of what it would replace; why not, where one of them is not to be believed."""
    pages = {title: place for title, place in pages_about(one) if (reports / place).is_file()}
    try:
        before = None if one.live is None else _record(desk, one.live)
        return Review(pending=one, record=_record(desk, one.registered), before=before, pages=pages)
    except PlatformError as problem:
        return Review(pending=one, record={}, before=None, pages=pages, refused=str(problem))


def _record(desk: Desk, entry: Entry) -> Mapping[str, Any]:
    """The record of the release that an entry is about, as it was signed; no part is decoded."""
    signed = desk.releases.statements.verified(entry)
    record = desk.releases.record(entry.subject, str(entry.content_hash))
    if sha256(canonical(record)) != signed.get(RECORD):
        raise RecordForeign(entry=entry)
    return record
