"""MLflow runs: one per key, found by tag, never by handle; a retry re-opens it and doubles nothing. The registry is another package.

Uses ``MlflowClient`` alone: no fluent API, no global state, no autologging. mlflow is imported by the step that logs, not by loading.
"""

import logging
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from filelock import FileLock

from resources.errors import PlatformError
from resources.settings import be_quiet

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY_TAG: Final = "mlops.key"
CONTENT_TAG: Final = "mlops.content"
KIND: Final = {"mlflow.experimentKind": "custom_model_development"}
"""Without it MLflow's UI takes an experiment for one of prompts and agents, and hides params and curves behind a switch."""

BATCH: Final = {"metrics": 800, "params": 100, "tags": 100}
"""MLflow takes 1,000 things at once, of which 100 params and 100 tags."""

DIGEST_CHARACTERS: Final = 36
"""MLflow refuses longer dataset digests; the full hash goes into a tag."""

LOCK_WAIT_SECONDS: Final = 120
_PATIENCE: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""What mlflow reads from the environment and nowhere else. Its defaults would wait 261 s for a server that is away."""


class TrackingFailed(PlatformError):
    """MLflow's store or artifact folder refused."""

    def __init__(self, *, uri: str, what: str, why: object) -> None:
        super().__init__(
            f"MLflow at {uri} could not {what}: {str(why).strip()}. The run stays open under its key. "
            "Mend the store (reachability, disk space, permissions) and run the same command again: it goes on in the same run."
        )


