"""Metrics agree with scikit-learn, intervals speak of days, and what cannot be measured is null."""

import importlib
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from resources.monitors import metrics
from resources.monitors.frames import CALIBRATION, EVALUATION
from resources.monitors.metrics import UnusableScores, calibration, day_weights, evaluate, student

START = date(2013, 4, 1)
sklearn_metrics: Any = importlib.import_module("sklearn.metrics")  # it has no types


def classified(rows: int, days: int, *, seed: int = 0, clustered: float = 0.5) -> pl.DataFrame:
    """Predictions rounded so that ties occur; each day has a shift that the model does not know."""
    rng = np.random.default_rng(seed)
    day = rng.integers(0, days, rows)
    shift = rng.normal(0, clustered, days)[day]
    x = rng.normal(size=rows)
    return pl.DataFrame(
        {
            "label": (rng.random(rows) < 1 / (1 + np.exp(1 - x - shift))).astype(float),
            "prediction": np.round(1 / (1 + np.exp(1 - x)), 2),
            "day": [START + timedelta(days=int(n)) for n in day],
            "origin": np.array(["EWR", "JFK", "LGA"])[rng.integers(0, 3, rows)],
            "carrier": rng.integers(0, 16, rows),
        }
    )


def regressed(rows: int, days: int) -> pl.DataFrame:
    rng = np.random.default_rng(1)
    day = rng.integers(0, days, rows)
    truth = rng.normal(150, 80, rows)
    return pl.DataFrame(
        {"label": truth, "prediction": truth + rng.normal(2, 9, rows), "day": [START + timedelta(days=int(n)) for n in day]}
    )


def measured(frame: pl.DataFrame, metric: str, value: str = "all") -> dict[str, float | None]:
    return frame.filter((pl.col("metric") == metric) & (pl.col("slice") == value)).row(0, named=True)


def arrays(frame: pl.DataFrame) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    return frame["label"].to_numpy(), frame["prediction"].to_numpy()


def test_classification_metrics_are_those_of_scikit_learn() -> None:
    frame = classified(5000, 7)
    label, prediction = arrays(frame)
    found = evaluate(task="classification", frame=frame, slices=(), seed=1)
    assert dict(found.schema) == dict(EVALUATION)
    assert measured(found, "auc")["value"] == pytest.approx(sklearn_metrics.roc_auc_score(label, prediction), abs=1e-12)
    assert measured(found, "log_loss")["value"] == pytest.approx(sklearn_metrics.log_loss(label, prediction), abs=1e-12)
    assert measured(found, "brier")["value"] == pytest.approx(sklearn_metrics.brier_score_loss(label, prediction), abs=1e-12)
    assert measured(found, "base_rate")["value"] == pytest.approx(label.mean())


def test_regression_metrics_are_those_of_scikit_learn() -> None:
    frame = regressed(4000, 7)
    label, prediction = arrays(frame)
    found = evaluate(task="regression", frame=frame, slices=(), seed=1)
    assert measured(found, "mae")["value"] == pytest.approx(sklearn_metrics.mean_absolute_error(label, prediction))
    assert measured(found, "rmse")["value"] == pytest.approx(sklearn_metrics.root_mean_squared_error(label, prediction))
    assert measured(found, "r2")["value"] == pytest.approx(sklearn_metrics.r2_score(label, prediction))
    assert measured(found, "bias")["value"] == pytest.approx((prediction - label).mean())


def test_auc_of_a_replicate_is_that_of_the_days_drawn() -> None:
    frame = classified(1500, 4)
    data = metrics.scored(frame, task="classification")
    weights = np.array([[2.0, 0.0, 1.0, 1.0]])
    label, prediction = arrays(frame)
    drawn = np.repeat(np.arange(1500), weights[0][data.day].astype(int))
    found = metrics.evidence(data, task="classification").value("auc", weights)[0]
    assert found == pytest.approx(sklearn_metrics.roc_auc_score(label[drawn], prediction[drawn]), abs=1e-12)


def test_each_pair_of_days_counts_its_wins_and_a_tie_by_half() -> None:
    data = metrics.scored(classified(120, 4), task="classification")
    wins = metrics.evidence(data, task="classification").wins
    assert wins is not None
    won, lost = ([data.prediction[(data.day == day) & (data.label == kind)] for day in range(4)] for kind in (1, 0))
    expected = [[float(((mine[:, None] > other) + 0.5 * (mine[:, None] == other)).sum()) for other in lost] for mine in won]
    assert wins.tolist() == expected


def test_calibration_error_is_zero_for_a_calibrated_model_and_the_gap_for_a_shifted_one() -> None:
    frame = pl.DataFrame({"label": [0.0, 1.0] * 500, "prediction": [0.5] * 1000, "day": [START, START + timedelta(days=1)] * 500})
    assert measured(evaluate(task="classification", frame=frame, slices=(), seed=0), "ece")["value"] == pytest.approx(0)
    shifted = frame.with_columns(prediction=pl.lit(0.8))
    assert measured(evaluate(task="classification", frame=shifted, slices=(), seed=0), "ece")["value"] == pytest.approx(0.3)


