"""What changed between two versions, by their records."""

from copy import deepcopy
from typing import Any

import polars as pl
import pytest

from resources.monitors.gate import Difference
from resources.registry.comparison import changes, measured

RECORD: dict[str, Any] = {
    "identity": {
        "tables": {f"feature/stall/view_{number}": {"2020-01": "a"} for number in range(8)} | {"table/shop/orders": {"2020-01": "b"}},
        "views": {"stall_lately": "v1"},
        "params": {"trees": 10},
        "seed": 7,
        "code": {"fit": "f", "score": "s"},
        "lock": "7" * 64,
    }
}


def changed(**more: Any) -> list[tuple[str, str]]:
    after = deepcopy(RECORD)
    after["identity"] |= more
    return changes(RECORD, after)


def test_equal_identities_have_no_change_whatever_their_provenance() -> None:
    assert changes(RECORD, {**RECORD, "provenance": {"mlflow_run_id": "another"}}) == []


def test_months_that_came_went_or_were_corrected_are_told_apart() -> None:
    tables = deepcopy(RECORD["identity"]["tables"])
    tables["table/shop/orders"] = {"2020-01": "corrected", "2020-02": "c"}
    del tables["feature/stall/view_0"]
    assert changed(tables=tables) == [
        ("data", "2020-01 has other rows in table/shop/orders"),
        ("data", "2020-01 is left out in feature/stall/view_0"),
        ("data", "2020-02 is new in table/shop/orders"),
    ]


def test_of_many_tables_some_are_named_and_the_others_counted() -> None:
    tables = {name: {**months, "2020-02": "c"} for name, months in RECORD["identity"]["tables"].items()}
    ((_, said),) = changed(tables=tables)
    assert said.startswith("2020-02 is new in feature/stall/view_0, ")
    assert said.endswith("view_4 and 4 more")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"views": {"stall_lately": "v2"}}, ("features", "definition of stall_lately changed")),
        ({"views": {}}, ("features", "definition of stall_lately is gone")),
        ({"views": {"stall_lately": "v1", "stall_seats": "v1"}}, ("features", "definition of stall_seats is new")),
        ({"params": {"trees": 12}}, ("settings", "trees changed from 10 to 12")),
        ({"params": {"trees": 10, "leaves": 31}}, ("settings", "leaves is new: 31")),
        ({"seed": 8}, ("seed", "7 became 8")),
        ({"code": {"fit": "other", "score": "s"}}, ("code", "the code of fit changed")),
        ({"lock": "8" * 64}, ("libraries", "lock 777777777777 became 888888888888")),
    ],
)
def test_each_thing_that_decides_a_model_is_named_when_it_changed(more: dict[str, Any], said: tuple[str, str]) -> None:
    assert changed(**more) == [said]


def test_only_overall_metrics_with_a_value_are_shown() -> None:
    rows = [("auc", "all", 0.8, 0.7, 0.9), ("auc", "stall", 0.9, None, None), ("ece", "all", None, None, None)]
    frame = pl.DataFrame(rows, schema=["metric", "slice_by", "value", "low", "high"], orient="row")
    assert [str(one) for one in measured(frame)] == ["0.8 [0.7, 0.9]"]


@pytest.mark.parametrize(
    ("metric", "low", "high", "better", "worse"),
    [
        ("auc", 0.01, 0.02, True, False),
        ("mae", 0.01, 0.02, False, True),
        ("auc", -0.01, 0.02, False, False),
        ("auc", None, None, False, False),
    ],
)
def test_a_difference_is_better_or_worse_when_its_whole_interval_is(
    metric: str, low: float | None, high: float | None, *, better: bool, worse: bool
) -> None:
    one = Difference(metric=metric, value=0.0, low=low, high=high, days=7, rows=100)
    assert (one.better, one.worse) == (better, worse)
