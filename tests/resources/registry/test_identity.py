"""Content hashes: one byte string a value, and nothing that JSON would bend."""

import numpy as np
import pytest

from resources.registry.identity import NotPlain, canonical, digest, plain


def test_the_order_of_keys_does_not_count() -> None:
    assert (
        canonical({"b": 1, "a": [1, 2.5, None, True]}) == canonical({"a": (1, 2.5, None, True), "b": 1}) == b'{"a":[1,2.5,null,true],"b":1}'
    )


def test_letters_stay_letters() -> None:
    assert canonical("Zürich") == '"Zürich"'.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", {1: "one"}, {"a": [object()]}, np.int64(1), {1.5}])
def test_a_value_that_json_would_bend_is_refused(value: object) -> None:
    with pytest.raises(NotPlain):
        canonical(value)


def test_the_refusal_names_the_place() -> None:
    with pytest.raises(NotPlain, match=r"value\.a\[1\]\.b: nan \(float\) is not a plain value"):
        plain({"a": [0, {"b": float("nan")}]})


def test_a_numpy_float_is_the_float_it_is() -> None:
    assert canonical(np.float64(0.1)) == b"0.1"


def test_one_and_one_point_nought_are_different_values() -> None:
    assert digest({"a": 1}) != digest({"a": 1.0})
