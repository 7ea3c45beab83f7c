"""The follower: one thread of a serving worker that makes it answer with what the ledger says is live.

It verifies, loads, checks the code, repeats the recorded answers and only then flips one reference, at ``activate_at``; until then the
version before answers. What it cannot load it refuses by name, keeps the old version and says so to the ledger's observations.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl

from resources.errors import PlatformError
from resources.registry.ledger import Ledger
from resources.registry.releases import Releases
from resources.registry.states import Entry, live_at, upcoming
from resources.serving.examples import frame
from resources.serving.routes import Route
from resources.serving.scoring import Field, passes, prediction_ids, score

LOGGER: Final = logging.getLogger("resources.serving.worker")
POLL_SECONDS: Final = 0.1
RETRY_SECONDS: Final = 5.0
SIGNED: Final = ("entry", "code_hash", "features")
"""What a release's signature tells serving; ``request`` may add fields that name an example without being features."""


class CodeDiffers(PlatformError):
    """A release that was fitted with other code than this Bento holds."""

    def __init__(self, *, model: str, content_hash: str, release: str, bento: str) -> None:
        super().__init__(
            f"{model}: release {content_hash[:12]} was fitted with code {release[:12]}, this Bento holds {bento[:12]}. "
            "It is not loaded; the version before keeps answering. Materialize deployment/<project>/service to roll a new Bento."
        )


class ReleaseIncomplete(PlatformError):
    """A release that does not say what serving has to know."""

    def __init__(self, *, model: str, content_hash: str, missing: Sequence[str]) -> None:
        super().__init__(
            f"{model}: release {content_hash[:12]} lacks {', '.join(missing)}, so no worker can check it. "
            f"It is not loaded; the version before keeps answering. Materialize release/{model}/candidate again."
        )


class NothingLive(PlatformError):
    """A model of this service that has no version to answer with."""

    def __init__(self, *, model: str, reason: str | None) -> None:
        because = f": {reason}" if reason else ", because none is live in the ledger"
        super().__init__(f"{model} has no version that can answer{because}. Materialize release/{model}/live, or ask again in a moment.")


class UnknownModel(PlatformError):
    """A model that this service does not have."""

    def __init__(self, *, model: str, known: Sequence[str]) -> None:
        super().__init__(f"{model[:80]} is not a model of this service. Known: {', '.join(known)}.")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Predictions, and exactly which version made them."""

    model: str
    version: int
    content_hash: str
    predictions: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A verified version in memory. A request holds one of these from its first to its last line."""

    model: str
    version: int
    content_hash: str
    entry: str
    parts: dict[str, Any]
    fields: Mapping[str, Field]
    features: tuple[str, ...]

    def answer(self, examples: pl.DataFrame) -> Answer:
        """Predictions for a frame with exactly ``fields``."""
        predictions = score(self.entry, self.parts, examples, self.features).to_list()
        ids = prediction_ids(self.content_hash, examples, tuple(self.fields)).to_list()
        pairs = [{"prediction_id": one, "prediction": value} for one, value in zip(ids, predictions, strict=True)]
        return Answer(model=self.model, version=self.version, content_hash=self.content_hash, predictions=pairs)


@dataclass
class Seat:
    """What a worker holds for one model: who answers, who is ready to, and who was refused why."""

    current: Loaded | None = None
    ready: Loaded | None = None
    refused: dict[str, str] = field(default_factory=dict[str, str])
    tried: dict[str, float] = field(default_factory=dict[str, float])
    entries: tuple[Entry, ...] = ()
    looked: bool = False


