"""Model to evaluation: metrics on the held-out days, comparison with the live version, and the gate. The only judge of a candidate."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import dagster as dg
import polars as pl

from mlops_assets.keys import key
from mlops_assets.lifecycle.assets import Result, asset, described, month_of, result, rounded
from mlops_assets.lifecycle.checks import contract_of
from mlops_assets.lifecycle.examples import DAY
from mlops_assets.lifecycle.reporting import training_page
from mlops_assets.lifecycle.tables import Evaluated
from mlops_assets.specs import ModelSpec
from resources.monitors.frames import ALL, EVALUATION, MAIN
from resources.monitors.plots import bars_markdown, bars_svg, calibration_svg, markdown
from resources.registry.card import missing
from resources.registry.releases import MANIFEST, RECORD, Release
from resources.registry.resource import Registry
from resources.reports import Reports
from resources.serving.scoring import score
from resources.tracking.resource import Run, Tracking
from resources.whole import write_whole

if TYPE_CHECKING:
    from resources.monitors.gate import Difference, GateResult

GATE: Final = "gate"
DIFFERENCE: Final = "difference"
PREDICTION: Final = "prediction"
LIVE_PREDICTION: Final = "live_prediction"
MEGABYTE: Final = 1_000_000


def scored(release: Release, rows: pl.DataFrame, *, name: str = PREDICTION) -> pl.DataFrame:
    """Rows with the release's predictions."""
    features = tuple(release.signature["features"])
    return rows.with_columns(score(release.signature["entry"], dict(release.parts), rows, features).alias(name))


def comparable(live: Release | None, rows: pl.DataFrame) -> pl.DataFrame:
    """The held-out rows that the live version was not trained on either; none if it reads features that these rows lack."""
    if live is None or any(name not in rows.columns for name in live.signature["features"]):
        return rows.clear()
    trained_until = pl.lit(live.record["identity"]["trained_until"]).str.to_date()
    return rows.filter(pl.col(DAY) >= trained_until)


def alike(rival: Release, candidate: Release) -> bool:
    """Whether both are read by the same code from the same definitions of features: else what is made of the rival here says nothing."""
    theirs, ours = rival.record["identity"]["views"], candidate.record["identity"]["views"]
    same_views = all(ours.get(view, definition) == definition for view, definition in theirs.items())
    return same_views and rival.signature["code_hash"] == candidate.signature["code_hash"]


def judge(spec: ModelSpec, rows: pl.DataFrame, live: Release | None) -> tuple[pl.DataFrame, "list[GateResult]"]:
    """The evaluation frame and the gate's findings for held-out ``rows`` with a ``prediction``; ``live`` is compared on rows new to it.

    How they differ is told whatever the gate asks: whoever has to agree looks at it.
    """
    from resources.monitors.gate import AGAINST_LIVE, gate
    from resources.monitors.metrics import evaluate

    slices = [col.name for col in spec.slices]
    metrics = evaluate(task=spec.task, frame=rows, slices=slices, seed=spec.seed)
    found, others = _against(spec, comparable(live, rows), live)
    told = pl.concat([_of("candidate", metrics), *others])
    if (asked := spec.gate) is None:
        return told, []
    overall = next((one for one in found if one.slice_by == ALL and one.metric == MAIN[spec.task]), None)
    by_slice = [one for one in found if one.slice_by != ALL]
    results = gate(evaluation=metrics, floors=asked.floors, ceilings=asked.ceilings, difference=overall, slices=by_slice)
    return told, [one for one in results if asked.against_live or not one.name.startswith(AGAINST_LIVE)]


def weight(files: Mapping[str, bytes]) -> int:
    """Bytes of a release's parts and signature; a record is as long as its run was slow."""
    return sum(len(content) for name, content in files.items() if name not in {RECORD, MANIFEST})


