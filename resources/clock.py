"""What time it is for data: the replay's clock in a file, or the wall. The wall clock of releases and tokens is not asked here."""

import json
from abc import abstractmethod
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import dagster as dg
from filelock import FileLock

from resources.clock_file import instant_in
from resources.errors import in_utc
from resources.whole import write_whole

LOCK_TIMEOUT: Final = 30.0


class Clock(dg.ConfigurableResource[Any]):
    """The data clock: stamps ``ingested_at``, judges age, maturity and cadence."""

    @abstractmethod
    def now(self) -> datetime:
        """The instant up to which data is known, in UTC."""

    @abstractmethod
    def once_at(self, to: datetime) -> datetime:
        """What now will be when the clock has moved on to an instant; moves nothing."""

    @abstractmethod
    def advance(self, to: datetime) -> datetime:
        """Move on to an instant, never back; returns what now is."""


class DataClock(Clock):
    """A clock that stands still until ingestion advances it; the epoch before the first time. The file is replaced in one step."""

    path: str

    def now(self) -> datetime:
        """The instant in the file.

        Raises:
            UnreadableClock: the file holds something else.
        """
        return instant_in(Path(self.path))

    def once_at(self, to: datetime) -> datetime:
        """The later of now and ``to``."""
        return max(self.now(), to.astimezone(UTC))

    def advance(self, to: datetime) -> datetime:
        """Write the later of now and ``to``, under a lock: two ingestions at once leave the later one's end."""
        to, path = in_utc("now", to), Path(self.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock"), timeout=LOCK_TIMEOUT):
            now = self.now()
            if to <= now:
                return now
            write_whole(path, json.dumps({"now": to.isoformat()}))
        return to


class WallClock(Clock):
    """The machine's clock: in production data is known when it is here."""

    def now(self) -> datetime:
        """This instant."""
        return datetime.now(UTC)

    def once_at(self, to: datetime) -> datetime:
        """This instant, whatever ``to`` is."""
        del to
        return self.now()

    def advance(self, to: datetime) -> datetime:
        """Nobody moves the wall clock: checks ``to`` and returns this instant."""
        in_utc("now", to)
        return self.now()
