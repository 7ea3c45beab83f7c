"""What is live where, what is red, since when and what to do: told from the ledger and from what the service itself answers."""

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from resources.errors import PlatformError
from resources.registry.approvals import approvals, expiry
from resources.registry.states import ENDS_LIVE, FREEZE, HOLD, Entry, live_at, since, states, turned_on, upcoming, versions
from resources.serving.endpoint import CURRENT, Endpoint

if TYPE_CHECKING:
    from resources.registry.ledger import Ledger

OPERATE: Final = "python -m mlops_assets.operate"
ANSWER_SECONDS: Final = 2.0
Seats = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Red:
    """Something that somebody should look at: what, since when, and what to do."""

    what: str
    since: str
    do: str

    def __str__(self) -> str:
        return f"{self.what} (since {self.since})\n    -> {self.do}"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One model: what the ledger says is live, by which entry, and what the service answers with; None where it does not say."""

    model: str
    live: Entry | None
    answers: int | None


@dataclass(frozen=True, kw_only=True)
class Status:
    """The whole of it."""

    ledger: str
    models: Sequence[Standing]
    reds: Sequence[Red]

    def __str__(self) -> str:
        names = max((len(one.model) for one in self.models), default=5)
        rows = [f"{'model':<{names}}  live  answers  since"]
        for one in self.models:
            by = f"{_at(one.live)}, {one.live.kind.replace('_', ' ')} by {one.live.actor}" if one.live else "-"
            rows.append(f"{one.model:<{names}}  {_shown(one.live and one.live.version):<4}  {_shown(one.answers):<7}  {by}")
        reds = [f"  {one}" for one in self.reds] or ["  nothing"]
        return "\n".join([f"ledger: {self.ledger}", "", *rows, "", "red", *reds])


def status(ledger: "Ledger", *, serving_home: Path) -> Status:
    """What stands, and what does not. Reads only; a service that does not answer within two seconds is red."""
    now, known = datetime.now(UTC), dict[str, list[Entry]]()
    for entry in ledger.entries():
        known.setdefault(entry.subject, []).append(entry)
    frozen, seats = turned_on(known.pop(FREEZE, []), FREEZE), answering(serving_home)
    models = [
        Standing(model=model, live=live_at(entries, now), answers=(seats or {}).get(model, {}).get("version"))
        for model, entries in sorted(known.items())
        if versions(entries)
    ]
    said, torn = _whole(ledger)
    reds = [*torn]
    if frozen is not None:
        what = f"the platform is frozen by {frozen.actor}: {frozen.payload.get('why')}"
        reds.append(Red(what=what, since=_at(frozen), do=f"{OPERATE} unfreeze --why '...'"))
    for one in models:
        reds += _of_model(one, known[one.model], now)
        reds += _of_service(one, seats)
    return Status(ledger=said, models=models, reds=reds)


def answering(serving_home: Path) -> Seats | None:
    """Who answers for each model, as the service says; None when none runs or it does not say."""
    endpoint = Endpoint.read(serving_home / CURRENT)
    if endpoint is None or not endpoint.alive:
        return None
    try:
        with closing(http.client.HTTPConnection(endpoint.url.removeprefix("http://"), timeout=ANSWER_SECONDS)) as connection:
            connection.request("GET", "/models")
            answer = connection.getresponse()
            said = answer.read()
        return json.loads(said)["models"] if answer.status == HTTPStatus.OK else None
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return None


def _whole(ledger: "Ledger") -> tuple[str, list[Red]]:
    try:
        count, head = ledger.verify(), ledger.signed_head()
    except PlatformError as problem:
        return "does not hold", [Red(what=str(problem), since="found now", do=f"{OPERATE} verify")]
    return f"{count} entries hold, head signed by key {head['key_id']}" if head else f"{count} entries hold, no head is signed", []


def _of_model(one: Standing, known: Sequence[Entry], now: datetime) -> Iterator[Red]:
    """What the ledger itself calls for a look at."""
    if (held := turned_on(known, HOLD)) is not None:
        why = since(held).split(" by ", maxsplit=1)[1]
        yield Red(what=f"{one.model} is held by {why}", since=_at(held), do=f"{OPERATE} lift {one.model} --why '...'")
    if one.live is None:
        ended, following = next((entry for entry in reversed(known) if entry.kind in ENDS_LIVE), known[0]), upcoming(known, now)
        do = f"wait until {following.activate_at}" if following else f"{OPERATE} roll-back {one.model} --why '...', or promote a version"
        yield Red(what=f"{one.model} has no live version", since=_at(ended), do=do)
    yield from _waiting(one.model, known, now)
    for entry in known:
        if entry.kind == "overridden" and now < expiry(entry):
            what = f"{one.model}: the gate of release {str(entry.content_hash)[:12]} is overridden by {entry.actor}: {entry.payload['why']}"
            yield Red(what=what, since=_at(entry), do=f"it ends {entry.payload['expires_at']}; train one that passes")


def _waiting(model: str, known: Sequence[Entry], now: datetime) -> Iterator[Red]:
    """The newest candidate, if it waits for people."""
    numbers, found = versions(known), states(known)
    name, version = max(numbers.items(), key=lambda one: one[1])
    lacking = approvals(known, name).lacking(now)
    if lacking and found[name] in {"candidate", "approved"}:
        registered = next(entry for entry in known if entry.kind == "registered" and entry.content_hash == name)
        do = f"{OPERATE} approve {model} {version} --token <file>"
        yield Red(what=f"{model}: version {version} waits: {lacking}", since=_at(registered), do=do)


def _of_service(one: Standing, seats: Seats | None) -> Iterator[Red]:
    """Where the service does not answer what the ledger says."""
    if one.live is None:
        return
    if seats is None:
        yield Red(what=f"no service answers for {one.model}", since="found now", do="materialize deployment/<project>/service")
    elif (seat := seats.get(one.model)) is not None and seat["content_hash"] != one.live.content_hash:
        why = seat["refused"].get(one.live.content_hash, "it has not loaded it yet")
        what = f"{one.model}: the service answers with version {_shown(one.answers)}, the ledger says {one.live.version}: {why}"
        yield Red(what=what, since=_at(one.live), do="materialize deployment/<project>/service, or roll back")


def _at(entry: Entry) -> str:
    return entry.at.isoformat(timespec="seconds", sep=" ")[:19]


def _shown(value: object) -> str:
    return "-" if value is None else str(value)
