"""The replay itself: deliver a month, let Dagster tick until nothing is due, go on to the next. Decides nothing that a sensor decides."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import dagster as dg

from mlops_assets.keys import key, table
from mlops_assets.partitions import calendar_of, end_of, shift
from mlops_assets.replay.daemon import Daemon
from mlops_assets.replay.progress import Progress
from mlops_assets.specs import Catalogue
from resources.errors import PlatformError
from resources.inbox import Inbox

ROUND: Final = timedelta(minutes=1)
"""Data time that passes between two rounds: more than any sensor's interval, or its tick would be left out."""

MOST_ROUNDS: Final = 60


class NeverSettles(PlatformError):
    """Automation asks for ever more runs."""

    def __init__(self, month: str) -> None:
        super().__init__(
            f"{month} is not settled after {MOST_ROUNDS} rounds: something asks for runs again and again. Look at Automation in the UI."
        )


class NothingToReplay(PlatformError):
    """No archive to replay."""

    def __init__(self, project: str) -> None:
        super().__init__(
            f"{project} names no months to replay, or no monthly source has `archive=`. Nothing was started. "
            "Say `replay=(first, last)` in its catalogue, or put files into the inbox instead."
        )


class NotAMonth(PlatformError):
    """A last month that the archive does not have."""

    def __init__(self, until: str, project: str, first: str, last: str) -> None:
        super().__init__(
            f"--until {until}: the archive of {project} has the months {first} to {last}. Nothing was started. Name one of them."
        )


@dataclass(frozen=True, kw_only=True)
class Replay:
    """A catalogue whose archive is delivered month by month to a daemon."""

    catalogue: Catalogue
    inbox: Inbox
    daemon: Daemon
    progress: Progress

    def run(self, months: Sequence[str]) -> None:
        """Deliver the tables without months, then each month in turn; what is done already is passed over."""
        begin = end_of(months[0], calendar_of(self.catalogue)) - timedelta(days=1)
        if resumed := self.daemon.resume(begin):
            self.progress.say(f"took up {resumed} interrupted run{'s' if resumed > 1 else ''} again")
        if self.daemon.last_tick() is None:
            self.daemon.round(begin)  # a baseline: an update before the first evaluation would be taken for old
        self._settle("set-up", begin, lambda: self._deliver(None))
        for month in months:
            self._settle(month, end_of(month, calendar_of(self.catalogue)), lambda month=month: self._deliver(month))

    def _deliver(self, month: str | None) -> None:
        for spec in self.catalogue.sources:
            if spec.archive is not None and (spec.partitions is None) == (month is None) and not (raw := spec.archive(month)).is_empty():
                self.inbox.deliver(spec.table, month, raw)

    def _settle(self, name: str, start: datetime, deliver: Callable[[], None]) -> None:
        if self._is_done(name):
            self.progress.done += 1
            return
        runs, last = 0, self.daemon.last_tick()
        start = max(start, last + ROUND) if last else start
        self.progress.start(name)
        deliver()
        for number in range(MOST_ROUNDS):
            started = self.daemon.round(start + number * ROUND)
            if not started:
                self.progress.settled(runs)
                return
            runs += started
        raise NeverSettles(name)

    def _is_done(self, month: str) -> bool:
        """Whether a later month has arrived already: then this one is settled."""
        arrived: set[str] = set()
        for spec in self.catalogue.sources:
            if spec.partitions is not None:
                arrived |= set(self.daemon.instance.get_materialized_partitions(table(spec.table)))
        return bool(arrived) if month == "set-up" else any(one > month for one in arrived)


def months_of_archive(catalogue: Catalogue, *, until: str | None = None) -> list[str]:
    """The months that the catalogue's archives hold, up to ``until``.

    Raises:
        NothingToReplay: none, or no monthly source has an archive. NotAMonth: ``until`` is none of them.
    """
    if catalogue.replay is None or not any(spec.partitions and spec.archive for spec in catalogue.sources):
        raise NothingToReplay(catalogue.project)
    month, last = catalogue.replay
    months = [month]
    while months[-1] < (until or last) and months[-1] < last:
        months.append(shift(months[-1], 1))
    if until is not None and months[-1] != until:
        raise NotAMonth(until, catalogue.project, month, last)
    return months


def finished(instance: dg.DagsterInstance, catalogue: Catalogue, last: str) -> bool:
    """Whether the last month has been judged for every model and what it released is deployed."""
    judged = all(last in instance.get_materialized_partitions(key("monitor", spec.name, "daily")) for spec in catalogue.models)
    trained = all(last in instance.get_materialized_partitions(key("training_set", spec.name, "examples")) for spec in catalogue.models)
    return judged and trained
