"""Features as served against the same features from the offline path: which differ, how often, and how that is likely to have come. Pure.

How values differ says why. Served from a row that offline calls expired, or nothing where offline still has one: another ttl. What offline
says a number of whole hours earlier or later, for all examples: a time zone. What offline said at some earlier instant: a row that was not
refreshed. None of these: other code. A view goes wrong as a whole, so its features are looked at together first, which leaves little to
chance, then each alone. An explanation must fit the values far better than it fits those of other examples.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

import polars as pl

from resources.feature_store.asof import Columns, holding

Kind = Literal["wrong TTL", "time-zone shift", "stale value", "other code", "too few to tell"]

ID: Final = "prediction_id"
DAY: Final = "day"
AT: Final = "predict_at"
"""The columns that every log has: whose answer, on which local day, as of which instant."""

LIMIT: Final = 0.001
"""The share of a feature's values that may differ."""
TOLERANCE: Final = 1e-9
DIGITS: Final = 9
"""Of floats, relative and in significant digits: a value may have been text on its way."""

FEWEST: Final = 5
"""Differing examples below which nothing is said of their kind."""
CASES: Final = 200
"""Differing examples, and as many others, that are looked at for the kind."""
NEARLY_ALL: Final = 0.95
"""The share of examples that an explanation must fit."""
FAR_BETTER: Final = 0.5
"""How much it must explain of what the values of other examples leave open."""
NOISE: Final = 3.0
"""And by how many standard errors of a share it must do so."""
SHIFTS: Final = sorted((timedelta(hours=hours) for hours in range(-14, 15) if hours), key=abs)

ROWS: Final[Mapping[str, pl.DataType]] = {
    "day": pl.Date(), "feature": pl.String(), "compared": pl.Int64(), "mismatched": pl.Int64(), "rate": pl.Float64()
}  # fmt: skip
FIXES: Final[Mapping[Kind, str]] = {
    "wrong TTL": "Apply the feature registry, so that both sides take the ttl of the view's spec.",
    "time-zone shift": "Look for a local time that is read as UTC on one of the two sides.",
    "stale value": "Load the view's online rows again and look why they had not been.",
    "other code": "Serve with the release's own code, or build the view again if its definition changed.",
    "too few to tell": "Look at the predictions named here.",
}
UNITS: Final = ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min"))

TICK: Final = timedelta(microseconds=1)
"""The resolution of instants: a ttl includes its end."""

_SINCE: Final = "__since"
_OFFLINE: Final = "__offline"
_VALUES: Final = "__values"


@dataclass(frozen=True, kw_only=True)
class Past:
    """All rows that a view's table has of some keys, features as ``view__feature``; how they are ordered, for how long one holds."""

    rows: pl.DataFrame
    columns: Columns
    ttl: timedelta | None

    def held(self, examples: pl.DataFrame, *, ttl: timedelta | None) -> pl.DataFrame:
        """For each example the row that held at its instant, under this ``ttl``, with the instant from which it did."""
        found = holding(examples, self.rows, at=AT, on={key: key for key in self.columns.keys}, columns=self.columns, ttl=ttl)
        return self.rows.with_columns(pl.col(self.columns.stamp).alias(_SINCE)).select(pl.all().gather(found))

    def states(self, names: Sequence[str]) -> pl.DataFrame:
        """The rows, and one of nulls before the first of a key and after each that expired before the next: all ever said of ``names``."""
        stamp, keys = self.columns.stamp, list(self.columns.keys)
        ordered = self.rows.sort(self.columns.order, maintain_order=True)
        nulls = [pl.lit(None).alias(name) for name in names]
        before = ordered.unique(keys, keep="first", maintain_order=True).with_columns(pl.col(stamp) - TICK, *nulls)
        ends, following = pl.col(stamp) + (self.ttl or timedelta(0)) + TICK, pl.col(stamp).shift(-1).over(keys)
        expired = ordered.filter(following.is_null() | (following > ends)).with_columns(ends, *nulls)
        return pl.concat([one.cast(ordered.schema) for one in (before, ordered, *([expired] if self.ttl else []))])


PastOf = Callable[[pl.DataFrame], Past]
"""From examples to the past of their keys. Asked only when something differs."""


@dataclass(frozen=True, kw_only=True)
class Skew:
    """A feature that was served otherwise: how often, why (``detail`` is the evidence), ``prediction_id`` and both values of each case."""

    feature: str
    compared: int
    mismatched: int
    kind: Kind
    detail: str
    cases: pl.DataFrame

    @property
    def rate(self) -> float:
        """The share of values that differ."""
        return self.mismatched / self.compared

    @property
    def over(self) -> bool:
        """Whether more differ than may."""
        return self.rate > LIMIT

    @property
    def sentence(self) -> str:
        """What, how much, the likely kind with what shows it, and what to do."""
        many = f"{self.mismatched:,} of {self.compared:,} values differ ({self.rate:.2%})"
        return f"{self.feature}: {many}. Likely {self.kind}: {self.detail}. {FIXES[self.kind]}"


