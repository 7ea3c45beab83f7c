"""The page about the MLflow server says what deploy/compose holds; the compose file is read here, its flags are those of the tests' server.

It is not started here, which takes Docker: what it starts is started with the same command and environment by ``tests/servers/mlflow.py``.
"""

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.docs.pages import ROOT, commands, done, project
from tests.servers.mlflow import COMPOSE, service

PAGE = "how-to/run-an-mlflow-server.md"
VARIABLE = re.compile(r"\$\{(\w+)(:[?-])?")


def compose() -> dict[str, Any]:
    return yaml.safe_load((COMPOSE / "compose.yaml").read_text())


def settings() -> dict[str, str]:
    lines = [line for line in (COMPOSE / "example.env").read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_every_setting_of_the_compose_file_is_in_the_example_and_on_the_page_and_none_is_in_vain() -> None:
    used = {found[1] for found in VARIABLE.finditer((COMPOSE / "compose.yaml").read_text())}
    page = (ROOT / "docs" / PAGE).read_text()
    assert used == set(settings())
    assert [name for name in used if f"`{name}`" not in page] == []


def test_no_secret_is_in_the_tree_and_a_missing_one_stops_the_start() -> None:
    secret = {name for name in settings() if re.search("PASSWORD|SECRET", name)}
    assert {settings()[name] for name in secret} == {""}
    assert {found[2] for found in VARIABLE.finditer((COMPOSE / "compose.yaml").read_text()) if found[1] in secret} == {":?"}


def test_services_wait_for_what_they_need_and_every_volume_is_declared() -> None:
    said = compose()
    needed = {name for one in said["services"].values() for name in one.get("depends_on", {})}
    mounted = {volume.split(":")[0] for one in said["services"].values() for volume in one.get("volumes", []) if volume[0] != "."}
    assert needed < set(said["services"])
    assert mounted == set(said["volumes"])
    for path in (service()["build"]["dockerfile"], "deploy/compose/auth.ini"):
        assert (ROOT / path).is_file()


def test_the_image_has_the_versions_of_the_lock() -> None:
    (recipe,) = (line for line in (COMPOSE / "mlflow.Dockerfile").read_text().splitlines() if "sed -n" in line)
    text = recipe.removeprefix("RUN ").split(" >")[0].replace("/tmp/requirements.lock", "requirements.lock")  # noqa: S108  # in the image
    pins = subprocess.run(["/bin/sh", "-c", text], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    locked = (ROOT / "requirements.lock").read_text()
    assert len(pins) == len(re.findall(r"(?m)^[a-z0-9]", locked))
    assert "mlflow==3.17.2" in pins
    assert [pin for pin in pins if "[" in pin.split(";")[0] or "\\" in pin] == []


def test_the_commands_for_delivering_and_cleaning_work_from_an_empty_home(tmp_path: Path) -> None:
    folder = project(tmp_path)
    deliver = next(text for text in commands(PAGE) if "deliver_tracking" in text).splitlines()[-1]
    cleaning = next(text for text in commands(PAGE) if "clean_up.yaml" in text)
    done(folder, deliver)
    said = done(folder, cleaning)
    assert "Would free 0 bytes." in said
    assert "Freed 0 bytes." in said
