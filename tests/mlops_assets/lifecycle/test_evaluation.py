"""The judge of a candidate: what is compared with the live version, and what the gate finds."""

from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest

from mlops_assets.keys import key
from mlops_assets.lifecycle.evaluation import alike, comparable, conditions, evaluation_rows, gate_result, judge, scored, weight
from mlops_assets.lifecycle.tables import Evaluated
from mlops_assets.specs import Fair, Gate
from resources.monitors.gate import GateResult
from resources.registry.card import REQUIRED
from tests.mlops_assets.lifecycle.orders import LATE, Orders, release

ASSET = key("evaluation", "late", "holdout")


def held_out() -> pl.DataFrame:
    """Seven days of orders: more items, more often late; every tenth the other way."""
    count = 210
    return pl.DataFrame(
        {
            "day": [date(2020, 1, 25) + timedelta(days=number % 7) for number in range(count)],
            "stall": ["east" if number % 2 else "west" for number in range(count)],
            "items": [number % 10 for number in range(count)],
            "label": [float((number % 10 >= 5) != (number % 31 == 0)) for number in range(count)],
        }
    )


def test_rows_that_the_live_version_was_trained_on_are_not_compared() -> None:
    rows = held_out()
    assert comparable(release(trained_until=date(2020, 1, 29)), rows)["day"].min() == date(2020, 1, 29)
    assert comparable(release(trained_until=date(2020, 2, 1)), rows).is_empty()
    assert comparable(None, rows).is_empty()


def test_a_live_version_that_reads_other_features_is_not_compared() -> None:
    assert comparable(release(), held_out().drop("items")).is_empty()


def test_a_live_version_of_other_code_or_of_another_definition_of_its_features_is_no_rival() -> None:
    candidate = release(name="b" * 64)
    assert alike(release(), candidate)
    assert not alike(replace(release(), signature={**candidate.signature, "code_hash": "f" * 64}), candidate)
    assert not alike(replace(release(), record={"identity": {"views": {"stall_lately": "other"}}}), candidate)
    assert alike(replace(release(), record={"identity": {"views": {"stall_gone": "was"}}}), candidate)


def test_a_candidate_is_judged_by_its_floor_and_against_the_live_version() -> None:
    rows = scored(release(parts={"mean": 0.2, "item": 0.05}), held_out())
    metrics, results = judge(LATE, rows, release(parts={"mean": 0.9, "item": -0.05}, name="b" * 64))
    assert set(metrics["version"]) == {"candidate", "live", "difference"}
    assert [one.passed for one in results] == [True] * len(results)
    worse, found = judge(LATE, scored(release(parts={"mean": 0.9, "item": -0.05}), held_out()), release(parts={"mean": 0.2, "item": 0.05}))
    assert worse.height == metrics.height
    assert not all(one.passed for one in found)


def test_a_candidate_is_told_apart_from_the_live_version_in_every_metric_and_in_the_main_one_by_slice() -> None:
    live = release(parts={"mean": 0.9, "item": -0.05}, name="b" * 64)
    metrics, _ = judge(LATE, scored(release(parts={"mean": 0.2, "item": 0.05}), held_out()), live)
    told = metrics.filter(version="difference")
    assert dict(told.filter(slice_by="all").select("metric", "sentence").iter_rows()) == dict.fromkeys(
        ("auc", "log_loss", "brier", "ece"), "better"
    )
    assert set(told.filter(slice_by="stall")["slice"]) == {"east", "west"}
    assert set(told["against"]) == {"b" * 64}
    auc = told.filter(slice_by="all", metric="auc").row(0, named=True)
    assert 0 < auc["low"] <= auc["value"] <= auc["high"]
    assert auc["rows"] == 210


def test_a_model_without_a_gate_is_measured_and_has_nothing_to_fail() -> None:
    metrics, results = judge(replace(LATE, gate=None), scored(release(), held_out()), release())
    assert metrics.height > 0
    assert results == []
    assert gate_result(ASSET, results).passed


