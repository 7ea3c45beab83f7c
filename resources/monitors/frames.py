"""Shapes of the frames that monitors give back: column name -> Polars dtype. Nothing here computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import polars as pl

Task = Literal["classification", "regression"]
Verdict = Literal["ok", "drift", "not enough history", "fell", "not enough labels"]

METRICS: Final[Mapping[Task, tuple[str, ...]]] = {
    "classification": ("auc", "log_loss", "brier", "ece", "base_rate"),
    "regression": ("mae", "rmse", "bias", "r2"),
}
"""What is measured of a task's predictions, overall."""

MAIN: Final[Mapping[Task, str]] = {"classification": "auc", "regression": "mae"}
"""The metric by which versions of a model are compared."""

ANSWER: Final = "prediction"
"""The mean answer: no measure of quality, but one that groups are compared by."""

ALL: Final = "all"
"""Value of ``slice_by`` and ``slice`` in a row that speaks of every example."""

EVALUATION: Final[Mapping[str, pl.DataType]] = {
    **dict.fromkeys(("metric", "slice_by", "slice"), pl.String()),
    **dict.fromkeys(("value", "low", "high"), pl.Float64()),
    "rows": pl.Int64(),
}
CALIBRATION: Final[Mapping[str, pl.DataType]] = {
    **dict.fromkeys(("bin", "rows"), pl.Int64()),
    **dict.fromkeys(("predicted", "observed", "low", "high"), pl.Float64()),
}
PROFILE: Final[Mapping[str, pl.DataType]] = {
    "day": pl.Date(),
    "column": pl.String(),
    **dict.fromkeys(("rows", "nulls"), pl.Int64()),
    **dict.fromkeys(("mean", "sd"), pl.Float64()),
    "counts": pl.List(pl.Int64()),
    "reference": pl.String(),
}
MONITOR: Final[Mapping[str, pl.DataType]] = {
    **PROFILE,
    **dict.fromkeys(("effect", "z", "null_effect", "null_z", "from_training", "evidence"), pl.Float64()),
    "verdict": pl.String(),
}
"""A profile row with its verdict. ``evidence`` is the e-value of a ``performance`` row and null elsewhere."""
