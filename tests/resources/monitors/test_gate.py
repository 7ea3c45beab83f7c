"""The gate fails what was not measured, and calls a candidate worse only when the interval does."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from resources.monitors.gate import Difference, NoBetterSide, condition, fair, gate, paired, paired_slices, passed, within
from resources.monitors.metrics import evaluate

START = date(2013, 4, 1)


def versions(*, noise: float, days: int = 7, rows: int = 4200) -> pl.DataFrame:
    """The candidate's logit has ``noise`` on it, the live version's has none."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=rows)
    spoilt = x + rng.normal(0, noise, rows) if noise else x
    return pl.DataFrame(
        {
            "label": (rng.random(rows) < 1 / (1 + np.exp(-x))).astype(float),
            "prediction": 1 / (1 + np.exp(-spoilt)),
            "live_prediction": 1 / (1 + np.exp(-x)),
            "day": [START + timedelta(days=int(n)) for n in rng.integers(0, days, rows)],
            "origin": np.array(["EWR", "JFK", "LGA"])[rng.integers(0, 3, rows)],
        }
    )


def auc(frame: pl.DataFrame) -> Difference:
    return paired(task="classification", frame=frame, metric="auc", seed=1)


def evaluated(frame: pl.DataFrame) -> pl.DataFrame:
    return evaluate(task="classification", frame=frame, slices=["origin"], seed=1)


def difference(value: float | None, low: float | None, high: float | None, *, metric: str = "auc", where: str = "all") -> Difference:
    by = "all" if where == "all" else "origin"
    return Difference(metric=metric, value=value, low=low, high=high, days=7, rows=4200, slice_by=by, slice=where)


def test_floors_and_ceilings_hold_or_fail_by_the_value() -> None:
    results = gate(
        evaluation=evaluated(versions(noise=0)),
        floors={"auc": 0.6, "base_rate": 0.9},
        ceilings={"brier": 0.3, "log_loss": 0.1},
        difference=None,
    )
    verdicts = {result.name: result.passed for result in results}
    assert verdicts == {"auc floor": True, "base_rate floor": False, "brier ceiling": True, "log_loss ceiling": False, "against live": True}
    assert not passed(results)
    assert "is below its floor 0.9" in next(result.sentence for result in results if result.name == "base_rate floor")


def test_a_value_on_the_bound_passes() -> None:
    evaluation = pl.DataFrame({"metric": ["auc"], "slice_by": ["all"], "slice": ["all"], "value": [0.7]})
    assert passed(gate(evaluation=evaluation, floors={"auc": 0.7}, ceilings={"auc": 0.7}, difference=None))


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_metric_without_a_value_fails(value: float | None) -> None:
    evaluation = pl.DataFrame({"metric": ["auc"], "slice_by": ["all"], "slice": ["all"], "value": [value]})
    result = gate(evaluation=evaluation, floors={"auc": 0.1}, ceilings={}, difference=None)[0]
    assert not result.passed
    assert result.value is None
    assert "was not measured" in result.sentence


def test_a_metric_that_nobody_computed_fails() -> None:
    assert not passed(gate(evaluation=evaluated(versions(noise=0)), floors={}, ceilings={"mae": 10}, difference=None))


def test_a_slice_never_stands_in_for_the_whole() -> None:
    evaluation = pl.DataFrame({"metric": ["auc"], "slice_by": ["origin"], "slice": ["EWR"], "value": [0.9]})
    assert not gate(evaluation=evaluation, floors={"auc": 0.5}, ceilings={}, difference=None)[0].passed


def test_no_condition_at_all_is_not_a_pass() -> None:
    assert not passed([])


def test_equal_versions_differ_by_nothing_and_pass() -> None:
    found = auc(versions(noise=0))
    assert (found.value, found.low, found.high) == (0, 0, 0)
    assert not found.worse
    assert passed(gate(evaluation=evaluated(versions(noise=0)), floors={}, ceilings={}, difference=found))


def test_a_clearly_worse_candidate_fails_against_live() -> None:
    frame = versions(noise=2)
    found = auc(frame)
    assert found.value is not None
    assert found.value < 0
    assert found.worse
    result = gate(evaluation=evaluated(frame), floors={}, ceilings={}, difference=found)[-1]
    assert not result.passed
    assert "the candidate is worse" in result.sentence


def test_the_side_that_is_better_depends_on_the_metric() -> None:
    frame = versions(noise=2).rename({"prediction": "live_prediction", "live_prediction": "prediction"})
    assert not auc(frame).worse
    loss = paired(task="classification", frame=frame, metric="log_loss", seed=1)
    assert loss.value is not None
    assert loss.value < 0
    assert not loss.worse
    assert paired(task="classification", frame=versions(noise=2), metric="log_loss", seed=1).worse
    assert paired(task="classification", frame=versions(noise=2), metric="ece", seed=1).worse


def test_a_candidate_that_may_be_worse_gets_the_benefit_of_the_doubt() -> None:
    results = gate(
        evaluation=pl.DataFrame({"metric": [], "slice_by": [], "value": []}),
        floors={},
        ceilings={},
        difference=difference(-0.01, -0.03, 0.01),
    )
    assert passed(results)


def test_a_comparison_without_an_interval_fails() -> None:
    found = auc(versions(noise=0, days=2))
    assert not found.known
    assert not found.worse
    result = gate(evaluation=evaluated(versions(noise=0)), floors={}, ceilings={}, difference=found)[-1]
    assert not result.passed
    assert "cannot be compared on 4,200 examples of 2 days" in result.sentence


