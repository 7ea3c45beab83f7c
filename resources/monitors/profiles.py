"""What a day's rows look like: counts over bins that were fixed by a training set, nulls, mean and spread, for all rows and columns. Pure.

Profiles are additive: a week, a month or a reference window is a sum, and no row is needed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Final, Literal, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from resources.errors import PlatformError
from resources.monitors.frames import PROFILE
from resources.monitors.metrics import quantile_edges

BINS: Final = 65
CATEGORIES: Final = 200
Kind = Literal["number", "category"]


class UnprofiledColumn(PlatformError):
    """A column of a kind that has no profile."""

    def __init__(self, *, column: str, dtype: pl.DataType) -> None:
        """``column`` holds neither numbers nor categories."""
        super().__init__(f"{column}: {dtype} has no profile, so it cannot be watched. Pass numbers, booleans and strings only.")


@dataclass(frozen=True, kw_only=True)
class ColumnReference:
    """The bins of one column and how the training set fills them.

    Numbers: upper ends of all bins but the last. Categories: one bin for each of the 200 most frequent, one for all others, seen or unseen.
    """

    kind: Kind
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    counts: tuple[int, ...]
    nulls: int

    @property
    def size(self) -> int:
        """Number of bins."""
        return len(self.counts)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The bins of every column, fixed once from a training set; profiles are comparable when their ``id`` is equal."""

    columns: Mapping[str, ColumnReference]

    @classmethod
    def of(cls, frame: pl.DataFrame, *, columns: Sequence[str]) -> Self:
        """Quantile bins and frequent categories of a training set."""
        return cls(columns={name: _column_reference(frame[name]) for name in columns})

    @cached_property
    def id(self) -> str:
        """Hash of the bins; how full they are does not matter."""
        bins = {name: [column.kind, column.edges, column.categories] for name, column in self.columns.items()}
        return hashlib.sha256(json.dumps(bins, sort_keys=True).encode()).hexdigest()[:16]


def daily_profile(frame: pl.DataFrame, *, columns: Sequence[str], reference: Reference | None, day: str = "day") -> pl.DataFrame:
    """One row for each day and column in the form PROFILE, over all rows; ``day`` names the date column.

    Without a reference there are no counts. A NaN is a null; mean and sd are of the finite numbers.
    """
    present, place = np.unique(frame[day].to_numpy(), return_inverse=True)
    days = [value.astype("datetime64[D]").item() for value in present]
    rows = np.bincount(place, minlength=len(days))
    parts = [_profile(frame[name], days=days, place=place, rows=rows, reference=reference) for name in columns]
    whole = pl.concat(parts) if parts else pl.DataFrame(schema=dict(PROFILE))
    return whole.sort("day", maintain_order=True)


def _profile(
    values: pl.Series, *, days: list[date], place: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], reference: Reference | None
) -> pl.DataFrame:
    kind = _kind(values)
    fixed = None if reference is None else reference.columns[values.name]
    numbers = _numbers(values) if kind == "number" else None
    known = ~np.isnan(numbers) if numbers is not None else values.is_not_null().to_numpy()
    nulls = rows - np.bincount(place[known], minlength=len(days))
    mean, sd = _moments(numbers, place=place, days=len(days)) if numbers is not None else (None, None)
    counts = None
    if fixed is not None:
        bins = (
            np.searchsorted(np.array(fixed.edges), numbers[known], side="left") if numbers is not None else _category(values, fixed)[known]
        )
        flat = np.bincount(place[known] * fixed.size + bins, minlength=len(days) * fixed.size)
        counts = flat.reshape(len(days), fixed.size).tolist()
    content = {
        "day": days, "column": [values.name] * len(days), "rows": rows, "nulls": nulls, "mean": mean, "sd": sd, "counts": counts,
        "reference": reference.id if reference is not None else None,
    }  # fmt: skip
    return pl.DataFrame(
        {name: value if value is not None else [None] * len(days) for name, value in content.items() if name != "reference"},
        schema={name: dtype for name, dtype in PROFILE.items() if name != "reference"},
    ).with_columns(reference=pl.lit(content["reference"], dtype=pl.String))


def _moments(numbers: npt.NDArray[np.float64], *, place: npt.NDArray[np.int64], days: int) -> tuple[list[float | None], list[float | None]]:
    finite = np.isfinite(numbers)
    which, values = place[finite], numbers[finite]
    count = np.bincount(which, minlength=days)
    total = np.bincount(which, weights=values, minlength=days)
    mean = total / np.maximum(count, 1)
    spread = np.bincount(which, weights=(values - mean[which]) ** 2, minlength=days) / np.maximum(count - 1, 1)
    return (
        [float(value) if n else None for value, n in zip(mean, count, strict=True)],
        [float(value) if n > 1 else None for value, n in zip(np.sqrt(spread), count, strict=True)],
    )


def _column_reference(values: pl.Series) -> ColumnReference:
    kind = _kind(values)
    if kind == "number":
        numbers = _numbers(values)
        known = numbers[~np.isnan(numbers)]
        edges = quantile_edges(known, BINS)
        counts = np.bincount(np.searchsorted(edges, known, side="left"), minlength=len(edges) + 1)
        return ColumnReference(kind=kind, edges=tuple(edges.tolist()), counts=tuple(counts.tolist()), nulls=len(numbers) - len(known))
    known = values.cast(pl.String).drop_nulls().alias("value")
    frequent = known.to_frame().group_by("value").len().sort(["len", "value"], descending=[True, False]).head(CATEGORIES)
    counts = (*frequent["len"].to_list(), len(known) - int(frequent["len"].sum()))
    return ColumnReference(kind=kind, categories=tuple(frequent["value"].to_list()), counts=counts, nulls=len(values) - len(known))


def _kind(values: pl.Series) -> Kind:
    if values.dtype.is_numeric():
        return "number"
    if isinstance(values.dtype, (pl.String, pl.Boolean, pl.Categorical, pl.Enum, pl.Null)):
        return "category"
    raise UnprofiledColumn(column=values.name, dtype=values.dtype)


def _numbers(values: pl.Series) -> npt.NDArray[np.float64]:
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _category(values: pl.Series, fixed: ColumnReference) -> npt.NDArray[np.int64]:
    size = len(fixed.categories)
    index = {category: place for place, category in enumerate(fixed.categories)}
    return values.cast(pl.String).replace_strict(index, default=size, return_dtype=pl.Int64).fill_null(size).to_numpy()
