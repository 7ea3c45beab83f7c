"""Acts as Dagster jobs: the verbs of ``mlops_assets.verbs`` from the launchpad, the check of the ledger, what waits, what is red."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import dagster as dg

from mlops_assets.keys import key
from mlops_assets.lifecycle.approving import NOTHING_WAITS, write_approvals
from mlops_assets.lifecycle.approving_pages import NAME
from mlops_assets.lifecycle.release import actor, followed
from mlops_assets.verbs import FIELDS, VERBS, Field, Verb, done, signed
from resources.clock import Clock
from resources.registry.acts import By
from resources.registry.mirror import follow
from resources.registry.resource import Registry
from resources.registry.states import FREEZE
from resources.registry.status import status
from resources.reports import Reports
from resources.serving.controller import Serving
from resources.serving.standing import typed
from resources.tracking.resource import Tracking

FOLLOW: Final = "follow_ledger"
RECENT: Final = 20
"""Failed runs that the status job looks at."""


def operating() -> Iterator[dg.JobDefinition]:
    """A job for each verb that has one and a few that look: so many a project, however many models it has."""
    for verb in VERBS:
        if verb.job is not None:
            yield _alone(verb.job, _act(verb), verb.does)
    yield _alone("verify_ledger", _verify, "Check the ledger's chain and its signed head.")
    yield following()
    yield _alone("pending_approvals", _pending, "What waits for people to agree, with all that they need for it, on one page.")
    yield _alone("status", _status, "What is live where, what is red, since when, what to do.")


def following() -> dg.JobDefinition:
    """``follow_ledger``: MLflow shows what the ledger says; what somebody changed there by hand is reported on the page and put back."""
    return _alone(FOLLOW, _following, "Make MLflow show what the ledger says.")


@dg.op(name="follow", config_schema={"models": dg.Field([str], description="The models to look at.")})
def _following(context: dg.OpExecutionContext, registry: Registry, tracking: Tracking) -> None:
    for model in context.op_config["models"]:
        repaired = follow(registry.ledger(), tracking, model=model)
        for sentence in repaired:
            context.log.warning(sentence)
        if repaired:
            said = {"repaired": dg.MetadataValue.md("\n".join(repaired))}
            context.log_event(dg.AssetObservation(key("release", model, "live"), metadata=said))


def _act(verb: Verb) -> Any:
    def act(context: dg.OpExecutionContext, registry: Registry, tracking: Tracking, clock: Clock) -> None:
        said = dict(context.op_config)
        if "token" in said:
            said["token"] = signed(said["token"], shown=True)
        by = By(actor=actor(context), data_at=clock.now(), why=said.get("why") or said.get("remark") or "")
        entry = verb.act(registry.desk(), by, said)
        context.log.info(done(entry))
        if entry.subject != FREEZE:
            followed(context, registry, tracking, entry.subject)

    return dg.op(name=verb.command.replace("-", "_"), config_schema={name: _config(FIELDS[name]) for name in verb.asks})(act)


def _config(field: Field) -> dg.Field:
    if field.default is None:
        return dg.Field(field.kind, description=field.help)
    return dg.Field(field.kind, default_value=field.default, is_required=False, description=field.help)


@dg.op(name="verify")
def _verify(context: dg.OpExecutionContext, registry: Registry) -> None:
    context.log.info("%d entries hold, and the last one is the head that was signed.", registry.ledger().verify())


@dg.op(name="gather")
def _pending(context: dg.OpExecutionContext, registry: Registry, reports: Reports) -> None:
    _, lines = write_approvals(registry.desk(), Path(reports.root))
    context.log.info("\n".join(lines) or NOTHING_WAITS)
    context.add_output_metadata({"page": dg.MetadataValue.url(reports.address(NAME)), "waiting": len(lines)})


@dg.op(name="look")
def _status(context: dg.OpExecutionContext, registry: Registry, serving: Serving) -> None:
    home = Path(serving.home)
    said = f"{status(registry.ledger(), serving_home=home)}\n\n{failed(context.instance, home=home)}"
    context.log.info(said)
    context.add_output_metadata({"status": dg.MetadataValue.md(f"```\n{said}\n```")})


def failed(instance: dg.DagsterInstance, *, home: Path) -> str:
    """The newest failed runs that no later run of the same work made good; ``home`` is that of the service, beside Dagster's."""
    lines: list[str] = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]), limit=RECENT):
        run = record.dagster_run
        same = {name: run.tags[name] for name in ("dagster/partition", "mlops/model") if name in run.tags}
        later = instance.get_run_records(
            dg.RunsFilter(job_name=run.job_name, statuses=[dg.DagsterRunStatus.SUCCESS], tags=same), limit=RECENT
        )
        if not any(
            one.create_timestamp > record.create_timestamp and one.dagster_run.asset_selection == run.asset_selection for one in later
        ):
            what = " ".join([run.job_name, *same.values()])
            lines.append(f"  run {run.run_id[:8]} of {what} (since {record.create_timestamp.isoformat(timespec='seconds')})")
            lines.append(f"    -> {_again(run, home)}")
    return "\n".join(["failed runs", *(lines or ["  none"])])


def _again(run: dg.DagsterRun, home: Path) -> str:
    """The line that does the work of a run again once its log was read and the cause is mended."""
    if run.run_config:
        return "# read its log, mend the cause, and run it again with its config from its page"
    month = run.tags.get("dagster/partition", "")
    if run.asset_selection:
        chosen = ",".join(sorted("/".join(one.path) for one in run.asset_selection))
        return typed(home, f"asset materialize -m {{module}} --select {chosen}{f' --partition {month}' if month else ''}")
    tags = f""" --tags '{json.dumps({"dagster/partition": month})}'""" if month else ""
    return typed(home, f"job execute -m {{module}} -j {run.job_name}{tags}")


def _alone(name: str, op: Any, description: str) -> dg.JobDefinition:
    """A job of one op."""
    graph = dg.GraphDefinition(name=name, node_defs=[op], description=description)
    return graph.to_job()  # pyright: ignore[reportUnknownMemberType]  half of its signature is typed
