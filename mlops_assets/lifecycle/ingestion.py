"""Source to table: parse, hold to the contract, keep what breaks it in quarantine, merge the rest. One asset pair a source."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import dagster as dg
import polars as pl

from mlops_assets.keys import address, group, table
from mlops_assets.lifecycle.assets import IO_MANAGER, MERGE_KEY, described
from mlops_assets.lifecycle.checks import Broken, Contract, broken, check_result, contract_of, shape_errors
from mlops_assets.partitions import end_of
from mlops_assets.specs import SourceSpec
from mlops_assets.table import DTYPES
from resources.clock import Clock
from resources.code import code_hash
from resources.errors import PlatformError
from resources.inbox import Inbox

INSTANT: Final = DTYPES[datetime]


class DoesNotParse(PlatformError):
    """The file's columns are not those that ``parse`` reads."""

    def __init__(self, spec: SourceSpec, where: str, why: str) -> None:
        super().__init__(
            f"{where}: {spec.parse.__module__}.{spec.parse.__qualname__} could not make {spec.contract.__name__} rows of it: {why}. "
            "Nothing was written. Correct the file, or the parse function if the supplier changed it, and materialize again."
        )


class TooManyRejected(PlatformError):
    """More rows break the contract than the source allows."""

    def __init__(self, landed: "Landed") -> None:
        super().__init__(
            f"{landed.told}, so the table was left as it was.\n{landed.reasons}\n"
            "Correct the file and materialize again, or raise reject_at_most of the source if such rows are normal."
        )


@dataclass(frozen=True, kw_only=True)
class Landed:
    """A file held against its contract: rows for the table, rows for quarantine, and why."""

    where: str
    accepted: pl.DataFrame
    rejected: pl.DataFrame
    found: tuple[Broken, ...]
    limit: int

    @property
    def told(self) -> str:
        """How many rows break the contract of how many."""
        rejected = self.rejected.height
        rows = self.accepted.height + rejected
        return f"{self.where}: {rejected:,} of {rows:,} rows break the contract (limit {self.limit:,})"

    @property
    def reasons(self) -> str:
        """A line for each rule with the indexes of its rows."""
        return "\n".join(f"  {one}" for one in self.found)

    @property
    def waiting(self) -> str:
        """The sentence of the check: what waits in quarantine and what to do, or that nothing does."""
        table, _, month = self.where.removeprefix("table/").partition(" ")
        return (
            f"{self.told} and wait in quarantine/{table}.\n{self.reasons}\n"
            f"The other {self.accepted.height:,} rows are in the table; what is built on it uses them. "
            f"Correct the file and materialize {month or table} again."
            if self.found
            else f"{self.where}: {self.accepted.height:,} rows keep the contract."
        )


def land(spec: SourceSpec, raw: pl.DataFrame, *, where: str, month: str | None) -> Landed:
    """Split raw rows into those that keep the contract and those that wait in quarantine with their reason.

    Raises:
        DoesNotParse: a column is missing or of another type.
    """
    contract = contract_of(spec.contract)
    rows = _parsed(spec, raw, contract, where)
    found = broken(rows, contract) + _unreadable(rows) + _foreign(rows, month)
    bad = pl.col("row").is_in(sorted({row for one in found for row in one.rows}))
    numbered = rows.with_row_index("row")
    return Landed(
        where=where,
        accepted=numbered.filter(~bad).drop("row"),
        rejected=numbered.filter(bad).with_columns(reason=_reasons(found)),
        found=found,
        limit=int(Decimal(str(spec.reject_at_most)) * rows.height),  # floats make 28 of 0.29 * 100
    )


