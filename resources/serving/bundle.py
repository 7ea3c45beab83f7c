"""What a Bento is made of: the code behind each route, the part of the platform that serves it, and the locked serving dependencies.

Gathers files into a build context, of which ``launch`` makes the Bento. Its version is the hash of those files.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from resources.code import CodeNotFound, closure, source
from resources.registry.identity import digest, sha256
from resources.serving.lock import serving_lock
from resources.serving.routes import DECLARATION, REQUIREMENTS, Declaration

VERSION_LENGTH: Final = 16
PLATFORM: Final = (
    ("resources.serving.service:declare", "resources"),
    ("mlops_assets.specs:Catalogue", "mlops_assets"),
    ("mlops_assets.specs:Catalogue", "resources"),
)
"""The parts of the platform that a Bento holds: where each begins, and the package of which it takes what is imported from there."""

SERVICE: Final = '''"""The service of this Bento: what BentoML imports."""

from pathlib import Path

from resources.serving.service import declare

service = declare(Path(__file__).with_name("serving.json"))
'''
BUILD: Final = """service: "service:service"
name: {name}
description: "Models of the project {name}: a route a model. It follows the ledger; no model is inside."
labels: {{project: {name}}}
include: ["*.py", "**/*.py", "serving.json", "requirements.txt"]
python: {{lock_packages: false}}
"""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A build context: its files by relative path, and the name and version of the Bento that they make."""

    name: str
    version: str
    files: Mapping[str, bytes]

    @property
    def tag(self) -> str:
        """``name:version``."""
        return f"{self.name}:{self.version}"

    def stage(self, folder: Path) -> None:
        """Write the build context."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def bundle(declaration: Declaration) -> Bundle:
    """The build context for a declaration, from the code as it is installed here.

    The code behind a route counts by its hash in the declaration, so that editing a comment makes no new version.
    """
    platform = {
        "service.py": SERVICE.encode(),
        "bentofile.yaml": BUILD.format(name=declaration.project).encode(),
        REQUIREMENTS: serving_lock().read_bytes(),
        DECLARATION: declaration.content(),
    }
    for start, package in PLATFORM:
        platform |= _modules(start, package)
    files = dict(platform)
    for route in declaration.routes:
        files |= _modules(route.entry, route.package)
    version = digest({name: sha256(content) for name, content in platform.items()})[:VERSION_LENGTH]
    return Bundle(name=declaration.project, version=version, files=files)


def _modules(entry: str, package: str) -> dict[str, bytes]:
    """The modules behind ``entry`` and the ``__init__`` of every package above them, by their path in the Bento."""
    names = {".".join(module.split(".")[:depth]) for module in closure(entry, inside=package) for depth in range(1, module.count(".") + 2)}
    found: dict[str, bytes] = {}
    for name in names:
        with suppress(CodeNotFound):  # a package without __init__.py
            path = source(name)
            found[name.replace(".", "/") + ("/__init__.py" if path.name == "__init__.py" else ".py")] = path.read_bytes()
    return found
