"""What a model's ``fit`` and ``score`` receive and return. Plain data: callable in a notebook, without the platform behind it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import polars as pl

Parts = dict[str, Any]
"""Named parts of a fitted model: a LightGBM or XGBoost booster, an array, or plain JSON values; each is stored in a safe format."""


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What ``fit`` receives: frames in time order with the features, ``label``, ``day`` and ``predict_at``.

    ``validation`` is later in time than ``train``; neither holds the held-out days on which the model will be judged.
    """

    train: pl.DataFrame
    validation: pl.DataFrame
    features: tuple[str, ...]
    seed: int
    label: str = "label"

    def everything(self) -> pl.DataFrame:
        """Train and validation rows together, in time order: for a fit that needs no early stopping."""
        return pl.concat([self.train, self.validation])


class Log(Protocol):
    """What ``fit`` may say while it runs; it ends up in the model's one MLflow run."""

    def params(self, **params: object) -> None:
        """Record settings of this fit."""

    def metric(self, name: str, value: float, *, step: int = 0) -> None:
        """Record one point of a curve."""


Fit = Callable[[TrainingData, Log], Parts]
"""Learns named parts from training data; settings and curves go to the log."""

Score = Callable[[Parts, pl.DataFrame], pl.Series]
"""The only code that turns examples into predictions: one answer a row, in order, which depends on that row alone."""
