"""What lineage looks like: a picture and the facts behind it, on one page that needs nothing but itself. Decides nothing."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from resources import page
from resources.registry.lineage import SHORT, Made, Predicted, Source, Touched, Version, steps
from resources.registry.picture import Box, drawn, few

MOST: Final = 16
"""Boxes of a column; a page with more of them is read in its tables."""


def said_of(row: Mapping[str, Any]) -> str:
    """A prediction in one line."""
    return f"prediction {row['prediction_id']}: {row['row_id']} on {row['day']}, answered {row['prediction']:.4g}"


def prediction_page(made: Made, row: Mapping[str, Any], sources: Mapping[str, Source]) -> str:
    """Where a prediction comes from."""
    title = f"Where prediction {row['prediction_id'][:SHORT]} comes from"
    told = [(relation, where, facts(about)) for relation, where, about in steps(made)]
    trained = [
        (name, f"{min(days)} to {max(days)}" if max(days) else "whole table", str(len(days)), _digest(days)) for name, days in _read(made)
    ]
    return page.page(
        title,
        page.paragraph(said_of(row)),
        f"<div class=wide>{_back(made, row, sources, title=title)}</div>",
        page.heading("Step by step"),
        page.table(("step", "what", "facts"), told),
        page.heading("Tables and feature views that it was trained on"),
        page.table(("table", "months", "partitions", "digest of the newest"), trained),
        width=90,
    )


def touched_page(answer: Touched, sources: Mapping[str, Source]) -> str:
    """What a piece has reached."""
    title = f"What {answer.piece} has reached"
    versions = [(made.model, str(made.version), made.content_hash[:SHORT], _lived(made), why) for made, why in answer.versions]
    filled = [(one.model, one.month, str(made.version if made else "-"), f"{one.rows:,}", why) for one, made, why in answer.predictions]
    first, *rest = answer.lines()
    unknown = [page.paragraph(line, kind="bad") for line in rest[len(versions) + len(filled) :]]
    return page.page(
        title,
        page.paragraph(first),
        f"<div class=wide>{_forward(answer, sources, title=title)}</div>",
        *unknown,
        page.heading("Versions and when they were live"),
        page.table(("model", "version", "sha256", "live", "how it came there"), versions),
        page.heading("Partitions of predictions"),
        page.table(("model", "month", "version", "rows", "how it came there"), filled),
        page.paragraph("A later month may still read the last row of a key that this month wrote and no month since.", kind="open"),
        width=90,
    )


def _back(made: Made, row: Mapping[str, Any], sources: Mapping[str, Source], *, title: str) -> str:
    """Tables, views, training set, version, prediction."""
    read = dict(_read(made))
    own = [name for name in read if name not in sources]
    tables = list(dict.fromkeys([*own, *(sources[name].table for name in read if name in sources)]))
    examples = (f"{made.training_set.get('rows', 0):,} rows", f"up to {made.identity.get('cutoff')}")
    asked = (f"prediction {row['prediction_id'][:SHORT]}", str(row["row_id"]), f"{row['day']}: {row['prediction']:.4g}")
    boxes = [
        *few([Box(name=f"source {name}", lines=(name,), column=0) for name in tables], MOST),
        *few([_table(name, months) for name, months in read.items()], MOST),
        Box(name="examples", lines=("training set", *examples), column=2),
        Box(name="version", lines=_papers(made), column=3, tone="live" if made.live else "plain"),
        Box(name="prediction", lines=asked, column=4, tone="asked"),
    ]
    edges = [(f"source {sources[name].table if name in sources else name}", name) for name in read] + [(name, "examples") for name in read]
    return drawn(boxes, [*edges, ("examples", "version"), ("version", "prediction")], title=title)


def _forward(answer: Touched, sources: Mapping[str, Source], *, title: str) -> str:
    """The piece, the tables and views that hold it, versions, partitions of predictions: newest first."""
    piece = answer.piece
    views = [piece.table] * bool(piece.table) + [view for view, source in sources.items() if source.table == piece.table]
    trained = {made.content_hash for made, _ in answer.versions}
    makers = {made.content_hash: made for _, made, _ in answer.predictions if made is not None}
    versions = [*(made for made, _ in answer.versions), *(made for name, made in makers.items() if name not in trained)]
    versions.sort(key=lambda made: (made.model, -made.version))
    filled = sorted((one for one, *_ in answer.predictions), key=lambda one: (one.model, one.month), reverse=True)
    boxes = [
        Box(name="piece", lines=(str(piece),), column=0, tone="asked"),
        *few([Box(name=view, lines=(view if view != piece.table else "its own rows",), column=1) for view in views], MOST),
        *few([_version(made, trained=made.content_hash in trained) for made in versions], MOST),
        *few([_partition(one) for one in sorted(filled, key=lambda one: one.model)], MOST),
    ]
    edges = [("piece", view) for view in views]
    for made in versions:
        edges += [(view, made.content_hash) for view in views if view in made.tables] or [("piece", made.content_hash)]
    return drawn(boxes, [*edges, *((one.content_hash, _partition(one).name) for one in filled)], title=title)


def _papers(made: Made) -> tuple[str, ...]:
    """What a version's box says: where its bytes, run, code and libraries are found, and who let it go live."""
    return (
        f"{made.model} version {made.version}",
        f"sha256 {made.content_hash[:SHORT]}",
        f"run {str(made.provenance.get('mlflow_run_id'))[:SHORT]}",
        f"code {str(made.git.get('commit'))[:SHORT]}{' and edits' if made.git.get('dirty') else ''}",
        f"lock {str(made.identity.get('lock'))[:SHORT]}",
        f"approved: {made.approval}",
    )


def _table(name: str, months: Mapping[str, str]) -> Box:
    return Box(name=name, lines=(name, f"{min(months)} to {max(months)}" if max(months) else "whole table"), column=1)


def _version(made: Version, *, trained: bool) -> Box:
    said = _lived(made) if trained else "not trained on it"
    return Box(
        name=made.content_hash, lines=(f"{made.model} version {made.version}", said), column=2, tone="live" if made.live else "plain"
    )


def _partition(one: Predicted) -> Box:
    name = f"prediction/{one.model} {one.month} {one.content_hash}"
    return Box(name=name, lines=(f"predictions of {one.model}", f"{one.month}: {one.rows:,} rows"), column=3)


def _lived(made: Version) -> str:
    spans = [f"{life.since:%Y-%m-%d %H:%M} to {f'{life.until:%Y-%m-%d %H:%M}' if life.until else 'now'}" for life in made.lives]
    return ", ".join(spans) or "never live"


def _read(made: Made) -> Iterator[tuple[str, Mapping[str, str]]]:
    yield from sorted(made.tables.items())


def _digest(months: Mapping[str, str]) -> str:
    return months[max(months)][:SHORT]


def facts(about: Mapping[str, object]) -> str:
    """Facts about a step, in one cell."""
    return ", ".join(f"{name} {_short(value)}" for name, value in about.items())


def _short(value: object) -> str:
    text = "not recorded" if value is None else str(value)
    return text[:SHORT] if len(text) in {40, 64} else text
