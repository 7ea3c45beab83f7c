"""Shapes of the frames that monitors give back: column name -> Polars dtype. Nothing here computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import polars as pl

Task = Literal["classification", "regression"]
Verdict = Literal["ok", "drift", "not enough history", "fell", "not enough labels"]

ALL: Final = "all"
"""Value of ``slice_by`` and ``slice`` in a row that speaks of every example."""

EVALUATION: Final[Mapping[str, pl.DataType]] = {
    "metric": pl.String(),
    "slice_by": pl.String(),
    "slice": pl.String(),
    "value": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "rows": pl.Int64(),
}

CALIBRATION: Final[Mapping[str, pl.DataType]] = {
    "bin": pl.Int64(),
    "rows": pl.Int64(),
    "predicted": pl.Float64(),
    "observed": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
}

PROFILE: Final[Mapping[str, pl.DataType]] = {
    "day": pl.Date(),
    "column": pl.String(),
    "rows": pl.Int64(),
    "nulls": pl.Int64(),
    "mean": pl.Float64(),
    "sd": pl.Float64(),
    "counts": pl.List(pl.Int64()),
    "reference": pl.String(),
}

MONITOR: Final[Mapping[str, pl.DataType]] = {
    **PROFILE,
    "effect": pl.Float64(),
    "z": pl.Float64(),
    "null_effect": pl.Float64(),
    "null_z": pl.Float64(),
    "from_training": pl.Float64(),
    "evidence": pl.Float64(),
    "verdict": pl.String(),
}
"""A profile row with its verdict. ``evidence`` is the e-value of a ``performance`` row and null elsewhere."""
