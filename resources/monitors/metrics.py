"""How good predictions are: metrics with intervals, overall and by slice, and calibration. Pure; knows nothing of versions or gates.

Examples of one day share weather and crowds, so the day is the unit of inference: every metric is written as a function of sums per day
(the AUC: of wins per pair of days), which are computed once; a bootstrap replicate only weighs the days again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from resources.errors import PlatformError
from resources.monitors.frames import ALL, ANSWER, CALIBRATION, EVALUATION, METRICS, Task

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bounds = tuple[float, float]
Measured = tuple[float | None, float | None, float | None]
"""Value, low and high."""
UNKNOWN: Final[Measured] = (None, None, None)
UNBOUNDED: Final[Bounds] = (-np.inf, np.inf)

SLICED: Final[Mapping[Task, tuple[str, ...]]] = {"classification": ("auc", "log_loss"), "regression": ("mae",)}
BETTER: Final[Mapping[str, Literal["higher", "lower"]]] = {
    "auc": "higher", "r2": "higher", "log_loss": "lower", "brier": "lower", "ece": "lower", "mae": "lower", "rmse": "lower",
}  # fmt: skip
"""Which way a metric improves; ``bias`` and ``base_rate`` have no better side."""

REPLICATES: Final = 200
LEVEL: Final = 0.95
MIN_ROWS: Final = 100
MIN_PER_CLASS: Final = 10
MIN_DAYS: Final = 3
MOST_SLICES: Final = 50
BINS: Final = 10
NO_VALUE: Final = "(null)"
RANGE: Final[Mapping[str, Bounds]] = {
    "auc": (0, 1), "log_loss": (0, np.inf), "brier": (0, 1), "ece": (0, 1), "base_rate": (0, 1), "mae": (0, np.inf), "rmse": (0, np.inf),
    "r2": (-np.inf, 1), "bias": UNBOUNDED,
}  # fmt: skip
_EPSILON: Final = float(np.finfo(np.float64).eps)


class UnusableScores(PlatformError):
    """Labels or predictions that no metric can be computed from."""

    def __init__(self, *, column: str, rows: int, why: str) -> None:
        """``rows`` values of ``column`` break the rule in ``why``."""
        super().__init__(f"{column}: {rows:,} values {why}, so nothing was measured. Look at `score` in score.py or at the label's column.")


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a set of examples says, as sums per day: enough to weigh the days again without the rows."""

    sums: Mapping[str, Floats]
    wins: Floats | None = None
    gaps: Floats | None = None

    @property
    def rows(self) -> int:
        """How many examples."""
        return int(self.sums["rows"].sum())

    @property
    def days(self) -> int:
        """On how many days."""
        return int((self.sums["rows"] > 0).sum())

    @property
    def enough(self) -> bool:
        """Whether a slice may be judged by itself: it has enough rows and, where classes are told apart, of each class."""
        classes = () if self.wins is None else (self.sums["label"].sum(), self.rows - self.sums["label"].sum())
        return self.rows >= MIN_ROWS and all(rows >= MIN_PER_CLASS for rows in classes)

    def value(self, metric: str, weights: Floats) -> Floats:
        """The metric for each row of ``weights`` (replicates x days); NaN where it does not exist."""
        total = {name: np.einsum("rd,d->r", weights, sums) for name, sums in self.sums.items()}
        rows = total["rows"]
        with np.errstate(divide="ignore", invalid="ignore"):
            match metric:
                case "auc" if self.wins is not None:
                    return np.einsum("rd,de,re->r", weights, self.wins, weights) / (total["label"] * (rows - total["label"]))
                case "ece" if self.gaps is not None:
                    return np.abs(np.einsum("rd,db->rb", weights, self.gaps)).sum(axis=1) / rows
                case "base_rate":
                    return total["label"] / rows
                case "rmse":
                    return np.sqrt(total["square"] / rows)
                case "r2":
                    return 1 - total["square"] / (total["centred_square"] - total["centred"] ** 2 / rows)
                case _:
                    return total[metric] / rows

    def measured(
        self, metric: str, *, seed: int, minus: Evidence | None = None, level: float = LEVEL, within: Bounds = UNBOUNDED
    ) -> Measured:
        """The metric (``minus`` that of other evidence of the same days) with a t interval over days; null with fewer than 3 days.

        The spread is that of replicates which draw the days again. Measured on 7 days: percentiles of the replicates cover the truth in
        86 % of the cases, this in 94 %, at the nominal 95 %.
        """
        drawn = day_weights(len(self.sums["rows"]), seed=seed)
        weights = np.vstack([np.ones_like(drawn[:1]), drawn])
        found = self.value(metric, weights) - (minus.value(metric, weights) if minus else 0.0)
        value, replicates = float(found[0]), found[1:][np.isfinite(found[1:])]
        if not np.isfinite(value):
            return UNKNOWN
        if self.days < MIN_DAYS or len(replicates) < REPLICATES // 2:
            return value, None, None
        half = student(level, freedom=self.days - 1) * float(replicates.std()) * float(np.sqrt(self.days / (self.days - 1)))
        return value, max(value - half, within[0]), min(value + half, within[1])


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Examples as arrays: what was predicted, what happened, on which day (an index into the days present)."""

    label: Floats
    prediction: Floats
    day: Ints
    days: int

    def where(self, rows: npt.NDArray[np.bool_]) -> Scored:
        """The examples of a slice; days keep their index."""
        return Scored(label=self.label[rows], prediction=self.prediction[rows], day=self.day[rows], days=self.days)

    def per_day(self, **terms: Floats) -> dict[str, Floats]:
        """Sums of rows and terms, by day."""
        terms["rows"] = np.ones(len(self.label))
        return {name: np.bincount(self.day, weights=values, minlength=self.days).astype(np.float64) for name, values in terms.items()}


def scored(frame: pl.DataFrame, *, task: Task, prediction: str = "prediction") -> Scored:
    """The columns ``label``, ``prediction`` and ``day`` as arrays, refused by name when they hold what cannot be measured."""
    label, guess = (frame[name].cast(pl.Float64).to_numpy() for name in ("label", prediction))
    for name, values in (("label", label), (prediction, guess)):
        _refuse(name, ~np.isfinite(values), "are null or not finite")
    if task == "classification":
        _refuse("label", (label != 0) & (label != 1), "are neither 0 nor 1")
        _refuse(prediction, (guess < 0) | (guess > 1), "are not probabilities between 0 and 1")
    _refuse("day", frame["day"].is_null().to_numpy(), "are null")
    present, day = np.unique(frame["day"].to_numpy(), return_inverse=True)
    return Scored(label=label, prediction=guess, day=day.astype(np.int64), days=len(present))


def evidence(data: Scored, *, task: Task) -> Evidence:
    """Sums per day of everything that the task's metrics need; calibration is judged in bins of equally many rows."""
    error = data.prediction - data.label
    if task == "regression":
        centred = data.label - (data.label.mean() if len(error) else 0.0)
        terms = {"mae": np.abs(error), "bias": error, "square": error**2, "centred": centred, "centred_square": centred**2}
        return Evidence(sums=data.per_day(**terms, **{ANSWER: data.prediction}))
    safe = np.clip(data.prediction, _EPSILON, 1 - _EPSILON)
    losses = {"log_loss": -np.log(np.where(data.label == 1, safe, 1 - safe)), "brier": error**2}
    sums = data.per_day(label=data.label, **losses, **{ANSWER: data.prediction})
    cuts = quantile_edges(np.sort(data.prediction), BINS)
    size = len(cuts) + 1
    place = data.day * size + np.searchsorted(cuts, data.prediction, side="left")
    gaps = np.bincount(place, weights=error, minlength=data.days * size).astype(np.float64).reshape(data.days, size)
    return Evidence(sums=sums, wins=_wins(data), gaps=gaps)


