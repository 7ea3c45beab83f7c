"""What a replay shows at the end: a line a month, and one prediction traced to the tables it came from. Reads; computes nothing."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import dagster as dg

from mlops_assets.keys import CUTOFF_TAG, MODEL_TAG, address, key
from mlops_assets.partitions import calendar_of, end_of, shift
from mlops_assets.specs import Catalogue, ModelSpec
from resources.monitors.frames import MAIN
from resources.monitors.report import IndexRow, index_page
from resources.profiles import Resources
from resources.registry.lineage import lineage
from resources.whole import write_whole

Row = tuple[str, ...]
TRAINED: Final = "gate, metrics, what changed, model card"


def story(instance: dg.DagsterInstance, catalogue: Catalogue, resources: Resources, months: Sequence[str], *, home: Path) -> str:
    """The closing print: the table, one prediction's lineage, and where to look."""
    judged = {month: _judged(instance, catalogue, month) for month in months}
    judged = {month: said for month, said in judged.items() if said}
    header = (
        "month",
        "labelled",
        *(f"{MAIN[spec.task].upper()} {spec.name}" for spec in catalogue.models),
        "performance",
        "drift",
        "action",
        "live",
    )
    rows = [_month(instance, catalogue, resources, month, said) for month, said in judged.items()]
    _index(catalogue, resources, judged)
    parts = ["\n".join(_aligned([header, *rows]))]
    if judged:
        parts.append("\n".join(_one_prediction(catalogue.models[0], resources, max(judged))))
    parts.append(f"reports  {resources.reports.index}\nlook around  make ui\nhome  {home}")
    return "\n\n".join(parts)


def _judged(instance: dg.DagsterInstance, catalogue: Catalogue, month: str) -> dict[str, Mapping[str, Any]]:
    """Metadata of the month's monitor, by model."""
    found = {spec.name: _metadata(instance, key("monitor", spec.name, "daily"), month) for spec in catalogue.models}
    return {name: said for name, said in found.items() if said is not None}


def _metadata(instance: dg.DagsterInstance, asset_key: dg.AssetKey, month: str) -> Mapping[str, Any] | None:
    records = instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=asset_key, asset_partitions=[month]), limit=1).records
    made = records[0].asset_materialization if records else None
    return {name: value.value for name, value in made.metadata.items()} if made else None


def _month(
    instance: dg.DagsterInstance, catalogue: Catalogue, resources: Resources, month: str, said: Mapping[str, Mapping[str, Any]]
) -> Row:
    labelled = max(int(one["labelled"]) for one in said.values())
    metrics = [f"{said[spec.name][MAIN[spec.task]]:.3f}" if spec.name in said else "-" for spec in catalogue.models]
    fell = [f"{name} {one['performance']}" for name, one in said.items() if one["performance"] != "ok"]
    drifted = "/".join(str(one["drift_alarms"]) for one in said.values())
    after = end_of(shift(month, 1), calendar_of(catalogue))
    live = [(spec.name, resources.registry.ledger().live_for(spec.name, after)) for spec in catalogue.models]
    shown = ", ".join(f"{name} {entry.version}" for name, entry in live if entry is not None)
    return (month, f"{labelled:,}", *metrics, ", ".join(fell) or "ok", drifted, _action(instance, month), shown)


def _verdict(said: Mapping[str, Any]) -> Iterator[str]:
    if said["performance"] != "ok":
        yield f"performance {said['performance']}"
    if said["drift"] != "ok":
        yield f"{said['drift']} ({said['drift_alarms']})" if said["drift_alarms"] else str(said["drift"])


def _action(instance: dg.DagsterInstance, month: str) -> str:
    """What the trainings with this cut-off ended in."""
    runs = instance.get_runs(dg.RunsFilter(tags={CUTOFF_TAG: month}))
    newest = {run.tags[MODEL_TAG]: run for run in reversed(runs)}
    ends = {name: "live" if run.status == dg.DagsterRunStatus.SUCCESS else "refused" for name, run in sorted(newest.items())}
    if len(set(ends.values())) == 1:
        return f"retrained, {next(iter(ends.values()))}"
    return ", ".join(f"{name} {end}" for name, end in ends.items()) or "-"


def _index(catalogue: Catalogue, resources: Resources, judged: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    rows = [
        IndexRow(
            month=month,
            model=name,
            verdict=", ".join(_verdict(said)) or "ok",
            detail=said["performance_sentence"],
            link=f"{name}/{month}.html",
        )
        for month, models in judged.items()
        for name, said in models.items()
    ]
    trained = [page for spec in catalogue.models for page in resources.reports.file(spec.name, "trained", "").parent.glob("*.html")]
    rows += [
        IndexRow(month=page.stem, model=page.parts[-3], verdict="trained", detail=TRAINED, link="/".join(page.parts[-3:]))
        for page in trained
    ]
    write_whole(resources.reports.index, index_page(rows, title=f"Reports of {catalogue.project}"))


def _one_prediction(spec: ModelSpec, resources: Resources, month: str) -> list[str]:
    """The month's highest prediction and where it comes from."""
    frame = resources.lake.read(address(key("prediction", spec.name, "batch")), partitions=[month])
    row = frame.sort("prediction", "row_id", descending=[True, False]).head(1).collect().row(0, named=True)
    told = [
        entry
        for entry in resources.registry.ledger().entries(spec.name)
        if entry.content_hash == row["content_hash"] and "why" in entry.payload
    ]
    release = resources.registry.released(spec.name, row["content_hash"])
    head = f"one prediction of {spec.name}:  {row['row_id']} on {row['day']}  {row['prediction']:.3f}  id {row['prediction_id']}"
    return [head, *(f"  {line}" for line in lineage(told[-1], release.record))]


def _aligned(rows: Sequence[Row]) -> list[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
