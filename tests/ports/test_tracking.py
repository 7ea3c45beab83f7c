"""Runs in an embedded store and on a real server (Postgres, S3, roles), read with a stock client: one a key and content in all of it."""

import shlex
import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from resources.tracking.resource import PENDING, Run, Tracking
from tests.docs.pages import commands, done, project, write
from tests.ports.runs import Remote, World, embedded
from tests.ports.runs import remote as started
from tests.servers.mlflow import ADMIN, BUCKET

FULL_HASH = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Generator[Remote]:
    with started(tmp_path_factory.mktemp("remote")) as made:
        yield made


@pytest.fixture(scope="module", params=["embedded", "remote"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    return embedded(tmp_path_factory.mktemp("embedded")) if request.param == "embedded" else request.getfixturevalue("remote")


@pytest.fixture
def tracking(world: World) -> Tracking:
    return world.tracking


@pytest.fixture
def experiment(request: pytest.FixtureRequest) -> str:
    """An experiment of the test's own."""
    return request.node.name


def test_a_run_holds_what_the_fit_said(world: World, tracking: Tracking, experiment: str) -> None:
    with tracking.run("model/churn/parts 2013-04", experiment=experiment, content="c1", tags={"team": "flights"}) as run:
        run.params(trees=100, rate=0.1)
        for step in range(3):
            run.metric("loss", 1 / (step + 1), step=step)
        run.tags(content_hash="abc")
    found = world.found(run)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "model/churn/parts 2013-04"
    assert found.data.params == {"trees": "100", "rate": "0.1"}
    assert world.points(run, "loss") == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    expected = {"team": "flights", "content_hash": "abc", "mlops.key": "model/churn/parts 2013-04"}
    assert expected.items() <= found.data.tags.items()


def test_the_same_key_and_content_again_is_the_same_run_and_doubles_nothing(world: World, tracking: Tracking, experiment: str) -> None:
    def fit() -> Run:
        with tracking.run("k", experiment=experiment, content="c1") as run:
            run.params(trees=100)
            for step in range(5):
                run.metric("loss", 1 / (step + 1), step=step)
            run.dataset("training_set/churn/examples", sha256=FULL_HASH, context="training")
            run.artifact("notes/a.txt", "words")
        return run

    run, again = fit(), fit()
    assert [one.info.run_id for one in world.runs(experiment)] == [world.id(run)] == [world.id(again)]
    assert len(world.points(run, "loss")) == 5
    assert len(world.datasets(run)) == 1
    assert world.artifacts(run, "notes") == ["notes/a.txt"]


def test_other_content_under_the_same_key_is_another_run(world: World, tracking: Tracking, experiment: str) -> None:
    for trees in (100, 50):
        with tracking.run("k", experiment=experiment, content=f"trees {trees}") as run:
            run.params(trees=trees)
    assert sorted(one.data.params["trees"] for one in world.runs(experiment)) == ["100", "50"]


def test_a_failed_fit_fails_its_run_and_the_retry_goes_on_in_it(world: World, tracking: Tracking, experiment: str) -> None:
    def fit(*, fails: bool) -> None:
        with tracking.run("k", experiment=experiment) as run:
            run.metric("loss", 0.5)
            if fails:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(fails=True)
    (failed,) = world.runs(experiment)
    fit(fails=False)
    (mended,) = world.runs(experiment)
    assert (failed.info.status, failed.data.metrics) == ("FAILED", {"loss": 0.5})
    assert (mended.info.run_id, mended.info.status, mended.data.metrics) == (failed.info.run_id, "FINISHED", {"loss": 0.5})


def test_an_interrupted_fit_is_a_killed_run(world: World, tracking: Tracking, experiment: str) -> None:
    with pytest.raises(KeyboardInterrupt), tracking.run("k", experiment=experiment):
        raise KeyboardInterrupt
    assert [one.info.status for one in world.runs(experiment)] == ["KILLED"]


FIT = """
import os, sys
from resources.tracking.resource import Tracking
uri, artifacts, spool, experiment, end = sys.argv[1:]
tracking = Tracking(uri=uri, artifacts=artifacts, spool=spool)
print("ready", flush=True)
sys.stdin.readline()
with tracking.run("k", experiment=experiment, content="c") as run:
    for step in range(3):
        run.metric("loss", float(step), step=step)
    if end == "killed":
        print(run.id, flush=True)
        os.kill(os.getpid(), 9)
"""


def processes(tracking: Tracking, experiment: str, *ends: str) -> None:
    """Fit the same model in as many processes at once."""
    where = [tracking.uri, tracking.artifacts, str(tracking.spool_folder), experiment]
    fits = [subprocess.Popen([sys.executable, "-c", FIT, *where, end], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for end in ends]
    for one in fits:
        assert one.stdout is not None
        assert one.stdout.readline() == b"ready\n"
    for one in fits:
        one.communicate(b"go\n", timeout=300)
    assert [one.returncode for one in fits] == [-9 if end == "killed" else 0 for end in ends]


def test_what_a_process_said_before_it_was_killed_arrives_and_the_retry_finishes_its_run(
    world: World, tracking: Tracking, experiment: str
) -> None:
    processes(tracking, experiment, "killed")
    (dead,) = world.runs(experiment)
    with tracking.run("k", experiment=experiment, content="c") as run:
        run.metric("loss", 0.0, step=0)
    assert (dead.info.status, dead.data.metrics) == ("KILLED", {"loss": 2.0})
    assert [(one.info.run_id, one.info.status) for one in world.runs(experiment)] == [(dead.info.run_id, "FINISHED")]
    assert world.points(run, "loss") == [(0, 0.0), (1, 1.0), (2, 2.0)]


def test_processes_that_fit_the_same_at_once_share_one_run(world: World, tracking: Tracking, experiment: str) -> None:
    processes(tracking, experiment, "well", "well")
    (run,) = world.runs(experiment)
    assert run.info.status == "FINISHED"
    assert [(point.step, point.value) for point in world.client.get_metric_history(run.info.run_id, "loss")] == [(0, 0), (1, 1), (2, 2)]


def test_a_run_that_a_lost_answer_doubled_is_closed_and_says_whose_twin_it_is(world: World, tracking: Tracking, experiment: str) -> None:
    place = world.client.create_experiment(experiment)
    tags = {"mlops.key": "k", "mlops.content": "c1"}
    twins = sorted(world.client.create_run(place, start_time=1000, tags=tags).info.run_id for _ in range(2))
    with tracking.run("k", experiment=experiment, content="c1") as run:
        run.metric("loss", 0.5)
    first, second = (world.client.get_run(one) for one in twins)
    assert world.id(run) == twins[0]
    assert (first.info.status, first.data.metrics) == ("FINISHED", {"loss": 0.5})
    assert (second.info.status, second.data.tags["mlops.duplicate_of"]) == ("KILLED", twins[0])


def test_a_dead_run_of_other_content_is_closed(world: World, tracking: Tracking, experiment: str) -> None:
    place = world.client.create_experiment(experiment)
    left = world.client.create_run(place, tags={"mlops.key": "k", "mlops.content": "c1"}).info.run_id
    time.sleep(0.01)
    with tracking.run("k", experiment=experiment, content="c2"):
        pass
    world.arrived()
    assert world.client.get_run(left).info.status == "KILLED"


def test_a_setting_that_differs_in_the_retry_is_kept_beside_the_first(world: World, tracking: Tracking, experiment: str) -> None:
    with tracking.run("k", experiment=experiment) as run:
        run.params(trees=100, rate=0.1)
    with tracking.run("k", experiment=experiment) as again:
        again.params(trees=50, rate=0.1)
    found = world.found(run).data
    assert (found.params, found.tags["mlops.retry.trees"]) == ({"trees": "100", "rate": "0.1"}, "50")
    assert "mlops.retry.rate" not in found.tags


def test_more_points_and_settings_than_a_batch_holds_all_arrive(world: World, tracking: Tracking, experiment: str) -> None:
    with tracking.run("k", experiment=experiment) as run:
        run.params(**{f"p{n}": n for n in range(250)})
        for step in range(2500):
            run.metric("loss", float(step), step=step)
    assert len(world.found(run).data.params) == 250
    assert world.points(run, "loss") == [(step, float(step)) for step in range(2500)]


def test_what_mlflow_will_never_take_does_not_stand_in_the_way_of_the_rest(world: World, tracking: Tracking, experiment: str) -> None:
    with tracking.run("k", experiment=experiment) as run:
        run.metric("loss", 0.5)
        run.metric("100 % wrong?", 1.0)
        run.metric("auc", 0.7)
    found = world.found(run)
    assert (found.info.status, found.data.metrics) == ("FINISHED", {"loss": 0.5, "auc": 0.7})
    assert "100 % wrong?" in found.data.tags["mlops.refused"]


def test_a_later_step_adds_to_the_run_and_may_correct_itself(world: World, tracking: Tracking, experiment: str) -> None:
    with tracking.run("k", experiment=experiment) as run:
        run.metric("loss", 0.5)
    for auc in (0.75, 0.75, 0.71):
        with tracking.resume(run.id) as same:
            same.metric("auc", auc)
        world.arrived()
    assert world.found(run).info.status == "FINISHED"
    assert world.found(run).data.metrics == {"loss": 0.5, "auc": 0.71}
    assert world.points(run, "auc") == [(0, 0.75), (0, 0.71)]


def test_a_dataset_is_known_by_its_whole_hash(world: World, tracking: Tracking, experiment: str) -> None:
    with tracking.run("k", experiment=experiment) as run:
        run.dataset("table/flights/departures", sha256=FULL_HASH, context="training", tags={"version": "12"})
    (read,) = world.datasets(run)
    assert (read.dataset.name, read.dataset.digest) == ("table/flights/departures", FULL_HASH[:36])
    assert {tag.key: tag.value for tag in read.tags} == {"mlflow.data.context": "training", "mlops.sha256": FULL_HASH, "version": "12"}


def test_a_read_only_folder_is_stored_and_stored_again(world: World, tracking: Tracking, experiment: str, tmp_path: Path) -> None:
    part = tmp_path / "release" / "booster.lgb.txt"
    part.parent.mkdir()
    part.write_text("tree")
    part.chmod(0o444)

    def store() -> Run:
        with tracking.run("k", experiment=experiment) as run:
            run.artifact("model", part.parent)
            run.artifact("card.md", "a card")
            run.artifact("plots/curve.svg", "<svg/>")
        return run

    run = store()
    assert world.id(store()) == world.id(run)
    assert Path(world.client.download_artifacts(world.id(run), "model/booster.lgb.txt", str(tmp_path))).read_text() == "tree"
    assert world.artifacts(run, "") == ["card.md", "model", "plots"]
    assert world.artifacts(run, "plots") == ["plots/curve.svg"]


def test_a_deleted_experiment_comes_back(world: World, tracking: Tracking, experiment: str) -> None:
    with tracking.run("k", experiment=experiment) as run:
        pass
    deleted = world.found(run).info.experiment_id
    world.client.delete_experiment(deleted)
    with tracking.run("other", experiment=experiment) as other:
        pass
    assert world.found(other).info.experiment_id == deleted


def test_a_run_that_mlflow_does_not_have_is_told_by_name_and_put_aside(tracking: Tracking) -> None:
    nothing = "0" * 32
    with tracking.resume(nothing) as run:
        run.metric("auc", 0.7)
    (problem,) = tracking.deliver()
    assert f"has no run {nothing}, so nothing was added to it" in str(problem)
    assert tracking.deliver() == []


def test_code_written_for_dagster_mlflow_runs_beside_ours_in_the_same_store_and_doubles_no_run(
    world: World, tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, page = project(tmp_path), "how-to/come-from-dagster-mlflow.md"
    monkeypatch.setenv("MLOPS_TRACKING_URI", tracking.uri)
    write(folder, page)
    (executed,) = commands(page)
    for _ in range(2 if tracking.local else 1):  # ten seconds each
        done(folder, executed)
    *theirs, ours = sorted(world.runs("spam"), key=lambda run: "mlops.key" in run.data.tags)
    said = {(run.info.run_name, run.info.status, run.data.metrics["rows"]) for run in theirs}
    assert (len(theirs), said) == (2 if tracking.local else 1, {("train", "FINISHED", 3.0)})
    assert (ours.info.run_name, ours.info.status, ours.data.metrics) == ("spam 2013-03", "FINISHED", {"auc": 0.7})


@dataclass
class Outage:
    """What happened to fits while a server was killed and came back."""

    seconds: dict[str, float] = field(default_factory=dict[str, float])
    ids: dict[str, str] = field(default_factory=dict[str, str])
    problem: str = ""


@pytest.fixture(scope="module")
def outage(remote: Remote) -> Outage:
    """One server: a fit in which it dies, a fit and an evaluation while it is dead, a fit in which it comes back."""
    seen = Outage()
    tracking = Tracking(uri=remote.server.url, artifacts="", spool=remote.tracking.spool)  # nothing in between that would still listen
    remote.arrived()

    def fit(name: str, half: Any) -> None:
        with tracking.run(name, experiment="outage", content=name) as run:
            for step in range(1500):
                run.metric("loss", float(step), step=step)
            began = time.monotonic()
            half()
            took = time.monotonic() - began
            began = time.monotonic()
            for step in range(1500, 3000):
                run.metric("loss", float(step), step=step)
            seen.ids[name] = run.id
        seen.seconds[name] = time.monotonic() - began
        assert took < 240

    fit("dies", remote.server.kill)
    fit("dead", lambda: None)
    with tracking.resume(seen.ids["dead"]) as evaluation:
        evaluation.metric("auc", 0.7)
    seen.problem = told(tracking)
    fit("back", remote.server.start)
    remote.arrived()
    return seen


def test_a_fit_ends_in_time_whatever_becomes_of_the_server(outage: Outage) -> None:
    assert {name: seconds for name, seconds in outage.seconds.items() if seconds > 5} == {}


def test_nothing_that_was_said_around_an_outage_is_lost_or_doubled(outage: Outage, remote: Remote) -> None:
    runs = {run.info.run_name: run for run in remote.runs("outage")}
    assert {name: run.info.status for name, run in runs.items()} == dict.fromkeys(("dies", "dead", "back"), "FINISHED")
    for run in runs.values():
        history = remote.client.get_metric_history(run.info.run_id, "loss")
        assert [(point.step, point.value) for point in history] == [(step, float(step)) for step in range(3000)]
    assert runs["dead"].data.metrics["auc"] == 0.7
    assert len(outage.ids) == len(runs)


def test_a_run_of_which_no_server_had_heard_is_known_by_its_name_for_ever(outage: Outage, remote: Remote) -> None:
    runs = {run.info.run_name: run.info.run_id for run in remote.runs("outage")}
    assert outage.ids["dead"].startswith(PENDING)
    assert remote.tracking.resolved(outage.ids["dead"]) == runs["dead"]
    assert remote.tracking.ui_url(outage.ids["dead"]).endswith("/#/experiments")
    assert remote.tracking.ui_url(runs["dead"]).endswith(f"/#/runs/{runs['dead']}")


def test_delivering_to_a_server_that_is_away_says_so_and_what_to_do(outage: Outage) -> None:
    assert "could not be reached" in outage.problem
    assert "the job deliver_tracking" in outage.problem


def test_a_fit_does_not_wait_for_a_slow_server(remote: Remote) -> None:
    remote.arrived()
    remote.way.delay = 2.0
    began = time.monotonic()
    with remote.tracking.run("slow", experiment="slow") as run:
        for step in range(3000):
            run.metric("loss", float(step), step=step)
        assert run.id
    took, remote.way.delay = time.monotonic() - began, 0.0
    assert took < 5
    assert len(remote.points(run, "loss")) == 3000


def test_while_s3_fails_the_numbers_arrive_and_the_files_when_it_is_back(remote: Remote) -> None:
    remote.arrived()
    remote.way_to_s3.refuses = True
    with remote.tracking.run("full", experiment="files") as run:
        run.metric("loss", 0.5)
        run.artifact("notes/a.txt", "words")
    problems = told(remote.tracking)
    (waiting,) = remote.client.search_runs([remote.client.get_experiment_by_name("files").experiment_id])
    remote.way_to_s3.refuses = False
    assert "could not take what was said of full" in problems
    assert (waiting.info.status, waiting.data.metrics) == ("RUNNING", {"loss": 0.5})
    assert remote.artifacts(run, "notes") == ["notes/a.txt"]
    assert remote.found(run).info.status == "FINISHED"


def test_a_run_whose_making_lost_its_answer_is_made_once(remote: Remote) -> None:
    remote.arrived()
    remote.way.loses = b"/mlflow/runs/create"
    with remote.tracking.run("lost", experiment="lost") as run:
        run.metric("loss", 0.5)
    kept, *twins = sorted(remote.runs("lost"), key=lambda one: "mlops.duplicate_of" in one.data.tags)
    assert (kept.info.run_id, kept.info.status, kept.data.metrics) == (remote.id(run), "FINISHED", {"loss": 0.5})
    assert [(one.info.status, one.data.tags["mlops.duplicate_of"]) for one in twins] == [("KILLED", kept.info.run_id)]


def told(tracking: Tracking) -> str:
    """What delivering says, once nobody else is at it."""
    deadline = time.monotonic() + 60
    while not (problems := tracking.deliver()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return "".join(map(str, problems))


def refusal(do: Any) -> str:
    with pytest.raises(MlflowException) as refused:
        do()
    return str(refused.value)


def test_each_role_may_do_what_it_is_for_and_nothing_else(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    with remote.tracking.run("k", experiment="roles") as run:
        run.metric("loss", 0.5)
    known, client = remote.id(run), MlflowClient(tracking_uri=remote.server.url)
    client.create_registered_model("roles")
    client.create_model_version("roles", f"{client.get_run(known).info.artifact_uri}/model", known)
    remote.become(monkeypatch, "trainer")
    client.log_metric(known, "more", 1.0)
    assert "Permission denied" in refusal(lambda: client.set_registered_model_alias("roles", "production", "1"))
    remote.become(monkeypatch, "reader")
    assert client.get_run(known).data.metrics == {"loss": 0.5, "more": 1.0}
    assert "Permission denied" in refusal(lambda: client.log_metric(known, "loss", 0.0))
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "guessed")
    assert "not authenticated" in refusal(lambda: client.get_run(known))


def test_strangers_foreign_hosts_and_foreign_pages_are_refused_and_the_ui_cannot_be_framed(remote: Remote) -> None:
    known = httpx.BasicAuth("reader", remote.server.passwords["reader"])

    def asked(method: str = "GET", auth: httpx.Auth | None = known, **headers: str) -> httpx.Response:
        place = f"{remote.server.url}/api/2.0/mlflow/experiments/search?max_results=1"
        return httpx.request(method, place, auth=auth, headers=headers, timeout=30)

    assert asked().status_code == 200
    assert asked().headers["x-frame-options"] == "DENY"
    assert asked(auth=None).status_code == 401
    assert asked(Host="evil.example").status_code == 403
    assert asked("POST", Origin="http://evil.example").status_code == 403


def test_the_server_starts_no_job_runners(remote: Remote) -> None:
    assert remote.server.process is not None
    children = psutil.Process(remote.server.process.pid).children(recursive=True)
    named = [" ".join(child.cmdline()) for child in children]
    assert named
    assert [name for name in named if "huey" in name] == []


def test_a_version_is_made_of_a_run_and_of_nothing_else(remote: Remote) -> None:
    client = MlflowClient(tracking_uri=remote.server.url)
    client.create_registered_model("foreign")
    assert "INVALID_PARAMETER_VALUE" in refusal(lambda: client.create_model_version("foreign", "s3://anything/at/all"))


def test_the_gc_of_the_page_frees_the_bytes_of_a_run_that_was_deleted_on_a_server(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    with remote.tracking.run("k", experiment="gc") as run:
        run.artifact("notes/a.txt", "words")
    known, bucket = remote.id(run), remote.files.client()
    stored = [one["Key"] for one in bucket.list_objects_v2(Bucket=BUCKET)["Contents"] if known in one["Key"]]
    remote.client.delete_run(known)
    remote.become(monkeypatch, ADMIN)
    monkeypatch.setenv("PGPASSWORD", remote.server.postgres.password)
    page = "how-to/run-an-mlflow-server.md"
    (command,) = (text.replace("\\\n", "") for text in commands(page) if "mlflow gc" in text)
    told = shlex.split(command[command.index("gc ") :])
    here = {"30d": "0d", "http://localhost:5000": remote.server.url, "postgresql://mlflow@postgres:5432/mlflow": remote.server.database}
    freed = subprocess.run(
        [sys.executable, "-m", "mlflow", *(here.get(word, word) for word in told)], capture_output=True, text=True, check=True
    )
    assert known in freed.stdout
    assert len(stored) == 1
    assert [one["Key"] for one in bucket.list_objects_v2(Bucket=BUCKET).get("Contents", []) if known in one["Key"]] == []
