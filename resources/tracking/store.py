"""The door to MLflow: its client, its errors in our words, the one run of a key and content. What is sent is in ``delivery``.

Uses ``MlflowClient`` alone: no fluent API, no global state, no autologging. mlflow is imported by the step that asks, not by loading.
"""

import importlib
import logging
import socket
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from filelock import FileLock

from resources.errors import PlatformError
from resources.settings import be_quiet
from resources.tracking.spool import PENDING, Opened

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY_TAG: Final = "mlops.key"
CONTENT_TAG: Final = "mlops.content"
NAME_TAG: Final = "mlops.run"
TWIN_TAG: Final = "mlops.duplicate_of"
KIND: Final = {"mlflow.experimentKind": "custom_model_development"}
"""Without it MLflow's UI takes an experiment for one of prompts and agents, and hides params and curves behind a switch."""

LOCK_WAIT_SECONDS: Final = 120
ANSWER_SECONDS: Final = 2
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
            f"MLflow at {uri} could not {what}: {str(why).strip()}. What runs said is kept and nothing of it is lost. "
            "Mend the store (reachability, disk space, permissions) and run the same command again, or the job deliver_tracking."
        )


class Away(TrackingFailed):
    """Nobody listens there."""


class RunUnknown(PlatformError):
    """A run that MLflow does not have."""

    def __init__(self, *, uri: str, run_id: str) -> None:
        super().__init__(
            f"MLflow at {uri} has no run {run_id}, so nothing was added to it. Restore it there (`mlflow runs restore`, until "
            "`mlflow gc` ran), or materialize the model of that run again."
        )


@contextmanager
def door(uri: str, what: str) -> Generator[None]:
    """Translate what MLflow, its database, its S3 client and the disk raise."""
    from alembic.util.exc import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, CommandError, OSError, *_of_s3()) as problem:
        raise TrackingFailed(uri=uri, what=what, why=problem) from problem


def _of_s3() -> Iterable[type[Exception]]:
    """What boto raises, if this process uses it."""
    for module, names in (("boto3.exceptions", ["Boto3Error"]), ("botocore.exceptions", ["BotoCoreError", "ClientError"])):
        yield from (getattr(sys.modules[module], name) for name in names if module in sys.modules)


@contextmanager
def exclusive(uri: str) -> Generator[Path | None]:
    """One process at a time for find-or-make and for migrations: the file behind a SQLite URI. A server keeps its own order: None."""
    if not uri.startswith("sqlite:"):
        yield None
        return
    database = Path(uri.removeprefix("sqlite:///"))
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock", timeout=LOCK_WAIT_SECONDS):
        yield database


def demand_answer(uri: str) -> None:
    """Ask whether somebody listens before seconds go into importing mlflow and minutes into its retries."""
    place = urlsplit(uri)
    proxied = place.scheme in getproxies() and not proxy_bypass(place.hostname or "")  # who listens behind a proxy only it can say
    if place.scheme in {"http", "https"} and not proxied:
        try:
            port = place.port or {"http": 80, "https": 443}[place.scheme]
            socket.create_connection((place.hostname or "", port), timeout=ANSWER_SECONDS).close()
        except OSError as problem:
            raise Away(uri=uri, what="be reached", why=problem) from problem


@cache
def client_of(uri: str) -> "MlflowClient":
    """A client of the store, opened once a process; a local store's schema is brought up to date first, by one process at a time."""
    be_quiet(**_PATIENCE)
    from mlflow import MlflowClient

    _leave_feast_alone()
    with door(uri, "open its store"):
        with exclusive(uri) as database:
            if database is not None:
                _migrate(uri, database)
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _leave_feast_alone() -> None:
    """Feast offers mlflow a header of its own, and the first request would import all of it for that: 4 CPU seconds."""
    from mlflow.utils import plugins

    every = plugins.get_entry_points
    plugins.get_entry_points = lambda group: [one for one in every(group) if not one.value.startswith("feast.")]
    try:
        importlib.import_module("mlflow.tracking.request_header.registry")  # which asks once, when it is imported
    finally:
        plugins.get_entry_points = every


