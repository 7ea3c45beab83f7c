"""What is written down of a model when it is fitted: what it is made of, how it came about, what it took."""

import importlib.metadata
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from resource import RUSAGE_SELF, getrusage
from typing import Any, Final

import dagster as dg

from mlops_assets.keys import address, key
from mlops_assets.lifecycle.code import code_version
from mlops_assets.specs import ModelSpec
from resources.code import git_people, git_state, source
from resources.registry.record import FORMAT
from resources.serving.lock import lock_hash

TABLES: Final = "tables"
VIEWS: Final = "views"


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a training set was made of: version and content digests of each table, the definition of each view."""

    tables: Mapping[str, Mapping[str, Any]]
    views: Mapping[str, str]

    def metadata(self) -> dict[str, dg.MetadataValue]:
        """As the training set's page shows it and ``recorded`` reads it."""
        return {TABLES: dg.MetadataValue.json(self.tables), VIEWS: dg.MetadataValue.json(self.views)}


def identity(spec: ModelSpec, *, cutoff: str, trained_until: date, made: Made, package: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that decides what a model is, and nothing else: equal identity, equal content hash, however it came."""
    return {
        "model": spec.name,
        "cutoff": cutoff,
        "trained_until": trained_until.isoformat(),
        "seed": spec.seed,
        "params": dict(params),
        "tables": {name: one["digests"] for name, one in made.tables.items()},
        "views": dict(made.views),
        "code": {"fit": code_version(spec.train, package=package), "score": code_version(spec.score, package=package)},
        "lock": lock_hash(),
    }


def provenance(
    spec: ModelSpec, *, made: Made, package: str, dagster_run: str, mlflow_run: str, used: Mapping[str, float], rows: int
) -> dict[str, Any]:
    """How a model came about: covered by the ledger, never by the content hash."""
    folder = source(package).parent
    commit, dirty = git_state(folder) or (None, None)
    author, committer = git_people(folder, commit) if commit else (None, None)
    return {
        "format": FORMAT,
        "dagster_run": dagster_run,
        "mlflow_run_id": mlflow_run,
        "git": {"commit": commit, "dirty": dirty, "author": author, "committer": committer},
        "training_set": {"address": address(key("training_set", spec.name, "examples")), "rows": rows, "since": spec.train_on.since},
        "tables": {name: one["version"] for name, one in made.tables.items()},
        "platform": importlib.metadata.version("mlops-assets"),
        "used": dict(used),
        "owner": spec.owner,
        "level": spec.level,
        "licence": spec.licence,
        "card": card(spec, package=package),
    }


def card(spec: ModelSpec, *, package: str) -> str:
    """The text of ``models/<name>/card.md``; empty where a project has none, and then the model cannot be registered."""
    path = source(package).parent / "models" / spec.name / "card.md"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


@contextmanager
def metered() -> Generator[dict[str, float]]:
    """What the block took, filled in at its end: see ``record.Used``."""
    used: dict[str, float] = {}
    began, cpu = time.monotonic(), time.process_time()
    yield used
    peak = getrusage(RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)  # bytes there, kilobytes elsewhere
    used |= {"seconds": round(time.monotonic() - began, 3), "cpu_seconds": round(time.process_time() - cpu, 3), "peak_mb": round(peak, 1)}
