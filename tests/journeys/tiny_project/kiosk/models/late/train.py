"""Fits lateness."""

from typing import Any

from kiosk.models.late.score import matrix
from mlops_assets.specs import Log, Parts, TrainingData


def fit(data: TrainingData, log: Log) -> Parts:
    """Ten small trees."""
    import lightgbm

    lgb: Any = lightgbm
    rows = data.everything()
    settings = {
        "objective": "binary",
        "min_data_in_leaf": 10,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
        "seed": data.seed,
    }
    log.params(**settings)
    train = lgb.Dataset(matrix(rows, list(data.features)), rows[data.label].to_numpy(), feature_name=list(data.features))
    return {"booster": lgb.train(settings, train, 10)}
