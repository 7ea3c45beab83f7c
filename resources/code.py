"""The code behind a function, read and hashed without importing it: its module and everything of the project that it imports."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import subprocess
from collections import deque
from collections.abc import Iterator
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
    if function not in _names(_tree(module)):
        raise CodeNotFound(what=entry, why=f"module {module} has no `{function}` at its top level")
    seen = hashlib.sha256(entry.encode())
    for name in closure(entry, inside=inside):
        seen.update(f"\n{name} {_tree_hash(*_version(name))}".encode())
    return seen.hexdigest()


def closure(entry: str, *, inside: str) -> tuple[str, ...]:
    """Names of the modules that running ``entry`` imports from package ``inside`` (packages on the way included), sorted."""
    found: set[str] = set()
    waiting = deque(_with_packages(_split(entry)[0], inside))
    while waiting:
        module = waiting.popleft()
        if module in found:
            continue
        found.add(module)
        for candidates in _imports(*_version(module)):
            waiting.extend(_resolve(candidates, inside, importer=module))
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


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        command = ["git", "-C", str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_GIT_SECONDS)  # noqa: S603  # our own words
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _split(entry: str) -> tuple[str, str]:
    module, colon, function = entry.partition(":")
    if not colon or not module or not function.isidentifier():
        raise CodeNotFound(what=entry, why="it does not name a function")
    return module, function


def _find(module: str) -> Path | None:
    """Only the top-level package is looked up, so nothing is imported; the rest is a walk over files."""
    return next((path for path in _places(module, _roots(module)) if path.is_file()), None)


def _roots(module: str) -> tuple[str, ...]:
    """The folders of a module's top-level package; for a top-level module its file."""
    spec = importlib.util.find_spec(module.partition(".")[0])
    if spec is None:
        return ()
    return tuple(spec.submodule_search_locations) if spec.submodule_search_locations is not None else (spec.origin or "",)


@lru_cache(maxsize=16384)
def _places(module: str, roots: tuple[str, ...]) -> tuple[Path, ...]:
    rest = module.split(".")[1:]
    bases = [Path(root, *rest) for root in roots]
    if not rest:
        return tuple(base if base.suffix == ".py" else base / "__init__.py" for base in bases)
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
    if not _within(base, inside) and not any(name in ENGINES or _within(name, inside) for name in candidates):
        return []
    counted = [name for name in candidates if (name in ENGINES or _within(name, inside)) and _find(name) is not None]
    if not counted and _within(base, inside) and not _folder(base):
        raise CodeNotFound(what=importer, why=f"it imports {base}, which does not exist")
    return [name for module in counted for name in _with_packages(module, inside)]


def _folder(module: str) -> bool:
    """Whether the module is a package without ``__init__.py``."""
    return any(Path(root, *module.split(".")[1:]).is_dir() for root in _roots(module))


def _version(module: str) -> tuple[str, Path, int, int]:
    path = source(module)
    found = path.stat()
    return module, path, found.st_mtime_ns, found.st_size


@lru_cache(maxsize=4096)
def _parsed(path: Path, _changed: int, _size: int) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as problem:
        raise CodeNotFound(what=str(path), why=f"line {problem.lineno} is no Python ({problem.msg})") from problem


def _tree(module: str) -> ast.Module:
    return _parsed(*_version(module)[1:])


@lru_cache(maxsize=4096)
def _tree_hash(_module: str, path: Path, changed: int, size: int) -> str:
    return hashlib.sha256(_dump(_parsed(path, changed, size)).encode()).hexdigest()


def _dump(node: object) -> str:
    """A syntax tree as text, the same on every Python: no positions, no docstrings, no empty fields."""
    if isinstance(node, list):
        return f"[{','.join(_dump(item) for item in cast('list[object]', node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields: list[tuple[str, Any]] = [(name, value) for name, value in ast.iter_fields(node) if name not in {"ctx", "kind", "type_comment"}]
    if (
        isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and ast.get_docstring(node, clean=False) is not None
    ):
        fields = [(name, value[1:] if name == "body" else value) for name, value in fields]
    inner = ",".join(f"{name}={_dump(value)}" for name, value in fields if value is not None and value != [])
    return f"{type(node).__name__}({inner})"


def _names(tree: ast.Module) -> set[str]:
    """What a module binds at its top level."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(target.id for target in targets if isinstance(target, ast.Name))
    return names


@lru_cache(maxsize=4096)
def _imports(module: str, path: Path, changed: int, size: int) -> tuple[tuple[str, ...], ...]:
    """For each import statement, also inside functions: the names that it may reach, most certain first."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    found: list[tuple[str, ...]] = []
    for node in _run(_parsed(path, changed, size)):
        if isinstance(node, ast.Import):
            found.extend((alias.name,) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])
            found.append((base, *(f"{base}.{alias.name}" for alias in node.names if alias.name != "*")))
    return tuple(found)


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """Every statement but what stands under ``if TYPE_CHECKING``: that is never run. No expression holds an import."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield from _run(other)
        else:
            yield from _run(child)
