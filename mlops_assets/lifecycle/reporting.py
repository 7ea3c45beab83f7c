"""Pages about versions of a model: the report of a training, and several versions side by side. HTML; measures nothing."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import polars as pl

from resources import page
from resources.registry.card import card, cost
from resources.registry.comparison import Side, changes, measured
from resources.registry.releases import Release

if TYPE_CHECKING:
    from resources.monitors.gate import GateResult

MEGABYTE: Final = 1_000_000


def training_page(
    candidate: Release,
    before: Release | None,
    metrics: pl.DataFrame,
    results: "Sequence[GateResult]",
    pictures: Mapping[str, str],
) -> str:
    """The report of a training: gate, metrics, pictures, slices, what changed since the version ``before``, the model card."""
    title = f"{candidate.model} {candidate.record['identity']['cutoff']}"
    own, live = (metrics.filter(pl.col("version") == name) for name in ("candidate", "live"))
    failed = [one for one in results if not one.passed]
    verdict = f"{len(failed)} of {len(results)} conditions of the gate failed." if failed else "The gate is passed."
    return page.page(
        title,
        page.paragraph(f"{verdict} Content hash {candidate.content_hash}.", kind="bad" if failed else "good"),
        page.table(
            ("condition", "", "what was found"), [(one.name, "passed" if one.passed else "failed", one.sentence) for one in results]
        ),
        page.heading("Metrics"),
        _metrics([("candidate", own), *([("live version", live)] if live.height else [])]),
        page.heading("Against the live version"),
        _paired(metrics.filter(pl.col("version") == "difference")),
        _gallery(pictures),
        page.heading("Slices"),
        _slices(own),
        page.heading("What changed"),
        _changed(before, candidate),
        page.markdown(card(title=f"Model card of {title}", record=candidate.record, metrics=measured(own), gate=[])),
    )


def comparison_page(model: str, sides: Sequence[Side]) -> str:
    """Versions side by side; the first is the one that the others are measured against."""
    first, *others = sides
    shared = next((one.differences[0] for one in others if one.differences), None)
    where = f"On {shared.rows:,} examples of {shared.days} days that none was trained on" if shared else "On shared examples"
    return page.page(
        f"{model}: {', '.join(one.name for one in others)} against {first.name}",
        page.heading("Each on its own held-out days"),
        _metrics([(one.name, one.evaluation) for one in sides]),
        page.heading(f"{where}, against {first.name}"),
        *(page.paragraph(f"{one.name}: {one.alone}", kind="bad") for one in sides if one.alone),
        page.table(
            ("version", "slice", "metric", "difference and interval", "which is"), list(_differences(others)), empty="Not compared."
        ),
        page.heading("What changed"),
        *(_changes(first.record, one.record, name=one.name) for one in others),
        page.heading("Cost"),
        page.table(("version", "size", "fit"), [(one.name, f"{one.size / MEGABYTE:.3g} MB", cost(one.record)) for one in sides]),
        *(f"{page.heading(one.name)}{_gallery(one.pictures)}" for one in sides if one.pictures),
        width=80,
    )


def section(before: Release | None, after: Release) -> str:
    """What changed since the version before, as Markdown for an asset page."""
    if before is None:
        return "The first version."
    found = changes(before.record, after.record)
    return (
        "\n".join(f"- **{kind}**: {text}" for kind, text in found) or "Nothing: data, features, settings, code and libraries are the same."
    )


def _metrics(sides: Sequence[tuple[str, pl.DataFrame]]) -> str:
    known = {name: {one.name: str(one) for one in measured(evaluation)} for name, evaluation in sides}
    names = list(dict.fromkeys(metric for values in known.values() for metric in values))
    return page.table(("metric", *known), [(name, *(values.get(name, "-") for values in known.values())) for name in names])


def _paired(told: pl.DataFrame) -> str:
    """Differences from the live version, as the evaluation holds them."""
    lines = [
        ("all" if by == "all" else f"{by} {name}", f"{rows:,}", metric, difference(value, low, high), verdict)
        for by, name, rows, metric, value, low, high, verdict in told.select(
            "slice_by", "slice", "rows", "metric", "value", "low", "high", "sentence"
        ).iter_rows()
    ]
    return page.table(("slice", "rows", "metric", "difference and interval", "which is"), lines, empty="Not compared.")


def difference(value: float | None, low: float | None, high: float | None) -> str:
    """A paired difference with its interval."""
    said = "-" if value is None else f"{value:+.4g}"
    return said if low is None or high is None else f"{said} [{low:+.4g}, {high:+.4g}]"


def _slices(evaluation: pl.DataFrame) -> str:
    """A row a slice, a column a metric."""
    parts = evaluation.filter(pl.col("slice_by") != "all").sort("slice_by", "slice", maintain_order=True)
    found: dict[tuple[str, str], dict[str, str]] = {}
    for by, name, metric, value, rows in parts["slice_by", "slice", "metric", "value", "rows"].iter_rows():
        row = found.setdefault((f"{by} {name}", f"{rows:,}"), {})
        row[metric] = "too few" if value is None else f"{value:.4g}"
    metrics = list(dict.fromkeys(metric for row in found.values() for metric in row))
    lines = [(*where, *(row.get(metric, "-") for metric in metrics)) for where, row in found.items()]
    return page.table(("slice", "rows", *metrics), lines, empty="This model names no slices.")


def _differences(sides: Sequence[Side]) -> Iterator[tuple[str, str, str, str, str]]:
    for side in sides:
        for one in side.differences:
            where = "all" if one.slice_by == "all" else f"{one.slice_by} {one.slice}"
            yield side.name, where, one.metric, difference(one.value, one.low, one.high), one.verdict


def _changed(before: Release | None, after: Release) -> str:
    if before is None:
        return page.paragraph("No version is live, so there is nothing to compare with.", kind="open")
    return _changes(before.record, after.record, name=f"against the live version {before.content_hash[:12]}")


def _changes(before: Mapping[str, object], after: Mapping[str, object], *, name: str) -> str:
    return page.paragraph(name) + page.table(("what", "how"), changes(before, after), empty="Nothing.")


def _gallery(pictures: Mapping[str, str]) -> str:
    return (
        f"<div style='display:flex;flex-wrap:wrap;gap:2rem;margin:1rem 0'>{''.join(f'<div>{svg}</div>' for svg in pictures.values())}</div>"
    )
