"""Whether a version that was made again is the one that was recorded; if not, what differs first. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

ORDER: Final = ("tables", "code", "views", "lock", "seed", "params")
"""What decides a model, in the order in which one explains the next."""

RECORD: Final = "record.json"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a release is made of: its identity, and the SHA-256 of each of its files."""

    content_hash: str
    identity: Mapping[str, Any]
    files: Mapping[str, str]


def differences(recorded: Kept, again: Kept) -> Iterator[str]:
    """Each difference in words, the one that explains the others first; none when both are the same.

    The record's own file is compared by the identity in it: when and by whom a model was fitted is no difference.
    """
    fields = [*ORDER, *sorted({*recorded.identity, *again.identity} - {*ORDER})]
    for field in fields:
        yield from _unequal(field, recorded.identity.get(field), again.identity.get(field))
    for name in sorted({*recorded.files, *again.files} - {RECORD}):
        yield from _unequal(f"file {name}", recorded.files.get(name), again.files.get(name))
    if recorded.content_hash != again.content_hash:
        yield from _unequal("content hash", recorded.content_hash, again.content_hash)


def _unequal(what: str, was: Any, now: Any) -> Iterator[str]:
    """The innermost places where two values differ."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        before, after = cast("Mapping[str, Any]", was), cast("Mapping[str, Any]", now)
        for name in sorted({*before, *after}):
            yield from _unequal(f"{what} {name}".rstrip(), before.get(name), after.get(name))
    elif was != now:
        yield f"{what}: was {_shown(was)}, is {_shown(now)}"


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text[:12] if len(text) in {40, 64} else text[:80]
