"""What data unlike the flights taught the platform: months that end early or are empty, keys that are features, names of its own."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from types import new_class
from typing import Any, cast

import polars as pl
import pytest

from mlops_assets.flights.catalogue import CATALOGUE
from mlops_assets.lifecycle.training import split
from mlops_assets.replay.months import Replay
from mlops_assets.specs import Catalogue
from mlops_assets.table import UTC, DeclarationError, Table, column
from resources.inbox import Inbox
from resources.serving.scoring import prediction_ids

SPEC = CATALOGUE.models[0]


def examples(last: date) -> pl.DataFrame:
    days = [date(2013, 1, 1) + timedelta(days=n) for n in range((last - date(2013, 1, 1)).days + 1)]
    return pl.DataFrame({"day": days, "label": 1.0})


@pytest.mark.parametrize(
    ("last", "held_out_from"),
    [(date(2013, 3, 31), date(2013, 3, 25)), (date(2013, 3, 18), date(2013, 3, 12)), (date(2013, 4, 2), date(2013, 3, 25))],
)
def test_the_held_out_days_are_the_last_that_have_examples_and_never_after_the_cut_off(last: date, held_out_from: date) -> None:
    data, first = split(SPEC, examples(last), cutoff="2013-03")
    assert first == held_out_from
    assert data.validation["day"].max() == held_out_from - timedelta(days=1)


def test_a_column_may_name_an_example_and_be_a_feature_of_it() -> None:
    frame = pl.DataFrame({"machine": ["a"], "hour": [3]})
    assert prediction_ids("h", frame, ("machine", "machine", "hour")).equals(prediction_ids("h", frame, ("machine", "hour")))


@pytest.mark.parametrize("name", ["key", "level", "columns", "available"])
def test_a_column_that_means_something_to_a_contract_is_refused_by_name(name: str) -> None:
    space = {"__annotations__": {"at": UTC, "id": str, name: str}, "id": column(unique=True)}
    with pytest.raises(DeclarationError, match=name):
        new_class("Orders", (Table,), {"available": "at"}, lambda body: body.update(space))


def test_a_month_without_rows_delivers_no_file(tmp_path: Path) -> None:
    inbox = Inbox(root=str(tmp_path))
    empty = pl.DataFrame(schema={"a": pl.String})

    def nothing(month: str | None) -> pl.DataFrame:
        assert month == "2013-01"
        return empty

    quiet = replace(CATALOGUE.sources[0], archive=nothing)
    catalogue = Catalogue(project="quiet", sources=(quiet,), views=(), models=())
    replay = Replay(catalogue=catalogue, inbox=inbox, daemon=cast("Any", None), progress=cast("Any", None))
    replay._deliver("2013-01")
    assert inbox.arrivals() == []
