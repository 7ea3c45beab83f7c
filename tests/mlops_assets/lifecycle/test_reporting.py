"""The pages about versions: the report of a training, and versions side by side."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import polars as pl

from mlops_assets.lifecycle.evaluation import judge, scored
from mlops_assets.lifecycle.reporting import comparison_page, section, training_page
from resources.monitors.gate import Difference, GateResult
from resources.registry.comparison import Side
from resources.registry.releases import Release
from tests.mlops_assets.lifecycle.orders import LATE, release

IDENTITY: dict[str, Any] = {
    "cutoff": "2020-01", "trained_until": "2020-01-25", "tables": {"table/counter/orders": {"2020-01": "a"}},
    "views": {"stall_lately": "v1"}, "params": {}, "seed": 7, "code": {}, "lock": "7" * 64,
}  # fmt: skip


def version(name: str, *, item: float = 0.05, **more: Any) -> Release:
    made = release(parts={"mean": 0.2, "item": item}, trained_until=date(2020, 1, 20), name=name * 64)
    return replace(made, record={"identity": {**IDENTITY, **more}, "provenance": {"card": "**What it says.** A <wait>."}})


def held_out() -> pl.DataFrame:
    """Seven days of orders: more items, more often late."""
    rows = range(210)
    return pl.DataFrame(
        {
            "day": [date(2020, 1, 25) + timedelta(days=number % 7) for number in rows],
            "stall": ["east" if number % 2 else "west" for number in rows],
            "items": [number % 10 for number in rows],
            "label": [float((number % 10 >= 5) != (number % 31 == 0)) for number in rows],
        }
    )


def report(results: list[GateResult] | None = None, before: Release | None = None) -> str:
    candidate = version("a")
    metrics, found = judge(LATE, scored(candidate, held_out()), version("b", item=-0.02))
    return training_page(candidate, before, metrics, found if results is None else results, {"calibration": "<svg>curve</svg>"})


def test_the_report_of_a_training_holds_gate_metrics_pictures_slices_changes_and_card() -> None:
    made = report(before=version("b", params={"trees": 5}))
    assert "The gate is passed." in made
    assert "auc floor" in made
    assert "<th>candidate</th><th>live version</th>" in made
    assert "<svg>curve</svg>" in made
    assert "stall east" in made
    assert made.count("<td class=short>better") == 6
    assert "trees is gone" in made
    assert "A &lt;wait&gt;." in made
    assert "<b>Not complete:</b> Intended use, Know before use are not said in card.md." in made


def test_a_failed_condition_is_told_at_the_top() -> None:
    failed = GateResult(name="auc floor", passed=False, value=0.5, bound=0.6, sentence="auc 0.5 is below its floor 0.6.")
    assert "1 of 1 conditions of the gate failed." in report([failed])


def test_a_first_version_has_nothing_before_it() -> None:
    assert "No version is live, so there is nothing to compare with." in report()
    assert section(None, version("a")) == "The first version."


def test_the_asset_page_says_what_changed_or_that_nothing_did() -> None:
    assert section(version("a"), version("b", seed=8)) == "- **seed**: 7 became 8"
    assert section(version("a"), version("b")).startswith("Nothing: data, features, settings, code and libraries are the same.")


def test_versions_stand_side_by_side_with_what_tells_them_apart() -> None:
    rows = pl.DataFrame(
        {"metric": ["auc"], "slice_by": ["all"], "slice": ["all"], "value": [0.8], "low": [0.7], "high": [0.9], "rows": [9]}
    )
    first = Side(name="version 1", record=version("a").record, evaluation=rows, size=2_000_000)
    difference = Difference(metric="auc", value=0.02, low=0.01, high=0.03, days=7, rows=5983)
    unknown = replace(difference, low=None, high=None, slice_by="stall", slice="east")
    second = replace(
        first, name="version 2", record=version("b", seed=8).record, differences=(difference, unknown), pictures={"c": "<svg>c</svg>"}
    )
    third = replace(first, name="version 3", evaluation=rows.clear(), alone="it was released with other code than is here.")
    made = comparison_page("late", [first, second, third])
    assert "On 5,983 examples of 7 days that none was trained on, against version 1" in made
    assert "+0.02 [+0.01, +0.03]</td><td class=short>better" in made
    assert "stall east</td><td class=short>auc</td><td class=short>+0.02</td><td class=short>not known: too few days" in made
    assert "7 became 8" in made
    assert "version 3: it was released with other code than is here." in made
    assert "2 MB" in made
    assert "<svg>c</svg>" in made
