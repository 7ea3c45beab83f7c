"""Parts in allowed formats: what goes in comes out, equal things are equal bytes, and whatever else is refused by name."""

import importlib
import subprocess
import sys
from functools import partial
from operator import methodcaller
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from resources.registry.formats import FORMATS, FormatRefused, LibraryMissing, UnsafePart, decoded, encoded
from resources.registry.identity import sha256

ROWS = np.random.default_rng(0).normal(size=(300, 3))
LABELS = (ROWS[:, 0] > 0).astype(int)


def made(module: str, name: str, **params: object) -> Any:
    return getattr(importlib.import_module(f"sklearn.{module}"), name)(**params)


def pipeline() -> Any:
    steps = [made("impute", "SimpleImputer"), made("preprocessing", "StandardScaler"), made("linear_model", "LogisticRegression")]
    return made("pipeline", "Pipeline", steps=[(f"step{number}", step) for number, step in enumerate(steps)])


ESTIMATORS: dict[str, Any] = {
    "a random forest": lambda: made("ensemble", "RandomForestClassifier", n_estimators=5, random_state=0),
    "gradient boosting": lambda: made("ensemble", "GradientBoostingRegressor", n_estimators=5, random_state=0),
    "histogram gradient boosting": lambda: made("ensemble", "HistGradientBoostingClassifier", max_iter=5, random_state=0),
    "a calibrated model": lambda: made("calibration", "CalibratedClassifierCV", estimator=made("naive_bayes", "GaussianNB")),
    "neighbours": lambda: made("neighbors", "KNeighborsClassifier"),
    "a pipeline": pipeline,
    "a transformation by numpy": lambda: made("preprocessing", "FunctionTransformer", func=np.abs),
}


def answers(estimator: Any) -> Any:
    return estimator.predict(ROWS) if hasattr(estimator, "predict") else estimator.transform(ROWS)


@pytest.mark.parametrize("what", ESTIMATORS)
def test_an_estimator_comes_back_as_it_was_fitted_and_stays_the_same_bytes(what: str) -> None:
    fitted = ESTIMATORS[what]().fit(ROWS, LABELS)
    file, content = encoded("churn", "model", fitted)
    found = decoded("churn", file, content)
    assert file == "model.skops"
    assert encoded("churn", "model", ESTIMATORS[what]().fit(ROWS, LABELS))[1] == content
    assert encoded("churn", "model", found)[1] == content
    assert (answers(found) == answers(fitted)).all()


ELSEWHERE = """
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from resources.registry.formats import encoded
from resources.registry.identity import sha256
clutter = [str(number) for number in range(1000)]
rows = np.random.default_rng(0).normal(size=(300, 3))
print(sha256(encoded("churn", "model", RandomForestClassifier(n_estimators=5, random_state=0).fit(rows, (rows[:, 0] > 0).astype(int)))[1]))
"""


def test_an_estimator_that_was_fitted_in_another_process_is_the_same_bytes() -> None:
    here = encoded("churn", "model", ESTIMATORS["a random forest"]().fit(ROWS, LABELS))[1]
    there = subprocess.run([sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, check=True).stdout.strip()
    assert there == sha256(here)


def own_function(rows: Any) -> Any:
    return rows


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda: made("preprocessing", "FunctionTransformer", func=own_function), r"own_function"),
        (lambda: made("preprocessing", "FunctionTransformer", func=methodcaller("copy")), r"methodcaller"),
        (lambda: made("preprocessing", "FunctionTransformer", func=partial(np.clip, a_min=0)), r"partial"),
        (lambda: made("pipeline", "Pipeline", steps=[("model", importlib.import_module("lightgbm").LGBMClassifier())]), "lightgbm"),
        (lambda: made("neighbors", "KNeighborsClassifier").fit(importlib.import_module("scipy.sparse").csr_matrix(ROWS), LABELS), "scipy"),
        (lambda: made("cluster", "Birch"), "skops cannot hold it"),
    ],
)
def test_an_estimator_that_holds_what_is_not_trusted_is_refused_when_it_is_stored(made: Any, why: str) -> None:
    with pytest.raises(UnsafePart, match=f"churn: part 'model' cannot be stored: .*{why}"):
        encoded("churn", "model", made())


