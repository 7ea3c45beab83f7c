import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlops_assets import flights
from mlops_assets.flights.catalogue import MODELS
from mlops_assets.specs import ModelSpec, Parts, TrainingData

TEXT = {"origin": ["EWR", "JFK", "LGA"], "carrier": ["B6", "DL", "UA"], "dest": ["ATL", "BOS", "LAX", "SFO"]}
EACH_MODEL = pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
PRINT_HASH = """
import hashlib, sys
from tests.flights.test_models import MODELS, Silent, examples
spec = next(one for one in MODELS if one.name == sys.argv[1])
print(hashlib.sha256(spec.train(examples(spec, 10_000), Silent())["booster"].model_to_string().encode()).hexdigest())
"""


class Silent:
    def __init__(self) -> None:
        self.said: dict[str, object] = {}
        self.points: list[tuple[str, int, float]] = []

    def params(self, **params: object) -> None:
        self.said |= params

    def metric(self, name: str, value: float, *, step: int = 0) -> None:
        self.points.append((name, step, value))


def examples(spec: ModelSpec, height: int) -> TrainingData:
    """Seeded examples with text, gaps and a label that depends on some of the features."""
    draw = np.random.default_rng(7)
    columns: dict[str, Any] = {}
    for name in spec.feature_names:
        numbers = draw.normal(100, 30, height).round(1)
        columns[name] = draw.choice(TEXT[name], height) if name in TEXT else np.where(draw.random(height) < 0.05, np.nan, numbers)
    frame = pl.DataFrame(columns).fill_nan(None)
    signal = frame.select(pl.sum_horizontal(pl.col(pl.Float64).fill_null(100.0)) + 50 * (pl.col("carrier") == "UA")).to_series()
    label = signal + draw.normal(0, 20, height)
    label = (label > label.mean()).cast(pl.Float64) if spec.task == "classification" else label
    rows = frame.with_columns(label=label, day=pl.lit(date(2013, 1, 1)) + pl.int_range(height) * timedelta(minutes=3))
    cut = height * 9 // 10
    return TrainingData(train=rows[:cut], validation=rows[cut:], features=spec.feature_names, seed=spec.seed)


@pytest.fixture(scope="module")
def fitted() -> dict[str, tuple[TrainingData, Parts, Silent]]:
    found: dict[str, tuple[TrainingData, Parts, Silent]] = {}
    for spec in MODELS:
        data, log = examples(spec, 4_000), Silent()
        found[spec.name] = data, spec.train(data, log), log
    return found


@EACH_MODEL
def test_a_fit_is_equal_byte_for_byte_on_one_and_on_two_threads(spec: ModelSpec) -> None:
    hashes = {
        subprocess.run(
            [sys.executable, "-c", PRINT_HASH, spec.name],
            env={**os.environ, "OMP_NUM_THREADS": threads, "POLARS_MAX_THREADS": threads, "GOMP_SPINCOUNT": "1000"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(hashes) == 1
    assert hashes.pop().strip()


@EACH_MODEL
def test_no_thread_count_is_written_into_the_model(spec: ModelSpec, fitted: dict[str, tuple[TrainingData, Parts, Silent]]) -> None:
    _, parts, log = fitted[spec.name]
    assert "[num_threads: 0]" in parts["booster"].model_to_string()
    assert "num_threads" not in log.said


@EACH_MODEL
def test_the_answer_to_a_row_depends_on_that_row_alone(spec: ModelSpec, fitted: dict[str, tuple[TrainingData, Parts, Silent]]) -> None:
    data, parts, _ = fitted[spec.name]
    rows = data.validation.head(50)
    together = spec.score(parts, rows)
    assert together.to_list() == [spec.score(parts, rows[place])[0] for place in range(rows.height)]
    assert spec.score(parts, rows.reverse()).to_list() == together.reverse().to_list()


@EACH_MODEL
def test_an_example_of_which_nothing_but_the_schedule_is_known_gets_an_answer(
    spec: ModelSpec, fitted: dict[str, tuple[TrainingData, Parts, Silent]]
) -> None:
    data, parts, _ = fitted[spec.name]
    bare = data.validation.head(1).with_columns(
        pl.lit(None).cast(data.train.schema[name]).alias(name) for name in data.features if "__" in name
    )
    unseen = bare.with_columns(dest=pl.lit("QQQ"), carrier=pl.lit("ZZ"))
    assert spec.score(parts, unseen).is_finite().all()


@EACH_MODEL
def test_a_fit_learns_and_logs_its_settings_and_a_falling_curve(
    spec: ModelSpec, fitted: dict[str, tuple[TrainingData, Parts, Silent]]
) -> None:
    data, parts, log = fitted[spec.name]
    predicted, label = spec.score(parts, data.validation).to_numpy(), data.validation["label"].to_numpy()
    assert np.corrcoef(predicted, label)[0, 1] > 0.2
    assert {"objective", "learning_rate", "seed", "trees", "rows"} <= log.said.keys()
    losses = [value for _, _, value in log.points]
    assert len(losses) == log.said["trees"]
    assert losses[-1] < losses[0]


@EACH_MODEL
def test_a_model_and_its_folder_stay_under_sixty_lines(spec: ModelSpec) -> None:
    folder = Path(str(flights.__file__)).parent / "models" / spec.name
    lines = sum(len((folder / name).read_text().splitlines()) for name in ("spec.py", "train.py", "score.py"))
    assert lines < 60
    assert (folder / "card.md").is_file()


def test_the_catalogue_loads_no_heavy_library() -> None:
    heavy = ["pandas", "lightgbm", "sklearn", "holidays", "dagster", "pyarrow", "pandera"]
    command = f"import sys, mlops_assets.flights.catalogue; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True).stdout.strip() == "[]"
