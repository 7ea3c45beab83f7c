"""What MLflow shows is seen in its file and through a real server alike; so is a moved alias; a store that is away is no answer."""

import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from resources.registry.mirror import SET, follow, wanted
from resources.registry.mirrored import Shown, shown
from resources.registry.resource import Registry
from resources.tracking.resource import Tracking
from tests.resources.registry.records import WHOLE
from tests.servers.ports import free_port

APRIL = datetime(2013, 4, 1, 4, tzinfo=UTC)


class Place:
    """A ledger with one live version of a model, and MLflow's store."""

    def __init__(self, folder: Path) -> None:
        self.registry = Registry(ledger_url=f"sqlite:///{folder}/ledger.db", releases_root=str(folder / "releases"))
        self.tracking = Tracking(uri=f"sqlite:///{folder}/mlflow.db", artifacts=str(folder / "artifacts"))
        releases = self.registry.releases()
        for weight in (1.0, 2.0):
            name = releases.write("churn", {"weight": weight}, WHOLE, {"entry": "acme:predict"})
            self.registry.register("churn", name, mlflow_run_id="gone", actor="gate", data_at=APRIL)
        self.registry.promote("churn", 2, actor="gate", data_at=APRIL)
        self.client: Any = self.tracking.client()

    def follow(self) -> list[str]:
        return follow(self.registry.ledger(), self.tracking, model="churn")

    def wanted(self) -> str:
        return wanted(self.registry.ledger().entries("churn"), datetime.now(UTC))


@contextmanager
def server(uri: str, folder: Path) -> Generator[str]:
    port = free_port()
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--workers", "1"], env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 240
        while shown(url) is None:
            assert time.monotonic() < deadline, (folder / "log").read_text()[-3000:]
            assert process.poll() is None, (folder / "log").read_text()[-3000:]
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize("where", ["file", "server"])
def test_a_look_sees_whether_mlflow_shows_what_the_ledger_says(tmp_path: Path, where: str) -> None:
    place = Place(tmp_path)
    with server(place.tracking.uri, tmp_path) if where == "server" else _itself(place.tracking.uri) as uri:
        assert (shown(uri) or {}).get("churn", Shown()).followed == ""
        place.follow()
        found = (shown(uri) or {})["churn"]
        assert (found.followed, found.aliases) == (place.wanted(), {"production": "2", "candidate": "1"})
        for alias, to in (("production", "1"), ("candidate", "2")):
            place.client.set_registered_model_alias("churn", alias, to)
            assert (shown(uri) or {})["churn"].followed == ""
            place.follow()
        place.client.set_registered_model_alias("churn", "production", "1")
        place.client.set_registered_model_tag("churn", f"{SET}production", "1")  # as if the mirror had moved it
        assert (shown(uri) or {})["churn"].followed == ""
        place.follow()
        assert (shown(uri) or {})["churn"].aliases["production"] == "2"
        place.client.set_registered_model_alias("churn", "mine", "1")
        assert (shown(uri) or {})["churn"].followed == place.wanted()


def test_through_a_server_a_version_is_known_again_by_its_run(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with server(place.tracking.uri, tmp_path) as url:
        tracking = Tracking(uri=url, artifacts="")
        client: Any = tracking.client()
        run = client.create_run(client.create_experiment("fit")).info.run_id
        name = place.registry.releases().write("price", {"weight": 3.0}, WHOLE, {"entry": "acme:predict"})
        place.registry.register("price", name, mlflow_run_id=run, actor="gate", data_at=APRIL)
        place.registry.promote("price", 1, actor="gate", data_at=APRIL)
        for _ in range(2):
            assert follow(place.registry.ledger(), tracking, model="price") == []
        (version,) = client.search_model_versions("name = 'price'")
        assert (version.run_id, client.get_registered_model("price").aliases) == (run, {"production": "1"})


@contextmanager
def _itself(uri: str) -> Generator[str]:
    yield uri


def test_a_store_that_is_away_is_no_answer(tmp_path: Path) -> None:
    assert [shown(uri) for uri in (f"sqlite:///{tmp_path}/none.db", f"http://127.0.0.1:{free_port()}")] == [None, None]
    (tmp_path / "other.db").write_text("no database at all, and long enough to be looked at" * 20)
    assert shown(f"sqlite:///{tmp_path}/other.db") is None
    assert not (tmp_path / "none.db").exists()
