"""Which inputs a model leans on: how much worse it gets when one column is shuffled. Pure; works for any model that scores frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from resources.monitors.frames import ALL, Task
from resources.monitors.metrics import BETTER, MAIN, evaluate

SAMPLE: Final = 1000


def permutation_importance(
    score: Callable[[pl.DataFrame], pl.Series],
    rows: pl.DataFrame,
    *,
    features: Sequence[str],
    task: Task,
    seed: int,
    sample: int = SAMPLE,
) -> dict[str, float]:
    """Loss of the main metric when a feature's values are shuffled, by feature, on a seeded sample of ``rows``.

    ``rows`` hold ``label``, ``day`` and the features; all shuffled copies are scored in one call.
    Source: L. Breiman, Random Forests, Machine Learning 45 (2001), section 10.
    """
    some = rows.sample(min(sample, rows.height), seed=seed)
    order = np.random.default_rng(seed).permutation(some.height)
    copies = [some, *(some.with_columns(some[name].gather(order)) for name in features)]
    scores = score(pl.concat(copies)).to_numpy().reshape(len(copies), some.height)
    metric, sign = MAIN[task], 1 if BETTER[MAIN[task]] == "higher" else -1
    values = [_value(some, row, task=task, metric=metric) for row in scores]
    return {name: sign * (values[0] - value) for name, value in zip(features, values[1:], strict=True)}


def _value(rows: pl.DataFrame, scores: npt.NDArray[np.float64], *, task: Task, metric: str) -> float:
    found = evaluate(task=task, frame=rows.with_columns(pl.Series("prediction", scores)), slices=(), seed=0)
    value = found.filter((pl.col("metric") == metric) & (pl.col("slice_by") == ALL))["value"][0]
    return float(value) if value is not None else 0.0
