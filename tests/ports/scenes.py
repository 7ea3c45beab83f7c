"""Feature tables and examples for any offline store, and what a plain loop over all rows finds in them.

Instants are whole nanoseconds since 1970 here, so that the loop knows no rounding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl
from deltalake import write_deltalake
from hypothesis import strategies as st

Kind = Literal["DeltaSource", "FileSource on Parquet", "FileSource on Delta"]
Unit = Literal["ms", "us", "ns"]

START: Final = 1_359_590_400 * 10**9
"""2013-01-31T00:00Z."""
HOUR: Final = 3600 * 10**9
TICKS: Final[Mapping[Unit, int]] = {"ms": 10**6, "us": 10**3, "ns": 1}
BIG: Final = 2**53 + 1
"""The first integer that a float cannot hold."""
TYPES: Final[Mapping[str, pl.DataType]] = {"k": pl.String(), "j": pl.Int64(), "x": pl.Int64(), "text": pl.String(), "month": pl.String()}
Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A view's rows in the order in which they were written; ``ttl`` in nanoseconds; ``month`` is the partition of a ``DeltaSource``.

    ``once``: what an earlier version of a Delta table held in their place.
    """

    rows: tuple[Row, ...]
    keys: tuple[str, ...] = ("k",)
    ttl: int = 0
    kind: Kind = "FileSource on Parquet"
    unit: Unit = "us"
    zone: str | None = "UTC"
    created: bool = False
    partitioned: bool = False
    once: tuple[Row, ...] = ()

    @property
    def name(self) -> str:
        """The name of the view."""
        return "by_" + "_and_".join(self.keys)

    @property
    def instants(self) -> tuple[str, ...]:
        """The columns of instants."""
        return ("ts", "created") if self.created else ("ts",)

    def frame(self, rows: tuple[Row, ...]) -> pl.DataFrame:
        """What is written of these rows."""
        columns = [*self.keys, *self.instants, "x", "text", *(["month"] if self.partitioned else [])]
        return frame(rows, columns, unit=self.unit, zone=self.zone)

    def held(self, example: Row, *, as_known: bool) -> tuple[int | None, str | None]:
        """The plain reading of the contract: the last of the rows of this key that have happened, unless it is too old."""
        at, wanted = example["at"], [example[key] for key in self.keys]
        if at is None or None in wanted:
            return None, None
        rows = [row for row in self.rows if [row[key] for key in self.keys] == wanted and row["ts"] is not None and row["ts"] <= at]
        if as_known and self.created:
            rows = [row for row in rows if row["created"] is not None and row["created"] <= at]
        if not rows:
            return None, None
        _, last = max(enumerate(rows), key=lambda placed: (*self._order(placed[1]), placed[0]))
        return (None, None) if self.ttl and at - last["ts"] > self.ttl else (last["x"], last["text"])

    def _order(self, row: Row) -> tuple[Any, ...]:
        created = row["created"] if self.created else None
        return row["ts"], created is not None, created or 0, row["month"] if self.partitioned else ""

    def write(self, folder: Path) -> str:
        """Put the rows where a source of this kind has them; returns where."""
        place = folder / self.name
        if self.kind == "FileSource on Parquet":
            place = place.with_suffix(".parquet")
            self.frame(self.rows).write_parquet(place)
        else:
            place.mkdir()
            for rows in (self.once, self.rows) if self.once else (self.rows,):
                write_deltalake(place, self.frame(rows), mode="overwrite", partition_by=["month"] if self.partitioned else None)
        return str(place)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Views and examples; an example has ``at``, all keys, and a ``row`` of its own."""

    tables: tuple[Table, ...]
    examples: tuple[Row, ...]
    as_known: bool = False
    unit: Unit = "us"
    zone: str | None = "UTC"
    time_column: str = "event_timestamp"

    def spine(self) -> pl.DataFrame:
        """The examples as a frame."""
        keys = sorted({key for table in self.tables for key in table.keys})
        numbered = [{**one, "row": row} for row, one in enumerate(self.examples)]
        return frame(numbered, [*keys, "at", "row"], unit=self.unit, zone=self.zone).rename({"at": self.time_column})

    def expected(self) -> list[tuple[Any, ...]]:
        """Row, then x and text of each view: what the loop finds."""
        return [
            (row, *(value for table in self.tables for value in table.held(one, as_known=self.as_known)))
            for row, one in enumerate(self.examples)
        ]


def frame(rows: Sequence[Row], columns: Sequence[str], *, unit: Unit, zone: str | None) -> pl.DataFrame:
    """These columns of the rows; nanoseconds become instants."""

    def of(column: str) -> pl.Series:
        given = [row.get(column) for row in rows]
        if column not in {"ts", "created", "at"}:
            return pl.Series(column, given, dtype=TYPES.get(column, pl.Int64()))
        whole = pl.Series(column, [None if one is None else one // TICKS[unit] for one in given], dtype=pl.Int64)
        return whole.cast(pl.Datetime(unit, "UTC")).dt.convert_time_zone(zone) if zone else whole.cast(pl.Datetime(unit))

    return pl.DataFrame([of(column) for column in columns])


def hours(number: float, *, tick: int = 0) -> int:
    """An instant so many hours after the start."""
    return START + int(number * HOUR) + tick


def instants(unit: Unit) -> st.SearchStrategy[int | None]:
    """A few hours, often met exactly, now and then missed by a tick; or none."""
    late = st.sampled_from([0, 0, 0, -TICKS[unit], TICKS[unit]])
    return st.one_of(st.none(), st.tuples(st.integers(0, 6), late).map(lambda drawn: hours(drawn[0], tick=drawn[1])))


KEYS: Final[Mapping[str, st.SearchStrategy[Any]]] = {"k": st.sampled_from(["a", "b", "", None]), "j": st.sampled_from([0, 1, BIG, None])}
ZONES: Final = st.sampled_from(["UTC", None, "America/New_York"])


@st.composite
def tables(draw: st.DrawFn, keys: tuple[str, ...], kind: Kind) -> Table:
    """A view's rows, of any unit and zone that such a source can have; Delta knows neither all zones nor all units."""
    parquet = kind == "FileSource on Parquet"
    unit: Unit = draw(st.sampled_from(["ms", "us", "ns"])) if parquet else "us"
    row = {key: KEYS[key] for key in keys} | {"ts": instants(unit), "created": instants(unit)}
    row |= {"x": st.sampled_from([None, 0, 1, 2, BIG]), "text": st.sampled_from([None, "", "é"])}
    row |= {"month": st.sampled_from(["2013-01", "2013-02", "2013-10"])}
    return Table(
        rows=tuple(draw(st.lists(st.fixed_dictionaries(row), max_size=14))),
        keys=keys,
        ttl=draw(st.sampled_from([0, 10**3, HOUR, 2 * HOUR])),
        kind=kind,
        unit=unit,
        zone=draw(ZONES) if parquet else draw(st.sampled_from(["UTC", None])),
        created=draw(st.booleans()),
        partitioned=kind == "DeltaSource" and draw(st.booleans()),
    )


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Two views and examples, often the very same example several times."""
    kinds: list[Kind] = ["DeltaSource", "FileSource on Parquet", "FileSource on Delta"]
    two = [draw(tables(keys, draw(st.sampled_from(kinds)))) for keys in (("k",), ("k", "j"))]
    unit: Unit = draw(st.sampled_from(["ms", "us", "ns"]))
    different = draw(st.lists(st.fixed_dictionaries({**KEYS, "at": instants(unit)}), max_size=10))
    asked = draw(st.lists(st.sampled_from(different), max_size=14)) if different else []
    return Scene(tables=tuple(two), examples=tuple(asked), as_known=draw(st.booleans()), unit=unit, zone=draw(ZONES))
