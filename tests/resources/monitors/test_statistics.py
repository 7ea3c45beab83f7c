"""What a frame of features is said to hold is what a count by hand gives."""

import math

import polars as pl
import pytest

from resources.monitors.statistics import STATISTICS, statistics

FRAME = pl.DataFrame(
    {
        "delay": [1.5, None, math.nan, 4.5],
        "count": [2, 4, None, 9],
        "word": ["a", "b", "a", None],
        "late": [True, False, True, None],
        "never": pl.Series([None] * 4, dtype=pl.Float64),
    }
)


def test_each_feature_is_described_by_its_kind() -> None:
    found = {row["feature"]: tuple(row.values())[1:] for row in statistics(FRAME, FRAME.columns).iter_rows(named=True)}
    assert found == {
        "delay": (4, 0.5, 3.0, 1.5, 4.5, None),
        "count": (4, 0.25, 5.0, 2.0, 9.0, None),
        "word": (4, 0.25, None, None, None, 2),
        "late": (4, 0.25, pytest.approx(2 / 3), 0.0, 1.0, None),
        "never": (4, 1.0, None, None, None, None),
    }


def test_only_the_features_asked_for_are_described_in_that_order() -> None:
    assert statistics(FRAME, ["word", "delay"])["feature"].to_list() == ["word", "delay"]
    assert statistics(FRAME, []).schema == pl.Schema(STATISTICS)


def test_a_frame_without_rows_has_no_share_and_no_mean() -> None:
    assert statistics(FRAME.clear(), ["delay", "word"]).rows() == [
        ("delay", 0, None, None, None, None, None),
        ("word", 0, None, None, None, None, 0),
    ]
