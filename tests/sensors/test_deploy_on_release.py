"""The service is deployed once for each set of live versions, whatever else happens in the ledger."""

from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.jobs import deploy_keys
from sensors.deploy_on_release import deploy_on_release
from tests.sensors.world import FEBRUARY, JANUARY, ONE, TWO, World, requests, world


@pytest.fixture
def here(instance: dg.DagsterInstance, tmp_path: Path) -> World:
    return world(instance, tmp_path)


def deployed(here: World, cursor: str | None = None) -> dg.SensorResult:
    said = here.tick(deploy_on_release(here.catalogue), cursor)
    assert isinstance(said, dg.SensorResult)
    assert len(requests(said)) == 1
    return said


def test_with_nothing_live_nothing_is_deployed_and_the_tick_says_so(here: World) -> None:
    said = here.tick(deploy_on_release(here.catalogue))
    assert isinstance(said, dg.SkipReason)
    assert said.skip_message == "Nothing is live yet."


def test_a_promotion_deploys_the_service_once(here: World) -> None:
    here.promote(ONE, JANUARY)
    said = deployed(here)
    [request] = said.run_requests or []
    assert list(request.asset_selection or ()) == deploy_keys(here.catalogue)
    again = here.tick(deploy_on_release(here.catalogue), said.cursor)
    assert isinstance(again, dg.SkipReason)
    assert again.skip_message == "The live versions are those that were last deployed."


def test_the_run_key_is_the_set_of_live_versions(here: World) -> None:
    here.promote(ONE, JANUARY)
    first = deployed(here)
    assert requests(deployed(here)) == requests(first)
    here.promote(TWO, JANUARY)
    second = deployed(here, first.cursor)
    here.promote(ONE, FEBRUARY)
    third = deployed(here, second.cursor)
    assert len({str(requests(one)) for one in (first, second, third)}) == 3


def test_a_version_that_is_only_registered_deploys_nothing(here: World) -> None:
    here.promote(ONE, JANUARY)
    cursor = deployed(here).cursor
    releases = here.registry.releases()
    content_hash = releases.write("one", {"n": 2}, {"identity": {"n": 2}, "provenance": {}}, {"entry": "acme:predict"})
    live = here.registry.ledger().live("one")
    assert live is not None
    here.registry.register("one", content_hash, mlflow_run_id="run", actor="gate", data_at=live.data_at)
    assert isinstance(here.tick(deploy_on_release(here.catalogue), cursor), dg.SkipReason)


def test_a_model_without_a_route_deploys_nothing(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    here = world(instance, tmp_path, models=[replace(ONE, serving=None), TWO])
    here.promote(ONE, JANUARY)
    assert isinstance(here.tick(deploy_on_release(here.catalogue)), dg.SkipReason)
