"""The window engine against its definition, row by row and instant by instant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from resources.feature_store.windows import TooLargeToSum, WindowColumn, windowed

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = datetime(2013, 1, 1, tzinfo=UTC)
END = datetime(2013, 2, 1, tzinfo=UTC)
INSTANT = pl.Datetime("us", "UTC")
MINUTE = timedelta(minutes=1)
FOREVER = datetime(9999, 1, 1, tzinfo=UTC)
SCHEMA = {
    "carrier": pl.String, "origin": pl.String, "delay": pl.Float64, "stops": pl.Int64, "scheduled": INSTANT, "landed": INSTANT,
    "known_from": INSTANT, "known_until": INSTANT,
}  # fmt: skip

Row = Mapping[str, Any]


def minutes(n: int) -> datetime:
    return START + n * MINUTE


def row(
    delay: float | None,
    landed: int | None,
    *,
    carrier: str | None = "UA",
    known_from: datetime = EPOCH,
    known_until: datetime | None = None,
) -> dict[str, Any]:
    at = None if landed is None else minutes(landed)
    return {
        "carrier": carrier, "origin": "JFK", "delay": delay, "stops": 0, "scheduled": at, "landed": at,
        "known_from": known_from, "known_until": known_until,
    }  # fmt: skip


def frame(rows: Sequence[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def over_delay(kind: Any, n: int, **more: Any) -> WindowColumn:
    given: dict[str, Any] = {
        "name": kind,
        "kind": kind,
        "value": "delay",
        "at": "landed",
        "available": "landed",
        "over": n * MINUTE,
        **more,
    }
    return WindowColumn(**given)


def emitted(rows: Sequence[Row], *columns: WindowColumn) -> list[tuple[Any, ...]]:
    """Minute of emission, then the values of the columns."""
    made = windowed(frame(rows), keys=["carrier"], columns=columns, since=START, until=END)
    return [((line["event_timestamp"] - START) // MINUTE, *(line[column.name] for column in columns)) for line in made.to_dicts()]


# --- the definition, slowly ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Interval:
    enter: datetime
    leave: datetime
    value: float


def interval(version: Row, column: WindowColumn) -> Interval | None:
    value, at = version[column.value], version[column.at]
    available = EPOCH if column.available is None else version[column.available]
    if value is None or at is None or available is None:
        return None
    enter = max(at - column.ahead, available, version["known_from"])
    leave = min(at - column.ahead + column.over, version["known_until"] or FOREVER)
    number = value if column.threshold is None else float(value >= column.threshold)
    return Interval(enter, leave, number) if enter < leave else None


def aggregate(kind: str, values: Sequence[float]) -> float | None:
    if kind == "count":
        return len(values)
    if not values:
        return None
    if kind == "mean":
        return sum(round(value * 2**20) for value in values) / 2**20 / len(values)
    return max(values) if kind == "max" else min(values)


def slowly(
    rows: Sequence[Row], keys: Sequence[str], columns: Sequence[WindowColumn], since: datetime, until: datetime
) -> list[dict[str, Any]]:
    entities = sorted({tuple(version[key] for key in keys) for version in rows if None not in [version[key] for key in keys]})
    made: list[dict[str, Any]] = []
    for entity in entities:
        own = [version for version in rows if tuple(version[key] for key in keys) == entity]
        by_column = {column: [found for version in own if (found := interval(version, column))] for column in columns}
        instants = {edge for found in by_column.values() for one in found for edge in (one.enter, one.leave)}
        for instant in sorted(instant for instant in instants if since <= instant < until):
            values = {
                column.name: aggregate(column.kind, [one.value for one in found if one.enter <= instant < one.leave])
                for column, found in by_column.items()
            }
            made.append({**dict(zip(keys, entity, strict=True)), **values, "event_timestamp": instant})
    return made


# --- what may come ------------------------------------------------------------------------------------------------------------------

moments = st.integers(0, 60).map(minutes)
delays = st.one_of(st.none(), st.integers(-40, 40).map(float), st.floats(-1000, 1000, allow_nan=False))


@st.composite
def stories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Versions of a few rows: each from the epoch or late, some corrected once or twice."""
    rows: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(0, 8))):
        carrier, origin = draw(st.sampled_from(["UA", "AA", None])), draw(st.sampled_from(["JFK", "EWR"]))
        turns = sorted(draw(st.sets(moments, max_size=2)))
        starts = [draw(st.sampled_from([EPOCH, minutes(3), minutes(20)])), *turns]
        for start, end in zip(starts, [*turns, None], strict=True):
            rows.append(
                {
                    "carrier": carrier,
                    "origin": origin,
                    "delay": draw(delays),
                    "stops": draw(st.one_of(st.none(), st.integers(0, 3))),
                    "scheduled": draw(st.one_of(st.none(), moments)),
                    "landed": draw(st.one_of(st.none(), moments)),
                    "known_from": start,
                    "known_until": end,
                }
            )
    return rows


