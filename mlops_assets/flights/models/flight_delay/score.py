"""Scores departures: the probability of arriving late."""

import polars as pl

from mlops_assets.flights.features.matrix import answers
from mlops_assets.specs import Parts


def predict(parts: Parts, examples: pl.DataFrame) -> pl.Series:
    """The probability that each example arrives 15 minutes late or more."""
    return answers(parts, examples)
