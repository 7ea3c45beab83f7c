"""A complete month is scored once for each model, by the version that was live for it, and never before it is complete."""

from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.jobs import score_keys
from mlops_assets.keys import MODEL_TAG, table
from sensors.score_on_complete_month import score_on_complete_month
from tests.sensors.world import FEBRUARY, JANUARY, MARCH, ONE, TWO, World, requests, world


@pytest.fixture
def here(instance: dg.DagsterInstance, tmp_path: Path) -> World:
    return world(instance, tmp_path)


def test_a_month_for_which_nothing_was_live_is_left_alone(here: World) -> None:
    here.complete(JANUARY)
    here.promote(ONE, JANUARY)
    assert requests(here.tick(score_on_complete_month(here.catalogue))) == []


def test_each_model_scores_the_months_after_its_own_release(here: World) -> None:
    here.complete(JANUARY, FEBRUARY, MARCH)
    here.promote(ONE, JANUARY)
    here.promote(TWO, FEBRUARY)
    said = here.tick(score_on_complete_month(here.catalogue))
    assert requests(said) == [("score one 2013-02", FEBRUARY), ("score one 2013-03", MARCH), ("score two 2013-03", MARCH)]


def test_a_request_launches_the_predictions_and_the_monitor_of_its_model(here: World) -> None:
    here.complete(JANUARY, FEBRUARY)
    here.promote(TWO, JANUARY)
    said = here.tick(score_on_complete_month(here.catalogue))
    assert isinstance(said, dg.SensorResult)
    [request] = said.run_requests or []
    assert list(request.asset_selection or ()) == score_keys(TWO)
    assert request.tags[MODEL_TAG] == "two"


def test_a_month_of_which_one_view_is_missing_waits(here: World) -> None:
    here.promote(ONE, JANUARY)
    for spec in here.catalogue.sources:
        here.made(table(spec.table), FEBRUARY if spec.partitions else None)
    for view in here.catalogue.views[1:]:
        here.made(table(view.address, stage="feature"), FEBRUARY if view.source.partitions else None)
    sensor = score_on_complete_month(here.catalogue)
    assert requests(here.tick(sensor)) == []
    here.made(table(here.catalogue.views[0].address, stage="feature"), FEBRUARY)
    assert requests(here.tick(sensor)) == [("score one 2013-02", FEBRUARY)]


def test_a_month_that_was_judged_is_not_scored_again(here: World) -> None:
    here.complete(JANUARY, FEBRUARY)
    here.promote(ONE, JANUARY)
    here.judged(ONE, FEBRUARY)
    assert requests(here.tick(score_on_complete_month(here.catalogue))) == []


def test_a_tick_is_repeated_with_equal_run_keys_and_skipped_when_nothing_happened(here: World) -> None:
    here.complete(JANUARY, FEBRUARY)
    here.promote(ONE, JANUARY)
    sensor = score_on_complete_month(here.catalogue)
    first = here.tick(sensor)
    assert requests(here.tick(sensor)) == requests(first) == [("score one 2013-02", FEBRUARY)]
    assert isinstance(first, dg.SensorResult)
    assert isinstance(here.tick(sensor, first.cursor), dg.SkipReason)


def test_a_version_that_goes_live_without_a_run_is_seen(here: World) -> None:
    here.complete(JANUARY, FEBRUARY)
    sensor = score_on_complete_month(here.catalogue)
    nothing = here.tick(sensor)
    assert requests(nothing) == []
    assert isinstance(nothing, dg.SensorResult)
    here.promote(ONE, JANUARY)
    assert requests(here.tick(sensor, nothing.cursor)) == [("score one 2013-02", FEBRUARY)]
