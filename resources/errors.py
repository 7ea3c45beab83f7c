"""The root of every error that a user may see. Subclasses take data and build the sentence: what, which, consequence, what to do."""

from datetime import UTC, datetime


class PlatformError(Exception):
    """Something a user can mend; its message is an instruction."""


class NaiveInstant(PlatformError):
    """An instant without a time zone."""

    def __init__(self, *, what: str, value: datetime) -> None:
        super().__init__(f"{what}={value.isoformat()} has no time zone, so it names no instant. Pass an aware datetime, e.g. in UTC.")


def in_utc(what: str, value: datetime) -> datetime:
    """An instant in UTC.

    Raises:
        NaiveInstant: it has no time zone.
    """
    if value.tzinfo is None:
        raise NaiveInstant(what=what, value=value)
    return value.astimezone(UTC)
