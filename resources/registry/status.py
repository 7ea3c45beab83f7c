"""What is live where, what is red, since when and what to do: told from the ledger and from what the service itself answers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from resources.errors import PlatformError
from resources.registry.acts import NothingBefore, previous
from resources.registry.approvals import approvals, expiry
from resources.registry.pending import waiting
from resources.registry.states import ENDS_LIVE, FREEZE, HOLD, Entry, live_at, since, states, turned_on, upcoming, versions
from resources.serving.standing import Service, standing

if TYPE_CHECKING:
    from resources.registry.ledger import Ledger

OPERATE: Final = "python -m mlops_assets.operate"
WHY: Final = "--why '...'"
UNFREEZE: Final = f"{OPERATE} unfreeze {WHY}"


@dataclass(frozen=True, kw_only=True)
class Red:
    """Something that somebody should look at: what, since when, and what to do: a line for a shell, a comment where no command helps."""

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
    service: str
    models: Sequence[Standing]
    reds: Sequence[Red]

    def __str__(self) -> str:
        names = max((len(one.model) for one in self.models), default=5)
        rows = [f"{'model':<{names}}  live  answers  since"]
        for one in self.models:
            by = f"{_at(one.live)}, {one.live.kind.replace('_', ' ')} by {one.live.actor}" if one.live else "-"
            rows.append(f"{one.model:<{names}}  {_shown(one.live and one.live.version):<4}  {_shown(one.answers):<7}  {by}")
        reds = [f"  {one}" for one in self.reds] or ["  nothing"]
        return "\n".join([f"ledger: {self.ledger}", f"service: {self.service}", "", *rows, "", "red", *reds])


def status(ledger: "Ledger", *, serving_home: Path) -> Status:
    """What stands, and what does not. Reads only. A service that somebody stopped is not red; one that is down or silent is."""
    now, known = datetime.now(UTC), dict[str, list[Entry]]()
    for entry in ledger.entries():
        known.setdefault(entry.subject, []).append(entry)
    frozen, service = turned_on(known.pop(FREEZE, []), FREEZE), standing(serving_home)
    seats = service.seats or {}
    models = [
        Standing(model=model, live=live_at(entries, now), answers=seats.get(model, {}).get("version"))
        for model, entries in sorted(known.items())
        if versions(entries)
    ]
    said, reds = _whole(ledger)
    reds += [_unfollowed(why) for why in sorted({seat["ledger"] for seat in seats.values() if seat.get("ledger")})]
    if frozen is not None:
        what = f"the platform is frozen by {frozen.actor}: {frozen.payload.get('why')}"
        reds.append(Red(what=what, since=_at(frozen), do=UNFREEZE))
    reds += _of_service(service, [one.model for one in models if one.live is not None])
    for one in models:
        reds += _of_model(one, known[one.model], now, frozen=frozen is not None)
        reds += _of_seat(one, service, known[one.model], deploy=UNFREEZE if frozen else service.deploy)
    shown = f"{service.what}\n    -> {service.mend}" if service.mend and not service.wrong else service.what
    return Status(ledger=said, service=shown, models=models, reds=reds)


def _whole(ledger: "Ledger") -> tuple[str, list[Red]]:
    try:
        count, head = ledger.verify(), ledger.signed_head()
    except PlatformError as problem:
        return "does not hold", [Red(what=str(problem), since="found now", do=f"{OPERATE} verify")]
    return f"{count} entries hold, head signed by key {head['key_id']}" if head else f"{count} entries hold, no head is signed", []


def _unfollowed(why: str) -> Red:
    """The service goes on with the versions that it has."""
    return Red(what=f"the service does not follow the ledger: {why}", since="found now", do=f"{OPERATE} verify")


def _of_model(one: Standing, known: Sequence[Entry], now: datetime, *, frozen: bool) -> Iterator[Red]:
    """What the ledger itself calls for a look at."""
    stop = UNFREEZE if frozen else ""
    if (held := turned_on(known, HOLD)) is not None:
        why, stop = since(held).split(" by ", maxsplit=1)[1], f"{OPERATE} lift {one.model} {WHY}"
        yield Red(what=f"{one.model} is held by {why}", since=_at(held), do=stop)
    if one.live is None:
        ended = next((entry for entry in reversed(known) if entry.kind in ENDS_LIVE), known[0])
        yield Red(what=f"{one.model} has no live version", since=_at(ended), do=_to_live(one.model, known, now, stop))
    yield from _waiting(one.model, known, now)
    for entry in known:
        if entry.kind == "overridden" and now < expiry(entry):
            what = f"{one.model}: the gate of release {str(entry.content_hash)[:12]} is overridden by {entry.actor}: {entry.payload['why']}"
            yield Red(what=what, since=_at(entry), do=f"# it ends {entry.payload['expires_at']}; train a version that passes")


def _to_live(model: str, known: Sequence[Entry], now: datetime, stop: str) -> str:
    """What makes a version live where none is: time, the way back, the newest version that may, once what ``stop`` ends has ended."""
    if (following := upcoming(known, now)) is not None:
        return f"# version {following.version} goes live at {following.activate_at}"
    if back := _back(model, known, None):
        return back
    found, numbers = states(known), versions(known)
    may = [one for name, one in numbers.items() if found[name] in {"candidate", "approved"} and not approvals(known, name).lacking(now)]
    if not may:
        return "# no version may go live: train one that passes, or have one approved"
    promote = f"{OPERATE} promote {model} {max(may)}"
    return f"{stop}  # then: {promote}" if stop else promote


def _back(model: str, known: Sequence[Entry], live: Entry | None) -> str:
    """The command of a rollback; empty when there is nothing to go back to."""
    try:
        previous(known, model, live)
    except NothingBefore:
        return ""
    return f"{OPERATE} roll-back {model} {WHY}"


def _waiting(model: str, known: Sequence[Entry], now: datetime) -> Iterator[Red]:
    """The newest version that waits for people."""
    for one in waiting(known, now).versions[:1]:
        version = one.registered.version
        do = f"{OPERATE} approve {model} {version} --token you.token  # your token's file; {OPERATE} approvals shows what to look at"
        yield Red(what=f"{model}: version {version} waits: {one.lacking}", since=_at(one.registered), do=do)


def _of_service(service: Service, live: Sequence[str]) -> Iterator[Red]:
    """A service that should answer and does not."""
    if service.wrong and live:
        yield Red(what=f"no service answers for {', '.join(live)}: {service.wrong}", since="found now", do=service.mend)


def _of_seat(one: Standing, service: Service, known: Sequence[Entry], *, deploy: str) -> Iterator[Red]:
    """Where the service does not answer what the ledger says."""
    seat = (service.seats or {}).get(one.model)
    if one.live is None or seat is None or seat["content_hash"] == one.live.content_hash:
        return
    what = f"{one.model}: the service answers with version {_shown(one.answers)}, the ledger says {one.live.version}: "
    if (why := seat["refused"].get(one.live.content_hash)) is None:
        yield Red(what=f"{what}it has not loaded it yet", since=_at(one.live), do=f"{OPERATE} status  # it follows within a second")
    else:
        back = _back(one.model, known, one.live)
        yield Red(what=f"{what}{why}", since=_at(one.live), do=f"{deploy}  # or: {back}" if back else deploy)


def _at(entry: Entry) -> str:
    return entry.at.isoformat(timespec="seconds", sep=" ")[:19]


def _shown(value: object) -> str:
    return "-" if value is None else str(value)
