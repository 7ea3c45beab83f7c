"""MLflow's registered models, versions, tags and aliases as a projection of the ledger: reconciled, never asked.

Killed half-way, the next call goes on. What somebody changed by hand is put back and reported.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from resources.registry.identity import digest
from resources.registry.states import Entry, freed, live_at, states

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from resources.registry.ledger import Ledger
    from resources.tracking.resource import Tracking

HASH_TAG: Final = "content_hash"
STATE_TAG: Final = "state"
FREED_TAG: Final = "released_bytes"
"""Of a version whose bytes were freed, and when: its source points at nothing. A version that has its bytes lacks the tag."""

ALIASES: Final[Mapping[str, str]] = {"candidate": "candidate", "staging": "approved", "production": "live"}
"""Alias -> state that it stands for; it names the newest version in that state."""

SET: Final = "mlops.alias."
"""Tag of the registered model: the version that the mirror last gave an alias to. An alias elsewhere was moved by hand."""


FOLLOWED: Final = "mlops.followed"
"""Tag of the registered model, written last: the state of the ledger that the mirror got to the end of, and where the aliases stood."""


def wanted(entries: Sequence[Entry], at: datetime) -> str:
    """A short name for what MLflow has to show of a model at wall instant ``at``."""
    gone = {f"{name} freed": entry.seq for name, entry in freed(entries).items()}
    return digest(_states(entries, at) | gone)[:16]


def standing(aliases: Mapping[str, str]) -> str:
    """A short name for where the aliases of the mirror stand."""
    return digest({alias: aliases[alias] for alias in ALIASES if aliases.get(alias)})[:16]


def follow(ledger: "Ledger", tracking: "Tracking", *, model: str) -> list[str]:
    """Make MLflow say what the ledger says of a model; what was changed by hand and put right, a sentence each."""
    entries = ledger.entries(model)
    registered = [entry for entry in entries if entry.kind == "registered"]
    if not registered:
        return []
    with tracking.alone(f"follow the ledger for {model}") as client:
        if not client.search_registered_models(f"name = '{model}'"):
            client.create_registered_model(model, description="Follows the platform's ledger: aliases moved here are put back.")
        known: Any = client.get_registered_model(model)
        at = datetime.now(UTC)
        now = _states(entries, at)
        numbers, repairs = _versions(client, model, registered, now, gone=freed(entries), seen_before=bool(known.tags))
        aliases = {
            alias: next((number for name, number in reversed(numbers.items()) if now.get(name) == state), "")
            for alias, state in ALIASES.items()
        }
        for alias, number in aliases.items():
            repairs += _alias(client, known, alias, number)
        if known.tags.get(FOLLOWED) != (all_of_it := f"{wanted(entries, at)} {standing(aliases)}"):
            client.set_registered_model_tag(model, FOLLOWED, all_of_it)  # pyright: ignore[reportUnknownMemberType]  mlflow leaves it untyped
    return repairs


def _states(entries: Sequence[Entry], at: datetime) -> dict[str, str]:
    """States by content hash at an instant: what is promoted for later is not live yet."""
    live = live_at(entries, at)
    found = {name: "approved" if state == "live" else state for name, state in states(entries).items()}
    return found | ({str(live.content_hash): "live"} if live else {})


def _versions(
    client: "MlflowClient",
    model: str,
    registered: Sequence[Entry],
    now: Mapping[str, str],
    *,
    gone: Mapping[str, Entry],
    seen_before: bool,
) -> tuple[dict[str, str], list[str]]:
    """MLflow's version number of each release, by content hash, in the ledger's order; versions that are missing are made."""
    listed: list[Any] = sorted(client.search_model_versions(f"name = '{model}'"), key=lambda one: int(one.version))
    newest = max((int(version.version) for version in listed), default=0)
    numbers: dict[str, str] = {}
    repairs: list[str] = []
    for entry in registered:
        name = str(entry.content_hash)
        there = _there(client, listed, entry, shown=now[name] in ALIASES.values())
        version = there or _create(client, model, entry)
        if there is None and seen_before and (entry.version or 0) <= newest:
            repairs.append(f"{model}: version {entry.version} was deleted by hand; it is version {version.version} again")
        for tag, value in ((HASH_TAG, name), (STATE_TAG, now[name])):
            if version.tags.get(tag) != value:
                client.set_model_version_tag(model, version.version, tag, value)
        _bytes(client, version, gone.get(name))
        numbers[name] = str(version.version)
    return numbers, repairs


def _there(client: "MlflowClient", listed: Sequence[Any], entry: Entry, *, shown: bool) -> Any | None:
    """The version that was made for a release, the oldest of twins; tags, which anybody edits, do not count for one that an alias shows."""
    from resources.tracking.resource import TrackingFailed

    tagged = next((one for one in listed if one.tags.get(HASH_TAG) == entry.content_hash), None)
    if tagged is not None and not shown:
        return tagged
    release = None, f"release:{entry.subject}/{entry.content_hash}"
    try:
        made = {release, _origin(client, entry)}
    except TrackingFailed:  # its run is not to be found by the name that it had: what is tagged is all there is
        return tagged
    return next((one for one in listed if (one.run_id or None, one.source) in made), None)


def _create(client: "MlflowClient", model: str, entry: Entry) -> Any:
    tags = {HASH_TAG: entry.content_hash, "ledger_seq": str(entry.seq), "ledger_version": str(entry.version)}
    run_id, source = _origin(client, entry)
    return client.create_model_version(model, source, run_id=run_id, tags=tags)


def _origin(client: "MlflowClient", entry: Entry) -> tuple[str | None, str]:
    """Run and source of the version of a release, which nobody can change afterwards.

    Raises:
        TrackingFailed: the run has not been delivered yet; the version is made when it has.
    """
    from resources.tracking.store import RunUnknown, found_run

    try:
        run = found_run(client, str(entry.payload["mlflow_run_id"]))
    except RunUnknown:
        return None, f"release:{entry.subject}/{entry.content_hash}"
    return run.info.run_id, f"{run.info.artifact_uri}/model"


def _bytes(client: "MlflowClient", version: Any, gone: Entry | None) -> None:
    """Let a version say that its bytes were freed, and no longer once they are back. The tag comes last: it says that all was said."""
    wanted = f"freed on {gone.at:%Y-%m-%d}" if gone else ""
    if version.tags.get(FREED_TAG, "") == wanted:
        return
    why = gone and f"The bytes of this version were {wanted} by {gone.actor}: {gone.payload.get('why') or 'no reason was given'}."
    kept = " Its source points at nothing and it cannot be loaded; it stays here because the ledger's history names it."
    client.update_model_version(version.name, version.version, f"{why}{kept}" if why else "")
    if wanted:
        client.set_model_version_tag(version.name, version.version, FREED_TAG, wanted)
    else:
        client.delete_model_version_tag(version.name, version.version, FREED_TAG)


def _alias(client: Any, known: Any, alias: str, wanted: str) -> list[str]:
    """Give an alias to version ``wanted`` ("" to none); a sentence if it stood where the mirror had not put it."""
    found, last = str(known.aliases.get(alias, "")), known.tags.get(SET + alias, "")
    if found != wanted and wanted:
        client.set_registered_model_alias(known.name, alias, wanted)
    elif found != wanted:
        client.delete_registered_model_alias(known.name, alias)
    if last != wanted:
        client.set_registered_model_tag(known.name, SET + alias, wanted)
    if found in {last, wanted}:
        return []
    stood, put = f"version {found}" if found else "nothing", f"put back to version {wanted}" if wanted else "taken away"
    return [f"{known.name}: alias {alias} was moved by hand to {stood}; {put}, as the ledger says"]
