"""When a file lands in the inbox, ingest it: once for each delivery that says something else than the one before."""

import hashlib
import json
from collections.abc import Sequence
from typing import Final

import dagster as dg

from mlops_assets.automation import sensor
from mlops_assets.jobs import ingest_keys
from mlops_assets.partitions import months_of
from mlops_assets.specs import Catalogue
from resources.inbox import Arrival, Inbox

SHOWN: Final = 10


def ingest_on_new_file(catalogue: Catalogue) -> dg.SensorDefinition:
    """One run for each new content of a file; files that no source expects are named in the tick and left alone."""
    monthly = {spec.table: spec.partitions is not None for spec in catalogue.sources}
    months = months_of(catalogue.project)

    def look(context: dg.SensorEvaluationContext, inbox: Inbox) -> dg.SensorResult:
        seen: dict[str, str] = json.loads(context.cursor or "{}")
        arrivals = inbox.arrivals()
        expected = {_name(one): one for one in arrivals if monthly.get(one.table) == (one.month is not None)}
        now = {name: _delivery(one, seen.get(name, "")) for name, one in expected.items()}
        new = [name for name in expected if _number(now[name]) != _number(seen.get(name, ""))]
        cursor = json.dumps({**seen, **now})
        strange = left_alone([*inbox.misnamed(), *(_why(one, monthly) for one in arrivals if one not in expected.values())])
        if not new:
            return dg.SensorResult(skip_reason=f"No new file. {strange}".strip(), cursor=cursor)
        if strange:
            context.log.warning(strange)
        return dg.SensorResult(
            run_requests=[_request(expected[name], now[name]) for name in new],
            dynamic_partitions_requests=[months.build_add_request(sorted({month for name in new if (month := expected[name].month)}))],
            cursor=cursor,
        )

    return sensor(
        "ingest_on_new_file",
        look,
        launches=(one for name in monthly for one in ingest_keys(name)),
        description="A new or changed file in the inbox starts the ingestion of its table and month.",
    )


def _name(arrival: Arrival) -> str:
    return f"{arrival.table} {arrival.month or ''}".strip()


def _delivery(arrival: Arrival, before: str) -> str:
    """What the cursor keeps of a file: fingerprint, number of the delivery, content. The file is read only if the fingerprint changed.

    The number tells a return to earlier content from a tick that is repeated because its cursor was lost.
    """
    fingerprint, _, delivered = before.partition(" ")
    if fingerprint == arrival.fingerprint:
        return before
    number, _, last = delivered.partition(" ")
    content = hashlib.sha256(arrival.path.read_bytes()).hexdigest()[:16]
    return f"{arrival.fingerprint} {delivered if content == last else f'{int(number or 0) + 1} {content}'}"


def _number(delivery: str) -> str:
    return delivery.partition(" ")[2]


def _request(arrival: Arrival, delivery: str) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{_name(arrival)} {_number(delivery)}",
        partition_key=arrival.month,
        asset_selection=ingest_keys(arrival.table),
        tags={"mlops/file": arrival.path.name},
    )


def _why(arrival: Arrival, monthly: dict[str, bool]) -> str:
    file = f"{arrival.path.parent.name}/{arrival.path.name}"
    if arrival.table not in monthly:
        return f"{file} (no source declares {arrival.table})"
    return f"{file} ({arrival.table} comes {'by month' if monthly[arrival.table] else 'whole'})"


def left_alone(files: Sequence[str]) -> str:
    """One sentence on the files that are left alone, with what to do; empty when there is none."""
    if not files:
        return ""
    more = f" and {len(files) - SHOWN:,} more" if len(files) > SHOWN else ""
    return (
        f"Left alone: {', '.join(files[:SHOWN])}{more}. Name a file <noun>.<name>/YYYY-MM.csv, or <noun>.<name>/all.csv where the table "
        "has no months; a name that begins with a dot or ends in .tmp, .part or .partial is still on its way."
    )
