"""What things are called by content: canonical JSON and the hashes over it. Leaf module; knows neither files nor ledgers."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, cast

from resources.errors import PlatformError


class NotPlain(PlatformError):
    """A value that JSON cannot hold without loss, so that no hash can be taken of it."""

    def __init__(self, *, where: str, value: object) -> None:
        shown = repr(value)[:60]
        super().__init__(
            f"{where}: {shown} ({type(value).__qualname__}) is not a plain value, so it can be neither stored nor hashed. "
            "Use str, int, finite float, bool, None, and lists and dicts (with string keys) of these."
        )


def plain(value: object, where: str = "value") -> Any:
    """The value as JSON knows it, tuples as lists; anything lossy is refused by its place."""
    match value:
        case None | bool() | str() | int():
            return value
        case float() if math.isfinite(value):
            return float(value)
        case list() | tuple():
            return [plain(item, f"{where}[{index}]") for index, item in enumerate(cast("list[object]", value))]
        case Mapping() if all(isinstance(key, str) for key in cast("Mapping[object, object]", value)):
            return {key: plain(item, f"{where}.{key}") for key, item in cast("Mapping[str, object]", value).items()}
        case _:
            raise NotPlain(where=where, value=value)


def canonical(value: object) -> bytes:
    """The one byte string of a plain value: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sha256(content: bytes) -> str:
    """Hex SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def digest(value: object) -> str:
    """Hex SHA-256 of a plain value's canonical form."""
    return sha256(canonical(value))
