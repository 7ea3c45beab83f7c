"""When a month has been judged (or nothing is live yet and enough months are complete), train the models for which it is a reason to."""

from collections.abc import Iterator
from typing import Final

import dagster as dg

from mlops_assets.automation import sensor
from mlops_assets.jobs import Done, looked_at, train_keys
from mlops_assets.keys import CUTOFF_TAG, MODEL_TAG, REASON_TAG, key
from mlops_assets.partitions import calendar_of, end_of
from mlops_assets.specs import Catalogue, ModelSpec, Monthly, Months, PerformanceDrop
from resources.registry.resource import Registry
from resources.registry.states import FREEZE, HOLD, since, turned_on

VERDICT: Final = "performance"
FELL: Final = "fell"


def retrain_on_judged_month(catalogue: Catalogue) -> dg.SensorDefinition:
    """One run a model and cut-off month, whatever the number of reasons."""
    calendar = calendar_of(catalogue)

    def look(context: dg.SensorEvaluationContext, registry: Registry) -> dg.SensorResult | dg.SkipReason:
        now = looked_at(context.instance, registry, catalogue)
        if now == context.cursor:
            return dg.SkipReason("Nothing happened since the last tick.")
        if (frozen := turned_on(registry.ledger().entries(FREEZE), FREEZE)) is not None:
            return dg.SkipReason(f"Nothing is trained: the platform is frozen {since(frozen)}.")
        due = list(_due(Done(context.instance), catalogue, registry, calendar))
        held = {request.tags[MODEL_TAG]: _held(registry, request.tags[MODEL_TAG]) for request in due}
        free = [request for request in due if not held[request.tags[MODEL_TAG]]]
        said = " ".join(one for one in held.values() if one)
        if free and said:
            context.log.warning(said)
        return dg.SensorResult(run_requests=free, skip_reason=said if said and not free else None, cursor=now)

    return sensor(
        "retrain_on_judged_month",
        look,
        launches=(one for spec in catalogue.models for one in train_keys(spec)),
        description="A judged month starts a training: by cadence, because performance fell, or because nothing is live yet.",
    )


def _held(registry: Registry, model: str) -> str:
    """Why a model that is due is not trained: what it makes could not go live. Lifting the hold is an entry, so the next tick looks."""
    held = turned_on(registry.ledger().entries(model), HOLD)
    return "" if held is None else f"{model} is due and is not trained: it is held {since(held)}."


def _due(done: Done, catalogue: Catalogue, registry: Registry, calendar: Months) -> Iterator[dg.RunRequest]:
    for spec in catalogue.models:
        complete = sorted(month for month in done.ready(spec) if month >= spec.train_on.since)
        if len(complete) < spec.train_on.at_least or complete[-1] in done.trained(spec):
            continue
        reasons = list(_reasons(done, spec, complete[-1], registry, calendar))
        if reasons:
            yield _request(spec, complete[-1], reasons)


def _reasons(done: Done, spec: ModelSpec, month: str, registry: Registry, calendar: Months) -> Iterator[str]:
    now = end_of(month, calendar)
    live = registry.ledger().live_for(spec.name, now)
    if live is None:
        yield "nothing is live"
        return
    if month not in done.scored(spec) or now - live.data_at < spec.retrain.cooldown:  # the cool-down runs by the data clock
        return
    triggers = {type(one) for one in spec.retrain.on}
    if Monthly in triggers:
        yield "monthly cadence"
    if PerformanceDrop in triggers and verdict(done.instance, spec, month) == FELL:
        yield "performance fell"


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
