"""Whether a live model still performs: daily losses once labels are mature, and a sequential test that may be looked at every day. Pure.

The test is an e-detector on daily mean losses: evidence against "the mean loss is at most the bound" grows by a fair bet each day, so
that without a change an alarm comes once in 1,000 days on average, however often one looks. Row-level tests alarm always: the rows of a
day are not independent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final, Self

import numpy as np
import polars as pl

from resources.monitors.frames import MONITOR, Task, Verdict
from resources.monitors.metrics import MIN_DAYS, scored, student

PERFORMANCE: Final = "performance"
"""Name of the monitor's row that judges the model."""

COMPLETE: Final = 0.95
MIN_JUDGED: Final = 7
RUN_LENGTH: Final = 1000.0
"""Days to a false alarm, on average at least."""
LEAST_RISE: Final = 0.05
_STAKES: Final = (0.1, 0.25, 0.5, 0.9)
_UPPER: Final = 0.90


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """Daily losses of the version on days that it was not trained on, as mean and spread."""

    mean: float
    sd: float
    days: int

    @classmethod
    def of(cls, losses: pl.DataFrame) -> Self | None:
        """The baseline in a frame of ``daily_losses``; none when fewer than 3 days have a loss."""
        values = losses["loss"].drop_nulls().to_numpy()
        if len(values) < MIN_DAYS:
            return None
        return cls(mean=float(values.mean()), sd=float(values.std(ddof=1)), days=len(values))

    @property
    def bound(self) -> float:
        """What the mean loss does not exceed unless performance fell: the upper 95 % limit of the mean, at least 5 % above it."""
        error = student(_UPPER, freedom=self.days - 1) * self.sd / float(np.sqrt(self.days))
        return max(self.mean + error, self.mean * (1 + LEAST_RISE), float(np.finfo(np.float64).tiny))


@dataclass(frozen=True, kw_only=True)
class Performance:
    """What the performance monitor says: the verdict, the first day it fired, and one MONITOR row a day."""

    verdict: Verdict
    fired: date | None
    rows: pl.DataFrame
    sentence: str


def daily_losses(frame: pl.DataFrame, *, task: Task) -> pl.DataFrame:
    """One row a day: predictions, settled ones, completeness, and mean loss (Brier score or absolute error).

    ``frame`` holds ``day``, ``prediction``, ``label`` (null until mature) and, where some labels never come, ``settled``: true for these
    too.
    """
    settled = pl.col("settled") if "settled" in frame.columns else pl.col("label").is_not_null()
    known = frame.filter(pl.col("label").is_not_null())
    scored(known, task=task)
    error = pl.col("prediction").cast(pl.Float64) - pl.col("label").cast(pl.Float64)
    loss = error.pow(2) if task == "classification" else error.abs()
    counted = frame.group_by("day", maintain_order=True).agg(
        rows=pl.len().cast(pl.Int64), settled=settled.sum().cast(pl.Int64), loss=loss.mean()
    )
    return counted.with_columns(completeness=pl.col("settled") / pl.col("rows")).sort("day")


def performance(losses: pl.DataFrame, *, baseline: Baseline | None, since: date = date.min) -> Performance:
    """Judge a version by its ``daily_losses`` since it went live (or since its last alarm was answered).

    A day counts once 95 % of its labels are settled. Evidence gathers over all days given and starts anew after an alarm; verdict,
    ``fired`` and ``rows`` speak of the days from ``since`` on. Fewer than 7 judged days are "not enough labels", unless the alarm comes
    earlier.
    """
    ready = losses.select((pl.col("completeness") >= COMPLETE) & pl.col("loss").is_not_null()).to_series()
    stakes, judged = np.array(_STAKES), 0
    grown = np.zeros(len(stakes))
    found: list[tuple[float | None, Verdict]] = []
    for value, complete in zip(losses["loss"], ready, strict=True):
        if not complete or baseline is None:
            found.append((None, "not enough labels"))
            continue
        judged += 1
        grown = (1 + grown) * (1 + stakes * (value / baseline.bound - 1))
        evidence = float(grown.mean())
        fell = evidence >= RUN_LENGTH
        found.append((evidence, "fell" if fell else "ok" if judged >= MIN_JUDGED else "not enough labels"))
        grown = np.zeros(len(stakes)) if fell else grown
    verdicts = pl.DataFrame(found, schema={"evidence": pl.Float64, "verdict": pl.String}, orient="row")
    rows = _rows(losses, baseline=baseline).with_columns(verdicts).filter(pl.col("day") >= since)
    return _performance(rows, judged=judged, baseline=baseline)


def _rows(losses: pl.DataFrame, *, baseline: Baseline | None) -> pl.DataFrame:
    excess = pl.col("loss") / baseline.mean - 1 if baseline is not None and baseline.mean > 0 else pl.lit(None, pl.Float64)
    content = losses.select("day", "rows", column=pl.lit(PERFORMANCE), nulls=pl.col("rows") - pl.col("settled"), mean="loss", effect=excess)
    return pl.concat([pl.DataFrame(schema=dict(MONITOR)), content], how="diagonal")


def _performance(rows: pl.DataFrame, *, judged: int, baseline: Baseline | None) -> Performance:
    """The verdict on a stretch of MONITOR rows; ``judged`` days count with those before it."""
    fired = next(iter(rows.filter(pl.col("verdict") == "fell")["day"]), None)
    losses = rows.filter(pl.col("evidence").is_not_null())["mean"]
    verdict: Verdict = "fell" if fired else "ok" if judged >= MIN_JUDGED and "ok" in rows["verdict"] else "not enough labels"
    if baseline is None:
        said = f"the evaluation has fewer than {MIN_DAYS} days with a loss to compare with."
    elif verdict == "not enough labels":
        said = f"{len(losses)} of {MIN_JUDGED} days have {COMPLETE:.0%} of their labels settled."
    else:
        said = f"daily loss {losses.to_numpy().mean():.4g} over {len(losses)} days, {baseline.mean:.4g} in the evaluation."
    begin = {"fell": f"Performance fell on {fired}", "ok": "Performance holds", "not enough labels": "Not enough labels to judge"}[verdict]
    return Performance(verdict=verdict, fired=fired, rows=rows, sentence=f"{begin}: {said}")
