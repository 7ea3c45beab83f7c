"""Declarations of windowed features: what is aggregated, over which stretch of time. The engine is ``resources.feature_store.windows``."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Literal

from mlops_assets.table import ALWAYS, DTYPES, UTC, Column, DeclarationError, refuse

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
    return Threshold(column=_number(column), at_least=threshold)


def _window(kind: Kind, value: Any, *, over: timedelta, at: Any = None, ahead: timedelta = timedelta(0)) -> Window:
    subject = value if isinstance(value, Threshold) else as_column(value) if kind == "count" else _number(value)
    col = subject.column if isinstance(subject, Threshold) else subject
    known = Column(table=col.table, name=col.available, dtype=DTYPES[UTC], nullable=True, available=col.available)
    instant = known if at is None else as_column(at)
    refuse(f"{kind} of {col}", _impossible(instant, over, ahead))
    return Window(kind=kind, value=subject, over=over, at=instant, ahead=ahead)


mean = partial(_window, "mean")
"""Mean of the values in the window; null when it is empty."""
count = partial(_window, "count")
"""Number of non-null values in the window; 0 when it is empty."""
maximum = partial(_window, "max")
"""Largest value in the window; null when it is empty."""
minimum = partial(_window, "min")
"""Smallest value in the window; null when it is empty."""


def _impossible(at: Column, over: timedelta, ahead: timedelta) -> Iterator[str]:
    if at.name == ALWAYS:
        yield "it was always known, so a window over it needs `at=` an instant column."
    if at.dtype != DTYPES[UTC]:
        yield f"at={at} is {at.dtype}. Give `at=` an instant column."
    if over <= timedelta(0) or ahead < timedelta(0):
        yield f"over={over}, ahead={ahead}: `over` must be positive and `ahead` not negative, e.g. over=days(7)."


def _number(value: object) -> Column:
    col = as_column(value)
    if not col.dtype.is_numeric():
        raise DeclarationError(f"{col}: it is {col.dtype}, not a number. Only `count` takes any column.")
    return col
