"""The files of a project: the templates beside this module, filled in from a survey. Writes one folder, in one step."""

import importlib.util
import json
import keyword
import re
import shutil
import textwrap
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from string import Template
from typing import Final

from mlops_assets.new.errors import NotWritten
from mlops_assets.new.survey import FEW, Survey, identifier

GREEDY: Final = {"attr", "data", "docs", "feature", "features", "model", "models", "seq", "src", "test", "tests", "utils"}
"""Names that some library, or the project itself, imports or that soon mean two things."""

TEMPLATES: Final = Path(__file__).parent / "templates"
"""The project's tree. What is called package, table, entity or model gets the name of the project's own."""

PLACES: Final = re.compile(r"\b(package|table|entity|model)\b")
quoted = partial(json.dumps, ensure_ascii=False)


def check_name(name: str) -> None:
    """Refuse a name that is no package's, or that is somebody else's.

    Raises:
        NotWritten: with the reason.
    """
    do = "Take small letters, digits and underscores, for example acme_ml."
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise NotWritten(f"{name!r} is not the name of a package in small letters", do)
    if Path(name).exists():
        raise NotWritten(f"{Path(name).absolute()} exists and is left as it is", "Take another name, or remove it first.")
    if name in GREEDY or importlib.util.find_spec(name) is not None:
        raise NotWritten(f"{name!r} is a name that other code imports, and one would hide the other", do)


def write(folder: Path, seen: Survey) -> None:
    """Write the project into a new folder, whole or not at all.

    Raises:
        NotWritten: there is no room or no permission.
    """
    words, draft = _words(folder.name, seen), folder.with_name(f".{folder.name}.new")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        for template in TEMPLATES.rglob("*.txt"):
            place = str(template.relative_to(TEMPLATES).with_suffix(""))
            target = draft / PLACES.sub(lambda found: words[found[0]], place)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(Template(template.read_text("utf-8")).substitute(words), encoding="utf-8")
        package = draft / folder.name
        for inside in (package, *(path for path in package.rglob("*") if path.is_dir())):
            (inside / "__init__.py").touch()
        (draft / "data").mkdir()
        shutil.copyfile(seen.path, draft / "data" / words["file"])
        draft.rename(folder)
    except OSError as error:
        raise NotWritten(f"{folder} cannot be written ({error.strerror})", "Make room or give permission there.") from error


def _words(package: str, seen: Survey) -> dict[str, str]:
    """What the templates leave open."""
    table, model, time = identifier(seen.path.stem), seen.label.name, seen.time.name
    contract = "".join(part.capitalize() for part in table.split("_"))
    known = seen.known.name if seen.known else "known_at"
    column = f"{contract}.{model}"
    meaning = _said(f"{seen.label.header} is {seen.yes or f'at least {seen.threshold}'}")
    given = {
        "package": package, "table": table, "model": model, "contract": contract, "file": f"{table}.csv", "entity": seen.entity.name,
        "time": time, "time_header": quoted(seen.time.header), "label": model, "known": known, "timezone": seen.timezone,
        "first": seen.months[0], "last": seen.months[-1], "at_least": str(max(1, min(3, len(seen.months) - 1))),
        "keys": "".join(f'"{one.name}",' for one in seen.key), "request": "".join(f"{contract}.{one.name}," for one in seen.key),
        "columns": "\n".join(_columns(seen, known)), "derived": "".join(_derived(seen)), "features": _features(seen, contract),
        "formats": ", ".join(f'"{one.name}": "{one.form}"' for one in seen.fields.values() if one.form),
        "headers": "".join(f'\n    "{one.name}": {quoted(one.header)},' for one in seen.fields.values() if one.name != one.header),
    }  # fmt: skip
    if seen.threshold is None:
        return given | {
            "imports": "before, months, value", "label_spec": f"value({column})", "floor": '"r2": 0.0', "objective": "regression",
            "answer": f"The {_said(seen.label.header)} of each example.",
        }  # fmt: skip
    return given | {
        "imports": "at_least, before, months", "label_spec": f'at_least({column}, {seen.threshold:g}),\n    positive="{meaning}"',
        "floor": '"auc": 0.5', "objective": "binary", "answer": f"The probability that {meaning}.",
    }  # fmt: skip


def _columns(seen: Survey, known: str) -> Iterator[str]:
    """The contract's lines: what is known with the row first, the outcome last."""
    for one in seen.fields.values():
        if one not in {seen.label, seen.known}:
            available = f' = column(available="{one.name}")' if one.kind == "UTC" and one.nullable else ""
            yield f"    {one.name}: {one.kind}{' | None' if one.nullable else ''}{available}"
    absent = ', absent_when="never_known"' if seen.label.nullable else ""
    yield f'    {seen.label.name}: float | None = column(available="{known}"{absent})'
    if seen.known is None:
        yield f'    known_at: UTC = column(available="known_at", doc="Assumed: a day after {seen.time.name}.")'
    else:
        yield f'    {known}: UTC{" | None" if seen.known.nullable else ""} = column(available="{known}")'
    if seen.label.nullable:
        yield f'    never_known: bool = column(available="{known}", doc="No outcome was written down.")'


def _derived(seen: Survey) -> Iterator[str]:
    """The source's lines that make what the file does not hold."""
    label = f"raw[{quoted(seen.label.header)}]"
    if seen.known is None:
        yield f'        known_at=pl.col("{seen.time.name}") + pl.duration(days=1),\n'
    if seen.yes is not None:
        yield f"        {seen.label.name}=({label}.str.strip_chars() == {quoted(seen.yes)}).cast(pl.Float64),\n"
    if seen.label.nullable:
        yield f"        never_known={label}.is_null(),\n"


def _features(seen: Survey, contract: str) -> str:
    """The row's own columns that a tree can use: numbers, truths, and texts with few values."""
    out = {seen.label, seen.known, *(one for one in seen.key if one.distinct > FEW)}
    own = [one.name for one in seen.fields.values() if one not in out and one.kind != "UTC" and (one.kind != "str" or one.distinct <= FEW)]
    words = " ".join(f"{contract}.{name}," for name in (*own, "weekday", "hour"))
    return textwrap.fill(words, width=130, initial_indent=" " * 8, subsequent_indent=" " * 8, break_long_words=False)


def _said(text: str) -> str:
    """A header inside a Python string."""
    return text.replace("\\", "/").replace('"', "'")
