"""A real ``bentoml serve``: follows the ledger, refuses other code, rolls a new Bento, and leaves no orphan. Tests run in order."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from resources.serving import scoring
from resources.serving.controller import NotServed, Refused, RollRefused, Serving
from resources.serving.endpoint import Endpoint, running
from resources.serving.lock import serving_lock
from resources.serving.routes import Route
from tests.resources.serving.clients import Clients
from tests.resources.serving.tiny import FEATURES, FRAME, Tiny

ROOT = Path(__file__).parents[2]
EXAMPLE = {"x": 2.0, "k": "b", "n": 1}
HOLDER = """
import sys, time
from resources.serving.controller import Serving
from resources.serving.routes import Route
home, ledger, releases, wait, *routes = sys.argv[1:]
serving = Serving(home=home, ledger_url=ledger, releases_root=releases)
end = serving.start([Route(**eval(one)) for one in routes], "tinyco")
if wait == "ready": end = serving.wait_until_ready()
print(end.pid, end.started, flush=True)
time.sleep(300)
"""


@dataclass
class Stage:
    """A project with two models, LightGBM and linear, and the service that answers for them."""

    tiny: Tiny
    serving: Serving
    hashes: list[str] = field(default_factory=list[str])

    def routes(self) -> list[Route]:
        return [self.tiny.route(), self.tiny.route("boosted", "boosted")]

    def ensure(self) -> Endpoint:
        return self.serving.ensure(self.routes(), "tinyco")

    def current(self) -> Endpoint:
        found = self.serving.current()
        assert found is not None
        return found


def booster() -> Any:
    import lightgbm
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2))
    data = lightgbm.Dataset(x, label=(x[:, 0] + x[:, 1] > 0).astype(float))
    train: Any = vars(lightgbm)["train"]
    return train({"objective": "binary", "verbosity": -1, "seed": 7}, data, num_boost_round=5)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("serving")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(folder / "source"), *sys.path])
        tiny = Tiny(folder)
        serving = Serving(home=str(folder / "serving"), ledger_url=tiny.ledger.url, releases_root=str(tiny.releases.root))
        one = Stage(tiny, serving)
        tiny.promote(tiny.store({"booster": booster()}, model="boosted", function="boosted"), model="boosted")
        one.hashes.append(tiny.release(1.0))
        one.ensure()
        yield one
        serving.stop()


def get(url: str) -> tuple[int, bytes]:
    with urllib.request.urlopen(url) as answer:  # noqa: S310  always the URL of our own process
        return answer.status, answer.read()


def asked(url: str, *, within: float) -> Any:
    """What ``url`` says once every model has been looked at."""
    deadline = time.monotonic() + within
    while True:
        try:
            said = json.loads(get(url)[1])
        except OSError:
            said = None
        if said is not None and all(one["looked"] for one in said["models"].values()):
            return said
        assert time.monotonic() < deadline
        time.sleep(0.2)


def tree(pid: int) -> list[psutil.Process]:
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def left(processes: list[psutil.Process], *, within: float) -> list[psutil.Process]:
    deadline = time.monotonic() + within
    alive = processes
    while alive and time.monotonic() < deadline:
        time.sleep(0.1)
        alive = [one for one in alive if lives(one)]
    return alive


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def load(stage: Stage) -> Clients:
    return Clients(lambda: stage.current().url, [EXAMPLE])


def test_the_service_answers_as_batch_does(stage: Stage) -> None:
    for model, function in (("tiny", "predict"), ("boosted", "boosted")):
        live = stage.tiny.ledger.live(model)
        assert live is not None
        release = stage.tiny.releases.load(model, str(live.content_hash))
        batch = scoring.score(stage.tiny.entry(function), dict(release.parts), FRAME, FEATURES).to_list()
        answer = stage.serving.predict(model, scoring.rows(FRAME, FEATURES))
        assert (answer["version"], answer["content_hash"]) == (1, live.content_hash)
        assert [one["prediction"] for one in answer["predictions"]] == batch
        ids = scoring.prediction_ids(str(live.content_hash), FRAME, FEATURES).to_list()
        assert [one["prediction_id"] for one in answer["predictions"]] == ids


def test_it_is_ready_and_documents_a_route_a_model(stage: Stage) -> None:
    url = stage.current().url
    assert [get(f"{url}/{probe}")[0] for probe in ("livez", "readyz", "metrics")] == [200, 200, 200]
    paths = json.loads(get(f"{url}/docs.json")[1])["paths"]
    assert {"/tiny/predict", "/boosted/predict"} <= set(paths)
    request = paths["/tiny/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert "examples" in json.dumps(request) or "$ref" in request
    assert b"google" not in get(f"{url}/")[1]
    assert get(f"{url}/static_content/swagger-ui-bundle.js")[0] == 200


def test_it_listens_on_this_machine_alone(stage: Stage) -> None:
    listening = [one.laddr.ip for process in tree(stage.current().pid) for one in process.net_connections("inet") if one.status == "LISTEN"]
    assert set(listening) == {"127.0.0.1"}


def test_stock_bentoml_knows_the_bento(stage: Stage) -> None:
    store = Path(stage.serving.home) / "bento"
    environment = {**os.environ, "BENTOML_HOME": str(store), "BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-m", "bentoml", "list", "-o", "json"]
    found = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert [one["tag"] for one in json.loads(found.stdout)] == [stage.current().bento]
    requirements = store / "bentos" / stage.current().bento.replace(":", "/") / "env" / "python" / "requirements.txt"
    assert requirements.read_bytes() == serving_lock().read_bytes()


def test_a_refusal_names_the_field(stage: Stage) -> None:
    with pytest.raises(Refused, match=r"\(400\): .*Example 0: n must be a whole number of 64 bits, not NoneType"):
        stage.serving.predict("tiny", [EXAMPLE | {"n": None}])
    with pytest.raises(Refused, match=r"\(404\): .*Known: boosted, tiny"):
        stage.serving.predict("huge", [EXAMPLE])


def test_versions_flip_under_load_and_no_request_fails(stage: Stage) -> None:
    with load(stage) as clients:
        for weight in (2.0, 3.0, 4.0):
            stage.hashes.append(stage.tiny.release(weight, after=timedelta(seconds=0.3)))
            stage.serving.wait_for("tiny", stage.hashes[-1], timeout=20)
            time.sleep(0.3)
    assert clients.failed == []
    assert set(clients.versions) == {1, 2, 3, 4}
    assert clients.versions == sorted(clients.versions)
    for one in (answer.said for answer in clients.answers):
        assert one["content_hash"] == stage.hashes[one["version"] - 1]
        assert one["predictions"][0]["prediction"] == 2.0 * one["version"]


def test_edited_code_changes_nothing_until_a_release_needs_it(stage: Stage) -> None:
    before = stage.serving.predict("tiny", [EXAMPLE])
    stage.tiny.write(offset=100.0)
    with pytest.raises(RollRefused, match="The new service cannot answer for"):
        stage.ensure()  # the live releases were fitted with the old code
    assert stage.serving.predict("tiny", [EXAMPLE]) == before


def test_a_release_with_other_code_is_refused_and_rolls_a_new_bento(stage: Stage) -> None:
    old = stage.current()
    processes = tree(old.pid)
    other = stage.tiny.release(5.0)
    with pytest.raises(NotServed, match="was fitted with code"):
        stage.serving.wait_for("tiny", other, timeout=20)
    refused = [one for one in stage.tiny.ledger.observations() if one["what"] == "refused" and one["worker"].startswith(old.run)]
    assert [one["payload"]["content_hash"] for one in refused] == [other]
    stage.tiny.promote(stage.tiny.store({"booster": booster()}, model="boosted", function="boosted"), model="boosted")
    with load(stage) as clients:
        new = stage.ensure()
        stage.serving.wait_for("tiny", other, timeout=20)
        time.sleep(0.5)
    assert clients.failed == []
    assert [clients.versions[0], clients.versions[-1]] == [4, 5]
    assert clients.answers[-1].said["predictions"][0]["prediction"] == 110.0
    assert (new.url != old.url, new.bento != old.bento, stage.current()) == (True, True, new)
    assert left(processes, within=25) == []  # drained, then ended by itself


def test_a_killed_supervisor_takes_its_workers_along(stage: Stage) -> None:
    processes = tree(stage.current().pid)
    assert len(processes) > 1
    processes[0].kill()
    assert left(processes, within=10) == []
    again = stage.ensure()  # from the Bento in the store
    assert stage.serving.predict("tiny", [EXAMPLE])["version"] == 5
    assert again.pid != processes[0].pid


@pytest.mark.parametrize("wait", ["ready", "starting"])
def test_a_killed_holder_leaves_no_orphan(stage: Stage, wait: str) -> None:
    one = stage.serving
    home = Path(one.home)
    elsewhere = home.with_name(f"held_{wait}")
    elsewhere.mkdir()
    (elsewhere / "bento").symlink_to(home / "bento")
    routes = [repr(vars(route)) for route in stage.routes()]
    command = [sys.executable, "-c", HOLDER, str(elsewhere), one.ledger_url, one.releases_root, wait, *routes]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{stage.tiny.source}"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as holder:
        assert holder.stdout is not None
        pid, started = holder.stdout.readline().split()
        assert running(int(pid), float(started))
        processes = tree(int(pid))
        holder.kill()
    assert left(processes, within=40) == []
    assert [process for process in psutil.process_iter(["cmdline"]) if str(elsewhere) in " ".join(process.info["cmdline"] or [])] == []


def test_a_stopped_service_leaves_nothing(stage: Stage) -> None:
    processes = tree(stage.current().pid)
    stage.serving.stop()
    assert left(processes, within=0.5) == []


def test_stock_bentoml_serves_what_was_written(stage: Stage) -> None:
    store = Path(stage.serving.home) / "bento"
    environment = {**os.environ, "BENTOML_HOME": str(store), "BENTOML_DO_NOT_TRACK": "True"}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "bentoml", "serve", "tinyco:latest", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        processes: list[psutil.Process] = []
        try:
            said = asked(f"http://127.0.0.1:{port}/models", within=60)
            processes = tree(server.pid)
        finally:
            server.terminate()
    live = stage.tiny.ledger.live("tiny")
    assert live is not None
    assert (said["run"], said["models"]["tiny"]["content_hash"]) == (None, live.content_hash)
    assert left(processes, within=15) == []