def conditions(spec: ModelSpec, rows: pl.DataFrame, candidate: Release, *, size: int) -> "list[GateResult]":
    """What the gate asks beyond quality: groups treated alike, an answer in time, ``size`` bytes, an allowed licence, a whole card."""
    from resources.monitors.gate import condition, fair, within
    from resources.serving.latency import latency_ms

    if (asked := spec.gate) is None:
        return []
    alike = [
        fair(task=spec.task, frame=rows, by=column.name, metric=one.metric, most=one.most, seed=spec.seed)
        for one, column in zip(asked.fair, spec.groups, strict=True)
    ]
    took = latency_ms(candidate) if asked.latency_ms is not None else None
    unsaid = [f"card.md does not say: {one}." for one in missing(candidate.record["provenance"]["card"])]
    refused = [f"Licence {spec.licence} is none of {', '.join(asked.licences)}."] if spec.licence not in asked.licences else []
    return [
        *alike,
        *within("latency of one answer", took, asked.latency_ms, unit="ms"),
        *within("size of the release", size / MEGABYTE, asked.size_mb, unit="MB"),
        condition("licence", refused, kept=f"Licence {spec.licence} is allowed."),
        condition("card", unsaid, kept="The model's card is complete."),
    ]


def _against(spec: ModelSpec, shared: pl.DataFrame, live: Release | None) -> "tuple[list[Difference], list[pl.DataFrame]]":
    """How the candidate differs from the live version, and the rows of the evaluation that say so."""
    from resources.monitors.metrics import evaluate

    if live is None or shared.is_empty():
        return [], []
    both = scored(live, shared, name=LIVE_PREDICTION)
    of_live = evaluate(task=spec.task, frame=both.with_columns(pl.col(LIVE_PREDICTION).alias(PREDICTION)), slices=(), seed=spec.seed)
    found = list(differences(spec, both))
    told = pl.DataFrame([{name: getattr(one, name) for name in EVALUATION} for one in found], schema=EVALUATION)
    verdicts = pl.Series([one.verdict for one in found], dtype=pl.String)
    return found, [_of("live", of_live), _of(DIFFERENCE, told).with_columns(sentence=verdicts, against=pl.lit(live.content_hash))]


def differences(spec: ModelSpec, both: pl.DataFrame) -> "Iterator[Difference]":
    """How ``prediction`` differs from ``live_prediction``: in each metric that has a better side, and in the main one by slice."""
    from resources.monitors.gate import paired, paired_slices
    from resources.monitors.metrics import BETTER, METRICS

    for metric in METRICS[spec.task]:
        if metric in BETTER:
            yield paired(task=spec.task, frame=both, metric=metric, seed=spec.seed)
    slices = [column.name for column in spec.slices]
    yield from paired_slices(task=spec.task, frame=both, metric=MAIN[spec.task], slices=slices, seed=spec.seed)


def _of(version: str, measured: pl.DataFrame) -> pl.DataFrame:
    """Rows of the evaluation about a version."""
    return measured.with_columns(version=pl.lit(version), sentence=pl.lit(None, pl.String), against=pl.lit(None, pl.String))


def evaluation_rows(metrics: pl.DataFrame, results: "Sequence[GateResult]") -> pl.DataFrame:
    """Metrics and gate findings in one table."""
    base = metrics.with_columns(passed=pl.lit(None, pl.Boolean))
    gates = pl.DataFrame(
        [{"metric": one.name, "value": one.value, "passed": one.passed, "sentence": one.sentence} for one in results],
        schema={"metric": pl.String, "value": pl.Float64, "passed": pl.Boolean, "sentence": pl.String},
    ).with_columns(
        version=pl.lit(GATE),
        against=pl.lit(None, pl.String),
        slice_by=pl.lit("all"),
        slice=pl.lit("all"),
        rows=pl.lit(0, pl.Int64),
        low=pl.lit(None, pl.Float64),
        high=pl.lit(None, pl.Float64),
    )
    return pl.concat([base, gates.select(base.columns)]).select([*Evaluated.columns])


