"""The service is deployed once each time that the set of live versions changes, whatever else happens in the ledger."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import dagster as dg
import pytest

from mlops_assets.jobs import deploy_keys
from resources.registry.ledger import Ledger
from sensors.deploy_on_release import deploy_on_release
from tests.resources.registry.records import WHOLE
from tests.sensors.world import FEBRUARY, JANUARY, ONE, TWO, World, requests, world


@pytest.fixture
def here(instance: dg.DagsterInstance, tmp_path: Path) -> World:
    return world(instance, tmp_path)


def deployed(here: World, cursor: str | None = None) -> dg.SensorResult:
    said = here.tick(deploy_on_release(here.catalogue), cursor)
    assert isinstance(said, dg.SensorResult)
    assert len(requests(said)) == 1
    return said


def left_alone(here: World, cursor: str | None = None) -> tuple[str | None, str | None]:
    """What a tick that asks for nothing says, and its cursor."""
    said = here.tick(deploy_on_release(here.catalogue), cursor)
    assert requests(said) == []
    reason = said if isinstance(said, dg.SkipReason) else said.skip_reason
    return reason and reason.skip_message, cursor if isinstance(said, dg.SkipReason) else said.cursor


def retire(here: World, name: str, *, activate_at: datetime | None = None) -> None:
    """The live version of a model is live no more."""
    ledger = here.registry.ledger()
    live = ledger.live(name)
    assert live is not None
    about = {"content_hash": live.content_hash, "version": live.version}
    ledger.append(name, "retired", about, expect_head=ledger.head(name), actor="desk", data_at=live.data_at, activate_at=activate_at)


def test_with_nothing_live_nothing_is_deployed_and_the_tick_says_so(here: World) -> None:
    assert left_alone(here)[0] == "Nothing is live yet."


def test_a_promotion_deploys_the_service_once(here: World) -> None:
    here.promote(ONE, JANUARY)
    said = deployed(here)
    [request] = said.run_requests or []
    assert list(request.asset_selection or ()) == deploy_keys(here.catalogue)
    assert left_alone(here, said.cursor)[0] == "The ledger says nothing new."


def test_a_tick_that_is_repeated_has_an_equal_run_key_and_another_promotion_another(here: World) -> None:
    here.promote(ONE, JANUARY)
    first = deployed(here)
    assert requests(deployed(here)) == requests(first)
    here.promote(TWO, JANUARY)
    second = deployed(here, first.cursor)
    here.promote(ONE, FEBRUARY)
    third = deployed(here, second.cursor)
    assert len({str(requests(one)) for one in (first, second, third)}) == 3


def test_a_return_to_an_earlier_set_of_live_versions_is_deployed_under_a_key_of_its_own(here: World) -> None:
    here.promote(ONE, JANUARY)
    first = deployed(here)
    here.promote(TWO, JANUARY)
    second = deployed(here, first.cursor)
    retire(here, "two")
    third = deployed(here, second.cursor)
    assert str(first.cursor).split()[0] == str(third.cursor).split()[0]
    assert len({str(requests(one)) for one in (first, second, third)}) == 3


def test_what_counts_only_from_an_instant_on_is_deployed_then_without_another_entry(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    here.promote(ONE, JANUARY)
    here.promote(TWO, JANUARY)
    retire(here, "two", activate_at=datetime.now(UTC) + timedelta(hours=1))
    cursor = deployed(here).cursor
    assert left_alone(here, cursor)[0] == "The ledger says nothing new."

    later = Mock(wraps=datetime)
    later.now.return_value = datetime.now(UTC) + timedelta(hours=2)
    monkeypatch.setattr("sensors.deploy_on_release.datetime", later)
    deployed(here, cursor)


def test_the_ledger_is_read_only_when_it_has_another_entry(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    here.promote(ONE, JANUARY)
    cursor = deployed(here).cursor
    monkeypatch.delattr(Ledger, "entries")
    assert left_alone(here, cursor)[0] == "The ledger says nothing new."


def test_a_live_model_that_gets_a_route_is_deployed(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    before = world(instance, tmp_path, models=[ONE, replace(TWO, serving=None)])
    before.promote(ONE, JANUARY)
    before.promote(TWO, JANUARY)
    deployed(world(instance, tmp_path), deployed(before).cursor)


def test_a_version_that_is_only_registered_deploys_nothing(here: World) -> None:
    here.promote(ONE, JANUARY)
    cursor = deployed(here).cursor
    releases = here.registry.releases()
    content_hash = releases.write("one", {"n": 2}, WHOLE, {"entry": "acme:predict"})
    live = here.registry.ledger().live("one")
    assert live is not None
    here.registry.register("one", content_hash, mlflow_run_id="run", actor="gate", data_at=live.data_at)
    said, cursor = left_alone(here, cursor)
    assert said == "The live versions are those that were last deployed."
    assert left_alone(here, cursor)[0] == "The ledger says nothing new."


def test_a_model_without_a_route_deploys_nothing(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    here = world(instance, tmp_path, models=[replace(ONE, serving=None), TWO])
    here.promote(ONE, JANUARY)
    assert left_alone(here)[0] == "Nothing is live yet."


def test_in_a_freeze_nothing_is_deployed_and_the_tick_after_it_deploys(here: World) -> None:
    here.promote(ONE, JANUARY)
    ledger = here.registry.ledger()
    for kind in ("frozen", "unfrozen"):
        ledger.append("freeze", kind, {"why": "fire"}, expect_head=ledger.head("freeze"), actor="ana", data_at=datetime.now(UTC))
        if kind == "frozen":
            said, _ = left_alone(here)
            assert str(said).startswith("Nothing is deployed: the platform is frozen since ")
            assert str(said).endswith("by ana: fire. What answers goes on answering.")
    deployed(here)
