"""From the spool into MLflow: beside the fit, by a thread that nobody waits for longer than a moment; or later, by whoever asks.

Everything may be sent twice: a point carries its step and time, a tag and an artifact replace themselves. So nothing has to record what
arrived: a file that is gone did.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from filelock import FileLock, Timeout

from resources.errors import PlatformError
from resources.tracking import spool
from resources.tracking.store import (
    LOCK_WAIT_SECONDS,
    Away,
    RunUnknown,
    TrackingFailed,
    client_of,
    demand_answer,
    door,
    exclusive,
    experiment,
    found_run,
    open_run,
    the_run,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

BATCH: Final = {"metrics": 1000, "params": 100, "tags": 100}
"""MLflow takes 1,000 things at once, of which 100 params and 100 tags."""

DIGEST_CHARACTERS: Final = 36
"""MLflow refuses longer dataset digests; the full hash goes into a tag."""

PAUSE_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 3.0
"""For how long a step waits for a server in all, once it has nothing else to do."""

REFUSED_TAG: Final = "mlops.refused"
NEVER: Final = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST"})
"""MLflow's words for a thing that it will not take however often it is asked."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Post:
    """From where to where: a folder of attempts, the store that they go to, and where it keeps artifacts of new experiments."""

    spool: Path
    uri: str
    artifacts: str


