"""The contract check: which rules rows break, in words with row indexes, never with values."""

from collections.abc import Mapping
from typing import ClassVar

import dagster as dg
import polars as pl
import pytest

from mlops_assets.lifecycle.checks import Broken, broken, check_result, checked, contract_of, shape_errors
from mlops_assets.table import ALWAYS, Table, column

KEY = dg.AssetKey(["table", "shop", "orders"])


class Orders(Table, available=ALWAYS, key=("shop", "number")):
    """An order, numbered by its shop."""

    shop: str = column(isin=("north", "south"))
    number: int = column(ge=1)
    amount: float | None = column(ge=0, le=100, unit="EUR")
    code: str | None = column(unique=True)
    rules: ClassVar[Mapping[str, pl.Expr]] = {"large orders have a code": (pl.col("amount") < 50) | pl.col("code").is_not_null()}


class Codes(Table, available=ALWAYS):
    """What a code means."""

    code: str = column(unique=True)


ORDERS = contract_of(Orders)


def orders(**changes: object) -> pl.DataFrame:
    good = {"shop": "north", "number": [1, 2, 3], "amount": [1.0, 2.0, None], "code": ["a", "b", "c"]}
    return pl.DataFrame({**good, **changes}, schema={name: col.dtype for name, col in Orders.columns.items()})


def test_rows_that_keep_the_contract_break_nothing() -> None:
    assert broken(orders(), ORDERS) == ()


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (orders(shop=["north", None, "south"]), ["shop is null: rows 1"]),
        (orders(shop=["north", "N7TELLTALE", "south"]), ["shop is none of north, south: rows 1"]),
        (orders(number=[0, 1, -5]), ["number is below 1: rows 0, 2"]),
        (orders(amount=[101.0, -1.0, 5.0]), ["amount is below 0 EUR: rows 1", "amount is above 100 EUR: rows 0"]),
        (orders(number=[1, 2, 2]), ["shop, number is not unique: rows 1, 2"]),
        (orders(code=["a", "a", "c"]), ["code is not unique: rows 0, 1"]),
        (orders(amount=[60.0, 60.0, None], code=["a", None, "c"]), ["large orders have a code: rows 1"]),
    ],
)
def test_each_broken_rule_is_told_once_with_its_rows(frame: pl.DataFrame, told: list[str]) -> None:
    assert [str(one) for one in broken(frame, ORDERS)] == told


def test_a_key_of_one_unique_column_is_told_once() -> None:
    assert [str(one) for one in broken(pl.DataFrame({"code": ["a", "b", "a"]}), contract_of(Codes))] == ["code is not unique: rows 0, 2"]


def test_of_many_rows_ten_are_told_and_the_others_counted() -> None:
    assert str(Broken(rule="shop is null", rows=tuple(range(2000)))) == "shop is null: rows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 1,990 more"


def test_columns_are_told_before_rows_and_an_open_contract_allows_more() -> None:
    frame = orders().drop("code").with_columns(number=pl.lit(1.0), gate=pl.lit("B"))
    wrong = ["column code is missing", "column gate is not in the contract", "column number is Float64, not Int64"]
    assert shape_errors(frame, ORDERS) == wrong
    assert shape_errors(orders().with_columns(gate=pl.lit("B")), contract_of(Orders, open=True)) == []
    result = checked(KEY, frame, ORDERS)
    assert not result.passed
    assert [line.partition(":")[0] for line in str(result.metadata["rules_broken"].value).splitlines()] == [f"- {one}" for one in wrong]


@pytest.mark.parametrize(("waiting", "passed"), [(0, False), (2, True)])
def test_broken_rows_fail_the_check_unless_they_wait_in_quarantine(waiting: int, passed: bool) -> None:  # noqa: FBT001  the expected value
    result = check_result(KEY, rows=1, found=(Broken(rule="shop is null", rows=(0, 1)),), waiting=waiting, said="two wait")
    assert (result.passed, result.description, result.metadata["rows_broken"].value) == (passed, "two wait", 2)
