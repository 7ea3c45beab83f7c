"""The as-of join: for each example the feature row that held at its instant. Pure Polars; knows neither Feast nor the lake.

A row holds from its instant on (inclusive), for at most ``ttl`` (inclusive), until the next row of its key. Of rows with the same key and
instant the last one holds: last created, then last by ``tie``, then last in the frame. Null keys and null instants match nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, cast

import polars as pl

ROW: Final = "__row"
FOUND: Final = "__found"
AT: Final = "__at"
SINCE: Final = "__since"
HOLDS: Final = "__holds"
RANK: Final = "__rank"
INSTANT: Final = pl.Datetime("us", "UTC")
RECENT: Final = timedelta(days=31)
"""Most keys have a row in the last month: older rows are looked at for the other keys only."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns of a feature table say whose a row is (``keys``), from when it holds (``stamp``) and which one wins a tie.

    A row whose ``created`` is null loses against one that says it.
    """

    keys: tuple[str, ...]
    stamp: str
    created: str | None = None
    tie: str | None = None

    @property
    def order(self) -> list[str]:
        """The columns by which rows are sorted: the last one of a key holds."""
        return [column for column in (self.stamp, self.created, self.tie) if column is not None]

    def index(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Keys, instants and position of the rows that can ever hold, sorted so that of each key the later holds."""
        narrow = rows.select(*dict.fromkeys([*self.keys, *self.order])).with_row_index(FOUND)
        if self.tie is not None:
            narrow = _runs_in_order(narrow, self.tie).drop(self.tie)
        by = self.order[: 1 if self.created is None else 2]
        return narrow.drop_nulls([*self.keys, self.stamp]).sort(by, maintain_order=True)


def _runs_in_order(rows: pl.DataFrame, tie: str) -> pl.DataFrame:
    """The rows in the order of their partition, stable. A file holds one, so to move runs costs a tenth of what sorting texts does."""
    runs = rows.select(pl.col(tie).rle()).unnest(tie).with_columns(start=pl.col("len").cum_sum() - pl.col("len"))
    ordered = runs.sort("value", maintain_order=True).select("start", "len")
    return pl.concat([rows.clear(), *(rows.slice(start, size) for start, size in ordered.iter_rows())])


def holding(
    examples: pl.DataFrame,
    rows: pl.DataFrame,
    *,
    at: str,
    on: Mapping[str, str],
    columns: Columns,
    ttl: timedelta | None,
    as_known: bool = False,
) -> pl.Series:
    """For each example, in order, the position in ``rows`` of the row that held at ``at``, or null. ``on``: table key -> example column.

    ``as_known``: among the rows that were created by then.
    """
    named = [pl.col(on[key]).alias(key) for key in columns.keys]
    left = examples.select(*named, pl.col(at).alias(AT)).with_row_index(ROW)
    right = columns.index(rows)
    right = _as_known(right, columns) if as_known and columns.created else right.with_columns(pl.col(columns.stamp).alias(HOLDS))
    right = right.select(*columns.keys, FOUND, HOLDS, pl.col(columns.stamp).alias(SINCE))
    left, right = _same_unit(left, right)
    asking = left.drop_nulls()
    if not asking[AT].is_sorted():
        asking = asking.sort(AT, maintain_order=True)
    by = list(columns.keys) or None
    found = asking.join_asof(right, left_on=AT, right_on=HOLDS, by=by, coalesce=False, check_sortedness=False)
    if ttl:
        found = found.with_columns(pl.when(pl.col(AT) - pl.col(SINCE) <= ttl).then(pl.col(FOUND)).alias(FOUND))
    matchless = left.filter(pl.any_horizontal(pl.all().is_null())).select(ROW, pl.lit(None, dtype=found.schema[FOUND]).alias(FOUND))
    return pl.concat([found.select(ROW, FOUND), matchless]).sort(ROW)[FOUND]


def _as_known(rows: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    """Of ordered rows, what is known from when: as soon as a row has happened and is created, the last in order so far."""
    created = cast("str", columns.created)
    ranked = rows.drop_nulls(created).with_row_index(RANK)
    arrived = ranked.with_columns(pl.max_horizontal(columns.stamp, created).alias(HOLDS)).sort(HOLDS, maintain_order=True)
    last = pl.col(RANK).cum_max()
    best = arrived.select(last.over(columns.keys) if columns.keys else last)[RANK]
    return ranked[best].with_columns(arrived[HOLDS])


def _same_unit(left: pl.DataFrame, right: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Both sides in nanoseconds if one of them is: rounded, a row would hold up to a microsecond too early."""
    units = {cast("pl.Datetime", dtype).time_unit for dtype in (left.schema[AT], right.schema[HOLDS], right.schema[SINCE])}
    if len(units) == 1:
        return left, right
    exact = pl.Datetime("ns" if "ns" in units else "us", "UTC")
    return left.with_columns(pl.col(AT).cast(exact)), right.with_columns(pl.col(HOLDS, SINCE).cast(exact))


def latest(rows: pl.DataFrame, *, columns: Columns) -> pl.DataFrame:
    """The row of each key that holds after all of them, by key, with all columns of ``rows``; without keys the one row of all."""
    index = columns.index(rows)
    last = index.unique(subset=list(columns.keys), keep="last", maintain_order=True) if columns.keys else index.tail(1)
    found = rows[last[FOUND]]
    return found.sort(list(columns.keys)) if columns.keys else found


def ordered(rows: pl.DataFrame, *, columns: Columns) -> pl.DataFrame:
    """All rows in the order in which they come to hold."""
    return rows.sort(columns.order, maintain_order=True)
