"""What a catalogue becomes: its named jobs, a process as it was before, and a graph that is quiet when nothing is new."""

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import dagster as dg
import pytest

from mlops_assets.build import build
from mlops_assets.jobs import MOST
from mlops_assets.table import DeclarationError
from resources.settings import Settings
from tests.benchmarks import load


def jobs(home: Path, models: int) -> set[str]:
    return {job.name for job in build(load.many(models), Settings(home=home)).jobs or ()}


def test_a_few_models_have_jobs_of_their_own_and_many_have_none(tmp_path: Path) -> None:
    few, many = jobs(tmp_path, 1), jobs(tmp_path, MOST + 1)
    assert few - many == {"train_flight_delay_000", "score_flight_delay_000"}
    assert many < few


@pytest.mark.parametrize("turn", [gc.enable, gc.disable])
def test_the_collector_is_as_it_was_even_when_definitions_do_not_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turn: Callable[[], None]
) -> None:
    seen: list[bool] = []

    def refuse(*_: object, **__: object) -> None:
        seen.append(gc.isenabled())
        raise DeclarationError("no")

    monkeypatch.setattr("mlops_assets.assembly.assembled", refuse)
    try:
        turn()
        with pytest.raises(DeclarationError):
            build(load.many(1), Settings(home=tmp_path))
        seen.append(gc.isenabled())
    finally:
        gc.enable()
    assert seen == [False, turn is gc.enable]


def test_a_resource_is_replaced_by_its_name(tmp_path: Path) -> None:
    given = dg.ResourceDefinition.hardcoded_resource("mine")
    assert (build(load.many(1), Settings(home=tmp_path), {"clock": given}).resources or {})["clock"] is given


def test_a_page_says_where_its_table_lies_and_online_rows_are_no_table(tmp_path: Path) -> None:
    graph = build(load.many(1), Settings(home=tmp_path)).resolve_asset_graph()
    placed = {key.path[0]: "dagster/uri" in graph.get(key).metadata for key in graph.get_all_asset_keys()}
    assert {stage for stage, lies in placed.items() if not lies} == {"online"}


def test_a_tick_of_two_models_with_a_year_behind_them_starts_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few, catalogue = ModuleType("few"), load.many(2)
    monkeypatch.setitem(sys.modules, "few", few)
    vars(few)["defs"] = build(catalogue, Settings(home=home))
    with load.watched("few", kept=True) as daemon:
        load.a_year(daemon, catalogue)
        load.baseline(daemon, catalogue)
        [asked] = daemon.instance.get_runs()
        assert asked.tags["dagster/sensor_name"] == "deploy_on_release"
    with load.watched("few", kept=False) as daemon:
        assert load.quiet(daemon, catalogue) > 0
