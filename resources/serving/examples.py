"""What a client may ask: a body of examples, checked strictly against the signature of the version that will answer.

Every refusal names the field and says what was expected. Knows JSON and types; neither HTTP nor models.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, cast

import orjson
import polars as pl

from resources.errors import PlatformError
from resources.serving.scoring import Field, typed

MOST_EXAMPLES: Final = 50_000
SHOWN: Final = 5
INT64: Final = 2**63

KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,), "int64": (int,), "float64": (float, int), "bool": (bool,), "date": (str,), "datetime": (str,),
}  # fmt: skip
SAID: Final[Mapping[str, str]] = {
    "string": "a string of Unicode text",
    "int64": "a whole number of 64 bits",
    "float64": "a finite number",
    "bool": "true or false",
    "date": "a date such as 2013-12-24",
    "datetime": "an instant with its offset such as 2013-12-24T10:00:00+00:00",
}


class BadRequest(PlatformError):
    """A body that cannot be answered; ``field`` and ``example`` name the culprit where there is one."""

    def __init__(self, *, what: str, field: str | None = None, example: int | None = None) -> None:
        super().__init__(f"{what} Nothing was predicted.")
        self.field = field
        self.example = example


def parse(body: bytes, fields: Mapping[str, Field]) -> pl.DataFrame:
    """The examples of a body ``{"examples": [{field: value, …}, …]}``, one row each, with exactly ``fields``."""
    return frame(_examples(_decoded(body)), fields)


def frame(examples: Sequence[Mapping[str, Any]], fields: Mapping[str, Field]) -> pl.DataFrame:
    """Examples as a typed frame, or ``BadRequest`` naming the first culprit."""
    _same_fields(examples, fields)
    for name, field in fields.items():
        _check(name, [row[name] for row in examples], field)
    return typed(examples, fields)


def _decoded(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as strict:
        return _lenient(body, reason=str(strict))


def _lenient(body: bytes, *, reason: str) -> object:
    """Decode what only loose parsers read (NaN, Infinity, 1e400), so that the refusal can name the field that holds it."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest(what=f'The body is not JSON ({reason}). Send {{"examples": [{{"feature": value}}]}}.') from None


def _examples(decoded: object) -> list[Mapping[str, Any]]:
    if not isinstance(decoded, dict) or set(cast("dict[str, object]", decoded)) != {"examples"}:
        raise BadRequest(what='The body must be an object with one field, "examples".', field="examples")
    examples = cast("dict[str, object]", decoded)["examples"]
    if not isinstance(examples, list) or not examples:
        raise BadRequest(what='"examples" must be a list of at least one example.', field="examples")
    found = cast("list[object]", examples)
    if len(found) > MOST_EXAMPLES:
        raise BadRequest(
            what=f'"examples" holds {len(found):,} examples; one request may hold {MOST_EXAMPLES:,}. Split it.', field="examples"
        )
    for row, example in enumerate(found):
        if not isinstance(example, dict):
            raise BadRequest(what=f"Example {row} is not an object of feature: value.", field="examples", example=row)
    return cast("list[Mapping[str, Any]]", found)


def _same_fields(examples: Sequence[Mapping[str, Any]], fields: Mapping[str, Field]) -> None:
    expected = fields.keys()
    for row, example in enumerate(examples):
        if example.keys() == expected:
            continue
        unknown = sorted(example.keys() - expected)
        wrong, verb = (unknown, "has unknown field") if unknown else (sorted(expected - example.keys()), "lacks field")
        raise BadRequest(what=f"Example {row} {verb} {_few(wrong)}. Known: {_few(sorted(expected))}.", field=wrong[0], example=row)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(name[:80] for name in names[:SHOWN]) + more


def _check(name: str, values: Sequence[object], field: Field) -> None:
    kind: str = field["dtype"]
    allowed = {*KINDS[kind], type(None)} if field["nullable"] else {*KINDS[kind]}
    content = CONTENT.get(kind)
    for row, value in enumerate(values):
        if type(value) not in allowed or (value is not None and content is not None and not content(value)):
            null = " or null" if field["nullable"] else ""
            raise BadRequest(what=f"Example {row}: {name} must be {SAID[kind]}{null}, not {_shown(value)}.", field=name, example=row)


def _shown(value: object) -> str:
    return f"{value!r:.40} ({type(value).__name__})" if isinstance(value, str | int | float | bool) else type(value).__name__


def _whole(value: Any) -> bool:
    return -INT64 <= value < INT64


def _unicode(value: Any) -> bool:
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def _finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _readable(read: Callable[[str], date]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        try:
            found = read(value)
        except ValueError:
            return False
        return not isinstance(found, datetime) or found.tzinfo is not None

    return check


CONTENT: Final[Mapping[str, Callable[[Any], bool]]] = {
    "string": _unicode,
    "int64": _whole,
    "float64": _finite,
    "date": _readable(date.fromisoformat),
    "datetime": _readable(datetime.fromisoformat),
}
