# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""One Dagster daemon round at a time, in this process, at an instant of our choosing. The only holder of Dagster privates.

Pinned by tests/upstream: a Dagster upgrade that moves one of these names turns that test red.
"""

import contextlib
import logging
import unittest.mock
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO, cast

import dagster as dg
from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.instance.ref import InstanceRef
from dagster._core.launcher.base import LaunchRunContext
from dagster._core.launcher.sync_in_memory_run_launcher import SyncInMemoryRunLauncher
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.storage import local_compute_log_manager
from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.asset_daemon import AssetDaemon
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import retry_run
from dagster._daemon.sensor import execute_sensor_iteration

from mlops_assets.lifecycle.evaluation import GATE
from mlops_assets.replay.storage import kept_open
from resources.errors import PlatformError

IN_PROCESS: Final[Mapping[str, Any]] = {
    "run_launcher": {"module": "mlops_assets.replay.daemon", "class": "ToldLauncher"},
    "python_logs": {"python_log_level": "CRITICAL"},
    "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"},
}
"""What the replay changes of the instance that ``dagster dev`` opens later: runs execute here, one after the other."""


Made = Callable[[dg.AssetMaterialization], None]


class ToldLauncher(SyncInMemoryRunLauncher):
    """Executes a run here and now, and tells ``made`` of each asset as it is materialized."""

    made: Made | None = None

    def launch_run(self, context: LaunchRunContext) -> None:
        """Execute the run; returns when it has ended."""
        self._instance.add_event_listener(context.dagster_run.run_id, self._tell)
        super().launch_run(context)

    def _tell(self, entry: dg.EventLogEntry) -> None:
        if self.made is not None and entry.asset_materialization is not None:
            self.made(entry.asset_materialization)


class SparingDaemon(AssetDaemon):
    """Keeps the evaluations that asked for a run. The others say at every tick that nothing is due, 76 kB an asset and tick."""

    def _add_auto_materialize_asset_evaluations_in_chunks(  # pyright: ignore[reportIncompatibleMethodOverride]  passes on what it gets
        self, instance: dg.DagsterInstance, evaluation_id: int, evaluations: Sequence[Any], *more: Any
    ) -> None:
        super()._add_auto_materialize_asset_evaluations_in_chunks(
            instance, evaluation_id, [one for one in evaluations if one.num_requested], *more
        )


class RunFailed(PlatformError):
    """A run of the replay failed: the replay stops where it is."""

    def __init__(self, run: dg.DagsterRun, reason: str) -> None:
        what = ", ".join(sorted("/".join(key.path) for key in run.asset_selection or ())) or run.job_name
        month = f" {run.tags['dagster/partition']}" if "dagster/partition" in run.tags else ""
        super().__init__(
            f"{what}{month} failed, so the replay stopped.\n{reason}\nMend it and type the same command: it goes on from here."
        )


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """An opened instance and workspace."""

    instance: dg.DagsterInstance
    workspace: WorkspaceProcessContext
    assets: AssetDaemon
    logger: logging.Logger

    def round(self, now: datetime) -> int:
        """Evaluate automation and every sensor once, at ``now``; returns the number of runs that this started.

        Raises:
            RunFailed: a run that was started did not succeed.
        """
        before = self.instance.get_runs_count()
        with freeze_time(now):
            _evaluate(self.assets)(self.workspace, threadpool_executor=None, amp_tick_futures={}, debug_crash_flags={})
            _drain(execute_sensor_iteration(self.workspace, self.logger, None, None))
        self._raise_failures(before)
        return self.instance.get_runs_count() - before

    def last_tick(self) -> datetime | None:
        """When a sensor was last evaluated: a round before that instant would evaluate none."""
        states = self.instance.all_instigator_state()
        ticks = [tick for state in states for tick in self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)]
        return datetime.fromtimestamp(max(tick.timestamp for tick in ticks), tz=UTC) if ticks else None

    def resume(self, now: datetime) -> int:
        """Run again what a killed replay left unfinished, and what stopped it; returns how many runs that was.

        A file that failed is left alone: its next content starts a run of its own.
        """
        failed = [run for run in self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])) if self._stopped(run)]
        cut_off = self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]))
        before = self.instance.get_runs_count()
        with freeze_time(now):
            for run in reversed(list(cut_off)):
                self.instance.report_run_failed(run, "The process that executed this run ended.")
            for run in reversed([*cut_off, *failed]):
                retry_run(self.instance.get_run_by_id(run.run_id) or run, self.workspace)
        self._raise_failures(before)
        return len(cut_off) + len(failed)

    def _stopped(self, run: dg.DagsterRun) -> bool:
        """Whether a failed run still waits for the mended code or machine: nobody ran it again, and it is neither a verdict nor a file."""
        again = self.instance.get_runs(dg.RunsFilter(tags={"dagster/parent_run_id": run.run_id}), limit=1)
        file = run.tags.get("dagster/sensor_name") == "ingest_on_new_file"
        return not again and not file and not refused(self.instance, run.run_id)

    def _raise_failures(self, before: int) -> None:
        new = self.instance.get_runs_count() - before
        for run in self.instance.get_runs(limit=new) if new else ():
            if run.status == dg.DagsterRunStatus.FAILURE and not refused(self.instance, run.run_id):
                raise RunFailed(run, failure(self.instance, run.run_id))


def refused(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether a run ended because a gate did not pass: a verdict, not a fault; what is live stays live."""
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    found = [record.event_log_entry.get_dagster_event().asset_check_evaluation_data for record in records]
    return any(one.check_name == GATE and not one.passed for one in found)


