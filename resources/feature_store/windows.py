"""Windowed aggregates at every instant at which one changes: a pure function from versioned rows to feature rows. No clock, no store.

Each row version counts in a column during one interval of time. The instants at which any interval of a key starts or ends are that key's
emissions; an interval covers a contiguous run of them. Sums and counts are running totals of what starts minus what ends, in integers
(values in units of 2**-20), so that they are exact, whatever came before. Largest and smallest are painted over the runs, longest
halves first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from resources.errors import PlatformError

EVENT_TIMESTAMP: Final = "event_timestamp"
KNOWN_FROM: Final = "known_from"
KNOWN_UNTIL: Final = "known_until"
INSTANT: Final = pl.Datetime("us", "UTC")
MICROSECOND: Final = timedelta(microseconds=1)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
UNIT: Final = 2.0**20
NEVER: Final = np.iinfo(np.int64).max
KEY: Final = "__key"

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class TooLargeToSum(PlatformError):
    """A window whose sum has no exact integer."""

    def __init__(self, *, column: str, largest: float, rows: int) -> None:
        super().__init__(
            f"{column}: up to {rows:,} values of size up to {largest:g} in one window cannot be summed exactly (their sum in units of "
            f"2**-20 must stay below 2**63). No feature row was made. Give the column in a larger unit, or correct the value."
        )


@dataclass(frozen=True, kw_only=True)
class WindowColumn:
    """One aggregate: over the values, or over ``value >= threshold`` as 0 and 1, of rows with ``at - ahead`` in (t - over, t].

    ``available`` names the instant from which the value is known; None: always.
    """

    name: str
    kind: Literal["mean", "count", "max", "min"]
    value: str
    threshold: float | None = None
    at: str
    available: str | None = None
    over: timedelta
    ahead: timedelta = timedelta(0)


@dataclass(frozen=True, kw_only=True)
class _Intervals:
    """Of one column: the key of each counting row, when it starts and ends to count, and its value."""

    key: Integers
    enter: Integers
    leave: Integers
    value: Floats


def windowed(rows: pl.DataFrame, *, keys: Sequence[str], columns: Sequence[WindowColumn], since: datetime, until: datetime) -> pl.DataFrame:
    """Feature rows with ``since <= event_timestamp < until``, sorted by keys and time: ``keys``, the columns, ``event_timestamp``.

    ``rows`` are versions (``known_from``, ``known_until``) that reach back from ``since`` at least as far as the longest window; more
    change nothing, bit by bit. A row version counts from max(at - ahead, available, known_from) until min(at - ahead + over,
    known_until), end exclusive; never when its key, value or an instant is null. Each start and end is a row, of all columns.
    """
    entities = rows.select(keys).drop_nulls().unique().sort(keys)
    coded = rows.join(entities.with_row_index(KEY), on=list(keys), how="inner", maintain_order="left")
    start, stop = _micros(since), _micros(until)
    intervals = [_intervals(coded, column, start, stop) for column in columns]
    key, time, runs = _emissions(intervals)
    values = [_aggregate(column, item, run, len(key)) for column, item, run in zip(columns, intervals, runs, strict=True)]
    emitted = pl.DataFrame([pl.Series(KEY, key), *values, pl.Series(EVENT_TIMESTAMP, time).cast(INSTANT)])
    inside = emitted.filter(pl.col(EVENT_TIMESTAMP).is_between(pl.lit(since, INSTANT), pl.lit(until, INSTANT), closed="left"))
    return pl.concat([entities[inside[KEY]], inside.drop(KEY)], how="horizontal")


def _intervals(rows: pl.DataFrame, column: WindowColumn, start: int, stop: int) -> _Intervals:
    value = pl.col(column.value).fill_nan(None) if rows.schema[column.value].is_float() else pl.col(column.value)
    number = pl.lit(1.0) if column.kind == "count" else value.cast(pl.Float64)
    if column.threshold is not None and column.kind != "count":
        number = (number >= column.threshold).cast(pl.Float64)
    used = {column.at, *([] if column.available is None else [column.available])}
    present = pl.all_horizontal(value.is_not_null(), *(pl.col(name).is_not_null() for name in used))
    first = _instant(column.at) - column.ahead // MICROSECOND
    known = [_instant(KNOWN_FROM).fill_null(NEVER), *([] if column.available is None else [_instant(column.available)])]
    enter = pl.max_horizontal(first, *known)
    leave = pl.min_horizontal(first + column.over // MICROSECOND, _instant(KNOWN_UNTIL).fill_null(NEVER))
    counting = (
        rows.filter(present)
        .select(pl.col(KEY).cast(pl.Int64), enter.alias("enter"), leave.alias("leave"), number.alias("value"))
        .filter((pl.col("enter") < pl.col("leave")) & (pl.col("leave") >= start) & (pl.col("enter") < stop))
        .sort(KEY, "enter")
    )
    return _Intervals(
        key=counting[KEY].to_numpy(),
        enter=counting["enter"].to_numpy(),
        leave=counting["leave"].to_numpy(),
        value=counting["value"].to_numpy(),
    )


def _emissions(intervals: Sequence[_Intervals]) -> tuple[Integers, Integers, list[tuple[Integers, Integers]]]:
    """Key and time of each emission, in order, and for each column the run [first, last) of emissions that each interval covers."""
    times = [edge for item in intervals for edge in (item.enter, item.leave)]
    keys = [item.key for item in intervals for _ in ("enter", "leave")]
    instants, ticks = _ticks(times, most=NEVER // (1 + max((int(key.max(initial=0)) for key in keys), default=0)))
    span = len(instants) if isinstance(instants, np.ndarray) else instants.stop - instants.start
    codes = [key * span + tick for key, tick in zip(keys, ticks, strict=True)]
    emitted = _distinct(codes)
    places = [np.searchsorted(emitted, code) for code in codes]
    key, tick = np.divmod(emitted, max(span, 1))
    time = instants[tick] if isinstance(instants, np.ndarray) else tick + instants.start
    return key, time, list(zip(places[::2], places[1::2], strict=True))


def _distinct(parts: Sequence[Integers]) -> Integers:
    """All values once, in order; np.unique hashes and takes forty times as long."""
    values = np.sort(np.concatenate([np.empty(0, np.int64), *parts]))
    return values[np.concatenate([np.ones(min(len(values), 1), np.bool_), values[1:] != values[:-1]])]


def _ticks(times: Sequence[Integers], *, most: int) -> tuple[range | Integers, list[Integers]]:
    """Small non-negative integers in the order of the times, below ``most``, and what they stand for: offsets, else ranks."""
    filled = [time for time in times if time.size]
    if not filled:
        return range(0), list(times)
    first, last = min(int(time.min()) for time in filled), max(int(time.max()) for time in filled)
    if last - first < most:
        return range(first, last + 1), [time - first for time in times]
    instants = _distinct(filled)
    return instants, [np.searchsorted(instants, time) for time in times]


def _aggregate(column: WindowColumn, item: _Intervals, run: tuple[Integers, Integers], size: int) -> pl.Series:
    first, last = run
    ones = np.ones(len(first), np.int64)
    count = _running(ones, first, last, size)
    if column.kind == "count":
        return pl.Series(column.name, count)
    if column.kind == "mean":
        result = _running(_exact(column.name, item.value, count), first, last, size) / UNIT / np.maximum(count, 1)
    elif column.kind == "max":
        result = _painted(item.value, first, last, size)
    else:
        result = -_painted(-item.value, first, last, size)
    return pl.select(pl.when(pl.Series(count > 0)).then(pl.Series(result)).alias(column.name)).to_series()


def _exact(name: str, value: Floats, count: Integers) -> Integers:
    largest = float(np.abs(value).max(initial=0.0))
    rows = int(count.max(initial=0))
    if not largest * UNIT * rows < NEVER / 2:
        raise TooLargeToSum(column=name, largest=largest, rows=rows)
    return np.rint(value * UNIT).astype(np.int64)


def _running(amount: Integers, first: Integers, last: Integers, size: int) -> Integers:
    """At each emission the sum of the amounts whose run covers it. Totals may wrap around; what is in a window does not."""
    change = np.zeros(size + 1, np.int64)
    np.add.at(change, first, amount)
    np.subtract.at(change, last, amount)
    return np.cumsum(change[:-1])


def _painted(value: Floats, first: Integers, last: Integers, size: int) -> Floats:
    """At each emission the largest value whose run covers it; -inf where none does.

    A run of length n is the union of two runs of length 2**k <= n; a painted run of length 2**k is two of length 2**(k-1).
    """
    level = np.frexp((last - first).astype(np.float64))[1] - 1
    painted = np.full(size, -np.inf)
    for k in range(int(level.max(initial=0)), -1, -1):
        half, now = 1 << k, level == k
        np.maximum.at(painted, first[now], value[now])
        np.maximum.at(painted, last[now] - half, value[now])
        if k:
            below = painted.copy()
            below[half // 2 :] = np.maximum(below[half // 2 :], painted[: size - half // 2])
            painted = below
    return painted


def _instant(name: str) -> pl.Expr:
    return pl.col(name).dt.cast_time_unit("us").to_physical()


def _micros(instant: datetime) -> int:
    return (instant - EPOCH) // MICROSECOND
