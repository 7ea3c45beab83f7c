"""What a project must say: sources, entities, feature views, models. Frozen data, checked when it is made; nothing here does work.

Imports neither dagster nor pandera. A project passes its specs to ``mlops_assets.build.build`` inside one ``Catalogue``.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal

import polars as pl

from mlops_assets.fitting import Fit, Log, Parts, Score, TrainingData
from mlops_assets.gating import Fair, Gate
from mlops_assets.grammar import ADDRESS, MONTH, WORD, below, foreign, lacking, misnamed, ownerless, twice
from mlops_assets.table import ALWAYS, DTYPES, UTC, Column, DeclarationError, Level, Table, refuse
from mlops_assets.windows import Threshold, Window, as_column, at_least, days, hours
from resources.monitors.frames import Task

__all__ = [
    "Before", "Catalogue", "EntitySpec", "Expanding", "FeatureViewSpec", "Fit", "Gate", "Log", "ModelSpec", "Monitor", "Monthly",
    "Months", "Parts", "PerformanceDrop", "Retrain", "Score", "Serving", "SourceSpec", "TrainingData", "at_least", "before", "days",
    "hours", "months", "value",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Months:
    """Monthly partitions by local month; rows carry theirs in the column ``month`` as ``YYYY-MM``."""

    timezone: str


@dataclass(frozen=True, kw_only=True)
class SourceSpec:
    """A table that arrives from outside.

    ``parse`` maps raw text columns to the contract. ``archive`` gives the raw rows of one month (None: of the whole table) for a replay.
    ``lands`` says how rows came: ``as_declared`` (archive of a live feed: first versions count from their declared instant) or
    ``on_arrival`` (never before they were ingested). Up to ``reject_at_most`` (share of rows) may wait in quarantine.
    """

    table: str
    contract: type[Table]
    owner: str
    parse: Callable[[pl.DataFrame], pl.DataFrame]
    archive: Callable[[str | None], pl.DataFrame] | None = None
    partitions: Months | None = None
    lands: Literal["as_declared", "on_arrival"] = "on_arrival"
    reject_at_most: float = 0.0
    description: str = ""

    def __post_init__(self) -> None:
        refuse(self.table, self._wrong())

    def _wrong(self) -> Iterator[str]:
        yield from misnamed(self.table, ADDRESS)
        yield from ownerless(self.owner)
        if self.partitions is not None and "month" not in self.contract.columns:
            yield f"a monthly source declares its local month: write `month: str` in {self.contract.__name__}."
        if not 0 <= self.reject_at_most <= 1:
            yield f"reject_at_most={self.reject_at_most:g} must be a share of rows, from 0 to 1."

    @property
    def level(self) -> Level:
        """Security level of the rows."""
        return self.contract.level


@dataclass(frozen=True, kw_only=True)
class EntitySpec:
    """What a feature row is about; ``key`` names the columns of the source and, by default, of the examples that identify it."""

    name: str
    key: str | tuple[str, ...]
    description: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """The key columns, always a tuple."""
        return (self.key,) if isinstance(self.key, str) else self.key


@dataclass(frozen=True, kw_only=True)
class FeatureViewSpec:
    """Features of one entity from one source: either windows, or a pure ``compute`` over the columns that it ``reads``.

    ``compute`` receives the key, the columns read and ``event_timestamp`` (the latest of their instants) and returns key, features and
    ``event_timestamp``, whose types are given by ``features`` as column name -> Python type. ``stamp`` may name the instant column that
    stamps the rows; a column that becomes available later than the stamp is refused.
    """

    name: str
    entity: EntitySpec
    source: SourceSpec
    owner: str
    features: Mapping[str, Window | type]
    compute: Callable[[pl.DataFrame], pl.DataFrame] | None = None
    reads: tuple[Any, ...] = ()
    stamp: Any = None
    ttl: timedelta | None = None
    level: Level | None = None
    description: str = ""

    def __post_init__(self) -> None:
        refuse(self.address, self._wrong())

    def _wrong(self) -> Iterator[str]:
        yield from misnamed(self.address, ADDRESS)
        yield from ownerless(self.owner)
        if {isinstance(feature, Window) for feature in self.features.values()} != {self.compute is None}:
            yield "give windows, or `compute=` with `reads=` and plain types, not a mixture."
        if self.windows and self.ttl is not None:
            yield "a windowed view has no ttl, because leaving the window already emits a row. Leave `ttl` out."
        contract = self.source.contract
        yield from foreign((*self.columns, *self._stamps, *(window.at for window in self.windows.values())), contract)
        for stamp in self._stamps:
            if stamp.dtype != DTYPES[UTC]:
                yield f"its rows are stamped {stamp}, which is {stamp.dtype}. Take an instant column, or leave `stamp` out."
            for col in self.columns:
                if col.available not in {stamp.name, contract.available, ALWAYS}:
                    yield (
                        f"reads {col}, known from {col.available}, but its rows are stamped {stamp.name}: that would show the future. "
                        f"Stamp them {col.available}, or leave `stamp` out and the platform takes the latest."
                    )
        yield from lacking(self.entity.keys, contract, f"entity {self.entity.name}")
        for name, feature in self.features.items():
            if name in {*self.entity.keys, "event_timestamp"}:
                yield f"feature {name} has the name of its key or stamp. Rename it."
            if not isinstance(feature, Window) and feature not in {str, int, float, bool}:
                yield f"feature {name} is {feature!r}. Use str, int, float or bool."
        yield from below(self.level or self.source.level, [self.source.level])

    @property
    def _stamps(self) -> tuple[Column, ...]:
        return () if self.stamp is None else (as_column(self.stamp),)

    @property
    def instants(self) -> tuple[str, ...]:
        """The instant columns whose latest stamps a ``compute`` row."""
        stamps = {col.name for col in self._stamps} or {col.available for col in self.columns}
        return tuple(sorted((stamps | {self.source.contract.available}) - {ALWAYS}))

    @property
    def address(self) -> str:
        """``entity/name``: the last two parts of the asset key."""
        return f"{self.entity.name}/{self.name}"

    @property
    def windows(self) -> Mapping[str, Window]:
        """The windowed features; empty for a ``compute`` view."""
        return {name: feature for name, feature in self.features.items() if isinstance(feature, Window)}

    @property
    def columns(self) -> tuple[Column, ...]:
        """The source columns that the features are made of."""
        return tuple(as_column(col) for col in self.reads) + tuple(window.column for window in self.windows.values())


@dataclass(frozen=True, kw_only=True)
class Before:
    """The prediction instant of an example: ``ahead`` before the instant in ``column``."""

    column: Column
    ahead: timedelta


def before(column: Any, *, hours: float) -> Before:
    """Predict ``hours`` hours before the instant in ``column``."""
    return Before(column=as_column(column), ahead=timedelta(hours=hours))


def value(column: Any) -> Column:
    """A label that is the column's own value (regression)."""
    return as_column(column)


