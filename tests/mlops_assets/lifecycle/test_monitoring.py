"""What a month of predictions is judged by: its own days, its mature labels, the version that answered."""

import random
from datetime import UTC as ZONE
from datetime import date, datetime, timedelta

import polars as pl
import pytest

from mlops_assets.lifecycle.monitoring import Judgement, judge, metadata
from tests.mlops_assets.lifecycle.orders import LATE, release

RELEASE = release(parts={"mean": 0.1, "item": 0.05}, trained_until=date(2020, 3, 25))
PER_DAY = 500


def days(first: date, count: int, *, shift: int = 0, flip: bool = False) -> pl.DataFrame:
    """Days of orders, more items more often late; ``shift`` adds items, ``flip`` turns the labels round."""
    number = [(day, place) for day in range(count) for place in range(PER_DAY)]
    dice = random.Random(first.isoformat())  # noqa: S311  a lot, not a secret
    items = [dice.randrange(10) for _ in number]
    return pl.DataFrame(
        {
            "row_id": [f"{first + timedelta(days=day)} {place}" for day, place in number],
            "day": [first + timedelta(days=day) for day, _ in number],
            "example_month": [f"{first:%Y-%m}"] * len(number),
            "predict_at": [datetime(2020, 1, 1, tzinfo=ZONE)] * len(number),
            "stall": ["east" if place % 2 else "west" for _, place in number],
            "items": [one + shift for one in items],
            "label": [float((one >= 5) != flip) for one in items],
        }
    )


def judged(**april: bool | int) -> Judgement:
    """January to March were trained on; April was predicted, and the last ten days have no label yet."""
    training = days(date(2020, 1, 1), 91).with_columns(example_month=pl.lit("2020-03"))
    month = days(date(2020, 4, 1), 30, **april)  # pyright: ignore[reportArgumentType]  bool or int, as each is
    answered = month.drop("label").with_columns(prediction=(pl.col("items") * 0.05 + 0.1), content_hash=pl.lit(RELEASE.content_hash))
    state = pl.when(pl.col("day") > date(2020, 4, 20)).then(pl.lit("pending")).otherwise(pl.lit("mature"))
    settled = month.select("row_id", "label", label_state=state).with_columns(
        label=pl.when(pl.col("label_state") == "mature").then(pl.col("label"))
    )
    return judge(LATE, answered, training, settled, RELEASE, month="2020-04")


def test_a_month_like_those_before_is_ok_and_is_measured_on_its_mature_labels() -> None:
    said = metadata(judged())
    assert (said["predictions"], said["labelled"]) == (30 * PER_DAY, 20 * PER_DAY)
    assert said["auc"] == pytest.approx(1.0)
    assert (said["drift"], said["performance"]) == ("ok", "ok")


def test_a_month_with_other_inputs_drifts_and_names_the_column() -> None:
    found = judged(shift=6)
    assert found.inputs.verdict == "drift"
    assert "items" in found.inputs.sentence


def test_a_month_whose_labels_turned_round_fell() -> None:
    assert judged(flip=True).realised.verdict == "fell"


def test_only_days_of_the_month_are_judged() -> None:
    assert judged().rows["day"].min() == date(2020, 4, 1)
