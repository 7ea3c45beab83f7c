"""A feature table opened at one version: rows, cut to the columns and files that a join needs, and what that takes. Knows no Feast."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final, Literal

import polars as pl
import pyarrow as pa
import pyarrow.dataset as untyped_dataset

from resources.feature_store.asof import INSTANT, Columns
from resources.feature_store.refusals import UnfitTable

arrow: Any = pa  # ships no types
dataset: Any = untyped_dataset

Dataset = Callable[[], Any]
"""Opens the files behind a table as an Arrow dataset, which reads their statistics."""

NANOSECONDS: Final = (datetime(1678, 1, 1, tzinfo=UTC), datetime(2262, 1, 1, tzinfo=UTC))
"""Between these instants an int64 of nanoseconds has room."""


@dataclass(frozen=True, kw_only=True)
class Read:
    """What a stretch of time of one table takes: files, rows in the row groups that overlap it, stored bytes of the columns asked for."""

    source: str
    files: int
    rows: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Scan:
    """``frame`` has the table's own column names; ``renamed`` says what some are called where features are asked for."""

    source: str
    frame: pl.LazyFrame
    columns: Columns
    dataset: Dataset
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])

    @cached_property
    def schema(self) -> pl.Schema:
        """Column types of the table under the names to ask for."""
        return pl.Schema({self.renamed.get(name, name): dtype for name, dtype in self.frame.collect_schema().items()})

    def rows(self, features: Iterable[str], *, since: datetime | None = None, until: datetime | None = None) -> pl.LazyFrame:
        """Keys, instants in UTC and features of the rows ``since`` .. ``until``, both included.

        Raises:
            UnfitTable: a column is missing, or one of instants is none.
        """
        raw, instants = self._raw(features), self._instants
        stamp = _comparable(raw[self.columns.stamp], instants[self.columns.stamp], days=self.schema[self.columns.stamp] == pl.Date)
        inside = [] if since is None else [stamp >= _literal(since, instants[self.columns.stamp])]
        inside += [] if until is None else [stamp <= _literal(until, instants[self.columns.stamp])]
        unit: Literal["ns", "us"] = "ns" if any(dtype.time_unit == "ns" for dtype in instants.values()) else "us"
        frame = self.frame.filter(*inside) if inside else self.frame
        named = frame.select(pl.col(old).alias(new) for new, old in raw.items())
        return named.with_columns(_in_utc(column, dtype, unit) for column, dtype in instants.items() if self.schema[column] != INSTANT)

    def read(self, features: Iterable[str], *, since: datetime | None = None, until: datetime | None = None) -> Read:
        """What ``rows`` of the same stretch takes from the files, by their statistics."""
        raw = self._raw(features)
        files: Any = self.dataset()
        inside: Any = _stretch(files.schema, raw[self.columns.stamp], since, until)
        kept: list[Any] = [one.subset(inside) for one in files.get_fragments(inside)]
        groups = [(one.metadata, group.id) for one in kept for group in one.row_groups]
        return Read(
            source=self.source,
            files=sum(bool(one.row_groups) for one in kept),
            rows=sum(metadata.row_group(index).num_rows for metadata, index in groups),
            bytes=sum(_stored(metadata.row_group(index), set(raw.values())) for metadata, index in groups),
        )

    def _raw(self, features: Iterable[str]) -> dict[str, str]:
        """Name to ask for -> name in the table, of all columns that a join needs."""
        theirs = {new: old for old, new in self.renamed.items()}
        has = self.schema.names()
        needed = list(dict.fromkeys([*self.columns.keys, *self.columns.order, *features]))
        if missing := [name for name in needed if name not in has]:
            raise UnfitTable(address=self.source, missing=missing, has=has)
        return {name: theirs[name] if theirs.get(name) in self.frame.collect_schema() else name for name in needed}

    @cached_property
    def _instants(self) -> dict[str, pl.Datetime]:
        """The type of each column of instants; days count as midnights."""
        said = {name: self.schema[name] for name in (self.columns.stamp, self.columns.created) if name is not None}
        if odd := [f"{name} of instants" for name, dtype in said.items() if not isinstance(dtype, pl.Datetime | pl.Date)]:
            raise UnfitTable(address=self.source, missing=odd, has=[f"{name} ({dtype})" for name, dtype in said.items()])
        return {name: dtype if isinstance(dtype, pl.Datetime) else pl.Datetime("us") for name, dtype in said.items()}


def _comparable(column: str, dtype: pl.Datetime, *, days: bool) -> pl.Expr:
    """The bare column where that can be compared exactly: only then are files and row groups passed over by their statistics."""
    return pl.col(column) if dtype.time_unit != "ms" and not days else pl.col(column).cast(pl.Datetime("us", dtype.time_zone))


def _literal(at: datetime, dtype: pl.Datetime) -> pl.Expr:
    """An instant as the column holds it."""
    bounded = min(max(at.astimezone(UTC), NANOSECONDS[0]), NANOSECONDS[1]) if dtype.time_unit == "ns" else at
    held = pl.lit(bounded).cast(pl.Datetime("ns" if dtype.time_unit == "ns" else "us", "UTC"))
    return held.dt.convert_time_zone(dtype.time_zone) if dtype.time_zone else held.dt.replace_time_zone(None)


def _in_utc(column: str, dtype: pl.Datetime, unit: Literal["ns", "us"]) -> pl.Expr:
    """Instants without a time zone are in UTC."""
    stamped = pl.col(column).cast(pl.Datetime(unit, dtype.time_zone))
    return stamped.dt.convert_time_zone("UTC") if dtype.time_zone else stamped.dt.replace_time_zone("UTC")


def _stretch(schema: Any, column: str, since: datetime | None, until: datetime | None) -> Any:
    """The condition by which Arrow passes over files and row groups."""
    zone = getattr(schema.field(column).type, "tz", None)
    stamp, condition = dataset.field(column), dataset.scalar(True)  # noqa: FBT003 -- an expression that always holds
    if since is not None:
        condition &= stamp >= _scalar(since, zone)
    if until is not None:
        condition &= stamp <= _scalar(until, zone)
    return condition


def _scalar(at: datetime, zone: str | None) -> Any:
    aware = at.astimezone(UTC)
    return arrow.scalar(aware if zone else aware.replace(tzinfo=None), arrow.timestamp("us", zone))


def _stored(group: Any, columns: set[str]) -> int:
    """Bytes of these columns in a row group, compressed as they lie."""
    chunks = (group.column(index) for index in range(group.num_columns))
    return sum(chunk.total_compressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns)
