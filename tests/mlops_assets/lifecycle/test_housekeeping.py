"""Housekeeping over a real ledger, real releases, a real lake and a real MLflow store: said first, done when asked, never too much."""

import os
import shutil
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from mlflow import MlflowClient

from mlops_assets.lifecycle.housekeeping import housekeeping
from mlops_assets.specs import Catalogue
from resources.clock import DataClock
from resources.lake import LocalLake
from resources.registry.acts import By, free
from resources.registry.releases import ReleaseMissing
from resources.registry.resource import Registry
from resources.registry.states import states
from resources.tracking.resource import Tracking, TrackingFailed
from tests.mlops_assets.lifecycle.orders import LATE, LATELY, NOON, ORDERS, REGISTER, SEATS

CATALOGUE = Catalogue(project="lifecycle", sources=(ORDERS, REGISTER), views=(LATELY, SEATS), models=(LATE,))
JOBS = {job.name: job for job in housekeeping(CATALOGUE)}


class World:
    """Four versions of one model that were live one after the other; the first predicted a month; a fit that was never registered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = Registry(
            ledger_url=f"sqlite:///{folder}/ledger.db", releases_root=str(folder / "releases"), keys_root=str(folder / "keys")
        )
        self.lake, self.clock = LocalLake(root=str(folder / "lake")), DataClock(path=str(folder / "clock.json"))
        self.clock.advance(NOON)
        self.tracking = Tracking(uri=f"sqlite:///{folder}/mlflow.db", artifacts=str(folder / "artifacts"))
        self.client: Any = self.tracking.client()
        self.runs: dict[str, str] = {}
        self.names = [self.fit(number) for number in range(5)]
        for number, name in enumerate(self.names[:4]):
            self.say("registered", name, number + 1, mlflow_run_id=self.runs[name])
            self.say("approved", name, number + 1, approvers=[], why="no approval needed")
            self.say("promoted", name, number + 1)
        rows = {"row_id": ["a"], "day": [NOON.date()], "predict_at": [NOON], "prediction": [0.5], "content_hash": [self.names[0]]}
        self.lake.replace("prediction/late/batch", pl.DataFrame(rows), partition="2020-02")

    def fit(self, number: int) -> str:
        name = self.registry.releases().write("late", {"mean": number}, {"identity": {"number": number}}, {})
        with self.tracking.run(f"late {number}", experiment="late") as run:
            run.artifact("model", self.registry.releases().path("late", name))
            run.tags(content_hash=name)
        self.runs[name] = run.id
        return name

    def say(self, kind: str, name: str, version: int, **more: object) -> None:
        ledger = self.registry.ledger()
        said = {"content_hash": name, "version": version, **more}
        ledger.append("late", kind, said, expect_head=ledger.head("late"), actor="t", data_at=NOON)

    def clean(self, *, instance: dg.DagsterInstance | None = None, **config: object) -> dict[str, Any]:
        """What the job's run said."""
        resources = {"registry": self.registry, "tracking": self.tracking, "lake": self.lake, "clock": self.clock}
        ran = JOBS["clean_up"].execute_in_process(run_config={"ops": {"free": {"config": config}}}, resources=resources, instance=instance)
        output = next(event for event in ran.all_events if event.is_successful_output)
        return {name: value.value for name, value in output.step_output_data.metadata.items()}

    def releases(self) -> set[str]:
        return {path.name for path in (self.folder / "releases" / "late").iterdir()}

    def known(self) -> set[str]:
        """Runs that MLflow still shows."""
        found = self.client.get_experiment_by_name("late")
        return {run.info.run_id for run in self.client.search_runs([found.experiment_id])}

    def size(self) -> int:
        """Bytes of all releases and artifacts."""
        places = (self.folder / "releases", self.folder / "artifacts")
        return sum(path.stat().st_size for place in places for path in place.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store with nothing in it, made once: making one takes longer than any test here."""
    folder = tmp_path_factory.mktemp("empty")
    Tracking(uri=f"sqlite:///{folder}/mlflow.db", artifacts="").client()
    return folder


@pytest.fixture
def store(tmp_path: Path, empty: Path) -> Path:
    """A folder with a copy of that store."""
    return shutil.copytree(empty, tmp_path / "home")


@pytest.fixture
def world(store: Path) -> World:
    return World(store)


def test_without_being_told_to_it_only_says_what_it_would_do(world: World) -> None:
    before = world.size()
    said = world.clean(keep_days=0)
    assert said["what"].count("\nrelease late/") == 2
    assert said["what"].count("\nrun ") == 2
    assert said["bytes"] > 0
    assert not said["applied"]
    assert (len(world.releases()), len(world.known()), world.size()) == (5, 5, before)


def test_what_nobody_needs_goes_with_its_run_and_its_bytes_are_counted(world: World) -> None:
    before = world.size()
    said = world.clean(keep_days=0, apply=True)
    gone = {world.names[1], world.names[4]}  # neither live nor the one before it nor seen in a prediction; never registered
    assert world.releases() == set(world.names) - gone
    assert world.known() == {run for name, run in world.runs.items() if name not in gone}
    assert said["bytes"] == before - world.size()
    with pytest.raises(ReleaseMissing):
        world.registry.releases().verify("late", world.names[1])


def test_the_ledger_keeps_its_entries_and_says_that_a_version_was_put_away(world: World) -> None:
    entries = world.registry.ledger().entries("late")
    world.clean(keep_days=0, apply=True)
    now = world.registry.ledger().entries("late")
    assert now[: len(entries)] == entries
    assert [(one.kind, one.version, one.payload["why"]) for one in now[len(entries) :]] == [("freed", 2, "its bytes were freed")]


def test_mlflow_says_at_once_which_version_lost_its_bytes(world: World) -> None:
    world.clean(keep_days=0, apply=True)
    stock: Any = MlflowClient(tracking_uri=world.tracking.uri)
    shown = {version.tags["ledger_version"]: version for version in stock.search_model_versions("name = 'late'")}
    assert {number for number, version in shown.items() if "released_bytes" in version.tags} == {"2"}
    assert shown["2"].tags["released_bytes"].startswith("freed on 20")
    assert "its bytes were freed" in shown["2"].description
    assert (shown["4"].tags["state"], len(shown)) == ("live", 4)


def test_a_revoked_version_that_loses_its_bytes_stays_revoked(world: World) -> None:
    world.say("revoked", world.names[1], 2)
    world.clean(keep_days=0, apply=True)
    about = [entry.kind for entry in world.registry.ledger().entries("late") if entry.content_hash == world.names[1]]
    assert (about[-2:], states(world.registry.ledger().entries("late"))[world.names[1]]) == (["revoked", "freed"], "revoked")


@contextmanager
def training(world: World, instance: dg.DagsterInstance, number: int) -> Generator[str]:
    """A run that has fitted and goes on with something else; the release that it made."""
    begun, over, made = threading.Event(), threading.Event(), list[str]()

    @dg.asset(key=["model", "late", "parts"])
    def parts() -> dg.MaterializeResult[Any]:
        made.append(world.fit(number))
        return dg.MaterializeResult(metadata={"content_hash": made[0]})

    @dg.asset(deps=[parts])
    def evaluation() -> None:
        begun.set()
        over.wait(60)

    run = threading.Thread(target=lambda: dg.materialize([parts, evaluation], instance=instance))
    run.start()
    begun.wait(60)
    yield made[0]
    over.set()
    run.join()


def test_what_is_younger_than_the_oldest_run_in_progress_stays_whatever_days_are_kept(world: World) -> None:
    with dg.instance_for_test() as instance, training(world, instance, 5) as made:
        by_others = world.fit(6)
        said = world.clean(instance=instance, keep_days=0, apply=True)
        assert "Runs are in progress, so nothing since 20" in said["what"]
        assert world.releases() == {*world.names, made, by_others} - {world.names[1], world.names[4]}
        assert world.runs[by_others] in world.known()
    assert "in progress" not in world.clean(keep_days=0, apply=True)["what"]
    assert {made, by_others} & world.releases() == set()


def test_what_a_run_in_progress_made_again_stays_however_old_its_bytes_are(world: World) -> None:
    weeks_ago = time.time() - 14 * 86400
    for name in world.names:
        os.utime(world.registry.releases().path("late", name), (weeks_ago, weeks_ago))
    with dg.instance_for_test() as instance, training(world, instance, 4) as again:
        assert again == world.names[4]
        world.clean(instance=instance, keep_days=0, apply=True)
        assert world.releases() == set(world.names) - {world.names[1]}
    world.clean(keep_days=0, apply=True)
    assert again not in world.releases()


def test_cleaning_again_finds_nothing_and_writes_nothing(world: World) -> None:
    world.clean(keep_days=0, apply=True)
    entries = world.registry.ledger().entries()
    assert world.clean(keep_days=0, apply=True)["bytes"] == 0
    assert world.registry.ledger().entries() == entries


def test_a_clean_up_that_was_killed_after_its_entry_is_completed_by_the_next(world: World) -> None:
    free(world.registry.desk(), "late", 2, By(actor="t", data_at=NOON, why="its bytes were freed"))
    entries = world.registry.ledger().entries()
    world.clean(keep_days=0, apply=True)
    assert world.names[1] not in world.releases()
    assert world.registry.ledger().entries() == entries


def test_what_is_young_stays_whatever_else_is_true_of_it(world: World) -> None:
    said = world.clean(keep_days=1, apply=True)
    assert said["bytes"] == 0
    assert (len(world.releases()), len(world.known())) == (5, 5)


def test_an_old_fit_that_was_never_registered_goes_by_the_age_of_its_folder(world: World) -> None:
    forgotten, weeks_ago = world.registry.releases().path("late", world.names[4]), time.time() - 14 * 86400
    os.utime(forgotten, (weeks_ago, weeks_ago))
    world.clean(keep_days=7, apply=True)
    assert world.releases() == set(world.names[:4])


def test_a_run_that_a_release_needs_and_somebody_deleted_is_brought_back(world: World) -> None:
    needed = world.runs[world.names[3]]
    world.client.delete_run(needed)
    assert needed not in world.known()
    assert f"run {needed} (late 3) had been deleted by hand and a release needs it; it is back" in world.clean(apply=True)["what"]
    assert needed in world.known()


def test_runs_of_others_and_what_they_deleted_are_not_touched(world: World) -> None:
    foreign = world.client.create_experiment("foreign")
    run = world.client.create_run(foreign, start_time=1000)
    world.client.set_terminated(run.info.run_id)
    world.client.delete_experiment(foreign)
    world.clean(keep_days=0, apply=True)
    assert world.client.get_run(run.info.run_id).info.lifecycle_stage == "deleted"


def test_a_fit_that_failed_before_it_stored_anything_goes(world: World) -> None:
    with pytest.raises(ZeroDivisionError), world.tracking.run("late failed", experiment="late"):
        raise ZeroDivisionError
    world.clean(keep_days=0, apply=True)
    assert len(world.known()) == 3


@pytest.fixture
def tracking(store: Path) -> Tracking:
    return Tracking(uri=f"sqlite:///{store}/mlflow.db", artifacts=str(store / "artifacts"))


def deliver(tracking: Tracking, instance: dg.DagsterInstance) -> None:
    JOBS["deliver_tracking"].execute_in_process(resources={"tracking": tracking}, instance=instance)


def test_what_waits_is_delivered_by_the_job_once_the_store_is_mended(tmp_path: Path, tracking: Tracking) -> None:
    (tmp_path / "taken").write_text("a file")
    broken = Tracking(uri=f"sqlite:///{tmp_path}/taken/mlflow.db", artifacts="", spool=str(tracking.spool_folder))
    with broken.run("k", experiment="e") as run:
        run.metric("loss", 0.5)
    with dg.instance_for_test() as instance:
        with pytest.raises(TrackingFailed, match="could not open its store"):
            deliver(broken, instance)
        deliver(tracking, instance)
    assert tracking.client().get_run(tracking.resolved(run.id)).data.metrics == {"loss": 0.5}


def test_a_run_whose_dagster_run_has_ended_is_closed_and_no_other(tracking: Tracking) -> None:
    client: Any = tracking.client()
    place = client.create_experiment("e")

    def left(dagster_run: str) -> str:
        return client.create_run(place, tags={"mlops.key": "k", "dagster_run": dagster_run}).info.run_id

    with dg.instance_for_test() as instance:
        ended, going = (
            dg.DagsterRun(job_name="train", status=status) for status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED)
        )
        for one in (ended, going):
            instance.add_run(one)
        runs = [left(ended.run_id), left(going.run_id), left("of another instance"), client.create_run(place).info.run_id]
        deliver(tracking, instance)
    assert [client.get_run(run).info.status for run in runs] == ["KILLED", "RUNNING", "RUNNING", "RUNNING"]


def test_a_run_that_is_being_written_here_is_not_closed(tracking: Tracking) -> None:
    with dg.instance_for_test() as instance:
        ended = dg.DagsterRun(job_name="train", status=dg.DagsterRunStatus.FAILURE)
        instance.add_run(ended)
        with tracking.run("k", experiment="e", tags={"dagster_run": ended.run_id}) as run:
            client: Any = tracking.client()
            known = run.id
            deliver(tracking, instance)
            assert client.get_run(known).info.status == "RUNNING"
