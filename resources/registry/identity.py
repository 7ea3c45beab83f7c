"""What things are called by content: canonical JSON and the hashes over it. Leaf module; knows neither files nor ledgers."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from resources.errors import PlatformError

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"
SHA256_HEX: Final = 64


class NotPlain(PlatformError):
    """A value that JSON cannot hold without loss, so that no hash can be taken of it."""

    def __init__(self, *, where: str, value: object) -> None:
        shown = repr(value)[:60]
        super().__init__(
            f"{where}: {shown} ({type(value).__qualname__}) is not a plain value, so it can be neither stored nor hashed. "
            "Use str, int, finite float, bool, None, and lists and dicts (with string keys) of these."
        )


def plain(value: object, where: str = "value") -> Plain:
    """The value as JSON knows it: mappings become dicts with string keys, sequences lists; anything lossy is refused by its place."""
    match value:
        case None | bool():
            return value
        case str():
            return str(value)
        case int():
            return int(value)
        case float() if math.isfinite(value):
            return float(value)
        case Mapping():
            return plain_object(cast("Mapping[object, object]", value), where)
        case Sequence() if not isinstance(value, bytes | bytearray | memoryview):
            return [plain(item, f"{where}[{index}]") for index, item in enumerate(cast("Sequence[object]", value))]
        case _:
            raise NotPlain(where=where, value=value)


def plain_object(value: Mapping[Any, object], where: str = "value") -> dict[str, Plain]:
    """A mapping as JSON knows it."""
    return {_key(key, where): plain(item, f"{where}.{key}") for key, item in value.items()}


def _key(key: object, where: str) -> str:
    if isinstance(key, str):
        return str(key)
    raise NotPlain(where=f"{where}: key", value=key)


def canonical(value: object) -> bytes:
    """The one byte string of a plain value: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256(content: bytes) -> str:
    """Hex SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def digest(value: object) -> str:
    """Hex SHA-256 of a plain value's canonical form."""
    return sha256(canonical(value))


def content_hash(identity: Mapping[str, object], *, parts: Mapping[str, str], signature: str) -> str:
    """What a release is called: the hash of its identity, of its parts (name -> file hash) and of its signature's hash."""
    return digest({"identity": identity, "parts": parts, "signature": signature})


def is_hash(text: str) -> bool:
    """Whether the text could be one of our hashes."""
    return len(text) == SHA256_HEX and set(text) <= set("0123456789abcdef")
