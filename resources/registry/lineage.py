"""Where a prediction comes from, and what a piece of data, code or a library has touched: told from records alone. Pure; opens nothing.

Records are the ledger's entries, the record in each release, and which version filled which partition of predictions.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from resources.registry.states import BEGINS_LIVE, ENDS_LIVE, Entry

Span = tuple[str, str] | None
"""First and last month; None for all."""

NOT_RECORDED: Final = "not recorded"
SHORT: Final = 12


@dataclass(frozen=True, kw_only=True)
class Life:
    """A stretch in which a version was live, by the wall clock; ``until`` is null while it lasts."""

    since: datetime
    until: datetime | None


@dataclass(frozen=True, kw_only=True)
class Made:
    """A version: what the ledger says about it, and the record and features of its release."""

    entries: tuple[Entry, ...]
    record: Mapping[str, Any]
    features: tuple[str, ...] = ()
    lives: tuple[Life, ...] = ()

    @property
    def model(self) -> str:
        """Whose version."""
        return self.entries[0].subject

    @property
    def content_hash(self) -> str:
        """What the version is called by content."""
        return str(self.entries[0].content_hash)

    @property
    def version(self) -> int:
        """Its number; 0 while it is not registered."""
        return next((entry.version for entry in self.entries if entry.version), 0)

    @property
    def identity(self) -> Mapping[str, Any]:
        """What decides the model."""
        return self.record.get("identity", {})

    @property
    def provenance(self) -> Mapping[str, Any]:
        """How it came about."""
        return self.record.get("provenance", {})

    @property
    def git(self) -> Mapping[str, Any]:
        """Commit and dirty flag of its code; empty when nothing is recorded."""
        return self.provenance.get("git") or dict[str, Any]()

    @property
    def training_set(self) -> Mapping[str, Any]:
        """Address of its examples, and facts about them."""
        return self.provenance.get("training_set") or dict[str, Any]()

    @property
    def tables(self) -> Mapping[str, Mapping[str, str]]:
        """Content digests by month of each table and feature view that it was trained on."""
        return self.identity.get("tables", {})

    @property
    def live(self) -> bool:
        """Whether it is live now."""
        return any(life.until is None for life in self.lives)

    @property
    def approval(self) -> str:
        """Who or what let it go live."""
        approvals = [entry for entry in self.entries if entry.kind == "approved"]
        people = [who for entry in approvals for who in [*entry.payload.get("approvers", []), entry.payload.get("approver")] if who]
        return ", ".join(people) or next((str(entry.payload["why"]) for entry in approvals if "why" in entry.payload), NOT_RECORDED)


class Version(Protocol):
    """What a question forwards asks of a version: ``Made`` from its record, or what is ``known`` of it without reading that again."""

    @property
    def model(self) -> str:
        """Whose version."""
        ...

    @property
    def version(self) -> int:
        """Its number."""
        ...

    @property
    def content_hash(self) -> str:
        """What it is called by content."""
        ...

    @property
    def record(self) -> Mapping[str, Any]:
        """Its record, or as much of it as was asked about; empty when it is not here."""
        ...

    @property
    def features(self) -> tuple[str, ...]:
        """The features that it reads."""
        ...

    @property
    def identity(self) -> Mapping[str, Any]:
        """What decides the model."""
        ...

    @property
    def tables(self) -> Mapping[str, Mapping[str, str]]:
        """Digests by month of the tables and views that it was trained on."""
        ...

    @property
    def lives(self) -> tuple[Life, ...]:
        """When it was live."""
        ...

    @property
    def live(self) -> bool:
        """Whether it is live now."""
        ...


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """The predictions of a model for a month that one version made."""

    model: str
    month: str
    content_hash: str
    rows: int


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a feature view is made of: a table, and how many earlier months one of its months reads."""

    table: str
    months_back: int


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What is asked about: a table or view by address, a feature or view by its name in Feast, or a library with or without version.

    Of a table: one ``month``, or the one ``digest`` of it.
    """

    table: str = ""
    month: str = ""
    digest: str = ""
    feature: str = ""
    library: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, [self.table, self.month, self.digest[:SHORT], self.feature, self.library]))


@dataclass(frozen=True, kw_only=True)
class Touched:
    """What a piece has reached, each with the way it came there: versions, and partitions of predictions with the version that made them.

    ``unknown`` are versions whose record, or lock where a library is asked about, is not here.
    """

    piece: Piece
    versions: tuple[tuple[Version, str], ...]
    predictions: tuple[tuple[Predicted, Version | None, str], ...]
    unknown: tuple[Version, ...] = ()

    @property
    def live(self) -> tuple[Version, ...]:
        """The versions among them that are live now."""
        return tuple(made for made, _ in self.versions if made.live)

    def lines(self) -> list[str]:
        """The answer in sentences: how much, then each version and each partition with the way that led there."""
        rows = sum(one.rows for one, *_ in self.predictions)
        models = len({made.model for made, _ in self.versions})
        many = f"{len(self.versions)} versions of {models} models, {len(self.live)} of them live, and {len(self.predictions)} partitions of"
        loose = "What rows a view is made of, and what predictions read, is recorded by month alone: both count whatever the digest."
        return [
            f"{self.piece} has reached {many} predictions ({rows:,} rows).{f' {loose}' if self.piece.digest else ''}",
            *(f"{made.model} version {made.version}{', live' * made.live}: {why}" for made, why in self.versions),
            *(f"prediction/{one.model}/batch {one.month}, {one.rows:,} rows: {why}" for one, _, why in self.predictions),
            *(f"{made.model} version {made.version}: not known, because its record or its lock is not here" for made in self.unknown),
        ]


def lives(entries: Sequence[Entry]) -> dict[str, tuple[Life, ...]]:
    """When each version of one subject was live, by content hash."""
    found: dict[str, list[Life]] = {}
    changes = [entry for entry in entries if entry.kind in BEGINS_LIVE | ENDS_LIVE]
    for place, entry in enumerate(changes):
        if entry.kind in BEGINS_LIVE:
            ends = (later for later in changes[place + 1 :] if later.kind in BEGINS_LIVE or later.content_hash == entry.content_hash)
            end = next(ends, None)
            since, until = entry.activate_at or entry.at, end and (end.activate_at or end.at)
            if until is None or until > since:
                found.setdefault(str(entry.content_hash), []).append(Life(since=since, until=until))
    return {name: tuple(spans) for name, spans in found.items()}


def touched(
    piece: Piece,
    versions: Iterable[Version],
    predictions: Iterable[Predicted],
    *,
    sources: Mapping[str, Source],
    locks: Mapping[str, Mapping[str, str]],
) -> Touched:
    """Everything that a piece has reached.

    ``sources`` says of each feature view, by address, what it is made of; ``locks`` what each lock pins, by its hash.
    """
    known, told = list(versions), dict[tuple[int, tuple[str, ...]], str]()
    reach = reached(piece, sources)

    def why_of(made: Version) -> str:
        same = id(made.record), made.features  # versions of which the same is recorded share the object
        if same not in told:
            told[same] = _why(made, piece, reach, locks)
        return told[same]

    found = [(made, why) for made in known if (why := why_of(made))]
    by_hash, hit = {made.content_hash: made for made in known}, {made.content_hash for made, _ in found}
    filled: list[tuple[Predicted, Version | None, str]] = []
    for one in predictions:
        made = by_hash.get(one.content_hash)
        trained = [f"made by version {made.version}"] if made is not None and one.content_hash in hit else []
        inputs = [name for name, months in reach.items() if made is not None and name in made.tables and _within(one.month, months)]
        if why := "; ".join([*trained, *([f"read {one.month} of {', '.join(inputs)}"] if inputs else [])]):
            filled.append((one, made, why))
    missing = tuple(made for made in known if not made.record or (piece.library and made.identity.get("lock") not in locks))
    return Touched(piece=piece, versions=tuple(found), predictions=tuple(filled), unknown=missing)


def reached(piece: Piece, sources: Mapping[str, Source]) -> dict[str, Span]:
    """The tables and views that hold the piece, each with the first and last month that can; None for all months."""
    if not piece.table:
        return {}
    own = (piece.month, piece.month) if piece.month else None
    found: dict[str, Span] = {piece.table: own}
    for view, source in sources.items():
        if source.table == piece.table:
            found[view] = (piece.month, _later(piece.month, source.months_back)) if piece.month else None
    return found


def _why(made: Version, piece: Piece, reach: Mapping[str, Span], locks: Mapping[str, Mapping[str, str]]) -> str:
    """The way from a piece to a version; empty when there is none."""
    if piece.library:
        name, _, wanted = piece.library.partition("==")
        pin = locks.get(str(made.identity.get("lock")), {}).get(name.lower())
        return f"{name} {pin} in lock {made.identity['lock'][:SHORT]}" if pin is not None and wanted in {"", pin} else ""
    if piece.feature:
        view, _, column = piece.feature.partition("__")
        reads = view in made.identity.get("views", {}) and (not column or not made.features or piece.feature in made.features)
        return f"reads {piece.feature}" if reads or piece.feature in made.features else ""
    spans: dict[str, list[str]] = {}
    for name, span in reach.items():
        digests = made.tables.get(name, {})
        if months := hits(piece, name, digests, span):
            spans.setdefault(_span(months), []).append(name)
    return "; ".join(f"trained on {span or 'all'} of {', '.join(names)}" for span, names in spans.items())


def hits(piece: Piece, name: str, digests: Mapping[str, str], span: Span) -> list[str]:
    """The months of a table or view, by their digests, that hold the piece; ``span`` are the first and last that can."""
    return [month for month, digest in digests.items() if _within(month, span) and _same(piece, name, digest)]


def _same(piece: Piece, name: str, digest: str) -> bool:
    """Whether these are the rows asked about; what rows a view was made of is not recorded, so of a view all count."""
    return not piece.digest or name != piece.table or digest == piece.digest


def _within(month: str, span: Span) -> bool:
    return span is None or month == "" or span[0] <= month <= span[1]


def _span(months: Sequence[str]) -> str:
    return months[0] if len(months) == 1 else f"{min(months)} to {max(months)}"


def _later(month: str, by: int) -> str:
    year, number = (int(part) for part in month.split("-"))
    total = year * 12 + number - 1 + by
    return f"{total // 12:04d}-{total % 12 + 1:02d}"


def lineage(entry: Entry, record: Mapping[str, Any]) -> list[str]:
    """The way from a prediction to its tables, a line a step, by the ledger's entry of its version and the record in the release.

    ``record["provenance"]`` may hold ``mlflow_run_id``, ``git`` (commit, dirty), ``training_set`` (address and facts), ``tables``
    (address -> version); ``record["identity"]`` may hold ``lock``, ``views`` and ``code``. What is absent reads "not recorded".
    """
    return lines(Made(entries=(entry,), record=record))


def lines(made: Made) -> list[str]:
    """The way back from a version, a line a step."""
    return [_line(*step) for step in steps(made)]


def steps(made: Made) -> Iterator[tuple[str, str, Mapping[str, object]]]:
    """The way back from a version, a step at a time: what it is, its address, and facts about it."""
    how, examples = made.provenance, {**made.training_set}
    read: Mapping[str, int] = how.get("tables") or {}
    views: Mapping[str, str] = made.identity.get("views") or {}
    code: Mapping[str, str] = made.identity.get("code") or {}
    decided = {"decided": made.approval, "since": made.entries[0].data_at.date().isoformat()}
    yield "release", made.model, {"version": made.version, "sha256": made.content_hash, **decided}
    dirty = {"dirty": "yes"} if made.git.get("dirty") else {}
    run = {"git": made.git.get("commit"), **dirty, "lock": made.identity.get("lock")}
    yield "run", f"mlflow {how.get('mlflow_run_id') or NOT_RECORDED}", run
    yield "examples", examples.pop("address", NOT_RECORDED), examples
    yield "tables", " · ".join(f"{name} version {number}" for name, number in sorted(read.items())) or NOT_RECORDED, {}
    yield "features", " · ".join(f"{name} {definition[:SHORT]}" for name, definition in sorted(views.items())) or NOT_RECORDED, {}
    yield "code", "fit and score", {name: code.get(name) for name in ("fit", "score")}


def _line(relation: str, address: str, facts: Mapping[str, object]) -> str:
    return f"<- {relation:<11}{'  '.join([address, *(f'{name} {_shown(value)}' for name, value in facts.items())])}"


def _shown(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    text = NOT_RECORDED if value is None else str(value)
    return text[:SHORT] if len(text) in {40, 64} else text
