"""Where a prediction comes from, told from records alone: release, run, examples, tables. Opens nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from resources.registry.states import Entry

NOT_RECORDED: Final = "not recorded"
SHORT: Final = 12


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing on the way back from a prediction: what it is, which one, and what is known of it."""

    relation: str
    address: str
    facts: Mapping[str, object]


def lineage(prediction: Mapping[str, Any], entry: Entry, record: Mapping[str, Any]) -> tuple[Step, ...]:
    """The way from a prediction row to its tables, by the ledger's entry of its version and the record in the release.

    ``record["provenance"]`` may hold ``mlflow_run_id``, ``git`` (commit, dirty), ``training_set`` (address, version, rows, months),
    ``tables`` (address -> version); ``record["identity"]`` may hold ``lock``. What is absent reads "not recorded".
    """
    made, identity = record.get("provenance", {}), record.get("identity", {})
    examples: dict[str, object] = dict(made.get("training_set") or {})
    git: Mapping[str, object] = made.get("git") or {}
    tables: Mapping[str, object] = made.get("tables") or {}
    run_id = made.get("mlflow_run_id") or entry.payload.get("mlflow_run_id") or NOT_RECORDED
    decided = {"decided": entry.payload.get("why"), "since": entry.data_at.date().isoformat()}
    return (
        _step("prediction", prediction.get("prediction_id"), {"prediction": prediction.get("prediction")}),
        _step("release", entry.subject, {"version": entry.version, "sha256": entry.content_hash, **decided}),
        _step("run", f"mlflow {run_id}", {"git": git.get("commit"), "dirty": git.get("dirty"), "lock": identity.get("lock")}),
        _step("examples", examples.pop("address", None), examples),
        *(_step("table", name, {"version": number}) for name, number in sorted(tables.items())),
    )


def _step(relation: str, address: object, facts: Mapping[str, object]) -> Step:
    return Step(relation=relation, address=str(address or NOT_RECORDED), facts=facts)


def lines(steps: tuple[Step, ...]) -> list[str]:
    """The steps for a terminal: one line each, hashes shortened, tables together."""
    told = [f"<- {step.relation:<11}{step.address}  {_told(step.facts)}".rstrip() for step in steps if step.relation != "table"]
    tables = [f"{step.address} version {step.facts['version']}" for step in steps if step.relation == "table"]
    return [*told, f"<- {'tables':<11}{' · '.join(tables) or NOT_RECORDED}"]


def _told(facts: Mapping[str, object]) -> str:
    return "  ".join(f"{name} {_short(value)}" for name, value in facts.items() if name != "dirty" or value is True)


def _short(value: object) -> str:
    match value:
        case None:
            return NOT_RECORDED
        case True:
            return "yes"
        case int():
            return f"{value:,}"
        case str() if len(value) in {40, 64}:
            return value[:SHORT]
        case _:
            return str(value)
