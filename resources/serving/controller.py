"""Starts, finds, replaces and stops the service of a project; asks it for predictions. The service itself runs in a process of its own."""

import contextlib
import http.client
import json
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Literal

import dagster as dg
from filelock import FileLock
from pydantic import Field

from resources.errors import PlatformError
from resources.serving.bundle import bundle
from resources.serving.endpoint import CURRENT, HOLDERS, NEXT, RUN_VARIABLE, RUNS, STOPPED, Endpoint, hold, start_time
from resources.serving.routes import Declaration, Route
from resources.settings import child_environment

LAUNCH: Final = Path(__file__).with_name("launch.py")
HOST: Final = "127.0.0.1"
START_SECONDS: Final = 180.0
STOP_SECONDS: Final = 12.0
LOOK_SECONDS: Final = 0.1
CALL_SECONDS: Final = 60.0
LOOK_TIMEOUT: Final = 5.0
RECORD: Final = "run.json"
KEPT_RUNS: Final = 5
LOG_LINES: Final = 15
LOCK_SECONDS: Final = 300.0
THREADS: Final[Mapping[str, str]] = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
"""One thread a worker: predictions do not depend on the machine, and one row is faster without a team of threads."""

_CHILDREN: Final[list["subprocess.Popen[bytes]"]] = []
"""Services that this process started: a child has to be waited for by its parent."""

NO_ROUTE: Final = "it has no route for this model. Start it with the model's route."


class ServiceFailed(PlatformError):
    """The service process ended, or did not get ready in time."""

    def __init__(self, *, project: str, what: str, log: Path) -> None:
        tail = "\n  ".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:]) if log.exists() else "(no log)"
        super().__init__(
            f"The service of {project} {what}. What answered before keeps answering. Mend the cause and materialize the deployment again; "
            f"the whole log is {log}, its end:\n  {tail}"
        )


class RollRefused(PlatformError):
    """A new Bento that cannot answer for a model which the running one answers."""

    def __init__(self, *, model: str, reason: str) -> None:
        super().__init__(
            f"The new service cannot answer for {model}: {reason} The old service keeps answering. "
            f"Release {model} again with the code as it is now."
        )


class NotServed(PlatformError):
    """A release that the service does not answer with."""

    def __init__(self, *, model: str, content_hash: str, reason: str) -> None:
        super().__init__(f"{model}: the service does not answer with release {content_hash[:12]}: {reason}")


class NoService(PlatformError):
    """Nothing runs that could answer."""

    def __init__(self, *, home: Path) -> None:
        super().__init__(
            f"No service runs for {home}, so nothing can be predicted online. Materialize deployment/<project>/service to start it."
        )


class NothingToResume(PlatformError):
    """No service that answered before, or its Bento is gone."""

    def __init__(self, *, home: Path, why: str) -> None:
        super().__init__(
            f"The service of {home} cannot be started again as it was: {why}. Nothing was started. Materialize the deployment "
            "to start one with the code that is here."
        )


class Refused(PlatformError):
    """The service answered a request with a refusal; ``status`` is its HTTP status."""

    def __init__(self, *, model: str, status: int, said: str) -> None:
        super().__init__(f"{model}: the service refused the request ({status}): {said}")
        self.status = status