class Delivery:
    """One attempt on its way into its run; goes on where it stopped."""

    def __init__(self, post: Post, path: Path) -> None:
        self.path = path
        self.run_id = ""
        self._post = post
        self._asked = spool.opened(path)
        self._begin()

    def _begin(self) -> None:
        self.run_id, self._offset, self._points = "", 0, Counter[str]()
        self._closed: tuple[str, int] | None = None

    def go(self) -> None:
        """Send what the file holds by now; once nothing more can come, end the run and forget the file."""
        written = spool.written(self.path)  # asked first: what was said before is read below
        client = client_of(self._post.uri)
        with door(self._post.uri, f"take what was said of {self._asked.key or self._asked.name}"):
            if not self.run_id:
                self._open(client)
            while (more := spool.read(self.path, self._offset))[0]:
                points = self._send(client, more[0], self._points.copy())
                self._offset, self._points = more[1], points  # together: what is sent again has the same times
            if written or self._closed:
                self._end(client)

    def _open(self, client: "MlflowClient") -> None:
        asked = self._asked
        if asked.run_id:
            found = found_run(client, asked.run_id)
        else:
            with exclusive(self._post.uri):
                self._experiment = experiment(client, asked.experiment, self._post.artifacts)
                found = open_run(client, self._experiment, asked)
        self._start_ms: int = found.info.start_time
        self._known = dict[str, str](found.data.params)
        self._said: dict[str, float] = found.data.metrics if asked.run_id else {}
        self.run_id = found.info.run_id

    def _send(self, client: "MlflowClient", lines: Sequence[Sequence[Any]], points: Counter[str]) -> Counter[str]:
        from mlflow.entities import Metric, Param, RunTag

        metrics, params, tags, files = list[Any](), dict[str, str](), list[Any](), list[Sequence[str]]()
        for kind, *said in lines:
            match kind:
                case "metric":
                    metrics += [Metric(said[0], said[1], at, said[2]) for at in self._instant(points, *said)]
                case "params":
                    params |= {name: value for name, value in said[0].items() if name not in self._known and name not in params}
                    first = params | self._known
                    tags += [RunTag(f"mlops.retry.{name}", value) for name, value in said[0].items() if first[name] != value]
                case "tags":
                    tags += [RunTag(name, value) for name, value in said[0].items()]
                case "dataset":
                    self._dataset(client, *said)
                case "artifact":
                    files.append(said)
                case "close":
                    self._closed = (said[0], said[1])
                case _:  # "open", which was read when the delivery was made
                    pass
        self._batches(client, "metrics", metrics)
        self._batches(client, "params", [Param(name, value) for name, value in params.items()])
        self._batches(client, "tags", tags)
        self._known |= params
        for folder, name in files:  # last: a place for files may be away while the numbers can go
            client.log_artifacts(self.run_id, str(spool.kept(self.path) / folder), name or None)
        return points

    def _instant(self, points: Counter[str], name: str, value: float, step: int, said_at: int) -> Sequence[int]:
        """The time of a point: the start of the run plus its place, so that a repeated fit repeats the point.

        A single value of a resumed run has the time when it was said, and none if it is what the run says already.
        """
        if self._asked.run_id and not step:
            return () if self._said.get(name) == value else (said_at,)
        points[name] += 1
        return (self._start_ms + points[name] - 1,)

    def _batches(self, client: "MlflowClient", kind: str, things: Sequence[Any]) -> None:
        for start in range(0, len(things), BATCH[kind]):
            self._batch(client, kind, things[start : start + BATCH[kind]])

    def _batch(self, client: "MlflowClient", kind: str, things: Sequence[Any]) -> None:
        """Send things at once; if MLflow refuses one of them, all but that one: it would stand in the way of the rest for ever."""
        from mlflow.exceptions import MlflowException

        some: dict[str, Any] = {kind: things}
        try:
            client.log_batch(self.run_id, **some)
        except MlflowException as problem:
            if problem.error_code not in NEVER:
                raise
            if len(things) > 1:
                middle = len(things) // 2
                self._batch(client, kind, things[:middle])
                self._batch(client, kind, things[middle:])
                return
            _log.warning("MLflow refuses one of the %s of run %s for ever, the rest is delivered: %s", kind, self.run_id, problem)
            client.set_tag(self.run_id, REFUSED_TAG, f"{kind}: {problem}"[:500])

    def _dataset(self, client: "MlflowClient", name: str, sha256: str, said: dict[str, str]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(name=name, digest=sha256[:DIGEST_CHARACTERS], source_type="mlops", source=name)
        client.log_inputs(self.run_id, [DatasetInput(dataset, [InputTag(key, value) for key, value in said.items()])])

    def _end(self, client: "MlflowClient") -> None:
        if not self._asked.run_id:
            first = the_run(client, self._experiment, self._asked)
            if first is None or first.info.run_id != self.run_id:  # it was deleted, or another process was first: say it all there
                self._begin()
                self.go()
                return
            status, at = self._closed or ("KILLED", spool.now_ms())
            client.set_terminated(self.run_id, status, end_time=at)
        spool.forget(self.path)


def deliver(post: Post) -> list[PlatformError]:
    """Deliver all that nobody is writing or delivering; an error for each run that could not be. A store that is away ends it."""
    problems: list[PlatformError] = []
    spool.sweep(post.spool)
    for name in dict.fromkeys(spool.name_of(path) for path in spool.waiting(post.spool)):
        try:
            demand_answer(post.uri)
            _deliver(post, name, patience=0)
        except Timeout:
            continue
        except (TrackingFailed, RunUnknown) as problem:
            problems.append(problem)
            if isinstance(problem, Away):
                break
    return problems


def _deliver(post: Post, name: str, *, mine: Delivery | None = None, patience: float = LOCK_WAIT_SECONDS) -> None:
    """Deliver the attempts at a run, one process at a time, in the order in which they were begun: the last one's status counts."""
    with FileLock(post.spool / f"lock-{name[-1]}", timeout=patience):  # a few locks for all: one a run would never be cleaned up
        for path in spool.waiting(post.spool, name):
            if mine is not None and path == mine.path:
                mine.go()
            elif spool.written(path):
                _settle(Delivery(post, path))


def _settle(delivery: Delivery) -> None:
    try:
        delivery.go()
    except RunUnknown:
        spool.refuse(delivery.path)
        raise


class Courier:
    """A thread that carries one attempt into MLflow while it is written, then what others left behind."""

    def __init__(self, post: Post, path: Path, *, patience: float | None) -> None:
        self.problem: PlatformError | Timeout | None = None
        self._post = post
        self._delivery = Delivery(post, path)
        self._patience = patience
        self._tried = threading.Event()
        self._last = threading.Event()
        self._thread = threading.Thread(target=self._carry, name=f"tracking {path.stem}", daemon=True)
        self._thread.start()

    def run_id(self) -> str:
        """MLflow's id of the run; empty if it is not known within the patience."""
        self._wait(self._tried.wait)
        return self._delivery.run_id

    def finish(self) -> bool:
        """Nothing more is written: whether all has arrived within the patience. What has not is delivered by a later run."""
        self._last.set()
        self._wait(self._thread.join)
        return self.problem is None and not self._delivery.path.exists()

    def _wait(self, for_what: Callable[[float | None], object]) -> None:
        began = time.monotonic()
        for_what(self._patience)
        if self._patience is not None:
            self._patience = max(0.0, self._patience - (time.monotonic() - began))

    def _carry(self) -> None:
        try:
            while not self._pass(last=self._last.is_set()):
                self._last.wait(PAUSE_SECONDS)
        finally:
            self._tried.set()

    def _pass(self, *, last: bool) -> bool:
        """Deliver what there is; whether that was all."""
        first = not self._tried.is_set()
        try:
            demand_answer(self._post.uri)
            _deliver(self._post, spool.name_of(self._delivery.path), mine=self._delivery)
            self.problem = None
        except RunUnknown as problem:
            self.problem, last = problem, True
        except (TrackingFailed, Timeout) as problem:
            self.problem = problem
        self._tried.set()
        if first and self.problem is None and not last:
            for left in deliver(self._post):
                _log.warning("%s", left)
        return last
