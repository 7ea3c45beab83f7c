"""MLflow runs: one per key, found by tag, never by handle; a retry re-opens it and doubles nothing. The registry is another package.

Uses ``MlflowClient`` alone: no fluent API, no global state, no autologging. mlflow is imported by the step that logs, not by loading.
"""

import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Mapping
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
    from mlflow.entities import Metric, Param, RunTag

KEY_TAG: Final = "mlops.key"
CONTENT_TAG: Final = "mlops.content"
HASH_TAG: Final = "mlops.sha256"
KIND: Final = {"mlflow.experimentKind": "custom_model_development"}
"""Without it MLflow's UI takes an experiment for one of prompts and agents, and hides params and curves behind a switch."""

CONTEXT_TAG: Final = "mlflow.data.context"
PLOTS: Final = "plots"
MODEL: Final = "model"
"""Artifact folder of the model's parts: where a registered version points to."""

BATCH: Final = 1000
PARAMS_BATCH: Final = 100
DIGEST_CHARACTERS: Final = 36
"""MLflow refuses longer dataset digests; the full hash goes into a tag."""

LOCK_WAIT_SECONDS: Final = 120
_PATIENCE: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""What mlflow reads from the environment and nowhere else. Its defaults would wait 261 s for a server that is away."""

_SQLITE: Final = "sqlite:///"
_KEY: Final = re.compile(r"[^'\"`\\\n]{1,250}")


class TrackingFailed(PlatformError):
    """MLflow's store or artifact folder refused."""

    def __init__(self, *, uri: str, what: str, why: object) -> None:
        super().__init__(
            f"MLflow at {uri} could not {what}: {str(why).strip()}. The run stays open under its key. "
            "Mend the store (reachability, disk space, permissions) and run the same command again: it goes on in the same run."
        )


class TrackingMisconfigured(PlatformError):
    """A tracking setting that cannot mean what was wanted."""

    def __init__(self, *, name: str, value: str, why: str) -> None:
        super().__init__(f"Tracking.{name}={value!r}: {why}. Nothing was logged. Correct it in the profile or in MLOPS_HOME.")


