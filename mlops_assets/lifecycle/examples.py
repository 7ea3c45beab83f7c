"""Examples as a model sees them: rows of its source at their prediction instant, and their labels once these are known. Pure."""

from datetime import datetime
from typing import Final

import polars as pl

from mlops_assets.specs import ModelSpec, Months
from mlops_assets.table import ALWAYS, Column
from mlops_assets.windows import Threshold
from resources.rows import as_of

PREDICT_AT: Final = "predict_at"
DAY: Final = "day"
LABEL: Final = "label"
EXAMPLE_MONTH: Final = "example_month"
ROW_ID: Final = "row_id"


def spine(spec: ModelSpec, source: pl.DataFrame, *, calendar: Months, until: datetime) -> pl.DataFrame:
    """One row per example predicted before ``until``: key, ``predict_at``, entity keys, its own features, local ``day``, in time order.

    An example that is published only after its prediction instant does not exist; a corrected one is taken as it is known at ``until``.
    """
    table = spec.examples.contract
    rows = known(spec, source, at=until)
    instant = pl.col(spec.predict_at.column.name)
    published = pl.lit(value=True) if table.available == ALWAYS else pl.col(table.available) <= pl.col(PREDICT_AT)
    kept = rows.with_columns((instant - spec.predict_at.ahead).alias(PREDICT_AT)).filter((pl.col(PREDICT_AT) < until) & published)
    columns = [
        *table.key,
        *(key for view in spec.views for key in view.entity.keys),
        *(col.name for col in (*spec.columns, *spec.slices, *spec.request)),
    ]
    return kept.select(
        *dict.fromkeys(columns),
        PREDICT_AT,
        row_id(spec),
        instant.dt.convert_time_zone(calendar.timezone).dt.date().alias(DAY),
        pl.col("month").alias(EXAMPLE_MONTH),
    ).sort(PREDICT_AT, *table.key)


def labels(spec: ModelSpec, source: pl.DataFrame, *, until: datetime) -> pl.DataFrame:
    """``row_id``, ``label`` (1 or 0 for a threshold, the value otherwise) and ``label_state`` of every example, as known at ``until``."""
    rows = known(spec, source, at=until)
    return rows.select(row_id(spec), _label(spec).alias(LABEL), _state(spec.label_column).alias("label_state"))


def row_id(spec: ModelSpec) -> pl.Expr:
    """The example's key as one string."""
    return pl.concat_str([pl.col(name).cast(pl.String) for name in spec.examples.contract.key], separator="|").alias(ROW_ID)


def known(spec: ModelSpec, source: pl.DataFrame, *, at: datetime) -> pl.DataFrame:
    """The source rows of the examples as of ``at``."""
    table = spec.examples.contract
    availability = {name: col.available for name, col in table.columns.items() if col.available not in {ALWAYS, table.available}}
    return as_of(source, key=table.key, instant=table.available, availability=availability, lands=spec.examples.lands, at=at)


def _label(spec: ModelSpec) -> pl.Expr:
    value = pl.col(spec.label_column.name)
    return (value >= spec.label.at_least).cast(pl.Float64) if isinstance(spec.label, Threshold) else value.cast(pl.Float64)


def _state(column: Column) -> pl.Expr:
    absent = pl.col(column.absent_when).fill_null(value=False) if column.absent_when else pl.lit(value=False)
    mature = pl.col(column.name).is_not_null()
    return pl.when(mature).then(pl.lit("mature")).when(absent).then(pl.lit("absent")).otherwise(pl.lit("pending"))
