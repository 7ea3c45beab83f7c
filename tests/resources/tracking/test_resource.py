"""What only an embedded store shows of tracking: nothing global is touched, a fresh store is opened by many at once, disks refuse."""

import os
import resource
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from resources.tracking.resource import SpoolUnnamed, Tracking, TrackingFailed
from resources.tracking.spool import Opened, SpoolRefused, Writer, now_ms, read, waiting
from resources.tracking.store import Away, demand_answer
from tests.racing import raced


def store(folder: Path) -> Tracking:
    return Tracking(uri=f"sqlite:///{folder}/mlflow.db", artifacts=str(folder / "artifacts"))


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    return store(tmp_path_factory.mktemp("mlflow"))


def test_nothing_is_left_in_the_spool_of_what_arrived(tracking: Tracking) -> None:
    with tracking.run("k", experiment="left") as run:
        run.metric("loss", 0.5)
        run.artifact("notes/a.txt", "words")
    spool = Path(tracking.uri.removeprefix("sqlite:///")).parent / "spool"
    assert [path.name for path in spool.iterdir() if not path.name.startswith("lock-")] == []


def test_no_global_state_of_mlflow_is_touched(tracking: Tracking) -> None:
    import mlflow

    with tracking.run("k", experiment="global"):
        assert mlflow.active_run() is None
    assert tracking.uri not in {mlflow.get_tracking_uri(), os.environ.get("MLFLOW_TRACKING_URI")}


def test_the_schema_is_complete_before_the_first_question(tmp_path: Path) -> None:
    store(tmp_path).client()
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM registered_model_aliases").fetchone() == (0,)
    connection.close()


def test_a_fit_goes_on_without_a_store_and_what_it_said_is_delivered_when_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    broken = Tracking(uri=f"sqlite:///{tmp_path}/taken/mlflow.db", artifacts=str(tmp_path), spool=str(tmp_path / "spool"))
    with broken.run("k", experiment="e") as run:
        run.metric("loss", 0.5)
    with pytest.raises(TrackingFailed, match=r"could not open its store: .*taken.*the same command again"):
        broken.client()
    mended = Tracking(uri=f"sqlite:///{tmp_path}/mlflow.db", artifacts=str(tmp_path), spool=str(tmp_path / "spool"))
    found = mended.client().get_run(mended.resolved(run.id))
    assert (found.info.status, found.data.metrics) == ("FINISHED", {"loss": 0.5})


