"""Where a prediction comes from, told from records alone: release, run, examples, tables. Opens nothing."""

from collections.abc import Mapping
from typing import Any, Final

from resources.registry.states import Entry

NOT_RECORDED: Final = "not recorded"
SHORT: Final = 12


def lineage(entry: Entry, record: Mapping[str, Any]) -> list[str]:
    """The way from a prediction to its tables, a line a step, by the ledger's entry of its version and the record in the release.

    ``record["provenance"]`` may hold ``mlflow_run_id``, ``git`` (commit, dirty), ``training_set`` (address and facts), ``tables``
    (address -> version); ``record["identity"]`` may hold ``lock``. What is absent reads "not recorded".
    """
    made: Mapping[str, Any] = record.get("provenance", {})
    examples: dict[str, Any] = {**(made.get("training_set") or {})}
    git: Mapping[str, Any] = made.get("git") or {}
    read: Mapping[str, int] = made.get("tables") or {}
    decided = {"decided": entry.payload.get("why"), "since": entry.data_at.date().isoformat()}
    tables = " · ".join(f"{name} version {number}" for name, number in sorted(read.items()))
    run = {"git": git.get("commit"), **({"dirty": "yes"} if git.get("dirty") else {}), "lock": record.get("identity", {}).get("lock")}
    return [
        _line("release", entry.subject, {"version": entry.version, "sha256": entry.content_hash, **decided}),
        _line("run", f"mlflow {made.get('mlflow_run_id') or NOT_RECORDED}", run),
        _line("examples", examples.pop("address", NOT_RECORDED), examples),
        _line("tables", tables or NOT_RECORDED, {}),
    ]


def _line(relation: str, address: str, facts: Mapping[str, object]) -> str:
    return f"<- {relation:<11}{'  '.join([address, *(f'{name} {_shown(value)}' for name, value in facts.items())])}"


def _shown(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    text = NOT_RECORDED if value is None else str(value)
    return text[:SHORT] if len(text) in {40, 64} else text