def test_the_intervals_of_slices_widen_with_their_number() -> None:
    frame = versions(noise=1)
    one = paired_slices(task="classification", frame=frame.filter(pl.col("origin") == "EWR"), metric="auc", slices=["origin"], seed=1)[0]
    three = next(
        item for item in paired_slices(task="classification", frame=frame, metric="auc", slices=["origin"], seed=1) if item.slice == "EWR"
    )
    assert one.value == pytest.approx(three.value)
    assert one.low is not None
    assert three.low is not None
    assert three.low < one.low


def test_slices_too_small_to_judge_are_left_out() -> None:
    frame = versions(noise=1).with_columns(origin=pl.when(pl.int_range(pl.len()) < 50).then(pl.lit("TINY")).otherwise(pl.lit("EWR")))
    found = paired_slices(task="classification", frame=frame, metric="auc", slices=["origin"], seed=1)
    assert [item.slice for item in found] == ["EWR"]


def test_one_slice_beyond_doubt_fails_the_gate_and_is_named() -> None:
    slices = (
        difference(-0.05, -0.08, -0.02, where="JFK"),
        difference(-0.06, -0.2, 0.08, where="LGA"),
        difference(0.01, -0.01, 0.02, where="EWR"),
    )
    result = gate(
        evaluation=pl.DataFrame({"metric": [], "slice_by": [], "value": []}), floors={}, ceilings={}, difference=None, slices=slices
    )[-1]
    assert not result.passed
    assert result.name == "against live by origin"
    assert result.value == -0.05
    assert "worse in 1 of 3 slices of origin; worst JFK: auc -0.0500 [-0.0800, -0.0200]" in result.sentence


def test_the_worst_slice_of_a_loss_is_the_one_that_grew() -> None:
    slices = (difference(0.4, -0.1, 0.9, metric="mae", where="JFK"), difference(-0.8, -1.4, -0.2, metric="mae", where="EWR"))
    result = gate(
        evaluation=pl.DataFrame({"metric": [], "slice_by": [], "value": []}), floors={}, ceilings={}, difference=None, slices=slices
    )[-1]
    assert result.passed
    assert result.value == 0.4


def test_slices_of_which_none_could_be_compared_fail() -> None:
    result = gate(
        evaluation=pl.DataFrame({"metric": [], "slice_by": [], "value": []}), floors={}, ceilings={}, difference=None,
        slices=(difference(None, None, None, where="JFK"),),
    )[-1]  # fmt: skip
    assert not result.passed
    assert result.sentence == "No slice of origin could be compared with the live version."


def test_a_metric_without_a_better_side_is_refused() -> None:
    with pytest.raises(NoBetterSide, match="base_rate: it has no better side"):
        paired(task="classification", frame=versions(noise=0), metric="base_rate", seed=1)


def alike(frame: pl.DataFrame, *, metric: str = "prediction", most: float = 0.05) -> tuple[bool, str]:
    found = fair(task="classification", frame=frame, by="origin", metric=metric, most=most, seed=1)
    return found.passed, found.sentence


def test_groups_that_are_treated_alike_pass_and_the_sentence_names_the_ends() -> None:
    passes, sentence = alike(versions(noise=0))
    assert passes
    assert "prediction of origin is" in sentence
    assert "within 0.05." in sentence


def test_a_group_with_other_answers_fails_by_its_own_name() -> None:
    shifted = versions(noise=0).with_columns(
        prediction=pl.when(pl.col("origin") == "JFK").then(pl.col("prediction") * 0.5).otherwise("prediction")
    )
    passes, sentence = alike(shifted)
    assert not passes
    assert "for JFK and" in sentence
    assert alike(shifted, most=0.5)[0]


@pytest.mark.parametrize("metric", ["auc", "ece"])
def test_groups_are_compared_by_quality_and_by_calibration_too(metric: str) -> None:
    noisy = versions(noise=0).with_columns(
        prediction=pl.when(pl.col("origin") == "EWR").then(1 - pl.col("prediction")).otherwise("prediction")
    )
    assert not alike(noisy, metric=metric, most=0.1)[0]


def test_a_group_too_small_to_judge_is_named_and_one_group_alone_is_not_shown_to_be_treated_alike() -> None:
    few = versions(noise=0, rows=900).with_columns(origin=pl.when(pl.int_range(pl.len()) < 12).then(pl.lit("SWF")).otherwise("origin"))
    assert "Too few examples to judge SWF." in alike(few)[1]
    passes, sentence = alike(few.filter(pl.col("origin").is_in(["SWF", "EWR"])))
    assert not passes
    assert "No two groups of origin have enough examples" in sentence


def test_a_budget_is_kept_broken_not_shown_to_be_kept_or_not_asked_for() -> None:
    assert within("size", 3.0, None, unit="MB") == []
    verdicts = [within("size", value, 2.5, unit="MB")[0] for value in (2.5, 2.6, None)]
    assert [one.passed for one in verdicts] == [True, False, False]
    assert "above its budget of 2.5 MB" in verdicts[1].sentence
    assert "was not measured" in verdicts[2].sentence


def test_a_condition_that_is_no_number_holds_when_nothing_breaks_it() -> None:
    assert condition("licence", [], kept="It is allowed.").sentence == "It is allowed."
    broken = condition("licence", ["It is not.", "Change it."], kept="")
    assert (broken.passed, broken.sentence) == (False, "It is not. Change it.")
