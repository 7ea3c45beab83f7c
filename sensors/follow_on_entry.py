"""When MLflow does not show what the ledger says, because of a new entry, a kill between the two or somebody's hand, let it follow."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg

from mlops_assets.automation import INTERVAL
from mlops_assets.keys import short
from mlops_assets.lifecycle.operating import FOLLOW
from resources.registry.mirror import wanted
from resources.registry.mirrored import Shown, shown
from resources.registry.resource import Registry
from resources.registry.states import Entry, versions
from resources.tracking.resource import Tracking

RETRY_SECONDS: Final = 300
"""How long what MLflow shows may stay as wrong as it is before a run that did not mend it is followed by another."""

PATIENCE_SECONDS: Final = 10
"""Who writes an entry lets MLflow follow it at once: a tick that falls between the two leaves them that long."""

NEVER: Final = datetime.max.replace(tzinfo=UTC)


def follow_on_entry() -> dg.SensorDefinition:
    """One run for all models that MLflow shows wrongly.

    The cursor holds what MLflow has to show, so that a ledger that says nothing new is not read again.
    """

    def look(context: dg.SensorEvaluationContext, registry: Registry, tracking: Tracking) -> dg.SensorResult:
        now, seq, said = datetime.now(UTC), registry.ledger().seq(), json.loads(context.cursor or "{}")
        if said.get("seq") != seq or now >= datetime.fromisoformat(said["until"]):
            said = _said(registry.ledger().entries(), seq, now)
        there = shown(tracking.uri) if said["wanted"] else {}
        if there is None:
            away = "MLflow does not answer; what is live stays live, and a later tick looks again."
            return dg.SensorResult(skip_reason=away, cursor=json.dumps(said))
        behind = {model: there.get(model, Shown()) for model, one in said["wanted"].items() if there.get(model, Shown()).followed != one}
        if not behind:
            return dg.SensorResult(skip_reason="MLflow shows what the ledger says.", cursor=json.dumps(said))
        if (now - datetime.fromisoformat(said["newest"])).total_seconds() < PATIENCE_SECONDS:
            return dg.SensorResult(skip_reason="The newest entry is being followed by who wrote it.", cursor=json.dumps(said))
        request = dg.RunRequest(
            run_key=f"follow {short([behind, said['wanted']])} {int(now.timestamp()) // RETRY_SECONDS}",
            run_config={"ops": {"follow": {"config": {"models": sorted(behind)}}}},
        )
        return dg.SensorResult(run_requests=[request], cursor=json.dumps(said))

    return dg.SensorDefinition(
        name="follow_on_entry",
        evaluation_fn=look,
        job_name=FOLLOW,
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="MLflow's versions, tags and aliases follow the ledger; an alias moved by hand is put back.",
    )


def _said(entries: tuple[Entry, ...], seq: int, now: datetime) -> Mapping[str, Any]:
    """What the ledger wants MLflow to show of each model, and when it will want something else without another entry."""
    known: dict[str, list[Entry]] = {}
    for entry in entries:
        known.setdefault(entry.subject, []).append(entry)
    begins = [entry.activate_at for entry in entries if entry.activate_at is not None and entry.activate_at > now]
    models = {model: wanted(about, now) for model, about in known.items() if versions(about)}
    newest = max((entry.at for entry in entries), default=now)
    return {"seq": seq, "newest": str(newest), "until": str(min(begins, default=NEVER)), "wanted": models}
