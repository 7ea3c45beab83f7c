"""Table to feature: one asset a view, its identity, its contract and its declaration for Feast."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import dagster as dg
import polars as pl

from mlops_assets.automation import BUILD_NEW_DATA
from mlops_assets.keys import address, table
from mlops_assets.lifecycle.assets import ALL_MONTHS, Result, asset, described, history, month_of, result
from mlops_assets.lifecycle.checks import EVENT_TIMESTAMP, Contract
from mlops_assets.lifecycle.statistics import described_rows
from mlops_assets.partitions import end_of, start_of
from mlops_assets.specs import FeatureViewSpec, ModelSpec
from mlops_assets.table import ALWAYS, DTYPES, Column
from mlops_assets.windows import Threshold, Window
from resources.code import code_hash
from resources.feature_store.declarations import Dtype, Service, View
from resources.rows import versions

if TYPE_CHECKING:
    from resources.feature_store.windows import WindowColumn

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
FOREVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""A whole table is built once, maybe before the first month moves the data clock: all its rows count, a join takes those of its instant."""

OVERLAP: Final = timedelta(days=1)
"""A file of month M may hold rows that count before M begins (an early departure, a schedule looked at ahead): M re-emits that day."""

SHORTEST_MONTH: Final = timedelta(days=28)
FEAST_TYPES: Final[Mapping[type, Dtype]] = {str: "string", int: "int64", float: "float64", bool: "bool"}


def feature_rows(spec: FeatureViewSpec, source: pl.DataFrame, *, since: datetime, until: datetime) -> pl.DataFrame:
    """The emissions of a view in [since, until) from the versions of its source rows: pure, no clock, no store."""
    table = spec.source.contract
    rows = versions(source, key=table.key, instant=table.available, lands=spec.source.lands)
    if spec.compute is None:
        from resources.feature_store.windows import windowed

        columns = [_window_column(name, window) for name, window in spec.windows.items()]
        return windowed(rows, keys=spec.entity.keys, columns=columns, since=since, until=until)
    stamped = rows.drop_nulls([*spec.entity.keys, *spec.instants]).with_columns(
        event_timestamp=pl.max_horizontal("known_from", *spec.instants)
    )
    known = _newest_known(stamped, spec) if spec.instants else stamped
    given = known.select(*dict.fromkeys([*spec.entity.keys, *(col.name for col in spec.columns), "event_timestamp"]))
    made = spec.compute(given.sort("event_timestamp")).select(*spec.entity.keys, *spec.features, "event_timestamp")
    return made.filter(pl.col("event_timestamp").is_between(since, until, closed="left")).sort(*spec.entity.keys, "event_timestamp")


def _newest_known(stamped: pl.DataFrame, spec: FeatureViewSpec) -> pl.DataFrame:
    """Without rows about an older instant than was known of their key when they came: late news of then is not the state of now."""
    about = pl.max_horizontal(*spec.instants)
    ordered = stamped.sort("event_timestamp", about, descending=[False, True])
    return ordered.filter(about >= about.cum_max().over(spec.entity.keys))


def months_back(spec: FeatureViewSpec) -> int:
    """How many earlier months a month's emissions can depend on."""
    longest = max((window.over for window in spec.windows.values()), default=OVERLAP)
    return math.ceil((longest + OVERLAP) / SHORTEST_MONTH)


def feature_contract(spec: FeatureViewSpec) -> Contract:
    """Key never null, one row an emission, features of their declared types."""
    source = spec.source.contract.columns
    keys = {
        name: Column(table=spec.address, name=name, dtype=source[name].dtype, nullable=False, available="event_timestamp")
        for name in spec.entity.keys
    }
    features = {name: _feature_column(spec, name, feature) for name, feature in spec.features.items()}
    return Contract(columns={**keys, **features, "event_timestamp": EVENT_TIMESTAMP}, key=(*spec.entity.keys, "event_timestamp"))


def spec_hash(spec: FeatureViewSpec, *, package: str) -> str:
    """Identity of a view: its declaration and the syntax tree of its function."""
    declared = [spec.address, spec.source.table, spec.entity.keys, spec.ttl, [col.name for col in spec.columns]]
    features = [(name, feature.describe() if isinstance(feature, Window) else feature.__name__) for name, feature in spec.features.items()]
    code = code_hash(f"{spec.compute.__module__}:{spec.compute.__qualname__}", inside=package) if spec.compute else ""
    return hashlib.sha256(repr((declared, features, code)).encode()).hexdigest()


