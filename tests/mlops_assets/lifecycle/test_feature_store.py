"""How far back a load of online rows reads."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import dagster as dg
import pytest

from mlops_assets.keys import table
from mlops_assets.lifecycle.feature_store import unread_from
from mlops_assets.lifecycle.features import months_back
from tests.mlops_assets.lifecycle.orders import LATE

VIEW = LATE.views[0]
NOW = "a" * 64
MONTHS = ("2020-01", "2020-02", "2020-03", "2020-04")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance in which four months of the view were built."""
    with dg.DagsterInstance.ephemeral() as one:  # pyright: ignore[reportUnknownMemberType]  a parameter of dagster's is
        for month in MONTHS:
            one.report_runless_asset_event(dg.AssetMaterialization(table(VIEW.address, stage="feature"), partition=month))
        yield one


def first(instance: dg.DagsterInstance, loaded: Sequence[str], *, definition: str = NOW[:16]) -> str | None:
    return unread_from(instance, VIEW, dict.fromkeys(loaded, definition), month="2020-04", now=NOW)


def test_a_load_reads_as_far_as_the_longest_window_once_every_earlier_month_was_loaded(instance: dg.DagsterInstance) -> None:
    assert months_back(VIEW) == 1
    assert first(instance, MONTHS[:2]) == "2020-03"


def test_a_load_reads_everything_into_an_empty_store_and_where_a_month_was_left_out(instance: dg.DagsterInstance) -> None:
    assert first(instance, ()) is None
    assert first(instance, ["2020-02", "2020-03"]) is None


def test_months_that_were_loaded_with_another_definition_do_not_count(instance: dg.DagsterInstance) -> None:
    assert first(instance, MONTHS, definition="b" * 16) is None


def test_a_whole_table_is_read_whole(instance: dg.DagsterInstance) -> None:
    whole = replace(VIEW, source=replace(VIEW.source, partitions=None))
    assert unread_from(instance, whole, dict.fromkeys(MONTHS, NOW[:16]), month="2020-04", now=NOW) is None
