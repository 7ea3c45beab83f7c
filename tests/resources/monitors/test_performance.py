"""The performance monitor is quiet while nothing changes, fires when the losses rise, and waits for labels."""

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from resources.monitors.frames import MONITOR
from resources.monitors.performance import Baseline, Performance, daily_losses, performance

START = date(2013, 4, 1)
BASELINE = Baseline(mean=0.2, sd=0.02, days=28)


def series(losses: npt.NDArray[np.float64] | Sequence[float | None], *, completeness: float = 1.0) -> pl.DataFrame:
    days = [START + timedelta(days=n) for n in range(len(losses))]
    return pl.DataFrame(
        {
            "day": days,
            "rows": [900] * len(days),
            "settled": [round(900 * completeness)] * len(days),
            "completeness": [completeness] * len(days),
            "loss": pl.Series(losses, dtype=pl.Float64),
        }
    )


def drawn(rng: np.random.Generator, days: int, *, mean: float = 1.0, sd: float = 0.2) -> npt.NDArray[np.float64]:
    return rng.gamma(1 / sd**2, sd**2, days) * mean


def judged(found: Performance) -> int:
    """The days that count."""
    return found.rows["evidence"].count()


def test_false_alarms_are_rare_and_a_rise_is_found() -> None:
    rng = np.random.default_rng(0)
    false, delays = 0, list[int]()
    for _ in range(60):
        past = drawn(rng, 28)
        baseline = Baseline(mean=float(past.mean()), sd=float(past.std(ddof=1)), days=28)
        false += performance(series(drawn(rng, 180)), baseline=baseline).verdict == "fell"
        fired = performance(series(np.concatenate([drawn(rng, 30), drawn(rng, 120, mean=1.5)])), baseline=baseline).fired
        assert fired is not None
        delays.append((fired - START).days - 30)
    assert false <= 6
    assert np.median(delays) <= 20


def test_steady_losses_are_ok() -> None:
    found = performance(series([0.2] * 30), baseline=BASELINE)
    assert (found.verdict, found.fired, judged(found)) == ("ok", None, 30)
    assert found.sentence == "Performance holds: daily loss 0.2 over 30 days, 0.2 in the evaluation."


def test_the_day_of_the_alarm_is_the_first_with_enough_evidence() -> None:
    found = performance(series([0.2] * 10 + [0.6] * 20), baseline=BASELINE)
    assert found.verdict == "fell"
    row = found.rows.filter(pl.col("verdict") == "fell").row(0, named=True)
    assert row["day"] == found.fired
    assert row["evidence"] >= 1000
    before = found.rows.filter(pl.col("day") < row["day"])["evidence"]
    assert (before < 1000).all()
    assert f"Performance fell on {found.fired}" in found.sentence


def test_evidence_starts_anew_after_an_alarm() -> None:
    found = performance(series([0.6] * 20 + [0.2] * 5), baseline=BASELINE)
    after = found.rows.filter(pl.col("verdict") == "fell")["day"]
    assert len(after) > 1
    assert found.rows["evidence"][-1] < 1000


def test_since_keeps_the_evidence_and_speaks_of_later_days_only() -> None:
    losses = series([0.6] * 8 + [0.2] * 30)
    whole = performance(losses, baseline=BASELINE)
    assert whole.fired is not None
    later = performance(losses, baseline=BASELINE, since=START + timedelta(days=20))
    assert (later.verdict, judged(later)) == ("ok", 18)
    assert later.rows["evidence"][-1] == whole.rows["evidence"][-1]


def test_evidence_gathers_across_months() -> None:
    losses = series([0.32] * 30)
    march, april = losses.head(15), START + timedelta(days=15)
    assert performance(march, baseline=BASELINE).verdict == "ok"
    assert performance(losses.slice(15), baseline=BASELINE).verdict == "ok"
    assert performance(losses, baseline=BASELINE, since=april).verdict == "fell"


def test_unsettled_days_are_not_judged() -> None:
    found = performance(series([0.9] * 30, completeness=0.94), baseline=BASELINE)
    assert (found.verdict, judged(found)) == ("not enough labels", 0)
    assert set(found.rows["verdict"]) == {"not enough labels"}
    assert found.rows["evidence"].null_count() == 30
    assert "0 of 7 days have 95% of their labels settled" in found.sentence


def test_a_day_without_a_loss_is_passed_over() -> None:
    assert judged(performance(series([0.2, None] * 10), baseline=BASELINE)) == 10


def test_six_days_are_too_few_to_say_ok() -> None:
    assert performance(series([0.2] * 6), baseline=BASELINE).verdict == "not enough labels"
    assert performance(series([0.2] * 7), baseline=BASELINE).verdict == "ok"


def test_a_collapse_is_told_before_seven_days() -> None:
    assert performance(series([5.0] * 4), baseline=BASELINE).verdict == "fell"


def test_without_a_baseline_nothing_is_judged() -> None:
    found = performance(series([0.2] * 30), baseline=None)
    assert found.verdict == "not enough labels"
    assert "fewer than 3 days" in found.sentence
    assert found.rows["effect"].null_count() == 30


def test_rows_have_the_monitors_form_and_the_relative_excess() -> None:
    row = performance(series([0.3] * 10), baseline=BASELINE).rows
    assert dict(row.schema) == dict(MONITOR)
    assert set(row["column"]) == {"performance"}
    assert row["effect"].to_list() == pytest.approx([0.5] * 10)


def test_a_baseline_needs_three_days() -> None:
    assert Baseline.of(series([0.1, 0.2])) is None
    found = Baseline.of(series([0.1, 0.2, 0.3]))
    assert found is not None
    assert (found.mean, found.sd, found.days) == (pytest.approx(0.2), pytest.approx(0.1), 3)


def test_the_bound_lies_above_the_mean_by_its_uncertainty_and_at_least_five_percent() -> None:
    assert Baseline(mean=1, sd=0, days=7).bound == pytest.approx(1.05)
    assert Baseline(mean=1, sd=0.5, days=7).bound == pytest.approx(1 + 1.943 * 0.5 / 7**0.5, rel=0.01)
    assert Baseline(mean=0, sd=0, days=7).bound > 0


def test_a_perfect_model_that_errs_has_fallen() -> None:
    assert performance(series([0.0] * 5 + [0.1]), baseline=Baseline(mean=0, sd=0, days=7)).verdict == "fell"


def test_daily_losses_count_settled_labels_and_average_the_known() -> None:
    frame = pl.DataFrame(
        {
            "day": [START] * 4 + [START + timedelta(days=1)],
            "prediction": [0.5, 0.0, 1.0, 0.3, 0.9],
            "label": [1.0, 0.0, None, None, None],
            "settled": [True, True, True, False, False],
        }
    )
    first, second = daily_losses(frame, task="classification").to_dicts()
    assert first == {"day": START, "rows": 4, "settled": 3, "completeness": 0.75, "loss": 0.125}
    assert (second["loss"], second["completeness"]) == (None, 0)
    assert daily_losses(frame, task="regression")["loss"][0] == pytest.approx(0.25)
    assert daily_losses(frame.drop("settled"), task="regression")["settled"].to_list() == [2, 0]
