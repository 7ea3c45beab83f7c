"""What a feature frame holds, feature by feature: how much is missing, where the numbers lie, how many words there are. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

STATISTICS: Final[Mapping[str, pl.DataType]] = {
    "feature": pl.String(),
    "rows": pl.Int64(),
    **dict.fromkeys(("null_share", "mean", "min", "max"), pl.Float64()),
    "distinct": pl.Int64(),
}


def statistics(frame: pl.DataFrame, features: Sequence[str]) -> pl.DataFrame:
    """One row a feature in the form STATISTICS, over all rows at once.

    NaN counts as null. Mean, min and max are of the numbers (of a boolean: the share of true, 0 and 1), ``distinct`` counts the texts.
    """
    found = frame.select(one for name in features for one in _of(name, frame.schema[name])).row(0) if features else ()
    size = len(STATISTICS) - 1
    rows = [(name, *found[place * size : (place + 1) * size]) for place, name in enumerate(features)]
    return pl.DataFrame(rows, schema=dict(STATISTICS), orient="row")


def _of(name: str, dtype: pl.DataType) -> list[pl.Expr]:
    column = pl.col(name).fill_nan(None) if dtype.is_float() else pl.col(name)
    number = column.cast(pl.Float64) if dtype.is_numeric() or dtype == pl.Boolean else pl.lit(None, pl.Float64)
    distinct = column.drop_nulls().n_unique() if dtype == pl.String else pl.lit(None, pl.Int64)
    said = (pl.len(), column.is_null().mean(), number.mean(), number.min(), number.max(), distinct)
    return [one.alias(f"{name} {what}") for what, one in zip(list(STATISTICS)[1:], said, strict=True)]
