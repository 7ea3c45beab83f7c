"""Parts in allowed formats: what goes in comes out, equal things are equal bytes, and whatever else is refused by name."""

import importlib
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from operator import methodcaller
from pathlib import Path
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


def matrix(rows: Any = ROWS, labels: Any = None) -> Any:
    return importlib.import_module("xgboost").DMatrix(rows, labels, enable_categorical=True)


def gradient(rows: Any = ROWS, **params: object) -> Any:
    """A fitted XGBoost booster."""
    said = {"objective": "binary:logistic", "seed": 7, "verbosity": 0, "subsample": 0.5, **params}
    return importlib.import_module("xgboost").train(said, matrix(rows, LABELS), 5)


def linear(domain: str = "") -> tuple[Any, Any]:
    """A fitted linear model as ONNX, and its weights."""
    onnx: Any = importlib.import_module("onnx")
    weights = np.linalg.lstsq(ROWS, LABELS, rcond=None)[0].astype(np.float32)
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    asked, said = helper.make_tensor_value_info("x", kind, [None, 3]), helper.make_tensor_value_info("y", kind, [None])
    node = helper.make_node("MatMul", ["x", "w"], ["y"], domain=domain)
    graph = helper.make_graph([node], "linear", [asked], [said], [onnx.numpy_helper.from_array(weights, "w")])
    opsets = [helper.make_opsetid(name, 21 if name == "" else 1) for name in dict.fromkeys(("", domain))]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10), weights


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


# --- XGBoost ------------------------------------------------------------------------------------------------------------------------


def test_an_xgboost_booster_comes_back_as_it_was_fitted_and_is_the_same_bytes_at_any_number_of_threads() -> None:
    fitted = gradient()
    file, content = encoded("churn", "model", fitted)
    found = decoded("churn", file, content)
    assert file == "model.ubj"
    assert (found.predict(matrix()) == fitted.predict(matrix())).all()
    assert {encoded("churn", "model", again)[1] for again in (found, gradient(nthread=2), gradient(nthread=1))} == {content}


def test_an_xgboost_booster_keeps_its_categories() -> None:
    pandas: Any = importlib.import_module("pandas")
    frame = pandas.DataFrame({"origin": pandas.Categorical(["EWR", "JFK", "LGA"] * 100), "x": ROWS[:, 0]})
    fitted = gradient(frame)
    found = decoded("churn", *encoded("churn", "model", fitted))
    assert found.feature_names == ["origin", "x"]
    assert (found.predict(matrix(frame)) == fitted.predict(matrix(frame))).all()


def test_an_estimator_around_a_booster_is_refused_with_what_to_return_instead() -> None:
    wrapped = importlib.import_module("xgboost").XGBClassifier(n_estimators=2).fit(ROWS, LABELS)
    with pytest.raises(UnsafePart, match=r"XGBClassifier.* Return from fit only LightGBM or XGBoost boosters"):
        encoded("churn", "model", wrapped)
    assert encoded("churn", "model", wrapped.get_booster())[0] == "model.ubj"


UBJ: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut short": (lambda content: content[:-100], "XGBoostError"),
    "of an objective that is not there": (lambda content: content.replace(b"binary:logistic", b"binary:logistyx"), "Unknown objective"),
    "without trees": (lambda _: b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner{}}", "XGBoostError"),
    "as JSON": (lambda _: bytes(gradient().save_raw("json")), "it begins with"),
    "in the format before": (lambda content: b"binf" + content, "it begins with"),
    "as a pickle": (lambda _: pickle.dumps(gradient()), "it begins with"),
}


@pytest.mark.parametrize("what", UBJ)
def test_an_xgboost_booster_is_refused(what: str) -> None:
    change, why = UBJ[what]
    with pytest.raises(FormatRefused, match=rf"churn: 'model\.ubj' was not loaded: .*{why}") as refused:
        decoded("churn", "model.ubj", change(encoded("churn", "model", gradient())[1]))
    assert ".so" not in str(refused.value)


# --- ONNX ---------------------------------------------------------------------------------------------------------------------------


