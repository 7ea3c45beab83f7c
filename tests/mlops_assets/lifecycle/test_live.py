"""The asset that makes a version live: it looks whether the ledger holds, and refuses what a freeze, a hold or a level forbids."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets.lifecycle.assets import IO_MANAGER
from mlops_assets.lifecycle.release import HOLDS, live
from resources.clock import DataClock
from resources.registry import acts
from resources.registry.acts import By
from resources.registry.approvals import ApprovalsMissing
from resources.registry.heads import LedgerTampered
from resources.registry.resource import Registry
from resources.registry.states import Frozen, Held
from resources.tracking.resource import Tracking
from tests.mlops_assets.lifecycle.orders import LATE, NOON
from tests.resources.registry.records import WHOLE

ANA = By(actor="ana", data_at=NOON, why="late in EWR")


class Desk:
    """A candidate of the model ``late``, and its asset ``release/late/live``."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.registry = Registry(ledger_url=f"sqlite:///{folder}/ledger.db", releases_root=str(folder / "releases"))
        self.tracking = Tracking(uri=f"sqlite:///{folder}/mlflow/mlflow.db", artifacts=str(folder / "artifacts"))
        self.clock = DataClock(path=str(folder / "clock.json"))
        self.clock.advance(NOON)

    def register(self, weight: float, *, level: str = "internal") -> None:
        releases = self.registry.releases()
        name = releases.write("late", {"weight": weight}, WHOLE, {"entry": "acme:predict"})
        self.registry.register("late", name, mlflow_run_id="gone", actor="dagster", data_at=NOON, facts={"level": level})

    def materialize(self) -> dg.ExecuteInProcessResult:
        resources: dict[str, Any] = {
            "registry": self.registry, "tracking": self.tracking, "clock": self.clock, IO_MANAGER: dg.InMemoryIOManager(),
        }  # fmt: skip
        return dg.materialize([live(LATE)], resources=resources, instance=self.instance)

    def version(self) -> int | None:
        found = self.registry.ledger().live("late")
        return found.version if found else None


@pytest.fixture
def desk(tmp_path: Path, instance: dg.DagsterInstance) -> Desk:
    return Desk(tmp_path, instance)


def holds(desk: Desk) -> bool:
    check = dg.AssetCheckKey(dg.AssetKey(["release", "late", "live"]), HOLDS)
    [found] = desk.instance.event_log_storage.get_asset_check_execution_history(check, limit=1)
    assert found.event is not None
    assert found.event.dagster_event is not None
    said: Any = found.event.dagster_event.event_specific_data
    return bool(said.passed)


def test_a_candidate_goes_live_on_a_ledger_that_holds(desk: Desk) -> None:
    desk.register(1.0)
    assert desk.materialize().success
    assert (desk.version(), holds(desk)) == (1, True)


def test_a_torn_ledger_fails_the_check_and_nothing_is_promoted(desk: Desk) -> None:
    desk.register(1.0)
    ledger = desk.registry.ledger()
    with ledger._engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER ledger_no_update")
        connection.exec_driver_sql("UPDATE ledger SET actor = 'eve'")
    with pytest.raises(LedgerTampered):
        desk.materialize()
    assert (desk.version(), holds(desk)) == (None, False)


def test_in_a_freeze_and_under_a_hold_a_new_version_is_refused_by_name(desk: Desk) -> None:
    desk.register(1.0)
    desk.materialize()
    desk.register(2.0)
    acts.freeze(desk.registry.desk(), ANA)
    with pytest.raises(Frozen, match=r"the platform is frozen since .* by ana: late in EWR"):
        desk.materialize()
    acts.unfreeze(desk.registry.desk(), ANA)
    acts.hold(desk.registry.desk(), "late", ANA)
    with pytest.raises(Held, match=r"late is held since .* by ana: late in EWR"):
        desk.materialize()
    assert desk.version() == 1
    acts.lift(desk.registry.desk(), "late", ANA)
    desk.materialize()
    assert desk.version() == 2


def test_after_a_rollback_the_asset_keeps_what_is_live_until_something_new_comes(desk: Desk) -> None:
    for weight in (1.0, 2.0):
        desk.register(weight)
        desk.materialize()
    acts.roll_back(desk.registry.desk(), "late", ANA)
    assert desk.materialize().success
    assert desk.version() == 1


def test_a_version_that_too_few_have_approved_is_refused_by_name(desk: Desk) -> None:
    desk.register(1.0, level="restricted")
    with pytest.raises(ApprovalsMissing, match="a restricted model needs the approval of 2 different people"):
        desk.materialize()
    assert desk.version() is None
