"""What a day's rows look like: counts over bins that were fixed by a training set, nulls, mean and spread, for all rows and columns. Pure.

Profiles are additive: a week, a month or a reference window is a sum, and no row is needed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

import numpy as np
import polars as pl

from resources.errors import PlatformError
from resources.monitors.frames import PROFILE
from resources.monitors.metrics import Floats, Ints, quantile_edges

BINS: Final = 65
CATEGORIES: Final = 200


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

    numeric: bool
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    counts: tuple[int, ...]

    @classmethod
    def of(cls, values: pl.Series) -> Self:
        """Quantile bins, or the most frequent categories."""
        numbers = _numbers(values)
        if numbers is None:
            known = values.cast(pl.String).drop_nulls().alias("value")
            frequent = known.to_frame().group_by("value").len().sort(["len", "value"], descending=[True, False]).head(CATEGORIES)
            counts = (*frequent["len"].to_list(), len(known) - int(frequent["len"].sum()))
            return cls(numeric=False, categories=tuple(frequent["value"].to_list()), counts=counts)
        known = np.sort(numbers[~np.isnan(numbers)])
        edges = quantile_edges(known, BINS)
        ends = np.searchsorted(known, edges, side="right")
        return cls(numeric=True, edges=tuple(edges.tolist()), counts=tuple(np.diff(ends, prepend=0, append=len(known)).tolist()))

    def bins(self, values: pl.Series, numbers: Floats | None) -> Ints:
        """The bin of each value; -1 for null."""
        if self.numeric and numbers is not None:
            return np.where(np.isnan(numbers), -1, np.searchsorted(np.array(self.edges), numbers, side="left"))
        places = {None: -1, **{category: place for place, category in enumerate(self.categories)}}
        return values.cast(pl.String).replace_strict(places, default=len(self.categories), return_dtype=pl.Int64).to_numpy()


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The bins of every column, fixed once from a training set; profiles are comparable when their ``id`` is equal."""

    columns: Mapping[str, ColumnReference]

    @classmethod
    def of(cls, frame: pl.DataFrame, *, columns: Sequence[str]) -> Self:
        """Quantile bins and frequent categories of a training set."""
        return cls(columns={name: ColumnReference.of(frame[name]) for name in columns})

    @cached_property
    def id(self) -> str:
        """Hash of the bins; how full they are does not matter."""
        bins = {name: ["number" if one.numeric else "category", one.edges, one.categories] for name, one in self.columns.items()}
        return hashlib.sha256(json.dumps(bins, sort_keys=True).encode()).hexdigest()[:16]


def daily_profile(frame: pl.DataFrame, *, columns: Sequence[str], reference: Reference) -> pl.DataFrame:
    """One row for each ``day`` and column in the form PROFILE, over all rows. A NaN is a null; mean and sd are of the finite numbers."""
    days = frame["day"].unique().sort()
    place = frame["day"].replace_strict(days, range(len(days)), return_dtype=pl.Int64).to_numpy()
    parts = [_profile(frame[name], reference.columns[name], days=days, place=place) for name in columns]
    whole = pl.concat([pl.DataFrame(schema=dict(PROFILE)).drop("reference"), *parts])
    return whole.fill_nan(None).with_columns(reference=pl.lit(reference.id)).sort("day", maintain_order=True)


def _profile(values: pl.Series, fixed: ColumnReference, *, days: pl.Series, place: Ints) -> pl.DataFrame:
    numbers, size = _numbers(values), len(fixed.counts) + 1
    counts = np.bincount(place * size + fixed.bins(values, numbers) + 1, minlength=len(days) * size).reshape(len(days), size)
    mean, sd = _moments(np.full(len(place), np.nan) if numbers is None else numbers, place=place, days=len(days))
    content = {"rows": counts.sum(axis=1), "nulls": counts[:, 0], "mean": mean, "sd": sd, "counts": pl.Series(counts[:, 1:]).arr.to_list()}
    return pl.DataFrame({"day": days, "column": values.name, **content})


def _moments(numbers: Floats, *, place: Ints, days: int) -> tuple[Floats, Floats]:
    """Mean and spread of the finite numbers of each day, NaN where there are too few."""
    finite = np.isfinite(numbers)
    which, values = place[finite], numbers[finite]
    count = np.bincount(which, minlength=days)
    mean = np.bincount(which, weights=values, minlength=days) / np.maximum(count, 1)
    spread = np.bincount(which, weights=(values - mean[which]) ** 2, minlength=days) / np.maximum(count - 1, 1)
    return np.where(count > 0, mean, np.nan), np.where(count > 1, np.sqrt(spread), np.nan)


def _numbers(values: pl.Series) -> Floats | None:
    """Numbers with NaN for null; None for categories."""
    if values.dtype.is_numeric():
        return values.cast(pl.Float64).to_numpy()
    if isinstance(values.dtype, (pl.String, pl.Boolean, pl.Categorical, pl.Enum, pl.Null)):
        return None
    raise UnprofiledColumn(column=values.name, dtype=values.dtype)
