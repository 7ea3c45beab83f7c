"""The data clock's file, read. What loads no Dagster asks here; ``clock`` moves it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from resources.errors import NaiveInstant, PlatformError, in_utc

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
NAME: Final = "clock.json"


class UnreadableClock(PlatformError):
    """The clock file does not hold an instant."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} does not hold the data clock's instant, so no row can be stamped. Restore the file from a backup, or write "
            f'{{"now": "2013-04-01T04:00:00+00:00"}} with the end of the last month that was ingested.'
        )


def instant_in(path: Path) -> datetime:
    """The instant in the file; the epoch before there is one.

    Raises:
        UnreadableClock: the file holds something else.
    """
    try:
        return in_utc("now", datetime.fromisoformat(json.loads(path.read_text())["now"]))
    except FileNotFoundError:
        return EPOCH
    except (ValueError, KeyError, TypeError, NaiveInstant) as error:
        raise UnreadableClock(path) from error
