"""What a service is asked to serve: its routes, and the declaration that a Bento carries. Plain data; imports nothing heavy."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

DECLARATION: Final = "serving.json"
"""Name of the declaration inside a Bento."""

REQUIREMENTS: Final = "requirements.txt"
"""Name of the serving requirements inside a Bento."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """One model of a service: the entry point of its code, the package whose code counts, and the hash of that code."""

    model: str
    entry: str
    package: str
    code_hash: str


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What a Bento is for: its project, its routes, and where the ledger, the releases and the rings of keys were when it was built."""

    project: str
    routes: tuple[Route, ...]
    ledger_url: str
    releases_root: str
    keys_root: str = ""

    @classmethod
    def read(cls, path: Path) -> "Declaration":
        """The declaration in ``serving.json``."""
        said: dict[str, Any] = json.loads(path.read_text())
        routes = tuple(Route(**route) for route in said.pop("routes"))
        return cls(**said, routes=routes)

    def content(self) -> bytes:
        """The content of ``serving.json``."""
        return (json.dumps(asdict(self), indent=1, sort_keys=True) + "\n").encode()
