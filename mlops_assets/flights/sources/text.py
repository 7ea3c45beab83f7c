"""How raw text becomes values: what cannot be read never turns into a value or into "missing", so that the contract refuses the row."""

from typing import Final

import polars as pl

from mlops_assets.flights.contracts.weather import NEW_YORK
from mlops_assets.specs import Months

MONTHS: Final = Months(timezone=NEW_YORK)
"""Every origin (EWR, JFK, LGA) keeps New York time."""


def whole(name: str) -> pl.Expr:
    """A whole number that must be there: null when it cannot be read."""
    return pl.col(name).cast(pl.Int64, strict=False)


def number(name: str) -> pl.Expr:
    """A number that may be missing: NaN, which no range admits, when there is text that cannot be read."""
    value = pl.col(name).cast(pl.Float64, strict=False)
    return pl.when(pl.col(name).is_not_null()).then(value.fill_null(float("nan")))


def instant(name: str) -> pl.Expr:
    """An ISO 8601 instant in UTC: null when it cannot be read."""
    return pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC", strict=False)


def minutes(value: pl.Expr) -> pl.Expr:
    """A duration of so many minutes; null for null and NaN."""
    return pl.duration(minutes=value.fill_nan(None))


def year_month() -> pl.Expr:
    """The columns ``year`` and ``month`` as ``YYYY-MM``."""
    return pl.format("{}-{}", pl.col("year").str.zfill(4), pl.col("month").str.zfill(2))
