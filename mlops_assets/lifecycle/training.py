"""Feature to training set to model: the as-of join, ``fit``, and one MLflow run. The only caller of a project's ``fit``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import polars as pl

from mlops_assets.keys import address, key, table
from mlops_assets.lifecycle.assets import Result, asset, described, history, month_of, result
from mlops_assets.lifecycle.checks import contract_of
from mlops_assets.lifecycle.code import code_version, entry
from mlops_assets.lifecycle.examples import DAY, EXAMPLE_MONTH, LABEL, PREDICT_AT, ROW_ID, labels, spine
from mlops_assets.lifecycle.features import declaration
from mlops_assets.lifecycle.recording import TABLES, VIEWS, Made, identity, metered, provenance
from mlops_assets.lifecycle.tables import Fitted, TrainingRows
from mlops_assets.lifecycle.view_versions import defined, demand_built
from mlops_assets.partitions import end_of, shift
from mlops_assets.specs import Log, ModelSpec, Months, Parts, TrainingData
from resources.errors import PlatformError
from resources.feature_store.store import FeatureStore
from resources.lake import Lake
from resources.registry.formats import as_loaded
from resources.registry.identity import digest
from resources.registry.releases import Releases
from resources.registry.resource import Registry
from resources.registry.states import FREEZE, refuse_frozen
from resources.serving import scoring
from resources.tracking.resource import Run, Tracking

if TYPE_CHECKING:
    from resources.feature_store.scan import Read

PROBES: Final = 8
"""Examples whose answers travel with a release."""


class NoRecord(PlatformError):
    """A training set that does not say what it was made of."""

    def __init__(self, where: str, month: str) -> None:
        super().__init__(
            f"{where} {month} has no record of the tables behind it, so no model can be named after them. Materialize it again."
        )


class NothingToFit(PlatformError):
    """A training set that ends before the validation days begin."""

    def __init__(self, spec: ModelSpec, cutoff: str, rows: int) -> None:
        super().__init__(
            f"{spec.name} {cutoff}: of {rows:,} examples none lies before the validation and held-out days ({spec.validation.days} + "
            f"{spec.holdout.days} days). Nothing was fitted. Take a later cut-off, or shorten validation and holdout in the spec."
        )


class NotEnoughMonths(PlatformError):
    """A cut-off before the model's first training window is full."""

    def __init__(self, spec: ModelSpec, cutoff: str, have: int) -> None:
        super().__init__(
            f"{spec.name} trains on at least {spec.train_on.at_least} months since {spec.train_on.since}; up to {cutoff} there are {have}. "
            "Nothing was written. Materialize a later cut-off, or lower train_on in the model's spec."
        )


def upstream(spec: ModelSpec) -> list[dg.AssetKey]:
    """The tables that a training set is made of: its examples and its feature views."""
    return [table(spec.examples.table), *(table(view.address, stage="feature") for view in spec.views)]


def table_versions(lake: Lake, keys: Sequence[dg.AssetKey], *, until: str) -> dict[str, dict[str, Any]]:
    """Version and content digests by month, up to ``until``, of each table: what a training set records of the data it read."""
    return {
        address(one): {
            "version": lake.version(address(one)),
            "digests": {month: digest for month, digest in sorted(lake.digests(address(one)).items()) if month <= until},
        }
        for one in keys
    }


def recorded(context: dg.AssetExecutionContext, training_set: dg.AssetKey) -> Made:
    """What the training set of this partition says that it was made of; rows that landed and views that changed since are not in it."""
    found = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=training_set, asset_partitions=[context.partition_key]), limit=1
    ).records
    said: Mapping[str, dg.MetadataValue[Any]] = found[0].asset_materialization.metadata if found and found[0].asset_materialization else {}
    if TABLES not in said or VIEWS not in said:
        raise NoRecord(address(training_set), context.partition_key)
    return Made(tables=said[TABLES].value, views=said[VIEWS].value)