def test_an_onnx_model_becomes_a_session_that_answers_as_it_was_fitted() -> None:
    model, weights = linear()
    file, content = encoded("churn", "model", model)
    session = decoded("churn", file, content)
    rows = ROWS.astype(np.float32)
    assert file == "model.onnx"
    assert encoded("churn", "model", linear()[0])[1] == content
    assert session.get_providers() == ["CPUExecutionProvider"]
    assert np.allclose(session.run(None, {"x": rows})[0], rows @ weights, atol=1e-6)


def test_an_onnx_model_whose_data_were_saved_beside_it_is_refused_out_and_in(tmp_path: Path) -> None:
    onnx: Any = importlib.import_module("onnx")
    onnx.save(linear()[0], tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0, location="w.bin")
    assert (tmp_path / "w.bin").stat().st_size > 0
    with pytest.raises(UnsafePart, match="reads files outside of the model"):
        encoded("churn", "model", onnx.load(tmp_path / "m.onnx", load_external_data=False))
    with pytest.raises(FormatRefused, match="reads files outside of the model"):
        decoded("churn", "model.onnx", (tmp_path / "m.onnx").read_bytes())
    whole = decoded("churn", *encoded("churn", "model", onnx.load(tmp_path / "m.onnx")))
    assert whole.run(None, {"x": ROWS.astype(np.float32)})[0].shape == (300,)


@pytest.mark.parametrize("spelling", [b"\x0a\x08", b"\x8a\x00\x08", b"\x0a\x88\x80\x00", b"\x8a\x80\x80\x00\x88\x00"])
def test_data_outside_of_an_onnx_model_are_found_in_any_spelling(spelling: bytes) -> None:
    with pytest.raises(FormatRefused, match="reads files outside of the model"):
        decoded("churn", "model.onnx", b"\x08graph" + spelling + b"location\x12\x10../../etc/passwd")


def foreign(_: bytes) -> bytes:
    return linear("evil")[0].SerializeToString()


def of_onnxruntime(content: bytes) -> bytes:
    """The model in onnxruntime's own format."""
    runtime: Any = importlib.import_module("onnxruntime")
    with tempfile.TemporaryDirectory() as folder:
        said = runtime.SessionOptions()
        said.optimized_model_filepath = f"{folder}/m.ort"
        said.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        said.add_session_config_entry("session.save_model_format", "ORT")
        runtime.InferenceSession(content, said, providers=["CPUExecutionProvider"])
        made = Path(folder, "m.ort").read_bytes()
    assert runtime.InferenceSession(made).get_inputs()[0].name == "x"  # whoever is careless loads it
    return made


ONNX: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut short": (lambda content: content[:-20], "INVALID_PROTOBUF"),
    "with an operator of somebody else": (foreign, "evil:MatMul"),
    "in the format of its runtime": (of_onnxruntime, "it begins with"),
    "of nothing": (lambda _: b"\x08\x0a", "No graph was found"),
}


@pytest.mark.parametrize("what", ONNX)
def test_an_onnx_model_is_refused(what: str) -> None:
    change, why = ONNX[what]
    with pytest.raises(FormatRefused, match=rf"churn: 'model\.onnx' was not loaded: .*{why}"):
        decoded("churn", "model.onnx", change(encoded("churn", "model", linear()[0])[1]))


# --- what is missing ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("file", "content", "library"), [("m.ubj", b"{L", "xgboost"), ("m.onnx", b"\x08", "onnxruntime")])
def test_a_library_that_is_not_here_is_named(file: str, content: bytes, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        LibraryMissing,
        match=f"churn: {file} needs {library}, which is not installed here.* install --constraints requirements.lock {library}",
    ):
        decoded("churn", file, content)


def test_a_worker_without_skops_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    file, content = encoded("churn", "m", made("linear_model", "Ridge"))
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(LibraryMissing, match=r"churn: m\.skops needs skops"):
        decoded("churn", file, content)


def test_every_suffix_belongs_to_one_format() -> None:
    suffixes = [one.suffix for one in FORMATS]
    assert suffixes == [".lgb.txt", ".ubj", ".onnx", ".npy", ".skops", ".json"]
