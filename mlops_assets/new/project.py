"""The files of a project: the templates beside this module, filled in from a survey. Writes one folder, in one step."""

import importlib.util
import json
import keyword
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib import resources as files
from pathlib import Path
from string import Template
from typing import Final

from mlops_assets.new.errors import FolderExists, NotAName
from mlops_assets.new.survey import FEW, Field, Survey, identifier

GREEDY: Final = {"attr", "data", "docs", "feature", "features", "model", "models", "seq", "src", "test", "tests", "utils"}
"""Names that some library, or the project itself, imports or that soon mean two things."""

LAYOUT: Final = {
    "README.md": "README.md", "pyproject.toml": "pyproject.toml", "workspace.yaml": "workspace.yaml", ".gitignore": "gitignore",
    "tests/test_${package}.py": "test.py", "${package}/definitions.py": "definitions.py", "${package}/catalogue.py": "catalogue.py",
    "${package}/contracts/${table}.py": "contract.py", "${package}/sources/${table}.py": "source.py",
    "${package}/features/${entity}.py": "features.py", "${package}/models/${model}/spec.py": "spec.py",
    "${package}/models/${model}/train.py": "train.py", "${package}/models/${model}/score.py": "score.py",
    "${package}/models/${model}/card.md": "card.md",
}  # fmt: skip
PACKAGES: Final = ("", "contracts", "sources", "features", "models", "models/${model}")
WIDTH: Final = 120


def check_name(name: str) -> None:
    """Refuse a name that is no package's, or that is somebody else's.

    Raises:
        NotAName: with the reason.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise NotAName(name, "it is not a package name in small letters")
    if name in sys.stdlib_module_names:
        raise NotAName(name, "Python's standard library has a module of that name")
    if name in GREEDY:
        raise NotAName(name, "other code imports a module of that name")
    spec = importlib.util.find_spec(name)
    if spec is not None and (
        spec.origin is not None or Path.cwd() not in {Path(one).parent for one in spec.submodule_search_locations or ()}
    ):
        raise NotAName(name, "an installed package has that name, and one would hide the other")


def write(folder: Path, seen: Survey, *, delay: timedelta) -> list[Path]:
    """Write the project into a new folder, whole or not at all; its files, relative to it.

    Raises:
        FolderExists: nothing is ever overwritten.
    """
    if folder.exists():
        raise FolderExists(folder)
    words = _words(folder.name, seen, delay)
    draft = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    templates = files.files("mlops_assets.new") / "templates"
    for target, template in LAYOUT.items():
        _put(draft / Template(target).substitute(words), Template((templates / f"{template}.txt").read_text("utf-8")).substitute(words))
    for package in PACKAGES:
        _put(draft / folder.name / Template(package).substitute(words) / "__init__.py", "")
    (draft / "data").mkdir()
    shutil.copyfile(seen.path, draft / "data" / words["file"])
    draft.rename(folder)
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _words(package: str, seen: Survey, delay: timedelta) -> dict[str, str]:
    """What the templates leave open."""
    table, model, time = identifier(seen.path.stem), seen.label.name, seen.time.name
    contract = "".join(part.capitalize() for part in table.split("_"))
    known = seen.known.name if seen.known else "known_at"
    classes = seen.threshold is not None
    column = f"{contract}.{model}"
    meaning = f"{seen.label.header} is {seen.yes or f'at least {seen.threshold}'}"
    return {
        "package": package, "table": table, "model": model, "contract": contract, "file": seen.path.name, "entity": seen.entity.name,
        "time": time, "time_header": seen.time.header, "label": model, "known": known, "timezone": seen.timezone,
        "first": seen.months[0], "last": seen.months[-1], "at_least": str(max(1, min(3, len(seen.months) - 1))),
        "keys": ", ".join(f'"{one.name}"' for one in seen.key) + ("," if len(seen.key) == 1 else ""),
        "request": ", ".join(f"{contract}.{one.name}" for one in seen.key) + ("," if len(seen.key) == 1 else ""),
        "columns": "\n".join(_columns(seen, known, delay)), "derived": "".join(_derived(seen, time, delay)),
        "formats": ", ".join(_pairs({one.name: one.form for one in seen.fields.values() if one.form})),
        "headers": _named({one.name: one.header for one in seen.fields.values() if one.name != one.header}),
        "features": _features(seen, contract),
        "imports": "at_least, before, months" if classes else "before, months, value",
        "label_spec": f'at_least({column}, {seen.threshold:g}),\n    positive="{_said(meaning)}"' if classes else f"value({column})",
        "floor": '"auc": 0.5' if classes else '"r2": 0.0', "objective": "binary" if classes else "regression",
        "question": f"What will {_said(seen.label.header)} be?",
        "answer": f"The probability that {_said(meaning)}." if classes else f"The {_said(seen.label.header)} of each example.",
    }  # fmt: skip


def _columns(seen: Survey, known: str, delay: timedelta) -> list[str]:
    """The contract's lines: what is known with the row first, the outcome last."""
    later = {seen.label.name, known}
    lines = [_column(one, _available(one, seen, known)) for one in seen.fields.values() if one.name not in later]
    absent = ', absent_when="never_known"' if seen.label.nullable else ""
    lines.append(f'    {seen.label.name}: float | None = column(available="{known}"{absent})')
    if seen.known is None:
        after = f"{delay.total_seconds() / 3600:g} hours after {seen.time.name}"
        lines.append(f'    known_at: UTC = column(available="known_at", doc="Assumed: {after}.")')
    else:
        lines.append(f'    {known}: UTC{" | None" if seen.known.nullable else ""} = column(available="{known}")')
    if seen.label.nullable:
        lines.append(f'    never_known: bool = column(available="{known}", doc="No outcome was written down.")')
    return lines


