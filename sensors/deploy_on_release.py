"""When the ledger says that other versions are live than those deployed, make the service answer them."""

import hashlib
import json
from typing import Final

import dagster as dg

from mlops_assets.jobs import deploy_keys
from mlops_assets.specs import Catalogue
from resources.registry.resource import Registry

INTERVAL: Final = 30


def deploy_on_release(catalogue: Catalogue) -> dg.SensorDefinition:
    """One run for each set of live versions."""

    @dg.sensor(
        name="deploy_on_release",
        target=dg.AssetSelection.assets(*deploy_keys(catalogue)),
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="A promoted version is deployed: the service loads it, proves it, and answers with it.",
    )
    def sensor(context: dg.SensorEvaluationContext, registry: Registry) -> dg.SensorResult | dg.SkipReason:
        entries = [registry.ledger().live(spec.name) for spec in catalogue.models if spec.serving is not None]
        live = {entry.subject: entry.hash for entry in entries if entry is not None}
        wanted = hashlib.sha256(json.dumps(live, sort_keys=True).encode()).hexdigest()[:16]
        if not live or wanted == context.cursor:
            return dg.SkipReason("The live versions are those that were last deployed." if live else "Nothing is live yet.")
        request = dg.RunRequest(run_key=f"deploy {catalogue.project} {wanted}", asset_selection=deploy_keys(catalogue))
        return dg.SensorResult(run_requests=[request], cursor=wanted)

    return sensor
