"""Whether a candidate may go live: comparison with the live version and the verdict of the gate. Pure, and closed when in doubt.

What was not measured does not pass. The one benefit of the doubt: a candidate is worse than the live version only when the interval of the
paired difference says so, because the smallest real change of data moves every metric a little.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from resources.errors import PlatformError
from resources.monitors.frames import ALL, Task
from resources.monitors.metrics import BETTER, LEVEL, NO_VALUE, Scored, day_weights, evidence, interval, largest, quantile_edges, scored

AGAINST_LIVE: Final = "against live"
_CALIBRATION_BINS: Final = 10


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
        if self.low is None or self.high is None:
            return False
        return self.high < 0 if BETTER[self.metric] == "higher" else self.low > 0


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
    candidate, live = _pair(frame, task=task)
    parts = {
        (column, value): (values == value).to_numpy()
        for column in slices
        for values in (frame[column].cast(pl.String).fill_null(NO_VALUE),)
        for value in largest(values)
    }
    enough = {key: rows for key, rows in parts.items() if evidence(candidate.where(rows), task=task).enough()}
    level = 1 - (1 - LEVEL) / max(1, len(enough))
    return tuple(
        _difference(
            (candidate.where(rows), live.where(rows)), task=task, metric=metric, seed=seed, level=level, slice_by=column, value=value
        )
        for (column, value), rows in enough.items()
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
    measured = {row["metric"]: row["value"] for row in overall.iter_rows(named=True)}
    results = [_bound(metric, measured.get(metric), floor, kind="floor") for metric, floor in floors.items()]
    results += [_bound(metric, measured.get(metric), ceiling, kind="ceiling") for metric, ceiling in ceilings.items()]
    results.append(_against_live(difference))
    return results + [_slices(column, slices) for column in dict.fromkeys(item.slice_by for item in slices)]


def passed(results: Iterable[GateResult]) -> bool:
    """Whether every condition holds; no condition at all is not a pass."""
    verdicts = [result.passed for result in results]
    return bool(verdicts) and all(verdicts)


def _pair(frame: pl.DataFrame, *, task: Task) -> tuple[Scored, Scored]:
    return scored(frame, task=task), scored(frame, task=task, prediction="live_prediction")


def _difference(
    pair: tuple[Scored, Scored], *, task: Task, metric: str, seed: int, level: float, slice_by: str = ALL, value: str = ALL
) -> Difference:
    if metric not in BETTER:
        raise NoBetterSide(metric=metric)
    days = pair[0].days
    weights, once = day_weights(days, seed=seed), np.ones((1, days))
    found = [evidence(part, task=task, edges=quantile_edges(part.prediction, _CALIBRATION_BINS)) for part in pair]
    point, replicates = (found[0].value(metric, which) - found[1].value(metric, which) for which in (once, weights))
    present = int((found[0].sums["rows"] > 0).sum())
    middle, low, high = interval(point, replicates, days=present, level=level)
    return Difference(metric=metric, value=middle, low=low, high=high, days=present, rows=found[0].rows, slice_by=slice_by, slice=value)


def _bound(metric: str, value: float | None, bound: float, *, kind: str) -> GateResult:
    name = f"{metric} {kind}"
    if value is None or not np.isfinite(value):
        said = f"{metric} was not measured, so its {kind} {bound:g} is not shown to be kept. Look at the evaluation's rows and classes."
        return GateResult(name=name, passed=False, value=None, bound=bound, sentence=said)
    holds = value >= bound if kind == "floor" else value <= bound
    relation = {("floor", True): "reaches", ("floor", False): "is below", ("ceiling", True): "keeps to", ("ceiling", False): "is above"}
    said = f"{metric} {value:.4g} {relation[kind, holds]} its {kind} {bound:g}."
    return GateResult(name=name, passed=holds, value=value, bound=bound, sentence=said)


def _against_live(difference: Difference | None) -> GateResult:
    if difference is None:
        return GateResult(
            name=AGAINST_LIVE, passed=True, value=None, bound=None, sentence="Nothing is live, so there is nothing to compare with."
        )
    if not difference.known:
        said = (
            f"{difference.metric} of candidate and live version cannot be compared on {difference.rows:,} examples "
            f"of {difference.days} days. Hold out more days, or judge by hand."
        )
        return GateResult(name=AGAINST_LIVE, passed=False, value=difference.value, bound=0.0, sentence=said)
    verdict = "the candidate is worse" if difference.worse else "the candidate is not worse"
    said = f"{_phrase(difference)} on {difference.rows:,} examples of {difference.days} days that neither was trained on: {verdict}."
    return GateResult(name=AGAINST_LIVE, passed=not difference.worse, value=difference.value, bound=0.0, sentence=said)


def _slices(column: str, slices: Sequence[Difference]) -> GateResult:
    mine = [item for item in slices if item.slice_by == column]
    known = [item for item in mine if item.known and item.value is not None]
    worse = [item for item in known if item.worse]
    name = f"{AGAINST_LIVE} by {column}"
    if not known:
        return GateResult(
            name=name, passed=False, value=None, bound=0.0, sentence=f"No slice of {column} could be compared with the live version."
        )
    shown = max(worse or known, key=_loss)
    said = f"The candidate is worse in {len(worse)} of {len(known)} slices of {column}; worst {shown.slice}: {_phrase(shown)}."
    return GateResult(name=name, passed=not worse, value=shown.value, bound=0.0, sentence=said)


def _loss(item: Difference) -> float:
    value = item.value or 0.0
    return -value if BETTER[item.metric] == "higher" else value


def _phrase(item: Difference) -> str:
    return f"{item.metric} {item.value:+.4f} [{item.low:+.4f}, {item.high:+.4f}] against the live version"