class Run:
    """One MLflow run that is being written; metrics are buffered. Saying the same again after a retry adds nothing."""

    def __init__(self, client: "MlflowClient", uri: str, found: Any, *, said: Mapping[str, float] | None = None) -> None:
        self.id: str = found.info.run_id
        self.experiment_id: str = found.info.experiment_id
        self._client = client
        self._uri = uri
        self._start_ms: int = found.info.start_time
        self._known: dict[str, str] = dict(found.data.params)
        self._said = said or {}
        self._points: Counter[str] = Counter()
        self._metrics: list[tuple[str, float, int, int]] = []

    def params(self, **params: object) -> None:
        """Record settings of this fit. One that differs from an earlier attempt's is kept beside it, as a tag."""
        said = {name: str(value) for name, value in params.items()}
        self._send("params", [(name, value) for name, value in said.items() if name not in self._known])
        self._known = {**said, **self._known}
        self.tags(**{f"mlops.retry.{name}": value for name, value in said.items() if self._known[name] != value})

    def metric(self, name: str, value: float, *, step: int = 0) -> None:
        """Record one point of a curve. Its time is the start of the run plus its place, so that a repeated fit repeats the point.

        A single value that a resumed run said before is replaced by one that differs: a later point.
        """
        at = self._start_ms + self._points[name]
        if not step and name in self._said:
            if self._said[name] == value:
                return
            at = time.time_ns() // 1_000_000
        self._points[name] += 1
        self._metrics.append((name, float(value), at, step))
        if len(self._metrics) == BATCH["metrics"]:
            self.flush()

    def tags(self, **tags: object) -> None:
        """Set tags."""
        self._send("tags", [(name, str(value)) for name, value in tags.items()])

    def flush(self) -> None:
        """Send what is buffered."""
        metrics, self._metrics = self._metrics, []
        self._send("metrics", metrics)

    def _send(self, kind: str, said: Sequence[tuple[Any, ...]]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        made: Any = {"metrics": Metric, "params": Param, "tags": RunTag}[kind]
        with _door(self._uri, f"log {kind}"):
            for start in range(0, len(said), BATCH[kind]):
                batch: dict[str, Any] = {kind: [made(*one) for one in said[start : start + BATCH[kind]]]}
                self._client.log_batch(self.id, **batch)

    def dataset(self, name: str, *, sha256: str, context: str, tags: Mapping[str, str] | None = None) -> None:
        """Record a dataset that the run read, by the hash of its content."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        said = {"mlflow.data.context": context, "mlops.sha256": sha256, **(tags or {})}
        dataset = Dataset(name=name, digest=sha256[:DIGEST_CHARACTERS], source_type="mlops", source=name)
        with _door(self._uri, f"log dataset {name}"):
            self._client.log_inputs(self.id, [DatasetInput(dataset, [InputTag(key, value) for key, value in said.items()])])

    def artifact(self, name: str, content: Path | str) -> None:
        """Store a text, or a folder's files, as ``name`` (``folder/file``); storing it again replaces it."""
        with _door(self._uri, f"store artifact {name}"), tempfile.TemporaryDirectory(prefix="mlops-artifact-") as folder:
            if isinstance(content, str):
                self._client.log_text(self.id, content, name)
            else:  # without the read-only bits of a release
                copied = shutil.copytree(content, Path(folder, "copied"), copy_function=shutil.copyfile)
                self._client.log_artifacts(self.id, str(copied), name)


class Tracking(dg.ConfigurableResource[Any]):
    """Where runs are kept. ``uri`` is absolute; ``artifacts`` a folder or a URI; ``ui`` the address that links point to."""

    uri: str
    artifacts: str
    ui: str = "http://127.0.0.1:5000"

    def client(self) -> "MlflowClient":
        """A client of the store, opened once a process; the store's schema is brought up to date first, by one process at a time."""
        return _client(self.uri)

    @contextmanager
    def run(self, key: str, *, experiment: str, content: str = "", tags: Mapping[str, str] | None = None) -> Generator[Run]:
        """The one run of ``key`` and ``content``: found by tag and re-opened, or made. Closed FINISHED, FAILED, or KILLED when interrupted.

        ``content`` says what the run is made from (a hash of data, code and settings): other content under the same key is another run.
        """
        with self.alone(f"open run {key}") as client:
            found = _open(client, _experiment(client, experiment, self.artifacts), key, content, tags or {})
        run = Run(client, self.uri, found)
        try:
            yield run
            run.flush()
        except BaseException as problem:
            with suppress(TrackingFailed), _door(self.uri, f"close run {key}"):
                run.flush()
                client.set_terminated(run.id, "FAILED" if isinstance(problem, Exception) else "KILLED")
            raise
        with _door(self.uri, f"close run {key}"):
            client.set_terminated(run.id, "FINISHED")

    @contextmanager
    def resume(self, run_id: str) -> Generator[Run]:
        """Add to a run that another step made (its evaluation, its parts); its status stays as it is."""
        found = self._found(run_id)
        run = Run(self.client(), self.uri, found, said=found.data.metrics)
        yield run
        run.flush()

    @contextmanager
    def alone(self, what: str) -> Generator["MlflowClient"]:
        """The client, with every other process of this machine kept out meanwhile, and MLflow's errors translated."""
        client = self.client()
        with _door(self.uri, what), _exclusive(self.uri):
            yield client

    def ui_url(self, run_id: str) -> str:
        """The page of a run in MLflow's UI."""
        return f"{self.ui.rstrip('/')}/#/experiments/{self._found(run_id).info.experiment_id}/runs/{run_id}"

    def _found(self, run_id: str) -> Any:
        with _door(self.uri, f"find run {run_id}"):
            return self.client().get_run(run_id)


@contextmanager
def _door(uri: str, what: str) -> Generator[None]:
    """Translate what MLflow and the disk raise."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as problem:
        raise TrackingFailed(uri=uri, what=what, why=problem) from problem


@contextmanager
def _exclusive(uri: str) -> Generator[Path | None]:
    """One process at a time for find-or-make and for migrations: the file behind a SQLite URI. A server keeps its own order: None."""
    if not uri.startswith("sqlite:"):
        yield None
        return
    database = Path(uri.removeprefix("sqlite:///"))
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock", timeout=LOCK_WAIT_SECONDS):
        yield database


@cache
def _client(uri: str) -> "MlflowClient":
    be_quiet(**_PATIENCE)
    from mlflow import MlflowClient

    with _door(uri, "open its store"):
        with _exclusive(uri) as database:
            if database is not None:
                _migrate(uri, database)
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _migrate(uri: str, database: Path) -> None:
    """``mlflow db upgrade``, once per version of MLflow: processes that open a fresh store together crash one another."""
    done, wanted = database.with_name(f"{database.name}.schema"), version("mlflow")
    if not database.exists() or not done.exists() or done.read_text() != wanted:
        from mlflow import db

        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        db.commands.main(["upgrade", uri], standalone_mode=False)
        done.write_text(wanted)


def _experiment(client: "MlflowClient", name: str, artifacts: str) -> str:
    """Id of the experiment, made at first use."""
    found = client.get_experiment_by_name(name)
    if found is None:
        root = artifacts.rstrip("/") if "://" in artifacts else Path(artifacts).resolve().as_uri()
        return client.create_experiment(name, artifact_location=f"{root}/{name}", tags=KIND)
    if found.lifecycle_stage != "active":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id


def _open(client: "MlflowClient", experiment_id: str, key: str, content: str, tags: Mapping[str, str]) -> Any:
    """Find the run of this key and content and set it running, or make it; attempts at other content that never ended are closed."""
    said = {**tags, KEY_TAG: key, CONTENT_TAG: content}
    runs = client.search_runs([experiment_id], f"tags.`{KEY_TAG}` = '{key}'", order_by=["attributes.start_time ASC"])
    found = next((run for run in runs if run.data.tags.get(CONTENT_TAG) == content), None)
    for run in runs:
        if run.data.tags.get(CONTENT_TAG) != content and run.info.status == "RUNNING":
            client.set_terminated(run.info.run_id, "KILLED")
    if found is None:
        return client.create_run(experiment_id, tags=said, run_name=key)
    client.update_run(found.info.run_id, status="RUNNING")
    for name, value in said.items():
        client.set_tag(found.info.run_id, name, value)
    return found
