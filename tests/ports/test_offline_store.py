"""What an offline store must do: for any tables and examples, give what a plain loop over all rows gives.

Feast's own suite passes on a store that ignores ttl; this one is not optional for anything that training rows come from.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest
from deltalake import write_deltalake
from hypothesis import HealthCheck, given, settings

from tests.ports.kinds import ASKED, KINDS, table
from tests.ports.scenes import Scene, hours, scenes
from tests.ports.stores import answer, job

Answer = list[tuple[Any, ...]]

DISAGREEMENTS: Final[Mapping[str, Mapping[str, Answer | str]]] = {
    "ours": {},
    "dask": {
        "a row older than its ttl": [],  # the example is lost
        "a row from the future": [],
        "the same example twice": [(1, 1, None)],  # one is left
        "examples that differ in the key of another view": [(1, 1, None, 3, None)],
        "a found example before one that is not": [(1, None, None), (0, 1, None)],  # the order is another
        "a null key on both sides": [(0, 1, None)],  # they match
        "a feature row without an instant": [(0, 1, None)],  # it holds for ever
        "an example without an instant": [(0, 1, None)],  # it is lost
        "instants a few nanoseconds apart": [(1, 1, None)],
        "nanoseconds against microseconds": [(1, 1, None)],
        "a large integer beside a missing one": [(1, None, None), (0, 2**53, None)],  # it is another number
        "a row that a Delta table had once": [(0, 2, None)],  # it has it still
    },
    "duckdb": {
        "equal instants": [(0, 1, None)],  # the first in the file
        "instants a few nanoseconds apart": "Casting from timestamp",  # refused, not by name
        "nanoseconds against microseconds": [(0, 1, None), (1, 1, None)],  # a row from the future holds
    },
}
"""What Feast's own stores give instead, by kind of table; an error by its words."""

OFFLINE: Final = "a row that a Delta table had once"
"""DuckDB downloads its reader of Delta tables when it is first used."""
CASES: Final = [(store, kind) for store in DISAGREEMENTS for kind in KINDS if (store, kind) != ("duckdb", OFFLINE)]


def agrees(scene: Scene) -> None:
    """Our store finds what the loop finds, in the order in which the examples came."""
    assert answer(scene, "ours") == scene.expected()


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scene=scenes())
def test_every_example_gets_what_a_loop_over_all_rows_finds(scene: Scene) -> None:
    agrees(scene)


@pytest.mark.parametrize(("store", "kind"), CASES)
def test_a_store_gives_what_the_loop_finds_but_for_what_is_listed(store: str, kind: str) -> None:
    scene, listed = KINDS[kind], DISAGREEMENTS[store].get(kind)
    if isinstance(listed, str):
        with pytest.raises(ValueError, match=listed):
            answer(scene, store)
    else:
        assert answer(scene, store) == (scene.expected() if listed is None else listed)


def test_no_disagreement_is_listed_that_is_none() -> None:
    for listed in DISAGREEMENTS.values():
        assert [kind for kind, given in listed.items() if given == KINDS[kind].expected()] == []


def test_a_pinned_version_gives_the_rows_of_then(tmp_path: Path) -> None:
    old, new = table({"ts": hours(0), "x": 1}, kind="DeltaSource"), table({"ts": hours(0), "x": 2})
    scene = Scene(tables=(old,), examples=ASKED)
    then = job(tmp_path, scene, "ours", versions={"by_k": 0})
    write_deltalake(tmp_path / old.name, new.frame(new.rows), mode="overwrite")

    assert then.to_polars()["by_k__x"].to_list() == [1]


def test_what_holds_beyond_a_month_back_is_found() -> None:
    days = 24
    rows = [{"ts": hours(-100 * days), "x": 1}, {"ts": hours(-40 * days), "x": 2}, {"ts": hours(-31 * days), "x": 3, "k": "b"}]
    scene = Scene(tables=(table(*rows, kind="DeltaSource"),), examples=({"k": "a", "at": hours(0)}, {"k": "b", "at": hours(1)}))
    assert answer(scene, "ours") == scene.expected() == [(0, 2, None), (1, 3, None)]


def test_a_retrieval_keeps_every_column_of_the_examples_as_it_came(tmp_path: Path) -> None:
    scene = Scene(tables=(table({"ts": hours(0), "x": 1}),), examples=ASKED)
    given = scene.spine().with_columns(label=pl.Series([1], dtype=pl.Int8), note=pl.Series(["n"], dtype=pl.Categorical))
    back = job(tmp_path, scene, "ours", entity_df=given).to_polars()
    assert back.select(given.columns).equals(given)
    assert back.schema == {**given.schema, "by_k__x": pl.Int64(), "by_k__text": pl.String()}
