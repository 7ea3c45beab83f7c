"""Declarations of windowed features: what is aggregated, over which stretch of time. The engine is ``resources.feature_store.windows``."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from mlops_assets.table import ALWAYS, DTYPES, UTC, Column, DeclarationError

Kind = Literal["mean", "count", "max", "min"]


def days(n: float) -> timedelta:
    """``n`` times 24 hours."""
    return timedelta(days=n)


def hours(n: float) -> timedelta:
    """``n`` hours."""
    return timedelta(hours=n)


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """The truth of ``column >= at_least``: null where the column is null."""

    column: Column
    at_least: float


@dataclass(frozen=True, kw_only=True)
class Window:
    """An aggregate at instant t of the rows with ``at - ahead`` in (t - over, t] that are available at t."""

    kind: Kind
    value: Column | Threshold
    over: timedelta
    at: Column
    ahead: timedelta

    @property
    def column(self) -> Column:
        """The column whose values are aggregated."""
        return self.value.column if isinstance(self.value, Threshold) else self.value

    def describe(self) -> str:
        """One phrase for the column docs."""
        subject = f"{self.value.column.name} >= {self.value.at_least:g}" if isinstance(self.value, Threshold) else self.value.name
        start = f" up to {_span(self.ahead)} ahead" if self.ahead else ""
        return f"{self.kind} of {subject} over {_span(self.over)}{start}, by {self.at.name}"


def _span(time: timedelta) -> str:
    """``30 d``, ``3 h``."""
    whole = time / timedelta(days=1)
    return f"{whole:g} d" if whole.is_integer() else f"{time / timedelta(hours=1):g} h"


def as_column(value: object) -> Column:
    """The column behind a class attribute of a ``Table``; anything else is refused by name."""
    if not isinstance(value, Column):
        raise DeclarationError(f"{value!r} is not a column: write it as an attribute of its contract, e.g. Departures.arrival_delay.")
    return value


def at_least(column: Any, threshold: float) -> Threshold:
    """Whether a numeric column reaches ``threshold``, in the column's unit."""
    return Threshold(column=_numeric(as_column(column), f"at_least({column}, {threshold:g})"), at_least=threshold)


def mean(value: Any, *, over: timedelta, at: Any = None, ahead: timedelta = timedelta(0)) -> Window:
    """Mean of the values in the window; null when it is empty."""
    return _window("mean", value, over, at, ahead)


def count(value: Any, *, over: timedelta, at: Any = None, ahead: timedelta = timedelta(0)) -> Window:
    """Number of non-null values in the window; 0 when it is empty."""
    return _window("count", value, over, at, ahead)


def maximum(value: Any, *, over: timedelta, at: Any = None, ahead: timedelta = timedelta(0)) -> Window:
    """Largest value in the window; null when it is empty."""
    return _window("max", value, over, at, ahead)


def minimum(value: Any, *, over: timedelta, at: Any = None, ahead: timedelta = timedelta(0)) -> Window:
    """Smallest value in the window; null when it is empty."""
    return _window("min", value, over, at, ahead)


def _window(kind: Kind, value: Any, over: timedelta, at: Any, ahead: timedelta) -> Window:
    subject = value if isinstance(value, Threshold) else as_column(value)
    col = subject.column if isinstance(subject, Threshold) else subject
    instant = as_column(at) if at is not None else None
    if instant is None and col.available == ALWAYS:
        raise DeclarationError(f"{col} is ALWAYS available: a window over it needs `at=` an instant column.")
    if instant is not None and instant.dtype != DTYPES[UTC]:
        raise DeclarationError(f"{kind} of {col}: at={instant} is not an instant column.")
    if not isinstance(subject, Threshold) and kind != "count":
        _numeric(col, f"{kind} of {col}")
    if over <= timedelta(0) or ahead < timedelta(0):
        raise DeclarationError(f"{kind} of {col}: `over` must be positive and `ahead` not negative.")
    return Window(kind=kind, value=subject, over=over, at=instant or _availability(col), ahead=ahead)


def _numeric(col: Column, where: str) -> Column:
    if not col.dtype.is_numeric():
        raise DeclarationError(f"{where}: {col} is {col.dtype}, not a number. Only `count` takes any column.")
    return col


def _availability(col: Column) -> Column:
    return Column(table=col.table, name=col.available, dtype=DTYPES[UTC], nullable=True, available=col.available)
