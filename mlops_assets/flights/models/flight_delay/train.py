"""Fits the delay classifier."""

from mlops_assets.flights.features.trees import grow
from mlops_assets.specs import Log, Parts, TrainingData


def fit(data: TrainingData, log: Log) -> Parts:
    """Seventy small trees on all rows."""
    rows = data.everything()
    return grow(data, log, rows=rows, target=rows[data.label], trees=70, objective="binary", feature_fraction=0.35)