def evaluate(*, task: Task, frame: pl.DataFrame, slices: Sequence[str], seed: int) -> pl.DataFrame:
    """Metrics of ``frame`` (``label``, ``prediction``, ``day`` and the slice columns) in the form EVALUATION.

    Slices carry only the main metrics. A slice with fewer than 100 rows, or than 10 of either class, has a null value; one column gives at
    most its 50 largest slices. The interval is that of a bootstrap over days; it is null with fewer than 3 days.
    """
    data = scored(frame, task=task)
    overall = evidence(data, task=task)
    judged: list[tuple[str, str, Evidence, Sequence[str], bool]] = [(ALL, ALL, overall, METRICS[task], overall.rows > 0)]
    for column, value, mine in parts(frame, slices):
        part = evidence(data.where(mine), task=task)
        judged.append((column, value, part, SLICED[task], part.enough))
    rows = [
        (metric, column, value, *(found.measured(metric, seed=seed, within=RANGE[metric]) if known else UNKNOWN), found.rows)
        for column, value, found, metrics, known in judged
        for metric in metrics
    ]
    return pl.DataFrame(rows, schema=dict(EVALUATION), orient="row")


def parts(frame: pl.DataFrame, slices: Sequence[str]) -> Iterator[tuple[str, str, npt.NDArray[np.bool_]]]:
    """Column, value and rows of each slice: of each column at most 50, those with most rows first."""
    for column in slices:
        values = frame.select(pl.col(column).cast(pl.String).fill_null(NO_VALUE).alias("value"))
        largest = values.group_by("value").len().sort(["len", "value"], descending=[True, False]).head(MOST_SLICES)
        yield from ((column, value, (values["value"] == value).to_numpy()) for value in largest["value"])


