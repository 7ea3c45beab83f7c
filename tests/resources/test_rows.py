"""Digests do not know about order and do know about every value; versions and the past follow their definition."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from typing import Any, Final, Literal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from resources.rows import EPOCH, ConflictingRows, as_of, digest, merged, storable, unseen, versions

INSTANT = pl.Datetime("us", "UTC")
START = datetime(2013, 1, 1, tzinfo=UTC)
SAMPLE = pl.DataFrame(
    {
        "flight": ["UA 1", "AA 22", None, "É"],
        "delay": [1.5, -0.0, float("nan"), None],
        "stops": [0, None, -3, 2**40],
        "late": [True, False, None, True],
        "day": [date(2013, 1, 1), None, date(1969, 12, 31), date(2013, 1, 2)],
        "landed": [START, START + timedelta(microseconds=1), None, EPOCH],
        "parts": [[1, 2], None, [], [3]],
    },
    schema_overrides={"landed": INSTANT},
)
SAMPLE_DIGEST = "5a05d31a945fb3a125ced1fc54ed6dd139440372941a4a96504614b5c289c78a"


def day(n: int) -> datetime:
    return START + timedelta(days=n)


# --- digest -------------------------------------------------------------------------------------------------------------------------


def test_the_digest_of_given_rows_is_this_one_for_ever() -> None:
    assert digest(SAMPLE) == SAMPLE_DIGEST


@pytest.mark.parametrize("environment", [{"PYTHONHASHSEED": "1", "POLARS_MAX_THREADS": "1"}, {"PYTHONHASHSEED": "2"}])
def test_another_process_with_other_threads_and_hash_seed_computes_the_same(environment: Mapping[str, str]) -> None:
    code = "import polars as pl; from resources.rows import digest; n = pl.int_range(50_000, eager=True); "
    code += "print(digest(pl.DataFrame({'n': n, 'x': (n * 7919 % 10_007) / 3, 's': n.cast(pl.String)}).sample(fraction=1, shuffle=True)))"
    made = subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    n = pl.int_range(50_000, eager=True)
    assert made.stdout.strip() == digest(pl.DataFrame({"n": n, "x": (n * 7919 % 10_007) / 3, "s": n.cast(pl.String)}))


@given(st.permutations(range(4)), st.permutations(SAMPLE.columns))
@settings(max_examples=30, deadline=None)
def test_the_order_of_rows_and_columns_does_not_count(rows: list[int], columns: list[str]) -> None:
    assert digest(SAMPLE[rows].select(columns)) == digest(SAMPLE)


CELLS: list[tuple[str, object]] = [
    ("flight", "UA 2"), ("flight", ""), ("flight", None), ("delay", 1.5000000000000002), ("delay", None),
    ("delay", float("nan")), ("stops", 1), ("stops", None), ("late", False), ("late", None), ("day", date(2013, 1, 3)),
    ("landed", START + timedelta(microseconds=1)),
    ("landed", None), ("parts", [2, 1]), ("parts", []),
]  # fmt: skip


@pytest.mark.parametrize(("column", "value"), CELLS)
def test_one_other_value_is_another_digest(column: str, value: object) -> None:
    changed = pl.DataFrame([{**line, column: value} if n == 0 else line for n, line in enumerate(SAMPLE.to_dicts())], schema=SAMPLE.schema)
    assert digest(changed) != digest(SAMPLE)


DIFFERENT = [
    ({"a": ["x", "yz"]}, {"a": ["xy", "z"]}),
    ({"a": ["1"]}, {"a": [1]}),
    ({"a": [1]}, {"b": [1]}),
    ({"a": [1, 1]}, {"a": [1]}),
    ({"a": [1, 1, 2]}, {"a": [1, 2, 2]}),
    ({"a": [1, 2], "b": [1, 2]}, {"a": [1, 2], "b": [2, 1]}),
    ({"a": [0.0, None]}, {"a": [None, None]}),
    ({"a": [1]}, {"a": [1.0]}),
    ({"a": [1]}, {"a": [True]}),
    ({"a": [0]}, {"a": [EPOCH]}),
    ({"a": [None]}, {"a": [None, None]}),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_content_has_different_digests(one: dict[str, list[Any]], other: dict[str, list[Any]]) -> None:
    assert digest(pl.DataFrame(one)) != digest(pl.DataFrame(other))


def test_widths_and_signs_of_zero_and_kinds_of_nan_do_not_count() -> None:
    one = pl.DataFrame({"n": pl.Series([1, 2], dtype=pl.Int32), "x": pl.Series([0.0, 0.5], dtype=pl.Float32)})
    other = pl.DataFrame({"n": [1, 2], "x": [-0.0, 0.5]})
    assert digest(one) == digest(other)
    assert digest(pl.DataFrame({"x": [float("nan")]})) == digest(pl.DataFrame({"x": [-float("nan")]}))


def test_a_column_of_nulls_counts_as_absent() -> None:
    assert digest(SAMPLE.with_columns(gate=pl.lit(None, pl.String))) == digest(SAMPLE)


def test_what_the_lake_stores_has_the_digest_of_what_was_given() -> None:
    given_frame = pl.DataFrame(
        {"t": [START], "kind": ["a"], "n": [3]},
        schema={"t": pl.Datetime("ns", "America/New_York"), "kind": pl.Categorical(), "n": pl.UInt16()},
    )
    stored = storable(given_frame)
    assert stored.schema == {"t": INSTANT, "kind": pl.String(), "n": pl.Int64()}
    assert stored.rows() == [(START, "a", 3)]
    assert digest(stored) == digest(given_frame)


# --- merging ------------------------------------------------------------------------------------------------------------------------


def flights(rows: Sequence[tuple[str, float | None, int]]) -> pl.DataFrame:
    lines = [(key, delay, day(ingested)) for key, delay, ingested in rows]
    return pl.DataFrame(lines, schema={"flight": pl.String, "delay": pl.Float64, "ingested_at": INSTANT}, orient="row")


def added(existing: list[tuple[str, float | None, int]], incoming: list[tuple[str, float | None, int]]) -> list[tuple[Any, ...]]:
    return unseen(flights(existing), flights(incoming), key=["flight"]).select("flight", "delay").rows()


def test_a_row_that_says_nothing_new_is_not_added() -> None:
    assert added([("UA", 1.0, 0), ("AA", None, 0)], [("UA", 1.0, 9), ("AA", None, 9), ("DL", 3.0, 9)]) == [("DL", 3.0)]


def test_a_changed_value_is_added_also_when_it_was_said_before() -> None:
    assert added([("UA", 1.0, 0), ("UA", 2.0, 1)], [("UA", 1.0, 2)]) == [("UA", 1.0)]


def test_a_value_that_becomes_null_is_new() -> None:
    assert added([("UA", 1.0, 0)], [("UA", None, 1)]) == [("UA", None)]


def test_equal_rows_of_one_delivery_count_once() -> None:
    assert added([], [("UA", 1.0, 0), ("UA", 1.0, 0)]) == [("UA", 1.0)]


def test_a_delivery_that_contradicts_itself_is_refused_with_its_key() -> None:
    with pytest.raises(ConflictingRows, match=r"1 keys \(flight\) occur more than once.*flight='AA'"):
        added([], [("UA", 1.0, 0), ("AA", 1.0, 0), ("AA", 2.0, 0)])


def test_a_new_column_with_values_makes_every_row_new_and_an_empty_one_none() -> None:
    existing, incoming = flights([("UA", 1.0, 0)]), flights([("UA", 1.0, 1)])
    assert unseen(existing, incoming.with_columns(gate=pl.lit("A1")), key=["flight"]).height == 1
    assert unseen(existing, incoming.with_columns(gate=pl.lit(None, pl.String)), key=["flight"]).height == 0


def test_the_last_statement_of_one_instant_stands() -> None:
    after = merged(flights([("UA", 1.0, 0), ("UA", 2.0, 5)]), flights([("UA", 3.0, 5)]), key=["flight"])
    assert after.sort("ingested_at")["delay"].to_list() == [1.0, 3.0]


@pytest.mark.parametrize("order", list(permutations([("UA", 1.0, 1), ("UA", 2.0, 4), ("UA", 2.0, 6), ("UA", None, 7), ("AA", 5.0, 4)])))
def test_versions_take_their_place_by_their_own_instant_whichever_comes_first(order: tuple[tuple[str, float | None, int], ...]) -> None:
    after = flights([])
    for row in order:
        rows = flights([row])
        after = merged(after, unseen(after, rows, key=["flight"]), key=["flight"])
    assert after.sort("flight", "ingested_at").rows() == flights([("AA", 5.0, 4), ("UA", 1.0, 1), ("UA", 2.0, 4), ("UA", None, 7)]).rows()


# --- versions and the past ----------------------------------------------------------------------------------------------------------


def spans(
    rows: list[tuple[str, float | None, int]], instant: str | None, lands: Literal["as_declared", "on_arrival"]
) -> list[tuple[Any, ...]]:
    made = versions(flights(rows), key=["flight"], instant=instant, lands=lands).sort("flight", "ingested_at")
    return made.select("delay", "known_from", "known_until").rows()


HISTORY: Final[list[tuple[str, float | None, int]]] = [("UA", 2.0, 5), ("UA", 1.0, 1), ("AA", 7.0, 3)]


@pytest.mark.parametrize(("instant", "lands"), [("landed", "as_declared"), ("ALWAYS", "on_arrival"), (None, "on_arrival")])
def test_first_versions_that_count_as_declared_are_known_from_the_epoch(
    instant: str | None, lands: Literal["as_declared", "on_arrival"]
) -> None:
    assert spans(HISTORY, instant, lands) == [(7.0, EPOCH, None), (1.0, EPOCH, day(5)), (2.0, day(5), None)]
    assert spans(HISTORY[:1], instant, lands) == [(2.0, EPOCH, None)]


def test_rows_that_land_on_arrival_are_known_from_their_ingestion() -> None:
    assert spans(HISTORY, "landed", "on_arrival") == [(7.0, day(3), None), (1.0, day(1), day(5)), (2.0, day(5), None)]
    assert spans(HISTORY[:1], "landed", "on_arrival") == [(2.0, day(5), None)]


Known = Mapping[str, Any]
TABLE = {
    "key": pl.Int64,
    "part": pl.String,
    "published": INSTANT,
    "landed": INSTANT,
    "gate": pl.String,
    "delay": pl.Float64,
    "ingested_at": INSTANT,
}
AVAILABILITY = {"gate": "published", "delay": "landed", "landed": "landed", "part": "ALWAYS"}
moments = st.one_of(st.none(), st.integers(0, 9).map(day))


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    return [
        {
            "key": key,
            "part": "a",
            "published": draw(moments),
            "landed": draw(moments),
            "gate": draw(st.sampled_from(["A", "B"])),
            "delay": draw(st.one_of(st.none(), st.floats(-5, 5))),
            "ingested_at": ingested,
        }
        for key in range(draw(st.integers(0, 3)))
        for ingested in draw(st.lists(st.integers(0, 9).map(day), min_size=1, max_size=3, unique=True))
    ]


def past(rows: Sequence[Known], instant: str, lands: str, at: datetime) -> list[Known]:
    """As-of by its definition: rows of each key in the order of ingestion, the last one known, hidden cell by cell."""
    found: list[Known] = []
    for key in sorted({line["key"] for line in rows}):
        history = sorted((line for line in rows if line["key"] == key), key=lambda line: line["ingested_at"])
        declared = lands == "as_declared" or instant == "ALWAYS"
        known = [line for n, line in enumerate(history) if line["ingested_at"] <= at or (declared and n == 0)]
        if known and (instant == "ALWAYS" or (known[-1][instant] is not None and known[-1][instant] <= at)):
            hidden = {name for name, when in AVAILABILITY.items() if when != "ALWAYS" and (known[-1][when] is None or known[-1][when] > at)}
            found.append({name: None if name in hidden else value for name, value in known[-1].items()})
    return found


@settings(max_examples=200, deadline=None)
@given(
    rows=tables(),
    instant=st.sampled_from(["published", "ALWAYS"]),
    lands=st.sampled_from(["as_declared", "on_arrival"]),
    at=st.integers(0, 9),
)
def test_the_past_equals_its_definition(
    rows: list[dict[str, Any]], instant: str, lands: Literal["as_declared", "on_arrival"], at: int
) -> None:
    frame = pl.DataFrame(rows, schema=TABLE)
    made = as_of(frame, key=["key"], instant=instant, availability=AVAILABILITY, lands=lands, at=day(at))
    assert made.sort("key").to_dicts() == past(rows, instant, lands, day(at))


def test_the_past_of_a_table_does_not_change_when_corrections_come() -> None:
    before = pl.DataFrame(
        [{"key": 1, "part": "a", "published": day(0), "landed": day(2), "gate": "A", "delay": 4.0, "ingested_at": day(3)}], schema=TABLE
    )
    correction = before.with_columns(delay=pl.lit(60.0), ingested_at=pl.lit(day(6), INSTANT))
    then = [
        as_of(frame, key=["key"], instant="published", availability=AVAILABILITY, lands="as_declared", at=day(5))
        for frame in (before, pl.concat([before, correction]))
    ]
    assert_frame_equal(then[0], then[1])
    now = as_of(
        pl.concat([before, correction]), key=["key"], instant="published", availability=AVAILABILITY, lands="as_declared", at=day(6)
    )
    assert now["delay"].to_list() == [60.0]
