"""Examples at their prediction instant, and labels as known at an instant."""

from datetime import UTC as ZONE
from datetime import date, datetime, timedelta

import pytest

from mlops_assets.lifecycle.examples import labels, spine
from tests.mlops_assets.lifecycle.orders import CALENDAR, LATE, NOON, WAIT, order, orders

LATER = NOON + timedelta(days=10)


def test_an_example_is_its_key_its_own_features_and_the_instant_of_its_prediction() -> None:
    found = spine(LATE, orders(order("a", items=3)), calendar=CALENDAR, until=LATER)
    assert found.to_dicts() == [
        {
            "order_id": "a", "stall": "east", "items": 3, "predict_at": NOON - timedelta(hours=1), "row_id": "a",
            "day": date(2020, 1, 10), "example_month": "2020-01",
        }
    ]  # fmt: skip


def test_what_is_not_known_at_the_prediction_is_no_column_of_an_example() -> None:
    found = spine(LATE, orders(order("a")), calendar=CALENDAR, until=LATER)
    assert {"wait", "handed_at", "lost", "label"}.isdisjoint(found.columns)


def test_the_day_is_the_local_one() -> None:
    late_evening = datetime(2020, 1, 11, 3, tzinfo=ZONE)  # ten in the evening of the tenth in New York
    found = spine(LATE, orders(order("a", due=late_evening)), calendar=CALENDAR, until=LATER)
    assert found["day"].to_list() == [date(2020, 1, 10)]


def test_an_order_placed_after_its_prediction_is_no_example() -> None:
    placed_late = order("b", placed_at=NOON - timedelta(minutes=59))
    placed_just = order("c", placed_at=NOON - timedelta(minutes=60))
    assert spine(LATE, orders(placed_late, placed_just), calendar=CALENDAR, until=LATER)["order_id"].to_list() == ["c"]


def test_examples_end_where_the_stretch_ends_and_stand_in_the_order_of_time() -> None:
    rows = orders(order("b", due=NOON + timedelta(hours=2)), order("a", due=NOON + timedelta(hours=1)), order("c", due=NOON))
    until = NOON + timedelta(hours=1)  # the prediction instant of b, which is not before it
    assert spine(LATE, rows, calendar=CALENDAR, until=until)["order_id"].to_list() == ["c", "a"]


@pytest.mark.parametrize(("wait", "label"), [(19.99, 0.0), (20.0, 1.0), (50.0, 1.0)])
def test_a_threshold_label_is_one_from_the_threshold_on(wait: float, label: float) -> None:
    found = labels(LATE, orders(order("a", wait=wait)), until=LATER).row(0, named=True)
    assert (found["label"], found["label_state"]) == (label, "mature")


def test_a_value_label_is_the_value() -> None:
    assert labels(WAIT, orders(order("a", wait=12.5)), until=LATER)["label"].to_list() == [12.5]


def test_a_label_is_pending_until_it_is_known_and_absent_when_it_will_never_come() -> None:
    rows = orders(order("soon", wait=30.0), order("never", wait=None, lost=True))
    before, after = NOON + timedelta(minutes=29), NOON + timedelta(minutes=30)
    assert labels(LATE, rows, until=NOON - timedelta(hours=1))["label_state"].to_list() == ["pending", "pending"]
    assert labels(LATE, rows, until=before)["label_state"].to_list() == ["pending", "absent"]
    assert labels(LATE, rows, until=after)["label_state"].to_list() == ["mature", "absent"]
    assert labels(LATE, rows, until=before)["label"].to_list() == [None, None]


def test_a_correction_counts_from_the_day_it_was_ingested() -> None:
    first, corrected = order("a", wait=5.0), order("a", wait=40.0, ingested_at=datetime(2020, 3, 1, tzinfo=ZONE))
    rows = orders(first, corrected)
    assert labels(WAIT, rows, until=datetime(2020, 2, 29, tzinfo=ZONE))["label"].to_list() == [5.0]
    assert labels(WAIT, rows, until=datetime(2020, 3, 1, tzinfo=ZONE))["label"].to_list() == [40.0]
