"""Which inputs a model leans on: how much worse it gets when one column is shuffled. Pure; works for any model that scores frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import polars as pl

from resources.monitors.frames import MAIN, Task
from resources.monitors.metrics import BETTER, evidence, scored

SAMPLE: Final = 1000


def permutation_importance(
    score: Callable[[pl.DataFrame], pl.Series],
    rows: pl.DataFrame,
    *,
    features: Sequence[str],
    task: Task,
    seed: int,
) -> dict[str, float]:
    """Loss of the main metric when a feature's values are shuffled, by feature, on a seeded sample of ``rows``.

    ``rows`` hold ``label``, ``day`` and the features; all shuffled copies are scored in one call.
    Source: L. Breiman, Random Forests, Machine Learning 45 (2001), section 10.
    """
    some = rows.sample(min(SAMPLE, rows.height), seed=seed)
    order = np.random.default_rng(seed).permutation(some.height)
    copies = [some, *(some.with_columns(some[name].gather(order)) for name in features)]
    scores = score(pl.concat(copies)).to_numpy().reshape(len(copies), some.height)
    metric, sign = MAIN[task], 1 if BETTER[MAIN[task]] == "higher" else -1
    values = [_value(some.with_columns(prediction=row), task=task, metric=metric) for row in scores]
    return {name: sign * (values[0] - value) for name, value in zip(features, values[1:], strict=True)}


def _value(rows: pl.DataFrame, *, task: Task, metric: str) -> float:
    data = scored(rows, task=task)
    value = float(evidence(data, task=task).value(metric, np.ones((1, data.days)))[0])
    return value if np.isfinite(value) else 0.0