class Serving(dg.ConfigurableResource[Any]):
    """The online service of a project: one ``bentoml serve`` on this machine, in a process of its own.

    ``keep="held"`` (default) runs it for as long as one of the processes lives that asked for it; ``"detached"`` until ``stop``.
    """

    home: str = Field(description="Folder of the service: endpoint.json, bento/ (a BentoML store), runs/.")
    ledger_url: str = Field(description="The ledger that the service follows.")
    releases_root: str = Field(description="Where releases lie.")
    keys_root: str = Field(default="", description="Where the rings of public keys lie; when empty, beside the releases.")
    keep: Literal["held", "detached"] = Field(default="held", description="Whether the service ends with the processes that asked for it.")

    @property
    def _home(self) -> Path:
        return Path(self.home).absolute()

    def current(self) -> Endpoint | None:
        """The service that answers, if its process runs."""
        return _alive(self._home / CURRENT)

    def ensure(self, routes: Sequence[Route], project: str, timeout: float = START_SECONDS) -> Endpoint:
        """``start`` and ``wait_until_ready``."""
        self.start(routes, project)
        return self.wait_until_ready(timeout)

    def start(self, routes: Sequence[Route], project: str) -> Endpoint:
        """Adopt the service that runs, if its code is the one asked for; else start another beside it, on a port of its own."""
        places = {"ledger_url": self.ledger_url, "releases_root": self.releases_root, "keys_root": self.keys_root}
        declaration = Declaration(project=project, routes=tuple(routes), **places)
        with self._locked():
            wanted = bundle(declaration)
            hold(self._home, detached=self.keep == "detached")
            starting, current = _alive(self._home / NEXT), _alive(self._home / CURRENT)
            if starting is not None and starting.bento == wanted.tag:
                return starting
            self._give_up(starting)
            if current is not None and current.bento == wanted.tag:
                return current
            return self._spawn(wanted.name, wanted.version, stage=wanted.stage)

    def resume(self, timeout: float = START_SECONDS) -> Endpoint:
        """Start again, out of its Bento, what answered last; the code that is here now does not count. Adopts it if it runs.

        Raises:
            NothingToResume: nothing has answered here, or its Bento was deleted.
        """
        with self._locked():
            last = Endpoint.read(self._home / CURRENT) or Endpoint.read(self._home / STOPPED)
            if last is None:
                raise NothingToResume(home=self._home, why="none has answered here yet")
            if last.alive:
                return last
            name, _, version = last.bento.partition(":")
            if not self._bento(name, version).is_dir():
                raise NothingToResume(home=self._home, why=f"its Bento {last.bento} is not there any more")
            hold(self._home, detached=self.keep == "detached")
            starting = _alive(self._home / NEXT)
            if starting is None or starting.bento != last.bento:
                self._give_up(starting)
                self._spawn(name, version)
        return self.wait_until_ready(timeout)

    def wait_until_ready(self, timeout: float = START_SECONDS) -> Endpoint:
        """Wait until the next service has looked at every model, then make it the one that answers; the old one drains by itself."""
        deadline = time.monotonic() + timeout
        while True:
            found = Endpoint.read(self._home / NEXT) or self._answering()
            if not found.alive:
                self._give_up(found)
                raise ServiceFailed(project=found.project, what="ended while it started", log=found.log)
            seats = self._seats(found)
            if seats is not None and all(seat["looked"] for seat in seats.values()):
                return self._flip(found, seats)
            if seats is not None and (trouble := _trouble(seats)):
                self._give_up(found)
                raise ServiceFailed(project=found.project, what=f"does not follow the ledger: {trouble}", log=found.log)
            if time.monotonic() > deadline:
                raise ServiceFailed(project=found.project, what=f"was not ready after {timeout:.0f} s", log=found.log)
            time.sleep(LOOK_SECONDS)

    def wait_for(self, model: str, content_hash: str, timeout: float = START_SECONDS) -> Mapping[str, Any]:
        """Wait until the service answers with this release; a refusal ends the wait at once."""
        deadline = time.monotonic() + timeout
        while True:
            seats = self._seats(self._answering())
            seat = (seats or {}).get(model)
            if seat and seat["content_hash"] == content_hash:
                return seat
            reason = (seat["refused"].get(content_hash) or seat.get("ledger")) if seat else None if seats is None else NO_ROUTE
            if reason is None and time.monotonic() > deadline:
                reason = f"after {timeout:.0f} s {'it is not live in the ledger.' if seat else 'no answer.'}"
            if reason is not None:
                raise NotServed(model=model, content_hash=content_hash, reason=reason)
            time.sleep(LOOK_SECONDS)

    def predict(self, model: str, examples: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Ask the service that answers."""
        return _call(self._answering(), f"/{model}/predict", model=model, body={"examples": list(examples)})

    def stop(self) -> None:
        """End the service, one that is starting and one that drains; returns when no process of theirs is left.

        Which one answered, and by the age of that file since when it does not, is kept.
        """
        if not self._home.exists():
            return
        with self._locked():
            if (last := Endpoint.read(self._home / CURRENT)) is not None:
                last.write(self._home / STOPPED)
            for name in (CURRENT, NEXT):
                (self._home / name).unlink(missing_ok=True)
            for record in (self._home / RUNS).glob(f"*/{RECORD}"):
                _end(Endpoint.read(record))
            shutil.rmtree(self._home / HOLDERS, ignore_errors=True)

    def _answering(self) -> Endpoint:
        found = self.current()
        if found is None:
            raise NoService(home=self._home)
        return found

    def _locked(self) -> FileLock:
        self._home.mkdir(parents=True, exist_ok=True)
        return FileLock(self._home / "lock", timeout=LOCK_SECONDS)

    def _bento(self, name: str, version: str) -> Path:
        return self._home / "bento" / "bentos" / name / version

    def _spawn(self, name: str, version: str, *, stage: Callable[[Path], None] = Path.mkdir) -> Endpoint:
        """Start the service of a Bento; ``stage`` writes its build context, for when the store lacks it."""
        runs, run = self._home / RUNS, f"{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(3)}"
        for old in sorted(runs.glob("*"))[:-KEPT_RUNS]:
            if _alive(old / RECORD) is None:
                shutil.rmtree(old, ignore_errors=True)
        folder, port = runs / run, _free_port()
        (folder / "tmp").mkdir(parents=True)
        stage(folder / "context")
        own = {RUN_VARIABLE: str(folder / RECORD), "BENTOML_HOME": str(folder / "bentoml"), "TMPDIR": str(folder / "tmp")}
        command = [sys.executable, "-P", str(LAUNCH), str(self._bento(name, version)), str(folder / "context"), HOST, str(port)]
        environment = child_environment(**THREADS, **own)
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603  our own interpreter and script
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True
            )
        _CHILDREN.append(process)
        url, started = f"http://{HOST}:{port}", start_time(process.pid) or time.time()
        endpoint = Endpoint(
            run=run, url=url, pid=process.pid, started=started, project=name, bento=f"{name}:{version}", home=str(self._home)
        )
        endpoint.write(folder / RECORD)
        endpoint.write(self._home / NEXT)
        return endpoint

    def _flip(self, found: Endpoint, seats: Mapping[str, Any]) -> Endpoint:
        """Make ``found`` the service that answers, unless it lost a model that the service before it answers."""
        with self._locked():
            old = self.current()
            if old is not None and old.run == found.run:
                return old
            before = (self._seats(old) if old else None) or {}
            for model, seat in seats.items():
                if seat["content_hash"] is None and before.get(model, {}).get("content_hash"):
                    self._give_up(found)
                    raise RollRefused(model=model, reason=next(iter(seat["refused"].values()), "it has loaded nothing."))
            found.write(self._home / CURRENT)
            for name in (NEXT, STOPPED):
                (self._home / name).unlink(missing_ok=True)
            return found

    def _give_up(self, starting: Endpoint | None) -> None:
        """End a service that was starting."""
        (self._home / NEXT).unlink(missing_ok=True)
        _end(starting)

    def _seats(self, endpoint: Endpoint) -> Mapping[str, Any] | None:
        """Who answers for each model of a service; None while it does not say."""
        try:
            return _call(endpoint, "/models", model=endpoint.project)["models"]
        except (OSError, http.client.HTTPException, Refused):
            return None


def _trouble(seats: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Why a service does not follow the ledger, if it does not."""
    return next((seat["ledger"] for seat in seats.values() if seat.get("ledger")), None)


def _end(endpoint: Endpoint | None) -> None:
    """Ask the supervisor to stop, wait, and kill whatever of its tree is left."""
    import psutil

    if endpoint is not None and endpoint.alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            supervisor = psutil.Process(endpoint.pid)
            tree = [supervisor, *supervisor.children(recursive=True)]
            supervisor.terminate()
            for process in psutil.wait_procs(tree, timeout=STOP_SECONDS)[1]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(tree, timeout=STOP_SECONDS)
        shutil.rmtree(endpoint.folder / "tmp", ignore_errors=True)
    _CHILDREN[:] = [child for child in _CHILDREN if child.poll() is None]


def _alive(path: Path) -> Endpoint | None:
    found = Endpoint.read(path)
    return found if found is not None and found.alive else None


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return probe.getsockname()[1]


def _call(endpoint: Endpoint, path: str, *, model: str, body: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """Ask our own process, past any proxy of the environment."""
    sent, timeout = (None, LOOK_TIMEOUT) if body is None else (json.dumps(body, allow_nan=False), CALL_SECONDS)
    with contextlib.closing(http.client.HTTPConnection(endpoint.url.removeprefix("http://"), timeout=timeout)) as connection:
        connection.request("GET" if sent is None else "POST", path, sent, {"content-type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
    if answer.status != HTTPStatus.OK:
        raise Refused(model=model, status=answer.status, said=said.decode(errors="replace")[:500])
    return json.loads(said)