def months(n: int) -> int:
    """``n`` calendar months of data."""
    return n


@dataclass(frozen=True, kw_only=True)
class Expanding:
    """Train on every month from ``since`` (``YYYY-MM``) to the cut-off, once there are ``at_least`` of them."""

    since: str
    at_least: int = 1


@dataclass(frozen=True, kw_only=True)
class Monthly:
    """Retrain when a new month is complete."""


@dataclass(frozen=True, kw_only=True)
class PerformanceDrop:
    """Retrain when the monitor says that realised performance fell."""


@dataclass(frozen=True, kw_only=True)
class Retrain:
    """When to train again, and for how long to wait after the last training."""

    on: tuple[Monthly | PerformanceDrop, ...] = (Monthly(), PerformanceDrop())
    cooldown: timedelta = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Serving:
    """The request of the model's route: which example columns name one example."""

    request: tuple[Any, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """What is watched. ``sample`` rows of the ``columns`` most drifted columns go into the Evidently report."""

    sample: int = 2000
    columns: int = 12


HOLDOUT: Final = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A model: what an example is, when it is predicted, from which features, and when it may go live."""

    name: str
    owner: str
    examples: SourceSpec
    predict_at: Before
    label: Threshold | Column
    features: tuple[FeatureViewSpec | Any, ...]
    train: Fit
    score: Score
    seed: int
    positive: str = ""
    level: Level = "internal"
    train_on: Expanding
    holdout: timedelta = HOLDOUT
    validation: timedelta = HOLDOUT
    gate: Gate | None = None
    retrain: Retrain = field(default_factory=Retrain)
    serving: Serving | None = field(default_factory=Serving)
    monitor: Monitor = field(default_factory=Monitor)
    licence: str = "Apache-2.0"

    def __post_init__(self) -> None:
        refuse(self.name, self._wrong())

    def _wrong(self) -> Iterator[str]:
        yield from misnamed(self.name, WORD)
        yield from ownerless(self.owner)
        if self.task == "classification" and not self.positive:
            yield "say in words what a positive is: `positive=...`."
        contract, instant, ahead = self.examples.contract, self.predict_at.column, self.predict_at.ahead
        known = (*self.columns, *self.slices, *self.groups, *self.request, instant)
        yield from foreign((*known, self.label_column), contract)
        for col in known:
            if col.available not in {contract.available, ALWAYS}:
                yield f"{col} is known only from {col.available}, after the prediction. Take a column that is known with its row."
        if instant.dtype != DTYPES[UTC] or ahead < timedelta(0):
            yield f"predict_at={instant} less {ahead} must be an instant column and no time after it: before(column, hours=2)."
        if self.label_column.dtype not in {DTYPES[float], DTYPES[int]}:
            yield f"label {self.label_column} is {self.label_column.dtype}. A label is a number: declare it float or int."
        for view in self.views:
            yield from lacking(view.entity.keys, contract, f"view {view.address}")
        yield from twice("feature", self.feature_names)
        yield from self.gate.wrong(self.task) if self.gate else ()
        for what, length in (("holdout", self.holdout), ("validation", self.validation)):
            if length < timedelta(days=1) or length % timedelta(days=1):
                yield f"{what}={length} must be whole days, one at least: {what}=days(7)."
        if not MONTH.fullmatch(self.train_on.since) or self.train_on.at_least < 1:
            yield f"{self.train_on} needs since='YYYY-MM' and at least one month."
        yield from below(self.level, [self.examples.level, *(view.level or view.source.level for view in self.views)])

    @property
    def views(self) -> tuple[FeatureViewSpec, ...]:
        """The feature views that an example is joined with."""
        return tuple(item for item in self.features if isinstance(item, FeatureViewSpec))

    @property
    def columns(self) -> tuple[Column, ...]:
        """The example's own columns that are features: known when the example is."""
        return tuple(as_column(item) for item in self.features if not isinstance(item, FeatureViewSpec))

    @property
    def slices(self) -> tuple[Column, ...]:
        """The columns of the examples by which the gate looks at parts."""
        return tuple(as_column(item) for item in self.gate.slices) if self.gate else ()

    @property
    def groups(self) -> tuple[Column, ...]:
        """The columns of the examples whose values must be treated alike."""
        asked: tuple[Fair, ...] = self.gate.fair if self.gate else ()
        return tuple(as_column(one.by) for one in asked)

    @property
    def request(self) -> tuple[Column, ...]:
        """The columns that name one example in a request and in its prediction id."""
        return tuple(as_column(item) for item in self.serving.request) if self.serving else ()

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Column names of the feature row, in the order that ``fit`` and ``score`` see: ``view__feature``, then the example's own."""
        joined = tuple(f"{view.entity.name}_{view.name}__{name}" for view in self.views for name in view.features)
        return joined + tuple(col.name for col in self.columns)

    @property
    def label_column(self) -> Column:
        """The column of the examples that settles the label."""
        return self.label.column if isinstance(self.label, Threshold) else self.label

    @property
    def task(self) -> Task:
        """Classification when the label is a threshold."""
        return "classification" if isinstance(self.label, Threshold) else "regression"


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Everything a project has: explicit tuples, in one file. ``replay`` is the first and last month that its archives hold."""

    project: str
    sources: tuple[SourceSpec, ...]
    views: tuple[FeatureViewSpec, ...]
    models: tuple[ModelSpec, ...]
    replay: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        refuse(self.project, self._wrong())

    def _wrong(self) -> Iterator[str]:
        yield from misnamed(self.project, WORD)
        if not self.sources:
            yield "a catalogue needs a source. Write one and list it in `sources=`."
        if not all(MONTH.fullmatch(month) for month in self.replay or ()):
            yield f"replay={self.replay} must be two months, ('YYYY-MM', 'YYYY-MM')."
        yield from twice("source", [spec.table for spec in self.sources])
        yield from twice("feature view", [spec.address for spec in self.views])
        yield from twice("model", [spec.name for spec in self.models])
        for view in self.views:
            if view.source not in self.sources:
                yield f"view {view.address} reads {view.source.table}, which is not listed. Add it to `sources=`."
        for model in self.models:
            if model.examples not in self.sources:
                yield f"model {model.name} takes examples from {model.examples.table}, which is not listed. Add it to `sources=`."
            for view in model.views:
                if view not in self.views:
                    yield f"model {model.name} uses view {view.address}, which is not listed. Add it to `views=`."

    @property
    def package(self) -> str:
        """The Python package that holds the project: the part of its functions' module path that ends with the project's name."""
        module = self.sources[0].parse.__module__.split(".")
        if self.project not in module:
            raise DeclarationError(
                f"{self.project}: {'.'.join(module)} is not inside a package called {self.project}; name the project after its package."
            )
        return ".".join(module[: module.index(self.project) + 1])
