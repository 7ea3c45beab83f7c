"""Evaluation to release: a candidate enters the ledger when its gate passed, and one entry makes it live. Everything else follows."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg
import polars as pl

from mlops_assets.keys import key
from mlops_assets.lifecycle.assets import Result, asset, described, month_of, result
from mlops_assets.lifecycle.checks import contract_of
from mlops_assets.lifecycle.evaluation import DIFFERENCE, GATE
from mlops_assets.lifecycle.reporting import section
from mlops_assets.lifecycle.tables import Candidate, Live
from mlops_assets.specs import ModelSpec
from resources.clock import Clock
from resources.errors import PlatformError
from resources.monitors.frames import ALL
from resources.registry import states
from resources.registry.acts import overridden
from resources.registry.mirror import follow
from resources.registry.resource import Registry
from resources.registry.states import Entry
from resources.reports import Reports
from resources.tracking.resource import Tracking


class GateFailed(PlatformError):
    """A candidate that did not pass."""

    def __init__(self, spec: ModelSpec, cutoff: str, sentences: list[str], *, content_hash: str) -> None:
        reasons = "\n".join(f"  {one}" for one in sentences)
        super().__init__(
            f"{spec.name} {cutoff} did not pass its gate, so it was not registered.\n{reasons}\n"
            f"What is live stays live. Train again with more data, or change the gate in the spec of {spec.name}. Whoever answers for it "
            f"all the same: python -m mlops_assets.operate override {spec.name} {content_hash} --token <file> --why '...', then "
            f"materialize release/{spec.name}/candidate of this month."
        )


HOLDS: Final = "ledger_holds"


class NoCandidate(PlatformError):
    """Nothing that could go live."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(
            f"{spec.name} has no candidate, so nothing can go live. Materialize release/{spec.name}/candidate for a cut-off month."
        )


