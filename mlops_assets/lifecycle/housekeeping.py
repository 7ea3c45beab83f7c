"""What is left over: spooled runs are delivered, dead ones closed, old bytes freed. Never what is live, approved, referenced or young."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import dagster as dg
from pydantic import Field

from mlops_assets.lifecycle.release import followed
from mlops_assets.lifecycle.tracing import predicted
from mlops_assets.specs import Catalogue
from resources.clock import Clock
from resources.lake import Lake
from resources.registry import acts
from resources.registry.acts import By
from resources.registry.resource import Registry
from resources.registry.retention import free
from resources.registry.shelf import Kept
from resources.registry.states import Entry
from resources.tracking import retention as runs
from resources.tracking.resource import Tracking

BEGUN: Final = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


class CleanUp(dg.Config):
    """What a clean-up may do."""

    apply: bool = Field(default=False, description="Do it; without it the run only says what it would do.")
    keep_days: int = Field(
        default=90, ge=0, description="Nothing younger is touched; nor, with any number, what a run in progress made or may have made."
    )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What may go: releases by model, with their registration if they were registered, and MLflow runs; ids of runs that must stay."""

    releases: Sequence[tuple[str, Kept, Entry | None]]
    runs: Sequence[Any]
    needed: frozenset[str]

    def lines(self) -> list[str]:
        """A sentence for each."""
        known = [(model, one, f"version {entry.version}" if entry else "never registered") for model, one, entry in self.releases]
        return [
            *(f"release {model}/{one.content_hash[:12]} ({what}): {one.size:,} bytes" for model, one, what in known),
            *(f"run {run.info.run_id} ({run.info.run_name}, {run.info.status}): {runs.size(run):,} bytes" for run in self.runs),
        ]

    def size(self) -> int:
        """Bytes that going frees here; what a tracking server frees it knows alone."""
        return sum(one.size for _, one, _ in self.releases) + sum(map(runs.size, self.runs))


@dataclass(frozen=True, kw_only=True)
class InProgress:
    """Runs of this instance that have begun and not ended: since when the oldest is known, and the releases that they have made so far."""

    since: datetime | None
    made: frozenset[str]

    def __str__(self) -> str:
        return f" Runs are in progress, so nothing since {self.since:%Y-%m-%d %H:%M:%S} is touched." if self.since else ""


def in_progress(instance: dg.DagsterInstance, *, but: str) -> InProgress:
    """Look at every run in progress ``but`` one. What they made again may be older than they are: it is told by its hash."""
    records = [one for one in instance.get_run_records(dg.RunsFilter(statuses=BEGUN)) if one.dagster_run.run_id != but]
    of_type = dg.DagsterEventType.ASSET_MATERIALIZATION
    said = [said for one in records for said in instance.get_records_for_run(one.dagster_run.run_id, of_type=of_type).records]
    made = [one.asset_materialization.metadata.get("content_hash") for one in said if one.asset_materialization is not None]
    return InProgress(
        since=min((one.create_timestamp for one in records), default=None),
        made=frozenset(str(one.value) for one in made if one is not None),
    )


def planned(
    registry: Registry, tracking: Tracking, lake: Lake, models: Sequence[str], *, before: datetime, spared: Collection[str] = ()
) -> Plan:
    """What may go of these models: nothing since ``before``, nor a release that is ``spared`` by its hash."""
    releases: list[tuple[str, Kept, Entry | None]] = []
    needed: set[str] = set()
    kept: set[str] = set()
    for model in models:
        entries = registry.ledger().entries(model)
        registered = {entry.content_hash: entry for entry in entries if entry.kind == "registered"}
        freed = {entry.content_hash for entry in free(entries, predicted={*_answered(lake, model), *spared}, before=before)}
        for one in registry.releases().shelf.kept(model):
            if one.content_hash in freed or (one.content_hash not in {*registered, *spared} and one.at < before):
                releases.append((model, one, registered.get(one.content_hash)))
            else:
                kept.add(one.content_hash)
        needed |= {str(entry.payload.get("mlflow_run_id")) for name, entry in registered.items() if name not in freed}
    old_runs = runs.unneeded(tracking, models, needed=needed, kept=kept, before=before)
    return Plan(releases=releases, runs=old_runs, needed=frozenset(needed))


def _answered(lake: Lake, model: str) -> set[str]:
    return {one.content_hash for one in predicted(lake, [model])}


def carried_out(plan: Plan, registry: Registry, tracking: Tracking, models: Sequence[str], by: By) -> list[str]:
    """Do what the plan says: first the ledger, then bytes, then MLflow. Killed in between, the next goes on. What came back."""
    for model, one, entry in plan.releases:
        if entry is not None:
            acts.free(registry.desk(), model, int(entry.version or 0), by)
        registry.releases().shelf.free(model, one.content_hash)
    back = runs.restore(tracking, models, plan.needed)
    runs.delete(tracking, models, plan.runs)
    return back


def housekeeping(catalogue: Catalogue) -> Iterator[dg.JobDefinition]:
    """``deliver_tracking`` and ``clean_up``."""
    models = [spec.name for spec in catalogue.models]

    @dg.op(name="deliver_what_waits")
    def deliver(context: dg.OpExecutionContext, tracking: Tracking) -> None:
        problems = tracking.deliver()
        for problem in problems:
            context.log.warning("%s", problem)
        if problems:
            raise problems[0]
        for sentence in runs.reap(tracking, lambda run_id: over(context.instance, run_id)):
            context.log.info("%s", sentence)

    @dg.op(name="free")
    def clean(context: dg.OpExecutionContext, config: CleanUp, registry: Registry, tracking: Tracking, lake: Lake, clock: Clock) -> None:
        going, before = in_progress(context.instance, but=context.run_id), datetime.now(UTC) - timedelta(days=config.keep_days)
        before = min(before, going.since or before)
        plan = planned(registry, tracking, lake, models, before=before, spared=going.made)
        lines, size = plan.lines(), plan.size()
        if config.apply:
            lines += carried_out(plan, registry, tracking, models, _by(context, clock))
            for model in dict.fromkeys(model for model, *_ in plan.releases):
                followed(context, registry, tracking, model)
        said = f"{'Freed' if config.apply else 'Would free'} {size:,} bytes.{going}\n" + "\n".join(lines)
        context.log.info("%s", said)
        context.add_output_metadata({"bytes": size, "applied": config.apply, "what": dg.MetadataValue.md(f"```\n{said}\n```")})

    yield _job("deliver_tracking", deliver, "Deliver to MLflow what runs said while it was away; close runs whose Dagster run has ended.")
    yield _job("clean_up", clean, "Free releases and MLflow runs that nobody needs. Says what it would do; does it with `apply: true`.")


def over(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether a Dagster run has ended. One that this instance does not know may be another's."""
    run = instance.get_run_by_id(run_id) if run_id else None
    return run is not None and run.is_finished


def _by(context: dg.OpExecutionContext, clock: Clock) -> By:
    return By(actor=context.run.tags.get("user", "dagster"), data_at=clock.now(), why="its bytes were freed")


def _job(name: str, op: dg.OpDefinition, description: str) -> dg.JobDefinition:
    return dg.GraphDefinition(name=name, node_defs=[op], description=description).to_job()  # pyright: ignore[reportUnknownMemberType]  half of its signature is typed
