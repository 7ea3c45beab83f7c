"""Fits the air time regression."""

from mlops_assets.flights.features.trees import grow
from mlops_assets.flights.models.air_time.score import against_usual, usual
from mlops_assets.specs import Log, Parts, TrainingData


def fit(data: TrainingData, log: Log) -> Parts:
    """Fifty small trees for what differs from the usual time; Huber's loss forgives the odd detour."""
    rows = data.everything()
    target = rows[data.label] - usual(rows)
    return grow(data, log, rows=against_usual(rows), target=target, trees=50, learning_rate=0.15, objective="huber", alpha=8.0)
