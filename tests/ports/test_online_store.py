"""What every store of packed rows must do, on a real SQLite file and a real Redis: against a plain dictionary, and under two writers."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.feature_store.direct import Lookup, Reader, opened
from resources.feature_store.packed import TYPES, Layout, PackedRows, Place, Reading, Value, pack_keys
from tests.servers.redis import Redis, redis

SECOND: Final = 1_000_000
LAYOUT: Final = Layout(name="1", features=(("n", "int64"), ("x", "float64"), ("word", "string"), ("yes", "bool"), ("again", "string")))
PLACE: Final = Place(project="p", view="v", layout="1")
LOOKUP: Final = Lookup(view="v", layout="1", keys=("k",), features=dict(LAYOUT.features))
OTHER: Final = Lookup(view="w", layout="7", keys=("j", "k"), features={"n": "int64"})


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    with redis() as running:
        yield running


@pytest.fixture(params=["sqlite", "redis"])
def rows(request: pytest.FixtureRequest, server: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PackedRows]:
    monkeypatch.setenv("REDIS_PASSWORD", server.password)
    server.client().flushall()
    store = opened(server.url() if request.param == "redis" else "", home=tmp_path)
    yield store
    store.close()


@dataclass(frozen=True, kw_only=True)
class Write:
    """One row as it is given to a store."""

    key: str
    since: int
    version: int | None
    values: tuple[Value, ...]
    until: int | None = None
    gone: bool = False
    at: int = 0

    def packed(self) -> bytes:
        frame = pl.DataFrame([self.values], schema={name: TYPES[dtype] for name, dtype in LAYOUT.features}, orient="row")
        since, until = pl.Series([self.since], dtype=pl.Int64), pl.Series([self.until], dtype=pl.Int64)
        read = None if self.version is None else Reading(version=self.version, at=self.at)
        (row,) = LAYOUT.pack(frame, since=since, until=until, read=read, gone=self.gone)
        return row


VALUES: Final = st.tuples(
    st.none() | st.integers(-(2**63), 2**63 - 1), st.none() | st.floats(allow_nan=False), st.none() | st.text(), st.none() | st.booleans(),
    st.none() | st.text(),
)  # fmt: skip
WRITES: Final = st.lists(
    st.builds(
        Write,
        key=st.sampled_from(["a", "b", "", "é"]),
        since=st.sampled_from([-5 * SECOND, 0, SECOND, 2 * SECOND, 2**52]),
        version=st.sampled_from([None, 0, 1, 300]),
        values=VALUES,
        until=st.sampled_from([None, 0, 2 * SECOND, 5 * SECOND]),
        gone=st.booleans(),
        at=st.sampled_from([0, SECOND, 2 * SECOND, 5 * SECOND, 2**52]),
    ),
    max_size=12,
)


def held(model: dict[str, Write], write: Write) -> Write | None:
    """What a key holds after a write, or None if the write is to be left out: the plain reading of the promise."""
    old = model.get(write.key)
    if old is None:
        return write
    if write.version is not None and old.version is not None and write.version != old.version:
        older, newer = sorted([old, write], key=lambda one: one.version or 0)
        holds = older if older.since > newer.at else newer
    elif write.since != old.since:
        holds = max(old, write, key=lambda one: one.since)
    elif write.version is None:
        return replace(write, version=old.version, at=old.at)
    else:
        holds = old if old.version is not None and old.at > write.at else write
    return write if holds is write else None


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(writes=WRITES, cut=st.integers(0, 12), at=st.integers(-6, 6).map(lambda seconds: seconds * SECOND))
def test_a_store_holds_what_a_dictionary_holds(rows: PackedRows, writes: list[Write], cut: int, at: int) -> None:
    rows.forget("p", "v")
    model: dict[str, Write] = {}
    expected = 0
    for write in writes:
        if (after := held(model, write)) is not None:
            model[write.key], expected = after, expected + 1

    parts = [part for part in (writes[:cut], writes[cut:]) if part]
    written = sum(rows.write(PLACE, [one.key for one in part], [one.packed() for one in part]) for part in parts)

    assert written == expected
    asked = ["a", "nobody", "é", "", "b", "a"]
    (told,) = Reader(rows, project="p", lookups=[LOOKUP]).read([asked], at=at)
    for place, key in enumerate(asked):
        row = model.get(key)
        status = (
            "absent"
            if row is None or row.gone
            else "ahead"
            if at < row.since
            else "stale"
            if row.until is not None and at >= row.until
            else "fresh"
        )
        assert told.status[place] == status
        values = row.values if row is not None and status == "fresh" else (None,) * len(LAYOUT.features)
        assert tuple(told.columns[f"v__{name}"][place] for name, _ in LAYOUT.features) == values
    assert {*rows.keys(PLACE)} == {*model}


def test_what_a_newer_version_says_of_its_instant_is_not_undone_by_a_load_of_an_older_one(rows: PackedRows) -> None:
    def load(version: int, since: int, *, at: int) -> int:
        row = Write(key="a", since=since * SECOND, version=version, values=(since, None, None, None, None), at=at * SECOND)
        return rows.write(PLACE, ["a"], [row.packed()])

    assert load(2, 9, at=20) == 1
    assert load(1, 10, at=15) == 0, "it has a row that version 2 no longer has"
    assert load(1, 20, at=20) == 0
    assert load(1, 21, at=25) == 1, "version 2 was not asked about this instant"
    assert load(2, 9, at=20) == 0
    assert load(2, 9, at=25) == 1


def test_not_a_number_is_kept_apart_from_null_and_a_float_keeps_every_bit(rows: PackedRows) -> None:
    rows.write(
        PLACE,
        ["a", "b"],
        [Write(key="", since=0, version=1, values=(1, value, None, None, "")).packed() for value in (float("nan"), 0.1 + 0.2)],
    )
    (told,) = Reader(rows, project="p", lookups=[LOOKUP]).read([["a", "b"]], at=0)
    assert str(told.columns["v__x"][0]) == "nan"
    assert told.columns["v__x"][1] == 0.1 + 0.2


def test_several_views_and_composite_keys_come_in_one_answer_in_the_order_asked_for(rows: PackedRows) -> None:
    entities = pl.DataFrame({"k": ["b", "a", None, "b", "zz"], "j": [2, 1, 1, None, 1]})
    one, pairs = OTHER.packing, pl.DataFrame({"j": [1, 2], "k": ["a", "b"]})
    zeros, never = pl.Series([0, 0]), pl.Series([None, None], dtype=pl.Int64)
    rows.write(
        Place(project="p", view="w", layout="7"),
        pack_keys(pairs),
        one.pack(pl.DataFrame({"n": [10, 20]}), since=zeros, until=never, read=Reading(version=1, at=0)),
    )
    rows.write(PLACE, ["a"], [Write(key="a", since=0, version=1, values=(7, None, "t", True, None)).packed()])
    from datetime import UTC, datetime

    frame = Reader(rows, project="p", lookups=[LOOKUP, OTHER]).frame(entities, at=datetime(2013, 1, 1, tzinfo=UTC))

    assert frame["v__n"].to_list() == [None, 7, None, None, None]
    assert frame["v__status"].to_list() == ["absent", "fresh", "absent", "absent", "absent"]
    assert frame["w__n"].to_list() == [20, 10, None, None, None]
    assert frame["w__status"].to_list() == ["fresh", "fresh", "absent", "absent", "absent"]


def test_nothing_is_asked_and_nothing_is_answered(rows: PackedRows) -> None:
    assert rows.read([]) == []
    assert rows.write(PLACE, [], []) == 0
    (told,) = Reader(rows, project="p", lookups=[LOOKUP]).read([[]], at=0)
    assert list(told.status) == []


def test_definitions_lie_side_by_side_and_only_those_kept_stay(rows: PackedRows) -> None:
    row = Write(key="a", since=0, version=1, values=(1, 1.0, "", True, "")).packed()
    for layout in ("1", "2", "3"):
        rows.write(replace(PLACE, layout=layout), ["a"], [row])
    rows.write(replace(PLACE, view="vv"), ["a"], [row])
    assert rows.layouts("p", "v") == {"1", "2", "3"}
    rows.forget("p", "v", keep=["2"])
    assert rows.layouts("p", "v") == {"2"}
    assert rows.layouts("p", "vv") == {"1"}


def test_writers_at_once_end_with_the_newest_of_every_key(rows: PackedRows) -> None:
    def write(writer: int) -> None:
        for since in range(writer, 200, 4):
            rows.write(PLACE, ["a", "b"], [Write(key="", since=since, version=None, values=(since, None, None, None, None)).packed()] * 2)
        rows.close()

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (told,) = Reader(rows, project="p", lookups=[LOOKUP]).read([["a", "b"]], at=1000)
    assert list(told.columns["v__n"]) == [199, 199]


def test_threads_that_open_a_new_file_at_once_all_get_it(tmp_path: Path) -> None:
    row = Write(key="", since=1, version=None, values=(1, None, None, None, None)).packed()
    for number in range(25):
        store = opened("", home=tmp_path / str(number))
        at_once = threading.Barrier(6)

        def write(store: PackedRows, at_once: threading.Barrier) -> int:
            at_once.wait()
            try:
                return store.write(PLACE, ["a"], [row])
            finally:
                store.close()

        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(write, [store] * 6, [at_once] * 6)) == 6
        store.close()


def test_a_write_that_fails_leaves_every_row_as_it_was(rows: PackedRows) -> None:
    first = Write(key="a", since=1, version=1, values=(1, None, None, None, None)).packed()
    rows.write(PLACE, ["a"], [first])
    fault: Any = None
    with pytest.raises(Exception, match=r"(?i)null|nonetype|invalid"):
        rows.write(PLACE, ["a", fault], [Write(key="a", since=2, version=1, values=(2, None, None, None, None)).packed()] * 2)
    assert rows.read([(PLACE, ["a"])]) == [first]
