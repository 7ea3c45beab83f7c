"""How small trees are grown, equal on every machine: what both models would otherwise say twice."""

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from mlops_assets.flights.features.matrix import categories, matrix
from mlops_assets.specs import Log, Parts, TrainingData

PARAMS: Final[Mapping[str, Any]] = {
    "learning_rate": 0.1,
    "num_leaves": 31,
    "min_data_in_leaf": 200,
    "feature_fraction": 0.4,
    "max_bin": 63,
    "bin_construct_sample_cnt": 20_000,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
"""No ``num_threads``: LightGBM would write it into the model. ``deterministic`` and one layout give equal trees on any number of them."""


def grow(data: TrainingData, log: Log, *, rows: pl.DataFrame, target: pl.Series, trees: int, **params: object) -> Parts:
    """A booster for ``target`` and the numbering of its categories; logs the settings and the loss on the training rows."""
    import lightgbm

    lgb: Any = lightgbm  # it types its functions in part only

    settings = {**PARAMS, **params, "seed": data.seed}
    log.params(**settings, trees=trees, rows=rows.height, features=len(data.features))
    known = categories(rows, data.features)
    train = lgb.Dataset(matrix(rows, data.features, known), target.to_numpy(), feature_name=list(data.features))
    curves: dict[str, dict[str, list[float]]] = {}
    booster = lgb.train(settings, train, trees, valid_sets=[train], valid_names=["train"], callbacks=[lgb.record_evaluation(curves)])
    for name, curve in curves["train"].items():
        for step, loss in enumerate(curve, start=1):
            log.metric(f"train_{name}", loss, step=step)
    return {"booster": booster, "categories": known}
