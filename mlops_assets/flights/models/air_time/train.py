"""Fits the air time regression: 100 small trees."""

from typing import Any, Final

from mlops_assets.flights.features.matrix import categories, matrix
from mlops_assets.specs import Log, Parts, TrainingData

TREES: Final = 100
PARAMS: Final[dict[str, Any]] = {
    "objective": "regression", "learning_rate": 0.1, "num_leaves": 31, "min_data_in_leaf": 200, "max_bin": 63, "feature_fraction": 0.7,
    "deterministic": True, "force_row_wise": True, "verbosity": -1,
}  # fmt: skip


def fit(data: TrainingData, log: Log) -> Parts:
    """Trees on all rows, and the order in which the categories were numbered."""
    import lightgbm as lgb

    rows, names, params = data.everything(), list(data.features), PARAMS | {"seed": data.seed}
    known = categories(rows, names)
    log.params(**params, trees=TREES, rows=rows.height, features=len(names))
    x, y = matrix(rows, names, known), rows[data.label].to_numpy()
    train = lgb.Dataset(x, y, feature_name=names, categorical_feature=list(known))
    curve: dict[str, dict[str, list[float]]] = {}
    booster = lgb.train(params, train, TREES, valid_sets=[train], valid_names=["train"], callbacks=[lgb.record_evaluation(curve)])
    for step, loss in enumerate(curve["train"]["l2"], start=1):
        log.metric("train_mse", loss, step=step)
    return {"booster": booster, "categories": known}