def _migrate(uri: str, database: Path) -> None:
    """``mlflow db upgrade``, once per version of MLflow: processes that open a fresh store together crash one another."""
    done, wanted = database.with_name(f"{database.name}.schema"), version("mlflow")
    if not database.exists() or not done.exists() or done.read_text() != wanted:
        from mlflow import db

        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        db.commands.main(["upgrade", uri], standalone_mode=False)
        done.write_text(wanted)


def experiment(client: Any, name: str, artifacts: str) -> str:
    """Id of the experiment, made at first use; its artifacts lie in ``artifacts``, or where the server wants them."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        root = artifacts.rstrip("/") if "://" in artifacts or not artifacts else Path(artifacts).resolve().as_uri()
        with suppress(MlflowException):  # somebody else made it meanwhile, or an answer was lost: asked again below
            return client.create_experiment(name, artifact_location=f"{root}/{name}" if root else None, tags=KIND)
        found = client.get_experiment_by_name(name)
    if found is None:
        raise TrackingFailed(uri=client.tracking_uri, what=f"make experiment {name}", why="it refused")
    if found.lifecycle_stage != "active":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id


def found_run(client: Any, run_id: str) -> Any:
    """A run by its id, or by the name that it had before; searched for, because a server with roles tells absent from forbidden only so."""
    pending = run_id.startswith(PENDING)
    wanted = f"tags.`{NAME_TAG}` = '{run_id.removeprefix(PENDING)}'" if pending else f"attributes.run_id = '{run_id}'"
    found = client.search_runs([one.experiment_id for one in client.search_experiments()], wanted)
    if not found and pending:
        raise TrackingFailed(uri=client.tracking_uri, what=f"find run {run_id}", why="it has not been delivered yet")
    if not found:
        raise RunUnknown(uri=client.tracking_uri, run_id=run_id)
    return min(found, key=_age)


def open_run(client: "MlflowClient", experiment_id: str, asked: Opened) -> Any:
    """Find the run of this key and content and set it running, or make it; older attempts at other content that never ended are closed."""
    for run in _attempts(client, experiment_id, asked.key):
        if run.data.tags.get(CONTENT_TAG) != asked.content and run.info.status == "RUNNING" and run.info.start_time < asked.at:
            client.set_terminated(run.info.run_id, "KILLED")
    said = {**asked.tags, KEY_TAG: asked.key, CONTENT_TAG: asked.content, NAME_TAG: asked.name}
    found = the_run(client, experiment_id, asked)
    if found is None:
        client.create_run(experiment_id, start_time=asked.at, tags=said, run_name=asked.key)
        return the_run(client, experiment_id, asked)  # not what was just made: somebody else may have been first, or an answer was lost
    client.update_run(found.info.run_id, status="RUNNING")
    for name, value in said.items():
        client.set_tag(found.info.run_id, name, value)
    return found


def the_run(client: "MlflowClient", experiment_id: str, asked: Opened) -> Any:
    """The oldest run of a key and content; those that a lost answer or a race made beside it are closed and say whose twin they are."""
    first, *twins = [run for run in _attempts(client, experiment_id, asked.key) if run.data.tags.get(CONTENT_TAG) == asked.content] or [
        None
    ]
    for twin in twins:
        if TWIN_TAG not in twin.data.tags:
            client.set_tag(twin.info.run_id, TWIN_TAG, first.info.run_id)
            client.set_terminated(twin.info.run_id, "KILLED")
    return first


def _attempts(client: "MlflowClient", experiment_id: str, key: str) -> list[Any]:
    quote = '"' if "'" in key else "'"
    found = client.search_runs([experiment_id], f"tags.`{KEY_TAG}` = {quote}{key}{quote}")
    return sorted(found, key=_age)


def _age(run: Any) -> tuple[int, str]:
    """Order of making; a repeated request has the same start."""
    return run.info.start_time, run.info.run_id
