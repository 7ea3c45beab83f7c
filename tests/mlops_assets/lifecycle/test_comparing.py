"""Which versions can be compared, on which rows."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from mlops_assets.lifecycle.comparing import NothingToCompare, evaluated, newest_and_rival, shared, side, sides
from resources.lake import LocalLake
from resources.registry.comparison import Side
from resources.registry.ledger import Ledger
from resources.registry.releases import Release
from resources.registry.resource import Registry
from tests.mlops_assets.lifecycle.orders import LATE, NOON, PACKAGE
from tests.mlops_assets.lifecycle.test_reporting import held_out, version

FIRST, SECOND = version("a"), version("b", item=-0.02, trained_until="2020-01-27")


@pytest.fixture
def lake(tmp_path: Path) -> LocalLake:
    """The newest training set, and the evaluation of the first version."""
    one = LocalLake(root=str(tmp_path / "lake"))
    one.replace("training_set/late/examples", held_out(), partition="2020-01")
    one.replace("model/late/parts", pl.DataFrame({"content_hash": [FIRST.content_hash]}), partition="2020-01")
    rows = {"metric": ["auc", "auc"], "slice_by": ["all"] * 2, "slice": ["all"] * 2, "value": [0.8, 0.7], "version": ["candidate", "live"]}
    one.replace("evaluation/late/holdout", pl.DataFrame(rows).with_columns(low=0.7, high=0.9, rows=9), partition="2020-01")
    return one


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(ledger_url=f"sqlite:///{tmp_path}/ledger.db", releases_root=str(tmp_path / "releases"))


def beside(lake: LocalLake, rows: pl.DataFrame, *, here: str = "c", one: Release = SECOND) -> Side:
    return side(LATE, lake, one, FIRST, rows, here=here, about=("version 2", 9))


def test_the_rows_are_those_that_are_new_to_every_version(lake: LocalLake) -> None:
    rows = shared(LATE, lake, [FIRST, SECOND])
    assert rows["day"].min() == date(2020, 1, 27)
    assert 0 < rows.height < held_out().height


def test_a_version_is_measured_against_the_first_with_intervals_by_day(lake: LocalLake) -> None:
    found = beside(lake, held_out())
    assert found.alone == ""
    assert {one.metric for one in found.differences if one.slice_by == "all"} == {"auc", "log_loss", "brier", "ece"}
    assert {one.slice for one in found.differences if one.slice_by == "stall"} == {"east", "west"}
    assert found.differences[0].worse
    assert set(found.pictures) == {"calibration", "importance"}


def test_a_version_of_other_code_or_features_stands_alone_and_says_why(lake: LocalLake) -> None:
    assert beside(lake, held_out(), here="other").alone.startswith("it was released with other code")
    moved = replace(SECOND, record={**SECOND.record, "identity": {**SECOND.record["identity"], "views": {"stall_lately": "v2"}}})
    assert beside(lake, held_out(), one=moved).alone.startswith("it reads other definitions of features")
    assert beside(lake, held_out().clear()).alone == "no example is new to all these versions."


def test_an_evaluation_is_a_versions_own_only_while_its_month_holds_it(lake: LocalLake) -> None:
    assert evaluated(LATE, lake, FIRST)["value"].to_list() == [0.8]
    assert evaluated(LATE, lake, SECOND).is_empty()


@pytest.mark.parametrize("asked", [[], [1], [1, 7]])
def test_fewer_than_two_known_versions_are_refused(registry: Registry, lake: LocalLake, asked: list[int]) -> None:
    with pytest.raises(NothingToCompare, match="cannot be compared; the ledger knows 0 of it"):
        sides(LATE, registry, lake, asked, package=PACKAGE)


def test_without_names_the_newest_is_measured_against_the_live_version_or_the_one_before_it(registry: Registry) -> None:
    def say(kind: str, number: int) -> list[int]:
        payload = {"content_hash": str(number) * 64, "version": number}
        ledger.append("late", kind, payload, expect_head=ledger.head("late"), actor="t", data_at=NOON)
        return newest_and_rival(registry, "late")

    ledger = Ledger(registry.ledger_url)
    assert newest_and_rival(registry, "late") == []
    assert [say(kind, 1) for kind in ("registered", "approved", "promoted")][-1] == [1]
    assert say("registered", 2) == [1, 2]
    assert say("registered", 3) == [1, 3]
    assert [say(kind, 3) for kind in ("approved", "promoted")][-1] == [2, 3]
