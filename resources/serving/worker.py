"""The follower: one thread of a serving worker that makes it answer with what the ledger says is live.

It verifies, loads, checks the code, repeats the recorded answers and only then flips one reference; until then the version before answers.
What was loaded before its ``activate_at`` answers from that very instant on, in all workers. What it cannot load it refuses by name, keeps
the old version and says so to the ledger's observations. It believes an entry only once chain and signed head were verified; until then it
keeps what it has.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

import orjson
import polars as pl

from resources.errors import PlatformError
from resources.registry.heads import Mark
from resources.registry.ledger import Ledger
from resources.registry.releases import Release, Releases
from resources.registry.states import TURNS, Entry, live_at, stays_until, upcoming
from resources.serving.examples import Field, reader
from resources.serving.routes import Route
from resources.serving.scoring import passes, prediction_ids, score

LOGGER: Final = logging.getLogger("resources.serving.worker")
POLL_SECONDS: Final = 0.1
RETRY_SECONDS: Final = 5.0


class CodeDiffers(PlatformError):
    """A release that was fitted with other code than this Bento holds."""

    def __init__(self, *, model: str, content_hash: str, release: str, bento: str) -> None:
        super().__init__(
            f"{model}: release {content_hash[:12]} was fitted with code {release[:12]}, this Bento holds {bento[:12]}. "
            "It is not loaded; the version before keeps answering. Materialize deployment/<project>/service to roll a new Bento."
        )


class NothingLive(PlatformError):
    """A model of this service that has no version to answer with."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, *, model: str, reason: str | None) -> None:
        because = f": {reason}" if reason else ", because none is live in the ledger"
        super().__init__(f"{model} has no version that can answer{because}. Materialize release/{model}/live, or ask again in a moment.")


class UnknownModel(PlatformError):
    """A model that this service does not have."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self, *, model: str, known: Sequence[str]) -> None:
        super().__init__(f"{model[:80]} is not a model of this service. Known: {', '.join(known)}.")


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A verified version in memory. A request holds one of these from its first to its last line."""

    release: Release
    version: int
    fields: Mapping[str, Field]
    read: Callable[[bytes], pl.DataFrame]

    @property
    def content_hash(self) -> str:
        """Of its release."""
        return self.release.content_hash

    def answer(self, examples: pl.DataFrame) -> dict[str, Any]:
        """Predictions for a frame with exactly ``fields``, and which version made them."""
        said = self.release.signature
        predictions = score(said["entry"], self.release.parts, examples, tuple(said["features"]))
        ids = prediction_ids(self.content_hash, examples, tuple(self.fields))
        pairs = [{"prediction_id": one, "prediction": value} for one, value in zip(ids, predictions, strict=True)]
        return {"model": self.release.model, "version": self.version, "content_hash": self.content_hash, "predictions": pairs}


@dataclass(kw_only=True)
class Seat:
    """What a worker holds for one route: who answers, who is ready to, and who was refused why."""

    route: Route
    current: Loaded | None = None
    ready: Loaded | None = None
    planned: tuple[datetime, Loaded] | None = None
    refused: dict[str, str] = field(default_factory=dict[str, str])
    tried: dict[str, float] = field(default_factory=dict[str, float])
    turns: list[Entry] = field(default_factory=list[Entry])
    live: Entry | None = None
    following: Entry | None = None
    until: datetime | None = None
    looked: bool = False

    def answers(self, now: datetime) -> Loaded | None:
        """Who answers at an instant: what is planned does not wait for the next look at the ledger."""
        planned = self.planned  # read before ``current``, which a flip writes first
        return planned[1] if planned is not None and planned[0] <= now else self.current

    def plan(self) -> None:
        """What is ready and follows answers from its instant on, whatever this thread does then."""
        self.planned = None
        if self.following is not None and self.ready is not None and self.ready.content_hash == self.following.content_hash:
            self.planned = self.following.activate_at or self.following.at, self.ready

    def take(self, entry: Entry) -> None:
        """Note a new entry that may change what is live."""
        self.turns.append(entry)
        self.until = None

    def fold(self, now: datetime) -> None:
        """What is live and what follows, folded only when an entry or an instant has come that may change it."""
        if self.until is None or now >= self.until:
            self.live, self.following = live_at(self.turns, now), upcoming(self.turns, now)
            self.until = stays_until(self.turns, now)
            if self.planned is not None and self.planned[1].content_hash not in {
                one.content_hash for one in (self.live, self.following) if one
            }:
                self.planned = None


