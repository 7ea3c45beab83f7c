"""Whether a candidate may go live: comparison with the live version and the verdict of the gate. Pure, and closed when in doubt.

What was not measured does not pass. The one benefit of the doubt: a candidate is worse than the live version only when the interval of the
paired difference says so, because the smallest real change of data moves every metric a little.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from resources.errors import PlatformError
from resources.monitors.frames import ALL, Task
from resources.monitors.metrics import BETTER, LEVEL, Scored, day_weights, evidence, interval, parts, scored

AGAINST_LIVE: Final = "against live"


class NoBetterSide(PlatformError):
    """Versions were to be compared by a metric that has no better side."""

    def __init__(self, *, metric: str) -> None:
        """``metric`` is not among those of which more or less is better."""
        super().__init__(f"{metric}: it has no better side, so versions cannot be compared by it. Use one of {', '.join(BETTER)}.")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Candidate minus live version on the same examples; ``low`` and ``high`` are null when the days do not allow an interval."""

    metric: str
    value: float | None
    low: float | None
    high: float | None
    days: int
    rows: int
    slice_by: str = ALL
    slice: str = ALL

    @property
    def known(self) -> bool:
        """Whether the comparison says anything."""
        return self.low is not None and self.high is not None

    @property
    def worse(self) -> bool:
        """Whether the whole interval lies on the bad side of zero."""
        higher = BETTER[self.metric] == "higher"
        return self.known and ((self.high or 0.0) < 0 if higher else (self.low or 0.0) > 0)

    @property
    def loss(self) -> float:
        """By how much the candidate is worse."""
        return (self.value or 0.0) * (-1 if BETTER[self.metric] == "higher" else 1)

    def __str__(self) -> str:
        return (
            f"{self.metric} {self.value:+.4f} [{self.low:+.4f}, {self.high:+.4f}] against the live version" if self.known else self.metric
        )


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """One condition of the gate: its name, whether it holds, what was measured, the bound, and the same as a sentence."""

    name: str
    passed: bool
    value: float | None
    bound: float | None
    sentence: str


def paired(*, task: Task, frame: pl.DataFrame, metric: str, seed: int) -> Difference:
    """How the candidate (``prediction``) differs from the live version (``live_prediction``) on ``label``, with an interval over days."""
    return _difference(_pair(frame, task=task), task=task, metric=metric, seed=seed, level=LEVEL)


def paired_slices(*, task: Task, frame: pl.DataFrame, metric: str, slices: Sequence[str], seed: int) -> tuple[Difference, ...]:
    """The same for each slice that has enough rows; intervals are widened for the number of slices looked at."""
    pair = _pair(frame, task=task)
    found = [(column, value, tuple(one.where(rows) for one in pair)) for column, value, rows in parts(frame, slices)]
    enough = [one for one in found if evidence(one[2][0], task=task).enough()]
    level = 1 - (1 - LEVEL) / max(1, len(enough))
    return tuple(
        replace(_difference(part, task=task, metric=metric, seed=seed, level=level), slice_by=column, slice=value)
        for column, value, part in enough
    )


def gate(
    *,
    evaluation: pl.DataFrame,
    floors: Mapping[str, float],
    ceilings: Mapping[str, float],
    difference: Difference | None,
    slices: Sequence[Difference] = (),
) -> list[GateResult]:
    """Every condition with its verdict; the candidate passes when all of them do.

    ``evaluation`` has the form EVALUATION. ``difference`` is null when nothing is live, and then there is nothing to be worse than.
    """
    overall = evaluation.filter(pl.col("slice_by") == ALL)
    measured = dict(overall.select("metric", "value").iter_rows())
    results = [_bound(metric, measured.get(metric), floor, kind="floor") for metric, floor in floors.items()]
    results += [_bound(metric, measured.get(metric), ceiling, kind="ceiling") for metric, ceiling in ceilings.items()]
    results.append(_against_live(difference))
    return results + [_slices(column, slices) for column in dict.fromkeys(item.slice_by for item in slices)]


def passed(results: Iterable[GateResult]) -> bool:
    """Whether every condition holds; no condition at all is not a pass."""
    verdicts = [result.passed for result in results]
    return bool(verdicts) and all(verdicts)


def _pair(frame: pl.DataFrame, *, task: Task) -> tuple[Scored, ...]:
    return scored(frame, task=task), scored(frame, task=task, prediction="live_prediction")


def _difference(pair: tuple[Scored, ...], *, task: Task, metric: str, seed: int, level: float) -> Difference:
    if metric not in BETTER:
        raise NoBetterSide(metric=metric)
    weights = day_weights(pair[0].days, seed=seed)
    candidate, live = (evidence(part, task=task) for part in pair)
    point, replicates = (candidate.value(metric, which) - live.value(metric, which) for which in (np.ones_like(weights[:1]), weights))
    days = int((candidate.sums["rows"] > 0).sum())
    value, low, high = interval(point, replicates, days=days, level=level)
    return Difference(metric=metric, value=value, low=low, high=high, days=days, rows=candidate.rows)


def _bound(metric: str, value: float | None, bound: float, *, kind: str) -> GateResult:
    if value is None or not np.isfinite(value):
        value, holds = None, False
        said = f"{metric} was not measured, so its {kind} {bound:g} is not shown to be kept. Look at the evaluation's rows and classes."
    else:
        holds = value >= bound if kind == "floor" else value <= bound
        relation = {("floor", True): "reaches", ("floor", False): "is below", ("ceiling", True): "keeps to", ("ceiling", False): "is above"}
        said = f"{metric} {value:.4g} {relation[kind, holds]} its {kind} {bound:g}."
    return GateResult(name=f"{metric} {kind}", passed=holds, value=value, bound=bound, sentence=said)


def _against_live(found: Difference | None) -> GateResult:
    if found is None:
        said = "No live version has this code and reads these features, so there is nothing to compare with."
        return GateResult(name=AGAINST_LIVE, passed=True, value=None, bound=None, sentence=said)
    rows = f"on {found.rows:,} examples of {found.days} days"
    said = f"{found} {rows} that neither was trained on: the candidate is {'' if found.worse else 'not '}worse."
    if not found.known:
        said = f"{found.metric} of candidate and live version cannot be compared {rows}. Hold out more days, or judge by hand."
    return GateResult(name=AGAINST_LIVE, passed=found.known and not found.worse, value=found.value, bound=0.0, sentence=said)


def _slices(column: str, slices: Sequence[Difference]) -> GateResult:
    known = [item for item in slices if item.slice_by == column and item.known]
    worse = [item for item in known if item.worse]
    value, said = None, f"No slice of {column} could be compared with the live version."
    if known:
        shown = max(worse or known, key=lambda item: item.loss)
        value = shown.value
        said = f"The candidate is worse in {len(worse)} of {len(known)} slices of {column}; worst {shown.slice}: {shown}."
    return GateResult(name=f"{AGAINST_LIVE} by {column}", passed=bool(known) and not worse, value=value, bound=0.0, sentence=said)