def ingestion(spec: SourceSpec, *, package: str, partitions_def: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    """The table asset of a source and its quarantine."""
    table_key, monthly, contract = table(spec.table), spec.partitions is not None, contract_of(spec.contract)
    given = described(
        table_key, owner=spec.owner, level=spec.level, kinds={"polars", "deltalake"}, cadence="monthly" if monthly else "once",
        description=spec.description or (spec.contract.__doc__ or "").strip(), contract=contract,
    )  # fmt: skip
    check_specs = given.pop("check_specs")
    metadata = {**given.pop("metadata"), MERGE_KEY: list(spec.contract.key)}

    @dg.multi_asset(
        name=f"ingest__{spec.table.replace('/', '__')}",
        outs={
            "rows": dg.AssetOut(**given, metadata=metadata, code_version=_code_version(spec, package)),
            "waiting": _waiting(spec, given["tags"]),
        },
        check_specs=check_specs,
        partitions_def=partitions_def if monthly else None,
        can_subset=False,
    )
    def ingest(context: dg.AssetExecutionContext, inbox: Inbox, clock: Clock):  # noqa: ANN202  Dagster reads a return annotation as a type
        month = context.partition_key if monthly else None
        where = f"{address(table_key)}{f' {month}' if month else ''}"
        landed = land(spec, inbox.read(spec.table, month, where=where), where=where, month=month)
        if landed.rejected.height > landed.limit:
            yield check_result(table_key, rows=0, found=landed.found, said=landed.told)
            raise TooManyRejected(landed)
        end = end_of(month, spec.partitions) if month and spec.partitions else clock.now()
        now = clock.once_at(end)
        rows = landed.accepted.with_columns(ingested_at=pl.lit(now, INSTANT))
        yield dg.Output(landed.rejected, "waiting", metadata={"rows": landed.rejected.height})
        yield dg.Output(rows, "rows", metadata={"ingested_at": now.astimezone(UTC).isoformat()})
        clock.advance(end)  # now that the rows are in the table: a month that could not be written has not come
        yield check_result(table_key, rows=rows.height, found=landed.found, waiting=landed.rejected.height, said=landed.waiting)

    return ingest


def _waiting(spec: SourceSpec, tags: Mapping[str, str]) -> dg.AssetOut:
    quarantine_key = table(spec.table, stage="quarantine")
    return dg.AssetOut(
        key=quarantine_key,
        group_name=group(quarantine_key),
        owners=[spec.owner],
        kinds={"polars", "deltalake"},
        tags={**tags, "stage": "quarantine"},
        io_manager_key=IO_MANAGER,
        description=f"Rows of {spec.table} that break its contract, each with the reason; empty when all is well.",
    )


def _parsed(spec: SourceSpec, raw: pl.DataFrame, contract: Contract, where: str) -> pl.DataFrame:
    try:
        rows = spec.parse(raw)
    except pl.exceptions.PolarsError as error:
        raise DoesNotParse(spec, where, f"{_without_values(error)} (columns: {raw.width})") from None  # polars quotes rows
    wrong = shape_errors(rows, contract)
    if wrong:
        raise DoesNotParse(spec, where, "; ".join(wrong))
    return rows.select([*contract.columns])


def _without_values(error: pl.exceptions.PolarsError) -> str:
    """What polars says, less what the file says: its messages quote values, and a file without a header has values for column names."""
    named = re.search(r"column ['\"](\w+)['\"]", str(error))
    of = f" {named[1]}" if named else ""
    return (
        f"the file has no column{of}" if isinstance(error, pl.exceptions.ColumnNotFoundError) else f"{type(error).__name__} in column{of}"
    )


def _unreadable(rows: pl.DataFrame) -> tuple[Broken, ...]:
    """Texts that stood where a number belongs: parse made NaN of them, which only an upper bound would refuse."""
    numbers = [name for name, dtype in rows.schema.items() if dtype.is_float()]
    broken_rows = {name: rows[name].is_nan().fill_null(value=False).arg_true().to_list() for name in numbers}
    return tuple(Broken(rule=f"{name} is not a number", rows=tuple(found)) for name, found in broken_rows.items() if found)


def _foreign(rows: pl.DataFrame, month: str | None) -> tuple[Broken, ...]:
    """Rows of another month than the file's: a wrong clock, or the wrong file."""
    if month is None:
        return ()
    foreign = rows.with_row_index("row").filter(pl.col("month") != month)["row"].to_list()
    return (Broken(rule=f"month is not {month}", rows=tuple(foreign)),) if foreign else ()


def _reasons(found: tuple[Broken, ...]) -> pl.Expr:
    reasons: dict[int, str] = {}
    for one in found:
        for row in one.rows:
            reasons[row] = f"{reasons[row]}; {one.rule}" if row in reasons else one.rule
    return pl.col("row").replace_strict(reasons, default=None, return_dtype=pl.String())


def _code_version(spec: SourceSpec, package: str) -> str:
    return code_hash(f"{spec.parse.__module__}:{spec.parse.__qualname__}", inside=package)[:16]
