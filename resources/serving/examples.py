"""What a client may ask: a body of examples, checked strictly against the signature of the version that will answer.

Every refusal names the field and says what was expected. Knows JSON and types; neither HTTP nor models.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import polars as pl
from pydantic import ValidationError
from pydantic_core import CoreSchema, SchemaValidator, core_schema

from resources.errors import PlatformError

MOST_EXAMPLES: Final = 50_000
Field = dict[str, Any]
"""What a signature says of one field: ``dtype`` and ``nullable``."""

TYPES: Final[Mapping[str, tuple[pl.DataType, CoreSchema, str]]] = {
    "string": (pl.String(), core_schema.str_schema(), "a string of Unicode text"),
    "int64": (pl.Int64(), core_schema.int_schema(ge=-(2**63), lt=2**63), "a whole number of 64 bits"),
    "float64": (pl.Float64(), core_schema.float_schema(allow_inf_nan=False), "a finite number"),
    "bool": (pl.Boolean(), core_schema.bool_schema(), "true or false"),
    "date": (pl.Date(), core_schema.date_schema(), "a date such as 2013-12-24"),
    "datetime": (
        pl.Datetime("us", "UTC"),
        core_schema.datetime_schema(tz_constraint="aware"),
        "an instant with its offset such as 2013-12-24T10:00:00+00:00",
    ),
}
"""The types that an example may hold, by the name that signatures and Feast views use: how one is checked, and what it is in words."""


class BadRequest(PlatformError):
    """A body that cannot be answered; ``field`` and ``example`` name the culprit where there is one."""

    def __init__(self, what: str, *, field: str | None = None, example: int | None = None, status: int = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(f"{what} Nothing was predicted.")
        self.field = field
        self.example = example
        self.status = status


def reader(fields: Mapping[str, Field]) -> Callable[[bytes], pl.DataFrame]:
    """What reads a body ``{"examples": [{field: value}, …]}`` into a frame of exactly ``fields``, a row an example, or ``BadRequest``."""
    values = {name: TYPES[field["dtype"]][1] for name, field in fields.items()}
    nullable = {name: core_schema.nullable_schema(values[name]) for name, field in fields.items() if field["nullable"]}
    example = core_schema.typed_dict_schema(
        {name: core_schema.typed_dict_field(one) for name, one in (values | nullable).items()}, extra_behavior="forbid"
    )
    examples = core_schema.list_schema(example, min_length=1, max_length=MOST_EXAMPLES, fail_fast=True)
    body = core_schema.typed_dict_schema({"examples": core_schema.typed_dict_field(examples)}, extra_behavior="forbid")
    check = SchemaValidator(body)

    def read(sent: bytes) -> pl.DataFrame:
        try:
            rows = check.validate_json(sent, strict=True)["examples"]
        except ValidationError as error:
            raise _refusal(error, fields) from None
        return pl.DataFrame({name: pl.Series(name, [row[name] for row in rows], TYPES[one["dtype"]][0]) for name, one in fields.items()})

    return read


def _refusal(error: ValidationError, fields: Mapping[str, Field]) -> BadRequest:
    """The first thing that is wrong, in words that a client can act on."""
    first = error.errors(include_url=False)[0]
    kind, place, found = first["type"], first["loc"], first["input"]
    if kind == "json_invalid":
        return BadRequest(f'The body is not JSON ({first["msg"]}). Send {{"examples": [{{"feature": value}}]}}.')
    if kind == "too_long":
        return BadRequest(f'"examples" holds more than the {MOST_EXAMPLES:,} that one request may hold. Split it.', field="examples")
    if len(place) < 3:  # noqa: PLR2004  not yet at examples, row, field
        row = next((part for part in place if isinstance(part, int)), None)
        return BadRequest('The body must be {"examples": [{feature: value}]} with at least one example.', field="examples", example=row)
    row, name = int(place[1]), str(place[2])
    if kind in {"missing", "extra_forbidden"}:
        verb = "lacks field" if kind == "missing" else "has unknown field"
        return BadRequest(f"Example {row} {verb} {name:.80}. Known: {', '.join(sorted(fields))}.", field=name, example=row)
    wanted = TYPES[fields[name]["dtype"]][2] + (" or null" if fields[name]["nullable"] else "")
    shown = f"{found!r:.40} ({type(found).__name__})" if isinstance(found, str | int | float) else type(found).__name__
    return BadRequest(f"Example {row}: {name} must be {wanted}, not {shown}.", field=name, example=row)
