"""Models of each library, from fit to answer: stored, signed, registered, loaded by a worker, which answers as what was fitted does."""

import importlib
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import polars as pl
import pytest

from resources.serving import scoring
from resources.serving.worker import Follower
from tests.resources.serving.tiny import FEATURES, FRAME, Tiny

ROWS: Final = FRAME.select("x", "n").fill_null(0.0).cast(pl.Float64).to_numpy()
LABELS: Final = np.array([1.0, 0.0, 0.0, 1.0])
Model = tuple[Any, Callable[[], Any]]
"""What fit returns, and what it says of the examples."""


def gradient() -> Model:
    xgboost: Any = importlib.import_module("xgboost")
    rows = FRAME.select("x", "n").cast(pl.Float64).to_numpy()
    said = {"objective": "reg:squarederror", "seed": 7, "min_child_weight": 0}
    fitted = xgboost.train(said, xgboost.DMatrix(rows, LABELS), 20)
    return fitted, lambda: fitted.predict(xgboost.DMatrix(rows))


def estimator() -> Model:
    forest: Any = importlib.import_module("sklearn.ensemble").RandomForestRegressor
    fitted = forest(n_estimators=5, random_state=0).fit(ROWS, LABELS)
    return fitted, lambda: fitted.predict(ROWS)


def network() -> Model:
    onnx: Any = importlib.import_module("onnx")
    helper, kind, weights = onnx.helper, onnx.TensorProto.FLOAT, np.linalg.lstsq(ROWS, LABELS, rcond=None)[0].astype(np.float32)
    asked, said = helper.make_tensor_value_info("x", kind, [None, 2]), helper.make_tensor_value_info("y", kind, [None])
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "m", [asked], [said], [onnx.numpy_helper.from_array(weights, "w")]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), lambda: ROWS.astype(np.float32) @ weights


MODELS: Final[Mapping[str, Callable[[], Model]]] = {"gradient": gradient, "estimator": estimator, "network": network}
FILES: Final = {"gradient": "model.ubj", "estimator": "model.skops", "network": "model.onnx"}


@pytest.mark.parametrize("library", MODELS)
def test_a_worker_answers_as_the_fitted_model_does(library: str, tiny: Tiny) -> None:
    fitted, expected = MODELS[library]()
    content_hash = tiny.store({"model": fitted}, function=library)
    tiny.promote(content_hash)
    one = Follower(routes=[tiny.route(function=library)], ledger=tiny.ledger, releases=tiny.releases, worker="w1")
    one.step(datetime.now(UTC))
    found = one.answer("tiny", scoring.rows(FRAME, FEATURES))
    answered = [pair["prediction"] for pair in found["predictions"]]
    assert found["content_hash"] == content_hash
    assert FILES[library] in tiny.releases.files("tiny", content_hash)
    assert len({round(value, 4) for value in answered}) > 1
    assert np.allclose(answered, expected(), atol=1e-6)


def test_a_worker_without_the_library_refuses_the_version_by_name_and_answers_with_the_one_before(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, _ = gradient()
    first, second = (tiny.store({"model": fitted, "number": number}, function="gradient") for number in (1, 2))
    tiny.promote(first)
    one = Follower(routes=[tiny.route(function="gradient")], ledger=tiny.ledger, releases=tiny.releases, worker="w1")
    one.step(datetime.now(UTC))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "xgboost", None)
        tiny.promote(second)
        one.step(datetime.now(UTC))
    assert one.answer("tiny", scoring.rows(FRAME, FEATURES))["content_hash"] == first
    refused = one.describe()["tiny"]["refused"]
    assert "needs xgboost, which is not installed here" in refused[second]
    assert "uv pip install --constraints requirements.lock xgboost" in refused[second]