def declaration(spec: FeatureViewSpec, *, package: str) -> View:
    """The Feast view of a spec, as plain data for the feature store."""
    return View(
        name=spec.name,
        entity=spec.entity.name,
        keys=spec.entity.keys,
        address=address(table(spec.address, stage="feature")),
        features={name: _feast_type(feature) for name, feature in spec.features.items()},
        partitioned=spec.source.partitions is not None,
        ttl=spec.ttl,
        window=max((window.over for window in spec.windows.values()), default=None),
        key_types={name: "int64" for name in spec.entity.keys if spec.source.contract.columns[name].dtype == pl.Int64()},
        owner=spec.owner,
        description=spec.description,
        tags={"level": spec.level or spec.source.level},
        feature_docs={name: _doc(spec, name, feature) for name, feature in spec.features.items()},
        units={name: unit for name, feature in spec.features.items() if (unit := _unit(spec, name, feature))},
        spec_hash=spec_hash(spec, package=package),
    )


def view_name(spec: FeatureViewSpec) -> str:
    """The view's name in Feast."""
    return f"{spec.entity.name}_{spec.name}"


def service(model: ModelSpec) -> Service:
    """The Feast feature service of a model."""
    views = tuple(view_name(view) for view in model.views)
    return Service(
        name=model.name, views=views, owner=model.owner, description=f"Features of model {model.name}.", tags={"level": model.level}
    )


def feature_view(spec: FeatureViewSpec, *, package: str, partitions_def: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    """The asset of a feature view, built by automation when its table has new rows."""
    calendar, contract = spec.source.partitions, feature_contract(spec)
    asset_key, source_key = table(spec.address, stage="feature"), table(spec.source.table)
    reach = months_back(spec) if spec.windows else ALL_MONTHS  # what is no window may be corrected however late

    @asset(
        **described(asset_key, owner=spec.owner, level=spec.level or spec.source.level, kinds={"polars", "feast"}, contract=contract,
                    cadence="monthly" if calendar else "once",
                    description=spec.description or f"Features of {spec.entity.name} from {spec.source.table}."),
        ins={"source": history(source_key, months_back=reach) if calendar else month_of(source_key)},
        partitions_def=partitions_def if calendar else None,
        code_version=spec_hash(spec, package=package)[:16],
        automation_condition=BUILD_NEW_DATA,
    )  # fmt: skip
    def view(context: dg.AssetExecutionContext, source: pl.LazyFrame) -> Result:
        since, until = (
            (start_of(context.partition_key, calendar) - OVERLAP, end_of(context.partition_key, calendar)) if calendar else (EPOCH, FOREVER)
        )
        rows = feature_rows(spec, source.collect(), since=since, until=until)
        frame = rows.sort("event_timestamp", maintain_order=True)  # a join puts runs of time in order sooner than keys
        shown = described_rows(frame, list(spec.features), level=spec.level or spec.source.level)
        yield from result(asset_key, frame, contract, {"dagster/column_lineage": column_lineage(spec), **shown})

    return view


def column_lineage(spec: FeatureViewSpec) -> dg.TableColumnLineage:
    """Which source columns each feature is made of."""
    source = table(spec.source.table)

    def deps(names: Sequence[str]) -> list[dg.TableColumnDep]:
        return [dg.TableColumnDep(asset_key=source, column_name=name) for name in dict.fromkeys(names)]

    reads = [col.name for col in spec.columns]
    features = {
        name: deps([feature.column.name, feature.at.name] if isinstance(feature, Window) else reads)
        for name, feature in spec.features.items()
    }
    return dg.TableColumnLineage({**{name: deps([name]) for name in spec.entity.keys}, **features})


def _window_column(name: str, window: Window) -> "WindowColumn":
    from resources.feature_store.windows import WindowColumn

    available = window.column.available
    return WindowColumn(
        name=name,
        kind=window.kind,
        value=window.column.name,
        threshold=window.value.at_least if isinstance(window.value, Threshold) else None,
        at=window.at.name,
        available=None if available == ALWAYS else available,
        over=window.over,
        ahead=window.ahead,
    )


def _feature_column(spec: FeatureViewSpec, name: str, feature: Window | type) -> Column:
    dtype = DTYPES[feature] if not isinstance(feature, Window) else pl.Int64() if feature.kind == "count" else pl.Float64()
    return Column(
        table=spec.address, name=name, dtype=dtype, nullable=True, available="event_timestamp",
        unit=_unit(spec, name, feature), doc=_doc(spec, name, feature),
    )  # fmt: skip


def _doc(spec: FeatureViewSpec, name: str, feature: Window | type) -> str:
    """What a feature means: its window, or what the column says that a function passes on under the same name."""
    return feature.describe() if isinstance(feature, Window) else next((col.doc for col in spec.columns if col.name == name), "")


def _unit(spec: FeatureViewSpec, name: str, feature: Window | type) -> str | None:
    """The unit of the column behind a feature; numbers and shares have none."""
    if not isinstance(feature, Window):
        return next((col.unit for col in spec.columns if col.name == name), None)
    return None if feature.kind == "count" or isinstance(feature.value, Threshold) else feature.column.unit


def _feast_type(feature: Window | type) -> Dtype:
    if isinstance(feature, Window):
        return "int64" if feature.kind == "count" else "float64"
    return FEAST_TYPES[feature]
