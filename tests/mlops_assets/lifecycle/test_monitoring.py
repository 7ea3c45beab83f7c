"""What a month of predictions is judged by: its own days, its mature labels, the version that answered."""

import random
from datetime import UTC as ZONE
from datetime import date, datetime, timedelta

import polars as pl
import pytest

from mlops_assets.lifecycle.monitoring import HISTORY, Judgement, judge, judged_by, metadata, settled
from tests.mlops_assets.lifecycle.orders import LATE, order, orders, release

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


def answered(*months: tuple[str, str]) -> pl.DataFrame:
    """One prediction a day of each month, by the version named beside it."""
    firsts = [(date.fromisoformat(f"{month}-01"), month, version) for month, version in months]
    rows = [(first + timedelta(days=day), month, version) for first, month, version in firsts for day in range(28)]
    return pl.DataFrame(rows, schema=["day", "example_month", "content_hash"], orient="row")


def test_a_month_is_judged_by_ten_weeks_of_predictions_and_by_all_of_its_version() -> None:
    lately = answered(("2020-01", "new"), ("2020-02", "old"), ("2020-06", "old"), ("2020-07", "new"))
    found = judged_by(lately.lazy(), "2020-07")
    assert found["example_month"].unique().sort().to_list() == ["2020-01", "2020-06", "2020-07"]
    assert date(2020, 7, 1) - HISTORY < date(2020, 6, 1)


def test_a_version_that_lives_for_months_is_judged_by_the_labels_of_all_of_them() -> None:
    due = [datetime(2020, month, 10, 17, tzinfo=ZONE) for month in (2, 3, 4)]
    source = orders(*(order(f"{one:%B}", due=one) for one in due)).lazy()
    found = settled(LATE, source, answered(("2020-02", "a"), ("2020-03", "a")), until=datetime(2020, 5, 1, tzinfo=ZONE))
    assert dict(found.select("row_id", "label_state").iter_rows()) == {"February": "mature", "March": "mature"}
