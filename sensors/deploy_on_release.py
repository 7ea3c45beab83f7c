"""When the ledger says that other versions are live than those deployed, make the service answer them."""

import hashlib
import json
from datetime import UTC, datetime

import dagster as dg

from mlops_assets.automation import sensor
from mlops_assets.jobs import deploy_keys
from mlops_assets.specs import Catalogue
from resources.registry.resource import Registry
from resources.registry.states import Entry, live_at


def deploy_on_release(catalogue: Catalogue) -> dg.SensorDefinition:
    """One run for each set of live versions."""

    def look(context: dg.SensorEvaluationContext, registry: Registry) -> dg.SensorResult | dg.SkipReason:
        known: dict[str, list[Entry]] = {spec.name: [] for spec in catalogue.models if spec.serving is not None}
        for entry in registry.ledger().entries():
            known.get(entry.subject, []).append(entry)
        now = datetime.now(UTC)
        live = {name: entry.hash for name, entries in known.items() if (entry := live_at(entries, now)) is not None}
        wanted = hashlib.sha256(json.dumps(live, sort_keys=True).encode()).hexdigest()[:16]
        if not live or wanted == context.cursor:
            return dg.SkipReason("The live versions are those that were last deployed." if live else "Nothing is live yet.")
        request = dg.RunRequest(run_key=f"deploy {catalogue.project} {wanted}", asset_selection=deploy_keys(catalogue))
        return dg.SensorResult(run_requests=[request], cursor=wanted)

    return sensor(
        "deploy_on_release",
        look,
        launches=deploy_keys(catalogue),
        description="A promoted version is deployed: the service loads it, proves it, and answers with it.",
    )
