"""How a table is declared: columns, their units and ranges, and when each value becomes available.

Imports neither dagster nor pandera: the serving lock has neither, and the pandera schema is built from here inside the check.
A class attribute of a ``Table`` is a frozen ``Column``; annotations are plain Python types, ``| None`` means nullable, never optional.
"""

import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, ClassVar, Final, Literal, dataclass_transform

import polars as pl

from resources.errors import PlatformError

Level = Literal["public", "internal", "confidential", "restricted"]
LEVELS: Final[tuple[Level, ...]] = ("public", "internal", "confidential", "restricted")

UTC = datetime
"""Annotation of an instant: timezone-aware, microseconds, UTC."""

ALWAYS: Final = "ALWAYS"
"""Availability of a table whose rows were true before anyone asked (planes, airports): said out loud, shown in the docs."""

DTYPES: Final[Mapping[type, pl.DataType]] = {
    str: pl.String(),
    int: pl.Int64(),
    float: pl.Float64(),
    bool: pl.Boolean(),
    date: pl.Date(),
    datetime: pl.Datetime("us", "UTC"),
}
ANNOTATIONS: Final[Mapping[Any, tuple[pl.DataType, bool]]] = {
    annotation: (dtype, nullable) for kind, dtype in DTYPES.items() for annotation, nullable in ((kind, False), (kind | None, True))
}
"""What a column may be annotated with: its type, and whether it may be null."""

TAKEN: Final = frozenset({"available", "columns", "event_timestamp", "ingested_at", "key", "level", "rules"})
"""Names of a contract's own attributes, and of the columns that the platform stamps."""


class DeclarationError(PlatformError):
    """A declaration that cannot mean anything; raised while the catalogue loads."""


def refuse(thing: str, wrong: Iterable[str]) -> None:
    """Raise the first of the sentences that say what a declaration cannot mean; none, and it stands."""
    for why in wrong:
        raise DeclarationError(f"{thing}: {why}")


def highest(levels: Iterable[Level]) -> Level:
    """The strictest of some levels; what is made of nothing is public."""
    return LEVELS[max((LEVELS.index(level) for level in levels), default=0)]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table: what it holds and the instant column from which its value is known."""

    table: str
    name: str
    dtype: pl.DataType
    nullable: bool
    available: str
    unit: str | None = None
    ge: float | None = None
    le: float | None = None
    unique: bool = False
    isin: tuple[str, ...] | None = None
    absent_when: str | None = None
    doc: str = ""

    def __str__(self) -> str:
        return f"{self.table}.{self.name}"


class _Said(dict[str, Any]):
    """What ``column(...)`` was told; becomes a ``Column`` when its table is made."""


def column(
    *, available: str | None = None, unit: str | None = None, ge: float | None = None, le: float | None = None, unique: bool = False,
    isin: tuple[str, ...] | None = None, absent_when: str | None = None, doc: str = "",
) -> Any:  # fmt: skip
    """Say more of a column than its type.

    ``available`` names an instant column of the same table (default: the table's own). ``absent_when`` names a boolean column
    that is true when this value will never come: it settles a label without giving one.
    """
    return _Said({name: value for name, value in locals().items() if value is not None})


@dataclass_transform(kw_only_default=True)
class Table:
    """Base of every contract. Options: ``available`` (instant column or ALWAYS), ``key`` (default: unique columns), ``level``.

    Annotations become ``Column`` objects. ``rules`` are cross-column facts: name -> Polars expression that is true, or null where it does
    not apply.
    """

    columns: ClassVar[Mapping[str, Column]]
    available: ClassVar[str]
    level: ClassVar[Level]
    key: ClassVar[tuple[str, ...]]
    rules: ClassVar[Mapping[str, pl.Expr]] = {}

    def __init_subclass__(cls, *, available: str = "", key: tuple[str, ...] = (), level: Level = "internal") -> None:
        """Make the columns; a table that cannot mean anything is refused."""
        hints = {name: hint for name, hint in typing.get_type_hints(cls).items() if typing.get_origin(hint) is not ClassVar}
        refuse(cls.__name__, _unclear(cls, hints, available))
        cls.columns = {name: _column(cls, name, hint, available) for name, hint in hints.items()}
        cls.available, cls.level = available, level
        cls.key = key or tuple(name for name, col in cls.columns.items() if col.unique)
        for name, col in cls.columns.items():
            setattr(cls, name, col)
        refuse(cls.__name__, _impossible(cls))


def _unclear(table: type[Table], hints: Mapping[str, Any], available: str) -> Iterator[str]:
    """What keeps columns from being made."""
    name = table.__name__
    if not available:
        yield f"say when a row becomes known, `class {name}(Table, available=...)`: an instant column or ALWAYS."
    if table.__bases__ != (Table,):
        yield f"a contract is a `class {name}(Table, ...)`: what another table says of its columns is not inherited. Write them out."
    for column, said in vars(table).items():
        if isinstance(said, _Said) and column not in hints:
            yield f"{column} needs its type, `{column}: float = column(...)`."
    for column, hint in hints.items():
        if not isinstance(vars(table).get(column, _Said()), _Said):
            yield f"{column} has a value. Write `{column}: ... = column(...)`, or the type alone."
        if column in TAKEN:
            yield f"{column} means something to the platform; call your column something else."
        if hint not in ANNOTATIONS:
            kinds = ", ".join(sorted(kind.__name__ for kind in DTYPES))
            yield f"{column} is {hint}, which is no column type. Use one of {kinds}, with `| None` if it may be null."


def _column(table: type[Table], name: str, hint: object, available: str) -> Column:
    dtype, nullable = ANNOTATIONS[hint]
    said = _Said(available=available) | vars(table).get(name, {})
    return Column(table=table.__name__, name=name, dtype=dtype, nullable=nullable, **said)


def _impossible(table: type[Table]) -> Iterator[str]:
    """What columns that are made cannot mean together."""
    if not table.key or set(table.key) - set(table.columns):
        yield f"needs a key: `column(unique=True)` or `key=(...)` of its columns {', '.join(table.columns)}."
    if table.level not in LEVELS:
        yield f"level={table.level!r} is none of {', '.join(LEVELS)}."
    for name in table.key:
        if table.columns[name].nullable:
            yield f"{name} may be null and identifies no row. Take `| None` off, or another key."
    types = {name: col.dtype for name, col in table.columns.items()}
    for name, col in table.columns.items():
        if col.available != ALWAYS and types.get(col.available) != DTYPES[UTC]:
            yield f"{name} is available={col.available!r}, which is none of its instants. Name a column annotated UTC, or ALWAYS."
        if col.absent_when is not None and types.get(col.absent_when) != DTYPES[bool]:
            yield f"{name} is absent_when={col.absent_when!r}, which is no column annotated bool. Name one."