def test_intervals_cover_the_truth_of_clustered_days_about_as_often_as_they_say() -> None:
    truth = float(classified(200_000, 2000, seed=99)["label"].to_numpy().mean())
    rows = [
        measured(evaluate(task="classification", frame=classified(1400, 7, seed=n), slices=(), seed=n), "base_rate") for n in range(100)
    ]
    covered = sum((row["low"] or 0) <= truth <= (row["high"] or 0) for row in rows)
    assert 89 <= covered <= 99


def test_a_slice_that_is_too_small_or_has_one_class_has_no_value() -> None:
    frame = classified(3000, 7).with_columns(
        group=pl.when(pl.int_range(pl.len()) < 99)
        .then(pl.lit("small"))
        .when(pl.col("label") == 1)
        .then(pl.lit("one class"))
        .otherwise(None)
    )
    found = evaluate(task="classification", frame=frame, slices=["group"], seed=1)
    assert measured(found, "auc", "small")["value"] is None
    assert measured(found, "auc", "small")["rows"] == 99
    assert measured(found, "log_loss", "one class")["value"] is None
    assert measured(found, "auc", "(null)")["low"] is None


def test_slices_carry_the_main_metrics_largest_first_and_at_most_fifty() -> None:
    frame = classified(6000, 7).with_columns(many=pl.int_range(pl.len()) % 70)
    found = evaluate(task="classification", frame=frame, slices=["carrier", "many"], seed=1)
    sliced = found.filter(pl.col("slice_by") == "carrier")
    assert set(sliced["metric"]) == {"auc", "log_loss"}
    assert sliced["rows"].is_sorted(descending=True)
    assert found.filter(pl.col("slice_by") == "many")["slice"].n_unique() == 50


def test_a_slice_is_measured_on_its_own_rows() -> None:
    frame = classified(3000, 7)
    mine = frame.filter(pl.col("origin") == "JFK")
    found = evaluate(task="classification", frame=frame, slices=["origin"], seed=1)
    assert measured(found, "auc", "JFK")["value"] == pytest.approx(sklearn_metrics.roc_auc_score(*arrays(mine)), abs=1e-12)


def test_equal_seeds_give_equal_intervals_and_others_do_not() -> None:
    frame = classified(2000, 7)
    first, again, other = (evaluate(task="classification", frame=frame, slices=(), seed=seed) for seed in (3, 3, 4))
    assert first.equals(again)
    assert not first.equals(other)


def test_two_days_give_a_value_without_an_interval() -> None:
    row = measured(evaluate(task="classification", frame=classified(900, 2), slices=(), seed=1), "auc")
    assert row["value"] is not None
    assert row["low"] is None
    assert row["high"] is None


def test_no_rows_give_null_values() -> None:
    found = evaluate(task="classification", frame=classified(10, 2).clear(), slices=["origin"], seed=1)
    assert found["value"].null_count() == found.height == 5
    assert day_weights(0, seed=1).shape == (200, 0)


def test_bounds_stay_within_what_the_metric_can_be() -> None:
    frame = classified(600, 4, clustered=2.0)
    found = evaluate(task="classification", frame=frame, slices=(), seed=1)
    assert (found["low"] >= 0).all()
    assert measured(found, "ece")["low"] == 0


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("prediction", [0.2, None, 0.4, 0.1], "prediction: 1 values are null or not finite"),
        ("prediction", [0.2, float("nan"), float("inf"), 0.1], "prediction: 2 values are null or not finite"),
        ("prediction", [0.2, 1.2, 0.4, 0.1], "prediction: 1 values are not probabilities"),
        ("label", [0.0, 2.0, 1.0, 0.0], "label: 1 values are neither 0 nor 1"),
        ("label", [0.0, None, 1.0, 0.0], "label: 1 values are null"),
        ("day", [START, None, START, START], "day: 1 values are null"),
    ],
)
def test_values_that_no_metric_can_use_are_refused_by_name(column: str, values: list[object], said: str) -> None:
    frame = pl.DataFrame({"label": [0.0, 1.0, 1.0, 0.0], "prediction": [0.2, 0.8, 0.4, 0.1], "day": [START] * 4})
    with pytest.raises(UnusableScores, match=said):
        evaluate(task="classification", frame=frame.with_columns(pl.Series(column, values)), slices=(), seed=1)


def test_calibration_bins_hold_every_row_and_its_means() -> None:
    frame = classified(3000, 7)
    found = calibration(frame)
    assert dict(found.schema) == dict(CALIBRATION)
    assert found["rows"].sum() == 3000
    assert found["predicted"].is_sorted()
    assert (found["rows"] * found["observed"]).sum() == pytest.approx(frame["label"].sum())
    assert ((found["low"] <= found["observed"]) & (found["observed"] <= found["high"])).all()
    assert found["low"].min() >= 0  # pyright: ignore[reportOptionalOperand, reportOperatorIssue]  no null in this frame


@pytest.mark.parametrize(("freedom", "expected"), [(6, 2.4469), (10, 2.2281), (29, 2.0452)])
def test_the_t_quantile_is_that_of_the_tables(freedom: int, expected: float) -> None:
    assert student(0.95, freedom=freedom) == pytest.approx(expected, rel=0.005)