@st.composite
def aggregates(draw: st.DrawFn) -> list[WindowColumn]:
    return [
        WindowColumn(
            name=f"feature_{n}",
            kind=draw(st.sampled_from(["mean", "count", "max", "min"])),
            value=draw(st.sampled_from(["delay", "stops"])),
            threshold=draw(st.sampled_from([None, 1.0, 15.0])),
            at=draw(st.sampled_from(["landed", "scheduled"])),
            available=draw(st.sampled_from([None, "landed", "scheduled"])),
            over=draw(st.integers(1, 40)) * MINUTE,
            ahead=draw(st.sampled_from([0, 0, 5, 30])) * MINUTE,
        )
        for n in range(draw(st.integers(1, 3)))
    ]


@dataclass(frozen=True)
class Span:
    since: int = 0
    until: int = 90
    keys: tuple[str, ...] = field(default=("carrier",))


spans = st.builds(Span, st.integers(-40, 60), st.integers(0, 110), st.sampled_from([("carrier",), ("carrier", "origin")]))


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=stories(), columns=aggregates(), span=spans)
@example(rows=[], columns=[over_delay("max", 5)], span=Span())
def test_every_emission_equals_the_definition_row_by_row(rows: list[dict[str, Any]], columns: list[WindowColumn], span: Span) -> None:
    since, until = minutes(span.since), minutes(span.until)
    made = windowed(frame(rows), keys=span.keys, columns=columns, since=since, until=until)
    assert made.to_dicts() == slowly(rows, span.keys, columns, since, until)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=stories(), columns=aggregates(), cut=st.integers(0, 60), order=st.randoms(use_true_random=False))
def test_a_partition_with_its_look_back_is_the_full_run_bit_by_bit(
    rows: list[dict[str, Any]], columns: list[WindowColumn], cut: int, order: Any
) -> None:
    since, until = minutes(cut), minutes(cut + 20)
    longest = max(column.over for column in columns)
    near = [line for line in rows if any(line[at] is None or line[at] >= since - longest for at in ("landed", "scheduled"))]
    order.shuffle(near)
    full = windowed(frame(rows), keys=["carrier"], columns=columns, since=minutes(-100), until=END)
    part = windowed(frame(near), keys=["carrier"], columns=columns, since=since, until=until)
    assert_frame_equal(
        part,
        full.filter((pl.col("event_timestamp") >= since) & (pl.col("event_timestamp") < until)),
        check_exact=True,
        check_row_order=True,
    )


def test_a_row_counts_from_its_instant_and_leaves_when_the_window_has_passed() -> None:
    assert emitted([row(10.0, 5)], over_delay("count", 30), over_delay("mean", 30)) == [(5, 1, 10.0), (35, 0, None)]


def test_a_row_that_lands_when_another_leaves_is_alone_in_the_window() -> None:
    assert emitted([row(10.0, 5), row(20.0, 35)], over_delay("mean", 30)) == [(5, 10.0), (35, 20.0), (65, None)]


