"""The contract check that every asset carries, and its result for Dagster: counts and row indexes, never row values.

The pandera schema is built here, inside the check: importing pandera while definitions load would double the load time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, cast

import dagster as dg
import polars as pl

from mlops_assets.table import DTYPES, Column, Table

if TYPE_CHECKING:
    import pandera.polars as pa
    from pandera.api.polars.types import PolarsData

CHECK: Final = "contract"
SHOWN: Final = 10
EVENT_TIMESTAMP: Final = Column(
    table="feature", name="event_timestamp", dtype=DTYPES[datetime], nullable=False, available="event_timestamp",
    doc="The instant from which this row is the newest known.",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What a frame must look like: columns, key, cross-column rules; ``open`` frames may hold further columns."""

    columns: Mapping[str, Column]
    key: tuple[str, ...]
    rules: Mapping[str, pl.Expr] = field(default_factory=dict[str, pl.Expr])
    open: bool = False


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A rule and the indexes of the rows that break it."""

    rule: str
    rows: tuple[int, ...]

    def __str__(self) -> str:
        shown = ", ".join(str(row) for row in self.rows[:SHOWN])
        more = f" and {len(self.rows) - SHOWN:,} more" if len(self.rows) > SHOWN else ""
        return f"{self.rule}: rows {shown}{more}"


def contract_of(table: type[Table], *, open: bool = False) -> Contract:  # noqa: A002  the field's own name
    """The contract that a declared table stands for."""
    return Contract(columns=table.columns, key=table.key, rules=table.rules, open=open)


def broken(frame: pl.DataFrame, contract: Contract) -> tuple[Broken, ...]:
    """The rules that rows of ``frame`` break, each with its row indexes; columns and types must be right already."""
    from pandera.errors import SchemaErrors

    try:
        _schema(contract).validate(frame.select([*contract.columns]), lazy=True)
    except SchemaErrors as error:
        cases = cast("pl.DataFrame", error.failure_cases)  # pyright: ignore[reportUnknownMemberType]  pandera leaves it untyped
        return tuple(_grouped(cases.select("column", "check", "index"), contract))
    return ()


def shape_errors(frame: pl.DataFrame, contract: Contract) -> list[str]:
    """Missing, foreign or wrongly typed columns, in words."""
    missing = [f"column {name} is missing" for name in contract.columns if name not in frame.columns]
    foreign = [f"column {name} is not in the contract" for name in frame.columns if name not in contract.columns and not contract.open]
    typed = [
        f"column {name} is {frame.schema[name]}, not {col.dtype}"
        for name, col in contract.columns.items()
        if name in frame.columns and frame.schema[name] != col.dtype
    ]
    return missing + foreign + typed


def check_spec(asset_key: dg.AssetKey) -> dg.AssetCheckSpec:
    """The blocking contract check of an asset, evaluated where the frame is made."""
    return dg.AssetCheckSpec(CHECK, asset=asset_key, blocking=True, description="Columns, types, ranges, key and cross-column rules hold.")


def check_result(
    asset_key: dg.AssetKey, *, rows: int, found: tuple[Broken, ...], waiting: int = 0, said: str | None = None
) -> dg.AssetCheckResult:
    """Dagster's result, with a sentence: failed on any broken rule, unless all such rows wait in quarantine."""
    return dg.AssetCheckResult(
        asset_key=asset_key,
        check_name=CHECK,
        passed=not found or waiting > 0,
        severity=dg.AssetCheckSeverity.ERROR,
        description=said,
        metadata={
            "rows": rows,
            "rows_broken": len({row for one in found for row in one.rows}),
            "rows_in_quarantine": waiting,
            "rules_broken": dg.MetadataValue.md("\n".join(f"- {one}" for one in found) or "none"),
        },
    )


def checked(asset_key: dg.AssetKey, frame: pl.DataFrame, contract: Contract) -> dg.AssetCheckResult:
    """The contract check of a frame that a stage made."""
    shape = shape_errors(frame, contract)
    found = tuple(Broken(rule=error, rows=()) for error in shape) or broken(frame, contract)
    return check_result(asset_key, rows=frame.height, found=found)


def _grouped(cases: pl.DataFrame, contract: Contract) -> list[Broken]:
    grouped = cases.group_by("column", "check", maintain_order=True).agg(pl.col("index").unique().sort())
    return [Broken(rule=_rule(column, check, contract), rows=tuple(rows)) for column, check, rows in grouped.iter_rows()]


def _rule(column: str | None, check: str, contract: Contract) -> str:
    if check in contract.rules:
        return check
    if check == "multiple_fields_uniqueness":
        return f"{', '.join(contract.key)} is not unique"
    col = contract.columns[str(column)]
    unit = f" {col.unit}" if col.unit else ""
    if check == "not_nullable":
        return f"{column} is null"
    if check == "field_uniqueness":
        return f"{column} is not unique"
    if check.startswith("isin"):
        return f"{column} is none of {', '.join(col.isin or ())}"
    bound = f"below {col.ge:g}" if check.startswith("greater") else f"above {col.le:g}"
    return f"{column} is {bound}{unit}"


def _schema(contract: Contract) -> "pa.DataFrameSchema":
    import pandera.polars as pa

    checks = [pa.Check(_row_check(rule), name=name) for name, rule in contract.rules.items()]
    said = any(contract.columns[name].unique for name in contract.key)  # then the column's own rule tells the same rows
    return pa.DataFrameSchema(
        {name: _column(col) for name, col in contract.columns.items()},
        checks=checks,
        unique=None if said else list(contract.key) or None,
        strict=True,
    )


def _row_check(rule: pl.Expr) -> "Callable[[PolarsData], pl.LazyFrame]":
    return lambda data: data.lazyframe.select(rule.fill_null(value=True))


def _column(col: Column) -> "pa.Column":
    import pandera.polars as pa

    bounds = {"ge": col.ge, "le": col.le, "isin": col.isin}
    checks = [getattr(pa.Check, how)(bound) for how, bound in bounds.items() if bound is not None]
    return pa.Column(col.dtype, nullable=col.nullable, checks=checks, unique=col.unique)
