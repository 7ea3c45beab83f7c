"""The platform as a wheel in an environment of its own, a project elsewhere, and the two how-tos typed literally."""

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Generator, Mapping
from pathlib import Path

import psutil
import pytest

from resources.settings import child_environment
from tests.house.sources import ROOT

Block = tuple[str, str]
BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Elsewhere:
    """An environment with the wheel, and a folder that is no checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "env" / "bin"
        self.environment = {name: value for name, value in child_environment(PATH=f"{self.bin}{os.pathsep}{os.environ['PATH']}").items()
                            if not name.startswith(("PYTHON", "COV", "MLOPS_", "DAGSTER_HOME"))}  # fmt: skip
        uv = Path(sys.executable).with_name("uv")
        made = subprocess.run(
            [uv, "build", "--wheel", "--offline", "--no-build-isolation", "--python", sys.executable, "-o", folder / "dist", ROOT],
            capture_output=True, text=True, check=False, cwd=folder,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
        wheel = next((folder / "dist").glob("*.whl"))
        subprocess.run([uv, "pip", "install", "-q", "--offline", "--no-deps", "--python", self.bin / "python", wheel], check=True)
        site = Path(self.said("-c", "import sysconfig; print(sysconfig.get_path('purelib'))"))
        (site / "dependencies.pth").write_text(
            sysconfig.get_path("purelib")
        )  # everything else is made visible, the platform is the wheel's
        dagster = self.bin / "dagster"
        dagster.write_text(f'#!/bin/sh\nexec {self.bin}/python -m dagster "$@"\n')
        dagster.chmod(0o755)

    def said(self, *arguments: str, cwd: Path | None = None) -> str:
        """What the environment's Python prints."""
        return self.run([str(self.bin / "python"), *arguments], cwd=cwd).strip()

    def run(self, command: list[str], *, cwd: Path | None = None, more: Mapping[str, str] | None = None) -> str:
        """What a command prints; it has to succeed."""
        done = subprocess.run(
            command,
            cwd=cwd or self.folder,
            env={**self.environment, **(more or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=800,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def types(self, page: str, language: str, *, cwd: Path) -> list[str]:
        """Type the blocks of a how-to, in order; what each printed."""
        printed: list[str] = []
        for kind, file, text in BLOCK.findall((ROOT / "docs" / "how-to" / page).read_text()):
            if file:
                (cwd / file).write_text(text)
            elif kind in language:
                command = ["sh", "-e", "-c", text] if kind == "sh" else [str(self.bin / "python"), "-c", text]
                printed.append(self.run(command, cwd=self.folder if "mlops_assets.new" in text else cwd))
        return printed


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    return Elsewhere(tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="module")
def typed(elsewhere: Elsewhere) -> Generator[list[str]]:
    """What the how-to's blocks printed, in its order: write and validate, replay, deploy, ask, read and stop."""
    project = elsewhere.folder / "acme_ml"
    yield elsewhere.types("start-with-your-own-data.md", "sh python", cwd=project)
    for process in psutil.process_iter(["cmdline"]):
        if str(elsewhere.folder) in " ".join(process.info["cmdline"] or ()):
            process.kill()


def test_the_platform_comes_from_the_wheel(elsewhere: Elsewhere) -> None:
    places = elsewhere.said(
        "-c", "import mlops_assets, resources, sensors; print(mlops_assets.__file__, resources.__file__, sensors.__file__)"
    )
    assert all(place.startswith(str(elsewhere.folder)) for place in places.split())


def test_the_first_how_to_goes_from_a_file_to_a_replayed_month(typed: list[str]) -> None:
    written, replayed = typed[0], typed[1]
    assert "2 passed" in written
    line = next(line for line in replayed.splitlines() if line.startswith("2024-03 ") and "returned" in line)
    assert 0.6 < float(line.split()[2]) < 0.9
    assert line.endswith("returned 2")


def test_the_service_answers_a_request_over_http_with_version_and_hash(typed: list[str]) -> None:
    answer = typed[3]
    assert "'version': 2" in answer
    assert re.search(r"'prediction': 0\.\d+", answer)


def test_the_monitor_has_judged_and_the_service_is_stopped(typed: list[str], elsewhere: Elsewhere) -> None:
    assert "verdict" in typed[4]
    left = [one.info["cmdline"] for one in psutil.process_iter(["cmdline"]) if str(elsewhere.folder) in " ".join(one.info["cmdline"] or ())]
    assert left == []


@pytest.mark.usefixtures("typed")
def test_a_notebook_s_model_takes_the_place_of_the_written_one(elsewhere: Elsewhere) -> None:
    project = elsewhere.folder / "acme_ml"
    (described,) = elsewhere.types("come-from-a-notebook.md", "python", cwd=project)
    assert "mean" in described
    home = {"DAGSTER_HOME": str(project / ".mlops" / "dagster")}
    run = ["-m", "dagster", "asset", "materialize", "-m", "acme_ml.definitions", "--partition", "2024-03"]
    steps = ["training_set/returned/examples", "model/returned/parts", "evaluation/returned/holdout"]
    elsewhere.run([str(elsewhere.bin / "python"), *run, "--select", ",".join(f'key:"{one}"' for one in steps)], cwd=project, more=home)
    parts = project / ".mlops" / "releases" / "returned"
    assert any(path.name.startswith("coefficients") for path in parts.rglob("*"))


def test_a_folder_that_hides_one_of_ours_is_named(elsewhere: Elsewhere) -> None:
    folder = elsewhere.folder / "shadowed"
    (folder / "sensors").mkdir(parents=True)
    (folder / "sensors" / "__init__.py").touch()
    done = subprocess.run(
        [elsewhere.bin / "python", "-c", "import mlops_assets.build"],
        cwd=folder, env=elsewhere.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert f"{folder}/sensors/__init__.py hides the platform's package 'sensors'" in done.stderr
