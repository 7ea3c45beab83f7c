"""The model card: what people wrote about a model, and what its record and its evaluation say, as one Markdown text. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

REQUIRED: Final = ("What it says", "Intended use", "Know before use")
"""What nobody but a person can say: the meaning of an answer, what it is for, and its limits."""

_TITLE: Final = re.compile(r"^(?:\*\*(?P<bold>[^*\n]+?)[.:]?\*\*|#{2,} +(?P<head>[^\n]+?) *$)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A measured value with its interval, where there is one."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        between = f" [{self.low:.4g}, {self.high:.4g}]" if self.low is not None and self.high is not None else ""
        return f"{self.value:.4g}{between}"


def sections(text: str) -> dict[str, str]:
    """The sections of a card by their titles: ``**Title.**`` at the beginning of a line, or a heading."""
    found = list(_TITLE.finditer(text))
    ends = [*(one.start() for one in found[1:]), len(text)]
    return {
        (one["bold"] or one["head"]).strip(): text[one.end() : end].strip() for one, end in zip(found, ends, strict=False)
    }  # no title, no end


def missing(text: str) -> list[str]:
    """The required sections that a card lacks or leaves empty."""
    said = sections(text)
    return [title for title in REQUIRED if not said.get(title)]


def card(*, title: str, record: Mapping[str, Any], metrics: Sequence[Metric], gate: Sequence[str]) -> str:
    """The whole card of a version: the text in its record, then what was recorded and measured."""
    text = str(record["provenance"].get("card", ""))
    lacking = missing(text)
    written = re.sub(r"\A# .*\n+", "", text).strip()
    return "\n\n".join(
        [
            f"# {title}",
            *([f"**Not complete:** {', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} not said in card.md."] if lacking else []),
            *([written] if written else []),
            "## Measured on its held-out days",
            _table(("metric", "value and 95 % interval"), [(one.name, str(one)) for one in metrics]),
            *(["## Gate", "\n".join(f"- {sentence}" for sentence in gate)] if gate else []),
            "## On record",
            _table(("what", "recorded"), list(_facts(record))),
        ]
    )


def _facts(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    identity, how = record["identity"], record["provenance"]
    git: Mapping[str, Any] = how.get("git") or {}
    yield "owner, level, licence", f"{how.get('owner')}, {how.get('level')}, {how.get('licence')}"
    examples: Mapping[str, Any] = how.get("training_set") or {}
    since, rows = examples.get("since"), examples.get("rows")
    yield "trained on", f"{rows or 0:,} examples, {since} to {identity.get('cutoff')}, before {identity.get('trained_until')}"
    yield "tables and feature views", ", ".join(sorted(identity.get("tables", {})))
    yield "seed", str(identity.get("seed"))
    yield "settings", ", ".join(f"{name} {value}" for name, value in sorted(identity.get("params", {}).items())) or "none"
    yield "code", f"commit {str(git.get('commit'))[:12]}{' with uncommitted edits' if git.get('dirty') else ''}"
    yield "libraries", f"lock {str(identity.get('lock'))[:12]}"
    yield "run", str(how.get("mlflow_run_id"))
    yield "cost", cost(record)


def cost(record: Mapping[str, Any]) -> str:
    """What the fit took, as far as it was recorded."""
    used: Mapping[str, float] = record["provenance"].get("used") or {}
    return ", ".join(f"{used[name]:.4g} {unit}" for name, unit in COSTS if name in used) or "not recorded"


COSTS: Final = (("seconds", "s"), ("cpu_seconds", "s of CPU"), ("peak_mb", "MB of memory"))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
