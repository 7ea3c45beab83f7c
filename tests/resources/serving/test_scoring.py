"""The one path from examples to predictions."""

import json
import time
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from resources.serving import scoring
from resources.serving.examples import reader
from resources.serving.scoring import ProbeFailed, ScoreFailed
from tests.resources.serving.tiny import FEATURES, FRAME, Tiny

PARTS = {"weights": {"x": 2.0}}
BAD = {
    "short": ("return examples['x'].head(1)", "returned 1 predictions"),
    "null": ("return examples['x']", "1 predictions are null, NaN or infinite"),
    "nan": ("return examples['x'].fill_null(float('nan'))", "1 predictions are null, NaN or infinite"),
    "infinite": ("return examples['n'] / 0", "4 predictions are null, NaN or infinite"),
    "text": ("return examples['k']", "returned String, not numbers"),
    "array": ("return examples['n'].to_numpy()", "returned ndarray, not a polars Series"),
    "raises": ("raise KeyError('weights')", "KeyError: 'weights'"),
}


def test_predictions_keep_the_order_of_the_rows(tiny: Tiny) -> None:
    assert scoring.score(tiny.entry(), PARTS, FRAME, FEATURES).to_list() == [3.0, 5.0, 1.0, -8.0]
    assert scoring.score(tiny.entry(), PARTS, FRAME.reverse(), FEATURES).to_list() == [-8.0, 1.0, 5.0, 3.0]


def test_an_empty_frame_has_no_predictions(tiny: Tiny) -> None:
    found = scoring.score(tiny.entry(), PARTS, FRAME.clear(), FEATURES)
    assert (found.len(), found.dtype) == (0, pl.Float64())


def test_the_model_sees_its_features_and_nothing_else(tiny: Tiny) -> None:
    (tiny.source / tiny.package / "peek.py").write_text("def predict(parts, examples):\n    raise RuntimeError(examples.columns)\n")
    with pytest.raises(ScoreFailed, match=r"RuntimeError: \['n', 'x'\]"):
        scoring.score(f"{tiny.package}.peek:predict", {}, FRAME.with_columns(label=1.0), ("n", "x"))


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_prediction_is_refused_by_the_models_name(tiny: Tiny, name: str) -> None:
    line, reason = BAD[name]
    (tiny.source / tiny.package / f"bad_{name}.py").write_text(f"def predict(parts, examples):\n    {line}\n")
    with pytest.raises(ScoreFailed) as refused:
        scoring.score(f"{tiny.package}.bad_{name}:predict", {}, FRAME, FEATURES)
    assert f"{tiny.package}.bad_{name}:predict failed on 4 examples: {reason}" in str(refused.value)


def test_a_missing_feature_is_named(tiny: Tiny) -> None:
    with pytest.raises(ScoreFailed, match="the examples lack k"):
        scoring.score(tiny.entry(), PARTS, FRAME.drop("k"), FEATURES)


@pytest.mark.parametrize("entry", ["tinyco.score", "tinyco.score:nobody", "tinyco.nothing:predict", "tinyco.score:"])
def test_an_entry_that_leads_nowhere_is_named(tiny: Tiny, entry: str) -> None:
    assert tiny.package == "tinyco"
    with pytest.raises(ScoreFailed, match=f"^{entry} failed"):
        scoring.score(entry, PARTS, FRAME, FEATURES)


def test_an_id_depends_on_the_version_and_the_example_alone() -> None:
    ids = scoring.prediction_ids("a" * 64, FRAME, FEATURES)
    assert ids.n_unique() == FRAME.height
    assert {len(one) for one in ids} == {32}
    assert ids.equals(scoring.prediction_ids("a" * 64, FRAME.select("n", "k", "x").with_columns(other=0), ("n", "x", "k")))
    assert ids.reverse().equals(scoring.prediction_ids("a" * 64, FRAME.reverse(), FEATURES))
    assert set(ids).isdisjoint(scoring.prediction_ids("b" * 64, FRAME, FEATURES))


def test_an_id_begins_with_its_version_and_can_be_computed_by_anyone() -> None:
    import hashlib

    example = b'{"k":"a","n":1,"x":1.0}'
    expected = "a" * 8 + hashlib.sha256(b"a" * 64 + b"\n" + example).hexdigest()[:24]
    assert scoring.prediction_ids("a" * 64, FRAME, FEATURES)[0] == expected


def test_ids_of_a_month_take_little_time() -> None:
    frame = pl.DataFrame({f"f{i}": pl.Series(range(28_000)) / (i + 1) for i in range(50)} | {"k": ["EWR"] * 28_000})
    began = time.process_time()
    scoring.prediction_ids("a" * 64, frame, frame.columns)
    assert time.process_time() - began < 1.5


def test_what_a_client_sends_becomes_the_same_frame_again() -> None:
    instants = pl.Series([datetime(2013, 1, 1, 5, tzinfo=UTC), None, None, None], dtype=pl.Datetime("us", "UTC"))
    frame = FRAME.with_columns(
        d=pl.Series([date(2013, 1, 1)] * 4), t=instants,
        b=pl.Series([True, None, False, True]), small=pl.Series([1, 2, 3, 4], dtype=pl.Int8),
    )  # fmt: skip
    signature = scoring.signature(frame, frame.columns, required=("n",))
    assert signature["n"] == {"dtype": "int64", "nullable": False}
    assert signature["small"] == {"dtype": "int64", "nullable": True}
    assert {name: one["dtype"] for name, one in signature.items()} == {
        "x": "float64", "k": "string", "n": "int64", "d": "date", "t": "datetime", "b": "bool", "small": "int64",
    }  # fmt: skip
    again = reader(signature)(json.dumps({"examples": scoring.rows(frame, frame.columns)}).encode())
    assert again.equals(frame.with_columns(pl.col("small").cast(pl.Int64)))


def test_a_probe_is_repeated_before_a_version_serves(tiny: Tiny) -> None:
    recorded = scoring.probe(tiny.entry(), PARTS, FRAME, FEATURES, n=2)
    examples, answers = FRAME.gather_every(2), recorded["predictions"]
    assert recorded["examples"] == scoring.rows(examples, FEATURES)
    assert recorded["predictions"] == [3.0, 1.0]
    scoring.passes(tiny.entry(), PARTS, examples, FEATURES, answers)
    with pytest.raises(ProbeFailed, match=r"example 0 .* answered 3\.0 at training and 3\.5 here"):
        scoring.passes(tiny.entry(), {"weights": {"x": 2.5}}, examples, FEATURES, answers)


def test_scoring_needs_no_model_library_to_load(tmp_path: Path) -> None:
    import subprocess
    import sys

    heavy = "{'lightgbm', 'sklearn', 'pandas', 'bentoml', 'dagster', 'mlflow'}"
    line = f"import sys, resources.serving.scoring; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    assert (found.stdout.strip(), list(tmp_path.iterdir())) == ("[]", [])
