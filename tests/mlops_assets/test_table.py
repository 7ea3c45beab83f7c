"""Contracts: what a class body becomes, what cannot be meant, and how the text of a file becomes its values."""

from datetime import UTC as ZONE
from datetime import datetime
from pathlib import Path
from types import new_class
from typing import Any

import polars as pl
import pytest

from mlops_assets import greedy
from mlops_assets.table import ALWAYS, UTC, Column, DeclarationError, Table, column, highest
from mlops_assets.text import EPOCH, archive, local_month, typed
from tests.mlops_assets.lifecycle.orders import Orders

GOOD: dict[str, Any] = {"id": str, "at": UTC}
OPTIONS: dict[str, Any] = {"available": "at", "key": ("id",)}
KINDS = "Use one of bool, date, datetime, float, int, str, with `| None` if it may be null."
NO_INSTANT = "which is none of its instants. Name a column annotated UTC, or ALWAYS."


class Readings(Table, available="at", key=("id", "at")):
    """One of each type."""

    id: str
    at: UTC
    until: UTC | None = column(available="until")
    amount: float | None
    pieces: int
    good: bool


def declared(columns: dict[str, Any], said: dict[str, Any] | None = None, bases: tuple[type, ...] = (Table,), **options: Any) -> type:
    return new_class("Sales", bases, options, lambda space: space.update({"__annotations__": columns, **(said or {})}))


