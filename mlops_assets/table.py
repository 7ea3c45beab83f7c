"""How a table is declared: columns, their units and ranges, and when each value becomes available.

Imports neither dagster nor pandera: the serving lock has neither, and the pandera schema is built from here inside the check.
A class attribute of a ``Table`` is a frozen ``Column``; annotations are plain Python types, ``| None`` means nullable, never optional.
"""

import types
import typing
from collections.abc import Iterable, Mapping
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


TAKEN: Final = frozenset({"available", "columns", "event_timestamp", "ingested_at", "key", "level", "rules"})
"""Names of a contract's own attributes, and of the columns that the platform stamps."""


class DeclarationError(PlatformError):
    """A declaration that cannot mean anything; raised while the catalogue loads."""


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
    level: Level | None = None
    absent_when: str | None = None
    doc: str = ""

    def __str__(self) -> str:
        return f"{self.table}.{self.name}"


class _Said(dict[str, Any]):
    """What ``column(...)`` was told; becomes a ``Column`` when its table is made."""


def column(  # noqa: PLR0913  one keyword for each thing that a column may say
    *,
    available: str | None = None,
    unit: str | None = None,
    ge: float | None = None,
    le: float | None = None,
    unique: bool = False,
    isin: tuple[str, ...] | None = None,
    level: Level | None = None,
    absent_when: str | None = None,
    doc: str = "",
) -> Any:
    """Say more of a column than its type.

    ``available`` names an instant column of the same table (default: the table's own). ``absent_when`` names a boolean column
    that is true when this value will never come: it settles a label without giving one.
    """
    return _Said({name: value for name, value in locals().items() if value is not None})


def _dtype(table: str, name: str, annotation: object) -> tuple[pl.DataType, bool]:
    parts = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    plain = [part for part in parts if part is not type(None)]
    if len(plain) != 1 or plain[0] not in DTYPES:
        allowed = ", ".join(sorted(kind.__name__ for kind in DTYPES))
        raise DeclarationError(f"{table}.{name}: {annotation} is not a column type. Use one of {allowed}, with `| None` if it may be null.")
    return DTYPES[plain[0]], len(plain) != len(parts)


@dataclass_transform(kw_only_default=True)
class TableMeta(type):
    """Turns annotations into ``Column`` objects and checks that every ``available`` names an instant of the same table."""

    columns: Mapping[str, Column]

    def __new__(mcs, name: str, bases: tuple[type, ...], space: dict[str, Any], **options: Any) -> "TableMeta":
        """The table's class with its columns, key, level and availability; refused when they cannot mean anything."""
        cls = super().__new__(mcs, name, bases, {key: value for key, value in space.items() if not isinstance(value, _Said)})
        if not bases:
            return cls
        table_available = options.pop("available", None)
        if table_available is None:
            raise DeclarationError(
                f"{name}: say when a row becomes known, `class {name}(Table, available=...)`: an instant column or ALWAYS."
            )
        hints = {key: hint for key, hint in typing.get_type_hints(cls).items() if typing.get_origin(hint) is not ClassVar}
        for key in (key for key, value in space.items() if isinstance(value, _Said) and key not in hints):
            raise DeclarationError(f"{name}.{key}: a column needs its type, `{key}: float = column(...)`.")
        cls.columns = {key: mcs._column(name, key, hint, space.get(key), table_available) for key, hint in hints.items()}
        cls.available = table_available
        cls.level = options.pop("level", "internal")
        cls.key = tuple(options.pop("key", ()) or (key for key, col in cls.columns.items() if col.unique))
        for key, value in cls.columns.items():
            setattr(cls, key, value)
        cls._validate(options)
        return cls

    @staticmethod
    def _column(table: str, name: str, annotation: object, said: _Said | None, table_available: str) -> Column:
        if name in TAKEN:
            raise DeclarationError(f"{table}.{name}: the platform means something by this name; call your column something else.")
        dtype, nullable = _dtype(table, name, annotation)
        given: dict[str, Any] = {"available": table_available, **(said or {})}
        return Column(table=table, name=name, dtype=dtype, nullable=nullable, **given)

    def _validate(cls, unknown: dict[str, Any]) -> None:
        if unknown:
            raise DeclarationError(f"{cls.__name__}: unknown option {', '.join(unknown)}. Known: available, key, level.")
        if not cls.key or set(cls.key) - set(cls.columns):
            raise DeclarationError(
                f"{cls.__name__}: needs a key: `column(unique=True)` or `key=(...)` of its columns {', '.join(cls.columns)}."
            )
        if cls.level not in LEVELS:
            raise DeclarationError(f"{cls.__name__}: level={cls.level!r} is none of {', '.join(LEVELS)}.")
        nullable = [name for name in cls.key if cls.columns[name].nullable]
        if nullable:
            raise DeclarationError(
                f"{cls.__name__}: {', '.join(nullable)} may be null and identifies no row. Take `| None` off, or another key."
            )
        for col in cls.columns.values():
            instant = cls.columns.get(col.available)
            if col.available != ALWAYS and (instant is None or instant.dtype != DTYPES[datetime]):
                raise DeclarationError(f"{col}: available={col.available!r} is not an instant column of {cls.__name__}.")
            if col.absent_when is not None and getattr(cls.columns.get(col.absent_when), "dtype", None) != DTYPES[bool]:
                raise DeclarationError(f"{col}: absent_when={col.absent_when!r} is not a boolean column of {cls.__name__}.")

    available: str
    level: Level
    key: tuple[str, ...]


class Table(metaclass=TableMeta):
    """Base of every contract. Options: ``available`` (instant column or ALWAYS), ``key`` (default: unique columns), ``level``.

    ``rules`` are cross-column facts: name -> Polars expression that is true, or null where it does not apply.
    """

    rules: ClassVar[Mapping[str, pl.Expr]] = {}
