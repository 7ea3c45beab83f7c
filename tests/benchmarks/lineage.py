"""What lineage and state cost in a big ledger: `python -m tests.benchmarks.lineage` makes 1,000 models x 100 versions and asks.

Entries are appended in bulk, with a chain that is verified; the release and the predictions that are read are real.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from mlops_assets.lifecycle.tracing import found, made
from resources.lake import LocalLake
from resources.registry import states
from resources.registry.identity import canonical, digest
from resources.registry.ledger import Ledger, stamp
from resources.registry.lineage import lines
from resources.registry.releases import Releases
from resources.registry.states import Entry
from resources.registry.tables import ENTRIES
from resources.serving.scoring import VERSION_LENGTH
from tests.benchmarks.features.figure import Figure

MODELS: Final = 1000
VERSIONS: Final = 100
BEGIN: Final = datetime(2020, 1, 1, tzinfo=UTC)
MONTHS: Final = tuple(f"2020-{month:02d}" for month in range(1, 13))
ROWS: Final = 28_000
"""Predictions of a month: as many as flights leave New York."""

TABLES: Final = 12
BATCH: Final = 5000
REPEATS: Final = 15
GOAL_MS: Final = 200


def facts(hash_of: Callable[[int, int], str]) -> Iterator[dict[str, Any]]:
    """The rows of the ledger: version after version, in each of them model after model, so that no model's entries lie together."""
    prev, seq = None, 0
    for version in range(1, VERSIONS + 1):
        for model in range(MODELS):
            about: dict[str, object] = {"content_hash": hash_of(model, version), "version": version}
            for kind in ("registered", "approved", "promoted"):
                seq, at = seq + 1, stamp(BEGIN + timedelta(days=version, seconds=model))
                more: dict[str, object] = {"approvers": [], "why": "gate passed"} if kind == "approved" else {"mlflow_run_id": "0" * 32}
                payload = about | more
                row: dict[str, Any] = {
                    "seq": seq, "subject": f"model_{model:04d}", "kind": kind, "payload": payload, "at": at, "data_at": at,
                    "activate_at": at if kind == "promoted" else None, "actor": "dagster", "prev": prev,
                }  # fmt: skip
                prev = digest(row)
                yield {**row, "hash": prev, "payload": canonical(payload).decode()}


def fill(ledger: Ledger, hash_of: Callable[[int, int], str]) -> int:
    """Write the ledger; the number of entries whose chain holds."""
    ledger.seq()
    waiting: list[dict[str, Any]] = []
    with sa.create_engine(ledger.url).begin() as connection:
        for row in facts(hash_of):
            waiting.append(row)
            if len(waiting) == BATCH:
                connection.execute(ENTRIES.insert(), waiting)
                waiting.clear()
        if waiting:
            connection.execute(ENTRIES.insert(), waiting)
    return ledger.verify()


def record() -> dict[str, Any]:
    """The record of the version that is asked for: a dozen tables, a hundred months of each."""
    months = {f"{2012 + month // 12}-{month % 12 + 1:02d}": f"{month:064x}" for month in range(100)}
    names = [f"feature/entity/view_{number}" for number in range(TABLES)]
    identity = {"cutoff": "2020-04", "tables": dict.fromkeys(names, months), "views": dict.fromkeys(names, "0" * 64), "lock": "0" * 64}
    return {"identity": identity, "provenance": {"tables": dict.fromkeys(names, 100), "mlflow_run_id": "0" * 32}}


def predictions(lake: LocalLake, model: str, content_hash: str) -> str:
    """A year of predictions; the id of one of them."""
    for month in MONTHS:
        ids = [content_hash[:VERSION_LENGTH] + digest([month, number])[:24] for number in range(ROWS)]
        frame = pl.DataFrame({"prediction_id": ids, "row_id": ids}).with_columns(
            pl.lit(BEGIN.date()).alias("day"),
            pl.lit(BEGIN).alias("predict_at"),
            pl.lit(0.5).alias("prediction"),
            pl.lit(50, pl.Int64).alias("model_version"),
            pl.lit(content_hash).alias("content_hash"),
        )
        lake.replace(f"prediction/{model}/batch", frame, partition=month)
    return content_hash[:VERSION_LENGTH] + digest([MONTHS[6], ROWS // 2])[:24]


def milliseconds(act: Callable[[], object]) -> float:
    """Median of some repeats."""
    took: list[float] = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        act()
        took.append(1000 * (time.perf_counter() - began))
    return median(took)


def figures(folder: Path) -> Iterator[Figure]:
    """Fill a folder and ask."""
    url, lake, releases, model = (
        f"sqlite:///{folder / 'ledger.db'}",
        LocalLake(root=str(folder / "lake")),
        Releases(folder / "releases"),
        "model_0500",
    )
    asked = releases.write(model, {"mean": 1}, record(), {"features": {}})
    prediction = predictions(lake, model, asked)
    entries = fill(Ledger(url), lambda number, version: asked if (number, version) == (500, 50) else digest([number, version]))

    def traced(month: str = "") -> list[str]:
        name, row = found(Ledger(url), lake, prediction, month=month)
        return lines(made(releases, Ledger(url).entries(name), row["content_hash"]))

    then = BEGIN + timedelta(days=60)
    assert "version 50" in traced()[0]
    live = states.live_at(Ledger(url).entries(model), then)
    assert live is not None
    assert live.version == VERSIONS * 60 // 100 - 1
    yield Figure(name="ledger_entries", value=entries, unit="entries")
    yield Figure(name="lineage_of_a_prediction", value=milliseconds(lambda: traced(MONTHS[6])), unit="ms", goal="<=", bound=GOAL_MS)
    yield Figure(name="lineage_month_unknown", value=milliseconds(traced), unit="ms", goal="<=", bound=GOAL_MS)
    yield Figure(
        name="state_at_an_instant",
        value=milliseconds(lambda: states.live_at(Ledger(url).entries(model), then)),
        unit="ms",
        goal="<=",
        bound=GOAL_MS,
    )
    assert {one and one.version for one in Ledger(url).live_of_all(then).values()} == {live.version, VERSIONS * 60 // 100}
    took = milliseconds(lambda: Ledger(url).live_of_all(then))
    yield Figure(name="state_of_all_models", value=took, unit="ms", goal="<=", bound=GOAL_MS)
    took = milliseconds(lambda: Ledger(url).live_of_all(datetime.now(UTC)))
    yield Figure(name="state_of_all_models_now", value=took, unit="ms", goal="<=", bound=GOAL_MS)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        for one in figures(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(home)):
            print(one.line(), flush=True)