class Follower:
    """Keeps one seat a route in step with the ledger. ``step`` does one round; ``start`` does rounds in a thread until ``stop``."""

    def __init__(self, *, routes: Sequence[Route], ledger: Ledger, releases: Releases, worker: str) -> None:
        self.seats = {route.model: Seat(route=route) for route in routes}
        self._ledger = ledger
        self._releases = releases
        self._worker = worker
        self._mark = Mark()
        self.trouble: str | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="serving-follower", daemon=True)

    @property
    def settled(self) -> bool:
        """Whether every route has been looked at and something answers: readiness."""
        seats = self.seats.values()
        return all(seat.looked for seat in seats) and any(seat.current for seat in seats)

    def loaded(self, model: str) -> Loaded:
        """The version that answers for ``model`` now."""
        if model not in self.seats:
            raise UnknownModel(model=model, known=sorted(self.seats))
        seat = self.seats[model]
        if (found := seat.answers(datetime.now(UTC))) is None:
            raise NothingLive(model=model, reason=next(reversed(seat.refused.values()), self.trouble))
        return found

    def answer(self, model: str, examples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Predictions for plain examples, strictly checked."""
        version = self.loaded(model)
        return version.answer(version.read(orjson.dumps({"examples": examples})))

    def describe(self) -> dict[str, Any]:
        """Who answers for each model, who was refused, and why the ledger is not followed now, if it is not; plain data."""
        return {model: self._described(seat, seat.answers(datetime.now(UTC))) for model, seat in self.seats.items()}

    def _described(self, seat: Seat, who: Loaded | None) -> dict[str, Any]:
        return {
            "version": who.version if who else None,
            "content_hash": who.content_hash if who else None,
            "request": who.fields if who else None,
            "code_hash": seat.route.code_hash,
            "refused": dict(seat.refused),
            "looked": seat.looked,
            "ledger": self.trouble,
        }

    def report(self, subject: str, what: str, payload: Mapping[str, object]) -> None:
        """Tell the ledger's observations what this worker saw."""
        self._ledger.observe(worker=self._worker, subject=subject, what=what, payload=payload)

    def start(self) -> None:
        """Follow the ledger in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=RETRY_SECONDS)

    def _loop(self) -> None:
        while not self._stopped.wait(POLL_SECONDS):
            try:
                self.step(datetime.now(UTC))
            except (OSError, PlatformError) as error:  # the ledger is away or torn: go on with what is loaded, look again
                self._note(str(error))
                self._stopped.wait(RETRY_SECONDS)
            else:
                self._note(None)

    def _note(self, trouble: str | None) -> None:
        """Say once that the ledger is not followed, and once that it is again."""
        for seat in self.seats.values() if trouble else ():
            seat.planned = None  # whether it was called off, nobody can tell now
        if trouble != self.trouble:
            self.trouble = trouble
            LOGGER.warning("worker %s %s", self._worker, f"keeps its versions: {trouble}" if trouble else "follows the ledger again")

    def step(self, now: datetime) -> None:
        """Look at the ledger once: verify what is new, prepare what is or will be live, flip what is due."""
        self._mark, new = self._ledger.read_on(self._mark, subjects=self.seats)
        for entry in new:
            if entry.kind in TURNS:
                self.seats[entry.subject].take(entry)
        for seat in self.seats.values():
            seat.fold(now)
            self._flip(seat)
            if seat.following is not None:
                self._prepare(seat, seat.following)
            seat.plan()
            seat.looked = True

    def _flip(self, seat: Seat) -> None:
        """Let answer who is live; who is not live any more drops out."""
        live = seat.live
        if live is None:
            if seat.current is not None:
                self._observe(seat, "dropped", seat.current)
                seat.current = None
            return
        self._prepare(seat, live)
        if seat.ready is not None and seat.ready.content_hash == live.content_hash:
            seat.current = seat.ready
            seat.ready = seat.planned = None
            self._observe(seat, "live", live)

    def _prepare(self, seat: Seat, entry: Entry) -> None:
        """Load a version, unless it is here or was tried a moment ago."""
        name = str(entry.content_hash)
        here = {one.content_hash for one in (seat.current, seat.ready) if one is not None}
        if name in here or time.monotonic() - seat.tried.get(name, -RETRY_SECONDS) < RETRY_SECONDS:
            return
        seat.tried[name] = time.monotonic()
        try:
            seat.ready = self._load(seat.route, entry)
        except Exception as error:  # noqa: BLE001  a release's libraries may raise anything, and this thread must go on
            reason = str(error) if isinstance(error, PlatformError) else f"{type(error).__name__}: {error}"
            if seat.refused.get(name) != reason:
                seat.refused[name] = reason
                LOGGER.warning("worker %s refused %s", self._worker, reason)
                self._observe(seat, "refused", entry, reason=reason, code_hash=seat.route.code_hash)
        else:
            seat.refused.pop(name, None)
            seat.tried.pop(name)  # only a refusal waits: a rollback a moment after its promotion is to answer at once
            self._observe(seat, "loaded", entry)

    def _load(self, route: Route, entry: Entry) -> Loaded:
        release = self._releases.of(entry)
        said = release.signature
        if said["code_hash"] != route.code_hash or said["entry"] != route.entry:
            raise CodeDiffers(model=route.model, content_hash=release.content_hash, release=said["code_hash"], bento=route.code_hash)
        fields: dict[str, Field] = {**said.get("request", {}), **said["features"]}
        read = reader(fields)
        examples = read(orjson.dumps({"examples": said["probe"]["examples"]}))
        passes(route.entry, release.parts, examples, tuple(said["features"]), said["probe"]["predictions"])
        return Loaded(release=release, version=entry.version or 0, fields=fields, read=read)

    def _observe(self, seat: Seat, what: str, about: Entry | Loaded, **more: object) -> None:
        self.report(seat.route.model, what, {"content_hash": about.content_hash, "version": about.version, **more})
