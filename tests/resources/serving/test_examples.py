"""What a client may ask, and how a refusal names the culprit."""

import json
from typing import Any

import polars as pl
import pytest

from resources.serving import examples
from resources.serving.examples import BadRequest, reader

FIELDS = {
    "x": {"dtype": "float64", "nullable": True},
    "n": {"dtype": "int64", "nullable": False},
    "k": {"dtype": "string", "nullable": True},
    "b": {"dtype": "bool", "nullable": False},
    "d": {"dtype": "date", "nullable": False},
    "t": {"dtype": "datetime", "nullable": False},
}
GOOD: dict[str, Any] = {"x": 1.5, "n": 3, "k": "EWR", "b": True, "d": "2013-12-24", "t": "2013-12-24T10:00:00+00:00"}
BAD = [
    ("x", '"1.5"', "x must be a finite number or null, not '1.5' (str)"),
    ("x", "NaN", "x must be a finite number or null, not nan (float)"),
    ("x", "Infinity", "x must be a finite number or null, not inf (float)"),
    ("x", "1e400", "x must be a finite number or null, not inf (float)"),
    ("x", "true", "x must be a finite number or null, not True (bool)"),
    ("x", "1" * 400, "x must be a finite number or null, not 1"),
    ("x", "[1.5]", "x must be a finite number or null, not list"),
    ("n", "null", "n must be a whole number of 64 bits, not NoneType"),
    ("n", "3.0", "n must be a whole number of 64 bits, not 3.0 (float)"),
    ("n", "9223372036854775808", "n must be a whole number of 64 bits, not 9223372036854775808 (int)"),
    ("n", "false", "n must be a whole number of 64 bits, not False (bool)"),
    ("k", "7", "k must be a string of Unicode text or null, not 7 (int)"),
    ("b", "1", "b must be true or false, not 1 (int)"),
    ("d", '"24.12.2013"', "d must be a date such as 2013-12-24, not '24.12.2013' (str)"),
    ("t", '"2013-12-24T10:00:00"', "t must be an instant with its offset"),
]


def body(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"examples": rows}).encode()


def refusal(sent: bytes) -> BadRequest:
    with pytest.raises(BadRequest) as refused:
        reader(FIELDS)(sent)
    return refused.value


def test_a_good_body_becomes_a_typed_frame_in_the_order_of_the_signature() -> None:
    found = reader(FIELDS)(body(dict(reversed(GOOD.items())), GOOD | {"x": None, "k": None}))
    assert found.columns == list(FIELDS)
    assert found.schema.dtypes() == [pl.Float64(), pl.Int64(), pl.String(), pl.Boolean(), pl.Date(), pl.Datetime("us", "UTC")]
    assert found["x"].to_list() == [1.5, None]


def test_a_whole_number_is_a_number() -> None:
    assert reader(FIELDS)(body(GOOD | {"x": 2}))["x"].to_list() == [2.0]


@pytest.mark.parametrize(("field", "value", "said"), BAD)
def test_a_wrong_value_is_refused_by_field_and_example(field: str, value: str, said: str) -> None:
    wrong = body(GOOD, GOOD | {field: "@"}).replace(b'"@"', value.encode())
    error = refusal(wrong)
    assert (error.field, error.example) == (field, 1)
    assert str(error).startswith(f"Example 1: {said}")
    assert str(error).endswith("Nothing was predicted.")
    assert len(str(error)) < 300


def test_an_unknown_field_is_refused_by_name() -> None:
    error = refusal(body(GOOD | {"label": 1}))
    assert (error.field, error.example) == ("label", 0)
    assert "Example 0 has unknown field label. Known: b, d, k, n, t, x." in str(error)


def test_a_missing_field_is_refused_by_name() -> None:
    error = refusal(body(GOOD, {name: value for name, value in GOOD.items() if name != "n"}))
    assert (error.field, error.example) == ("n", 1)
    assert "Example 1 lacks field n." in str(error)


@pytest.mark.parametrize(
    "sent",
    [b"", b"{", b"[1]", b"null", b'{"rows": []}', b'{"examples": []}', b'{"examples": {}}', b'{"examples": [1]}',
     b'{"examples": [{}], "x": 1}', b"\xff\xfe", b"[" * 100_000,
     b'{"examples": [{"k": "\\ud800"}]}', b'{"examples": [' + b"9" * 5_000 + b"]}"],
)  # fmt: skip
def test_what_is_no_list_of_examples_is_refused(sent: bytes) -> None:
    assert "examples" in str(refusal(sent)) or "Example 0" in str(refusal(sent))


def test_a_request_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "MOST_EXAMPLES", 2)
    assert reader(FIELDS)(body(GOOD, GOOD)).height == 2
    assert "more than the 2 that one request may hold. Split it." in str(refusal(body(GOOD, GOOD, GOOD)))
