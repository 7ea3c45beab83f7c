"""The UIs of a home: what is missing or taken is told before anything starts; all that was started ends together."""

import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from mlops_assets import ui
from resources.settings import BadSetting, Settings


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ports: str) -> Path:
    """A home with what each UI needs, and in place of the UIs small servers with a child each."""
    for name in ui.SHOWN:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path))
    monkeypatch.setenv("MLOPS_UI_PORTS", ports)
    return tmp_path


def running(folder: Path) -> list[psutil.Process]:
    """The processes whose command names a folder."""
    return [one for one in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(one.info["cmdline"] or ())]


def test_a_home_without_a_result_is_told_to_run_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path))
    assert ui.main() == 1
    said = capsys.readouterr().err
    assert "dagster/dagster.yaml, mlflow/mlflow.db, features/feature_store.yaml, reports/index.html is missing" in said
    assert "`make demo`" in said


def test_a_taken_port_is_named_with_the_way_out(shown: Path, ports: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, mlflow, *_ = ports.split(",")
    with socket.socket() as other:
        other.bind((ui.HOST, int(mlflow)))
        other.listen()
        assert ui.main() == 1
    said = capsys.readouterr().err
    assert f"Port {mlflow}, where mlflow would answer, is taken, so nothing was started." in said
    assert "MLOPS_UI_PORTS=" in said
    assert running(shown) == []


def test_a_ui_that_ends_takes_the_others_with_it_and_names_its_log(
    shown: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = ui.commands
    broken = [sys.executable, "-c", "raise SystemExit(3)"]

    def mostly_broken(home: Path, ports: Mapping[str, int]) -> dict[str, list[str]]:
        return {"dagster": broken, "reports": real(home, ports)["reports"]}

    monkeypatch.setattr(ui, "commands", mostly_broken)
    assert ui.main() == 1
    assert f"ended with exit status 3, so the others were stopped too. {shown / 'ui' / 'dagster.log'} says why." in capsys.readouterr().err
    assert running(shown) == []


@pytest.mark.parametrize("said", ["1,2,3", "1,2,3,x", "1,2,3,3", "1,2,3,70000"])
def test_ports_that_cannot_be_meant_are_refused(said: str) -> None:
    with pytest.raises(BadSetting, match="which is not four ports"):
        Settings.from_environment({"MLOPS_UI_PORTS": said})


def test_the_links_of_asset_pages_follow_the_ports() -> None:
    assert Settings.from_environment({"MLOPS_UI_PORTS": "3001,5001,8889,8801"}).ui_ports == (3001, 5001, 8889, 8801)
