"""Source to table: parse, hold to the contract, keep what breaks it in quarantine, merge the rest. One asset pair a source."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import dagster as dg
import polars as pl

from mlops_assets.keys import address, group, table
from mlops_assets.lifecycle.assets import IO_MANAGER, MERGE_KEY, column_schema, described
from mlops_assets.lifecycle.checks import Broken, Contract, broken, check_result, contract_of, shape_errors
from mlops_assets.partitions import end_of
from mlops_assets.specs import SourceSpec
from mlops_assets.table import ALWAYS, DTYPES
from resources.clock import Clock
from resources.code import code_hash
from resources.errors import PlatformError
from resources.inbox import Inbox

INSTANT: Final = DTYPES[datetime]
WHOLE_TABLE: Final = ""


class DoesNotParse(PlatformError):
    """The file's columns are not those that ``parse`` reads."""

    def __init__(self, spec: SourceSpec, where: str, why: str) -> None:
        super().__init__(
            f"{where}: {spec.parse.__module__}.{spec.parse.__qualname__} could not make {spec.contract.__name__} rows of it: {why}. "
            "Nothing was written. Correct the file, or the parse function if the supplier changed it, and materialize again."
        )


class TooManyRejected(PlatformError):
    """More rows break the contract than the source allows."""

    def __init__(self, where: str, rows: int, limit: int, found: tuple[Broken, ...]) -> None:
        rejected = len({row for one in found for row in one.rows})
        reasons = "\n".join(f"  {one}" for one in found)
        super().__init__(
            f"{where}: {rejected:,} of {rows:,} rows break the contract (limit {limit:,}), so the table was left as it was.\n{reasons}\n"
            "Correct the file and materialize again, or raise reject_at_most of the source if such rows are normal."
        )


@dataclass(frozen=True, kw_only=True)
class Landed:
    """A file held against its contract: rows for the table, rows for quarantine, and why."""

    accepted: pl.DataFrame
    rejected: pl.DataFrame
    found: tuple[Broken, ...]


def land(spec: SourceSpec, raw: pl.DataFrame, *, where: str, month: str | None, now: datetime) -> Landed:
    """Split raw rows into those that keep the contract (stamped ``ingested_at``) and those that wait in quarantine with their reason.

    Raises:
        DoesNotParse: a column is missing or of another type. TooManyRejected: more than ``reject_at_most`` of the rows break a rule.
    """
    contract = contract_of(spec.contract)
    rows = _parsed(spec, raw, contract, where)
    found = broken(rows, contract) + _foreign(rows, month)
    bad = sorted({row for one in found for row in one.rows})
    limit = int(spec.reject_at_most * rows.height)
    if len(bad) > limit:
        raise TooManyRejected(where, rows.height, limit, found)
    stamped = rows.with_columns(ingested_at=pl.lit(now, INSTANT)).with_row_index("row")
    rejected = stamped.filter(pl.col("row").is_in(bad)).with_columns(reason=_reasons(found))
    return Landed(accepted=stamped.filter(~pl.col("row").is_in(bad)).drop("row"), rejected=rejected, found=found)


def ingestion(spec: SourceSpec, *, package: str, partitions_def: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    """The table asset of a source and its quarantine."""
    table_key, quarantine_key = table(spec.table), table(spec.table, stage="quarantine")
    monthly = spec.partitions is not None
    contract = contract_of(spec.contract)
    given = described(
        table_key, owner=spec.owner, level=spec.level, kinds={"polars", "deltalake"}, cadence="monthly" if monthly else "once",
        description=spec.description or (spec.contract.__doc__ or "").strip(), contract=contract,
    )  # fmt: skip
    check_specs = given.pop("check_specs")
    metadata = {"dagster/column_schema": column_schema(contract), MERGE_KEY: list(spec.contract.key)}

    @dg.multi_asset(
        name=f"ingest__{spec.table.replace('/', '__')}",
        outs={
            "rows": dg.AssetOut(**{**given, "metadata": metadata}, code_version=_code_version(spec, package)),
            "waiting": dg.AssetOut(
                key=quarantine_key,
                group_name=group(quarantine_key),
                owners=[spec.owner],
                kinds={"polars", "deltalake"},
                tags={**given["tags"], "stage": "quarantine"},
                io_manager_key=IO_MANAGER,
                description=f"Rows of {spec.table} that break its contract, each with the reason; empty when all is well.",
            ),
        },
        check_specs=check_specs,
        partitions_def=partitions_def if monthly else None,
        can_subset=False,
    )
    def ingest(context: dg.AssetExecutionContext, inbox: Inbox, clock: Clock):  # noqa: ANN202  Dagster reads a return annotation as a type
        month = context.partition_key if monthly else None
        now = clock.advance(end_of(month, spec.partitions)) if month and spec.partitions else clock.now()
        where = f"{address(table_key)}{f' {month}' if month else ''}"
        landed = land(spec, inbox.read(spec.table, month), where=where, month=month, now=now)
        yield dg.Output(landed.rejected, "waiting", metadata={"rows": landed.rejected.height})
        yield dg.Output(landed.accepted, "rows", metadata={"ingested_at": now.astimezone(UTC).isoformat()})
        yield check_result(table_key, rows=landed.accepted.height, found=landed.found, waiting=landed.rejected.height)

    return ingest


def _parsed(spec: SourceSpec, raw: pl.DataFrame, contract: Contract, where: str) -> pl.DataFrame:
    try:
        rows = spec.parse(raw)
    except pl.exceptions.PolarsError as error:
        raise DoesNotParse(spec, where, str(error).splitlines()[0]) from error
    wrong = shape_errors(rows, contract)
    if wrong:
        raise DoesNotParse(spec, where, "; ".join(wrong))
    return rows.select([*contract.columns])


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


def is_always(spec: SourceSpec) -> bool:
    """Whether the rows of this source were true before anyone asked."""
    return spec.contract.available == ALWAYS