class RunLog:
    """What a fit says while it runs, buffered and sent in batches. Saying the same again after a retry adds nothing."""

    def __init__(self, client: "MlflowClient", uri: str, run_id: str, *, start_ms: int, known: Mapping[str, str]) -> None:
        self._client = client
        self._uri = uri
        self._run_id = run_id
        self._start_ms = start_ms
        self._known = dict(known)
        self._params: dict[str, str] = {}
        self._metrics: list[tuple[str, float, int, int]] = []
        self._points: Counter[str] = Counter()
        self._latest: Mapping[str, float] = {}

    def params(self, **params: object) -> None:
        """Record settings of this fit."""
        self._params |= {name: str(value) for name, value in params.items()}

    def metric(self, name: str, value: float, *, step: int = 0) -> None:
        """Record one point of a curve. Its time is the start of the run plus its place, so that a repeated fit repeats the point."""
        if not step and name in self._latest:
            self._correct(name, float(value))
            return
        self._metrics.append((name, float(value), self._start_ms + self._points[name], step))
        self._points[name] += 1
        if len(self._metrics) >= BATCH:
            self.flush()

    def revise(self, latest: Mapping[str, float]) -> None:
        """Let single values of a run that has ended replace what it said: a value that differs is a later point."""
        self._latest = dict(latest)

    def _correct(self, name: str, value: float) -> None:
        if self._latest[name] != value:
            self._metrics.append((name, value, time.time_ns() // 1_000_000, 0))

    def flush(self) -> None:
        """Send what is buffered. A setting that differs from the one recorded by an earlier attempt is kept beside it, as a tag."""
        from mlflow.entities import Metric, Param, RunTag

        metrics, self._metrics = [Metric(*point) for point in self._metrics], []
        fresh = [Param(name, value) for name, value in self._params.items() if name not in self._known]
        tags = [RunTag(f"mlops.retry.{name}", value) for name, value in self._params.items() if self._known.get(name, value) != value]
        self._known |= {param.key: param.value for param in fresh}
        self._params = {}
        with _door(self._uri, "log a batch"):
            for start in range(0, len(metrics), BATCH):
                self._send(metrics[start : start + BATCH], [], [])
            for start in range(0, max(len(fresh), len(tags)), PARAMS_BATCH):
                self._send([], fresh[start : start + PARAMS_BATCH], tags[start : start + PARAMS_BATCH])

    def _send(self, metrics: "list[Metric]", params: "list[Param]", tags: "list[RunTag]") -> None:
        self._client.log_batch(self._run_id, metrics=metrics, params=params, tags=tags, synchronous=True)


class Run:
    """One MLflow run that is being written."""

    def __init__(self, client: "MlflowClient", uri: str, run: Any) -> None:
        self.id: str = run.info.run_id
        self.experiment_id: str = run.info.experiment_id
        self.log = RunLog(client, uri, self.id, start_ms=run.info.start_time, known=run.data.params)
        self._client = client
        self._uri = uri

    def tags(self, **tags: object) -> None:
        """Set tags; a double underscore stands for a dot."""
        for name, value in tags.items():
            with _door(self._uri, f"set tag {name}"):
                self._client.set_tag(self.id, name.replace("__", "."), str(value))

    def dataset(self, name: str, *, sha256: str, context: str, source: str = "", tags: Mapping[str, str] | None = None) -> None:
        """Record a dataset that the run read, by the hash of its content."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        said = {CONTEXT_TAG: context, HASH_TAG: sha256, **(tags or {})}
        dataset = Dataset(name=name, digest=sha256[:DIGEST_CHARACTERS], source_type="mlops", source=source or name)
        with _door(self._uri, f"log dataset {name}"):
            self._client.log_inputs(self.id, [DatasetInput(dataset, [InputTag(key, value) for key, value in said.items()])])

    def artifact(self, name: str, content: Path | bytes | str) -> None:
        """Store a file, or a folder's files, as ``name`` (``folder/file``); storing it again replaces it."""
        with tempfile.TemporaryDirectory(prefix="mlops-artifact-") as folder:
            staged = Path(folder, name)
            staged.parent.mkdir(parents=True, exist_ok=True)
            _stage(staged, content)
            with _door(self._uri, f"store artifact {name}"):
                self._client.log_artifacts(self.id, folder)

    def figure(self, name: str, content: bytes | str) -> None:
        """Store a picture (``curve.svg``, ``curve.png``) among the run's plots."""
        self.artifact(f"{PLOTS}/{name}", content)


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
            run.log.flush()
        except BaseException as problem:
            with suppress(TrackingFailed), _door(self.uri, f"close run {key}"):
                run.log.flush()
                client.set_terminated(run.id, "FAILED" if isinstance(problem, Exception) else "KILLED")
            raise
        with _door(self.uri, f"close run {key}"):
            client.set_terminated(run.id, "FINISHED")

    @contextmanager
    def resume(self, run_id: str) -> Generator[Run]:
        """Add to a run that another step made (its evaluation, its parts); its status stays as it is."""
        client = self.client()
        with _door(self.uri, f"find run {run_id}"):
            found = client.get_run(run_id)
        run = Run(client, self.uri, found)
        run.log.revise(found.data.metrics)
        yield run
        run.log.flush()

    @contextmanager
    def alone(self, what: str) -> Generator["MlflowClient"]:
        """The client, with every other process of this machine kept out meanwhile, and MLflow's errors translated."""
        client = self.client()
        with _door(self.uri, what), _exclusive(self.uri):
            yield client

    def ui_url(self, run: Run | str) -> str:
        """The page of a run in MLflow's UI."""
        if isinstance(run, str):
            with _door(self.uri, f"find run {run}"):
                run = Run(self.client(), self.uri, self.client().get_run(run))
        return f"{self.ui.rstrip('/')}/#/experiments/{run.experiment_id}/runs/{run.id}"


@contextmanager
def _door(uri: str, what: str) -> Generator[None]:
    """Translate what MLflow and the disk raise."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as problem:
        raise TrackingFailed(uri=uri, what=what, why=problem) from problem


def _database(uri: str) -> Path | None:
    """The file behind a SQLite URI; None for a server."""
    if not uri.startswith("sqlite:"):
        return None
    path = Path(uri.removeprefix(_SQLITE))
    if not uri.startswith(_SQLITE) or not path.is_absolute():
        raise TrackingMisconfigured(name="uri", value=uri, why="a SQLite store needs an absolute path, sqlite:////folder/mlflow.db")
    return path


@contextmanager
def _exclusive(uri: str) -> Generator[None]:
    """One process at a time for find-or-make and for migrations; a server keeps its own order."""
    database = _database(uri)
    if database is None:
        yield
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock", timeout=LOCK_WAIT_SECONDS):
        yield


@cache
def _client(uri: str) -> "MlflowClient":
    be_quiet(**_PATIENCE)
    from mlflow import MlflowClient

    with _door(uri, "open its store"):
        _migrate(uri)
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _migrate(uri: str) -> None:
    """``mlflow db upgrade``, once per version of MLflow: processes that open a fresh store together crash one another."""
    import logging

    database = _database(uri)
    if database is None:
        return
    with _exclusive(uri):
        done, wanted = database.with_name(f"{database.name}.schema"), version("mlflow")
        if database.exists() and done.exists() and done.read_text() == wanted:
            return
        from mlflow import db

        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        db.commands.main(["upgrade", uri], standalone_mode=False)
        done.write_text(wanted)


def _experiment(client: "MlflowClient", name: str, artifacts: str) -> str:
    """Id of the experiment, made at first use."""
    found = client.get_experiment_by_name(name)
    if found is None:
        root = artifacts.rstrip("/") if "://" in artifacts else Path(artifacts).resolve().as_uri()
        return _created(client, name, f"{root}/{name}")
    if found.lifecycle_stage != "active":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id


def _created(client: "MlflowClient", name: str, location: str) -> str:
    from mlflow.exceptions import MlflowException

    try:
        return client.create_experiment(name, artifact_location=location, tags=KIND)
    except MlflowException:
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return found.experiment_id


def _open(client: "MlflowClient", experiment_id: str, key: str, content: str, tags: Mapping[str, str]) -> Any:
    """Find the run of this key and content and set it running, or make it; attempts at other content that never ended are closed."""
    if not _KEY.fullmatch(key):
        raise TrackingMisconfigured(name="run", value=key, why="a run's key has 1 to 250 characters and no quotes")
    said = {**tags, KEY_TAG: key, CONTENT_TAG: content}
    runs = client.search_runs([experiment_id], f"tags.`{KEY_TAG}` = '{key}'", order_by=["attributes.start_time ASC"])
    same = [run for run in runs if run.data.tags.get(CONTENT_TAG) == content]
    for run in runs:
        if run not in same and run.info.status == "RUNNING":
            client.set_terminated(run.info.run_id, "KILLED")
    if not same:
        return client.create_run(experiment_id, tags=said, run_name=key)
    found = same[0]
    client.update_run(found.info.run_id, status="RUNNING")
    for name, value in said.items():
        if found.data.tags.get(name) != value:
            client.set_tag(found.info.run_id, name, value)
    return found


def _stage(staged: Path, content: Path | bytes | str) -> None:
    """Put content where the upload looks, without the read-only bits of a release."""
    if isinstance(content, bytes | str):
        staged.write_bytes(content.encode() if isinstance(content, str) else content)
    elif content.is_dir():
        shutil.copytree(content, staged, copy_function=shutil.copyfile)
    else:
        shutil.copyfile(content, staged)