def training_rows(
    spec: ModelSpec,
    source: pl.DataFrame,
    *,
    cutoff: str,
    calendar: Months,
    store: FeatureStore,
    versions: Mapping[str, int],
    tell: "Callable[[Sequence[Read]], object] | None" = None,
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Each example since ``train_on.since`` with a label at the end of ``cutoff``, with its features; and counts of the labels by state.

    ``tell`` hears what was read of each feature table.
    """
    until = end_of(cutoff, calendar)
    examples = spine(spec, source, calendar=calendar, until=until).filter(pl.col(EXAMPLE_MONTH) >= spec.train_on.since)
    months = examples[EXAMPLE_MONTH].n_unique()
    if months < spec.train_on.at_least:
        raise NotEnoughMonths(spec, cutoff, months)
    labelled = examples.join(labels(spec, source, until=until), on=ROW_ID, how="left", maintain_order="left")
    states = dict(labelled.group_by("label_state").len().sort("label_state").iter_rows())
    mature = labelled.filter(pl.col("label_state") == "mature").drop("label_state")
    return store.historical(spec.name, mature, at=PREDICT_AT, versions=versions, tell=tell), states


def split(spec: ModelSpec, rows: pl.DataFrame, *, cutoff: str) -> tuple[TrainingData, date]:
    """Train and validation rows for ``fit``, and the first held-out day: the last ``holdout`` days up to the cut-off are nobody's to see.

    They are counted from the last day that has an example: a file may end before its month, and labels may take weeks.
    """
    year, month = (int(part) for part in shift(cutoff, 1).split("-"))
    last: date | None = rows.select(pl.col(DAY).max()).item()
    end = date(year, month, 1) if last is None else min(date(year, month, 1), last + timedelta(days=1))
    held_out_from = end - spec.holdout
    validation_from = held_out_from - spec.validation
    data = TrainingData(
        train=rows.filter(pl.col(DAY) < validation_from),
        validation=rows.filter(pl.col(DAY).is_between(validation_from, held_out_from, closed="left")),
        features=spec.feature_names,
        seed=spec.seed,
        label=LABEL,
    )
    if data.train.is_empty():
        raise NothingToFit(spec, cutoff, rows.height)
    return data, held_out_from


def signature(spec: ModelSpec, parts: Parts, rows: pl.DataFrame, *, package: str, views: Mapping[str, str]) -> dict[str, Any]:
    """What a worker must know to serve these parts: entry point and its code, the types of a request, and rows with their answers.

    Also how its features are looked up online: of the definitions (by name in Feast) that it was trained on.
    """
    from resources.feature_store.direct import Lookup

    trained = [
        replace(one, spec_hash=views.get(one.full_name, one.spec_hash))
        for one in (declaration(view, package=package) for view in spec.views)
    ]
    request, some = [col.name for col in spec.request], rows.gather_every(max(1, rows.height // PROBES)).head(PROBES)
    probe = scoring.probe(entry(spec.score), as_loaded(spec.name, parts), some, spec.feature_names, n=PROBES)
    return {
        "model": spec.name,
        "task": spec.task,
        "entry": entry(spec.score),
        "code_hash": code_version(spec.score, package=package),
        "request": scoring.signature(rows, request, required=request),
        "features": scoring.signature(rows, spec.feature_names),
        "lookups": [Lookup.declared(view).record() for view in trained],
        "probe": {**probe, "examples": scoring.rows(some, [*dict.fromkeys([*request, *spec.feature_names])])},
    }


class Heard:
    """The log that ``fit`` sees: passes on to MLflow, and keeps the settings, which are part of the model's identity."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.said: dict[str, object] = {}

    def params(self, **params: object) -> None:
        """Record settings of this fit."""
        self.said |= params
        self._log.params(**params)

    def metric(self, name: str, value: float, *, step: int = 0) -> None:
        """Record one point of a curve."""
        self._log.metric(name, value, step=step)


def fitted(
    spec: ModelSpec,
    rows: pl.DataFrame,
    *,
    cutoff: str,
    made: Made,
    package: str,
    releases: Releases,
    run: Run,
    dagster_run: str,
) -> pl.DataFrame:
    """Fit, store the parts by content hash, and describe them in the MLflow run; the one row that names the result."""
    data, trained_until = split(spec, rows, cutoff=cutoff)
    heard = Heard(run)
    with metered() as used:
        parts = spec.train(data, heard)
    record = {
        "identity": identity(spec, cutoff=cutoff, trained_until=trained_until, made=made, package=package, params=heard.said),
        "provenance": provenance(spec, made=made, package=package, dagster_run=dagster_run, mlflow_run=run.id, used=used, rows=rows.height),
    }
    content_hash = releases.write(spec.name, parts, record, signature(spec, parts, data.train, package=package, views=made.views))
    for name, one in made.tables.items():
        run.dataset(name, sha256=digest(one["digests"]), context="training", tags={"version": str(one["version"])})
    with releases.folder(spec.name, content_hash) as folder:
        run.artifact("model", folder)
    run.tags(content_hash=content_hash)
    row = {
        "content_hash": content_hash,
        "mlflow_run_id": run.id,
        "cutoff": cutoff,
        "trained_until": trained_until,
        "rows": data.train.height + data.validation.height,
        "train_seconds": used["seconds"],
    }
    return pl.DataFrame([row])


def training_set(spec: ModelSpec, *, package: str, calendar: Months, partitions_def: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    """The examples of a model up to a cut-off month, with features and mature labels."""
    asset_key, contract = key("training_set", spec.name, "examples"), contract_of(TrainingRows, open=True)
    what = f"Examples of {spec.name} since {spec.train_on.since}: features as known when predicted, mature labels."
    source_key, view_keys = upstream(spec)[0], upstream(spec)[1:]

    @asset(
        **described(asset_key, owner=spec.owner, level=spec.level, kinds={"polars", "feast"}, cadence="monthly", contract=contract,
                    description=f"{what} 1 is: {spec.positive}." if spec.positive else what),
        ins={"source": history(source_key)},
        deps=view_keys,
        partitions_def=partitions_def,
    )  # fmt: skip
    def examples(
        context: dg.AssetExecutionContext, source: pl.LazyFrame, lake: Lake, feature_store: FeatureStore, registry: Registry
    ) -> Result:
        refuse_frozen(registry.ledger().entries(FREEZE), subject=spec.name, undone="trained")  # a month with examples counts as trained
        demand_built(context.instance, spec, cutoff=context.partition_key, package=package)
        made = Made(tables=table_versions(lake, upstream(spec), until=context.partition_key), views=defined(spec.views, package=package))
        pinned = {name: one["version"] for name, one in made.tables.items()}
        read: list[Read] = []
        rows, states = training_rows(
            spec,
            source.collect(),
            cutoff=context.partition_key,
            calendar=calendar,
            store=feature_store,
            versions=pinned,
            tell=read.extend,
        )
        taken = {"files_read": sum(one.files for one in read), "bytes_read": sum(one.bytes for one in read)}
        yield from result(asset_key, rows, contract, {**made.metadata(), **{f"labels_{state}": n for state, n in states.items()}, **taken})

    return examples


def model(spec: ModelSpec, *, package: str, partitions_def: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    """The fitted parts of a model: kept by content hash, described in one MLflow run."""
    asset_key, contract = key("model", spec.name, "parts"), contract_of(Fitted, open=True)

    @asset(
        **described(asset_key, owner=spec.owner, level=spec.level, kinds={"mlflow", "python"}, cadence="monthly", contract=contract,
                    description=f"Fitted parts of {spec.name} in safe formats, by content hash; one MLflow run."),
        ins={"examples": month_of(key("training_set", spec.name, "examples"))},
        partitions_def=partitions_def,
        code_version=code_version(spec.train, package=package)[:16],
    )  # fmt: skip
    def parts(context: dg.AssetExecutionContext, examples: pl.LazyFrame, registry: Registry, tracking: Tracking) -> Result:
        refuse_frozen(registry.ledger().entries(FREEZE), subject=spec.name, undone="trained")
        cutoff = context.partition_key
        made = recorded(context, key("training_set", spec.name, "examples"))
        code = [code_version(function, package=package) for function in (spec.train, spec.score)]
        about = digest(
            [made.tables, made.views, spec.seed, spec.holdout.days, spec.validation.days, code]
        )  # what makes another model makes another run
        tags = {"cutoff": cutoff, "dagster_run": context.run_id}
        with tracking.run(f"{spec.name} {cutoff}", experiment=spec.name, content=about, tags=tags) as run:
            frame = fitted(
                spec,
                examples.collect(),
                cutoff=cutoff,
                made=made,
                package=package,
                releases=registry.releases(),
                run=run,
                dagster_run=context.run_id,
            )
        shown = frame.select("rows", "train_seconds", "content_hash").row(0, named=True)
        yield from result(asset_key, frame, contract, {"mlflow_run": dg.MetadataValue.url(tracking.ui_url(run.id)), **shown})

    return parts
