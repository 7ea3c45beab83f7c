"""Monthly partitions: their definition and the instants where a month begins and ends."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import dagster as dg

from mlops_assets.specs import Catalogue, Months
from mlops_assets.table import DeclarationError


def months_of(project: str) -> dg.DynamicPartitionsDefinition:
    """The months that have arrived. Dynamic: a fixed end would have no January 2014, an open one shows months without data."""
    return dg.DynamicPartitionsDefinition(name=f"{project}_months")


def calendar_of(catalogue: Catalogue) -> Months:
    """The one calendar of a project's monthly sources."""
    found = {spec.partitions for spec in catalogue.sources if spec.partitions is not None}
    if len(found) != 1:
        raise DeclarationError(
            f"{catalogue.project}: monthly sources must share one time zone, found {sorted(m.timezone for m in found) or 'none'}."
        )
    return found.pop()


def shift(month: str, by: int) -> str:
    """``month`` (``YYYY-MM``) moved by a number of months."""
    year, number = (int(part) for part in month.split("-"))
    total = year * 12 + number - 1 + by
    return f"{total // 12:04d}-{total % 12 + 1:02d}"


def start_of(month: str, calendar: Months) -> datetime:
    """The first instant of the local month, in UTC."""
    year, number = (int(part) for part in month.split("-"))
    return datetime(year, number, 1, tzinfo=ZoneInfo(calendar.timezone)).astimezone(UTC)


def end_of(month: str, calendar: Months) -> datetime:
    """The first instant after the local month, in UTC."""
    return start_of(shift(month, 1), calendar)