def test_rows_of_one_instant_are_one_emission() -> None:
    rows = [row(10.0, 5), row(20.0, 5), row(60.0, 5)]
    assert emitted(rows, over_delay("mean", 30), over_delay("max", 30), over_delay("min", 30))[0] == (5, 30.0, 60.0, 10.0)


def test_a_correction_replaces_the_value_from_the_instant_at_which_it_was_known() -> None:
    rows = [row(10.0, 5, known_until=minutes(15)), row(50.0, 5, known_from=minutes(15))]
    assert emitted(rows, over_delay("mean", 30)) == [(5, 10.0), (15, 50.0), (35, None)]


def test_a_correction_that_comes_after_the_window_changes_nothing() -> None:
    rows = [row(10.0, 5, known_until=minutes(50)), row(99.0, 5, known_from=minutes(50))]
    assert emitted(rows, over_delay("mean", 30)) == [(5, 10.0), (35, None)]


def test_the_largest_value_falls_back_when_it_leaves_before_others_do() -> None:
    rows = [row(9.0, 0), row(3.0, 5), row(7.0, 10, known_until=minutes(12))]
    assert emitted(rows, over_delay("max", 30)) == [(0, 9.0), (5, 9.0), (10, 9.0), (12, 9.0), (30, 3.0), (35, None)]


def test_a_window_over_the_schedule_looks_ahead() -> None:
    column = over_delay("count", 60, at="scheduled", available=None, ahead=60 * MINUTE)
    assert emitted([row(1.0, 90)], column) == [(30, 1), (90, 0)]


def test_a_value_without_key_value_or_instant_never_counts_and_emits_nothing() -> None:
    rows = [row(None, 5), row(10.0, None), row(10.0, 5, carrier=None), row(float("nan"), 5)]
    assert emitted(rows, over_delay("count", 30), over_delay("mean", 30)) == []


def test_a_threshold_turns_the_mean_into_a_share() -> None:
    assert emitted([row(10.0, 5), row(15.0, 6), row(20.0, 7)], over_delay("mean", 30, threshold=15.0))[2] == (7, 2 / 3)


def test_an_emission_carries_all_columns_of_the_view() -> None:
    short, long = over_delay("count", 10), over_delay("mean", 30)
    assert emitted([row(4.0, 0)], short, long) == [(0, 1, 4.0), (10, 0, 4.0), (30, 0, None)]


def test_the_types_are_declared_also_when_there_are_no_rows() -> None:
    made = windowed(frame([]), keys=["carrier"], columns=[over_delay("count", 5), over_delay("max", 5)], since=START, until=END)
    assert made.schema == {"carrier": pl.String(), "count": pl.Int64(), "max": pl.Float64(), "event_timestamp": INSTANT}


def test_instants_too_far_apart_for_one_integer_are_ranked() -> None:
    rows = [row(1.0, n, carrier=f"C{n:04}") for n in range(2000)]
    far = frame(rows).with_columns(scheduled=pl.col("scheduled").dt.offset_by("200y"))
    columns = [over_delay("count", 5), over_delay("count", 5, name="later", at="scheduled", available=None)]
    made = windowed(far, keys=["carrier"], columns=columns, since=START, until=FOREVER)
    assert made.select("count", "later").rows() == [(1, 0), (0, 0), (0, 1), (0, 0)] * 2000
    assert made["carrier"].to_list() == [carrier for carrier in far["carrier"] for _ in range(4)]


def test_values_that_cannot_be_summed_exactly_are_refused_by_name() -> None:
    with pytest.raises(TooLargeToSum, match=r"mean: up to 2 values of size up to 4e\+12.*larger unit"):
        emitted([row(4e12, 1), row(4e12, 2)], over_delay("mean", 30))


def test_large_values_far_apart_are_summed_exactly_although_their_total_does_not_fit() -> None:
    rows = [row(4e12, 100 * n) for n in range(20)]
    assert {mean for _, mean in emitted(rows, over_delay("mean", 30))} == {4e12, None}
