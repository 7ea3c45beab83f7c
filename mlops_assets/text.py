"""How the text of a CSV file becomes a contract's values, and which rows are of which month.

What cannot be read never becomes a value, nor "missing": it becomes null where the contract wants a value, NaN or the epoch where null is
allowed, so that the contract or ingestion refuses the row.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl

from mlops_assets.table import DTYPES, Column, Table

NULLS: Final = ("NA", "")
EPOCH: Final = pl.lit(datetime(1970, 1, 1, tzinfo=UTC), DTYPES[datetime])
TRUTH: Final = {"true": 1.0, "false": 0.0}


def typed(
    raw: pl.DataFrame, contract: type[Table], *, instants: Mapping[str, str], timezone: str, names: Mapping[str, str]
) -> pl.DataFrame:
    """The columns of ``contract`` that the text rows hold, in its types.

    ``instants`` gives the format of each instant column; clock times without an offset are those of ``timezone``. ``names`` gives the
    header of a column where it is called otherwise in the file.
    """
    headers = {name: names.get(name, name) for name in contract.columns}
    return raw.select(
        _value(pl.col(header), contract.columns[name], instants.get(name, ""), timezone).alias(name)
        for name, header in headers.items()
        if header in raw.columns
    )


def instant(text: pl.Expr, form: str, timezone: str) -> pl.Expr:
    """A written instant in UTC: null when it cannot be read, or when that clock time does not exist."""
    found = text.str.strip_chars().str.to_datetime(form, time_unit="us", strict=False, ambiguous="earliest")
    if "%#z" in form:
        return found
    return found.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")


def local_month(moment: pl.Expr, timezone: str) -> pl.Expr:
    """``YYYY-MM`` of an instant, by the calendar of ``timezone``."""
    return moment.dt.convert_time_zone(timezone).dt.strftime("%Y-%m")


def archive(path: Path, *, time: str, form: str, timezone: str) -> Callable[[str | None], pl.DataFrame]:
    """A function from a month to the text rows of a CSV file whose ``time`` lies in it (None: all rows)."""

    def rows(month: str | None) -> pl.DataFrame:
        raw = read(path)
        return raw if month is None else raw.filter(local_month(instant(pl.col(time), form, timezone), timezone) == month)

    return rows


def read(path: Path) -> pl.DataFrame:
    """A CSV file as text columns; ``NA`` and nothing are null."""
    return pl.read_csv(path, infer_schema=False, null_values=list(NULLS))


def _value(text: pl.Expr, col: Column, form: str, timezone: str) -> pl.Expr:
    text = text.str.strip_chars()
    if col.dtype == DTYPES[datetime]:
        found = instant(text, form, timezone)
        return found if not col.nullable else pl.when(text.is_not_null()).then(found.fill_null(EPOCH))
    if col.dtype == pl.Float64():
        number = pl.coalesce(text.cast(pl.Float64, strict=False), text.str.to_lowercase().replace_strict(TRUTH, default=None))
        return pl.when(text.is_not_null()).then(number.fill_null(float("nan")))
    if col.dtype == pl.Boolean():
        return text.str.to_lowercase().replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)
    return text.cast(col.dtype, strict=False)
