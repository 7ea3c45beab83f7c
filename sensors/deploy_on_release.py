"""When the ledger says that other versions are live than those deployed, make the service answer them."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import dagster as dg

from mlops_assets.automation import sensor
from mlops_assets.jobs import deploy_keys
from mlops_assets.keys import short
from mlops_assets.specs import Catalogue
from resources.registry.resource import Registry
from resources.registry.states import FREEZE, Entry, live_at, since, turned_on

NOTHING: Final = "-"
NEVER: Final = datetime.max.replace(tzinfo=UTC)


def deploy_on_release(catalogue: Catalogue) -> dg.SensorDefinition:
    """One run for each time that the set of live versions changes; a return to an earlier set is a change.

    The cursor holds the set that was last deployed, what was read (models with a route, number of the ledger's last entry), and when an
    entry that was read begins to count: until then, or until there is more to read, the ledger is not read again.
    """
    served = {spec.name for spec in catalogue.models if spec.serving is not None}
    routes = short(sorted(served))

    def look(context: dg.SensorEvaluationContext, registry: Registry) -> dg.SensorResult | dg.SkipReason:
        deployed, read, until, *_ = [*(context.cursor or NOTHING).split(" ", 2), "", str(NEVER)]
        now, there = datetime.now(UTC), f"{routes}/{registry.ledger().seq()}"
        if read == there and now < datetime.fromisoformat(until):
            return dg.SkipReason("The ledger says nothing new.")
        turns = [entry for entry in registry.ledger().entries() if entry.subject in served and entry.activate_at is not None]
        live = _live(turns, now)
        wanted = short(live) if live else deployed
        begins = [entry.activate_at for entry in turns if entry.activate_at is not None]
        cursor = f"{wanted} {there} {min((at for at in begins if at > now), default=NEVER)}"
        if wanted == deployed:
            said = "The live versions are those that were last deployed." if live else "Nothing is live yet."
            return dg.SensorResult(skip_reason=said, cursor=cursor)
        if (frozen := turned_on(registry.ledger().entries(FREEZE), FREEZE)) is not None:
            return dg.SkipReason(f"Nothing is deployed: the platform is frozen {since(frozen)}. What answers goes on answering.")
        number = sum(at <= now for at in begins)  # only grows: a return to an earlier set is no repeated tick
        request = dg.RunRequest(run_key=f"deploy {catalogue.project} {number} {wanted}", asset_selection=deploy_keys(catalogue))
        return dg.SensorResult(run_requests=[request], cursor=cursor)

    return sensor(
        "deploy_on_release",
        look,
        launches=deploy_keys(catalogue),
        description="A promoted version is deployed: the service loads it, proves it, and answers with it.",
    )


def _live(entries: Iterable[Entry], now: datetime) -> dict[str, str]:
    """The entry that made each subject's live version live, by its hash; a subject of which nothing is live is left out."""
    known: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        known[entry.subject].append(entry)
    return {name: live.hash for name, about in sorted(known.items()) if (live := live_at(about, now)) is not None}
