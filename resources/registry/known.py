"""What a question forwards asks of every registered version, kept in one file: a hundred thousand releases are not read for one answer.

A cache. A version's facts are taken from its release once, after every byte was checked; when versions were live is told anew for a model
of which the ledger has said something since. Where the file is not there, or is of another ledger, it is made anew; it may be deleted.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import polars as pl

from resources.registry.lineage import Life, Made, Piece, Span, hits, lives
from resources.registry.states import Entry
from resources.whole import write_whole

if TYPE_CHECKING:
    from resources.registry.ledger import Ledger

FILE: Final = "known.parquet"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
VERSIONS: Final = {
    "model": pl.String, "version": pl.Int64, "content_hash": pl.String, "spans": pl.List(pl.Int64), "lock": pl.String, "commit": pl.String,
    "reads": pl.UInt32, "tables": pl.List(pl.UInt32),
}  # fmt: skip
"""A row a version. ``reads`` is null where its record is not here; ``spans`` are microseconds: since, until, since, until, …"""

BODIES: Final = {"id": pl.UInt32, "kind": pl.String, "name": pl.String, "body": pl.String}
"""What many versions share, as JSON: digests by month of one ``table``, all views and features that one ``reads``, what a ``lock`` pins.

Also, with id 0: the ``mark`` of the ledger, and what was ``predicted`` by each model.
"""

Read = Callable[[Sequence[Entry], str], Made]
Pinned = Callable[[str, str | None], Mapping[str, str] | None]
"""What a lock pins, by its hash and the commit that had it; None where neither is here."""


class Known(NamedTuple):
    """A version as a question sees it: of its record only what was asked about."""

    model: str
    version: int
    content_hash: str
    spans: Sequence[int]
    record: Mapping[str, Any]
    features: tuple[str, ...] = ()

    @property
    def identity(self) -> Mapping[str, Any]:
        """What decides the model, as far as it was asked about."""
        return self.record.get("identity", {})

    @property
    def tables(self) -> Mapping[str, Mapping[str, str]]:
        """Digests by month of the tables and views that hold what was asked about."""
        return self.identity.get("tables", {})

    @property
    def live(self) -> bool:
        """Whether it is live now."""
        return len(self.spans) % 2 == 1

    @property
    def lives(self) -> tuple[Life, ...]:
        """When it was live."""
        at = [EPOCH + timedelta(microseconds=one) for one in self.spans]
        return tuple(
            Life(since=since, until=at[place + 1] if place + 1 < len(at) else None) for place, since in enumerate(at) if not place % 2
        )


@dataclass
class Book:
    """The facts of all versions; grows."""

    versions: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=VERSIONS))
    bodies: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=BODIES))
    changed: bool = False

    @classmethod
    def opened(cls, path: Path | None) -> "Book":
        """What the file holds; nothing where there is none that can be read."""
        if path is None:
            return cls()
        is_body = pl.col("kind").is_not_null()
        try:
            whole = pl.read_parquet(path)
            return cls(versions=whole.filter(~is_body).select(list(VERSIONS)), bodies=whole.filter(is_body).select(list(BODIES)))
        except (OSError, pl.exceptions.PolarsError):
            return cls()

    def written(self, path: Path | None) -> None:
        """Replace the file in one step, if anything is new; of two who write at once the later counts, and the next question mends it."""
        if path is None or not self.changed:
            return
        content = BytesIO()
        pl.concat([self.versions, self.bodies], how="diagonal").write_parquet(content)
        write_whole(path, content.getvalue())

    def named(self, kind: str, names: Collection[str] | None = None) -> Iterator[tuple[int, str, Any]]:
        """The bodies of a kind, of some names or of all: id, name, content."""
        some = self.bodies.filter(pl.col("kind") == kind, *([] if names is None else [pl.col("name").is_in(list(names))]))
        for number, name, body in some.select("id", "name", "body").iter_rows():
            yield number, name, json.loads(body)

    def replace(self, kind: str, contents: Mapping[str, object]) -> None:
        """Say something else under names of a kind that no version refers to."""
        rows = [(0, kind, name, json.dumps(content)) for name, content in contents.items()]
        others = self.bodies.filter((pl.col("kind") != kind) | ~pl.col("name").is_in(list(contents)))
        self.bodies, self.changed = pl.concat([others, pl.DataFrame(rows, schema=BODIES, orient="row")]), True

    @property
    def mark(self) -> tuple[int, str]:
        """Number and hash of the last entry that was read."""
        return next(((content[0], content[1]) for *_, content in self.named("mark")), (0, ""))

    @property
    def locks(self) -> dict[str, Mapping[str, str]]:
        """What each lock pins, by its hash."""
        return {name: content for _, name, content in self.named("lock")}


def brought_up(book: Book, ledger: "Ledger", *, read: Read, pinned: Pinned) -> Book:
    """The book as the ledger says it now."""
    seq, content_hash = book.mark
    news = ledger.since(seq)
    if seq and (not news or news[0].hash != content_hash):  # another ledger, or one that was put back to an earlier day
        book, seq, news = Book(), 0, ledger.since(0)
    if news and news[-1].seq > seq:
        _read_again(book, ledger, sorted({entry.subject for entry in news if entry.seq > seq}), read=read, pinned=pinned)
        book.replace("mark", {"": [news[-1].seq, news[-1].hash]})
    return book


def _read_again(book: Book, ledger: "Ledger", models: Sequence[str], *, read: Read, pinned: Pinned) -> None:
    """Tell these models anew: a release that was read is not read again, its lives are."""
    mine = pl.col("model").is_in(models)
    before = {row["content_hash"]: row for row in book.versions.filter(mine).iter_rows(named=True) if row["reads"] is not None}
    shared = _Shared(book)
    rows = list[dict[str, Any]]()
    for model in models:
        entries = ledger.entries(model)
        spans = lives(entries)
        for entry in entries:
            if entry.kind == "registered":
                name = str(entry.content_hash)
                row = before.get(name) or shared.row(read(entries, name), pinned)
                rows.append({**row, "spans": [_micros(at) for life in spans.get(name, ()) for at in (life.since, life.until) if at]})
    book.versions = pl.concat([book.versions.filter(~mine), pl.DataFrame(rows, schema=VERSIONS)])
    book.bodies = shared.frame()


class _Shared:
    """The bodies, each once."""

    def __init__(self, book: Book) -> None:
        self._ids = {(kind, name, body): number for number, kind, name, body in book.bodies.iter_rows()}
        self._next = max(self._ids.values(), default=0) + 1
        self._locks = set(book.locks)

    def row(self, made: Made, pinned: Pinned) -> dict[str, Any]:
        """A version whose release was just read."""
        lock, commit = made.identity.get("lock"), made.git.get("commit")
        if lock and lock not in self._locks and (pins := pinned(lock, commit)) is not None:
            self._id("lock", lock, pins)
            self._locks.add(lock)
        reads = {"views": made.identity.get("views", {}), "features": list(made.features)}
        return {
            "model": made.model, "version": made.version, "content_hash": made.content_hash, "lock": lock, "commit": commit,
            "reads": self._id("reads", "", reads) if made.record else None,
            "tables": [self._id("table", table, months) for table, months in made.tables.items()],
        }  # fmt: skip

    def frame(self) -> pl.DataFrame:
        """All of them."""
        return pl.DataFrame([(number, *about) for about, number in self._ids.items()], schema=BODIES, orient="row")

    def _id(self, kind: str, name: str, content: object) -> int:
        number = self._ids.setdefault((kind, name, json.dumps(content)), self._next)
        self._next += number == self._next
        return number


def _micros(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def asked(
    book: Book, piece: Piece, *, models: Collection[str], held: Mapping[str, Span], locks: Mapping[str, Mapping[str, str]]
) -> pl.DataFrame:
    """Versions of these models that the piece has reached (``hit``), and others that read a table or view which holds it.

    A version whose record, or lock where a library is asked about, is not here counts as reached. ``about`` says what is recorded.
    """
    mine = book.versions.filter(pl.col("model").is_in(list(models)))
    there, unread = mine.filter(pl.col("reads").is_not_null()), mine.filter(pl.col("reads").is_null())
    if piece.library:
        name, _, wanted = piece.library.partition("==")
        without = [lock for lock, pins in locks.items() if pins.get(name.lower()) not in ({wanted} if wanted else {*pins.values()})]
        some = there.filter(pl.col("lock").is_null() | ~pl.col("lock").is_in(without)).with_columns(about=pl.col("lock"), hit=True)
    elif piece.feature:
        read = [number for number, _, content in book.named("reads") if _has(content, piece.feature)]
        some = there.filter(pl.col("reads").is_in(read)).with_columns(about=pl.col("reads"), hit=True)
    else:
        tables = {number: bool(hits(piece, name, months, held[name])) for number, name, months in book.named("table", held)}
        ids = there.select("content_hash", id="tables").explode("id").filter(pl.col("id").is_in(list(tables)))
        hit = pl.col("id").is_in([number for number, one in tables.items() if one]).any()
        some = there.join(ids.group_by("content_hash", maintain_order=True).agg(about="id", hit=hit), on="content_hash")
    return pl.concat([some, unread.with_columns(about=pl.lit(None, some.schema["about"]), hit=True)])


def told(book: Book, piece: Piece, some: pl.DataFrame, *, held: Collection[str]) -> list[Known]:
    """Some of the versions that were ``asked`` about; those of which the same is recorded share one record."""
    if piece.feature:
        read = {number: content for number, _, content in book.named("reads")}
        record: Callable[[Any], Recorded] = partial(_of_reads, read)
    elif piece.table:
        record = partial(_of_tables, {number: (name, months) for number, name, months in book.named("table", held)})
    else:
        record = _of_lock
    return list(_rows(some, record))


Recorded = tuple[Mapping[str, Any], tuple[str, ...]]


def _has(content: Mapping[str, Any], feature: str) -> bool:
    return feature.partition("__")[0] in content["views"] or feature in content["features"]


def _of_lock(lock: Any) -> Recorded:
    return {"identity": {"lock": lock}}, ()


def _of_reads(read: Mapping[int, Mapping[str, Any]], number: Any) -> Recorded:
    return {"identity": {"views": read[number]["views"]}}, tuple(read[number]["features"])


def _of_tables(tables: Mapping[int, tuple[str, Mapping[str, str]]], numbers: Any) -> Recorded:
    return {"identity": {"tables": dict(tables[number] for number in numbers)}}, ()


def _rows(some: pl.DataFrame, record: Callable[[Any], Recorded]) -> Iterator[Known]:
    shared: dict[Any, Recorded] = {None: ({}, ())}
    for model, version, content_hash, spans, about in some.select("model", "version", "content_hash", "spans", "about").iter_rows():
        key: Any = tuple(cast("list[int]", about)) if isinstance(about, list) else about
        if key not in shared:
            shared[key] = record(key)
        yield Known(model, version, content_hash, spans, *shared[key])
