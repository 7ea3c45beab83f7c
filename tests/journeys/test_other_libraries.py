"""A project whose models are XGBoost's and scikit-learn's: trained, released, answered and rebuilt as LightGBM's are."""

from collections.abc import Iterator

import pytest

from tests.journeys.tiny import MODELS, Kiosk

XGBOOST = '''"""Fits lateness with XGBoost."""

from kiosk.models.late.score import matrix
from mlops_assets.specs import Log, Parts, TrainingData


def fit(data: TrainingData, log: Log) -> Parts:
    """Ten small trees."""
    import xgboost

    rows, names = data.everything(), list(data.features)
    settings = {"objective": "binary:logistic", "max_depth": 3, "seed": data.seed, "verbosity": 0}
    log.params(**settings)
    train = xgboost.DMatrix(matrix(rows, names), rows[data.label].to_numpy(), feature_names=names)
    return {"booster": xgboost.train(settings, train, 10)}
'''
XGBOOST_ANSWERS = '''

def predict(parts: Parts, examples: pl.DataFrame) -> pl.Series:
    """The probability of a wait of 20 minutes or more."""
    import xgboost

    booster = parts["booster"]
    rows = xgboost.DMatrix(matrix(examples, booster.feature_names), feature_names=booster.feature_names)
    return pl.Series("prediction", booster.predict(rows)).cast(pl.Float64)
'''
SKLEARN = '''"""Fits the wait with scikit-learn."""

from kiosk.models.wait.score import matrix
from mlops_assets.specs import Log, Parts, TrainingData


def fit(data: TrainingData, log: Log) -> Parts:
    """A small histogram gradient boosting."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    rows, names = data.everything(), list(data.features)
    log.params(max_iter=10)
    model = HistGradientBoostingRegressor(max_iter=10, random_state=data.seed).fit(matrix(rows, names), rows[data.label].to_numpy())
    return {"model": model, "names": names}
'''
SKLEARN_ANSWERS = '''"""Scores the wait."""

import polars as pl

from mlops_assets.specs import Parts


def matrix(examples, names):
    """One row of numbers an example."""
    stall = pl.col("stall").replace_strict(("east", "north", "west"), range(3), default=None, return_dtype=pl.Float64)
    return examples.with_columns(stall).select(pl.col(names).cast(pl.Float64).fill_null(float("nan"))).to_numpy()


def predict(parts: Parts, examples: pl.DataFrame) -> pl.Series:
    """The minutes that an order waits."""
    return pl.Series("prediction", parts["model"].predict(matrix(examples, parts["names"])))
'''


@pytest.fixture(scope="module")
def kiosk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kiosk]:
    one = Kiosk(tmp_path_factory.mktemp("libraries"))
    late, wait = (one.source / "kiosk" / "models" / name for name in MODELS)
    (late / "train.py").write_text(XGBOOST)
    (late / "score.py").write_text((late / "score.py").read_text().partition("\n\ndef predict")[0] + XGBOOST_ANSWERS)
    (wait / "train.py").write_text(SKLEARN)
    (wait / "score.py").write_text(SKLEARN_ANSWERS)
    done = one.replay(until="2020-01")
    assert done.returncode == 0, done.stderr
    yield one
    one.world().serving.stop()


@pytest.mark.parametrize(("model", "part"), [("late", "booster.ubj"), ("wait", "model.skops")])
def test_a_model_of_another_library_answers_as_its_signed_release_does_and_is_made_again_bit_by_bit(
    kiosk: Kiosk, model: str, part: str
) -> None:
    world = kiosk.world()
    live = world.registry.ledger().live(model)
    assert live is not None
    assert part in world.registry.releases().files(model, str(live.content_hash))
    probe = world.registry.load(live).signature["probe"]
    world.serving.resume()
    answered = [one["prediction"] for one in world.serving.predict(model, probe["examples"])["predictions"]]
    assert answered == pytest.approx(probe["predictions"])
    assert len(set(answered)) > 1
    path = kiosk.source.parent / "rebuild.yaml"
    path.write_text(f"ops: {{refit: {{config: {{model: {model}, version: 1, anyway: true}}}}}}")
    done = kiosk.run("-m", "dagster", "job", "execute", "-m", "kiosk.definitions", "-j", "rebuild", "-c", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "equal, " in done.stdout + done.stderr
