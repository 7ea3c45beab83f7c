"""Predictions to monitor: profiles, drift, realised performance, a report. The verdict decides what happens next, never the picture."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import polars as pl

from mlops_assets.keys import address, key, table
from mlops_assets.lifecycle.assets import Result, asset, described, history, result, rounded
from mlops_assets.lifecycle.checks import contract_of
from mlops_assets.lifecycle.examples import DAY, EXAMPLE_MONTH, ROW_ID, labels
from mlops_assets.lifecycle.tables import Monitored
from mlops_assets.specs import ModelSpec
from resources.clock import Clock
from resources.lake import Lake
from resources.monitors.plots import bars_markdown, lines_svg, markdown
from resources.registry.releases import Release
from resources.registry.resource import Registry
from resources.reports import Reports
from resources.serving.scoring import score
from resources.tracking.resource import Tracking

if TYPE_CHECKING:
    from resources.monitors.drift import Drift
    from resources.monitors.performance import Baseline, Performance

HISTORY: Final = timedelta(days=70)
"""Ten weeks: eight same weekdays of history for the first day of a month, and two to spare for holidays."""


MOST: Final = 12


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the monitor found in a month: one row a day and column, drift and performance in words, realised metrics."""

    rows: pl.DataFrame
    inputs: "Drift"
    realised: "Performance"
    metrics: pl.DataFrame
    labelled: pl.DataFrame


def judge(
    spec: ModelSpec, predicted: pl.DataFrame, training: pl.DataFrame, settled: pl.DataFrame, release: Release, *, month: str
) -> Judgement:
    """Judge the predictions of ``month``.

    ``predicted`` is what ``judged_by`` gives, ``training`` the examples that the version was trained and judged on, ``settled`` the labels
    of all of ``predicted`` with their state. History before the first prediction is that of the training set: the same columns, read alike.
    """
    from resources.monitors.drift import drift, summary
    from resources.monitors.metrics import evaluate
    from resources.monitors.performance import daily_losses, performance
    from resources.monitors.profiles import Reference, daily_profile

    features = tuple(release.signature["features"])
    current = predicted.filter(pl.col(EXAMPLE_MONTH) == month)
    since: date = current[DAY].min()  # pyright: ignore[reportAssignmentType]  a Date column, not empty
    reference = Reference.of(training, columns=features)
    past = pl.concat([part.select(DAY, *features) for part in (training, predicted.filter(pl.col(DAY) > training[DAY].max()))])
    profiles = daily_profile(past.filter(pl.col(DAY) >= since - HISTORY), columns=features, reference=reference)
    drifted = drift(profiles, reference=reference, since=since)
    labelled = current.join(settled, on=ROW_ID, how="left", maintain_order="left").with_columns(settled=pl.col("label_state") != "pending")
    mine = predicted.filter(pl.col("content_hash") == release.content_hash).join(settled, on=ROW_ID, how="left", maintain_order="left")
    losses = daily_losses(mine.with_columns(settled=pl.col("label_state") != "pending"), task=spec.task)
    realised = performance(losses, baseline=_baseline(spec, release, training), since=since)
    mature = labelled.filter(pl.col("label_state") == "mature")
    metrics = evaluate(task=spec.task, frame=mature, slices=[col.name for col in spec.slices], seed=spec.seed)
    return Judgement(
        rows=pl.concat([drifted, realised.rows]), inputs=summary(drifted), realised=realised, metrics=metrics, labelled=labelled
    )


def _baseline(spec: ModelSpec, release: Release, training: pl.DataFrame) -> "Baseline | None":
    """Daily losses on the days that this version was judged on before it went live."""
    from resources.monitors.performance import Baseline, daily_losses

    held_out = training.filter(pl.col(DAY) >= pl.lit(release.record["identity"]["trained_until"]).str.to_date())
    predictions = score(release.signature["entry"], dict(release.parts), held_out, tuple(release.signature["features"]))
    return Baseline.of(daily_losses(held_out.with_columns(predictions.alias("prediction")), task=spec.task))


