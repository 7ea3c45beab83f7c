"""Rules that several declarations share: names, owners, levels, keys. Each yields what is wrong, as the rest of a sentence on the thing."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from mlops_assets.table import LEVELS, Column, Level, Table, highest

MONTH: Final = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
WORD: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
ADDRESS: Final = re.compile(r"\w+/\w+", re.ASCII)


def misnamed(name: str, grammar: re.Pattern[str]) -> Iterator[str]:
    """Names become keys of assets, folders and columns."""
    if not grammar.fullmatch(name):
        yield f"this is no name. Take {'one word' if grammar is WORD else '`noun/name`'} of letters, digits and underscores."


def ownerless(owner: str) -> Iterator[str]:
    """A team answers for it."""
    if not owner.startswith("team:"):
        yield f"owner {owner!r} must be a team, `team:name`."


def twice(kind: str, names: Sequence[str]) -> Iterator[str]:
    """A name means one thing."""
    for name in names:
        if names.count(name) > 1:
            yield f"{kind} {name} is there twice. Remove one or rename it."


def foreign(columns: Iterable[Column], contract: type[Table]) -> Iterator[str]:
    """A declaration speaks of one table."""
    for col in columns:
        if col.table != contract.__name__ or col.name not in contract.columns:
            yield f"reads {col}, which is not a column of {contract.__name__}. Take one of {', '.join(contract.columns)}."


def lacking(keys: Iterable[str], contract: type[Table], who: str) -> Iterator[str]:
    """What is joined by a key has its columns."""
    for key in keys:
        if key not in contract.columns:
            yield f"{who} is keyed by {key}, which {contract.__name__} lacks. Add the column there, or take another entity."


def below(level: Level, inputs: Iterable[Level]) -> Iterator[str]:
    """What is made of confidential things is confidential."""
    needed = highest(inputs)
    if LEVELS.index(level) < LEVELS.index(needed):
        yield f"level {level} is below {needed}, the level of what it is made of. Say level={needed!r}."
