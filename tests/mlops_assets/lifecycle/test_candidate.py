"""The asset that registers a candidate: a failed gate stops it, unless a person's word that still counts is against it, and then loudly."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from mlops_assets.keys import Stage, key
from mlops_assets.lifecycle.assets import IO_MANAGER
from mlops_assets.lifecycle.evaluation import GATE
from mlops_assets.lifecycle.release import GateFailed, candidate
from mlops_assets.lifecycle.tables import Evaluated
from resources.clock import DataClock
from resources.registry import acts
from resources.registry.acts import By, Signed
from resources.registry.record import RecordIncomplete
from resources.registry.resource import Registry
from resources.reports import Reports
from resources.security import tokens
from resources.tracking.resource import Tracking
from tests.mlops_assets.lifecycle.orders import LATE, NOON
from tests.resources.registry.records import WHOLE

MONTH = "2020-01"
MONTHS = dg.StaticPartitionsDefinition([MONTH])
LIVE = "b" * 64
EVALUATED = {name: col.dtype for name, col in Evaluated.columns.items()}
FAILED = "AUC 0.5 is below its floor 0.6."


class Given(dg.IOManager):
    """Hands the asset the two frames that it reads, and keeps what it makes."""

    def __init__(self, frames: dict[str, pl.DataFrame]) -> None:
        self.frames = frames

    def load_input(self, context: dg.InputContext) -> pl.LazyFrame:
        return self.frames[context.asset_key.path[0]].lazy()

    def handle_output(self, context: dg.OutputContext, obj: pl.DataFrame) -> None:
        self.frames[context.asset_key.path[-1]] = obj


class Desk:
    """A stored release whose gate passed or not, and its asset ``release/late/candidate``."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.folder, self.instance = folder, instance
        self.registry = Registry(ledger_url=f"sqlite:///{folder}/ledger.db", releases_root=str(folder / "releases"))
        releases = self.registry.releases()
        self.compared = True
        self.name = releases.write("late", {"weight": 1.0}, WHOLE, {"entry": "acme:predict"})

    def materialize(self, *, passed: bool) -> dg.ExecuteInProcessResult:
        row = {"content_hash": self.name, "mlflow_run_id": "gone", "cutoff": MONTH, "trained_until": date(2020, 1, 25), "rows": 10}
        gate = {"version": GATE, "metric": "auc floor", "passed": passed, "sentence": FAILED, "slice_by": "all"}
        metric = {"version": "candidate", "metric": "auc", "value": 0.5, "low": 0.4, "high": 0.6, "slice_by": "all", "rows": 9}
        apart = {**metric, "version": "difference", "value": 0.01, "low": -0.01, "high": 0.03, "sentence": "no difference shown"}
        others = [{**apart, "against": LIVE}, {**apart, "slice_by": "stall", "against": LIVE}] if self.compared else []
        clock = DataClock(path=str(self.folder / "clock.json"))
        clock.advance(NOON)
        resources: dict[str, Any] = {
            "registry": self.registry,
            "tracking": Tracking(uri=f"sqlite:///{self.folder}/mlflow/mlflow.db", artifacts=str(self.folder / "artifacts")),
            "clock": clock,
            "reports": Reports(root=str(self.folder / "reports")),
            IO_MANAGER: Given({"model": pl.DataFrame([row]), "evaluation": pl.DataFrame([gate, metric, *others], schema=EVALUATED)}),
        }
        stages: list[tuple[Stage, str]] = [("model", "parts"), ("evaluation", "holdout")]
        read = [dg.AssetSpec(key(stage, "late", name), partitions_def=MONTHS) for stage, name in stages]
        made = candidate(LATE, partitions_def=MONTHS)
        return dg.materialize([made, *read], partition_key=MONTH, resources=resources, instance=self.instance, selection=[made])

    def override(self, valid: timedelta) -> None:
        desk = self.registry.desk()
        signed = Signed(token=tokens.issue(desk.people, person="bo", valid=timedelta(days=1)))
        acts.override(desk, "late", self.name, By(actor="bo", data_at=NOON, why="the floor is wrong"), signed, valid=valid)


@pytest.fixture
def desk(tmp_path: Path, instance: dg.DagsterInstance) -> Desk:
    return Desk(tmp_path, instance)


def test_a_candidate_is_registered_with_the_level_that_decides_who_must_agree(desk: Desk) -> None:
    desk.materialize(passed=True)
    [entry] = desk.registry.ledger().entries("late")
    assert (entry.kind, entry.payload["level"], "gate_overridden" in entry.payload) == ("registered", LATE.level, False)
    assert entry.payload["metrics"] == {"auc": [0.5, 0.4, 0.6]}
    assert entry.payload["gate"] == [{"name": "auc floor", "passed": True, "sentence": FAILED}]
    assert entry.payload["against"] == {
        "content_hash": LIVE, "rows": 9, "differences": {"auc": [0.01, -0.01, 0.03, "no difference shown"]},
    }  # fmt: skip


def test_a_candidate_that_was_compared_with_nothing_says_so(desk: Desk) -> None:
    desk.compared = False
    desk.materialize(passed=True)
    assert desk.registry.ledger().entries("late")[0].payload["against"] is None


def test_a_release_whose_record_lacks_a_field_is_not_registered_and_the_field_is_named(desk: Desk) -> None:
    unsaid = {**WHOLE, "provenance": {name: said for name, said in WHOLE["provenance"].items() if name != "card"}}
    desk.name = desk.registry.releases().write("late", {"weight": 2.0}, unsaid, {"entry": "acme:predict"})
    with pytest.raises(RecordIncomplete, match=r"provenance\.card: Field required"):
        desk.materialize(passed=True)
    assert desk.registry.ledger().entries() == ()


def test_a_failed_gate_registers_nothing_and_names_the_release_for_who_answers_for_it(desk: Desk) -> None:
    with pytest.raises(GateFailed, match=f"operate override late {desk.name} --token"):
        desk.materialize(passed=False)
    assert desk.registry.ledger().entries() == ()


def test_a_failed_gate_that_a_person_overrides_is_registered_loudly(desk: Desk) -> None:
    desk.override(timedelta(days=1))
    result = desk.materialize(passed=False)
    entry = desk.registry.ledger().entries("late")[-1]
    assert entry.kind == "registered"
    [made] = result.get_asset_materialization_events()
    shown = made.materialization.metadata["gate_overridden"].value
    assert shown == entry.payload["gate_overridden"]
    assert str(shown).startswith("The gate failed and was overridden by bo until ")
    assert str(shown).endswith(": the floor is wrong")


def test_an_override_that_has_ended_is_none(desk: Desk) -> None:
    desk.override(timedelta(microseconds=1))
    with pytest.raises(GateFailed):
        desk.materialize(passed=False)


def test_an_override_of_a_gate_that_passed_is_not_shown(desk: Desk) -> None:
    desk.override(timedelta(days=1))
    desk.materialize(passed=True)
    assert "gate_overridden" not in desk.registry.ledger().entries("late")[-1].payload
