"""What a Bento is made of."""

from pathlib import Path

import pytest

from resources.serving import bundle as making
from resources.serving.bundle import bundle
from resources.serving.lock import differing, serving_lock
from resources.serving.routes import Declaration
from tests.resources.serving.tiny import Tiny


def declaration(tiny: Tiny) -> Declaration:
    return Declaration(project=tiny.package, routes=(tiny.route(),), ledger_url=tiny.ledger.url, releases_root=str(tiny.releases.root))


def test_a_bento_holds_the_code_closure_of_each_route_and_the_serving_half_of_the_platform(tiny: Tiny) -> None:
    made = bundle(declaration(tiny))
    assert {name for name in made.files if name.startswith("tinyco")} == {"tinyco/__init__.py", "tinyco/score.py", "tinyco/helper.py"}
    assert {"service.py", "serving.json", "requirements.txt", "mlops_assets/specs.py", "mlops_assets/table.py", "mlops_assets/windows.py",
            "resources/__init__.py", "resources/errors.py", "resources/registry/ledger.py", "resources/registry/releases.py",
            "resources/serving/front.py", "resources/serving/worker.py", "resources/serving/scoring.py"} <= set(made.files)  # fmt: skip
    assert not [name for name in made.files if "controller" in name or "flights" in name or "lifecycle" in name]


def test_no_module_of_a_bento_imports_dagster(tiny: Tiny) -> None:
    made = bundle(declaration(tiny))
    assert [name for name, content in made.files.items() if name.endswith(".py") and b"import dagster" in content] == []


def test_a_comment_makes_no_new_version_and_code_does(tiny: Tiny) -> None:
    first = bundle(declaration(tiny))
    tiny.write(offset=0.0, comment="said differently")
    assert bundle(declaration(tiny)).tag == first.tag
    tiny.write(offset=1.0)
    assert bundle(declaration(tiny)).version != first.version


def test_the_platforms_own_files_and_the_lock_count(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bundle(declaration(tiny))
    assert first.files["requirements.txt"] == serving_lock().read_bytes()
    monkeypatch.setattr(making, "SERVICE", making.SERVICE + "\n")
    second = bundle(declaration(tiny))
    lock = tmp_path / "requirements-serve.lock"
    lock.write_text("polars==2.1.0 --hash=sha256:0\n")
    monkeypatch.setattr(making, "serving_lock", lambda: lock)
    assert len({first.version, second.version, bundle(declaration(tiny)).version}) == 3


def test_a_declaration_survives_its_file(tiny: Tiny, tmp_path: Path) -> None:
    said = declaration(tiny)
    (tmp_path / "serving.json").write_bytes(said.content())
    assert Declaration.read(tmp_path / "serving.json") == said


def test_this_environment_is_the_serving_lock() -> None:
    assert differing(serving_lock().read_text()) == []


def test_what_differs_from_the_lock_is_named() -> None:
    lock = (
        "polars==0.1 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n"
        "no-such-package==1.0\nno-such-windows==1.0 ; sys_platform == 'win32'\n    # a remark\n"
    )
    found = differing(lock)
    assert len(found) == 2
    assert found[0].endswith("the lock wants 0.1")
    assert found[1] == "no-such-package is not installed, the lock wants 1.0"
