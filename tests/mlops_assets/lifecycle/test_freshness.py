"""A view is judged by what it promises itself and by the data clock, and a warning says what to do."""

from dataclasses import replace
from datetime import timedelta

import dagster as dg
import pytest

from mlops_assets.keys import table
from mlops_assets.lifecycle.freshness import fresh_specs, freshness, promise
from mlops_assets.windows import days, hours, mean
from tests.mlops_assets.lifecycle.orders import LATELY, NOON, SEATS, Orders

ONLINE = table(LATELY.address, stage="online")
TICK = timedelta(microseconds=1)


def test_a_view_promises_its_ttl_or_its_longest_window_or_nothing() -> None:
    assert promise(replace(SEATS, ttl=hours(6))) == hours(6)
    assert promise(replace(LATELY, features={"a": mean(Orders.wait, over=hours(1)), "b": mean(Orders.wait, over=days(7))})) == days(7)
    assert promise(SEATS) is None


@pytest.mark.parametrize(("age", "passed"), [(timedelta(0), True), (hours(2), True), (hours(2) + TICK, False), (None, False)])
def test_a_row_at_the_end_of_the_promise_is_fresh_and_a_tick_later_it_is_not(age: timedelta | None, passed: bool) -> None:  # noqa: FBT001  a column of the table
    (check,) = freshness(ONLINE, LATELY, None if age is None else NOON - age, now=NOON)
    assert check.passed == passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert (check.description is None) == passed


def test_the_warning_names_the_view_what_it_promises_and_the_table_to_deliver() -> None:
    (check,) = freshness(ONLINE, LATELY, NOON - hours(3), now=NOON)
    assert str(check.description).startswith("stall/lately promises rows at most 2 h old; at 2020-01-10 17:00 UTC its newest row is of")
    assert "Deliver counter/orders" in str(check.description)
    assert check.metadata["age_hours"].value == 3


def test_a_view_that_promises_nothing_has_no_check() -> None:
    assert list(fresh_specs(ONLINE, SEATS)) == list(freshness(ONLINE, SEATS, None, now=NOON)) == []
    (spec,) = fresh_specs(ONLINE, LATELY)
    assert (spec.name, spec.blocking) == ("fresh", False)
