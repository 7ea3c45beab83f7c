"""What runs say, written to files before anything is sent: a file an attempt, appended to line by line, so that a fit needs no server.

A line is a JSON list whose first word says what it is; the first line says which run is meant. A process that dies leaves whole lines and
perhaps a torn last one, which is skipped. Who writes holds a lock on the file, so that others know whether more may come. Knows no MLflow.
"""

import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from resources.errors import PlatformError
from resources.registry.identity import digest

AT_ONCE: Final = 1 << 20
"""Bytes that are read at a time: some ten thousand points."""

PENDING: Final = "spooled:"
"""Begins the id of a run of which MLflow has not heard yet; its name follows."""


class SpoolRefused(PlatformError):
    """The disk that what runs say is written to refused."""

    def __init__(self, *, folder: Path, problem: OSError) -> None:
        super().__init__(
            f"What a run says cannot be kept in {folder}: {problem.strerror or problem}. The run ends here; what it said so far is "
            "delivered. Make room or give write permission there, then run the same command again."
        )


def now_ms() -> int:
    """The wall clock as MLflow writes it."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, kw_only=True)
class Opened:
    """Which run an attempt is about: that of a key and content, which is found or made; or, with ``run_id``, one that is there."""

    at: int
    experiment: str = ""
    key: str = ""
    content: str = ""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    run_id: str = ""

    @property
    def name(self) -> str:
        """What the run is called before MLflow has given it an id; also a tag of it, and the beginning of its files' names."""
        if self.run_id:
            return self.run_id.removeprefix(PENDING)
        return digest([self.experiment, self.key, self.content])[:32]


@contextmanager
def _disk(folder: Path) -> Generator[None]:
    try:
        yield
    except OSError as problem:
        raise SpoolRefused(folder=folder, problem=problem) from problem


class Writer:
    """An attempt that is being written."""

    def __init__(self, folder: Path, opened: Opened) -> None:
        self.path = folder / f"{opened.name}.{opened.at:013d}-{uuid4().hex[:8]}.jsonl"
        draft = self.path.with_suffix(".new")
        with _disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = draft.open("xb", buffering=0)  # a line is with the system as soon as it is said
            fcntl.flock(self._file, fcntl.LOCK_EX)
        self._end = 0
        self.say("open", asdict(opened))
        with _disk(folder):
            draft.rename(self.path)  # nobody sees it before it is locked

    def say(self, *words: object) -> None:
        """Append a line, whole or not at all."""
        line = json.dumps(words).encode() + b"\n"
        with _disk(self.path.parent):
            if self._file.write(line) < len(line):  # a full disk takes what still fits
                self._file.truncate(self._end)
                self._file.seek(self._end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._end += len(line)

    def keep(self, name: str, content: Path | str) -> None:
        """Take a text, or a folder's files without their read-only bits, into custody as artifact ``name``."""
        place = kept(self.path) / uuid4().hex
        folder = name
        with _disk(self.path.parent):
            if isinstance(content, str):
                folder, _, file = name.rpartition("/")
                place.mkdir(parents=True)
                (place / file).write_text(content, encoding="utf-8")
            else:
                shutil.copytree(content, place, copy_function=shutil.copyfile)
        self.say("artifact", place.name, folder)

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()


def read(path: Path, offset: int = 0) -> tuple[list[list[Any]], int]:
    """Whole lines from ``offset`` on, not too many at once, and where they end."""
    with path.open("rb") as file:
        file.seek(offset)
        whole = [line for line in file.readlines(AT_ONCE) if line.endswith(b"\n")]
    return [json.loads(line) for line in whole], offset + sum(map(len, whole))


def opened(path: Path) -> Opened:
    """What the first line says."""
    lines, _ = read(path)
    return Opened(**lines[0][1])


def written(path: Path) -> bool:
    """Whether whoever wrote the file has let go of it: nothing more comes."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def name_of(path: Path) -> str:
    """Name of the run that a file is about."""
    return path.name.split(".")[0]


def kept(path: Path) -> Path:
    """Where an attempt's artifacts wait."""
    return path.with_suffix(".files")


def waiting(folder: Path, name: str = "*") -> list[Path]:
    """Attempts of a run, or of all, in the order in which they were begun."""
    return sorted(folder.glob(f"{name}.*.jsonl"), key=lambda path: path.name.rsplit(".", 2)[1])


def forget(path: Path) -> None:
    """Everything of it has arrived."""
    path.unlink(missing_ok=True)  # first: without its artifacts it could not be delivered again
    shutil.rmtree(kept(path), ignore_errors=True)


def sweep(folder: Path) -> None:
    """Artifacts whose run has arrived, left by who was killed while forgetting it."""
    for place in folder.glob("*.files"):
        if not any(place.with_suffix(suffix).exists() for suffix in (".jsonl", ".refused")):
            shutil.rmtree(place, ignore_errors=True)


def refuse(path: Path) -> Path:
    """Put an attempt aside that MLflow will never take."""
    return path.rename(path.with_suffix(".refused"))
