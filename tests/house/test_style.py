"""What a linter cannot say for us: sizes, reasons, and the one place that reads the environment."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.house.sources import PACKAGES, ROOT, imported, modules, nodes, place, tracked, tree

FUNCTION_LINES: Final = 40
FILE_LINES: Final = 400
PRODUCT_LINES: Final = 15000
DOORS: Final = {"resources/serving/front.py", "resources/serving/worker.py"}
"""Where a process or a thread ends: an error that escapes leaves a client waiting, or a worker behind, for ever; it is logged and told."""
BROAD: Final = {"Exception", "BaseException"}
PLACEHOLDERS: Final = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|raise NotImplementedError|pytest\.(mark\.)?(skip|xfail|importorskip)")
SILENCED: Final = re.compile(r"#\s*(noqa|type:\s*ignore|pyright:|pragma:\s*no)(?P<rest>.*)$")
RULES: Final = r"(: [A-Z]+\d+(, ?[A-Z]+\d+)*|( ignore)?\[\w+(, ?\w+)*\]|( report\w+=false,?)+)"
REASON: Final = r"[ #,:-]+\w\S* \S+"

PRODUCT: Final = tuple(modules().values())


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in nodes(path) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def code_lines(path: Path) -> int:
    """Lines with code on them: what a docstring, a comment or a blank line says is no code (docs/decisions/0004)."""
    said = {
        number
        for node in nodes(path)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for number in range(node.lineno, (node.end_lineno or 0) + 1)
    }
    lines = enumerate(path.read_text().splitlines(), start=1)
    return sum(1 for number, line in lines if line.strip() and not line.lstrip().startswith("#") and number not in said)


def blind(handler: ast.ExceptHandler) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    broad = any(kind is None or (isinstance(kind, ast.Name) and kind.id in BROAD) for kind in caught)
    return broad and not any(isinstance(node, ast.Raise) for node in ast.walk(handler))


def reads_environment(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return isinstance(node.value, ast.Name) and node.value.id == "os" and node.attr in {"environ", "environb", "getenv", "putenv"}
    return isinstance(node, ast.ImportFrom) and node.module == "os" and any(alias.name in {"environ", "getenv"} for alias in node.names)


def test_a_function_fits_a_screen() -> None:
    long = [(path, one) for path in PRODUCT for one in functions(path) if body_lines(one) > FUNCTION_LINES]
    assert [f"{place(path, one)} {one.name}: {body_lines(one)}" for path, one in long] == []


def test_a_file_is_one_room() -> None:
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in PRODUCT}
    assert {name: lines for name, lines in sizes.items() if lines > FILE_LINES} == {}


def test_nothing_is_caught_blindly() -> None:
    handlers = [
        (path, node)
        for path in PRODUCT
        if str(path.relative_to(ROOT)) not in DOORS
        for node in nodes(path)
        if isinstance(node, ast.ExceptHandler)
    ]
    assert [place(path, node) for path, node in handlers if blind(node)] == []


def test_only_settings_reads_the_environment() -> None:
    readers = {str(path.relative_to(ROOT)) for path in PRODUCT for node in nodes(path) if reads_environment(node)}
    assert readers == {"resources/settings.py"}


def test_dagster_can_read_the_annotations_of_a_module_that_imports_it() -> None:
    users = [path for path in PRODUCT if any(name.split(".")[0] == "dagster" for name in imported(path))]
    assert [str(path.relative_to(ROOT)) for path in users if "__future__" in imported(path)] == []


def test_a_module_begins_with_its_charter_and_a_package_file_is_empty() -> None:
    wrong = [path for path in PRODUCT if (path.read_text() != "" if path.name == "__init__.py" else not ast.get_docstring(tree(path)))]
    assert wrong == []


def test_nothing_is_left_for_later() -> None:
    files = [path for path in tracked() if path.suffix == ".py" and path != Path("tests/house/test_style.py")]
    found = [
        f"{path}:{number}"
        for path in files
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1)
        if PLACEHOLDERS.search(line)
    ]
    assert found == []


def test_what_silences_a_checker_names_the_rule_and_the_reason() -> None:
    found: list[str] = []
    for path in (path for path in tracked() if path.suffix == ".py"):
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
            silenced = SILENCED.search(line)
            if silenced and not re.match(RULES + REASON, silenced["rest"]):
                found.append(f"{path}:{number}: {silenced[0]}")
    assert found == []


def test_every_relaxation_in_pyproject_has_its_reason() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    relaxed = re.compile(r'^  "([A-Z]+\d*|(ignore|default):.*)",|^report\w+ = (false|"none")')
    found = [line for line in lines if relaxed.search(line) and not re.search(r"# \S.{5,}", line)]
    assert found == []


def test_the_product_stays_small() -> None:
    lines = {name: sum(code_lines(path) for path in modules(name).values()) for name in PACKAGES}
    assert sum(lines.values()) <= PRODUCT_LINES, lines
