"""What a project must say: sources, entities, feature views, models. Frozen data, checked when it is made; nothing here does work.

Imports neither dagster nor pandera. A project passes its specs to ``mlops_assets.build.build`` inside one ``Catalogue``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal

import polars as pl

from mlops_assets.fitting import Fit, Log, Parts, Score, TrainingData
from mlops_assets.grammar import MONTH, named, named_pair, not_below, owned, repeated
from mlops_assets.table import ALWAYS, DTYPES, UTC, Column, DeclarationError, Level, Table
from mlops_assets.windows import Threshold, Window, as_column, at_least, days, hours

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
        named_pair(self.table, "SourceSpec.table")
        owned(self.owner, self.table)
        if self.partitions is not None and "month" not in self.contract.columns:
            raise DeclarationError(f"{self.table}: a monthly source declares its local month: `month: str` in {self.contract.__name__}.")
        if not 0 <= self.reject_at_most <= 1:
            raise DeclarationError(f"{self.table}: reject_at_most={self.reject_at_most:g} is a share of rows, from 0 to 1.")

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
        named_pair(self.address, "FeatureViewSpec")
        owned(self.owner, self.address)
        windows = [name for name, feature in self.features.items() if isinstance(feature, Window)]
        if not self.features or (windows and self.compute) or (len(windows) != len(self.features) and not self.compute):
            raise DeclarationError(f"{self.address}: give windows, or `compute=` with `reads=` and plain types, not a mixture.")
        if windows and self.ttl is not None:
            raise DeclarationError(f"{self.address}: a windowed view has no ttl; leaving the window already emits a row.")
        for col in (*self.columns, *(as_column(window.at) for window in self.windows.values())):
            if col.name not in self.source.contract.columns or col.table != self.source.contract.__name__:
                raise DeclarationError(f"{self.address}: reads {col}, which is not a column of {self.source.contract.__name__}.")
        self._refuse_later_than_stamp()
        missing = [key for key in self.entity.keys if key not in self.source.contract.columns]
        if missing:
            raise DeclarationError(
                f"{self.address}: entity {self.entity.name} is keyed by {', '.join(missing)}, not in {self.source.table}."
            )
        self._refuse_odd_features()
        not_below(self.address, self.level or self.source.level, [self.source.level])

    def _refuse_odd_features(self) -> None:
        for name, feature in self.features.items():
            if name in {*self.entity.keys, "event_timestamp"}:
                raise DeclarationError(f"{self.address}: feature {name} has the name of its key or stamp. Rename it.")
            if not isinstance(feature, Window) and feature not in {str, int, float, bool}:
                raise DeclarationError(f"{self.address}: feature {name} is {feature!r}. Use str, int, float or bool.")

    def _refuse_later_than_stamp(self) -> None:
        if self.stamp is None:
            return
        stamp = as_column(self.stamp)
        for col in self.columns:
            if col.available not in {stamp.name, self.source.contract.available, ALWAYS}:
                raise DeclarationError(
                    f"{self.address}: reads {col}, known from {col.available}, but its rows are stamped {stamp.name}: "
                    f"that would show the future. Stamp them {col.available}, or leave `stamp` out and the platform takes the latest."
                )

    @property
    def instants(self) -> tuple[str, ...]:
        """The instant columns whose latest stamps a ``compute`` row."""
        stamps = {as_column(self.stamp).name} if self.stamp is not None else {col.available for col in self.columns}
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
class Gate:
    """What a candidate must reach on its held-out days: floors and ceilings by metric, and not to be worse than the live version."""

    floors: Mapping[str, float] = field(default_factory=dict[str, float])
    ceilings: Mapping[str, float] = field(default_factory=dict[str, float])
    against_live: bool = True
    slices: tuple[Any, ...] = ()


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
        named(self.name, "ModelSpec.name")
        owned(self.owner, self.name)
        table = self.examples.contract
        if isinstance(self.label, Threshold) and not self.positive:
            raise DeclarationError(f"{self.name}: say in words what a positive is: `positive=...`.")
        for col in (*self.columns, *self.slices, *self.request):
            if col.available not in {table.available, ALWAYS}:
                raise DeclarationError(
                    f"{self.name}: example column {col} is known only from {col.available}, after the prediction. Remove it."
                )
        for col in (*self.columns, *self.slices, *self.request, self.predict_at.column, self.label_column):
            if col.table != table.__name__:
                raise DeclarationError(f"{self.name}: {col} is not a column of its examples, {table.__name__}.")
        self._refuse_bad_instant()
        self._refuse_bad_joins()
        if self.label_column.dtype not in {DTYPES[float], DTYPES[int]}:
            raise DeclarationError(f"{self.name}: label {self.label_column} is {self.label_column.dtype}. A label is a number.")
        for what, length in (("holdout", self.holdout), ("validation", self.validation)):
            if length < timedelta(days=1) or length % timedelta(days=1):
                raise DeclarationError(f"{self.name}: {what}={length} must be whole days, one at least: {what}=days(7).")
        if not MONTH.fullmatch(self.train_on.since) or self.train_on.at_least < 1:
            raise DeclarationError(f"{self.name}: {self.train_on} needs since='YYYY-MM' and at least one month.")
        not_below(self.name, self.level, [self.examples.level, *(view.level or view.source.level for view in self.views)])

    def _refuse_bad_instant(self) -> None:
        instant, ahead = self.predict_at.column, self.predict_at.ahead
        if instant.dtype != DTYPES[UTC] or ahead < timedelta(0):
            raise DeclarationError(f"{self.name}: predict_at={instant} less {ahead} is no instant before an instant column.")
        if instant.available not in {self.examples.contract.available, ALWAYS}:
            raise DeclarationError(
                f"{self.name}: predict_at={instant} is known only from {instant.available}, so nobody could predict then."
            )

    def _refuse_bad_joins(self) -> None:
        for view in self.views:
            missing = [key for key in view.entity.keys if key not in self.examples.contract.columns]
            if missing:
                raise DeclarationError(f"{self.name}: view {view.address} is keyed by {', '.join(missing)}, not in {self.examples.table}.")
        twice = repeated(self.feature_names)
        if twice:
            raise DeclarationError(f"{self.name}: feature {', '.join(twice)} is there twice. Remove one.")

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
    def task(self) -> Literal["classification", "regression"]:
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
        named(self.project, "Catalogue.project")
        if not self.sources:
            raise DeclarationError(f"{self.project}: a catalogue needs a source. Write one and list it in `sources=`.")
        if not all(MONTH.fullmatch(month) for month in self.replay or ()):
            raise DeclarationError(f"{self.project}: replay={self.replay} must be two months, ('YYYY-MM', 'YYYY-MM').")
        for kind, names in (
            ("source", [spec.table for spec in self.sources]),
            ("feature view", [spec.address for spec in self.views]),
            ("model", [spec.name for spec in self.models]),
        ):
            twice = repeated(names)
            if twice:
                raise DeclarationError(f"{self.project}: {kind} {', '.join(twice)} is in the catalogue twice. Remove one or rename it.")
        self._demand_listed()

    def _demand_listed(self) -> None:
        for spec in self.views:
            if spec.source not in self.sources:
                raise DeclarationError(
                    f"{self.project}: view {spec.address} reads {spec.source.table}, which is not in the catalogue's sources."
                )
        for model in self.models:
            for view in model.views:
                if view not in self.views:
                    raise DeclarationError(
                        f"{self.project}: model {model.name} uses view {view.address}, which is not in the catalogue's views."
                    )
            if model.examples not in self.sources:
                raise DeclarationError(
                    f"{self.project}: model {model.name} takes examples from {model.examples.table}, not in the catalogue's sources."
                )

    @property
    def package(self) -> str:
        """The Python package that holds the project: the part of its functions' module path that ends with the project's name."""
        module = self.sources[0].parse.__module__.split(".")
        if self.project not in module:
            raise DeclarationError(
                f"{self.project}: {'.'.join(module)} is not inside a package called {self.project}; name the project after its package."
            )
        return ".".join(module[: module.index(self.project) + 1])
