"""Windowed features as they are declared: what they say of themselves, and what cannot be meant."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from mlops_assets.table import DeclarationError
from mlops_assets.windows import Threshold, Window, at_least, count, days, hours, maximum, mean, minimum
from tests.mlops_assets.lifecycle.orders import Orders, Stalls

SAID: list[tuple[Window, str]] = [
    (mean(Orders.wait, over=days(30)), "mean of wait over 30 d, by handed_at"),
    (count(Orders.stall, over=hours(3)), "count of stall over 3 h, by placed_at"),
    (mean(at_least(Orders.wait, 20), over=hours(1.5)), "mean of wait >= 20 over 1.5 h, by handed_at"),
    (maximum(Orders.items, over=days(1), at=Orders.due_at, ahead=hours(2)), "max of items over 1 d up to 2 h ahead, by due_at"),
    (minimum(Stalls.seats, over=days(1), at=Orders.due_at), "min of seats over 1 d, by due_at"),
]


@pytest.mark.parametrize(("window", "said"), SAID)
def test_a_window_says_what_it_counts_over_which_time_and_by_which_instant(window: Window, said: str) -> None:
    assert window.describe() == said


def test_a_window_counts_by_the_instant_from_which_its_values_are_known() -> None:
    window = mean(Orders.wait, over=days(1))
    assert (window.at.name, window.at.table, window.column, window.ahead) == ("handed_at", "Orders", Orders.wait, timedelta(0))


REFUSED: list[tuple[Callable[[], Window | Threshold], str]] = [
    (
        lambda: mean("wait", over=days(1)),
        "'wait' is not a column: write it as an attribute of its contract, e.g. Departures.arrival_delay.",
    ),
    (lambda: mean(Orders.wait, over=days(1), at="due_at"), "'due_at' is not a column: write it as an attribute of its contract"),
    (lambda: at_least(20, 20), "20 is not a column: write it as an attribute of its contract"),
    (lambda: at_least(Orders.stall, 20), "Orders.stall: it is String, not a number. Only `count` takes any column."),
    (lambda: maximum(Orders.lost, over=days(1)), "Orders.lost: it is Boolean, not a number. Only `count` takes any column."),
    (lambda: mean(Stalls.seats, over=days(1)), "mean of Stalls.seats: it was always known, so a window over it needs `at=` an instant"),
    (lambda: count(Orders.wait, over=days(1), at=Orders.items), "count of Orders.wait: at=Orders.items is Int64. Give `at=` an instant"),
    (
        lambda: count(Orders.wait, over=days(0)),
        "count of Orders.wait: over=0:00:00, ahead=0:00:00: `over` must be positive and `ahead` not",
    ),
    (lambda: count(Orders.wait, over=days(1), ahead=hours(-1)), "count of Orders.wait: over=1 day, 0:00:00, ahead=-1 day, 23:00:00: `over"),
]


@pytest.mark.parametrize(("declare", "sentence"), REFUSED)
def test_a_window_that_cannot_be_meant_is_refused(declare: Callable[[], Window | Threshold], sentence: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        declare()
    assert str(refused.value).startswith(sentence)
