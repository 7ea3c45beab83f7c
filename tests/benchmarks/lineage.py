"""What lineage and state cost in a big ledger: `python -m tests.benchmarks.lineage` makes 1,000 models x 100 versions and asks.

Entries are appended in bulk, with a chain that is verified; the release and the predictions that are read are real. The records of the
100,000 versions, for questions forwards, are made when they are first read; what reading a real one takes is a figure of its own.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from mlops_assets.lifecycle.tracing import forward, found, made
from resources.lake import LocalLake
from resources.registry import states
from resources.registry.identity import canonical, digest
from resources.registry.known import Book, brought_up
from resources.registry.ledger import Ledger, stamp
from resources.registry.lineage import Made, Piece, Source, Touched, lines
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
SHARED: Final = 60
EVERYBODYS: Final = "table/all/calendar"
CALENDAR: Final = tuple(f"{2012 + month // 12}-{month % 12 + 1:02d}" for month in range(100))
BATCH: Final = 5000
REPEATS: Final = 15
GOAL_MS: Final = 200
FORWARD_MS: Final = 1000


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


def made_of(entries: Sequence[Entry], content_hash: str) -> Made:
    """The record of a version: twelve views of sixty that models share, its months up to its number, one lock of ten, 24 features."""
    about = tuple(entry for entry in entries if entry.content_hash == content_hash)
    model, version = int(about[0].subject[-4:]), int(about[0].version or 0)
    own = [f"view_{(model + 5 * place) % SHARED}" for place in range(TABLES)]
    names = [EVERYBODYS, *(f"feature/entity/{name}" for name in own)]
    months = {month: f"{number:064x}" for number, month in enumerate(CALENDAR[:version])}
    identity: dict[str, Any] = {
        "tables": {name: {month: name[-2:] + value[2:] for month, value in months.items()} for name in names},
        "views": dict.fromkeys((f"entity_{name}" for name in own), "0" * 64),
        "lock": f"{version // 10:064x}",
    }
    features = tuple(f"entity_{name}__f{number}" for name in own for number in (1, 2))
    return Made(entries=about, record={"identity": identity, "provenance": {}}, features=features)


def asked_forward(folder: Path, ledger: Ledger, lake: LocalLake, piece: Piece) -> Touched:
    """A question, with every model's newest month of predictions read again if it changed."""
    models = [f"model_{number:04d}" for number in range(MODELS)]
    sources = {f"feature/entity/view_{number}": Source(table=f"table/all/source_{number % 6}", months_back=1) for number in range(SHARED)}
    return forward(piece, models, sources, ledger=ledger, lake=lake, read=made_of, file=folder / "known.parquet")


QUESTIONS: Final = {
    "bad_month_of_a_table": Piece(table="table/all/source_1", month=CALENDAR[94]),
    "table_of_all": Piece(table=EVERYBODYS),
    "feature": Piece(feature="entity_view_7__f1"),
    "library_version": Piece(library="polars==2.3"),
    "library": Piece(library="polars"),
}


def figures_forward(folder: Path, lake: LocalLake, hash_of: Callable[[int, int], str]) -> Iterator[Figure]:
    """What breaks if this goes, who used the bad partition, which models use this version of a library."""
    ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
    for number in range(MODELS):
        frame = pl.DataFrame({"prediction_id": ["a"] * 100, "content_hash": [hash_of(number, VERSIONS)] * 100})
        lake.replace(f"prediction/model_{number:04d}/batch", frame, partition=CALENDAR[99])
    began = time.perf_counter()
    book = brought_up(Book(), ledger, read=made_of, pinned=lambda lock, _: {"polars": f"2.{int(lock, 16)}"})
    book.changed = True
    book.written(folder / "known.parquet")
    yield Figure(name="forward_records", value=book.versions.height, unit="records")
    yield Figure(name="forward_first", value=time.perf_counter() - began, unit="s, every record read")
    yield Figure(name="forward_kept", value=(folder / "known.parquet").stat().st_size / 1e6, unit="MB")
    asked_forward(folder, ledger, lake, QUESTIONS["library"])  # reads every table of predictions, once
    for name, piece in QUESTIONS.items():
        answer = asked_forward(folder, ledger, lake, piece)
        took = milliseconds(partial(asked_forward, folder, ledger, lake, piece))
        reached = f"{len(answer.versions):,} versions, {len(answer.predictions):,} partitions"
        yield Figure(name=f"forward_{name}", value=took, unit=f"ms, {reached}", goal="<=", bound=FORWARD_MS)
    ledger.append("model_0007", "held", {"why": "x"}, expect_head=ledger.head("model_0007"), actor="ana", data_at=BEGIN)
    began = time.perf_counter()
    asked_forward(folder, ledger, lake, QUESTIONS["feature"])
    took = 1000 * (time.perf_counter() - began)
    yield Figure(name="forward_after_an_entry", value=took, unit="ms", goal="<=", bound=FORWARD_MS)


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
    about = [entry for entry in Ledger(url).entries(model) if entry.content_hash == asked]
    yield Figure(
        name="record_read", value=milliseconds(lambda: made(releases, about, asked)), unit="ms, of one release, every byte checked"
    )
    assert {one and one.version for one in Ledger(url).live_of_all(then).values()} == {live.version, VERSIONS * 60 // 100}
    took = milliseconds(lambda: Ledger(url).live_of_all(then))
    yield Figure(name="state_of_all_models", value=took, unit="ms", goal="<=", bound=GOAL_MS)
    took = milliseconds(lambda: Ledger(url).live_of_all(datetime.now(UTC)))
    yield Figure(name="state_of_all_models_now", value=took, unit="ms", goal="<=", bound=GOAL_MS)
    yield from figures_forward(folder, lake, lambda number, version: asked if (number, version) == (500, 50) else digest([number, version]))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        for one in figures(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(home)):
            print(one.line(), flush=True)
