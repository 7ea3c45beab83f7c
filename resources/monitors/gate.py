"""Whether a candidate may go live: comparison with the live version and the verdict of the gate. Pure, and closed when in doubt.

What was not measured does not pass. The one benefit of the doubt: a candidate is worse than the live version only when the interval of the
paired difference says so, because the smallest real change of data moves every metric a little.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import polars as pl

from resources.errors import PlatformError
from resources.monitors.frames import ALL, Task
from resources.monitors.metrics import BETTER, LEVEL, Evidence, evidence, parts, scored

AGAINST_LIVE: Final = "against live"
VERSIONS: Final = ("prediction", "live_prediction")
"""Columns with what the candidate says, and what the live version does."""


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
        return all(end is not None and self._loss(end) > 0 for end in (self.low, self.high))

    @property
    def better(self) -> bool:
        """Whether the whole interval lies on the good side of zero."""
        return all(end is not None and self._loss(end) < 0 for end in (self.low, self.high))

    @property
    def verdict(self) -> str:
        """Which version is the better one, in words."""
        if not self.known:
            return "not known: too few days"
        return "worse" if self.worse else "better" if self.better else "no difference shown"

    @property
    def loss(self) -> float:
        """By how much the candidate is worse."""
        return self._loss(self.value or 0.0)

    def _loss(self, value: float) -> float:
        return -value if BETTER[self.metric] == "higher" else value

    def __str__(self) -> str:
        return f"{self.metric} {self.value:+.4f} [{self.low:+.4f}, {self.high:+.4f}] against the live version"


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
    candidate, live = (evidence(scored(frame, task=task, prediction=name), task=task) for name in VERSIONS)
    return _difference(candidate, live, metric=metric, seed=seed)


def paired_slices(*, task: Task, frame: pl.DataFrame, metric: str, slices: Sequence[str], seed: int) -> tuple[Difference, ...]:
    """The same for each slice that has enough rows; intervals are widened for the number of slices looked at."""
    both = [scored(frame, task=task, prediction=name) for name in VERSIONS]
    found = [(where, [evidence(one.where(rows), task=task) for one in both]) for *where, rows in parts(frame, slices)]
    judged = [(where, candidate, live) for where, (candidate, live) in found if candidate.enough]
    level = 1 - (1 - LEVEL) / max(1, len(judged))
    return tuple(_difference(candidate, live, metric=metric, seed=seed, level=level, where=where) for where, candidate, live in judged)


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
    by_column = [_slices(column, slices) for column in dict.fromkeys(item.slice_by for item in slices)]
    return [*results, _against_live(difference), *by_column]


def fair(*, task: Task, frame: pl.DataFrame, by: str, metric: str, most: float, seed: int) -> GateResult:
    """Whether ``metric`` of the groups of column ``by`` lies within ``most``; groups too small to be judged are named and not judged.

    The gap is that of the lowest and the highest group; its interval over days is widened for the number of pairs that it was picked from.
    """
    data = scored(frame, task=task)
    groups = {value: evidence(data.where(rows), task=task) for _, value, rows in parts(frame, [by])}
    judged = {value: one for value, one in groups.items() if one.enough}
    name, small = f"{metric} alike by {by}", sorted(set(groups) - set(judged))
    left_out = f" Too few examples to judge {', '.join(small)}." if small else ""
    values = {value: found for value, one in judged.items() if (found := one.measured(metric, seed=seed)[0]) is not None}
    if len(values) < 2:  # noqa: PLR2004  fewer than two groups cannot be apart
        said = f"No two groups of {by} have enough examples, so it is not shown that they are treated alike.{left_out} Hold out more days."
        return GateResult(name=name, passed=False, value=None, bound=most, sentence=said)
    lowest, highest = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    level = 1 - (1 - LEVEL) / math.comb(len(values), 2)
    _, low, high = judged[highest].measured(metric, minus=judged[lowest], seed=seed, level=level)
    gap = values[highest] - values[lowest]
    interval = f" [{low:+.4f}, {high:+.4f}]" if low is not None and high is not None else ""
    said = (
        f"{metric} of {by} is {values[lowest]:.4g} for {lowest} and {values[highest]:.4g} for {highest}: apart by {gap:.4f}{interval}, "
        f"{'within' if gap <= most else 'above'} {most:g}.{left_out}"
    )
    return GateResult(name=name, passed=gap <= most, value=gap, bound=most, sentence=said)


def within(name: str, value: float | None, most: float | None, *, unit: str) -> list[GateResult]:
    """Whether something that was measured keeps to a budget; nothing where there is none."""
    if most is None:
        return []
    if value is None:
        said = f"{name} was not measured, so its budget of {most:g} {unit} is not shown to be kept."
    else:
        said = f"{name} is {value:.3g} {unit}, {'within' if value <= most else 'above'} its budget of {most:g} {unit}."
    return [GateResult(name=name, passed=value is not None and value <= most, value=value, bound=most, sentence=said)]


def condition(name: str, broken: Sequence[str], *, kept: str) -> GateResult:
    """A condition that is no number: it holds when nothing breaks it."""
    return GateResult(name=name, passed=not broken, value=None, bound=None, sentence=" ".join(broken) or kept)


def passed(results: Iterable[GateResult]) -> bool:
    """Whether every condition holds; no condition at all is not a pass."""
    verdicts = [result.passed for result in results]
    return bool(verdicts) and all(verdicts)


def _difference(
    candidate: Evidence, live: Evidence, *, metric: str, seed: int, level: float = LEVEL, where: Sequence[str] = (ALL, ALL)
) -> Difference:
    if metric not in BETTER:
        raise NoBetterSide(metric=metric)
    value, low, high = candidate.measured(metric, minus=live, seed=seed, level=level)
    slice_by, part = where
    return Difference(
        metric=metric, value=value, low=low, high=high, days=candidate.days, rows=candidate.rows, slice_by=slice_by, slice=part
    )


def _bound(metric: str, value: float | None, bound: float, *, kind: Literal["floor", "ceiling"]) -> GateResult:
    if value is None or not np.isfinite(value):
        value, holds = None, False
        said = f"{metric} was not measured, so its {kind} {bound:g} is not shown to be kept. Look at the evaluation's rows and classes."
    else:
        holds = value >= bound if kind == "floor" else value <= bound
        broken, kept = ("is below", "reaches") if kind == "floor" else ("is above", "keeps to")
        said = f"{metric} {value:.4g} {kept if holds else broken} its {kind} {bound:g}."
    return GateResult(name=f"{metric} {kind}", passed=holds, value=value, bound=bound, sentence=said)


def _against_live(found: Difference | None) -> GateResult:
    if found is None:
        said = "No live version has this code and reads these features, so there is nothing to compare with."
        return GateResult(name=AGAINST_LIVE, passed=True, value=None, bound=None, sentence=said)
    rows = f"on {found.rows:,} examples of {found.days} days"
    if found.known:
        said = f"{found} {rows} that neither was trained on: the candidate is {'' if found.worse else 'not '}worse."
    else:
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