@dataclass(frozen=True, kw_only=True)
class _Case:
    """Examples with their values from both sides; ``wrong`` where these differ in any of ``names``."""

    served: pl.DataFrame
    offline: pl.DataFrame
    wrong: pl.Series
    names: Sequence[str]
    past: Past

    def fits(self, guess: pl.DataFrame) -> pl.Series:
        """Where what was served is what ``guess`` says."""
        return ~_any(differing(self.served, guess, self.names))

    def explains(self, guess: pl.DataFrame) -> bool:
        """Whether ``guess`` fits the differing examples, and does not fit them with each other's values."""
        own, said = self.served.filter(self.wrong), guess.filter(self.wrong)
        fit, by_chance = (1 - _share(_any(differing(one, said, self.names))) for one in (own, _exchanged(own, self.names)))
        return _beyond_chance(fit, by_chance, among=own.height)


def differing(served: pl.DataFrame, offline: pl.DataFrame, features: Iterable[str]) -> pl.DataFrame:
    """For each feature a column that is true where ``served`` and ``offline``, the same examples in the same order, differ.

    Text, integers, booleans and nulls must be equal; floats equal or within ``TOLERANCE``; NaN equals NaN. Values of other types differ.
    """
    names = [*features]
    both = pl.concat([served.select(names), offline.select(pl.col(names).name.suffix(_OFFLINE))], how="horizontal")
    return both.select(~_equal(name, served.schema[name], offline.schema[name]) for name in names)


def by_day(served: pl.DataFrame, wrong: pl.DataFrame) -> pl.DataFrame:
    """One row a local day and feature of what ``differing`` gave, in the form ROWS."""
    days = wrong.with_columns(served[DAY]).group_by(DAY).agg(pl.len().alias("compared"), pl.col(wrong.columns).sum())
    long = days.unpivot(wrong.columns, index=[DAY, "compared"], variable_name="feature", value_name="mismatched")
    rated = long.with_columns(rate=pl.col("mismatched") / pl.col("compared"))
    return rated.select(pl.col(name).cast(dtype) for name, dtype in ROWS.items()).sort(DAY, "feature")


def skews(served: pl.DataFrame, offline: pl.DataFrame, wrong: pl.DataFrame, *, past: PastOf) -> list[Skew]:
    """The features of one view that differ, most first; ``wrong`` is what ``differing`` gave for all that the log has of the view."""
    counts = {name: int(wrong[name].sum()) for name in wrong.columns}
    names = sorted((name for name, count in counts.items() if count), key=lambda name: (-counts[name], name))
    if not names:
        return []
    picked = _picked(_any(wrong))
    known = past(served[picked])

    def kind(of: Sequence[str]) -> tuple[Kind, str]:
        some = _any(wrong[picked].select(of))
        return _kind(_Case(served=served[picked], offline=offline[picked], wrong=some, names=of, past=known))

    together = kind(wrong.columns)
    told = {name: kind([name]) if together[0] == "other code" else together for name in names}
    both = {name: pl.DataFrame([served[ID], served[name].alias("served"), offline[name].alias("offline")]) for name in names}
    return [
        Skew(feature=name, compared=wrong.height, mismatched=counts[name], kind=why, detail=shown, cases=both[name].filter(wrong[name]))
        for name, (why, shown) in told.items()
    ]


def _kind(case: _Case) -> tuple[Kind, str]:
    if case.wrong.arg_true().len() < FEWEST:
        return "too few to tell", f"fewer than {FEWEST} differ"
    detail = _expired(case)
    if detail:
        return "wrong TTL", detail
    if detail := _shifted(case):
        return "time-zone shift", detail
    if detail := _outdated(case):
        return "stale value", detail
    return "other code", "they are those of no other instant, and the ttl does not explain them"


def _expired(case: _Case) -> str:
    """One side has a row that the other calls too old."""
    without, ttl = case.past.held(case.served, ttl=None), case.past.ttl
    age = case.served[AT] - without[_SINCE]
    unserved, unknown = (_all_null(side, case.names) for side in (case.served, case.offline))
    if ttl and _share((unknown & ~unserved & case.fits(without)).filter(case.wrong)) >= NEARLY_ALL:
        return f"rows up to {_span(age.filter(case.wrong).max())} old were served, the view's ttl is {_span(ttl)}"
    lost, had = age.filter(case.wrong & unserved & ~unknown), age.filter(~case.wrong & ~unserved)
    if len(lost) < NEARLY_ALL * case.wrong.arg_true().len() or had.is_empty():
        return ""
    oldest, youngest = had.quantile(NEARLY_ALL), lost.quantile(1 - NEARLY_ALL)
    if not isinstance(oldest, timedelta) or not isinstance(youngest, timedelta) or youngest < oldest:
        return ""
    return f"nothing older than {_span(oldest)} was served, the view's ttl is {_span(ttl) if ttl else 'none'}"


