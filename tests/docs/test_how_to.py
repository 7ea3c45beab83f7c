"""The how-tos, followed to the letter in a copy of the project: files as printed, lines as shown, commands as written."""

import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml

from resources.lake import LocalLake
from tests.docs.pages import ROOT, blocks, commands, done, project, shell, write

MODEL_LINES = 60
MODEL = "how-to/add-a-model.md"
VIEW = "how-to/add-a-feature-view.md"
SOURCE = "how-to/add-a-source.md"
CI = "how-to/run-in-ci.md"
LINEAGE = "how-to/ask-where-a-prediction-comes-from.md"
REBUILD = "how-to/rebuild-a-version.md"
COMPARE = "how-to/compare-versions.md"


def ruff(folder: Path, files: list[Path]) -> str:
    """What the linters of this repository say to the files."""
    command = [Path(sys.executable).with_name("ruff"), "check", "--config", ROOT / "pyproject.toml", "--no-cache", *files]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that was taken from nothing to a released model by the commands of "run in CI", and what they said in ``said``."""
    folder = project(tmp_path_factory.mktemp("ci"))
    (folder / "said").write_text("\n".join(done(folder, text) for text in commands(CI)[:-1]))
    return folder


def copied(folder: Path, ingested: Path) -> Path:
    """A copy of the project as it is in the repository, with all that was ingested."""
    shutil.copytree(ingested / ".mlops", folder / ".mlops")
    return project(folder)


def test_the_commands_for_ci_go_from_an_empty_folder_to_a_release(ingested: Path) -> None:
    said = (ingested / "said").read_text()
    assert "training_set/air_time/examples" in said
    assert (ingested / ".mlops" / "lake" / "training_set" / "air_time" / "examples").is_dir()
    assert 'Finished execution of run for "train_air_time"' in said
    assert list((ingested / ".mlops" / "releases").glob("air_time/*"))


def test_a_training_set_is_forgotten_by_its_address(tmp_path: Path, ingested: Path) -> None:
    folder = copied(tmp_path, ingested)
    done(folder, commands(CI)[-1])
    listed = shell(folder, "dagster asset wipe training_set/air_time/examples --noprompt")
    assert listed.returncode == 0


def test_the_workflow_runs_the_commands_of_the_page() -> None:
    (workflow,) = (block for block in blocks(CI) if block.language == "yaml")
    steps = yaml.safe_load(workflow.text)["jobs"]["train"]["steps"]
    told = {" ".join(line.split()) for text in commands(CI) for line in text.replace("\\\n", "").splitlines()}
    run = {" ".join(line.split()) for step in steps for line in step.get("run", "").replace("\\\n", "").splitlines() if "dagster " in line}
    assert len(run) >= 4
    assert run <= told


def test_a_model_takes_under_60_lines_and_two_in_the_catalogue(tmp_path: Path) -> None:
    made = write(project(tmp_path), MODEL)
    lines = [line for path in made if path.suffix == ".py" for line in path.read_text().splitlines() if line.strip()]
    assert len(lines) < MODEL_LINES
    assert [block.text.count("\n+") for block in blocks(MODEL) if block.language == "diff"] == [1, 1]


@pytest.mark.parametrize("page", [SOURCE, VIEW, MODEL])
def test_what_a_page_prints_is_clean(tmp_path: Path, page: str) -> None:
    folder = project(tmp_path)
    assert ruff(folder, [path for path in write(folder, page) if path.suffix == ".py"]) == "All checks passed!\n"


def test_a_source_is_added_and_a_bad_row_is_told(tmp_path: Path) -> None:
    folder = project(tmp_path)
    write(folder, SOURCE)
    listing, arrives, ingests, corrected = commands(SOURCE)
    assert "quarantine/fuel/prices\ntable/fuel/prices" in done(folder, listing)
    done(folder, arrives)
    refused = shell(folder, ingests)
    assert refused.returncode == 1
    (message,) = (block.text.strip() for block in blocks(SOURCE) if block.language == "text")
    assert message in refused.stderr
    done(folder, corrected)
    assert (folder / ".mlops" / "lake" / "table" / "fuel" / "prices").is_dir()


def test_two_views_are_added_built_and_known_to_feast(tmp_path: Path, ingested: Path) -> None:
    folder = copied(tmp_path, ingested)
    write(folder, VIEW)
    said = "\n".join(done(folder, text) for text in commands(VIEW))
    assert "carrier_lateness" in said
    assert "airport_wind" in said
    assert (folder / ".mlops" / "lake" / "feature" / "carrier" / "lateness").is_dir()
    (due,) = (block.text.strip() for block in blocks(VIEW) if block.language == "text")
    assert due in said


def test_a_model_is_added_trained_and_released(tmp_path: Path, ingested: Path) -> None:
    folder = copied(tmp_path, ingested)
    write(folder, MODEL)
    for text in commands(MODEL):
        done(folder, text)
    assert len(list((folder / ".mlops" / "releases" / "late_departure").iterdir())) == 1


def fill(folder: Path, name: str, **words: str) -> None:
    """Put the reader's own words into a file of a page."""
    path = folder / name
    for word, said in words.items():
        assert word in path.read_text()
        path.write_text(path.read_text().replace(word, said))


def test_a_prediction_a_month_and_a_library_are_followed(tmp_path: Path, ingested: Path) -> None:
    folder = copied(tmp_path, ingested)
    write(folder, LINEAGE)
    lake, (release,) = LocalLake(root=str(folder / ".mlops" / "lake")), (folder / ".mlops" / "releases" / "air_time").glob("?" * 64)
    asked = release.name[:8] + "0" * 24
    known = {"prediction_id": [asked], "row_id": ["a"], "prediction": [97.0], "model_version": [1], "content_hash": [release.name]}
    row = pl.DataFrame(known).with_columns(day=pl.date(2013, 3, 1), predict_at=pl.datetime(2013, 3, 1, time_zone="UTC"))
    lake.replace("prediction/air_time/batch", row, partition="2013-03")
    fill(folder, "question.yaml", PREDICTION=asked)
    back, forward, library = (done(folder, text) for text in commands(LINEAGE))
    assert f"<- release    air_time  version 1  sha256 {release.name[:12]}" in back
    assert "table/flights/departures 2013-02 has reached 1 versions of 1 models, 1 of them live" in forward
    assert "air_time version 1, live: lightgbm " in library
    assert len(list((folder / ".mlops" / "reports" / "lineage").glob("*.html"))) == 3


def test_a_version_is_rebuilt_and_one_without_a_commit_only_on_demand(tmp_path: Path, ingested: Path) -> None:
    folder = copied(tmp_path, ingested)
    write(folder, REBUILD)
    (command,) = commands(REBUILD)
    assert "its record names no commit" in shell(folder, command).stderr
    fill(folder, "rebuild.yaml", **{"version: 1": "version: 1\n      anyway: true"})
    assert "air_time version 1" in (said := done(folder, command))
    assert "equal, 4 of 4 files" in said


def test_versions_are_compared(tmp_path: Path, ingested: Path) -> None:
    folder = copied(tmp_path, ingested)
    write(folder, COMPARE)
    fill(folder, "compare.yaml", VERSIONS="1, 1")
    (command,) = commands(COMPARE)
    done(folder, command)
    assert "Each on its own held-out days" in (folder / ".mlops" / "reports" / "air_time" / "compared" / "1-1.html").read_text()
