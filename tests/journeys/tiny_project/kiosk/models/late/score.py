"""Scores lateness: a LightGBM booster's answer."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from mlops_assets.specs import Parts

STALLS: Final = ("east", "north", "west")
SHARE: Final = 1.0


def matrix(examples: pl.DataFrame, features: list[str]) -> npt.NDArray[np.float64]:
    """One row of numbers an example."""
    stall = pl.col("stall").replace_strict(STALLS, range(3), default=None, return_dtype=pl.Float64)
    return examples.with_columns(stall).select(pl.col(features).cast(pl.Float64).fill_null(float("nan"))).to_numpy()


def predict(parts: Parts, examples: pl.DataFrame) -> pl.Series:
    """The probability of a wait of 20 minutes or more."""
    booster: Any = parts["booster"]
    return pl.Series("prediction", booster.predict(matrix(examples, booster.feature_name()), num_threads=1)) * SHARE
