"""Planted skew is found and named. What was served and what offline says are both worked out row by row here, by no join."""

import math
import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import polars as pl
import pytest

from resources.feature_store.asof import Columns
from resources.monitors.consistency import Kind, Past, Skew, by_day, differing, skews

START: Final = datetime(2020, 3, 1, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
KEYS: Final = [f"k{number}" for number in range(6)]
NAMES: Final = ["shop_sales__mean", "shop_sales__count", "shop_sales__open"]
TTL: Final = 8 * HOUR

Row = tuple[Any, ...]
View = Callable[[str, datetime], Row]
NOTHING: Final[Row] = (None, None, None)


def table() -> dict[str, list[tuple[datetime, Row]]]:
    """Of each key its rows in forty days, every hour or so, with gaps longer than the ttl."""
    dice = random.Random(7)  # noqa: S311  a lot, not a secret
    rows: dict[str, list[tuple[datetime, Row]]] = {key: [] for key in KEYS}
    for key, own in rows.items():
        at = START - timedelta(days=10)
        while at < START + timedelta(days=30):
            values = (round(dice.uniform(0, 50), 6), dice.randrange(4), dice.random() < 0.5)
            own.append((at, values if dice.random() > 0.05 else (None, 0, None)))
            at += HOUR * dice.choice([1, 1, 2, 3, 14]) + timedelta(minutes=dice.randrange(50))
        assert len(own) > 100, key
    return rows


ROWS: Final = table()


def held(key: str, at: datetime, *, ttl: timedelta | None = TTL) -> Row:
    """The row of a key that held at an instant, or nothing."""
    known = [(since, values) for since, values in ROWS[key] if since <= at and (ttl is None or at - since <= ttl)]
    return known[-1][1] if known else NOTHING


def log(value: View, *, days: int = 28) -> pl.DataFrame:
    """Fifty answers a day, each with the values that ``value`` gives for its key and instant."""
    dice = random.Random(11)  # noqa: S311  a lot, not a secret
    asked = sorted((START + timedelta(seconds=dice.randrange(days * 86400)), dice.choice(KEYS)) for _ in range(50 * days))
    rows = [(f"{number:04d}", key, at, at.date(), *value(key, at)) for number, (at, key) in enumerate(asked)]
    schema = ["prediction_id", "shop", "predict_at", "day", *NAMES]
    return pl.DataFrame(rows, schema=schema, orient="row", infer_schema_length=None).with_columns(pl.col("predict_at").cast(INSTANT))


INSTANT: Final = pl.Datetime("us", "UTC")
OFFLINE: Final = log(held)


def past(examples: pl.DataFrame) -> Past:
    """All rows of the keys that are asked for."""
    rows = [(key, since, *values) for key in examples["shop"].unique().sort() for since, values in ROWS[key]]
    frame = pl.DataFrame(rows, schema=["shop", "since", *NAMES], orient="row", infer_schema_length=None)
    return Past(rows=frame.with_columns(pl.col("since").cast(INSTANT)), columns=Columns(keys=("shop",), stamp="since"), ttl=TTL)


def found(served: pl.DataFrame) -> dict[str, Skew]:
    """The skew of each feature that differs."""
    return {one.feature: one for one in skews(served, OFFLINE, differing(served, OFFLINE, NAMES), past=past)}


def kinds(value: View) -> dict[str, Kind]:
    """The kind of each feature that differs."""
    return {name: one.kind for name, one in found(log(value)).items()}


@pytest.mark.parametrize(
    ("served", "offline", "same"),
    [
        (1.0, 1.0, True),
        (0.1 + 0.2, 0.3, True),
        (1e12, 1e12 + 1, True),
        (1.0, 1.0 + 1e-8, False),
        (0.0, -0.0, True),
        (0.0, 1e-300, False),
        (math.nan, math.nan, True),
        (math.nan, 1.0, False),
        (1.0, math.nan, False),
        (math.nan, None, False),
        (None, None, True),
        (None, 0.0, False),
        (math.inf, math.inf, True),
        (math.inf, 1.0, False),
        (1.0, math.inf, False),
        (math.inf, -math.inf, False),
        (2**53, 2**53 + 1, False),
        (3, 3.0, True),
        (3, 4.0, False),
        ("a", "a", True),
        ("a", "A", False),
        ("3", 3, False),
        (True, 1, False),
        (True, False, False),
        (True, None, False),
    ],
)
def test_values_are_equal_as_people_mean_it(served: object, offline: object, same: bool) -> None:  # noqa: FBT001  a column of the table
    frames = [pl.DataFrame({"v__f": pl.Series([one])}) for one in (served, offline)]
    types = [frame.schema["v__f"] for frame in frames]
    frames = [frame.cast(other) if dtype == pl.Null else frame for frame, dtype, other in zip(frames, types, types[::-1], strict=True)]
    assert differing(frames[0], frames[1], ["v__f"])["v__f"].to_list() == [not same]


def test_the_same_values_on_both_sides_are_no_skew_and_no_past_is_asked_for() -> None:
    def unasked(examples: pl.DataFrame) -> Past:
        raise AssertionError(examples)

    assert skews(OFFLINE, OFFLINE, differing(OFFLINE, OFFLINE, NAMES), past=unasked) == []


@pytest.mark.parametrize("hours", [-14, -5, -1, 1, 2, 9, 14])
def test_values_of_another_time_zone_are_named_with_the_hours(hours: int) -> None:
    skew = found(log(lambda key, at: held(key, at + hours * HOUR)))
    assert {name: one.kind for name, one in skew.items()} == dict.fromkeys(NAMES, "time-zone shift")
    assert f"those of {abs(hours)} h {'later' if hours > 0 else 'earlier'}" in skew[NAMES[0]].sentence


def test_one_instant_alone_is_no_time_zone() -> None:
    at = START + timedelta(days=9, minutes=7)
    now = pl.lit(at).alias("predict_at")
    served, offline = log(lambda key, _: held(key, at - 5 * HOUR)).with_columns(now), log(lambda key, _: held(key, at)).with_columns(now)
    kind = {one.kind for one in skews(served, offline, differing(served, offline, NAMES), past=past)}
    assert kind == {"stale value"}


def test_nothing_served_is_no_time_zone_in_which_everything_has_expired() -> None:
    def short(examples: pl.DataFrame) -> Past:
        known = past(examples)
        return Past(rows=known.rows.filter(pl.col("since") <= START + 6 * HOUR), columns=known.columns, ttl=TTL)

    offline = pl.concat([OFFLINE.filter(pl.col("predict_at") <= START + 6 * HOUR)] * 9)
    served = offline.with_columns(pl.lit(None).cast(offline.schema[name]).alias(name) for name in NAMES)
    kind = {one.kind for one in skews(served, offline, differing(served, offline, NAMES), past=short)}
    assert kind == {"other code"}


def test_values_loaded_once_a_day_are_stale() -> None:
    assert kinds(lambda key, at: held(key, at.replace(hour=0, minute=0, second=0))) == dict.fromkeys(NAMES, "stale value")


def test_values_that_stood_still_for_three_days_are_stale() -> None:
    stood = START + timedelta(days=20)
    skew = found(log(lambda key, at: held(key, min(at, stood) if at < stood + timedelta(days=3) else at)))
    assert {one.kind for one in skew.values()} == {"stale value"}
    assert "d before in the median" in skew[NAMES[0]].sentence


def test_rows_served_after_their_ttl_are_named() -> None:
    skew = found(log(lambda key, at: held(key, at, ttl=None)))
    assert {one.kind for one in skew.values()} == {"wrong TTL"}
    assert "the view's ttl is 8 h" in skew[NAMES[0]].sentence


def test_rows_given_up_before_their_ttl_are_named_with_the_age_at_which_they_were() -> None:
    skew = found(log(lambda key, at: held(key, at, ttl=2 * HOUR)))
    assert {one.kind for one in skew.values()} == {"wrong TTL"}
    assert "nothing older than 1.9" in skew[NAMES[0]].sentence


def test_a_ttl_where_the_view_has_none_is_named() -> None:
    def endless(examples: pl.DataFrame) -> Past:
        known = past(examples)
        return Past(rows=known.rows, columns=known.columns, ttl=None)

    served, offline = log(held), log(lambda key, at: held(key, at, ttl=None))
    kind = {one.kind for one in skews(served, offline, differing(served, offline, NAMES), past=endless)}
    assert kind == {"wrong TTL"}


DICE: Final = random.Random(3)  # noqa: S311  a lot, not a secret


def by_lot(_: str, __: datetime) -> Row:
    """Anything."""
    return DICE.uniform(0, 50), DICE.randrange(4), DICE.random() < 0.5


OTHER_CODE: Final[dict[str, tuple[View, list[str]]]] = {
    "at random": (by_lot, NAMES),
    "counts at random": (lambda key, at: (held(key, at)[0], DICE.randrange(4), held(key, at)[2]), [NAMES[1]]),
    "truth at random": (lambda key, at: (*held(key, at)[:2], DICE.random() < 0.5), [NAMES[2]]),
    "never truth": (lambda key, at: (*held(key, at)[:2], None), [NAMES[2]]),
    "one per cent more": (lambda key, at: ((held(key, at)[0] or 0.0) * 1.01, *held(key, at)[1:]), [NAMES[0]]),
    "nought for null": (lambda key, at: (held(key, at)[0] or 0.0, *held(key, at)[1:]), [NAMES[0]]),
    "another key": (lambda key, at: held(KEYS[KEYS.index(key) - 1], at), NAMES),
    "nothing": (lambda _, __: NOTHING, NAMES),
    "nothing for every other": (lambda key, at: NOTHING if DICE.random() < 0.5 else held(key, at), NAMES),
}


@pytest.mark.parametrize("code", OTHER_CODE)
def test_what_no_instant_and_no_ttl_explains_is_other_code(code: str) -> None:
    value, wrong = OTHER_CODE[code]
    assert kinds(value) == dict.fromkeys(wrong, "other code")


def test_one_stale_feature_of_a_view_is_stale_and_its_neighbour_of_other_code_is_not() -> None:
    def mixed(key: str, at: datetime) -> Row:
        return held(key, at - timedelta(hours=2, minutes=40))[0], DICE.randrange(4), held(key, at)[2]

    assert kinds(mixed) == {NAMES[0]: "stale value", NAMES[1]: "other code"}


def test_few_differences_are_counted_and_their_kind_is_left_open() -> None:
    served = OFFLINE.with_columns(pl.when(pl.int_range(pl.len()) < 4).then(-1.0).otherwise(NAMES[0]).alias(NAMES[0]))
    skew = found(served)[NAMES[0]]
    assert (skew.mismatched, skew.compared, skew.kind) == (4, OFFLINE.height, "too few to tell")
    assert skew.cases["prediction_id"].to_list() == ["0000", "0001", "0002", "0003"]


@pytest.mark.parametrize(("count", "over"), [(1, False), (2, True)])
def test_one_in_a_thousand_may_differ_and_no_more(count: int, over: bool) -> None:  # noqa: FBT001  a column of the table
    offline = OFFLINE.head(1000)
    served = offline.with_columns(pl.when(pl.int_range(pl.len()) < count).then(-1.0).otherwise(NAMES[0]).alias(NAMES[0]))
    (skew,) = skews(served, offline, differing(served, offline, NAMES), past=past)
    assert (skew.mismatched, skew.over) == (count, over)


def test_values_that_went_through_text_are_named_all_the_same() -> None:
    served = log(lambda key, at: held(key, at.replace(hour=0, minute=0, second=0)))
    through = served.with_columns(pl.col(NAMES[0]) * (1 + 1e-12), pl.col(NAMES[1]).cast(pl.Float64))
    assert {one.kind for one in found(through).values()} == {"stale value"}


def test_days_and_features_are_counted_apart() -> None:
    served = OFFLINE.with_columns(pl.when(pl.col("day") == date(2020, 3, 2)).then(-1.0).otherwise(NAMES[0]).alias(NAMES[0]))
    rows = by_day(served, differing(served, OFFLINE, NAMES))
    assert rows.height == OFFLINE["day"].n_unique() * len(NAMES)
    bad = rows.filter(pl.col("mismatched") > 0)
    assert bad.select("day", "feature", "rate").rows() == [(date(2020, 3, 2), NAMES[0], 1.0)]
    assert rows["compared"].sum() == OFFLINE.height * len(NAMES)
