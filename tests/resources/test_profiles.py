"""Two profiles fill one record: the same places by default, and what a setting names reaches whoever needs it."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from resources import profiles
from resources.clock import DataClock, WallClock
from resources.lake import DeltaLake
from resources.profiles import Resources, select
from resources.registry.resource import Registry
from resources.serving.controller import Serving
from resources.settings import Settings

# Dagster asks a resource that has no field for its fields by pydantic's old name.
pytestmark = pytest.mark.filterwarnings("ignore:The `__fields__` attribute is deprecated")

URLS = {
    "lake_uri": "s3://lake/tables",
    "ledger_url": "postgresql+psycopg://mlops@ledger/mlops",
    "releases_uri": "s3://releases/mlops",
    "features_url": "postgresql+psycopg://mlops@features/feast",
    "tracking_uri": "http://tracking:5000",
    "artifacts_uri": "s3://artifacts",
}


def places(found: Resources) -> dict[str, str]:
    assert isinstance(found.lake, DeltaLake)
    return {
        "lake_uri": found.lake.root,
        "ledger_url": found.registry.ledger_url,
        "releases_uri": found.registry.releases_root,
        "features_url": found.feature_store.registry_url,
        "tracking_uri": found.tracking.uri,
        "artifacts_uri": found.tracking.artifacts,
    }


@pytest.mark.parametrize("environment", ["embedded", "production"])
def test_each_setting_reaches_the_resource_that_it_names(tmp_path: Path, environment: str) -> None:
    settings = Settings.from_environment(
        {"MLOPS_ENVIRONMENT": environment, "MLOPS_HOME": str(tmp_path)} | {f"MLOPS_{name.upper()}": url for name, url in URLS.items()}
    )
    found = select(settings, project="acme")
    assert places(found) == URLS
    assert isinstance(found.serving, Serving)
    assert (found.serving.ledger_url, found.serving.releases_root) == (URLS["ledger_url"], URLS["releases_uri"])
    assert (found.registry.ring("release").root, found.registry.copies) == (tmp_path / "keys" / "release", str(tmp_path / "copies"))


def test_the_key_rings_lie_where_the_setting_says_else_in_the_home(tmp_path: Path) -> None:
    home = {"MLOPS_HOME": str(tmp_path / "home")}
    said, unsaid = (select(Settings.from_environment(home | more), project="acme").registry for more in ({"MLOPS_KEYS": str(tmp_path)}, {}))
    assert said.ring("people").root == tmp_path / "people"
    assert isinstance(serving := select(Settings.from_environment(home | {"MLOPS_KEYS": str(tmp_path)}), project="acme").serving, Serving)
    assert serving.keys_root == str(tmp_path)
    assert unsaid.ring("release").root == tmp_path / "home" / "keys" / "release"
    assert Registry(ledger_url="sqlite://", releases_root=f"{tmp_path}/releases").ring("ledger").root == tmp_path / "keys" / "ledger"


def test_without_settings_everything_lies_in_the_home(tmp_path: Path) -> None:
    found = select(Settings.from_environment({"MLOPS_HOME": str(tmp_path)}), project="acme")
    named = [place for place in places(found).values() if place]
    assert len(named) == 5
    assert [place for place in named if str(tmp_path) not in place] == []
    assert list(tmp_path.iterdir()) == []


def test_the_clock_is_the_datas_when_embedded_and_the_walls_in_production(tmp_path: Path) -> None:
    home = {"MLOPS_HOME": str(tmp_path)}
    made = [select(Settings.from_environment(home | {"MLOPS_ENVIRONMENT": name}), project="acme") for name in ("embedded", "production")]
    assert [type(one.clock) for one in made] == [DataClock, WallClock]


def test_the_feature_store_reads_the_lake_with_the_lakes_own_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "DeltaLake", partial(DeltaLake, storage_options={"timeout": "9s"}))
    found = select(Settings.from_environment({"MLOPS_HOME": str(tmp_path)}), project="acme")
    assert found.feature_store.storage_options == {"timeout": "9s"}


def test_production_loads_with_no_secret_set(tmp_path: Path) -> None:
    environment = {"MLOPS_ENVIRONMENT": "production", "MLOPS_HOME": str(tmp_path / "home")} | {
        f"MLOPS_{name.upper()}": url for name, url in URLS.items()
    }
    done = subprocess.run(
        [sys.executable, "-c", "import mlops_assets.definitions"],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "home").exists()


def test_a_tracking_server_keeps_artifacts_where_it_wants_shows_its_runs_itself_and_has_a_spool_before_it(tmp_path: Path) -> None:
    found = select(Settings.from_environment({"MLOPS_HOME": str(tmp_path), "MLOPS_TRACKING_URI": "https://mlflow.acme"}), project="acme")
    tracking = found.tracking
    assert (tracking.artifacts, tracking.ui, tracking.spool) == ("", "https://mlflow.acme", str(tmp_path / "mlflow" / "spool"))
