"""The serving requirements: pinned as installed when there is no lock, compared with what is installed when there is one."""

import hashlib
import importlib.metadata
from collections.abc import Iterable
from pathlib import Path
from typing import Final

DEPENDENCIES: Final = (
    "bentoml",
    "httptools",
    "lightgbm",
    "numpy",
    "orjson",
    "polars",
    "psutil",
    "pydantic",
    "scipy",
    "sqlalchemy",
    "uvloop",
)
"""Direct dependencies of serving."""


LOCK: Final = "requirements-serve.lock"


def serving_lock() -> Path | None:
    """The serving lock: beside this module in a wheel, at the root of a checkout; None when there is neither."""
    here = Path(__file__).resolve()
    return next((path for path in (here.with_name(LOCK), here.parents[2] / LOCK) if path.is_file()), None)


def lock_hash() -> str:
    """SHA-256 of the serving requirements: of the lock's bytes, or of the installed versions where there is no lock."""
    path = serving_lock()
    return hashlib.sha256(path.read_bytes() if path is not None else pinned().encode()).hexdigest()


def pinned(names: Iterable[str] = DEPENDENCIES) -> str:
    """Requirements as installed here, for an installation that has no lock."""
    lines: list[str] = []
    for name in names:
        try:
            lines.append(f"{name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return "\n".join(lines) + "\n"


def differing(requirements: str) -> list[str]:
    """Requirements for this machine that are not installed as pinned, each as a short sentence."""
    from packaging.requirements import InvalidRequirement, Requirement

    found: list[str] = []
    for line in requirements.replace("\\\n", " ").splitlines():
        try:
            requirement = Requirement(line.partition(" --hash")[0].strip())
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate():
            found += _differs(requirement.name, str(requirement.specifier))
    return found


def _differs(name: str, wanted: str) -> list[str]:
    try:
        installed = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return [f"{name} is not installed, the lock wants {wanted.removeprefix('==')}"]
    return [] if wanted in {"", f"=={installed}"} else [f"{name} is {installed}, the lock wants {wanted.removeprefix('==')}"]
