"""MLflow's registered models, versions, tags and aliases as a projection of the ledger: reconciled, never asked.

Killed half-way, the next call goes on. What somebody changed by hand is put back and reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from resources.registry import states

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from resources.registry.ledger import Ledger
    from resources.registry.states import Entry
    from resources.tracking import Tracking

HASH_TAG: Final = "content_hash"
SEQ_TAG: Final = "ledger_seq"
VERSION_TAG: Final = "ledger_version"
STATE_TAG: Final = "state"
ALIASES: Final[Mapping[str, str]] = {"candidate": "candidate", "staging": "approved", "production": "live"}
"""Alias -> state that it stands for; it names the newest version in that state."""

_SET_TAG: Final = "mlops.alias."
"""Tag of the registered model: the version that the mirror last gave an alias to. An alias elsewhere was moved by hand."""

ARTIFACTS: Final = "model"


@dataclass(frozen=True, kw_only=True)
class Repair:
    """Something in MLflow that did not come from the ledger and was put right."""

    model: str
    what: str

    def __str__(self) -> str:
        return f"{self.model}: {self.what}"


def follow(ledger: Ledger, tracking: Tracking, *, model: str | None = None) -> tuple[Repair, ...]:
    """Make MLflow say what the ledger says, of one model or of all; the repairs of what was changed by hand."""
    repairs: list[Repair] = []
    for subject in [model] if model else ledger.subjects():
        entries = ledger.entries(subject)
        if not states.versions(entries):
            continue
        with tracking.alone(f"follow the ledger for {subject}") as client:
            live = ledger.live(subject)
            repairs += _follow(client, subject, entries, live)
    return tuple(repairs)


def _follow(client: Any, model: str, entries: tuple[Entry, ...], live: Entry | None) -> list[Repair]:
    known = _registered_model(client, model)
    said = dict(known.tags)
    now = _states(entries, live)
    numbers, repairs = _versions(client, model, entries, now, seen_before=bool(said))
    for alias, state in ALIASES.items():
        names = [name for name in numbers if now.get(name) == state]
        wanted = numbers[names[-1]] if names else ""
        found, last = str(known.aliases.get(alias, "")), said.get(_SET_TAG + alias, "")
        if found not in {last, wanted}:
            put = f"put back to version {wanted}" if wanted else "taken away"
            repairs.append(Repair(model=model, what=f"alias {alias} was moved by hand to {_shown(found)}; {put}, as the ledger says"))
        _alias(client, model, alias, found=found, wanted=wanted)
        if last != wanted:
            client.set_registered_model_tag(model, _SET_TAG + alias, wanted)
    return repairs


def _shown(version: str) -> str:
    return f"version {version}" if version else "nothing"


def _registered_model(client: MlflowClient, model: str) -> Any:
    found = client.search_registered_models(f"name = '{model}'")
    if not found:
        client.create_registered_model(model, description="Follows the platform's ledger: aliases moved here are put back.")
    return client.get_registered_model(model)


def _versions(
    client: MlflowClient, model: str, entries: tuple[Entry, ...], now: Mapping[str, str], *, seen_before: bool
) -> tuple[dict[str, str], list[Repair]]:
    """MLflow's version number of each release, by content hash, in the ledger's order; versions that are missing are made."""
    repairs: list[Repair] = []
    found = {version.tags.get(HASH_TAG): version for version in _listed(client, model)}
    newest = max((int(version.version) for version in found.values()), default=0)
    numbers: dict[str, str] = {}
    for entry in (entry for entry in entries if entry.kind == "registered"):
        name = entry.content_hash or ""
        version = found.get(name)
        if version is None:
            version = _create(client, model, entry)
            if seen_before and entry.version is not None and entry.version <= newest:
                what = f"version {entry.version} was deleted by hand; it is version {version.version} again"
                repairs.append(Repair(model=model, what=what))
        if version.tags.get(STATE_TAG) != now[name]:
            client.set_model_version_tag(model, version.version, STATE_TAG, now[name])
        numbers[name] = str(version.version)
    return numbers, repairs


def _listed(client: MlflowClient, model: str) -> list[Any]:
    """All versions, oldest last, so that of two versions of one release the older is kept."""
    found: list[Any] = []
    page: Any = client.search_model_versions(f"name = '{model}'")
    found += page
    while page.token:
        page = client.search_model_versions(f"name = '{model}'", page_token=page.token)
        found += page
    return sorted(found, key=lambda version: -int(version.version))


def _create(client: MlflowClient, model: str, entry: Entry) -> Any:
    from mlflow.exceptions import MlflowException

    run_id = str(entry.payload.get("mlflow_run_id", ""))
    tags = {HASH_TAG: entry.content_hash, SEQ_TAG: str(entry.seq), VERSION_TAG: str(entry.version)}
    try:
        source = f"{client.get_run(run_id).info.artifact_uri}/{ARTIFACTS}"
    except MlflowException:
        run_id, source = "", f"release:{model}/{entry.content_hash}"
    return client.create_model_version(model, source, run_id=run_id or None, tags=tags)


def _states(entries: tuple[Entry, ...], live: Entry | None) -> dict[str, str]:
    """States by content hash as of now: what is promoted for later is not live yet."""
    found: dict[str, str] = {name: "approved" if state == "live" else state for name, state in states.states(entries).items()}
    if live is not None and live.content_hash is not None:
        found[live.content_hash] = "live"
    return found


def _alias(client: MlflowClient, model: str, alias: str, *, found: str, wanted: str) -> None:
    if found == wanted:
        return
    if wanted:
        client.set_registered_model_alias(model, alias, wanted)
    else:
        client.delete_registered_model_alias(model, alias)
