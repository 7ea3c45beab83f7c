"""Versions of a model side by side: what was measured, and what changed between them. Pure over records and evaluation frames."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from resources.registry.card import Metric

if TYPE_CHECKING:
    from resources.monitors.gate import Difference

FEW: Final = 6
"""Names that a sentence lists; of more it says how many."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One version: what it is called, its record, its own evaluation (form EVALUATION), its size.

    On examples that are new to every version: how it differs from the first, and its pictures by name. ``alone`` says why not.
    """

    name: str
    record: Mapping[str, Any]
    evaluation: pl.DataFrame
    size: int
    differences: Sequence["Difference"] = ()
    pictures: Mapping[str, str] = field(default_factory=dict[str, str])
    alone: str = ""


def measured(evaluation: pl.DataFrame) -> list[Metric]:
    """The overall metrics that have a value."""
    overall = evaluation.filter((pl.col("slice_by") == "all") & pl.col("value").is_not_null())
    return [
        Metric(name=name, value=value, low=low, high=high)
        for name, value, low, high in overall["metric", "value", "low", "high"].iter_rows()
    ]


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is different in what decides a model: kind and sentence. Versions of equal identity have no change."""
    was, now = before["identity"], after["identity"]
    return [
        *(("data", text) for text in _data(was["tables"], now["tables"])),
        *(("features", text) for text in _named("definition of ", was["views"], now["views"])),
        *(("settings", text) for text in _named("", was["params"], now["params"])),
        *(("seed", f"{was['seed']} became {now['seed']}") for _ in range(was["seed"] != now["seed"])),
        *(("code", f"the code of {part} changed") for part, code in now["code"].items() if was["code"].get(part) != code),
        *(("libraries", f"lock {was['lock'][:12]} became {now['lock'][:12]}") for _ in range(was["lock"] != now["lock"])),
    ]


def _data(was: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """New, missing and altered months, each with the tables that have them."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in sorted({*was, *now}):
        before, after = was.get(name, {}), now.get(name, {})
        for month in sorted({*before, *after}):
            if before.get(month) != after.get(month):
                what = "is new" if month not in before else "is left out" if month not in after else "has other rows"
                found.setdefault((month or "the whole table", what), []).append(name)
    for (month, what), names in sorted(found.items()):
        yield f"{month} {what} in {_listed(names)}"


def _named(what: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*was, *now}):
        if name not in was:
            yield f"{what}{name} is new{'' if what else f': {now[name]}'}"
        elif name not in now:
            yield f"{what}{name} is gone"
        elif was[name] != now[name]:
            yield f"{what}{name} changed{'' if what else f' from {was[name]} to {now[name]}'}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= FEW else f"{', '.join(names[: FEW - 1])} and {len(names) - FEW + 1} more"