def evaluation(spec: ModelSpec, *, partitions_def: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    """The evaluation asset with its blocking gate."""
    asset_key, contract = key("evaluation", spec.name, "holdout"), contract_of(Evaluated)
    given = described(
        asset_key, owner=spec.owner, level=spec.level, kinds={"polars", "mlflow"}, cadence="monthly", contract=contract,
        description=f"How good a candidate of {spec.name} is on its last {spec.holdout.days} days, which it was not trained on.",
    )  # fmt: skip
    gated = dg.AssetCheckSpec(
        GATE, asset=asset_key, blocking=True, description="Floors, slices, groups, budgets, licence, and not worse than the live version."
    )

    @asset(
        **{**given, "check_specs": [*given["check_specs"], gated]},
        ins={"examples": month_of(key("training_set", spec.name, "examples")), "fitted": month_of(key("model", spec.name, "parts"))},
        partitions_def=partitions_def,
    )
    def holdout(examples: pl.LazyFrame, fitted: pl.LazyFrame, registry: Registry, tracking: Tracking, reports: Reports) -> Result:
        row = fitted.collect().row(0, named=True)
        candidate, live = registry.releases().load(spec.name, row["content_hash"]), registry.ledger().live(spec.name)
        rows = scored(candidate, examples.filter(pl.col(DAY) >= row["trained_until"]).collect())
        before = registry.load(live) if live and live.content_hash != candidate.content_hash else None
        rival = before if before is not None and alike(before, candidate) else None
        metrics, results = judge(spec, rows, rival)
        results += conditions(spec, rows, candidate, size=weight(registry.releases().files(spec.name, candidate.content_hash)))
        drawn = pictures(spec, rows, candidate)
        with tracking.resume(row["mlflow_run_id"]) as run:
            describe(run, metrics, {name: svg for name, (svg, _) in drawn.items()})
        page = (spec.name, "trained", row["cutoff"])
        write_whole(
            reports.file(*page), training_page(candidate, before, metrics, results, {name: svg for name, (svg, _) in drawn.items()})
        )
        shown = {name: dg.MetadataValue.md(text) for name, (_, text) in drawn.items()}
        links = {"report": reports.address(*page), "mlflow_run": tracking.ui_url(run.id)}
        yield from result(
            asset_key,
            evaluation_rows(metrics, results),
            contract,
            {**rounded(headline(metrics)), **{name: dg.MetadataValue.url(link) for name, link in links.items()}, **shown},
            checks=[gate_result(asset_key, results)],
        )

    return holdout


def gate_result(asset_key: dg.AssetKey, results: "Sequence[GateResult]") -> dg.AssetCheckResult:
    """The gate's findings as a check result; a model without a gate has nothing to fail."""
    lines = "\n".join(f"- {'passed' if one.passed else '**failed**'}: {one.sentence}" for one in results)
    failed = [one.name for one in results if not one.passed]
    findings = dg.MetadataValue.md(lines or "This model declares no gate.")
    return dg.AssetCheckResult(
        asset_key=asset_key, check_name=GATE, passed=not failed, metadata={"findings": findings, "failed": ", ".join(failed) or "none"}
    )


def pictures(spec: ModelSpec, rows: pl.DataFrame, release: Release) -> dict[str, tuple[str, str]]:
    """Calibration and importance on the held-out rows: as SVG for MLflow, as markdown for the asset page, which shows less at once."""
    from resources.monitors.importance import permutation_importance
    from resources.monitors.metrics import calibration

    features = tuple(release.signature["features"])

    def scorer(frame: pl.DataFrame) -> pl.Series:
        return score(release.signature["entry"], dict(release.parts), frame, features)

    importance = permutation_importance(scorer, rows, features=features, task=spec.task, seed=spec.seed)
    curve = calibration_svg(calibration(rows), title=f"{spec.name}: calibration on held-out days")
    title = f"Loss of {MAIN[spec.task]} when a feature is shuffled"
    return {
        "calibration": (curve, markdown(curve, alt="calibration")),
        "importance": (bars_svg(importance, title=title, most=20), bars_markdown(importance, title=title)),
    }


def describe(run: Run, metrics: pl.DataFrame, plots: Mapping[str, str]) -> None:
    """Put the evaluation into the model's MLflow run."""
    for name, value in headline(metrics).items():
        run.metric(f"holdout_{name}", value)
    for name, svg in plots.items():
        run.artifact(f"plots/{name}.svg", svg)


def headline(metrics: pl.DataFrame) -> dict[str, float]:
    """The overall metrics of the candidate that have a value."""
    overall = metrics.filter((pl.col("slice_by") == "all") & (pl.col("version") == "candidate") & pl.col("value").is_not_null())
    return dict(overall.select("metric", "value").iter_rows())
