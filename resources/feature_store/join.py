"""One view's part of a retrieval, and the seam through which a distributed join comes in."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from resources.feature_store.asof import AT, RECENT, holding
from resources.feature_store.refusals import UnfitExamples
from resources.feature_store.scan import Read, Scan

TICK: Final = timedelta(microseconds=1)
Look = Callable[[], Read]


def joined(slices: Iterable[pl.DataFrame], join: Callable[[pl.DataFrame], pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Each slice joined, in order, one in memory at a time. The seam: a pool that keeps the order goes here, and nowhere else."""
    return map(join, slices)


@dataclass(frozen=True, kw_only=True)
class Join:
    """``on`` maps the key columns of the table to those of the examples, ``named`` its features to result columns.

    ``as_known``: a row counts from when it was created, if the table says so.
    """

    scan: Scan
    on: Mapping[str, str]
    named: Mapping[str, str]
    ttl: timedelta | None
    as_known: bool

    def features(self, examples: pl.DataFrame, *, at: str, looks: list[Look]) -> pl.DataFrame:
        """The features that held at each example's instant, one row each, in order. ``looks`` learns what was read.

        Most are found among the rows since ``RECENT`` before the first instant asked for; only for the others older rows are searched,
        back to the ttl.

        Raises:
            UnfitExamples: a key is of another type, or an instant is one that the table cannot be compared with.
        """
        asked = self._asked(examples, at)
        first, last = _ends(asked)
        if first is None or last is None:
            nothing = pl.repeat(None, examples.height, dtype=pl.UInt32, eager=True)
            return self._gather(self.scan.rows(self.named).head(0).collect(), nothing)
        recent = _shifted(first, -min(self.ttl or RECENT, RECENT))
        rows = self._rows(looks, since=recent, until=_shifted(last, TICK)).collect()
        found = self._holding(asked, rows)
        if recent is None or (self.ttl and self.ttl <= RECENT):
            return self._gather(rows, found)
        lost = found.is_null().arg_true()
        mine = [pl.col(key).is_in(asked[lost][key].unique().implode()) for key in self.on]
        since = _shifted(first, -self.ttl) if self.ttl else None
        older = self._rows(looks, since=since, until=recent).filter(pl.lit(value=True), *mine).collect()
        found = found.scatter(lost, self._holding(asked[lost], older) + rows.height)
        return self._gather(pl.concat([rows, older]), found)

    def _rows(self, looks: list[Look], *, since: datetime | None, until: datetime | None) -> pl.LazyFrame:
        looks.append(lambda: self.scan.read(self.named, since=since, until=until))
        return self.scan.rows(self.named, since=since, until=until)

    def _gather(self, rows: pl.DataFrame, found: pl.Series) -> pl.DataFrame:
        return rows.select(pl.col(feature).gather(found).alias(name) for feature, name in self.named.items())

    def _holding(self, asked: pl.DataFrame, rows: pl.DataFrame) -> pl.Series:
        on = {key: key for key in self.on}
        try:
            return holding(asked, rows, at=AT, on=on, columns=self.scan.columns, ttl=self.ttl, as_known=self.as_known)
        except pl.exceptions.InvalidOperationError as error:
            why = "its instants are in nanoseconds, and those asked for reach beyond the years 1678 to 2261"
            raise UnfitExamples(what=self.scan.source, why=why) from error

    def _asked(self, examples: pl.DataFrame, at: str) -> pl.DataFrame:
        """Keys under the names and in the types of the table, and instants."""
        return examples.select(*(self._key(examples.schema[column], key, column) for key, column in self.on.items()), pl.col(at).alias(AT))

    def _key(self, given: pl.DataType, key: str, column: str) -> pl.Expr:
        dtype: Any = self.scan.schema[key]
        if given == dtype:
            return pl.col(column).alias(key)
        if given == pl.Null:
            return pl.lit(None, dtype=dtype).alias(key)
        if given.is_integer() and dtype.is_integer():
            return pl.col(column).cast(dtype, strict=False).alias(key)  # what does not fit is no key of the table
        if isinstance(given, pl.Categorical | pl.Enum) and dtype == pl.String:
            return pl.col(column).cast(dtype).alias(key)
        why = f"column {column} is {given}, the key {key} of {self.scan.source} is {dtype}"
        raise UnfitExamples(what=self.scan.source, why=why)


def _ends(asked: pl.DataFrame) -> tuple[datetime | None, datetime | None]:
    instants: Any = asked[AT]
    return instants.min(), instants.max()


def _shifted(at: datetime, by: timedelta) -> datetime | None:
    """None beyond the calendar: no bound."""
    try:
        return at + by
    except OverflowError:
        return None
