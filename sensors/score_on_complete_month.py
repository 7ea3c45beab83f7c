"""When every table and view of a month is there, predict it with the version that was live for it, and judge the predictions."""

from collections.abc import Iterator
from typing import Final

import dagster as dg

from mlops_assets.jobs import newest, ready, score_keys, scored
from mlops_assets.keys import MODEL_TAG
from mlops_assets.partitions import calendar_of, end_of
from mlops_assets.specs import Catalogue
from resources.registry.resource import Registry

INTERVAL: Final = 30


def score_on_complete_month(catalogue: Catalogue) -> dg.SensorDefinition:
    """One run a model and month; a month for which nothing was live is left alone."""
    calendar = calendar_of(catalogue)

    def due(instance: dg.DagsterInstance, registry: Registry) -> Iterator[dg.RunRequest]:
        for spec in catalogue.models:
            for month in sorted(ready(instance, spec) - scored(instance, spec)):
                if registry.ledger().live_for(spec.name, end_of(month, calendar)) is not None:
                    yield dg.RunRequest(
                        run_key=f"score {spec.name} {month}",
                        partition_key=month,
                        asset_selection=score_keys(spec),
                        tags={MODEL_TAG: spec.name},
                    )

    @dg.sensor(
        name="score_on_complete_month",
        target=dg.AssetSelection.assets(*(one for spec in catalogue.models for one in score_keys(spec))),
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="A complete month is predicted by the version that was live for it, then monitored.",
    )
    def sensor(context: dg.SensorEvaluationContext, registry: Registry) -> dg.SensorResult | dg.SkipReason:
        now = newest(context.instance)
        if now == context.cursor:
            return dg.SkipReason("Nothing happened since the last tick.")
        return dg.SensorResult(run_requests=list(due(context.instance, registry)), cursor=now)

    return sensor