def failure(instance: dg.DagsterInstance, run_id: str) -> str:
    """Why a run failed: the message of its first failed step's own error."""
    for record in instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records:
        data = record.event_log_entry.get_dagster_event().step_failure_data
        error = data.error
        while error is not None and error.cause is not None:
            error = error.cause
        if error is not None:
            return error.message.strip()
    return "No step failed; look at the run in the UI."


class DoesNotLoad(PlatformError):
    """The project's definitions raise."""

    def __init__(self, location: str, why: str) -> None:
        super().__init__(
            f"The definitions of {location} do not load, so nothing was replayed.\n{why.strip()}\nMend them and type the same command."
        )


def _evaluate(assets: AssetDaemon) -> Callable[..., None]:
    """One evaluation of all automation conditions."""
    return getattr(assets, "_run_iteration_impl")  # noqa: B009  the one use of this private, pinned in tests/upstream


def _drain(ticks: Iterator[object]) -> None:
    for error in ticks:
        if error is not None and not isinstance(error, str):
            raise PlatformError(f"A sensor failed: {error}")


def _kept_in_file(stream: TextIO, path: str) -> contextlib.AbstractContextManager[None]:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return redirect_to_file(stream, path)


@contextlib.contextmanager
def opened(home: Path, *, module: str, made: Made | None = None) -> Generator[Daemon]:
    """A daemon on the instance in ``home`` for the code location ``module``; ``made`` hears of each asset as it is materialized.

    The location carries the name that ``workspace.yaml`` gives it, its package's: cursors are kept under that name.
    """
    ref = InstanceRef.from_dir(str(home), overrides=dict(IN_PROCESS))
    logger = logging.getLogger("mlops.replay")
    loadable = LoadableTargetOrigin(module_name=module, working_directory=str(Path.cwd()))
    target = InProcessWorkspaceLoadTarget([InProcessCodeLocationOrigin(loadable, location_name=module.rpartition(".")[0] or module)])
    with (
        kept_open(),
        # Dagster shows what a step writes by two processes a stream; here it goes to the run's log alone, which the UI shows
        unittest.mock.patch.object(local_compute_log_manager, "mirror_stream_to_file", _kept_in_file),
        dg.DagsterInstance.from_ref(ref) as instance,
        create_test_daemon_workspace_context(target, instance) as workspace,
    ):
        for quiet in ("dagster", "dagster.daemon"):  # the context above turned them on: a line a tick would bury the progress
            logging.getLogger(quiet).setLevel(logging.ERROR)
        for name, entry in workspace.create_request_context().get_code_location_entries().items():
            if entry.load_error is not None:
                raise DoesNotLoad(name, entry.load_error.message)
        cast("ToldLauncher", instance.run_launcher).made = made
        yield Daemon(
            instance=instance, workspace=workspace, assets=SparingDaemon(settings={}, pre_sensor_interval_seconds=0), logger=logger
        )