def test_artifacts_that_cannot_be_stored_wait_and_the_numbers_do_not(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    full = Tracking(uri=f"sqlite:///{tmp_path}/mlflow.db", artifacts=str(tmp_path / "taken"))
    with full.run("k", experiment="e") as run:
        run.metric("loss", 0.5)
        run.artifact("notes/a.txt", "words")
    with full.run("k", experiment="e") as again:
        again.metric("loss", 0.5)
        time.sleep(1.5)  # for the courier to try what is not going twice
    (problem,) = full.deliver()
    assert "could not take what was said of k" in str(problem)
    stored: Any = full.client()
    (tmp_path / "taken").unlink()
    assert full.deliver() == []
    assert [(point.step, point.value) for point in stored.get_metric_history(run.id, "loss")] == [(0, 0.5)]
    assert [file.path for file in stored.list_artifacts(run.id, "notes")] == ["notes/a.txt"]


def test_a_spool_that_cannot_be_written_ends_the_run_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    full = Tracking(uri=f"sqlite:///{tmp_path}/mlflow.db", artifacts="", spool=str(tmp_path / "taken"))
    with (
        pytest.raises(SpoolRefused, match=r"cannot be kept in .*taken.* Make room or give write permission"),
        full.run("k", experiment="e"),
    ):
        pass


def test_a_disk_that_is_full_in_the_middle_of_a_run_ends_it_and_leaves_whole_lines(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = Writer(tmp_path, Opened(at=now_ms(), experiment="e", key="k"))

    def fit() -> None:
        for step in range(1000):
            writer.say("metric", "loss", 0.5, step, 1)

    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # what a full disk does to one file
        with pytest.raises(SpoolRefused, match="No space left on device"):
            fit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    writer.say("close", "FAILED", 2)
    writer.close()
    lines, end = read(writer.path)
    steps = [line[3] for line in lines if line[0] == "metric"]
    assert steps == list(range(len(steps)))
    assert (lines[-1], end) == (["close", "FAILED", 2], writer.path.stat().st_size)


def test_a_server_needs_a_spool_to_be_named() -> None:
    with (
        pytest.raises(SpoolUnnamed, match="Give Tracking a `spool`"),
        Tracking(uri="http://127.0.0.1:9", artifacts="").run("k", experiment=""),
    ):
        pass


def test_whether_a_server_behind_a_proxy_listens_is_not_asked_past_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Away, match="could not be reached"):
        demand_answer("http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:10")
    demand_answer("http://127.0.0.1:9")


def test_a_store_that_is_no_database_does_not_end_a_fit(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("nothing that SQLite would know" * 100)
    broken = store(tmp_path)
    with broken.run("k", experiment="e") as run:
        run.metric("loss", 0.5)
    (problem,) = broken.deliver()
    assert "could not open its store" in str(problem)


def test_files_that_go_to_s3_without_a_server_between_wait_while_it_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9")
    direct = Tracking(uri=f"sqlite:///{tmp_path}/mlflow.db", artifacts="s3://bucket")
    with direct.run("k", experiment="e") as run:
        run.metric("loss", 0.5)
        run.artifact("notes/a.txt", "words")
    (problem,) = direct.deliver()
    assert "127.0.0.1:9" in str(problem)
    assert direct.client().get_run(run.id).data.metrics == {"loss": 0.5}


def test_a_key_may_hold_a_quote(tracking: Tracking) -> None:
    with tracking.run("Ada's model", experiment="quote") as run:
        run.metric("loss", 0.5)
    with tracking.run("Ada's model", experiment="quote") as again:
        assert again.id == run.id
    assert tracking.client().get_run(run.id).info.run_name == "Ada's model"


def test_artifacts_of_a_run_that_has_arrived_are_swept_up(tracking: Tracking) -> None:
    left = tracking.spool_folder / "0.1-a.files"
    left.mkdir(parents=True)
    assert tracking.deliver() == []
    assert not left.exists()


def test_a_torn_last_line_is_skipped_and_what_comes_before_is_read(tmp_path: Path) -> None:
    writer = Writer(tmp_path, Opened(at=now_ms(), experiment="e", key="k"))
    writer.say("metric", "loss", 0.5, 0, 1)
    writer.say("metric", "loss", 0.25, 1, 2)
    writer.close()
    (path,) = waiting(tmp_path)
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size - 3)
    lines, end = read(path)
    assert [line[0] for line in lines] == ["open", "metric"]
    assert read(path, end) == ([], end)


FIRST = """
import sys
from resources.settings import be_quiet
be_quiet()
import mlflow
from resources.tracking.resource import Tracking
tracking = Tracking(uri=sys.argv[1], artifacts=sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
with tracking.run("k", experiment="e", content="c") as run:
    run.metric("loss", 0.5)
    print(run.id, flush=True)
    assert mlflow.telemetry.get_telemetry_client() is None, "mlflow reports home"
"""


def test_processes_that_open_a_fresh_store_together_converge_on_one_run(tmp_path: Path) -> None:
    where = [f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "artifacts")]
    command = [sys.executable, "-c", FIRST, *where]
    said = raced([command] * 2, seconds=300)
    assert said[0] == said[1]
    client = MlflowClient(tracking_uri=where[0])
    found = client.get_run(said[0])
    assert (found.info.status, found.data.metrics) == ("FINISHED", {"loss": 0.5})
    assert len(client.get_metric_history(said[0], "loss")) == 1
