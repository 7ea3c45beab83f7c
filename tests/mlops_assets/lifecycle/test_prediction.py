"""Answers in bulk carry who gave them, and an id that is the same whenever the same is asked."""

import polars as pl
import pytest

from mlops_assets.lifecycle.prediction import predictions
from tests.mlops_assets.lifecycle.orders import release

EXAMPLES = pl.DataFrame({"order_id": ["a", "b"], "items": [1, 2], "stall": ["east", "west"]})


def test_every_answer_carries_version_hash_and_the_features_as_scored() -> None:
    found = predictions(EXAMPLES, release(), version=4)
    assert found["prediction"].to_list() == pytest.approx([0.21, 0.22])
    assert set(found["model_version"]) == {4}
    assert set(found["content_hash"]) == {"a" * 64}
    assert found.select(EXAMPLES.columns).equals(EXAMPLES)


def test_an_id_depends_on_the_release_and_on_what_was_asked_and_on_nothing_else() -> None:
    ids = predictions(EXAMPLES, release(), version=4)["prediction_id"]
    assert predictions(EXAMPLES.reverse(), release(), version=9)["prediction_id"].to_list() == ids.reverse().to_list()
    assert predictions(EXAMPLES.with_columns(stall=pl.lit("north")), release(), version=4)["prediction_id"].equals(ids)
    other = predictions(EXAMPLES, release(name="b" * 64), version=4)["prediction_id"]
    changed = predictions(EXAMPLES.with_columns(pl.col("items") + 1), release(), version=4)["prediction_id"]
    assert len({*ids, *other, *changed}) == 6
