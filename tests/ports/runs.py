"""A store of runs as the port suite asks it: the platform's way in, a stock client's view, and what can be done to a server behind it."""

import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from mlflow import MlflowClient
from mlflow.entities import DatasetInput
from mlflow.entities import Run as Found

from resources.tracking.resource import Run, Tracking
from tests.servers.mlflow import BUCKET, MlflowServer, mlflow_server
from tests.servers.postgres import postgres
from tests.servers.proxy import Proxy, proxy
from tests.servers.s3 import S3, s3

ARRIVAL_SECONDS: Final = 120


@dataclass(kw_only=True)
class World:
    """A store, and what is seen in it from outside."""

    tracking: Tracking
    client: Any

    def arrived(self) -> None:
        """Wait until nothing is left to deliver."""
        deadline = time.monotonic() + ARRIVAL_SECONDS
        while list(self.tracking.spool_folder.glob("*.jsonl")):
            assert self.tracking.deliver() == []
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def id(self, run: Run) -> str:
        """MLflow's, once all has arrived."""
        self.arrived()
        return self.tracking.resolved(run.id)

    def found(self, run: Run) -> Found:
        """What a stock client sees of a run."""
        return self.client.get_run(self.id(run))

    def runs(self, experiment: str) -> list[Found]:
        """All runs of an experiment, oldest first."""
        self.arrived()
        found = self.client.get_experiment_by_name(experiment)
        return list(self.client.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"])) if found else []

    def points(self, run: Run, name: str) -> list[tuple[int, float]]:
        """Steps and values of a curve."""
        return [(point.step, point.value) for point in self.client.get_metric_history(self.id(run), name)]

    def datasets(self, run: Run) -> list[DatasetInput]:
        """What a run read."""
        inputs = self.found(run).inputs
        return inputs.dataset_inputs if inputs else []

    def artifacts(self, run: Run, folder: str) -> list[str]:
        """Files in a folder of a run."""
        return sorted(file.path for file in self.client.list_artifacts(self.id(run), folder))


@dataclass(kw_only=True)
class Remote(World):
    """A real server; the platform and S3 are each reached through something that can be slow or refuse."""

    server: MlflowServer
    files: S3
    way: Proxy
    way_to_s3: Proxy

    def become(self, patch: pytest.MonkeyPatch, user: str) -> None:
        """Say who asks, where mlflow's client looks for it."""
        patch.setenv("MLFLOW_TRACKING_USERNAME", user)
        patch.setenv("MLFLOW_TRACKING_PASSWORD", self.server.passwords[user])


def embedded(folder: Path) -> World:
    """One file, no server."""
    tracking = Tracking(uri=f"sqlite:///{folder}/mlflow.db", artifacts=str(folder / "artifacts"))
    tracking.client()
    return World(tracking=tracking, client=MlflowClient(tracking_uri=tracking.uri))


@contextmanager
def remote(folder: Path) -> Generator[Remote]:
    """An MLflow server with its Postgres and S3, asked as the platform's user."""
    with ExitStack() as stack:
        database, files = stack.enter_context(postgres()), stack.enter_context(s3(BUCKET))
        way_to_s3 = stack.enter_context(proxy(files.port))
        server = stack.enter_context(mlflow_server(database, way_to_s3.port))
        way = stack.enter_context(proxy(server.port))
        server.make_users()
        tracking = Tracking(uri=f"http://127.0.0.1:{way.port}", artifacts="", spool=str(folder / "spool"))
        client = MlflowClient(tracking_uri=server.url)
        made = Remote(tracking=tracking, client=client, server=server, files=files, way=way, way_to_s3=way_to_s3)
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # a test need not wait for what is not coming
        made.become(patch, "platform")
        yield made