class Follower:
    """Keeps one seat a route in step with the ledger. ``step`` does one round; ``start`` does rounds in a thread until ``stop``."""

    def __init__(self, *, routes: Sequence[Route], ledger: Ledger, releases: Releases, worker: str) -> None:
        self.routes = {route.model: route for route in routes}
        self.seats = {route.model: Seat() for route in routes}
        self._ledger = ledger
        self._releases = releases
        self._worker = worker
        self._seq = -1
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

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
        if seat.current is None:
            raise NothingLive(model=model, reason=next(reversed(seat.refused.values()), None))
        return seat.current

    def answer(self, model: str, examples: Sequence[Mapping[str, Any]]) -> Answer:
        """Predictions for plain examples, strictly checked."""
        version = self.loaded(model)
        return version.answer(frame(examples, version.fields))

    def describe(self) -> dict[str, Any]:
        """Who answers for each model, and who was refused; plain data."""
        return {model: _described(seat, self.routes[model]) for model, seat in self.seats.items()}

    def report(self, subject: str, what: str, payload: Mapping[str, object]) -> None:
        """Tell the ledger's observations what this worker saw."""
        self._ledger.observe(worker=self._worker, subject=subject, what=what, payload=payload)

    def start(self) -> None:
        """Follow the ledger in a thread of its own."""
        self._thread = threading.Thread(target=self._loop, name="serving-follower", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=RETRY_SECONDS)

    def _loop(self) -> None:
        while not self._stopped.wait(POLL_SECONDS):
            try:
                self.step(datetime.now(UTC))
            except (OSError, PlatformError) as error:  # the ledger is away or torn: go on with what is loaded, look again
                LOGGER.warning("worker %s could not read the ledger and keeps its versions: %s", self._worker, error)
                self._stopped.wait(RETRY_SECONDS)

    def step(self, now: datetime) -> None:
        """Look at the ledger once: prepare what is or will be live, flip what is due."""
        seq = self._ledger.seq()
        if seq != self._seq:
            for model, seat in self.seats.items():
                seat.entries = self._ledger.entries(model)
            self._seq = seq
        for model, seat in self.seats.items():
            live = live_at(seat.entries, now)
            following = upcoming(seat.entries, now)
            if live is not None:
                self._become(seat, self.routes[model], live)
            elif seat.current is not None:
                self._drop(seat)
            if following is not None and following.content_hash != getattr(live, "content_hash", None):
                self._prepare(seat, self.routes[model], following)
            seat.looked = True

    def _become(self, seat: Seat, route: Route, live: Entry) -> None:
        if seat.current is not None and seat.current.content_hash == live.content_hash and seat.current.version == live.version:
            return
        self._prepare(seat, route, live)
        if seat.ready is not None and seat.ready.content_hash == live.content_hash:
            seat.current, seat.ready = seat.ready, None
            self._observe(route.model, "live", live)

    def _drop(self, seat: Seat) -> None:
        gone, seat.current = seat.current, None
        if gone is not None:
            self.report(gone.model, "dropped", {"content_hash": gone.content_hash, "version": gone.version})

    def _prepare(self, seat: Seat, route: Route, entry: Entry) -> None:
        name = str(entry.content_hash)
        if seat.ready is not None and seat.ready.content_hash == name:
            return
        if time.monotonic() - seat.tried.get(name, -RETRY_SECONDS) < RETRY_SECONDS:
            return
        seat.tried[name] = time.monotonic()
        try:
            seat.ready = self._load(route, entry)
        except (PlatformError, OSError) as error:
            self._refuse(seat, route, entry, str(error))
        else:
            seat.refused.pop(name, None)
            self._observe(route.model, "loaded", entry)

    def _refuse(self, seat: Seat, route: Route, entry: Entry, reason: str) -> None:
        name = str(entry.content_hash)
        if seat.refused.get(name) != reason:
            seat.refused[name] = reason
            LOGGER.warning("worker %s refused %s", self._worker, reason)
            self._observe(route.model, "refused", entry, reason=reason, code_hash=route.code_hash)

    def _load(self, route: Route, entry: Entry) -> Loaded:
        name = str(entry.content_hash)
        manifest = entry.payload.get("manifest_hash")
        release = self._releases.load(route.model, name, manifest_hash=manifest if isinstance(manifest, str) else None)
        said = release.signature
        probe = said.get("probe")
        missing = [key for key in SIGNED if key not in said] + ([] if probe else ["probe"])
        if missing:
            raise ReleaseIncomplete(model=route.model, content_hash=name, missing=missing)
        if said["code_hash"] != route.code_hash or said["entry"] != route.entry:
            raise CodeDiffers(model=route.model, content_hash=name, release=said["code_hash"], bento=route.code_hash)
        parts = dict(release.parts)
        passes(route.entry, parts, probe, said["features"])
        return Loaded(
            model=route.model, version=entry.version or 0, content_hash=name, entry=route.entry, parts=parts,
            fields={**said.get("request", {}), **said["features"]}, features=tuple(said["features"]),
        )  # fmt: skip

    def _observe(self, model: str, what: str, entry: Entry, **more: object) -> None:
        self.report(model, what, {"content_hash": entry.content_hash, "version": entry.version, **more})


def _described(seat: Seat, route: Route) -> dict[str, Any]:
    current = seat.current
    return {
        "version": current.version if current else None,
        "content_hash": current.content_hash if current else None,
        "code_hash": route.code_hash,
        "refused": dict(seat.refused),
        "looked": seat.looked,
        "request": dict(current.fields) if current else None,
    }
