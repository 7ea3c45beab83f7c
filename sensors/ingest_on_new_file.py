"""When a file lands in the inbox, ingest it: once for each content."""

import hashlib
import json
from typing import Final

import dagster as dg

from mlops_assets.jobs import ingest_keys
from mlops_assets.partitions import months_of
from mlops_assets.specs import Catalogue
from resources.inbox import Arrival, Inbox

INTERVAL: Final = 30


def ingest_on_new_file(catalogue: Catalogue) -> dg.SensorDefinition:
    """One run for each new content of a file; files of tables that no source declares are named in the tick."""
    known = {spec.table: spec for spec in catalogue.sources}
    months = months_of(catalogue.project)

    @dg.sensor(
        name="ingest_on_new_file",
        target=dg.AssetSelection.assets(*(one for name in known for one in ingest_keys(name))),
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="A new or changed file in the inbox starts the ingestion of its table and month.",
    )
    def sensor(context: dg.SensorEvaluationContext, inbox: Inbox) -> dg.SensorResult | dg.SkipReason:
        seen: dict[str, str] = json.loads(context.cursor or "{}")
        arrivals = inbox.arrivals()
        new = [one for one in arrivals if one.table in known and seen.get(_name(one)) != one.fingerprint]
        strange = sorted({one.table for one in arrivals} - set(known))
        if not new:
            return dg.SkipReason(f"No new file. No source declares {', '.join(strange)}." if strange else "No new file.")
        return dg.SensorResult(
            run_requests=[_request(one) for one in new],
            dynamic_partitions_requests=[months.build_add_request(sorted({one.month for one in new if one.month}))],
            cursor=json.dumps({_name(one): one.fingerprint for one in arrivals}),
        )

    return sensor


def _name(arrival: Arrival) -> str:
    return f"{arrival.table} {arrival.month or ''}".strip()


def _request(arrival: Arrival) -> dg.RunRequest:
    content = hashlib.sha256(arrival.path.read_bytes()).hexdigest()
    return dg.RunRequest(
        run_key=f"{_name(arrival)} {content[:16]}",
        partition_key=arrival.month,
        asset_selection=ingest_keys(arrival.table),
        tags={"mlops/file": arrival.path.name},
    )
