"""MLflow runs: one per key and content, whatever was killed or repeated; read back with a stock client."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import DatasetInput
from mlflow.entities import Run as Found

from resources.tracking import Run, Tracking, TrackingFailed

FULL_HASH = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    folder = tmp_path_factory.mktemp("mlflow")
    return Tracking(uri=f"sqlite:///{folder}/mlflow.db", artifacts=str(folder / "artifacts"))


@pytest.fixture(scope="module")
def client(tracking: Tracking) -> Any:
    """A stock client: what is not in the store by the usual way is not there."""
    tracking.client()
    return MlflowClient(tracking_uri=tracking.uri)


@pytest.fixture
def experiment(request: pytest.FixtureRequest) -> str:
    """An experiment of the test's own."""
    return request.node.name


def runs(client: Any, experiment: str) -> list[Found]:
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id])) if found else []


def datasets(client: Any, run: str) -> list[DatasetInput]:
    inputs = client.get_run(run).inputs
    return inputs.dataset_inputs if inputs else []


def artifacts(client: Any, run: str, folder: str) -> list[str]:
    return sorted(file.path for file in client.list_artifacts(run, folder))


def points(client: Any, run: str, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client.get_metric_history(run, name)]


def test_a_run_holds_what_the_fit_said(tracking: Tracking, client: Any, experiment: str) -> None:
    with tracking.run("model/churn/parts 2013-04", experiment=experiment, content="c1", tags={"team": "flights"}) as run:
        run.params(trees=100, rate=0.1)
        for step in range(3):
            run.metric("loss", 1 / (step + 1), step=step)
        run.tags(content_hash="abc")
    found = client.get_run(run.id)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "model/churn/parts 2013-04"
    assert found.data.params == {"trees": "100", "rate": "0.1"}
    assert points(client, run.id, "loss") == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    expected = {"team": "flights", "content_hash": "abc", "mlops.key": "model/churn/parts 2013-04"}
    assert expected.items() <= found.data.tags.items()


def test_the_same_key_and_content_again_is_the_same_run_and_doubles_nothing(tracking: Tracking, client: Any, experiment: str) -> None:
    def fit() -> Run:
        with tracking.run("k", experiment=experiment, content="c1") as run:
            run.params(trees=100)
            for step in range(5):
                run.metric("loss", 1 / (step + 1), step=step)
            run.dataset("training_set/churn/examples", sha256=FULL_HASH, context="training")
            run.artifact("notes/a.txt", "words")
        return run

    run, again = fit(), fit()
    assert [one.info.run_id for one in runs(client, experiment)] == [run.id] == [again.id]
    assert len(points(client, run.id, "loss")) == 5
    assert len(datasets(client, run.id)) == 1
    assert artifacts(client, run.id, "notes") == ["notes/a.txt"]


def test_other_content_under_the_same_key_is_another_run(tracking: Tracking, client: Any, experiment: str) -> None:
    for trees in (100, 50):
        with tracking.run("k", experiment=experiment, content=f"trees {trees}") as run:
            run.params(trees=trees)
    assert sorted(one.data.params["trees"] for one in runs(client, experiment)) == ["100", "50"]


def test_a_failed_fit_fails_its_run_and_the_retry_goes_on_in_it(tracking: Tracking, client: Any, experiment: str) -> None:
    def fit(*, fails: bool) -> str:
        with tracking.run("k", experiment=experiment) as run:
            run.metric("loss", 0.5)
            if fails:
                raise ZeroDivisionError(run.id)
        return run.id

    with pytest.raises(ZeroDivisionError) as failure:
        fit(fails=True)
    run_id = str(failure.value)
    assert (client.get_run(run_id).info.status, points(client, run_id, "loss")) == ("FAILED", [(0, 0.5)])
    assert fit(fails=False) == run_id
    assert (client.get_run(run_id).info.status, points(client, run_id, "loss")) == ("FINISHED", [(0, 0.5)])


def test_an_interrupted_fit_is_a_killed_run(tracking: Tracking, client: Any, experiment: str) -> None:
    with pytest.raises(KeyboardInterrupt), tracking.run("k", experiment=experiment):
        raise KeyboardInterrupt
    assert [one.info.status for one in runs(client, experiment)] == ["KILLED"]


def test_a_run_whose_process_died_is_found_and_finished(tracking: Tracking, client: Any, experiment: str) -> None:
    dead = tracking.run("k", experiment=experiment, content="c1")
    left = dead.__enter__()  # and never leaves: what kill -9 looks like to the store
    left.metric("loss", 0.5)
    left.flush()
    with tracking.run("k", experiment=experiment, content="c1") as run:
        run.metric("loss", 0.5)
    assert (run.id, client.get_run(run.id).info.status, points(client, run.id, "loss")) == (left.id, "FINISHED", [(0, 0.5)])


def test_a_dead_run_of_other_content_is_closed(tracking: Tracking, client: Any, experiment: str) -> None:
    dead = tracking.run("k", experiment=experiment, content="c1")
    left = dead.__enter__()
    with tracking.run("k", experiment=experiment, content="c2"):
        assert client.get_run(left.id).info.status == "KILLED"


