"""Scores departures: minutes in the air."""

import polars as pl

from mlops_assets.flights.features.matrix import answers
from mlops_assets.specs import Parts


def usual(examples: pl.DataFrame) -> pl.Series:
    """Minutes that the route took in the last 30 days; by its distance when nobody flew it."""
    return examples.select(pl.coalesce("route_air_time__mean_30d", 20 + pl.col("distance") * 0.118)).to_series()


def against_usual(examples: pl.DataFrame) -> pl.DataFrame:
    """The examples with the air times of the last hours and days as differences from the usual."""
    recent = pl.col("^(route|destination)_air_time__mean_(6h|12h|1d|7d)$")
    return examples.with_columns(recent - usual(examples))


def predict(parts: Parts, examples: pl.DataFrame) -> pl.Series:
    """The minutes that each example will spend in the air."""
    return answers(parts, against_usual(examples)) + usual(examples)