def candidate(spec: ModelSpec, *, partitions_def: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    """A version in the ledger, with the gate's findings; in MLflow under the alias ``candidate``."""
    asset_key, contract = key("release", spec.name, "candidate"), contract_of(Candidate)

    @asset(
        **described(asset_key, owner=spec.owner, level=spec.level, kinds={"mlflow", "sqlite"}, cadence="monthly", contract=contract,
                    description=f"A version of {spec.name} whose gate passed: registered in the ledger and in MLflow."),
        ins={"fitted": month_of(key("model", spec.name, "parts")), "holdout": month_of(key("evaluation", spec.name, "holdout"))},
        partitions_def=partitions_def,
    )  # fmt: skip
    def registered(
        context: dg.AssetExecutionContext,
        fitted: pl.LazyFrame,
        holdout: pl.LazyFrame,
        registry: Registry,
        tracking: Tracking,
        clock: Clock,
        reports: Reports,
    ) -> Result:
        row, judged = fitted.collect().row(0, named=True), holdout.collect()
        gates = judged.filter(pl.col("version") == GATE)
        failed, word = gates.filter(~pl.col("passed"))["sentence"].to_list(), override_of(registry, spec, row["content_hash"])
        if failed and word is None:
            raise GateFailed(spec, context.partition_key, failed, content_hash=row["content_hash"])
        loud = _loud(word if failed else None)
        for said in loud.values():
            context.log.warning(said)
        facts = {"cutoff": row["cutoff"], "level": spec.level, **findings(judged), **loud}
        entry = registry.register(
            spec.name, row["content_hash"], mlflow_run_id=row["mlflow_run_id"], actor=actor(context), data_at=clock.now(), facts=facts
        )
        followed(context, registry, tracking, spec.name)
        version = int(entry.version or 0)
        frame = pl.DataFrame({"content_hash": [row["content_hash"]], "model": [spec.name], "version": [version], "cutoff": [row["cutoff"]]})
        about = {"version": version, "content_hash": row["content_hash"], "changed": dg.MetadataValue.md(changed(registry, entry))}
        link = dg.MetadataValue.url(reports.address(spec.name, "trained", row["cutoff"]))
        yield from result(asset_key, frame, contract, {**about, "report": link, **loud})

    return registered


def live(spec: ModelSpec) -> dg.AssetsDefinition:
    """The version that answers: the newest candidate, promoted by one ledger entry; in MLflow under the alias ``production``."""
    asset_key, contract = key("release", spec.name, "live"), contract_of(Live)
    given = described(
        asset_key, owner=spec.owner, level=spec.level, kinds={"mlflow", "sqlite"}, cadence="on_release", contract=contract,
        description=f"The live version of {spec.name}. One ledger entry decides; MLflow's alias and the service follow.",
    )  # fmt: skip
    holds = dg.AssetCheckSpec(HOLDS, asset=asset_key, blocking=True, description="The ledger's chain is whole and its head is signed.")

    @asset(
        **{**given, "check_specs": [*given["check_specs"], holds]},
        deps=[key("release", spec.name, "candidate")],
    )  # fmt: skip
    def promoted(context: dg.AssetExecutionContext, registry: Registry, tracking: Tracking, clock: Clock) -> Result:
        try:
            count = registry.ledger().verify()
        except PlatformError as problem:  # nothing is promoted on a ledger that does not hold
            yield dg.AssetCheckResult(asset_key=asset_key, check_name=HOLDS, passed=False, description=str(problem))
            raise
        entry = registry.promote(spec.name, newest(spec, registry.ledger().entries(spec.name)), actor=actor(context), data_at=clock.now())
        repaired = followed(context, registry, tracking, spec.name)
        frame = pl.DataFrame({"model": [spec.name], "version": [entry.version], "content_hash": [entry.content_hash]})
        yield from result(
            asset_key,
            frame,
            contract,
            {
                "version": int(entry.version or 0),
                "ledger_entry": entry.seq,
                "repaired": dg.MetadataValue.md("\n".join(repaired) or "nothing"),
            },
            checks=[dg.AssetCheckResult(asset_key=asset_key, check_name=HOLDS, passed=True, metadata={"entries": count})],
        )

    return promoted


def findings(judged: pl.DataFrame) -> dict[str, object]:
    """What an evaluation found, as the ledger's entry keeps it for whoever has to agree."""
    gate = judged.filter(pl.col("version") == GATE).select(pl.col("metric").alias("name"), "passed", "sentence")
    return {"gate": gate.to_dicts(), "metrics": measured(judged), "against": against(judged)}


def measured(judged: pl.DataFrame) -> dict[str, list[float | None]]:
    """Each metric of the candidate on all held-out examples: value, low and high, as the ledger's entry keeps them."""
    overall = judged.filter((pl.col("version") == "candidate") & (pl.col("slice_by") == "all"))
    return {name: list(values) for name, *values in overall.select("metric", "value", "low", "high").iter_rows()}


def against(judged: pl.DataFrame) -> dict[str, Any] | None:
    """How the candidate differs from the version that was live, on all examples that neither was trained on; None: not compared.

    Of each metric the difference, low, high, and which is better.
    """
    told = judged.filter((pl.col("version") == DIFFERENCE) & (pl.col("slice_by") == ALL))
    if told.is_empty():
        return None
    values = {name: list(said) for name, *said in told.select("metric", "value", "low", "high", "sentence").iter_rows()}
    return {"content_hash": told["against"][0], "rows": told["rows"][0], "differences": values}


def changed(registry: Registry, entry: Entry) -> str:
    """What is different in a version from the one that is live, as Markdown."""
    live = registry.ledger().live(entry.subject)
    return section(registry.load(live) if live and live.content_hash != entry.content_hash else None, registry.load(entry))


def newest(spec: ModelSpec, entries: Sequence[Entry]) -> int:
    """The newest version that may go live, or is live already."""
    numbers, now = states.versions(entries), states.states(entries)
    eligible = [number for name, number in numbers.items() if now.get(name) in {"candidate", "approved", "live"}]
    if not eligible:
        raise NoCandidate(spec)
    return max(eligible)


def override_of(registry: Registry, spec: ModelSpec, content_hash: str) -> Entry | None:
    """The word of a person against the gate of a release, while it counts."""
    return overridden(registry.ledger().entries(spec.name), content_hash, at=datetime.now(UTC))


def _loud(word: Entry | None) -> Mapping[str, str]:
    """An override as the asset page and the ledger show it; nothing when the gate needed none."""
    if word is None:
        return {}
    said = word.payload
    return {"gate_overridden": f"The gate failed and was overridden by {said['person']} until {said['expires_at']}: {said['why']}"}


def followed(context: dg.AssetExecutionContext | dg.OpExecutionContext, registry: Registry, tracking: Tracking, model: str) -> list[str]:
    """MLflow follows, and what was put right is said. The entry counts already: a server that is away follows at a later tick."""
    try:
        repaired = follow(registry.ledger(), tracking, model=model)
    except PlatformError as problem:
        context.log.warning("%s: MLflow does not follow the ledger yet; a later tick does. %s", model, problem)
        return []
    for sentence in repaired:
        context.log.warning(sentence)
    return repaired


def actor(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> str:
    """Who acts: the person that launched the run, else the platform's run."""
    return context.run.tags.get("user", "dagster")