def test_a_setting_that_differs_in_the_retry_is_kept_beside_the_first(tracking: Tracking, client: Any, experiment: str) -> None:
    with tracking.run("k", experiment=experiment) as run:
        run.params(trees=100, rate=0.1)
    with tracking.run("k", experiment=experiment) as again:
        again.params(trees=50, rate=0.1)
    found = client.get_run(run.id).data
    assert (found.params, found.tags["mlops.retry.trees"]) == ({"trees": "100", "rate": "0.1"}, "50")
    assert "mlops.retry.rate" not in found.tags


def test_more_points_and_settings_than_a_batch_holds_all_arrive(tracking: Tracking, client: Any, experiment: str) -> None:
    with tracking.run("k", experiment=experiment) as run:
        run.params(**{f"p{n}": n for n in range(250)})
        for step in range(2500):
            run.metric("loss", float(step), step=step)
    assert len(client.get_run(run.id).data.params) == 250
    assert points(client, run.id, "loss") == [(step, float(step)) for step in range(2500)]


def test_a_later_step_adds_to_the_run_and_may_correct_itself(tracking: Tracking, client: Any, experiment: str) -> None:
    with tracking.run("k", experiment=experiment) as run:
        run.metric("loss", 0.5)
    for auc in (0.75, 0.75, 0.71):
        with tracking.resume(run.id) as same:
            same.metric("auc", auc)
    assert client.get_run(run.id).info.status == "FINISHED"
    assert client.get_run(run.id).data.metrics == {"loss": 0.5, "auc": 0.71}
    assert points(client, run.id, "auc") == [(0, 0.75), (0, 0.71)]


def test_a_dataset_is_known_by_its_whole_hash(tracking: Tracking, client: Any, experiment: str) -> None:
    with tracking.run("k", experiment=experiment) as run:
        run.dataset("table/flights/departures", sha256=FULL_HASH, context="training", tags={"version": "12"})
    (read,) = datasets(client, run.id)
    assert (read.dataset.name, read.dataset.digest) == ("table/flights/departures", FULL_HASH[:36])
    assert {tag.key: tag.value for tag in read.tags} == {"mlflow.data.context": "training", "mlops.sha256": FULL_HASH, "version": "12"}


def test_a_read_only_folder_is_stored_and_stored_again(tracking: Tracking, client: Any, experiment: str, tmp_path: Path) -> None:
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
    assert store().id == run.id
    assert Path(client.download_artifacts(run.id, "model/booster.lgb.txt", str(tmp_path))).read_text() == "tree"
    assert artifacts(client, run.id, "") == ["card.md", "model", "plots"]
    assert artifacts(client, run.id, "plots") == ["plots/curve.svg"]


def test_a_deleted_experiment_comes_back(tracking: Tracking, client: Any, experiment: str) -> None:
    with tracking.run("k", experiment=experiment):
        pass
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    client.delete_experiment(found.experiment_id)
    with tracking.run("other", experiment=experiment) as run:
        assert run.experiment_id == found.experiment_id


def test_the_link_leads_to_the_run(tracking: Tracking, experiment: str) -> None:
    with tracking.run("k", experiment=experiment) as run:
        pass
    expected = f"http://127.0.0.1:5000/#/experiments/{run.experiment_id}/runs/{run.id}"
    assert tracking.ui_url(run.id) == expected


def test_an_unknown_run_is_a_clear_error(tracking: Tracking) -> None:
    with (
        pytest.raises(TrackingFailed, match=r"MLflow at sqlite:.* could not find run nothing: .*run the same command again"),
        tracking.resume("nothing"),
    ):
        pass


def test_a_store_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(TrackingFailed, match=r"could not open its store: .*taken"):
        Tracking(uri=f"sqlite:///{tmp_path}/taken/mlflow.db", artifacts=str(tmp_path)).client()


def test_artifacts_that_cannot_be_stored_fail_with_the_artifacts_name(tmp_path: Path, tracking: Tracking, experiment: str) -> None:
    (tmp_path / "taken").write_text("a file")
    full = Tracking(uri=tracking.uri, artifacts=str(tmp_path / "taken"))
    with pytest.raises(TrackingFailed, match=r"could not store artifact notes/a\.txt"), full.run("k", experiment=experiment) as run:
        run.artifact("notes/a.txt", "words")


def test_no_global_state_of_mlflow_is_touched(tracking: Tracking, experiment: str) -> None:
    import mlflow

    with tracking.run("k", experiment=experiment):
        assert mlflow.active_run() is None
    assert tracking.uri not in {mlflow.get_tracking_uri(), os.environ.get("MLFLOW_TRACKING_URI")}


def test_the_schema_is_complete_before_the_first_question(tmp_path: Path) -> None:
    Tracking(uri=f"sqlite:///{tmp_path}/mlflow.db", artifacts=str(tmp_path)).client()
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM registered_model_aliases").fetchone() == (0,)
    connection.close()


FIRST = """
import sys
from resources.settings import be_quiet
be_quiet()
import mlflow
from resources.tracking import Tracking
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
    openers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for opener in openers:
        assert opener.stdout is not None
        assert opener.stdout.readline() == "ready\n"
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.write("go\n")
        opener.stdin.flush()
    said = [opener.communicate(timeout=300)[0].strip() for opener in openers]
    assert [opener.returncode for opener in openers] == [0, 0]
    assert said[0] == said[1]
    client = MlflowClient(tracking_uri=where[0])
    assert [(one.info.run_id, one.info.status) for one in runs(client, "e")] == [(said[0], "FINISHED")]
    assert points(client, said[0], "loss") == [(0, 0.5)]
