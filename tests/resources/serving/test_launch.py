"""A Bento comes into its store whole, from what was staged, or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from resources.serving import launch
from resources.serving.bundle import Bundle, bundle
from resources.serving.routes import Declaration
from tests.resources.serving.tiny import Tiny

BUILD = "import runpy, sys; from pathlib import Path; runpy.run_path(sys.argv[1])['build'](*map(Path, sys.argv[2:]))"


@pytest.fixture
def made(tiny: Tiny, tmp_path: Path) -> Bundle:
    said = Declaration(project=tiny.package, routes=(tiny.route(),), ledger_url=tiny.ledger.url, releases_root=str(tiny.releases.root))
    found = bundle(said)
    found.stage(tmp_path / "context")
    return found


def run(home: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "BENTOML_HOME": str(home / "bentoml")}
    return subprocess.run([sys.executable, *command], env=environment, cwd=home, capture_output=True, text=True, check=False)


def test_a_bento_holds_what_was_staged_and_the_lock_as_it_is(made: Bundle, tmp_path: Path) -> None:
    bento = tmp_path / "store" / made.name / made.version
    done = run(tmp_path, "-P", "-c", BUILD, launch.__file__, str(tmp_path / "context"), str(bento))
    assert done.returncode == 0, done.stderr
    assert {str(path.relative_to(bento / "src")) for path in (bento / "src").rglob("*.py")} == {
        one for one in made.files if one.endswith(".py")
    }
    assert (bento / "env" / "python" / "requirements.txt").read_bytes() == made.files["requirements.txt"]
    assert (bento.parent / "latest").read_text() == made.version


def test_a_build_that_fails_leaves_nothing_in_the_store(made: Bundle, tmp_path: Path) -> None:
    (tmp_path / "context" / "service.py").write_text("raise RuntimeError('broken')")
    done = run(
        tmp_path, "-P", launch.__file__, str(tmp_path / "store" / made.name / made.version), str(tmp_path / "context"), "127.0.0.1", "1"
    )
    assert done.returncode != 0
    assert "broken" in done.stderr
    assert not (tmp_path / "store").exists()
