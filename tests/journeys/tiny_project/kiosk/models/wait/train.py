"""Fits the wait."""

import polars as pl

from mlops_assets.specs import Log, Parts, TrainingData


def fit(data: TrainingData, log: Log) -> Parts:
    """The mean wait of each stall, less a minute an item."""
    rows = data.everything().with_columns(rest=pl.col(data.label) - pl.col("items"))
    log.params(kind="means")
    stalls = rows.partition_by("stall", as_dict=True)  # a mean by group would differ in its last bit with the number of threads
    usual = {str(stall): float(part["rest"].to_numpy().mean()) for (stall,), part in sorted(stalls.items())}
    return {"usual": usual, "overall": float(rows["rest"].to_numpy().mean()), "item": 1.0}
