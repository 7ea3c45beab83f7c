"""MLflow follows the ledger by the next tick, whatever came between: a kill, a hand, an instant that came."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import dagster as dg
import pytest

from mlops_assets.lifecycle.operating import following
from resources.registry.ledger import Ledger
from resources.registry.mirror import follow
from resources.tracking.resource import Tracking
from sensors import follow_on_entry as sensor
from sensors.follow_on_entry import follow_on_entry
from tests.resources.registry.records import WHOLE
from tests.sensors.world import JANUARY, ONE, TWO, world


class Watch:
    """The sensor with its cursor, over a world with an MLflow store of its own; a run that it asks for is executed when told."""

    def __init__(self, instance: dg.DagsterInstance, folder: Path) -> None:
        self.world = world(instance, folder)
        self.tracking = Tracking(uri=f"sqlite:///{folder}/mlflow/mlflow.db", artifacts=str(folder / "artifacts"))
        self.tracking.client()
        self.cursor: str | None = None

    def tick(self) -> tuple[list[dg.RunRequest], str]:
        resources = {"registry": self.world.registry, "tracking": self.tracking}
        said: Any = follow_on_entry()(dg.build_sensor_context(self.world.instance, cursor=self.cursor, resources=resources))
        if isinstance(said, dg.SkipReason):
            return [], str(said.skip_message)
        self.cursor = said.cursor
        return list(said.run_requests or []), str(said.skip_reason.skip_message) if said.skip_reason else ""

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        resources = {"registry": self.world.registry, "tracking": self.tracking}
        return following().execute_in_process(run_config=request.run_config, resources=resources, instance=self.world.instance)

    def alias(self, model: str = "one") -> str:
        client: Any = self.tracking.client()
        return str(client.get_model_version_by_alias(model, "production").version)


@pytest.fixture
def watch(instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    monkeypatch.setattr(sensor, "PATIENCE_SECONDS", 0)
    return Watch(instance, tmp_path)


def models(requests: list[dg.RunRequest]) -> list[str]:
    return [name for one in requests for name in one.run_config["ops"]["follow"]["config"]["models"]]


def test_with_nothing_registered_nothing_has_to_follow(watch: Watch) -> None:
    assert watch.tick() == ([], "MLflow shows what the ledger says.")


def test_an_entry_whose_writer_died_before_mlflow_followed_is_made_good_by_the_next_tick(watch: Watch) -> None:
    for spec in (ONE, TWO):
        watch.world.promote(spec, JANUARY)
    [request], _ = watch.tick()
    assert models([request]) == ["one", "two"]
    assert watch.tick()[0][0].run_key == request.run_key
    watch.run(request)
    assert (watch.alias(), watch.alias("two"), watch.tick()) == ("1", "1", ([], "MLflow shows what the ledger says."))


def test_an_entry_of_this_moment_is_left_to_who_wrote_it(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensor, "PATIENCE_SECONDS", 60)
    watch.world.promote(ONE, JANUARY)
    assert watch.tick() == ([], "The newest entry is being followed by who wrote it.")
    monkeypatch.setattr(sensor, "PATIENCE_SECONDS", 0)
    assert models(watch.tick()[0]) == ["one"]


def test_a_run_that_died_half_way_is_asked_for_again(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.world.promote(ONE, JANUARY)
    [first], _ = watch.tick()
    with monkeypatch.context() as patch:
        patch.setattr(watch.tracking.client(), "set_registered_model_alias", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            follow(watch.world.registry.ledger(), watch.tracking, model="one")
    later = Mock(wraps=datetime)
    later.now.return_value = datetime.now(UTC) + timedelta(minutes=5)
    monkeypatch.setattr("sensors.follow_on_entry.datetime", later)
    [again], _ = watch.tick()
    assert (models([again]), again.run_key == first.run_key) == (["one"], False)


def test_an_alias_moved_by_hand_is_put_back_and_stands_on_the_page(watch: Watch) -> None:
    watch.world.promote(ONE, JANUARY)
    watch.world.promote(ONE, "2013-02")
    watch.run(watch.tick()[0][0])
    client: Any = watch.tracking.client()
    client.set_registered_model_alias("one", "production", "1")
    [request], _ = watch.tick()
    watch.run(request)
    assert (watch.alias(), watch.tick()[0]) == ("2", [])
    page = dg.AssetKey(["release", "one", "live"])
    [seen] = watch.world.instance.fetch_observations(page, limit=5).records
    assert seen.asset_observation is not None
    said = str(seen.asset_observation.metadata["repaired"].value)
    assert said == "one: alias production was moved by hand to version 1; put back to version 2, as the ledger says"


def test_what_becomes_live_later_is_followed_then_without_another_entry(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.world.promote(ONE, JANUARY)
    soon = datetime.now(UTC) + timedelta(hours=1)
    ledger, registry = watch.world.registry.ledger(), watch.world.registry
    name = registry.releases().write("one", {"n": 2}, WHOLE, {"entry": "acme:predict"})
    registry.register("one", name, mlflow_run_id="run", actor="gate", data_at=soon)
    registry.promote("one", 2, actor="gate", data_at=soon, activate_at=soon)
    follow(ledger, watch.tracking, model="one")
    assert watch.tick()[0] == []
    later = Mock(wraps=datetime)
    later.now.return_value = soon
    monkeypatch.setattr("sensors.follow_on_entry.datetime", later)
    assert models(watch.tick()[0]) == ["one"]


def test_a_ledger_that_says_nothing_new_is_not_read_again(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.world.promote(ONE, JANUARY)
    watch.run(watch.tick()[0][0])
    watch.tick()
    monkeypatch.delattr(Ledger, "entries")
    assert watch.tick() == ([], "MLflow shows what the ledger says.")


def test_a_store_that_is_away_starts_nothing(watch: Watch, tmp_path: Path) -> None:
    watch.world.promote(ONE, JANUARY)
    watch.tracking = Tracking(uri=f"sqlite:///{tmp_path}/away/mlflow.db", artifacts="")
    assert watch.tick() == ([], "MLflow does not answer; what is live stays live, and a later tick looks again.")
