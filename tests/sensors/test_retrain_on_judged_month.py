"""A training starts for a reason, once a model and month, and not while the last release is young."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.jobs import train_keys
from mlops_assets.keys import CUTOFF_TAG, MODEL_TAG, REASON_TAG, key
from mlops_assets.specs import ModelSpec, Monthly, PerformanceDrop, Retrain
from sensors.retrain_on_judged_month import retrain_on_judged_month
from tests.sensors.world import FEBRUARY, JANUARY, MARCH, ONE, TWO, World, requests, world


def reasons(here: World) -> dict[str, str]:
    said = here.tick(retrain_on_judged_month(here.catalogue))
    runs = said.run_requests or [] if isinstance(said, dg.SensorResult) else []
    return {one.tags[MODEL_TAG]: one.tags[REASON_TAG] for one in runs}


def retrained(spec: ModelSpec, **said: object) -> ModelSpec:
    return replace(spec, retrain=replace(Retrain(), **said))


def live_since_january(here: World, *verdicts: str) -> None:
    """One model, live for February, which is complete and judged with each of the verdicts in turn."""
    here.complete(JANUARY, FEBRUARY)
    here.promote(here.catalogue.models[0], JANUARY)
    for verdict in verdicts:
        here.judged(here.catalogue.models[0], FEBRUARY, verdict)


def test_nothing_is_trained_before_the_window_is_full(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    here = world(instance, tmp_path)
    here.complete(JANUARY)
    assert reasons(here) == {}


def test_months_before_the_window_do_not_fill_it(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    here = world(instance, tmp_path)
    here.complete("2012-12", JANUARY)
    assert reasons(here) == {}


def test_with_nothing_live_every_model_is_trained_on_the_last_complete_month(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    here = world(instance, tmp_path)
    here.complete(JANUARY, FEBRUARY)
    said = here.tick(retrain_on_judged_month(here.catalogue))
    assert requests(said) == [("train one 2013-02", FEBRUARY), ("train two 2013-02", FEBRUARY)]
    assert isinstance(said, dg.SensorResult)
    first = (said.run_requests or [])[0]
    assert list(first.asset_selection or ()) == train_keys(ONE)
    assert first.tags[CUTOFF_TAG] == FEBRUARY
    assert reasons(here) == {"one": "nothing is live", "two": "nothing is live"}


def test_a_model_that_is_live_waits_for_its_monitor_while_another_is_trained(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    here = world(instance, tmp_path)
    live_since_january(here)
    assert reasons(here) == {"two": "nothing is live"}


def test_a_judged_month_trains_by_cadence(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    here = world(instance, tmp_path, models=[ONE])
    live_since_january(here, "ok")
    assert reasons(here) == {"one": "monthly cadence"}


def test_a_fall_is_named_beside_the_cadence(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    here = world(instance, tmp_path, models=[ONE])
    live_since_january(here, "fell")
    assert reasons(here) == {"one": "monthly cadence, performance fell"}


def test_without_cadence_only_a_fall_trains_and_the_last_judgement_counts(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    here = world(instance, tmp_path, models=[retrained(ONE, on=(PerformanceDrop(),))])
    live_since_january(here, "fell", "ok")
    assert reasons(here) == {}
    here.judged(ONE, FEBRUARY, "fell")
    assert reasons(here) == {"one": "performance fell"}


def test_cadence_alone_is_deaf_to_a_fall(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    here = world(instance, tmp_path, models=[retrained(ONE, on=(Monthly(),))])
    live_since_january(here, "fell")
    assert reasons(here) == {"one": "monthly cadence"}


@pytest.mark.parametrize(("days", "found"), [(27, {"one": "monthly cadence"}), (29, {})])
def test_a_release_younger_than_the_cool_down_is_left_alone(
    instance: dg.DagsterInstance, tmp_path: Path, days: int, found: dict[str, str]
) -> None:
    here = world(instance, tmp_path, models=[retrained(ONE, cooldown=timedelta(days=days))])
    live_since_january(here, "ok")
    assert reasons(here) == found


def test_a_month_that_a_training_was_begun_for_is_not_trained_again(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    here = world(instance, tmp_path)
    here.complete(JANUARY, FEBRUARY)
    here.made(key("training_set", "one", "examples"), FEBRUARY)
    assert reasons(here) == {"two": "nothing is live"}


def test_a_tick_is_repeated_with_equal_run_keys_and_skipped_when_nothing_happened(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    here = world(instance, tmp_path, models=[TWO])
    here.complete(JANUARY, FEBRUARY)
    sensor = retrain_on_judged_month(here.catalogue)
    first = here.tick(sensor)
    assert requests(here.tick(sensor)) == requests(first) == [("train two 2013-02", FEBRUARY)]
    assert isinstance(first, dg.SensorResult)
    assert isinstance(here.tick(sensor, first.cursor), dg.SkipReason)
    here.complete(MARCH)
    assert requests(here.tick(sensor, first.cursor)) == [("train two 2013-03", MARCH)]


def test_a_model_that_is_new_in_the_catalogue_is_trained_although_nothing_happened(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    before = world(instance, tmp_path, models=[ONE])
    before.complete(JANUARY, FEBRUARY)
    first = before.tick(retrain_on_judged_month(before.catalogue))
    assert isinstance(first, dg.SensorResult)
    here = world(instance, tmp_path)
    again = here.tick(retrain_on_judged_month(here.catalogue), first.cursor)
    assert requests(again) == [("train one 2013-02", FEBRUARY), ("train two 2013-02", FEBRUARY)]


def test_an_earlier_start_of_the_window_is_seen(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    before = world(instance, tmp_path, models=[ONE])
    before.complete("2012-12", JANUARY)
    nothing = before.tick(retrain_on_judged_month(before.catalogue))
    assert isinstance(nothing, dg.SensorResult)
    here = world(instance, tmp_path, models=[replace(ONE, train_on=replace(ONE.train_on, since="2012-12"))])
    assert requests(here.tick(retrain_on_judged_month(here.catalogue), nothing.cursor)) == [("train one 2013-01", JANUARY)]


def act(here: World, kind: str, subject: str) -> None:
    ledger = here.registry.ledger()
    ledger.append(subject, kind, {"why": "late in EWR"}, expect_head=ledger.head(subject), actor="ana", data_at=datetime.now(UTC))


def reason(said: dg.SensorResult | dg.SkipReason) -> str:
    found = said if isinstance(said, dg.SkipReason) else said.skip_reason
    return str(found.skip_message) if found else ""


def test_in_a_freeze_nothing_is_trained_and_the_tick_after_it_trains(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    here = world(instance, tmp_path, models=[ONE])
    live_since_january(here, "ok")
    act(here, "frozen", "freeze")
    sensor = retrain_on_judged_month(here.catalogue)
    said = here.tick(sensor)
    assert isinstance(said, dg.SkipReason)
    assert re.fullmatch(r"Nothing is trained: the platform is frozen since .* by ana: late in EWR\.", reason(said))
    act(here, "unfrozen", "freeze")
    assert reasons(here) == {"one": "monthly cadence"}


def test_a_held_model_waits_for_the_lift_while_others_are_trained(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    here = world(instance, tmp_path)
    live_since_january(here, "ok")
    act(here, "held", "one")
    assert reasons(here) == {"two": "nothing is live"}
    alone = world(instance, tmp_path, models=[ONE])
    said = alone.tick(retrain_on_judged_month(alone.catalogue))
    assert re.fullmatch(r"one is due and is not trained: it is held since .* by ana: late in EWR\.", reason(said))
    assert isinstance(said, dg.SensorResult)
    act(here, "released_hold", "one")
    assert requests(alone.tick(retrain_on_judged_month(alone.catalogue), said.cursor)) == [("train one 2013-02", FEBRUARY)]
