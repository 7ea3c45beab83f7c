"""A feature's importance is what the model loses when the feature is shuffled."""

from datetime import date, timedelta

import numpy as np
import polars as pl

from resources.monitors.importance import permutation_importance

START = date(2013, 4, 1)


def examples(rows: int = 1500) -> pl.DataFrame:
    rng = np.random.default_rng(3)
    strong, weak, noise = rng.normal(size=(3, rows))
    truth = 2 * strong + 0.3 * weak
    return pl.DataFrame(
        {
            "strong": strong,
            "weak": weak,
            "noise": noise,
            "label": (rng.random(rows) < 1 / (1 + np.exp(-truth))).astype(float),
            "minutes": truth,
            "day": [START + timedelta(days=int(n)) for n in rng.integers(0, 7, rows)],
        }
    )


def test_a_strong_feature_matters_more_than_a_weak_one_and_noise_not_at_all() -> None:
    def probability(frame: pl.DataFrame) -> pl.Series:
        return frame.select(1 / (1 + (-2 * pl.col("strong") - 0.3 * pl.col("weak")).exp())).to_series()

    found = permutation_importance(probability, examples(), features=["noise", "weak", "strong"], task="classification", seed=1)
    assert found["strong"] > 0.2
    assert 0 < found["weak"] < 0.1
    assert found["noise"] == 0


def test_a_growing_error_counts_as_importance() -> None:
    rows = examples().with_columns(label=pl.col("minutes"))
    found = permutation_importance(lambda frame: frame["strong"] * 2, rows, features=["strong", "noise"], task="regression", seed=1)
    assert found["strong"] > 1
    assert found["noise"] == 0