@pytest.mark.parametrize("array", [np.array(3.5), np.zeros((0, 4)), np.asfortranarray(np.arange(6).reshape(2, 3)), np.array(["ab", "c"])])
def test_an_array_comes_back_with_its_shape_and_type(array: Any) -> None:
    found = decoded("churn", *encoded("churn", "weights", array))
    assert (found.shape, found.dtype, found.tolist()) == (array.shape, array.dtype, array.tolist())


@pytest.mark.parametrize(
    "file", ["..", ".", "", "model", "model.pkl", "model.json.pkl", "a/b.json", "../model.json", ".json", "manifest.json"]
)
def test_a_name_that_no_part_has_is_refused_before_anybody_reads(file: str) -> None:
    with pytest.raises(FormatRefused, match=r"churn: .* was not loaded: no part of a release has such a name\. Nothing in it was run"):
        decoded("churn", file, b"{}")


class InferenceSession:
    def __init__(self, content: bytes, providers: list[str]) -> None:
        self.held = content, providers


class Booster:
    held: object

    def load_model(self, content: bytearray) -> None:
        self.held = content

    def save_raw(self, form: str) -> bytearray:
        return bytearray(b"{L" + form.encode())


class ModelProto:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def SerializeToString(self, *, deterministic: bool) -> bytes:  # noqa: N802  the name that onnx gives it
        assert deterministic
        return self.content


ModelProto.__module__, Booster.__module__ = "onnx.onnx_ml_pb2", "xgboost.core"


@pytest.fixture
def standins(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of libraries that the platform does not bring: what is handed to them and asked of them."""
    monkeypatch.setitem(sys.modules, "xgboost", SimpleNamespace(Booster=Booster))
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(InferenceSession=InferenceSession))


@pytest.mark.usefixtures("standins")
def test_an_xgboost_booster_is_kept_as_ubj() -> None:
    file, content = encoded("churn", "model", Booster())
    assert (file, content) == ("model.ubj", b"{Lubj")
    assert decoded("churn", file, content).held == content


@pytest.mark.usefixtures("standins")
def test_an_onnx_model_becomes_a_session_on_this_machines_processor() -> None:
    file, content = encoded("churn", "model", ModelProto(b"graph"))
    assert (file, content) == ("model.onnx", b"graph")
    assert decoded("churn", file, content).held == (b"graph", ["CPUExecutionProvider"])


@pytest.mark.usefixtures("standins")
@pytest.mark.parametrize("spelling", [b"\x0a\x08", b"\x8a\x00\x08", b"\x0a\x88\x80\x00", b"\x8a\x80\x80\x00\x88\x00"])
def test_an_onnx_model_with_data_outside_of_it_is_refused_out_and_in(spelling: bytes) -> None:
    content = b"graph" + spelling + b"location\x12\x10../../etc/passwd"
    with pytest.raises(UnsafePart, match="reads files outside of the model"):
        encoded("churn", "model", ModelProto(content))
    with pytest.raises(FormatRefused, match="reads files outside of the model"):
        decoded("churn", "model.onnx", content)


@pytest.mark.parametrize(("file", "content", "library"), [("m.ubj", b"{L", "xgboost"), ("m.onnx", b"", "onnxruntime")])
def test_a_library_that_is_not_here_is_named(file: str, content: bytes, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(LibraryMissing, match=f"churn: {file} needs {library}, which is not installed here"):
        decoded("churn", file, content)


def test_a_worker_without_skops_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    file, content = encoded("churn", "m", made("linear_model", "Ridge"))
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(LibraryMissing, match=r"churn: m\.skops needs skops"):
        decoded("churn", file, content)


def test_every_suffix_belongs_to_one_format() -> None:
    suffixes = [one.suffix for one in FORMATS]
    assert suffixes == [".lgb.txt", ".ubj", ".onnx", ".npy", ".skops", ".json"]
