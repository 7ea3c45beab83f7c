"""How feature rows become the numbers that a tree reads: the same for fitting and for scoring."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    import numpy as np

def categories(rows: pl.DataFrame, features: Sequence[str]) -> dict[str, list[str]]:
    """The values of each text column in alphabetical order: a value's place is its number."""
    return {name: rows[name].drop_nulls().unique().sort().to_list() for name in features if rows.schema[name] == pl.String}


def matrix(rows: pl.DataFrame, features: Sequence[str], known: dict[str, list[str]]) -> "np.ndarray":
    """One row of numbers an example; null and a text that was not known become NaN."""
    numbers = [
        pl.col(name).replace_strict(known[name], range(len(known[name])), default=None, return_dtype=pl.Float64)
        if name in known
        else pl.col(name).cast(pl.Float64)
        for name in features
    ]
    return rows.select(numbers).fill_null(float("nan")).to_numpy()
