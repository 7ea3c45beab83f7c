"""MLflow runs: one per key, found by tag, never by handle; a retry re-opens it and doubles nothing. The registry is another package.

What a run says goes to a file first (``spool``) and from there into MLflow (``delivery``), while the model is fitted or
later: a server that is away, slow or restarting neither fails nor blocks a fit.
"""

import logging
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.errors import PlatformError
from resources.tracking.delivery import PATIENCE_SECONDS, Courier, Post, deliver
from resources.tracking.spool import PENDING, Opened, Writer, now_ms
from resources.tracking.store import TrackingFailed, client_of, demand_answer, door, exclusive, found_run

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["PENDING", "Run", "Tracking", "TrackingFailed"]
_log = logging.getLogger(__name__)


class SpoolUnnamed(PlatformError):
    """A server, and no folder for what cannot be sent at once."""

    def __init__(self, uri: str) -> None:
        super().__init__(
            f"MLflow at {uri} may be away, and there is no folder to keep what runs say meanwhile, so no run was opened. "
            "Give Tracking a `spool`: a folder on a disk that outlives the process."
        )


class Run:
    """One MLflow run that is being written. Saying the same again after a retry adds nothing."""

    def __init__(self, writer: Writer, courier: Courier, asked: Opened) -> None:
        self._writer = writer
        self._courier = courier
        self._asked = asked
        self._said_at = 0

    @property
    def id(self) -> str:
        """MLflow's id; of a run that a server has not heard of yet, a name that ``Tracking`` takes wherever it takes an id."""
        return self._asked.run_id or self._courier.run_id() or PENDING + self._asked.name

    def params(self, **params: object) -> None:
        """Record settings of this fit. One that differs from an earlier attempt's is kept beside it, as a tag."""
        self._writer.say("params", {name: str(value) for name, value in params.items()})

    def metric(self, name: str, value: float, *, step: int = 0) -> None:
        """Record one point of a curve. In a run that another step made, a single value replaces the one before if it differs."""
        self._said_at = max(now_ms(), self._said_at + 1)  # of two values the later one counts, also within a millisecond
        self._writer.say("metric", name, float(value), step, self._said_at)

    def tags(self, **tags: object) -> None:
        """Set tags."""
        self._writer.say("tags", {name: str(value) for name, value in tags.items()})

    def dataset(self, name: str, *, sha256: str, context: str, tags: Mapping[str, str] | None = None) -> None:
        """Record a dataset that the run read, by the hash of its content."""
        self._writer.say("dataset", name, sha256, {"mlflow.data.context": context, "mlops.sha256": sha256, **(tags or {})})

    def artifact(self, name: str, content: Path | str) -> None:
        """Store a text, or a folder's files, as ``name`` (``folder/file``); storing it again replaces it."""
        self._writer.keep(name, content)


class Tracking(dg.ConfigurableResource[Any]):
    """Where runs are kept: the store's absolute ``uri``, the folder or URI of artifacts, the address that links point to.

    ``artifacts`` may be empty where a server decides. ``spool`` is a folder on a disk that outlives the process; by default beside a SQLite
    store.
    """

    uri: str
    artifacts: str
    ui: str = "http://127.0.0.1:5000"
    spool: str = ""

    @property
    def local(self) -> bool:
        """Whether the store is a file here: it is waited for, and nobody else cleans it."""
        return self.uri.startswith("sqlite:")

    @property
    def spool_folder(self) -> Path:
        """Where what runs say is kept until it has arrived."""
        if not self.spool and not self.local:
            raise SpoolUnnamed(self.uri)
        return Path(self.spool or Path(self.uri.removeprefix("sqlite:///")).parent / "spool")

    def client(self) -> "MlflowClient":
        """A client of the store, opened once a process; the store's schema is brought up to date first, by one process at a time."""
        return client_of(self.uri)

    @contextmanager
    def run(self, key: str, *, experiment: str, content: str = "", tags: Mapping[str, str] | None = None) -> Generator[Run]:
        """The one run of ``key`` and ``content``: found by tag and re-opened, or made. Closed FINISHED, FAILED, or KILLED when interrupted.

        ``content`` says what the run is made from (a hash of data, code and settings): other content under the same key is another run.
        """
        asked = Opened(at=now_ms(), experiment=experiment, key=key, content=content, tags=dict(tags or {}))
        with self._written(asked) as (writer, run):
            try:
                yield run
            except BaseException as problem:
                writer.say("close", "FAILED" if isinstance(problem, Exception) else "KILLED", now_ms())
                raise
            writer.say("close", "FINISHED", now_ms())

    @contextmanager
    def resume(self, run_id: str) -> Generator[Run]:
        """Add to a run that another step made (its evaluation, its parts); its status stays as it is."""
        with self._written(Opened(at=now_ms(), run_id=run_id)) as (_, run):
            yield run

    def deliver(self) -> list[PlatformError]:
        """Deliver what is left of runs that are over; an error for each that could not be."""
        return deliver(self._post())

    def resolved(self, run_id: str) -> str:
        """MLflow's id of a run that was recorded while MLflow had not heard of it; an id comes back as it is."""
        if not run_id.startswith(PENDING):
            return run_id
        self.deliver()
        demand_answer(self.uri)
        with door(self.uri, f"find run {run_id}"):
            return found_run(self.client(), run_id).info.run_id

    @contextmanager
    def alone(self, what: str) -> Generator["MlflowClient"]:
        """The client, with every other process of this machine kept out meanwhile, and MLflow's errors translated."""
        demand_answer(self.uri)
        client = self.client()
        with door(self.uri, what), exclusive(self.uri):
            yield client

    def ui_url(self, run_id: str) -> str:
        """The page of a run in MLflow's UI; of one that MLflow has not heard of, the page of all experiments."""
        return f"{self.ui.rstrip('/')}/#/" + ("experiments" if run_id.startswith(PENDING) else f"runs/{run_id}")

    @contextmanager
    def _written(self, asked: Opened) -> Generator[tuple[Writer, Run]]:
        post = self._post()
        writer = Writer(post.spool, asked)
        if self.local:
            with suppress(TrackingFailed):  # the courier says it
                self.client()  # here and not beside the fit, which imports much of the same
        courier = Courier(post, writer.path, patience=None if self.local else PATIENCE_SECONDS)
        try:
            yield writer, Run(writer, courier, asked)
        finally:
            writer.close()
            if not courier.finish():
                _log.warning("%s waits in %s: %s", asked.key or asked.run_id, writer.path, courier.problem or "MLflow is slow")

    def _post(self) -> Post:
        return Post(spool=self.spool_folder, uri=self.uri, artifacts=self.artifacts)
