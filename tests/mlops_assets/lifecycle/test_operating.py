"""The acts as Dagster jobs: from the launchpad's config to the entry, and MLflow follows or is let alone."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets.lifecycle.operating import operating
from mlops_assets.verbs import VERBS
from resources.clock import DataClock
from resources.registry.resource import Registry
from resources.registry.states import Held
from resources.reports import Reports
from resources.security import tokens
from resources.serving.controller import Serving
from resources.tracking.resource import Tracking
from tests.resources.registry.records import WHOLE


class Platform:
    """One model ``churn`` with two versions, the second live, and the jobs."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance, *, level: str = "internal") -> None:
        self.instance = instance
        self.clock = DataClock(path=str(folder / "clock.json"))
        self.registry = Registry(ledger_url=f"sqlite:///{folder}/ledger.db", releases_root=str(folder / "releases"))
        self.ledger = self.registry.ledger()
        self.tracking = Tracking(uri=f"sqlite:///{folder}/mlflow/mlflow.db", artifacts=str(folder / "artifacts"))
        self.serving = Serving(home=str(folder / "serving"), ledger_url=self.registry.ledger_url, releases_root=self.registry.releases_root)
        self.reports = Reports(root=str(folder / "reports"))
        self.jobs = {job.name: job for job in operating()}
        releases, now = self.registry.releases(), self.clock.now()
        for weight in (1.0, 2.0):
            name = releases.write("churn", {"weight": weight}, WHOLE, {"entry": "acme:predict"})
            facts = {"level": level}
            entry = self.registry.register("churn", name, mlflow_run_id="gone", actor="dagster", data_at=now, facts=facts)
            if level == "internal":
                self.registry.promote("churn", int(entry.version or 0), actor="dagster", data_at=now)

    def run(self, job: str, *, raise_on_error: bool = True, **config: object) -> dg.ExecuteInProcessResult:
        """Run a job as the launchpad does."""
        made = self.jobs[job]
        op = made.all_node_defs[0].name
        resources: dict[str, Any] = {
            "registry": self.registry, "tracking": self.tracking, "clock": self.clock, "serving": self.serving,
            "reports": self.reports,
        }  # fmt: skip
        given = {name: one for name, one in resources.items() if name in made.required_resource_keys}
        run_config = {"ops": {op: {"config": config}}} if config else {}
        return made.execute_in_process(
            run_config=run_config, resources=given, instance=self.instance, raise_on_error=raise_on_error, tags={"user": "ada"}
        )

    def said(self, result: dg.ExecuteInProcessResult) -> str:
        return "\n".join(entry.message for entry in self.instance.all_logs(result.run_id))

    def alias(self) -> str:
        found: Any = self.tracking.client().get_model_version_by_alias("churn", "production")
        return str(found.tags["ledger_version"])


@pytest.fixture
def platform(tmp_path: Path, instance: dg.DagsterInstance) -> Platform:
    return Platform(tmp_path, instance)


def test_each_verb_that_has_a_job_is_one(platform: Platform) -> None:
    assert set(platform.jobs) == {verb.job for verb in VERBS if verb.job} | {
        "verify_ledger",
        "follow_ledger",
        "pending_approvals",
        "status",
    }


def test_a_rollback_by_job_is_an_entry_of_the_person_who_launched_it_and_mlflow_follows(platform: Platform) -> None:
    result = platform.run("roll_back_release", model="churn", why="late in EWR")
    entry = platform.ledger.entries("churn")[-1]
    assert (entry.kind, entry.version, entry.actor, entry.payload["why"]) == ("rolled_back", 1, "ada", "late in EWR")
    assert f"entry {entry.seq}: churn version 1 rolled back by ada" in platform.said(result)
    assert platform.alias() == "1"
    with pytest.raises(Held):
        platform.run("promote_release", model="churn", version=2)
    platform.run("lift_hold", model="churn", why="mended")
    assert platform.ledger.entries("churn")[-1].kind == "released_hold"


def test_freeze_hold_archive_and_revoke_by_job_are_entries(platform: Platform) -> None:
    platform.run("freeze_platform", why="fire")
    platform.run("unfreeze_platform", why="out")
    platform.run("hold_model", model="churn", why="look first")
    platform.run("archive_release", model="churn", version=1, why="old")
    platform.run("revoke_release", model="churn", version=2, why="leak")
    kinds = [entry.kind for entry in platform.ledger.entries()][-5:]
    assert kinds == ["frozen", "unfrozen", "held", "archived", "revoked"]
    assert platform.ledger.live("churn") is None


def test_an_approval_by_job_names_the_person_of_the_token(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    platform = Platform(tmp_path, instance, level="confidential")
    token = tokens.issue(platform.registry.ring("people"), person="bo", valid=timedelta(days=1))
    platform.run("approve_release", model="churn", version=1, token=token)
    entry = platform.ledger.entries("churn")[-1]
    assert (entry.kind, entry.actor, entry.payload["token_shown"]) == ("approved", "bo", True)
    platform.run("promote_release", model="churn", version=1)
    live = platform.ledger.live("churn")
    assert live is not None
    assert live.version == 1


def test_what_waits_is_a_page_by_job_and_the_run_links_to_it(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    platform = Platform(tmp_path, instance, level="confidential")
    result = platform.run("pending_approvals")
    assert "churn version 2 waits: a confidential model needs 1 person's approval and has none" in platform.said(result)
    metadata = next(event for event in result.all_events if event.is_successful_output).step_output_data.metadata
    assert (metadata["page"].value, metadata["waiting"].value) == ("http://127.0.0.1:8800/approvals.html", 2)
    assert "2 versions wait for approval" in (tmp_path / "reports" / "approvals.html").read_text()


def test_an_act_counts_although_mlflow_is_away(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    platform.tracking = Tracking(uri=f"sqlite:///{tmp_path}/taken/mlflow.db", artifacts=str(tmp_path / "artifacts"))
    result = platform.run("roll_back_release", model="churn", why="late")
    assert result.success
    assert platform.ledger.entries("churn")[-1].kind == "rolled_back"
    assert "churn: MLflow does not follow the ledger yet; a later tick does." in platform.said(result)


def test_the_job_that_verifies_fails_on_a_torn_ledger(platform: Platform) -> None:
    assert "entries hold" in platform.said(platform.run("verify_ledger"))
    with platform.ledger._engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER ledger_no_update")
        connection.exec_driver_sql("UPDATE ledger SET actor = 'eve' WHERE seq = 1")
    assert not platform.run("verify_ledger", raise_on_error=False).success


def test_the_status_job_says_what_is_live_and_what_is_red_with_the_failed_runs(platform: Platform) -> None:
    platform.run("promote_release", model="churn", version=7, raise_on_error=False)
    platform.run("hold_model", model="churn", why="look first")
    said = platform.said(platform.run("status"))
    assert "churn  2     -        " in said
    assert "churn is held by ada: look first" in said
    assert "no service answers for churn" in said
    assert "of promote_release (since " in said
    assert "    -> # read its log, mend the cause, and run it again with its config from its page" in said
