"""The serving requirements: one lock, compared with what is installed where it serves."""

import importlib.metadata
from pathlib import Path
from typing import Final

from resources.registry.identity import sha256

LOCK: Final = "requirements-serve.lock"


def serving_lock() -> Path:
    """The serving lock: at the root of a checkout, beside this module in a wheel."""
    here = Path(__file__).resolve()
    checkout = here.parents[2] / LOCK
    return checkout if checkout.is_file() else here.with_name(LOCK)


def lock_hash() -> str:
    """SHA-256 of the serving lock's bytes."""
    return sha256(serving_lock().read_bytes())


def differing(requirements: str) -> list[str]:
    """Requirements for this machine that are not installed as pinned, each as a short sentence."""
    from packaging.requirements import Requirement

    lines = (line.partition(" --hash")[0].strip() for line in requirements.replace("\\\n", " ").splitlines())
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    here = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
    wanted = {pin.name: str(pin.specifier).removeprefix("==") for pin in here}
    return [f"{name} is {found}, the lock wants {pin}" for name, pin in wanted.items() if (found := _installed(name)) != pin]


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
