# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Private or undocumented behaviour of Dagster that the platform leans on. A red test here names what an upgrade moved."""

import inspect
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.declarative_automation.serialized_objects import AutomationConditionEvaluationWithRunIds
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.launcher.sync_in_memory_run_launcher import SyncInMemoryRunLauncher
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from dagster._core.test_utils import freeze_time
from dagster._daemon.asset_daemon import AssetDaemon
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import retry_run
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._time import get_current_datetime

from mlops_assets.replay.daemon import opened

PROJECT = """
import dagster as dg

@dg.sensor(job_name="__ASSET_JOB", minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def once(context):
    yield dg.RunRequest(run_key="once", asset_selection=[dg.AssetKey("one")])

@dg.asset
def one():
    print("said by one")
    return 1

defs = dg.Definitions(assets=[one], sensors=[once], executor=dg.in_process_executor)
"""


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_the_daemon_s_two_iterations_take_what_the_replay_gives_them() -> None:
    assert {"workspace_process_context", "threadpool_executor", "amp_tick_futures", "debug_crash_flags"} <= {
        *parameters(vars(AssetDaemon)["_run_iteration_impl"])
    }
    assert parameters(execute_sensor_iteration)[:4] == [
        "workspace_process_context",
        "logger",
        "threadpool_executor",
        "submit_threadpool_executor",
    ]
    assert parameters(retry_run)[:2] == ["failed_run", "workspace_context"]


def test_the_daemon_keeps_the_evaluations_that_the_replay_lets_through() -> None:
    assert parameters(vars(AssetDaemon)["_add_auto_materialize_asset_evaluations_in_chunks"])[:4] == [
        "self",
        "instance",
        "evaluation_id",
        "evaluations",
    ]
    assert isinstance(AutomationConditionEvaluationWithRunIds.num_requested, property)


def test_a_frozen_clock_is_what_dagster_reads() -> None:
    then = datetime(2013, 4, 1, tzinfo=UTC)
    with freeze_time(then):
        assert get_current_datetime() == then
    assert get_current_datetime() > then


def test_what_define_asset_job_returns_has_the_name_that_jobs_are_typed_with() -> None:
    assert type(dg.define_asset_job("one")) is UnresolvedAssetJobDefinition


def test_runs_are_launched_by_the_method_that_the_replay_overrides() -> None:
    assert parameters(SyncInMemoryRunLauncher.launch_run) == ["self", "context"]


@pytest.mark.parametrize("storage", [sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage])
def test_sqlite_storages_make_engines_by_a_name_of_their_module(storage: object) -> None:
    assert callable(vars(storage)["create_engine"])


def test_a_round_of_the_replay_starts_a_sensor_s_run_once_and_leaves_what_it_says_to_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "upstream_probe.py").write_text(PROJECT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[dg.AssetMaterialization] = []
    with opened(tmp_path, module="upstream_probe", made=made.append) as daemon:
        started = [daemon.round(datetime(2013, 4, 1, 0, minute, tzinfo=UTC)) for minute in (0, 1, 2)]
        assert daemon.last_tick() == datetime(2013, 4, 1, 0, 2, tzinfo=UTC)
    assert started == [1, 0, 0]
    assert [one.asset_key for one in made] == [dg.AssetKey("one")]
    assert [file.read_text() for file in tmp_path.rglob("compute_logs/*.out")] == ["said by one\n"]
    assert "said by one" not in capfd.readouterr().out
    assert not [record for record in caplog.records if record.levelno < logging.ERROR and record.name.startswith("dagster.daemon")]
