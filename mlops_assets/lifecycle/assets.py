"""What every asset is given: key, owner, group, kinds, tags, description, io manager, contract check; and how a frame becomes a result."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, cast

import dagster as dg
import polars as pl

from mlops_assets.keys import group
from mlops_assets.lifecycle.checks import Contract, check_spec, checked
from mlops_assets.table import ALWAYS, DTYPES, Level

IO_MANAGER: Final = "lake_io"
MERGE_KEY: Final = "mlops/merge_key"
MONTHS_BACK: Final = "mlops/months_back"
ALL_MONTHS: Final = 1200
"""A look-back that no data outlives."""

Result = Iterator[dg.Output[pl.DataFrame] | dg.AssetCheckResult]
Cadence = Literal["once", "monthly", "on_release"]


def described(
    asset_key: dg.AssetKey,
    *,
    owner: str,
    level: Level,
    kinds: set[str],
    description: str,
    cadence: Cadence,
    contract: Contract | None = None,
) -> dict[str, Any]:
    """The arguments that ``dg.asset`` gets for every asset of the platform."""
    stage = asset_key.path[0]
    return {
        "key": asset_key,
        "group_name": group(asset_key),
        "owners": [owner],
        "kinds": kinds,
        "tags": {"stage": stage, "level": level, "cadence": cadence},
        "description": description,
        "io_manager_key": IO_MANAGER,
        "check_specs": [check_spec(asset_key)],
        "metadata": {"dagster/column_schema": column_schema(contract)} if contract else {},
    }


def asset(**given: Any) -> Callable[[Callable[..., Result]], dg.AssetsDefinition]:
    """``dg.asset`` for a body that yields a ``Result``. Its signature is read once: Dagster asks sixteen times, a sixth of a load."""

    def of(body: Callable[..., Result]) -> dg.AssetsDefinition:
        vars(body)["__signature__"] = inspect.signature(body).replace(return_annotation=inspect.Signature.empty)
        return cast("dg.AssetsDefinition", dg.asset(**given)(body))

    return of


def history(asset_key: dg.AssetKey, *, months_back: int = ALL_MONTHS) -> dg.AssetIn:
    """An input that brings earlier months too: those up to ``months_back`` before the partition, never a later one."""
    return dg.AssetIn(key=asset_key, metadata={MONTHS_BACK: months_back}, input_manager_key=IO_MANAGER)


def month_of(asset_key: dg.AssetKey) -> dg.AssetIn:
    """An input that brings the same month only (or the whole table where it has none)."""
    return dg.AssetIn(key=asset_key, input_manager_key=IO_MANAGER)


def result(
    asset_key: dg.AssetKey,
    frame: pl.DataFrame,
    contract: Contract,
    metadata: Mapping[str, Any] | None = None,
    *,
    checks: Sequence[dg.AssetCheckResult] = (),
) -> Result:
    """The frame with its metadata, its contract check, and further ``checks``."""
    yield dg.Output(frame, metadata=dict(metadata or {}))
    yield checked(asset_key, frame, contract)
    yield from checks


def rounded(metrics: Mapping[str, float]) -> dict[str, float]:
    """Four significant digits, for an asset page; the table and MLflow keep all."""
    return {name: float(f"{value:.4g}") for name, value in metrics.items()}


def column_schema(contract: Contract) -> dg.TableSchema:
    """The table schema that the asset page shows."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                "Datetime(UTC)" if col.dtype == DTYPES[datetime] else str(col.dtype),
                description=_described(col.doc, col.unit, col.available),
                constraints=dg.TableColumnConstraints(nullable=col.nullable, unique=col.unique),
            )
            for name, col in contract.columns.items()
        ]
    )


def _described(doc: str, unit: str | None, available: str) -> str:
    return " · ".join(
        part for part in (doc, f"in {unit}" if unit else "", "always known" if available == ALWAYS else f"known from {available}") if part
    )