def test_an_annotation_becomes_a_column_with_its_type_and_the_instant_from_which_it_is_known() -> None:
    until = Readings.columns["until"]
    assert Readings.until is until
    assert until == Column(
        table="Readings", name="until", dtype=pl.Datetime("us", "UTC"), nullable=True, available="until"
    )  # fmt: skip
    assert {name: (str(col.dtype), col.nullable, col.available) for name, col in Readings.columns.items() if name != "until"} == {
        "id": ("String", False, "at"), "at": ("Datetime(time_unit='us', time_zone='UTC')", False, "at"),
        "amount": ("Float64", True, "at"), "pieces": ("Int64", False, "at"), "good": ("Boolean", False, "at"),
    }  # fmt: skip
    assert (Readings.key, Readings.level, str(until)) == (("id", "at"), "internal", "Readings.until")
    assert (Orders.key, highest(["public", "restricted", "internal"]), highest([])) == (("order_id",), "restricted", "public")


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    "no availability": (
        {},
        {},
        {"available": ""},
        "say when a row becomes known, `class Sales(Table, available=...)`: an instant column or",
    ),
    "no type": ({}, {"paid": column(ge=0)}, {}, "paid needs its type, `paid: float = column(...)`."),
    "a value": ({"paid": float}, {"paid": 3.5}, {}, "paid has a value. Write `paid: ... = column(...)`, or the type alone."),
    "two types": ({"paid": int | str}, {}, {}, f"paid is int | str, which is no column type. {KINDS}"),
    "odd type": ({"paid": list[int]}, {}, {}, f"paid is list[int], which is no column type. {KINDS}"),
    "taken name": ({"ingested_at": UTC}, {}, {}, "ingested_at means something to the platform; call your column something else."),
    "no key": ({}, {}, {"key": ()}, "needs a key: `column(unique=True)` or `key=(...)` of its columns id, at."),
    "unknown key": ({}, {}, {"key": ("number",)}, "needs a key: `column(unique=True)` or `key=(...)` of its columns id, at."),
    "null key": ({"id": str | None}, {}, {}, "id may be null and identifies no row. Take `| None` off, or another key."),
    "unknown level": ({}, {}, {"level": "secret"}, "level='secret' is none of public, internal, confidential, restricted."),
    "unknown instant": ({}, {}, {"available": "sold_at"}, f"id is available='sold_at', {NO_INSTANT}"),
    "no instant": ({}, {}, {"available": "id"}, f"id is available='id', {NO_INSTANT}"),
    "column's unknown instant": ({"paid": float}, {"paid": column(available="due")}, {}, f"paid is available='due', {NO_INSTANT}"),
    "absent by no truth": (
        {"paid": float},
        {"paid": column(absent_when="id")},
        {},
        "paid is absent_when='id', which is no column annotated",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_contract_that_cannot_be_meant_is_refused_with_the_column_and_the_fix(case: str) -> None:
    columns, said, options, sentence = REFUSED[case]
    with pytest.raises(DeclarationError) as refused:
        declared(GOOD | columns, said, **(OPTIONS | options))
    assert str(refused.value).startswith(f"Sales: {sentence}")


def test_what_another_contract_says_of_its_columns_is_never_inherited_in_silence() -> None:
    with pytest.raises(DeclarationError, match=r"Sales: a contract is a `class Sales\(Table, ...\)`.* Write them out"):
        declared({"more": float}, bases=(Readings,), available="at", key=("id",))


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(TypeError, match="'keys'"):
        declared(GOOD, available="at", keys=("id",))


def test_a_table_that_was_always_known_needs_no_instant() -> None:
    assert declared({"id": str}, {"id": column(unique=True)}, available=ALWAYS)


def read(**texts: str | None) -> dict[str, Any]:
    raw = pl.DataFrame({name: [text] for name, text in texts.items()}, schema=dict.fromkeys(texts, pl.String))
    forms = {"at": "%Y-%m-%d %H:%M", "until": "%Y-%m-%dT%H:%M%#z"}
    raw = raw.rename({"amount": "Amount ($)"}, strict=False)
    return typed(raw, Readings, instants=forms, timezone="America/New_York", names={"amount": "Amount ($)"}).row(0, named=True)


def test_text_becomes_a_value_of_the_contract_s_type() -> None:
    row = read(id=" a ", at="2024-01-31 23:30", until="2024-02-01T05:30+00:00", amount=" 1.5", pieces="3", good="TRUE")
    midnight = datetime(2024, 2, 1, 4, 30, tzinfo=ZONE)
    assert row == {"id": "a", "at": midnight, "until": midnight.replace(hour=5), "amount": 1.5, "pieces": 3, "good": True}
    assert (read(amount="false"), read(amount="True")) == ({"amount": 0.0}, {"amount": 1.0})


def test_text_that_cannot_be_read_is_never_missing_where_missing_is_allowed() -> None:
    row = read(at="soon", until="later", amount="much", pieces="1.5", good="maybe")
    assert str(row.pop("amount")) == "nan"
    assert row == {"at": None, "until": pl.select(EPOCH).item(), "pieces": None, "good": None}
    assert read(until=None, amount=None) == {"until": None, "amount": None}


def test_a_clock_time_that_clocks_skip_is_no_instant_and_the_first_counts_of_one_that_comes_twice() -> None:
    assert read(at="2024-03-10 02:30") == {"at": None}
    assert read(at="2024-11-03 01:30") == {"at": datetime(2024, 11, 3, 5, 30, tzinfo=ZONE)}


def test_the_rows_of_a_month_are_those_of_its_local_calendar(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,at\na,2024-01-31T23:30Z\nb,2024-02-01T05:30Z\nc,NA\n")
    rows = archive(tmp_path / "rows.csv", time="at", form="%Y-%m-%dT%H:%M%#z", timezone="America/New_York")
    assert [rows(month)["id"].to_list() for month in ("2024-01", "2024-02", "2024-03", None)] == [["a"], ["b"], [], ["a", "b", "c"]]
    assert pl.select(local_month(pl.lit(datetime(2024, 2, 1, 4, tzinfo=ZONE)), "America/New_York")).item() == "2024-01"


def test_a_package_that_hides_one_of_ours_is_refused_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    greedy.refuse_shadows()
    monkeypatch.setattr(greedy, "HOME", tmp_path)
    with pytest.raises(greedy.Shadowed, match=r"resources/__init__.py hides the platform's package 'resources'.* Rename it"):
        greedy.refuse_shadows()
