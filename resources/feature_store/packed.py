"""Online rows as bytes, and the port of the stores that keep them. Light: a serving process imports it, Feast and Dagster it does not know.

A packed row, big-endian: from when it holds (``since``), what it was read from (``Reading``), until when it can be trusted
(``valid_until``, exclusive), a byte of state and one a feature that says whether it is null, the numbers, and the texts as JSON. Instants
are microseconds of Unix time.
"""

import struct
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain, pairwise
from typing import Any, Final, NamedTuple, cast

import numpy as np
import orjson
import polars as pl

from resources.feature_store.declarations import Dtype

HEAD: Final = struct.Struct(">qq")
"""``since`` and reading: what a store compares."""
HEADS: Final = 3
"""What a reader takes before the numbers: ``since``, ``valid_until``, state and nulls."""
NOT_READ: Final = 0
VERSION_BIT: Final = 41
"""The lowest bit of the version in a reading; those below hold the instant, in ticks, until the year 2255."""
TICK_BITS: Final = 12
"""A tick is 4,096 microseconds."""
NEVER: Final = 2**63 - 1
"""``valid_until`` of a row that only a newer one ends."""
ROW, GONE = b"\0", b"\1"
"""States: a row, and what says that its key was deleted."""
CODES: Final[dict[Dtype, str]] = {"int64": "q", "float64": "d", "bool": "?"}
NUMPY: Final[dict[Dtype, str]] = {"int64": ">i8", "float64": ">f8", "bool": "?"}
TYPES: Final[dict[Dtype, pl.DataType]] = {"string": pl.String(), "int64": pl.Int64(), "float64": pl.Float64(), "bool": pl.Boolean()}

Value = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The version of the lake table that a row was read from, and ``at`` which instant it held as far as that version knows."""

    version: int
    at: int

    def packed(self) -> int:
        """Both in one number, greater for a newer version: one more than the version, and the ticks up to the instant, rounded up."""
        ticks = -(-self.at >> TICK_BITS)
        return (self.version + 1) << VERSION_BIT | min(max(0, ticks), (1 << VERSION_BIT) - 1)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What the rows of one definition of a view hold, in which order."""

    name: str
    features: tuple[tuple[str, Dtype], ...]

    @cached_property
    def numbers(self) -> list[tuple[int, str, Dtype]]:
        """Position, name and type of each feature of fixed size."""
        return [(at, name, dtype) for at, (name, dtype) in enumerate(self.features) if dtype != "string"]

    @cached_property
    def texts(self) -> list[tuple[int, str]]:
        """Position and name of each text."""
        return [(at, name) for at, (name, dtype) in enumerate(self.features) if dtype == "string"]

    @cached_property
    def fields(self) -> str:
        """The part of fixed size, as ``struct`` writes it."""
        return f"qqq{1 + len(self.features)}s{''.join(CODES[dtype] for _, _, dtype in self.numbers)}"

    @cached_property
    def record(self) -> struct.Struct:
        """The part of fixed size."""
        return struct.Struct(">" + self.fields)

    @cached_property
    def absent(self) -> bytes:
        """Stands for a key that has no row."""
        gone = GONE + bytes(len(self.features))
        zeros = [False if dtype == "bool" else 0 for _, _, dtype in self.numbers]
        return self.record.pack(0, NOT_READ, NEVER, gone, *zeros) + (orjson.dumps([None] * len(self.texts)) if self.texts else b"")

    def pack(self, frame: pl.DataFrame, *, since: pl.Series, until: pl.Series, read: Reading | None, gone: bool = False) -> list[bytes]:
        """A packed row for each row of ``frame``, which has a column a feature; instants as integers, ``until`` null for never."""
        state = [("state", "u1"), ("nulls", "u1", (len(self.features),))]
        numbers = [(f"n{at}", NUMPY[dtype]) for at, _, dtype in self.numbers]
        rows: Any = np.zeros(frame.height, np.dtype([("since", ">i8"), ("read", ">i8"), ("until", ">i8"), *state, *numbers]))
        rows["since"] = since.to_numpy()
        rows["read"] = NOT_READ if read is None else read.packed()
        rows["until"] = until.fill_null(NEVER).to_numpy()
        rows["state"] = ord(GONE if gone else ROW)
        for at, (name, _) in enumerate(self.features):
            rows["nulls"][:, at] = frame[name].is_null().to_numpy()
        for at, name, dtype in self.numbers:
            rows[f"n{at}"] = frame[name].fill_null(False if dtype == "bool" else 0).to_numpy()
        raw, size = rows.tobytes(), self.record.size
        fixed = [raw[start : start + size] for start in range(0, len(raw), size)]
        if not self.texts:
            return fixed
        return [
            one + orjson.dumps(texts) for one, texts in zip(fixed, frame.select(name for _, name in self.texts).iter_rows(), strict=True)
        ]

    def loaded(self, row: bytes) -> bool:
        """Whether a row is there, and was read from a lake table."""
        _, read, _, flags, *_ = self.record.unpack_from(row)
        return read != NOT_READ and flags[:1] == ROW

    def in_order(self, numbers: Sequence[Sequence[Value]], rows: Sequence[bytes]) -> Sequence[Sequence[Value]]:
        """The values of every feature, from those of the numbers and the texts behind ``rows``."""
        if not self.texts:
            return numbers
        texts = zip(*(orjson.loads(row[self.record.size :]) for row in rows), strict=True)
        placed = dict(zip([at for at, *_ in self.numbers], numbers, strict=True)) | dict(
            zip([at for at, _ in self.texts], texts, strict=True)
        )
        return [placed[at] for at in range(len(self.features))]


