"""How the things of a project may be called, owned and levelled; each function refuses what may not, by name."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from mlops_assets.table import LEVELS, DeclarationError, Level, highest

MONTH: Final = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


def named_pair(address: str, where: str) -> None:
    """An address: two words with a slash between them."""
    if address.count("/") != 1 or not all(part.replace("_", "").isalnum() for part in address.split("/")):
        raise DeclarationError(f"{where}={address!r}: an address is `noun/name`, letters, digits and underscores.")


def named(name: str, where: str) -> None:
    """One word."""
    if not name.isidentifier():
        raise DeclarationError(f"{where}={name!r}: a name is one word of letters, digits and underscores.")


def repeated(names: Sequence[str]) -> list[str]:
    """The names that are there twice."""
    return sorted({name for name in names if names.count(name) > 1})


def not_below(thing: str, level: Level, inputs: Iterable[Level]) -> None:
    """What is made of confidential things is confidential."""
    needed = highest(inputs)
    if LEVELS.index(level) < LEVELS.index(needed):
        raise DeclarationError(f"{thing}: level {level} is below {needed}, the level of what it is made of. Say level={needed!r}.")


def owned(owner: str, thing: str) -> None:
    """A team answers for it."""
    if not owner.startswith("team:"):
        raise DeclarationError(f"{thing}: owner {owner!r} must be a team, `team:name`.")