def daily(spec: ModelSpec, *, partitions_def: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    """The monitor of a model: one row for each day and column of a month, the verdicts, and an HTML report."""
    asset_key, contract = key("monitor", spec.name, "daily"), contract_of(Monitored, open=True)

    @asset(
        **described(asset_key, owner=spec.owner, level=spec.level, kinds={"polars", "evidently"}, cadence="monthly", contract=contract,
                    description=f"How {spec.name} did in the month: drift of every input by day, realised performance, report."),
        ins={"predicted": history(key("prediction", spec.name, "batch")), "source": history(table(spec.examples.table))},
        partitions_def=partitions_def,
    )  # fmt: skip
    def verdicts(
        context: dg.AssetExecutionContext,
        predicted: pl.LazyFrame,
        source: pl.LazyFrame,
        lake: Lake,
        registry: Registry,
        clock: Clock,
        reports: Reports,
        tracking: Tracking,
    ) -> Result:
        month = context.partition_key
        answers = judged_by(predicted, month)
        release = registry.released(spec.name, answers.filter(pl.col(EXAMPLE_MONTH) == month)["content_hash"][0])
        training = training_of(spec, lake, release)
        found = judge(spec, answers, training, settled(spec, source, answers, until=clock.now()), release, month=month)
        page = reports.page(spec.name, month)
        write(spec, found, training, page, title=f"{spec.name} {month}")
        links = {"report": reports.link(spec.name, month), "mlflow_run": tracking.ui_url(release.record["provenance"]["mlflow_run_id"])}
        yield from result(
            asset_key, found.rows, contract, {**{name: dg.MetadataValue.url(link) for name, link in links.items()}, **metadata(found)}
        )

    return verdicts


def judged_by(predicted: pl.LazyFrame, month: str) -> pl.DataFrame:
    """The predictions that a month is judged by: its own, those of the ``HISTORY`` before it, and all of the version that made it."""
    own = predicted.filter(pl.col(EXAMPLE_MONTH) == month).select(pl.col(DAY).min(), pl.col("content_hash").first())
    since, version = own.collect().row(0)
    return predicted.filter((pl.col(DAY) >= since - HISTORY) | (pl.col("content_hash") == version)).collect()


def settled(spec: ModelSpec, source: pl.LazyFrame, predicted: pl.DataFrame, *, until: datetime) -> pl.DataFrame:
    """The labels of predictions as known at ``until``: a version that lives for months is judged by all of them."""
    months = predicted[EXAMPLE_MONTH].unique().implode()
    return labels(spec, source.filter(pl.col("month").is_in(months)).collect(), until=until)


def training_of(spec: ModelSpec, lake: Lake, release: Release) -> pl.DataFrame:
    """The training set of a release. Which cut-off it is only the release knows, so that this is no edge of the graph."""
    return lake.read(address(key("training_set", spec.name, "examples")), partitions=[release.record["identity"]["cutoff"]]).collect()


def write(spec: ModelSpec, found: Judgement, training: pl.DataFrame, page: Any, *, title: str) -> None:
    """The Evidently report of the most drifted columns."""
    from resources.monitors.report import write_report

    columns = [one.column for one in found.inputs.columns][: spec.monitor.columns]
    write_report(
        page,
        reference=training,
        current=found.labelled,
        columns=columns,
        seed=spec.seed,
        sample=spec.monitor.sample,
        title=title,
    )


def metadata(found: Judgement) -> dict[str, Any]:
    """What the asset page shows of a month."""
    overall = found.metrics.filter((pl.col("slice_by") == "all") & pl.col("value").is_not_null())
    return {
        "drift": found.inputs.verdict,
        "drift_sentence": found.inputs.sentence,
        "drift_alarms": found.inputs.alarms,
        "performance": found.realised.verdict,
        "performance_sentence": found.realised.sentence,
        "predictions": found.labelled.height,
        "labelled": found.labelled.filter(pl.col("label_state") == "mature").height,
        **rounded(dict(overall.select("metric", "value").iter_rows())),
        "drift_by_column": dg.MetadataValue.md(
            bars_markdown(_effects(found.inputs), title="Most drifted columns", alarms=_alarmed(found.inputs))
        ),
        "loss_by_day": dg.MetadataValue.md(markdown(_losses(found.realised), alt="Daily loss")),
    }


def _effects(inputs: "Drift") -> dict[str, float]:
    return {one.column: one.effect or 0.0 for one in inputs.columns[:MOST]}


def _alarmed(inputs: "Drift") -> list[str]:
    return [one.column for one in inputs.columns if one.alarms]


def _losses(realised: "Performance") -> str:
    days = realised.rows.sort(DAY)
    return lines_svg([str(day) for day in days[DAY]], days["mean"].to_list(), title="Daily loss")