def test_a_gate_that_does_not_compare_is_not_failed_by_a_worse_candidate_and_the_difference_is_told() -> None:
    worse, live = scored(release(parts={"mean": 0.9, "item": -0.05}), held_out()), release(parts={"mean": 0.2, "item": 0.05})
    for gate, names in ((Gate(floors={"auc": 0.0}, against_live=False), ["auc floor"]), (None, [])):
        metrics, results = judge(replace(LATE, gate=gate), worse, live)
        assert [one.name for one in results] == names
        assert all(one.passed for one in results)
        assert "worse" in metrics.filter(version="difference", slice_by="all")["sentence"]


CARD = "# late\n\n" + "\n\n".join(f"**{title}.** Something." for title in REQUIRED)


def found(gate: Gate | None, *, licence: str = "Apache-2.0", size: int = 1_500_000, card: str = CARD) -> dict[str, bool]:
    """What the gate asks beyond quality, of a release with recorded examples."""
    said = {"probe": {"examples": [{"order_id": "a", "items": 3}]}, "request": {"order_id": {"dtype": "string", "nullable": False}}}
    features = {"features": {"items": {"dtype": "int64", "nullable": True}}}
    record = {**release().record, "provenance": {"card": card}}
    candidate = replace(release(), signature={**release().signature, **said, **features}, record=record)
    results = conditions(replace(LATE, gate=gate, licence=licence), scored(candidate, held_out()), candidate, size=size)
    return {one.name: one.passed for one in results}


def test_a_gate_that_asks_for_nothing_more_still_looks_at_licence_and_card() -> None:
    assert found(Gate()) == {"licence": True, "card": True}
    assert found(Gate(), licence="proprietary") == {"licence": False, "card": True}
    assert found(Gate(licences=("proprietary",)), licence="proprietary") == {"licence": True, "card": True}
    assert found(Gate(), card="# late\n\n**What it says.** Something.") == {"licence": True, "card": False}
    assert found(None) == {}


def test_an_answer_is_timed_through_the_code_of_the_service_and_files_are_weighed() -> None:
    asked = found(Gate(latency_ms=1000, size_mb=1.5))
    assert asked == {"latency of one answer": True, "size of the release": True, "licence": True, "card": True}
    tight = found(Gate(latency_ms=0.0001, size_mb=1.4))
    assert tight == {"latency of one answer": False, "size of the release": False, "licence": True, "card": True}


def test_a_release_weighs_the_same_however_long_its_record_is() -> None:
    parts = {"booster.lgb.txt": b"x" * 700, "signature.json": b"x" * 30}
    for length in (10, 5000):
        assert weight({**parts, "record.json": b"x" * length, "manifest.json": b"x" * length}) == 730


def test_groups_are_compared_on_the_held_out_days() -> None:
    name = "prediction alike by stall"
    assert found(Gate(fair=(Fair(by=Orders.stall, metric="prediction", most=0.2),)))[name]
    assert not found(Gate(fair=(Fair(by=Orders.stall, metric="prediction", most=0.0001),)))[name]


@pytest.mark.parametrize("passed", [True, False])
def test_the_check_names_what_failed(*, passed: bool) -> None:
    found = gate_result(ASSET, [GateResult(name="auc", value=0.5, bound=0.6, passed=passed, sentence="AUC is 0.5.")])
    assert found.passed is passed
    assert found.metadata["failed"].value == ("none" if passed else "auc")
    assert "AUC is 0.5." in str(found.metadata["findings"].value)


def test_metrics_and_findings_share_one_table() -> None:
    metrics, _ = judge(LATE, scored(release(parts={"mean": 0.2, "item": 0.05}), held_out()), None)
    table = evaluation_rows(metrics, [GateResult(name="auc", value=0.9, bound=0.6, passed=True, sentence="Good.")])
    assert table.columns == [*Evaluated.columns]
    assert table.filter(version="gate").select("metric", "value", "passed", "sentence").rows() == [("auc", 0.9, True, "Good.")]
