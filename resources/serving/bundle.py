"""What a Bento is made of: the code behind each route, the part of the platform that serves it, and the locked serving dependencies.

Gathers files into a build context; ``python -m bentoml build`` makes the Bento of it. Its version is the hash of those files.
"""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from resources.code import CodeNotFound, closure, code_hash, source
from resources.errors import PlatformError
from resources.serving.lock import pinned
from resources.serving.routes import DECLARATION, REQUIREMENTS, Declaration

ENTRY: Final = "service.py"
VERSION_LENGTH: Final = 16
PLATFORM: Final[Mapping[str, str]] = {"resources": "resources.serving.service:declare", "mlops_assets": "mlops_assets.specs:Catalogue"}
"""Packages of the platform of which a Bento holds a part: package -> where that part begins."""

SERVICE: Final = '''"""The service of this Bento: what BentoML imports."""

from pathlib import Path

from resources.serving.service import declare

service = declare(Path(__file__).with_name("serving.json"))
'''
BENTOFILE: Final = "bentofile.yaml"
BUILD: Final = """service: "service:service"
name: {name}
description: "Models of the project {name}: a route a model. It follows the ledger; no model is inside."
labels: {{project: {name}}}
include: ["*.py", "**/*.py", "serving.json", "requirements.txt"]
python: {{requirements_txt: ./requirements.txt, lock_packages: false}}
"""


class CodeMoved(PlatformError):
    """The code that a route needs is not the code that is here now."""

    def __init__(self, *, model: str, entry: str, wanted: str, found: str) -> None:
        super().__init__(
            f"{model}: its release needs the code {wanted[:12]} behind {entry}, the code here is {found[:12]}. No Bento was built; the "
            "service stays as it is. Release the model again with the code as it is now, or check out the commit of the release."
        )


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A build context: its files by relative path, and the name and version of the Bento that they make.

    ``code`` is what lies behind the routes; it counts by its code hash, so that editing a comment makes no new version.
    """

    name: str
    version: str
    platform: dict[str, bytes]
    code: dict[str, bytes]

    @property
    def tag(self) -> str:
        """``name:version``."""
        return f"{self.name}:{self.version}"

    def stage(self, folder: Path) -> None:
        """Write the build context."""
        shutil.rmtree(folder, ignore_errors=True)
        for name, content in (self.code | self.platform).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def path(self, store: Path) -> Path:
        """Where the Bento lies in a BentoML store."""
        return store / "bentos" / self.name / self.version

    def built(self, store: Path) -> bool:
        """Whether the store holds this Bento, whole and with the platform's files as they are now."""
        bento = self.path(store)
        return (bento / "bento.yaml").is_file() and all(_same(bento / "src" / name, content) for name, content in self.platform.items())


def bundle(declaration: Declaration, *, lock: Path | None) -> Bundle:
    """The build context for a declaration, from the code as it is installed here."""
    code: dict[str, bytes] = {}
    for route in declaration.routes:
        found = code_hash(route.entry, inside=route.package)
        if found != route.code_hash:
            raise CodeMoved(model=route.model, entry=route.entry, wanted=route.code_hash, found=found)
        code |= _modules(route.entry, route.package)
    platform = {
        ENTRY: SERVICE.encode(),
        REQUIREMENTS: lock.read_bytes() if lock is not None else pinned().encode(),
        BENTOFILE: BUILD.format(name=declaration.project).encode(),
        DECLARATION: declaration.content(),
    }
    for package, start in PLATFORM.items():
        platform |= _modules(start, package)
    return Bundle(name=declaration.project, version=_version(platform), platform=platform, code=code)


def kept(declaration: Declaration, store: Path) -> Bundle | None:
    """The newest Bento of the store that was built for exactly this declaration; None when there is none.

    It serves a release whose code has since been edited in the checkout.
    """
    folder, said = store / "bentos" / declaration.project, declaration.content()
    found = [bento for bento in folder.glob("*") if _same(bento / "src" / DECLARATION, said) and (bento / "bento.yaml").is_file()]
    newest = max(found, key=lambda bento: bento.stat().st_mtime, default=None)
    return None if newest is None else Bundle(name=declaration.project, version=newest.name, platform={}, code={})


def _version(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(hashlib.sha256(name.encode()).digest() + hashlib.sha256(files[name]).digest())
    return digest.hexdigest()[:VERSION_LENGTH]


def _modules(entry: str, package: str) -> dict[str, bytes]:
    """The modules behind ``entry`` and the ``__init__`` of every package above them, by their path in the Bento."""
    names = {".".join(module.split(".")[:depth]) for module in closure(entry, inside=package) for depth in range(1, module.count(".") + 2)}
    found = {name: path for name in names if (path := _source(name)) is not None}
    return {_relative(module, path): path.read_bytes() for module, path in found.items()}


def _source(module: str) -> Path | None:
    try:
        return source(module)
    except CodeNotFound:  # a package without __init__.py
        return None


def _relative(module: str, path: Path) -> str:
    stem = module.replace(".", "/")
    return f"{stem}/__init__.py" if path.name == "__init__.py" else f"{stem}.py"


def _same(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content
