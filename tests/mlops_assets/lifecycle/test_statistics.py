"""The page of a feature view: all features in a table, numbers to draw, no single value above level internal."""

from typing import Any

import polars as pl
import pytest

from mlops_assets.lifecycle.statistics import described_rows, markdown_table

FRAME = pl.DataFrame({"stall": ["east"] * 3, "wait": [10.0, None, 31.25], "mood": ["fair", "foul", "fair"]})


@pytest.mark.parametrize(("level", "shown"), [("public", True), ("internal", True), ("confidential", False), ("restricted", False)])
def test_a_page_shows_shares_and_means_and_single_values_up_to_internal(level: Any, shown: bool) -> None:  # noqa: FBT001  a column of the table
    page = described_rows(FRAME, ["wait", "mood"], level=level)
    assert {name: value for name, value in page.items() if name != "statistics"} == {
        "nulls/wait": 0.3333, "nulls/mood": 0.0, "mean/wait": 20.62
    }  # fmt: skip
    text = page["statistics"].value
    assert "| wait | 3 | 0.3333 | 20.6" in text
    assert ("31.25" in text) == shown
    assert ("| min | max |" in text) == shown


def test_a_table_is_markdown_whatever_is_in_it() -> None:
    assert markdown_table(["a", "b"], [("x|y", 12345), (None, 0.5)]) == "| a | b |\n| --- | --- |\n| x\\|y | 12,345 |\n|  | 0.5 |"
