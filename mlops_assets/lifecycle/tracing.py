"""Lineage both ways, for a person who asks: reads the ledger, release records and partitions of predictions, and writes one page.

What follows from the records is decided in ``resources.registry.lineage``.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from mlops_assets.keys import address, key, table
from mlops_assets.lifecycle.features import months_back
from mlops_assets.lifecycle.tracing_pages import prediction_page, said_of, touched_page
from mlops_assets.specs import Catalogue
from resources.errors import PlatformError
from resources.lake import Lake
from resources.registry.identity import sha256
from resources.registry.lineage import Made, Piece, Predicted, Source, Touched, lines, lives, touched
from resources.registry.releases import RECORD, SIGNATURE, ReleaseMissing, Releases
from resources.registry.resource import Registry
from resources.registry.states import Entry
from resources.reports import Reports
from resources.serving.lock import LOCK, serving_lock
from resources.serving.scoring import VERSION_LENGTH
from resources.whole import write_whole
from resources.worktree import file_at

if TYPE_CHECKING:
    from resources.registry.ledger import Ledger

PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", re.MULTILINE)


class NoSuchPrediction(PlatformError):
    """An id that no table of predictions has."""

    def __init__(self, *, prediction: str, where: Iterable[str]) -> None:
        sought = ", ".join(where)
        found = f"is not in {sought}" if sought else "begins with the hash of no registered version"
        super().__init__(
            f"prediction {prediction} {found}, so nothing was traced. Give the whole id of 32 letters; what the service answered is in "
            "the lake once its month is predicted in bulk."
        )


class NothingAsked(PlatformError):
    """A question without a subject, or with several."""

    def __init__(self, said: Mapping[str, object]) -> None:
        found = ", ".join(name for name, value in said.items() if value) or "nothing"
        super().__init__(f"lineage was asked about {found}. Ask about one: a prediction, a table (of a month), a feature, or a library.")


def made(releases: Releases, entries: Iterable[Entry], content_hash: str) -> Made:
    """A version by its model's entries; its record is read after every byte of the release was checked against the ledger.

    A release that housekeeping removed keeps its entries; its record then says nothing.
    """
    about = tuple(entry for entry in entries if entry.content_hash == content_hash)
    model = about[0].subject
    spans = lives(tuple(entries)).get(content_hash, ())
    said = (one.payload["manifest_hash"] for one in about if "manifest_hash" in one.payload)
    try:
        files = releases.files(model, content_hash, manifest_hash=next(said, None))
    except ReleaseMissing:
        return Made(entries=about, record={}, lives=spans)
    record, signature = (json.loads(files[name]) for name in (RECORD, SIGNATURE))
    return Made(entries=about, record=record, features=tuple(signature.get("features", ())), lives=spans)


def versions(registry: Registry, models: Iterable[str]) -> Iterator[Made]:
    """Every registered version of these models."""
    ledger, releases = registry.ledger(), registry.releases()
    for model in models:
        entries = ledger.entries(model)
        for entry in entries:
            if entry.kind == "registered":
                yield made(releases, entries, str(entry.content_hash))


def predicted(lake: Lake, models: Iterable[str]) -> Iterator[Predicted]:
    """Which version filled which month of predictions."""
    for model in models:
        where = address(key("prediction", model, "batch"))
        if lake.exists(where):
            rows = lake.read(where, columns=["month", "content_hash"]).group_by("month", "content_hash").len().sort("month").collect()
            for month, content_hash, count in rows.iter_rows():
                yield Predicted(model=model, month=month, content_hash=content_hash, rows=count)


def found(ledger: "Ledger", lake: Lake, prediction: str, *, month: str = "") -> tuple[str, dict[str, Any]]:
    """The model that gave an answer, and the answer's row; a month, where it is known, spares reading the others.

    Raises:
        NoSuchPrediction: the version that the id names, if there is one, did not.
    """
    tables = {one.subject: address(key("prediction", one.subject, "batch")) for one in ledger.registered(prediction[:VERSION_LENGTH])}
    columns = ["prediction_id", "row_id", "day", "predict_at", "prediction", "model_version", "content_hash", "month"]
    for model, where in tables.items():
        if lake.exists(where):
            rows = lake.read(where, columns=columns, partitions=[month] if month else None)
            if (hit := rows.filter(pl.col("prediction_id") == prediction).collect()).height:
                return model, hit.row(0, named=True)
    raise NoSuchPrediction(prediction=prediction, where=tables.values())


def sources_of(catalogue: Catalogue) -> dict[str, Source]:
    """What each feature view is made of, by address."""
    return {
        address(table(view.address, stage="feature")): Source(table=address(table(view.source.table)), months_back=months_back(view))
        for view in catalogue.views
    }


def locks_of(known: Iterable[Made]) -> dict[str, dict[str, str]]:
    """What the locks of these versions pin, by the lock's hash: from the lock that is here, or the one at a version's commit."""
    here = serving_lock()
    texts = {sha256(here.read_bytes()): here.read_bytes()}
    for one in known:
        lock, commit = one.identity.get("lock"), one.git.get("commit")
        if lock and lock not in texts and commit and (text := file_at(here.parent, commit, LOCK)) is not None:
            texts[sha256(text)] = text
    return {name: {pin[0].lower(): pin[1] for pin in PIN.findall(text.decode())} for name, text in texts.items()}


def reach(catalogue: Catalogue, registry: Registry, lake: Lake, piece: Piece) -> Touched:
    """Everything of a project that a piece has touched."""
    models = [model.name for model in catalogue.models]
    known = list(versions(registry, models))
    locks = locks_of(known) if piece.library else {}
    return touched(piece, known, predicted(lake, models), sources=sources_of(catalogue), locks=locks)


class Asked(dg.Config):
    """A question about one thing.

    A ``prediction`` (its ``month`` spares reading the others), a ``table`` (one ``month``, or that month's ``digest`` or rows at a
    ``version``), a ``feature`` or view by its name in Feast, or a ``library`` with or without ``==version``.
    """

    prediction: str = ""
    month: str = ""
    table: str = ""
    version: int | None = None
    digest: str = ""
    feature: str = ""
    library: str = ""


def answered(catalogue: Catalogue, asked: Asked, *, registry: Registry, lake: Lake, reports: Reports) -> tuple[list[str], tuple[str, str]]:
    """The answer in lines, and the page that holds it (folder and name)."""
    subjects = {name: getattr(asked, name) for name in ("prediction", "table", "feature", "library")}
    if sum(map(bool, subjects.values())) != 1:
        raise NothingAsked(subjects)
    if asked.prediction:
        model, row = found(registry.ledger(), lake, asked.prediction, month=asked.month)
        one = made(registry.releases(), registry.ledger().entries(model), row["content_hash"])
        told, html = [said_of(row), *lines(one)], prediction_page(one, row, sources_of(catalogue))
        name = asked.prediction
    else:
        digest = asked.digest or (
            lake.digests(asked.table, version=asked.version).get(asked.month, "") if asked.version is not None else ""
        )
        piece = Piece(table=asked.table, month=asked.month, digest=digest, feature=asked.feature, library=asked.library)
        answer = reach(catalogue, registry, lake, piece)
        told, html = answer.lines(), touched_page(answer, sources_of(catalogue))
        name = re.sub(r"[^\w.=-]+", "-", str(piece))
    write_whole(reports.file("lineage", name), html)
    return told, ("lineage", name)


def lineage(catalogue: Catalogue) -> dg.JobDefinition:
    """``lineage``: where a prediction comes from, or what a table, feature or library has touched. Changes nothing."""

    @dg.op(name="trace", description="Follow records back from a prediction, or forward from a piece.", out=dg.Out(dg.Nothing))
    def trace(context: dg.OpExecutionContext, config: Asked, registry: Registry, lake: Lake, reports: Reports) -> None:
        told, where = answered(catalogue, config, registry=registry, lake=lake, reports=reports)
        context.log.info("\n".join(told))
        page = dg.MetadataValue.url(reports.address(*where))
        context.add_output_metadata({"page": page, "answer": dg.MetadataValue.md("\n".join(f"- {line}" for line in told))})

    return dg.GraphDefinition(
        name="lineage", node_defs=[trace], description="Where a prediction comes from; what a table, feature or library has touched."
    ).to_job()  # pyright: ignore[reportUnknownMemberType]  half of its signature is typed
