"""Profiles count every row of every column in bins fixed by the training set, and add up."""

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from resources.monitors.frames import PROFILE
from resources.monitors.profiles import Reference, UnprofiledColumn, daily_profile

START = date(2013, 4, 1)
NAMES = ("delay", "carrier", "weekend", "seats")


def flights(rows: int = 3000, days: int = 5) -> pl.DataFrame:
    rng = np.random.default_rng(2)
    return pl.DataFrame(
        {
            "day": [START + timedelta(days=int(n)) for n in rng.integers(0, days, rows)],
            "delay": rng.gamma(2, 20, rows),
            "carrier": np.array(["UA", "DL", "B6"])[rng.integers(0, 3, rows)],
            "weekend": rng.random(rows) < 0.3,
            "seats": rng.integers(50, 60, rows),
        }
    ).with_columns(seats=pl.when(pl.col("seats") == 50).then(None).otherwise("seats"))


def test_counts_and_nulls_account_for_every_row() -> None:
    frame = flights()
    found = daily_profile(frame, columns=NAMES, reference=Reference.of(frame, columns=NAMES))
    assert dict(found.schema) == dict(PROFILE)
    assert found.height == 5 * len(NAMES)
    assert (found["counts"].list.sum() + found["nulls"] == found["rows"]).all()
    assert found.filter(pl.col("column") == "seats")["nulls"].sum() == frame["seats"].null_count()


def test_mean_and_spread_are_those_of_the_day() -> None:
    frame = flights()
    row = daily_profile(frame, columns=["delay"], reference=Reference.of(frame, columns=["delay"])).row(2, named=True)
    mine = frame.filter(pl.col("day") == row["day"])["delay"]
    assert row["mean"] == pytest.approx(mine.mean())
    assert row["sd"] == pytest.approx(mine.std())


def test_days_add_up_to_the_whole() -> None:
    frame = flights()
    reference = Reference.of(frame, columns=NAMES)
    summed = np.array(daily_profile(frame, columns=["delay"], reference=reference)["counts"].to_list()).sum(axis=0)
    assert summed.tolist() == list(reference.columns["delay"].counts)
    assert len(summed) == 65
    assert summed.max() - summed.min() <= 2


def test_a_lattice_of_numbers_keeps_one_bin_for_each() -> None:
    reference = Reference.of(flights(), columns=["seats"])
    assert reference.columns["seats"].edges == tuple(float(n) for n in range(51, 59))


def test_values_outside_the_training_set_fall_into_the_end_bins() -> None:
    frame = flights()
    reference = Reference.of(frame, columns=["delay"])
    odd = pl.DataFrame({"day": [START] * 4, "delay": [-1e9, 1e9, float("inf"), float("nan")]})
    row = daily_profile(odd, columns=["delay"], reference=reference).row(0, named=True)
    assert (row["counts"][0], row["counts"][-1], row["nulls"]) == (1, 2, 1)
    assert row["mean"] == 0


def test_categories_beyond_the_two_hundred_most_frequent_share_the_last_bin() -> None:
    training = pl.DataFrame({"tail": [f"N{n:03}" for n in range(250) for _ in range(300 - n)]})
    reference = Reference.of(training, columns=["tail"])
    assert len(reference.columns["tail"].categories) == 200
    new = pl.DataFrame({"day": [START] * 3, "tail": ["N000", "N249", "never seen"]})
    counts = daily_profile(new, columns=["tail"], reference=reference)["counts"][0]
    assert (counts[0], counts[200], len(counts)) == (1, 2, 201)


def test_a_day_without_values_has_no_mean() -> None:
    frame = pl.DataFrame({"day": [START], "delay": [None]}, schema={"day": pl.Date, "delay": pl.Float64})
    row = daily_profile(frame, columns=["delay"], reference=Reference.of(flights(), columns=["delay"])).row(0, named=True)
    assert (row["rows"], row["nulls"], row["mean"], row["sd"]) == (1, 1, None, None)


def test_other_bins_have_another_name_and_other_counts_do_not() -> None:
    frame = flights()
    twice = pl.concat([frame, frame])
    assert Reference.of(frame, columns=["weekend"]).id == Reference.of(twice, columns=["weekend"]).id
    assert Reference.of(frame, columns=["delay"]).id != Reference.of(frame.head(100), columns=["delay"]).id


def test_no_columns_give_no_rows() -> None:
    assert daily_profile(flights(), columns=(), reference=Reference(columns={})).height == 0


def test_an_instant_is_refused_by_name() -> None:
    frame = pl.DataFrame({"day": [START], "at": [datetime(2013, 4, 1)]})  # noqa: DTZ001  the zone is not the point
    with pytest.raises(UnprofiledColumn, match=r"at: Datetime.* has no profile"):
        Reference.of(frame, columns=["at"])
