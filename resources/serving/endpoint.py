"""Which service process there is, and who wants it: small files in one folder, written by the controller, watched by the service itself.

``endpoint.json`` is the service that answers, ``next.json`` the one that is starting, ``stopped.json`` the one that answered until it was
stopped, ``holders/`` the processes for which it runs.
A process is known by pid and start time, so that a reused pid is never mistaken for it.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

RUN_VARIABLE: Final = "SERVING_RUN_RECORD"
"""How the controller tells its child which run it is: path of the record of that run. Not a setting."""

CURRENT: Final = "endpoint.json"
NEXT: Final = "next.json"
STOPPED: Final = "stopped.json"
HOLDERS: Final = "holders"
RUNS: Final = "runs"
DETACHED: Final = "detached"
SAME_START_SECONDS: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A service process and the Bento that it serves."""

    run: str
    url: str
    pid: int
    started: float
    project: str
    bento: str
    home: str

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The record in ``path``; None when there is none."""
        try:
            return cls(**json.loads(path.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Replace ``path`` in one step: a reader sees the old record or this one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n")
        draft.replace(path)

    @property
    def folder(self) -> Path:
        """What belongs to this run alone."""
        return Path(self.home) / RUNS / self.run

    @property
    def log(self) -> Path:
        """What the process and its workers print."""
        return self.folder / "log"

    @property
    def alive(self) -> bool:
        """Whether the very process that was started still runs."""
        return running(self.pid, self.started)


def start_time(pid: int) -> float | None:
    """When process ``pid`` started, seconds since the epoch; None when it does not run."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def running(pid: int, started: float) -> bool:
    """Whether process ``pid`` runs and is the one that started at ``started``."""
    found = start_time(pid)
    return found is not None and abs(found - started) < SAME_START_SECONDS


def hold(home: Path, *, detached: bool = False) -> None:
    """Keep the service in ``home`` running for as long as this process lives, or, ``detached``, until it is stopped."""
    (home / HOLDERS).mkdir(parents=True, exist_ok=True)
    (home / HOLDERS / (DETACHED if detached else f"{os.getpid()}@{start_time(os.getpid())}")).touch()


def held(home: Path) -> bool:
    """Whether anyone still wants the service in ``home``."""
    names = [path.name for path in (home / HOLDERS).glob("*")]
    processes = [name.split("@") for name in names if "@" in name]
    return DETACHED in names or any(running(int(pid), float(started)) for pid, started in processes)


def named(home: Path, run: str) -> bool:
    """Whether ``run`` is the service that answers or the one that is to answer next."""
    return any((found := Endpoint.read(home / name)) is not None and found.run == run for name in (CURRENT, NEXT))
