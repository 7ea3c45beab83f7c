"""Drift is a distance that a column did not show lately; without a history there is no verdict."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from resources.monitors.drift import MIN_ROWS, _beyond, drift, robust_z, summary
from resources.monitors.frames import MONITOR
from resources.monitors.profiles import Reference, daily_profile

START = date(2013, 1, 7)
NAMES = ("delay", "carrier", "humid")


def flights(days: int = 90, *, rows: int = 800, seed: int = 0) -> pl.DataFrame:
    """A weekly rhythm: at weekends delays are shorter and one carrier flies less; humidity is never null."""
    rng = np.random.default_rng(seed)
    number = np.repeat(np.arange(days), rows)
    weekend = number % 7 >= 5
    late = rng.gamma(2, 20, len(number)) * np.where(weekend, 0.5, 1.0) * np.repeat(rng.normal(1, 0.05, days), rows)
    carrier = np.where(rng.random(len(number)) < np.where(weekend, 0.2, 0.5), "UA", "DL")
    dates = pl.Series("day", [START + timedelta(days=n) for n in range(days)]).gather(number)
    return pl.DataFrame({"day": dates, "delay": late, "carrier": carrier, "humid": rng.normal(60, 10, len(number))})


def judged(frame: pl.DataFrame, *, since: date | None = None) -> pl.DataFrame:
    reference = Reference.of(flights(days=28), columns=NAMES)
    return drift(daily_profile(frame, columns=NAMES, reference=reference), reference=reference, since=since or START)


def on(day: int) -> pl.Expr:
    return pl.col("day") == START + timedelta(days=day)


def verdict(found: pl.DataFrame, day: int, column: str) -> str:
    return found.filter(on(day) & (pl.col("column") == column))["verdict"].item()


def test_a_weekly_rhythm_is_not_drift() -> None:
    found = judged(flights())
    assert dict(found.schema) == dict(MONITOR)
    late = found.filter(pl.col("day") >= START + timedelta(days=40))
    assert late["verdict"].value_counts().filter(pl.col("verdict") != "ok")["count"].sum() <= 3


def test_a_shifted_number_a_changed_mix_and_new_nulls_are_drift_on_the_day() -> None:
    frame = flights().with_columns(
        delay=pl.when(on(80)).then(pl.col("delay") * 1.6).otherwise("delay"),
        carrier=pl.when(on(81) & (pl.int_range(pl.len()) % 4 == 0)).then(pl.lit("XX")).otherwise("carrier"),
        humid=pl.when(on(82) & (pl.int_range(pl.len()) % 50 == 0)).then(None).otherwise("humid"),
    )
    found = judged(frame)
    assert [verdict(found, 80, "delay"), verdict(found, 81, "carrier"), verdict(found, 82, "humid")] == ["drift"] * 3
    nulls = found.filter(on(82) & (pl.col("column") == "humid")).row(0, named=True)
    assert nulls["null_effect"] == pytest.approx(0.02)
    assert nulls["null_z"] > 4
    assert nulls["z"] < 4


def test_a_distance_half_as_large_again_as_any_before_is_drift_whatever_the_spread() -> None:
    frame = flights().with_columns(carrier=pl.when(on(81) & (pl.int_range(pl.len()) % 4 == 0)).then(pl.lit("XX")).otherwise("carrier"))
    row = judged(frame).filter(on(81) & (pl.col("column") == "carrier")).row(0, named=True)
    assert row["z"] < 4
    assert row["verdict"] == "drift"


def test_the_largest_distance_counts_only_once_there_are_enough_of_them() -> None:
    history = np.full((28, 3), 0.08)
    history[0, 1] = np.nan
    assert _beyond(np.array([0.12, 0.5, 0.119]), history).tolist() == [True, False, False]
    assert _beyond(np.array([0.09]), np.full((28, 1), 0.01)).tolist() == [False]


def test_a_column_that_vanishes_is_drift() -> None:
    assert verdict(judged(flights().with_columns(humid=pl.when(on(80)).then(None).otherwise("humid"))), 80, "humid") == "drift"


def test_a_day_with_few_rows_has_no_verdict() -> None:
    frame = flights()
    thin = pl.concat([frame.filter(~on(80)), frame.filter(on(80)).head(MIN_ROWS - 1)])
    found = judged(thin)
    assert verdict(found, 80, "delay") == "not enough history"
    assert verdict(found, 79, "delay") == "ok"


def test_the_first_weeks_have_no_verdict() -> None:
    found = judged(flights(days=30))
    early = found.filter(pl.col("day") < START + timedelta(days=14 + 8))
    assert set(early["verdict"]) == {"not enough history"}
    assert set(found.filter(on(29))["verdict"]) == {"ok"}


def test_a_day_in_alarm_is_no_measure_for_later_days() -> None:
    broken = flights().with_columns(delay=pl.when(on(70)).then(pl.col("delay") * 5).otherwise("delay"))
    sound, spoilt = judged(flights()), judged(broken)
    assert verdict(spoilt, 70, "delay") == "drift"
    assert verdict(spoilt, 77, "delay") == "ok"
    effect = spoilt.filter(on(77) & (pl.col("column") == "delay"))["effect"].item()
    assert effect < 2 * sound.filter(on(77) & (pl.col("column") == "delay"))["effect"].item()


def test_a_change_too_small_to_matter_is_no_alarm_however_steady_the_column() -> None:
    frame = flights().with_columns(carrier=pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("UA")).otherwise(pl.lit("DL")))
    nudged = frame.with_columns(carrier=pl.when(on(80) & (pl.int_range(pl.len()) % 25 == 0)).then(pl.lit("XX")).otherwise("carrier"))
    row = judged(nudged).filter(on(80) & (pl.col("column") == "carrier")).row(0, named=True)
    assert row["z"] > 4
    assert row["effect"] < 0.05
    assert row["verdict"] == "ok"


def test_since_leaves_out_the_history_and_changes_no_verdict() -> None:
    since = START + timedelta(days=60)
    whole, part = judged(flights()), judged(flights(), since=since)
    assert part.equals(whole.filter(pl.col("day") >= since))


def test_the_summary_names_the_columns_with_most_days_in_alarm_first() -> None:
    frame = flights().with_columns(
        delay=pl.when(on(80)).then(pl.col("delay") * 3).otherwise("delay"),
        humid=pl.when(on(81) | on(82)).then(pl.col("humid") + 40).otherwise("humid"),
    )
    found = summary(judged(frame, since=START + timedelta(days=75)))
    assert found.verdict == "drift"
    assert [(one.column, one.alarms) for one in found.columns[:2]] == [("humid", 2), ("delay", 1)]
    assert found.alarms == 3
    assert found.sentence == f"Drift in 3 of {found.judged} column-days: humid (2), delay (1)."


def test_the_summary_of_quiet_days_says_ok_and_of_young_ones_that_it_cannot_tell() -> None:
    quiet = judged(flights()).with_columns(verdict=pl.lit("ok"))
    assert (summary(quiet).verdict, summary(quiet).alarms) == ("ok", 0)
    assert summary(quiet).sentence.startswith("No drift in ")
    young = summary(judged(flights(days=10)))
    assert young.verdict == "not enough history"
    assert young.sentence.startswith("Not enough history")


def test_many_drifted_columns_are_counted_not_listed() -> None:
    rows = pl.DataFrame(
        {"day": [START] * 8, "column": [f"c{n}" for n in range(8)], "effect": [0.5] * 8, "null_effect": [0.0] * 8}
    ).with_columns(verdict=pl.lit("drift"))
    assert summary(rows).sentence.endswith("c4 (1) and 3 more.")


def test_z_is_the_distance_on_the_log_scale_in_robust_deviations() -> None:
    history = np.array([[0.01], [0.02], [0.04], [0.08], [np.nan]])
    logs = np.log(history[:4, 0] + 0.003)
    middle = np.median(logs)
    spread = 1.4826 * np.median(np.abs(logs - middle))
    assert robust_z(np.array([0.3]), history)[0] == pytest.approx((np.log(0.303) - middle) / spread)