class Unpacked(NamedTuple):
    """One view's rows by column: instants, state and null bytes, and in order each feature's values, zero or empty where it is null."""

    since: Sequence[int]
    until: Sequence[int]
    flags: Sequence[bytes]
    columns: Sequence[Sequence[Value]]

    def fresh(self, at: int) -> bool:
        """Whether every row is there, without a null, and can be trusted at this instant: the usual case, seen at once."""
        return max(self.since) <= at < min(self.until) and not b"".join(self.flags).strip(b"\0")

    def values(self, at: int, *, given: Sequence[bool]) -> Sequence[Value]:
        """A feature's values; null where it is null and where a row is not to be given."""
        return [
            value if give and not flags[at + 1] else None for value, flags, give in zip(self.columns[at], self.flags, given, strict=True)
        ]


class Unpacking:
    """Unpacks the rows of several views at once: those of one entity lie side by side, so that one pass makes all columns."""

    def __init__(self, layouts: Sequence[Layout]) -> None:
        self._layouts = layouts
        self._plain = not any(layout.texts for layout in layouts)
        self._record = struct.Struct(">" + "".join(layout.fields.replace("qqq", "q8xq", 1) for layout in layouts))  # readings are not asked
        ends = [*accumulate((HEADS + len(layout.numbers) for layout in layouts), initial=0)]
        self._columns = [*pairwise(ends)]

    def __call__(self, rows: Sequence[bytes | None]) -> list[Unpacked]:
        """The views of ``rows``, which come one view after the other; None is an absent one."""
        if not rows:
            return [Unpacked((), (), (), [()] * len(layout.features)) for layout in self._layouts]
        height = len(rows) // len(self._layouts)
        whole = self._whole(rows, height) if None in rows else cast("Sequence[bytes]", rows)
        views = [whole[start : start + height] for start in range(0, len(whole), height)]
        fixed = views if self._plain else [[row[: one.record.size] for row in view] for one, view in zip(self._layouts, views, strict=True)]
        columns: list[Any] = list(zip(*self._record.iter_unpack(b"".join(chain.from_iterable(zip(*fixed, strict=True)))), strict=True))
        return [
            Unpacked(*columns[start : start + HEADS], columns=layout.in_order(columns[start + HEADS : end], view))
            for layout, view, (start, end) in zip(self._layouts, views, self._columns, strict=True)
        ]

    def _whole(self, rows: Sequence[bytes | None], height: int) -> list[bytes]:
        absent = chain.from_iterable([layout.absent] * height for layout in self._layouts)
        return [other if row is None else row for row, other in zip(rows, absent, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the rows of one definition of a view are."""

    project: str
    view: str
    layout: str


class PackedRows(ABC):
    """Rows by place and key. A write never takes a key back to an earlier instant, nor at one instant to an older version.

    Of two rows that were read from different versions of a table the newer version decides: its row holds, though it begin earlier, because
    the other is in the table no more. What begins after the instant of the newer reading it leaves alone. Pushed rows were read from none.

    A write of several rows is there or not, whenever the process dies; several writers at once end as if one had come after the other.
    """

    @abstractmethod
    def write(self, place: Place, keys: Sequence[str], rows: Sequence[bytes]) -> int:
        """Write packed rows; returns how many were new, newer or corrections. A key may come several times: the newest holds."""

    @abstractmethod
    def read(self, asked: Sequence[tuple[Place, Sequence[str]]]) -> list[bytes | None]:
        """The rows of these keys of these places, in one round trip, in order, one list after the other; None for an absent key."""

    @abstractmethod
    def keys(self, place: Place) -> Iterator[str]:
        """Every key that has a row or was deleted."""

    @abstractmethod
    def layouts(self, project: str, view: str) -> set[str]:
        """The definitions of a view of which there are rows."""

    @abstractmethod
    def forget(self, project: str, view: str, *, keep: Collection[str] = ()) -> None:
        """Remove a view's rows of all definitions but those to ``keep``."""

    @abstractmethod
    def close(self) -> None:
        """Close what this thread holds open; the next use opens it again."""


def pack_keys(keys: pl.DataFrame) -> list[str]:
    """One text a key: the text itself, or several columns as a JSON array. No column is null."""
    if keys.width == 1:
        return keys.to_series().cast(pl.String).to_list()
    return [orjson.dumps(key).decode() for key in keys.iter_rows()]
