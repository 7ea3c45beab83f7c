"""How feature rows become numbers, and numbers answers: the same for fitting and for scoring. Nothing here learns."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from mlops_assets.specs import Parts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Categories = Mapping[str, Sequence[str]]
"""The known values of each text column in alphabetical order: a value's place is its number."""


def categories(rows: pl.DataFrame, features: Sequence[str]) -> dict[str, list[str]]:
    """The values of the text columns among the features."""
    return {name: rows[name].drop_nulls().unique().sort().to_list() for name in features if rows.schema[name] == pl.String}


def matrix(rows: pl.DataFrame, features: Sequence[str], known: Categories) -> "npt.NDArray[np.float64]":
    """One row of numbers an example; null, and a text that is not known, become NaN."""
    return rows.select(_number(name, known.get(name)) for name in features).to_numpy()


def answers(parts: Parts, examples: pl.DataFrame) -> pl.Series:
    """What the booster among the parts says of each example."""
    booster: Any = parts["booster"]
    numbers = matrix(examples, booster.feature_name(), parts["categories"])
    return pl.Series("prediction", booster.predict(numbers, num_threads=1))


def _number(name: str, values: Sequence[str] | None) -> pl.Expr:
    if values is None:
        return pl.col(name).cast(pl.Float64).fill_null(float("nan"))
    return pl.col(name).replace_strict(values, range(len(values)), default=None, return_dtype=pl.Float64).fill_null(float("nan"))
