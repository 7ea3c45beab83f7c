"""Scores departures: minutes in the air."""

import polars as pl

from mlops_assets.flights.features.matrix import matrix
from mlops_assets.specs import Parts


def predict(parts: Parts, examples: pl.DataFrame) -> pl.Series:
    """The minutes that each example will spend in the air."""
    booster = parts["booster"]
    return pl.Series("prediction", booster.predict(matrix(examples, booster.feature_name(), parts["categories"]), num_threads=1))
