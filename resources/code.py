"""The code behind a function, read and hashed without importing it: its module and everything of the project that it imports."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, cast

from resources.errors import PlatformError

ENGINES: Final = ("mlops_assets.windows",)
"""Modules outside the project that count when the project imports them: they decide what a feature's value is."""

_GIT_SECONDS: Final = 20


class CodeNotFound(PlatformError):
    """An entry point or an import that leads nowhere."""

    def __init__(self, *, what: str, why: str) -> None:
        super().__init__(
            f"{what}: {why}, so its code cannot be hashed. Write entry points as `package.module:function`; mend the import or the name."
        )


def code_hash(entry: str, *, inside: str) -> str:
    """SHA-256 over the syntax trees of the entry's module and its import closure inside package ``inside``.

    Comments, docstrings and layout do not count; the entry's name does. Imports under ``if TYPE_CHECKING`` and by computed name
    are not seen.
    """
    module, function = _split(entry)
    if function not in _read(module).names:
        raise CodeNotFound(what=entry, why=f"module {module} has no `{function}` at its top level")
    seen = hashlib.sha256(entry.encode())
    for name in closure(entry, inside=inside):
        seen.update(f"\n{name} {_read(name).hash}".encode())
    return seen.hexdigest()


def closure(entry: str, *, inside: str) -> tuple[str, ...]:
    """Names of the modules that running ``entry`` imports from package ``inside`` (packages on the way included), sorted."""
    found: set[str] = set()
    waiting = _with_packages(_split(entry)[0], inside)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            for candidates in _read(module).imports:
                waiting += _resolve(candidates, inside, importer=module)
    return tuple(sorted(found))


def source(module: str) -> Path:
    """The file of a module, found without importing it."""
    path = _find(module)
    if path is None:
        raise CodeNotFound(what=module, why="there is no such Python file")
    return path


def git_state(path: Path | str) -> tuple[str, bool] | None:
    """Commit and dirty flag of the checkout that holds ``path``; None outside one, without git, and for files that git ignores."""
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    if _git(folder, "check-ignore", "-q", ".") is not None:
        return None
    status = _git(folder, "--no-optional-locks", "status", "--porcelain=v2", "--branch")
    if status is None:
        return None
    lines = status.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "(initial)")
    return None if commit == "(initial)" else (commit, any(not line.startswith("# ") for line in lines))


def git_people(path: Path | str, commit: str) -> tuple[str | None, str | None]:
    """E-mail addresses of the author and of the committer of a commit, as git was told them; None where it was told none."""
    said = _git(Path(path), "show", "-s", "--no-show-signature", "--format=%ae%n%ce", commit) or "\n"
    author, committer = said.split("\n")[:2]
    return author or None, committer or None


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        command = ["git", "-C", str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=_GIT_SECONDS)  # noqa: S603  # our own words
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _split(entry: str) -> tuple[str, str]:
    module, _, function = entry.partition(":")
    if not module or not function.isidentifier():
        raise CodeNotFound(what=entry, why="it does not name a function")
    return module, function


def _find(module: str) -> Path | None:
    return next((path for path in _places(module, _roots(module)) if path.is_file()), None)


def _roots(module: str) -> tuple[str, ...]:
    """Where a module's top-level package lies, or the one file without its ending. Only that is looked up, so nothing is imported."""
    spec = importlib.util.find_spec(module.partition(".")[0])
    if spec is None:
        return ()
    return tuple(spec.submodule_search_locations or [(spec.origin or "").removesuffix(".py")])


@lru_cache(maxsize=16384)
def _places(module: str, roots: tuple[str, ...]) -> tuple[Path, ...]:
    bases = [Path(root, *module.split(".")[1:]) for root in roots]
    return tuple(place for base in bases for place in (base / "__init__.py", base.with_name(f"{base.name}.py")))


def _with_packages(module: str, inside: str) -> list[str]:
    """A module and the packages that importing it runs, as far as they are inside; a package without ``__init__.py`` runs nothing."""
    parts = module.split(".")
    names = [".".join(parts[:count]) for count in range(1, len(parts))]
    return [module, *(name for name in names if _within(name, inside) and _find(name) is not None)]


def _within(module: str, inside: str) -> bool:
    return module == inside or module.startswith(f"{inside}.")


def _resolve(candidates: tuple[str, ...], inside: str, *, importer: str) -> list[str]:
    """Modules that one import reaches: ``from a import b`` reaches ``a`` and, if it is a module, ``a.b``."""
    base = candidates[0]
    counted = [name for name in candidates if (name in ENGINES or _within(name, inside)) and _find(name) is not None]
    if not counted and _within(base, inside) and not any(Path(root, *base.split(".")[1:]).is_dir() for root in _roots(base)):
        raise CodeNotFound(what=importer, why=f"it imports {base}, which does not exist")
    return [name for module in counted for name in _with_packages(module, inside)]


@dataclass(frozen=True, kw_only=True)
class _Module:
    """What a file says: the hash of its syntax tree, the names it binds, and for each import the modules it may reach, likeliest first."""

    hash: str
    names: frozenset[str]
    imports: tuple[tuple[str, ...], ...]


def _read(module: str) -> _Module:
    path = source(module)
    found = path.stat()
    return _parsed(module, path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=4096)
def _parsed(module: str, path: Path, _changed: int, _size: int) -> _Module:
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as problem:
        raise CodeNotFound(what=str(path), why=f"line {problem.lineno} is no Python ({problem.msg})") from problem
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    return _Module(
        hash=hashlib.sha256(_dump(tree).encode()).hexdigest(),
        names=frozenset(name for node in tree.body for name in _bound(node)),
        imports=tuple(reached for node in _run(tree) for reached in _reached(node, package)),
    )


def _dump(node: object) -> str:
    """A syntax tree as text, the same on every Python: no positions, no docstrings, no empty fields."""
    if isinstance(node, list):
        return f"[{','.join(_dump(item) for item in cast('list[object]', node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields: dict[str, Any] = {name: value for name, value in ast.iter_fields(node) if name not in {"ctx", "kind", "type_comment"}}
    if (
        isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and ast.get_docstring(node, clean=False) is not None
    ):
        fields["body"] = node.body[1:]
    inner = ",".join(f"{name}={_dump(value)}" for name, value in fields.items() if value is not None and value != [])
    return f"{type(node).__name__}({inner})"


def _bound(node: ast.stmt) -> list[str]:
    """The names that a statement at the top level of a module binds."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.Import() | ast.ImportFrom():
            return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
        case ast.Assign(targets=targets) | ast.AnnAssign(target=targets):
            return [one.id for one in (targets if isinstance(targets, list) else [targets]) if isinstance(one, ast.Name)]
        case _:
            return []


def _reached(node: ast.AST, package: list[str]) -> Iterator[tuple[str, ...]]:
    """The names that an import statement in a package may reach, most certain first."""
    if isinstance(node, ast.Import):
        yield from ((alias.name,) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = package[: len(package) - node.level + 1] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        yield (base, *(f"{base}.{alias.name}" for alias in node.names if alias.name != "*"))


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """Every statement, also inside functions, but what stands under ``if TYPE_CHECKING``: that is never run."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield from _run(other)
        elif not isinstance(child, ast.expr):  # no expression holds an import
            yield from _run(child)