def calibration(frame: pl.DataFrame) -> pl.DataFrame:
    """Mean prediction against mean label in bins of equally many rows, with the interval of the mean label over days."""
    data = scored(frame, task="regression")
    place = np.searchsorted(quantile_edges(np.sort(data.prediction), BINS), data.prediction, side="left")
    within = float(data.label.min()), float(data.label.max())
    rows: list[tuple[object, ...]] = []
    for number in np.unique(place):
        part = data.where(place == number)
        found = Evidence(sums=part.per_day(label=part.label))
        rows.append((int(number), found.rows, float(part.prediction.mean()), *found.measured("label", seed=0, within=within)))
    return pl.DataFrame(rows, schema=dict(CALIBRATION), orient="row")


@lru_cache(maxsize=8)
def day_weights(days: int, *, seed: int) -> Floats:
    """How often each day is drawn, in each replicate."""
    if not days:
        return np.zeros((REPLICATES, 0))
    return np.random.default_rng(seed).multinomial(days, np.full(days, 1 / days), size=REPLICATES).astype(np.float64)


def student(level: float, *, freedom: int) -> float:
    """Two-sided quantile of Student's t (Cornish-Fisher, within 0.5 % from 5 degrees on): scipy would cost half a second of import."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def quantile_edges(ordered: Floats, bins: int) -> Floats:
    """Upper ends of all bins but the last, for values in ascending order: values that occur, so that a lattice of numbers is kept."""
    if not len(ordered):
        return ordered
    places = np.ceil(np.arange(1, bins) * len(ordered) / bins).astype(np.int64) - 1
    edges = np.unique(ordered[np.maximum(places, 0)])
    return edges[edges < ordered[-1]]


def _wins(data: Scored) -> Floats:
    """How often a positive of day i scores above a negative of day j (a tie counts half), for all pairs of days."""
    order = np.argsort(data.prediction)
    positive, day, prediction = data.label[order] == 1, data.day[order], data.prediction[order]
    wins = np.zeros((data.days, data.days))
    for other in range(data.days):
        beaten = prediction[~positive & (day == other)]
        times = sum(np.searchsorted(beaten, prediction[positive], side=side) for side in ("left", "right")) / 2
        wins[:, other] = np.bincount(day[positive], weights=times, minlength=data.days)
    return wins


def _refuse(column: str, bad: npt.NDArray[np.bool_], why: str) -> None:
    if bad.any():
        raise UnusableScores(column=column, rows=int(bad.sum()), why=why)