def _shifted(case: _Case) -> str:
    """All examples were served what offline says so many hours earlier or later. One instant alone cannot tell a zone from a delay."""
    if case.served[AT].n_unique() == 1:
        return ""
    moved = pl.concat([case.served.with_columns(pl.col(AT) + shift) for shift in SHIFTS])
    said, size = case.past.held(moved, ttl=case.past.ttl), case.served.height
    guesses = {shift: said.slice(place * size, size) for place, shift in enumerate(SHIFTS)}
    shift = max(SHIFTS, key=lambda one: _share(case.fits(guesses[one])))
    if _share(case.fits(guesses[shift])) < NEARLY_ALL or not case.explains(guesses[shift]):
        return ""
    return f"they are those of {_span(abs(shift))} {'later' if shift > timedelta(0) else 'earlier'}"


def _outdated(case: _Case) -> str:
    """Each differing example was served what its key said some time before, sooner than it said what was served to others."""
    own, said, stamp = case.served.filter(case.wrong), case.past.states(case.names), case.past.columns.stamp
    columns = Columns(keys=(*case.past.columns.keys, _VALUES), stamp=stamp, tie=case.past.columns.tie)
    table = _with_text(said, case.names, said)

    def ages(examples: pl.DataFrame) -> pl.Series:
        asked = _with_text(examples, case.names, said)
        found = holding(asked, table, at=AT, on={key: key for key in columns.keys}, columns=columns, ttl=None)
        return own[AT] - table.select(pl.col(stamp).gather(found)).to_series()

    age = ages(own)
    usual, reach = age.median(), age.quantile(NEARLY_ALL, "higher")
    if not isinstance(usual, timedelta) or not isinstance(reach, timedelta):
        return ""
    fit, by_chance = (_share((one <= reach).fill_null(value=False)) for one in (age, ages(_exchanged(own, case.names))))
    stale = _beyond_chance(fit, by_chance, among=own.height)
    return f"they are those of earlier rows, from {_span(usual)} before in the median" if stale else ""


def _equal(name: str, served: pl.DataType, offline: pl.DataType) -> pl.Expr:
    one, other = pl.col(name), pl.col(name + _OFFLINE)
    if served != offline and not (served.is_numeric() and offline.is_numeric()):
        return one.is_null() & other.is_null()
    same = one.eq_missing(other)
    if not (served.is_float() or offline.is_float()):
        return same
    near = (one - other).abs() <= TOLERANCE * pl.max_horizontal(one.abs(), other.abs())
    return same | (near & one.is_finite() & other.is_finite()).fill_null(value=False)


def _beyond_chance(fit: float, by_chance: float, *, among: int) -> bool:
    gain = fit - by_chance
    return fit >= NEARLY_ALL and gain > FAR_BETTER * (1 - by_chance) and gain > NOISE * math.sqrt(0.25 / among)


def _exchanged(examples: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The examples with the values of others: those half of the list away."""
    half = examples.height // 2
    return examples.with_columns(pl.concat([examples[half:], examples[:half]]).select(names))


def _with_text(frame: pl.DataFrame, names: Sequence[str], like: pl.DataFrame) -> pl.DataFrame:
    """The frame with its values as one text, equal where the values are, in the types that ``like`` has."""
    typed = {name: pl.col(name).cast(like.schema[name], strict=False) for name in names}
    rounded = [one.round_sig_figs(DIGITS) + 0.0 if like.schema[name].is_float() else one for name, one in typed.items()]
    return frame.with_columns(pl.concat_str([one.cast(pl.String).fill_null("\0") for one in rounded], separator="\n").alias(_VALUES))


def _picked(wrong: pl.Series) -> pl.Series:
    """Positions of some that differ and some that do not, spread evenly."""
    sides = (side.arg_true() for side in (wrong, ~wrong))
    return pl.concat([side.gather_every(max(1, -(-len(side) // CASES))) for side in sides]).sort()


def _any(columns: pl.DataFrame) -> pl.Series:
    return columns.select(pl.any_horizontal(pl.all())).to_series()


def _all_null(frame: pl.DataFrame, names: Sequence[str]) -> pl.Series:
    return frame.select(pl.all_horizontal(pl.col(names).is_null())).to_series()


def _share(truth: pl.Series) -> float:
    return truth.arg_true().len() / max(1, len(truth))


def _span(time: object) -> str:
    if not isinstance(time, timedelta):
        return "unknown time"
    unit, name = next(((unit, name) for unit, name in UNITS if time >= unit), UNITS[-1])
    return f"{time / unit:.3g} {name}"
