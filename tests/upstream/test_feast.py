"""What Feast 0.67 does that its documentation does not promise and we lean on. Red after an upgrade: read the module named in the test."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import polars as pl
import pytest

from resources.feature_store.light import load_feast

ROOT = Path(__file__).parents[2]


def in_a_clean_process(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True).stdout.strip()


def test_importing_feast_changes_the_warning_filters_and_light_does_not() -> None:
    count = "import warnings; before = list(warnings.filters); {}; print(list(warnings.filters) == before)"
    assert in_a_clean_process(count.format("import feast")) == "False"
    assert in_a_clean_process(count.format("from resources.feature_store.light import load_feast; load_feast()")) == "True"


def test_light_leaves_feast_without_run_time_type_checks_and_typeguard_as_it_was() -> None:
    code = (
        "from resources.feature_store.light import load_feast; import typeguard; real = typeguard.typechecked; load_feast(); "
        "from feast import Field; from feast.types import Int64; "
        "print(Field(name=1, dtype=Int64).name, typeguard.typechecked is real)"
    )
    assert in_a_clean_process(code) == "1 True"


def test_a_polars_entity_frame_reaches_the_offline_store_untouched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    load_feast()
    from feast.infra.passthrough_provider import PassthroughProvider

    from tests.resources.feature_store.scenes import NOON, filled

    provider = Mock()
    feast_store = filled(tmp_path)
    monkeypatch.setattr(PassthroughProvider, "get_historical_features", provider)
    frame = pl.DataFrame({"shop": ["north"], "event_timestamp": [NOON]})
    with feast_store._feast() as store:
        store.get_historical_features(entity_df=frame, features=["shop_sales:count_3h"])  # pyright: ignore[reportArgumentType]  # the point
    assert provider.call_args.args[3] is frame


def test_feast_has_no_telemetry_to_switch_off() -> None:
    load_feast()
    import feast

    folder = Path(str(feast.__file__)).parent
    named = [path.name for path in folder.rglob("*.py") if "FEAST_USAGE" in path.read_text(encoding="utf-8") or path.name == "usage.py"]
    assert named == []


def test_a_feature_store_yaml_without_an_offline_store_means_dask() -> None:
    load_feast()
    from feast import RepoConfig

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dask's own, which no process of the platform imports
        said: Any = RepoConfig(project="a", registry="r.db", provider="local").offline_store
    assert said.type == "dask"


def test_all_that_the_sql_registry_reads_and_writes_goes_through_two_engines_that_can_be_put_in_its_way(tmp_path: Path) -> None:
    from resources.feature_store.registry_lock import only_writer
    from tests.resources.feature_store.generations import Place, generation

    store = Place(folder=tmp_path).store()
    store.apply(*generation(0))
    opened: list[object] = []
    with store._feast() as feast:
        registry: Any = feast.registry
        from sqlalchemy import event

        event.listen(registry.write_engine, "begin", opened.append)
        with only_writer(registry):
            feast.apply([feast.get_entity("shop"), *feast.list_feature_views(), *feast.list_feature_services()], partial=False)
            registry.delete_feature_service("model0", feast.project)
            inside = len(opened)
        assert inside == 1
        assert [one.name for one in registry.list_feature_services(feast.project, allow_cache=True)] == ["model9"]


def test_feast_apply_in_a_folder_without_declarations_removes_all_that_is_registered(tmp_path: Path) -> None:
    from resources.feature_store.configuration import GUARD
    from tests.resources.feature_store.generations import Place, generation

    place = Place(folder=tmp_path)
    place.store().apply(*generation(0))
    home = Path(place.store().home)
    (home / GUARD).unlink()
    with place.stock() as feast:
        from feast.repo_contents import RepoContents
        from feast.repo_operations import apply_total_with_repo_instance

        empty = RepoContents(*([] for _ in RepoContents._fields))
        apply_total_with_repo_instance(feast, feast.project, feast.registry, empty, skip_source_validation=True)
        assert feast.list_feature_views() == []


def test_feast_teardown_leaves_the_history_of_views_that_it_removes(tmp_path: Path) -> None:
    from tests.resources.feature_store.generations import VIEWS, Place, generation

    place = Place(folder=tmp_path)
    place.store().apply(*generation(0))
    with place.stock() as feast:
        feast.teardown()
        registry: Any = feast.registry
        assert feast.list_feature_views() == []
        from feast.infra.registry.sql import feature_view_version_history as history

        with registry.read_engine.begin() as connection:
            assert len(connection.execute(history.select()).all()) == VIEWS
