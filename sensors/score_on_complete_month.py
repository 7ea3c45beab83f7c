"""When every table and view of a month is there, predict it with the version that was live for it, and judge the predictions."""

from collections.abc import Iterator

import dagster as dg

from mlops_assets.automation import sensor
from mlops_assets.jobs import Done, looked_at, score_keys
from mlops_assets.keys import MODEL_TAG
from mlops_assets.partitions import calendar_of, end_of
from mlops_assets.specs import Catalogue
from resources.registry.resource import Registry
from resources.registry.states import live_for


def score_on_complete_month(catalogue: Catalogue) -> dg.SensorDefinition:
    """One run a model and month; a month for which nothing was live is left alone."""
    calendar = calendar_of(catalogue)

    def due(done: Done, registry: Registry) -> Iterator[dg.RunRequest]:
        for spec in catalogue.models:
            waiting = done.ready(spec) - done.scored(spec)
            entries = registry.ledger().entries(spec.name) if waiting else ()
            for month in sorted(waiting):
                if live_for(entries, end_of(month, calendar)) is not None:
                    yield dg.RunRequest(
                        run_key=f"score {spec.name} {month}",
                        partition_key=month,
                        asset_selection=score_keys(spec),
                        tags={MODEL_TAG: spec.name},
                    )

    def look(context: dg.SensorEvaluationContext, registry: Registry) -> dg.SensorResult | dg.SkipReason:
        now = looked_at(context.instance, registry, catalogue)
        if now == context.cursor:
            return dg.SkipReason("Nothing happened since the last tick.")
        return dg.SensorResult(run_requests=list(due(Done(context.instance), registry)), cursor=now)

    return sensor(
        "score_on_complete_month",
        look,
        launches=(one for spec in catalogue.models for one in score_keys(spec)),
        description="A complete month is predicted by the version that was live for it, then monitored.",
    )
