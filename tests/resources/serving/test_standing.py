"""The command that starts a service: of this checkout, of a project with a workspace or a pyproject, and of a folder without either."""

from pathlib import Path

import pytest

from mlops_assets.flights.catalogue import CATALOGUE
from resources.serving.standing import UNKNOWN, definitions, deploying

ROOT = Path(__file__).parents[3]


def test_the_definitions_are_those_that_dagster_finds_in_the_folder(tmp_path: Path) -> None:
    assert definitions(ROOT) == "mlops_assets.definitions"
    assert definitions(tmp_path) == UNKNOWN
    (tmp_path / "pyproject.toml").write_text('[tool.dagster]\nmodule_name = "acme.definitions"\n')
    assert definitions(tmp_path) == "acme.definitions"
    (tmp_path / "workspace.yaml").write_text("load_from: []")
    assert definitions(tmp_path) == "acme.definitions"
    (tmp_path / "workspace.yaml").write_text("load_from:\n  - python_module: acme.others\n")
    assert definitions(tmp_path) == "acme.others"


def test_the_command_goes_to_dagster_s_home_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    home = tmp_path / "a home"
    said = f"python -m dagster job execute -m mlops_assets.definitions -j deploy_{CATALOGUE.project}"
    assert deploying(home / "serving", project=CATALOGUE.project) == said
    (home / "dagster").mkdir(parents=True)
    (home / "dagster" / "dagster.yaml").touch()
    assert deploying(home / "serving", project=CATALOGUE.project) == f"DAGSTER_HOME='{home}/dagster' {said}"
