"""A file held against its contract: what is accepted, what waits and why, how much may."""

import polars as pl
import pytest

from mlops_assets.lifecycle.ingestion import DoesNotParse, land
from mlops_assets.specs import Months, SourceSpec
from mlops_assets.table import ALWAYS, Table, column

WHERE = "table/shop/orders 2013-01"


class Orders(Table, available=ALWAYS):
    """An order of a shop."""

    order: str = column(unique=True)
    month: str
    amount: float | None = column(ge=0, le=100, unit="EUR")


def parse(raw: pl.DataFrame) -> pl.DataFrame:
    return raw.with_columns(pl.col("amount").cast(pl.Float64))


def orders(count: int, **changes: object) -> pl.DataFrame:
    return pl.DataFrame({"order": [str(n) for n in range(count)], "month": "2013-01", "amount": "5", **changes})


def spec(*, reject_at_most: float = 1.0) -> SourceSpec:
    return SourceSpec(
        table="shop/orders",
        contract=Orders,
        owner="team:shop",
        parse=parse,
        partitions=Months(timezone="UTC"),
        reject_at_most=reject_at_most,
    )


@pytest.mark.parametrize(("share", "rows", "limit"), [(0.29, 100, 29), (0.07, 100, 7), (0.001, 29_425, 29), (0.0, 10, 0), (1.0, 3, 3)])
def test_the_limit_is_the_share_of_the_rows_whatever_floats_make_of_it(share: float, rows: int, limit: int) -> None:
    assert land(spec(reject_at_most=share), orders(rows), where=WHERE, month="2013-01").limit == limit


def test_a_row_waits_once_with_all_its_reasons() -> None:
    landed = land(spec(), orders(3, month=["2013-02", "2013-01", "2013-01"], amount=["-1", "200", "5"]), where=WHERE, month="2013-01")
    assert landed.rejected.select("row", "reason").rows() == [
        (0, "amount is below 0 EUR; month is not 2013-01"),
        (1, "amount is above 100 EUR"),
    ]
    assert landed.accepted["order"].to_list() == ["2"]


def test_a_file_may_wait_as_a_whole_where_the_source_allows_it() -> None:
    landed = land(spec(), orders(2, amount=["-1", "-1"]), where=WHERE, month="2013-01")
    assert (landed.accepted.height, landed.rejected.height, landed.limit) == (0, 2, 2)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (orders(2, amount=["5", "N7TELLTALE"]), "InvalidOperationError in column amount (columns: 3)"),
        (orders(2).drop("amount"), "the file has no column amount (columns: 2)"),
        (orders(2).with_columns(gate=pl.lit("B")), "column gate is not in the contract"),
        (orders(2).drop("order"), "column order is missing"),
        (orders(2).with_columns(order=1), "column order is Int32, not String"),
    ],
)
def test_a_file_that_does_not_parse_is_told_by_column_and_never_by_value(raw: pl.DataFrame, why: str) -> None:
    with pytest.raises(DoesNotParse) as caught:
        land(spec(), raw, where=WHERE, month="2013-01")
    assert str(caught.value).startswith(f"{WHERE}: ")
    assert f"could not make Orders rows of it: {why}. Nothing was written." in str(caught.value)
    assert "N7TELLTALE" not in str(caught.value)
    assert caught.value.__cause__ is None