def _column(one: Field, available: str) -> str:
    said = ["ge=0"] if one.counts else []
    said += [f'available="{available}"'] if available else []
    more = f" = column({', '.join(said)})" if said else ""
    return f"    {one.name}: {one.kind}{' | None' if one.nullable else ''}{more}"


def _available(one: Field, seen: Survey, known: str) -> str:
    """What says from when a value is known, where that is not the row's own instant."""
    if one in seen.later:
        return known
    return one.name if one.kind == "UTC" and one.nullable else ""


def _derived(seen: Survey, time: str, delay: timedelta) -> list[str]:
    lines: list[str] = []
    if seen.known is None:
        lines.append(f'        known_at=pl.col("{time}") + pl.duration(seconds={int(delay.total_seconds())}),\n')
    label = seen.label.name
    if seen.yes is not None:
        words = f"raw[{json.dumps(seen.label.header)}].str.strip_chars() == {json.dumps(seen.yes, ensure_ascii=False)}"
        lines.append(f"        {label}=({words}).cast(pl.Float64),\n")
    if seen.label.nullable:
        lines.append(f"        never_known=raw[{json.dumps(seen.label.header)}].is_null(),\n")
    return lines


def _features(seen: Survey, contract: str) -> str:
    """The row's own columns that a tree can use: numbers, truths, and texts with few values."""
    out = {seen.label, seen.known, *seen.later, *(one for one in seen.key if one.distinct > FEW)}
    own = [one.name for one in seen.fields.values() if one not in out and one.kind != "UTC" and (one.kind != "str" or one.distinct <= FEW)]
    return _wrapped([f"{contract}.{name}" for name in (*own, "weekday", "hour")], indent=8)


def _wrapped(words: Sequence[str], *, indent: int) -> str:
    lines: list[str] = []
    line = ""
    for word in words:
        if len(line) + len(word) > WIDTH:
            lines.append(line)
            line = ""
        line += f"{' ' if line else ' ' * indent}{word},"
    return "\n".join([*lines, line])


def _pairs(pairs: Mapping[str, str]) -> list[str]:
    return [f"{json.dumps(name)}: {json.dumps(text, ensure_ascii=False)}" for name, text in pairs.items()]


def _named(pairs: Mapping[str, str]) -> str:
    return f"\n{_wrapped(_pairs(pairs), indent=4)}\n" if pairs else ""


def _said(text: str) -> str:
    """A header inside a Python string."""
    return text.replace("\\", "/").replace('"', "'")
