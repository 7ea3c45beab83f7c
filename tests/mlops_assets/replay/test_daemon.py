"""What the replay's daemon keeps of a tick."""

from types import SimpleNamespace
from typing import Any

import pytest
from dagster._daemon.asset_daemon import AssetDaemon

from mlops_assets.replay.daemon import SparingDaemon


def test_evaluations_that_asked_for_a_run_are_kept_and_the_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []

    def keep(_: object, instance: object, number: int, evaluations: list[Any], *more: object) -> None:
        kept.append((instance, number, evaluations, *more))

    monkeypatch.setattr(AssetDaemon, "_add_auto_materialize_asset_evaluations_in_chunks", keep)
    asked, idle = SimpleNamespace(num_requested=2), SimpleNamespace(num_requested=0)
    instance: Any = object()
    daemon = SparingDaemon(settings={}, pre_sensor_interval_seconds=0)
    daemon._add_auto_materialize_asset_evaluations_in_chunks(instance, 7, [idle, asked, idle], "logger", "group")
    assert kept == [(instance, 7, [asked], "logger", "group")]
