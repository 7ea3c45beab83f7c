"""Which columns moved: effect sizes against the same weekdays, judged against the column's own history. Pure; no picture decides.

Data that is fine moves all the time, so neither p-values nor a fixed bound can tell drift. A day is compared with the same weekday of the
previous four weeks, and the distance is an alarm when it is far above the distances that this column showed lately (robust z on the log
scale above 4) and large enough to matter, or half as large again as any of them. The distance to the training set is given as a trend; it
never alarms.

No later day is compared with a day in alarm. Its distance stays among the column's own, whose median bears it: left out there as well,
columns with a season or many zeros narrow down to their calmest days and alarm without end. Measured on nine columns of the 2013 flights
(no weather): alarms on 9 of 275 days this way, eight of them holidays, against 34 with neither that nor a least effect; the second half
of the rule finds 15 % of a day's carriers renamed on 8 of 8 days instead of 6, at no further alarm.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from resources.monitors.frames import MONITOR, Verdict
from resources.monitors.profiles import Reference

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LAGS: Final = (7, 14, 21, 28)
MIN_SAME_WEEKDAYS: Final = 2
HISTORY: Final = 56
MIN_HISTORY: Final = 8
MIN_ROWS: Final = 500
ALARM: Final = 4.0
BEYOND: Final = 1.5
"""How many times the largest distance of the history is an alarm by itself; needs 28 of them and a distance of .1."""
MIN_BEYOND: Final = 28
LEAST_BEYOND: Final = 0.1
LEAST: Final = (0.05, 0.005)
"""The least distance that matters: of values, of the share of nulls."""
NAMED: Final = 5
"""Columns that the sentence names."""
_LOG_FLOOR: Final = 0.003
_SPREAD_FLOOR: Final = 0.25
_TO_SD: Final = 1.4826


@dataclass(frozen=True, kw_only=True)
class ColumnDrift:
    """One column over a stretch of days."""

    column: str
    alarms: int
    effect: float | None


@dataclass(frozen=True, kw_only=True)
class Drift:
    """What the input monitor says of a stretch of days."""

    verdict: Verdict
    alarms: int
    judged: int
    columns: tuple[ColumnDrift, ...]

    @property
    def sentence(self) -> str:
        """The same in words."""
        if not self.judged:
            return f"Not enough history to judge: a day needs {MIN_ROWS} rows and {MIN_HISTORY} earlier days of its kind."
        if not self.alarms:
            return f"No drift in {self.judged:,} column-days."
        moved = [f"{one.column} ({one.alarms})" for one in self.columns if one.alarms]
        more = f" and {len(moved) - NAMED} more" if len(moved) > NAMED else ""
        return f"Drift in {self.alarms:,} of {self.judged:,} column-days: {', '.join(moved[:NAMED])}{more}."


def drift(profiles: pl.DataFrame, *, reference: Reference, since: date) -> pl.DataFrame:
    """The ``daily_profile`` of days with their verdicts, in the form MONITOR, from ``since`` on; what comes before is history."""
    columns = [reference.columns[name] for name in profiles["column"].unique(maintain_order=True)]
    days = profiles["day"].gather_every(len(columns))
    at = (days - days[0]).dt.total_days().to_numpy()
    shape = int(at[-1]) + 1, len(columns)
    rows, nulls, counts = np.zeros(shape), np.zeros(shape), np.zeros((*shape, max(len(one.counts) for one in columns)))
    rows[at], nulls[at] = (profiles[name].to_numpy().reshape(-1, len(columns)) for name in ("rows", "nulls"))
    training = np.zeros(counts.shape[1:])
    for place, one in enumerate(columns):
        bins = slice(len(one.counts))
        training[place, bins] = one.counts
        counts[at, place, bins] = profiles["counts"].gather_every(len(columns), place).list.to_array(len(one.counts)).to_numpy()
    grid = _Grid(rows=rows, nulls=nulls, counts=counts, numeric=np.array([one.numeric for one in columns]))
    found = {name: pl.Series(values[at].ravel()) for name, values in _judge(grid, training).items()}
    return (
        profiles.with_columns(evidence=pl.lit(None), **found)
        .filter(pl.col("day") >= since)
        .select(pl.col(name).cast(dtype) for name, dtype in MONITOR.items())
        .fill_nan(None)
    )


def summary(monitor: pl.DataFrame) -> Drift:
    """What a stretch of MONITOR rows says: alarmed column-days, and the columns, most drifted first (days in alarm, then effect)."""
    grouped = monitor.group_by("column", maintain_order=True).agg(
        alarms=(pl.col("verdict") == "drift").sum().cast(pl.Int64), effect=pl.max_horizontal("effect", "null_effect").mean()
    )
    ordered = grouped.sort(["alarms", "effect", "column"], descending=[True, True, False], nulls_last=True)
    judged, alarms = monitor.filter(pl.col("verdict") != "not enough history").height, int(grouped["alarms"].sum())
    verdict: Verdict = "drift" if alarms else "ok" if judged else "not enough history"
    columns = tuple(ColumnDrift(**row) for row in ordered.iter_rows(named=True))
    return Drift(verdict=verdict, alarms=alarms, judged=judged, columns=columns)


def robust_z(now: Floats, history: Floats) -> Floats:
    """How far ``now`` (columns) lies above ``history`` (windows x columns, NaN left out): log scale, robust standard deviations."""
    logs = np.log(history + _LOG_FLOOR)
    middle = _median(logs)
    spread = np.maximum(_TO_SD * _median(np.abs(logs - middle)), _SPREAD_FLOOR)
    return (np.log(now + _LOG_FLOOR) - middle) / spread


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """Profiles as arrays over (day, column), bins last and padded with zeros."""

    rows: Floats
    nulls: Floats
    counts: Floats
    numeric: Bools


def _judge(grid: _Grid, training: Floats) -> dict[str, npt.NDArray[Any]]:
    """What MONITOR says beyond the profile; distances of values and of nulls stand side by side, as twice as many columns."""
    days, columns = grid.rows.shape
    usable = grid.rows >= MIN_ROWS
    from_training = np.where(usable, _effect(grid.counts, training, grid.numeric), np.nan)
    distance, z = np.full((2, days, 2 * columns), np.nan)
    least = np.repeat(LEAST, columns)
    verdict = np.full((days, columns), "not enough history", dtype=object)
    for day in range(days):
        now, history = _against_weekdays(grid, day, usable), distance[max(0, day - HISTORY) : day]
        known = ((~np.isnan(history)).sum(axis=0) >= MIN_HISTORY) & ~np.isnan(now)
        distance[day] = now
        z[day, known] = robust_z(now[known], history[:, known])
        alarm = ((z[day] > ALARM) & (now >= least)) | _beyond(now, history)
        known, alarm = (either.reshape(2, columns).any(axis=0) for either in (known, alarm))
        verdict[day, known] = "ok"
        verdict[day, alarm] = "drift"
        usable[day] &= ~alarm
    effect, null_effect = np.split(distance, 2, axis=1)
    of_effect, of_nulls = np.split(z, 2, axis=1)
    numbers = {"effect": effect, "z": of_effect, "null_effect": null_effect, "null_z": of_nulls, "from_training": from_training}
    return {**numbers, "verdict": verdict}


def _beyond(now: Floats, history: Floats) -> Bools:
    largest = np.nan_to_num(history).max(axis=0, initial=0.0)
    return ((~np.isnan(history)).sum(axis=0) >= MIN_BEYOND) & (now >= np.maximum(LEAST_BEYOND, BEYOND * largest))


def _against_weekdays(grid: _Grid, day: int, usable: Bools) -> Floats:
    """Distances of a day from the usable same weekdays before: of values, then of the share of nulls; NaN where these are too few."""
    past = [day - lag for lag in LAGS if day >= lag]
    kept = usable[past]
    ready = usable[day] & (kept.sum(axis=0) >= MIN_SAME_WEEKDAYS)
    effect = _effect(grid.counts[day], (grid.counts[past] * kept[:, :, None]).sum(axis=0), grid.numeric)
    rows, nulls = ((values[past] * kept).sum(axis=0) for values in (grid.rows, grid.nulls))
    change = np.abs(grid.nulls[day] / np.maximum(grid.rows[day], 1) - nulls / np.maximum(rows, 1))
    return np.where(np.tile(ready, 2), np.concatenate([effect, change]), np.nan)


def _effect(now: Floats, before: Floats, numeric: Bools) -> Floats:
    """KS for numbers, total variation for categories; NaN where either side is empty."""
    here, there = now.sum(axis=-1, keepdims=True), before.sum(axis=-1, keepdims=True)
    gap = now / np.maximum(here, 1) - before / np.maximum(there, 1)
    steps: Floats = np.abs(np.cumsum(gap, axis=-1)).max(axis=-1)
    moved: Floats = 0.5 * np.abs(gap).sum(axis=-1)
    return np.where((here * there)[..., 0] > 0, np.where(numeric, steps, moved), np.nan)


def _median(values: Floats) -> Floats:
    """Median over the first axis, NaN left out; every column has at least one number."""
    ordered = np.sort(values, axis=0)
    count: npt.NDArray[np.int64] = (~np.isnan(values)).sum(axis=0)
    column: npt.NDArray[np.int64] = np.arange(len(count))
    return 0.5 * (ordered[(count - 1) // 2, column] + ordered[count // 2, column])
