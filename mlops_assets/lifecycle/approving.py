"""What waits for people, gathered for one page: from the ledger what waits, from the releases what it is. Loads no Dagster."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from mlops_assets.lifecycle.approving_pages import NAME, Review, approvals_page, pages_about
from resources.errors import PlatformError
from resources.registry.acts import Desk
from resources.registry.pending import Pending, waiting
from resources.whole import write_whole

NOTHING_WAITS: Final = "No version waits for approval."


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
        before = None if one.live is None else desk.releases.record_of(one.live)
        return Review(pending=one, record=desk.releases.record_of(one.registered), before=before, pages=pages)
    except PlatformError as problem:
        return Review(pending=one, record={}, before=None, pages=pages, refused=str(problem))
