"""The folders are those of the house, the commands are those of the README, and nothing of one machine is in the tree."""

import re
from pathlib import Path
from typing import Final

from tests.house.sources import PACKAGES, ROOT, modules, tracked

TOP: Final = {
    ".ci", ".editorconfig", ".gitattributes", ".github", ".gitignore", "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "deploy", "docs",
    "mlops_assets", "pyproject.toml", "requirements-serve.lock", "requirements.lock", "resources", "sensors", "tests", "workspace.yaml",
}  # fmt: skip
COMMANDS: Final = {"demo", "test", "ui", "check"}
VAGUE: Final = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager"}
SHADOWING: Final = {"attr", "seq", "model"}
PLACES: Final = re.compile(r"/(work|farm|root|home)/\w|\bpypi\.org|pythonhosted|deb\.debian|registry\.npmjs")
SENSOR: Final = re.compile(r"[a-z]+(_[a-z]+)*_on_[a-z]+(_[a-z]+)*")


def test_the_top_folder_holds_what_the_house_names() -> None:
    assert {path.parts[0] for path in tracked()} == TOP


def test_a_module_is_named_for_what_it_holds() -> None:
    parts = {part for name in modules(*PACKAGES, "tests") for part in name.split(".")}
    assert parts & VAGUE == set()


def test_no_file_shadows_a_module_that_others_import() -> None:
    assert {path.stem for path in tracked() if path.suffix == ".py" and len(path.parts) == 1} & SHADOWING == set()


def test_a_sensor_file_says_what_it_does_on_which_event() -> None:
    names = [name.removeprefix("sensors.") for name in modules("sensors") if name != "sensors"]
    assert [name for name in names if not SENSOR.fullmatch(name)] == []


def test_every_make_target_is_one_line() -> None:
    lines = [line for line in (ROOT / "Makefile").read_text().splitlines() if line and not line.startswith(("#", ".PHONY"))]
    assert [line for line in lines if not re.fullmatch(r"[.\w/]+:[^;]*; @\S.*", line)] == []
    assert {line.split(":")[0] for line in lines} >= COMMANDS


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert "make test" in (ROOT / "README.md").read_text()
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec make test"
    assert ".ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()


def test_no_path_of_one_machine_and_no_index_is_in_the_tree() -> None:
    texts = [path for path in tracked() if path.suffix not in {".png", ".svg", ".csv"} and path != Path("tests/house/test_tree.py")]
    found = [f"{path}: {hit[0]}" for path in texts if (hit := PLACES.search((ROOT / path).read_text(encoding="utf-8")))]
    assert found == []
