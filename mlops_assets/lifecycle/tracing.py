"""Lineage both ways, for a person who asks: reads the ledger, release records and partitions of predictions, and writes one page.

What follows from the records is decided in ``resources.registry.lineage``.
"""

import gc
import json
import re
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import polars as pl

from mlops_assets.keys import address, key, table
from mlops_assets.lifecycle.features import months_back
from mlops_assets.lifecycle.tracing_pages import prediction_page, said_of, touched_page
from mlops_assets.specs import Catalogue
from resources.errors import PlatformError
from resources.lake import Lake
from resources.registry.identity import sha256
from resources.registry.known import FILE, Book, Read, asked, brought_up, told
from resources.registry.lineage import Made, Piece, Predicted, Source, Touched, lines, lives, reached, touched
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

WORKERS: Final = 8
"""Tables of predictions that are looked at together: opening one is waiting more than work."""

MOST: Final = 200
"""Lines of an answer that a log shows; all of them are on the page."""

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


def pinned(lock: str, commit: str | None) -> dict[str, str] | None:
    """What a lock pins, by its hash: from the lock that is here, or the one at a commit; None when it is neither."""
    here = serving_lock()
    text = here.read_bytes()
    if sha256(text) != lock:
        text = file_at(here.parent, commit, LOCK) if commit else None
    if text is None or sha256(text) != lock:
        return None
    return {name.lower(): version for name, version in PIN.findall(text.decode())}


def reach(catalogue: Catalogue, registry: Registry, lake: Lake, piece: Piece, *, kept: Path | None = None) -> Touched:
    """Everything of a project that a piece has touched; in the folder ``kept`` stays what need not be read again for the next question."""
    models, file = [model.name for model in catalogue.models], kept and kept / FILE
    read = partial(made, registry.releases())
    return forward(piece, models, sources_of(catalogue), ledger=registry.ledger(), lake=lake, read=read, file=file)


def forward(
    piece: Piece, models: Sequence[str], sources: Mapping[str, Source], *, ledger: "Ledger", lake: Lake, read: Read, file: Path | None
) -> Touched:
    """Everything of these models that a piece has touched; ``read`` is asked for a version of which the book in ``file`` knows nothing."""
    book = brought_up(Book.opened(file), ledger, read=read, pinned=pinned)
    locks = _locks(book) if piece.library else {}
    held = reached(piece, sources)
    some = asked(book, piece, models=models, held=held, locks=locks)
    filled = _filled(book, lake, some["model"].unique(maintain_order=True).to_list())
    book.written(file)
    makers = pl.col("content_hash").is_in([one.content_hash for one in filled])
    with _uncollected():
        known = told(book, piece, some.filter(pl.col("hit") | makers), held=held)
        return touched(piece, known, filled, sources=sources, locks=locks)


@contextmanager
def _uncollected() -> Generator[None]:
    """A hundred thousand versions are no garbage: to search them for some costs more than to make them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _locks(book: Book) -> dict[str, Mapping[str, str]]:
    """What the locks of all versions pin; a commit that had one may have come since its version was read."""
    absent = book.versions.select("lock", "commit").drop_nulls("lock").unique().filter(~pl.col("lock").is_in(list(book.locks)))
    return book.locks | {lock: pins for lock, commit in absent.iter_rows() if (pins := pinned(lock, commit)) is not None}


def _filled(book: Book, lake: Lake, models: Sequence[str]) -> list[Predicted]:
    """Which version filled which month, read again where a table of predictions is in another state than when it was read last."""
    tables = [address(key("prediction", model, "batch")) for model in models]
    with ThreadPoolExecutor(WORKERS) as pool:
        now = dict(zip(models, pool.map(lake.state, tables), strict=True))
    known: dict[str, Any] = {model: said for _, model, said in book.named("predicted", models)}
    news: dict[str, Any] = {
        model: [content, [[one.month, one.content_hash, one.rows] for one in predicted(lake, [model])]]
        for model, content in now.items()
        if content != known.get(model, [""])[0]
    }
    if news:
        book.replace("predicted", news)
    said = known | news
    return [Predicted(model=model, month=month, content_hash=name, rows=rows) for model in said for month, name, rows in said[model][1]]


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
        answer = reach(catalogue, registry, lake, piece, kept=Path(reports.root).with_name("lineage"))
        told, html = answer.lines(), touched_page(answer, sources_of(catalogue))
        name = re.sub(r"[^\w.=-]+", "-", str(piece))
    write_whole(reports.file("lineage", name), html)
    return told, ("lineage", name)


def lineage(catalogue: Catalogue) -> dg.JobDefinition:
    """``lineage``: where a prediction comes from, or what a table, feature or library has touched. Changes nothing."""

    @dg.op(name="trace", description="Follow records back from a prediction, or forward from a piece.", out=dg.Out(dg.Nothing))
    def trace(context: dg.OpExecutionContext, config: Asked, registry: Registry, lake: Lake, reports: Reports) -> None:
        told, where = answered(catalogue, config, registry=registry, lake=lake, reports=reports)
        if (more := len(told) - MOST) > 0:
            told = [*told[:MOST], f"{more:,} more are on the page"]
        context.log.info("\n".join(told))
        page = dg.MetadataValue.url(reports.address(*where))
        context.add_output_metadata({"page": page, "answer": dg.MetadataValue.md("\n".join(f"- {line}" for line in told))})

    return dg.GraphDefinition(
        name="lineage", node_defs=[trace], description="Where a prediction comes from; what a table, feature or library has touched."
    ).to_job()  # pyright: ignore[reportUnknownMemberType]  half of its signature is typed
