"""When a month has been judged (or nothing is live yet and enough months are complete), train the models for which it is a reason to."""

from collections.abc import Iterator
from typing import Final

import dagster as dg

from mlops_assets.jobs import done, newest, ready, scored, train_keys
from mlops_assets.keys import CUTOFF_TAG, MODEL_TAG, REASON_TAG, key
from mlops_assets.partitions import calendar_of, end_of
from mlops_assets.specs import Catalogue, ModelSpec, Monthly, Months, PerformanceDrop
from resources.registry.resource import Registry

INTERVAL: Final = 30
VERDICT: Final = "performance"
FELL: Final = "fell"


def retrain_on_judged_month(catalogue: Catalogue) -> dg.SensorDefinition:
    """One run a model and cut-off month, whatever the number of reasons."""
    calendar = calendar_of(catalogue)

    @dg.sensor(
        name="retrain_on_judged_month",
        target=dg.AssetSelection.assets(*(one for spec in catalogue.models for one in train_keys(spec))),
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="A judged month starts a training: by cadence, because performance fell, or because nothing is live yet.",
    )
    def sensor(context: dg.SensorEvaluationContext, registry: Registry) -> dg.SensorResult | dg.SkipReason:
        now = newest(context.instance)
        if now == context.cursor:
            return dg.SkipReason("Nothing happened since the last tick.")
        return dg.SensorResult(run_requests=list(_due(context.instance, catalogue, registry, calendar)), cursor=now)

    return sensor


def _due(instance: dg.DagsterInstance, catalogue: Catalogue, registry: Registry, calendar: Months) -> Iterator[dg.RunRequest]:
    for spec in catalogue.models:
        complete = sorted(month for month in ready(instance, spec) if month >= spec.train_on.since)
        if len(complete) < spec.train_on.at_least or complete[-1] in done(instance, key("training_set", spec.name, "examples")):
            continue
        reasons = list(_reasons(instance, spec, complete[-1], registry, calendar))
        if reasons:
            yield _request(spec, complete[-1], reasons)


def _reasons(instance: dg.DagsterInstance, spec: ModelSpec, month: str, registry: Registry, calendar: Months) -> Iterator[str]:
    if registry.ledger().live_for(spec.name, end_of(month, calendar)) is None:
        yield "nothing is live"
        return
    if month not in scored(instance, spec) or _cooling(spec, month, registry, calendar):
        return
    triggers = {type(one) for one in spec.retrain.on}
    if Monthly in triggers:
        yield "monthly cadence"
    if PerformanceDrop in triggers and verdict(instance, spec, month) == FELL:
        yield "performance fell"


def _cooling(spec: ModelSpec, month: str, registry: Registry, calendar: Months) -> bool:
    """Whether the last release is younger than the cool-down, by the data clock."""
    live = registry.ledger().live_for(spec.name, end_of(month, calendar))
    return live is not None and end_of(month, calendar) - live.data_at < spec.retrain.cooldown


def verdict(instance: dg.DagsterInstance, spec: ModelSpec, month: str) -> str:
    """What the monitor said of the model's realised performance in ``month``; "" if it said nothing."""
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key("monitor", spec.name, "daily"), asset_partitions=[month]), limit=1
    ).records
    said = records[0].asset_materialization.metadata.get(VERDICT) if records and records[0].asset_materialization else None
    return str(said.value) if said is not None else ""


def _request(spec: ModelSpec, cutoff: str, reasons: list[str]) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"train {spec.name} {cutoff}",
        partition_key=cutoff,
        asset_selection=train_keys(spec),
        tags={MODEL_TAG: spec.name, CUTOFF_TAG: cutoff, REASON_TAG: ", ".join(reasons)},
    )
