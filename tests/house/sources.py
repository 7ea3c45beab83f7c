"""The files of this checkout, as the house tests read them."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("mlops_assets", "resources", "sensors")


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that is in git or could be added to it, relative to the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return tuple(sorted(Path(name) for name in names.split("\0") if name and (ROOT / name).is_file()))


@cache
def modules(*packages: str) -> dict[str, Path]:
    """Dotted name to file of every module of these packages, by default the product's."""
    files = [path for path in tracked() if path.suffix == ".py" and path.parts[0] in (packages or PACKAGES)]
    return {".".join(path.with_suffix("").parts).removesuffix(".__init__"): ROOT / path for path in files}


@cache
def locked(lock: str) -> dict[Requirement, str]:
    """Each requirement of a lock, with its whole line."""
    lines = (ROOT / lock).read_text().replace("\\\n", " ").splitlines()
    return {Requirement(line.split(" --hash", maxsplit=1)[0]): line for line in lines}


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def nodes(path: Path) -> Iterator[ast.AST]:
    """Every node of a file."""
    return ast.walk(tree(path))


def place(path: Path, node: ast.expr | ast.stmt | ast.ExceptHandler) -> str:
    """Where a node is, to click on."""
    return f"{path.relative_to(ROOT)}:{node.lineno}"


def imported(path: Path) -> set[str]:
    """Dotted names that a file imports anywhere, inside functions too."""
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module}
    return found
