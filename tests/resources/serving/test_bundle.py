"""What a Bento is made of."""

from pathlib import Path

import pytest

from resources.serving import bundle as making
from resources.serving.bundle import Bundle, CodeMoved, bundle, kept
from resources.serving.lock import differing, pinned
from resources.serving.routes import Declaration
from tests.resources.serving.tiny import Tiny


def declaration(tiny: Tiny) -> Declaration:
    return Declaration(project=tiny.package, routes=(tiny.route(),), ledger_url=tiny.ledger.url, releases_root=str(tiny.releases.root))


def put(made: Bundle, store: Path) -> Path:
    """What a build leaves in the store, without BentoML."""
    made.stage(made.path(store) / "src")
    (made.path(store) / "bento.yaml").write_text("")
    return made.path(store) / "src"


def test_a_bento_holds_the_code_closure_of_each_route_and_the_serving_half_of_the_platform(tiny: Tiny) -> None:
    made = bundle(declaration(tiny), lock=None)
    assert set(made.code) == {"tinyco/__init__.py", "tinyco/score.py", "tinyco/helper.py"}
    assert {"service.py", "serving.json", "requirements.txt", "mlops_assets/specs.py", "mlops_assets/table.py", "mlops_assets/windows.py",
            "resources/__init__.py", "resources/errors.py", "resources/registry/ledger.py", "resources/registry/releases.py",
            "resources/serving/front.py", "resources/serving/worker.py", "resources/serving/scoring.py"} <= set(made.platform)  # fmt: skip
    assert not [name for name in made.platform if "controller" in name or "flights" in name or "lifecycle" in name]


def test_no_module_of_a_bento_imports_dagster(tiny: Tiny) -> None:
    made = bundle(declaration(tiny), lock=None)
    assert [name for name, content in made.platform.items() if name.endswith(".py") and b"import dagster" in content] == []


def test_a_comment_makes_no_new_version_and_code_does(tiny: Tiny) -> None:
    first = bundle(declaration(tiny), lock=None)
    tiny.write(offset=0.0, comment="said differently")
    assert bundle(declaration(tiny), lock=None).tag == first.tag
    tiny.write(offset=1.0)
    assert bundle(declaration(tiny), lock=None).version != first.version


def test_the_platforms_own_files_and_the_lock_count(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "requirements-serve.lock"
    lock.write_text("polars==2.1.0 --hash=sha256:0\n")
    first = bundle(declaration(tiny), lock=None)
    second = bundle(declaration(tiny), lock=lock)
    assert second.platform["requirements.txt"] == lock.read_bytes()
    monkeypatch.setattr(making, "SERVICE", making.SERVICE + "\n")
    assert len({first.version, second.version, bundle(declaration(tiny), lock=lock).version}) == 3


def test_a_bento_is_only_built_of_the_code_that_is_asked_for(tiny: Tiny) -> None:
    wanted = declaration(tiny)
    tiny.write(offset=1.0)
    with pytest.raises(CodeMoved, match=r"tiny: its release needs the code .* behind tinyco\.score:predict, the code here is"):
        bundle(wanted, lock=None)


def test_a_bento_in_the_store_is_used_again_while_it_is_whole(tiny: Tiny, tmp_path: Path) -> None:
    made = bundle(declaration(tiny), lock=None)
    assert not made.built(tmp_path)
    src = put(made, tmp_path)
    assert made.built(tmp_path)
    (src / "resources" / "errors.py").write_text("")
    assert not made.built(tmp_path)


def test_the_bento_of_edited_code_is_found_again(tiny: Tiny, tmp_path: Path) -> None:
    wanted = declaration(tiny)
    assert kept(wanted, tmp_path) is None
    made = bundle(wanted, lock=None)
    put(made, tmp_path)
    tiny.write(offset=1.0)
    put(bundle(declaration(tiny), lock=None), tmp_path)
    found = kept(wanted, tmp_path)
    assert found is not None
    assert (found.tag, found.built(tmp_path)) == (made.tag, True)


def test_a_declaration_survives_its_file(tiny: Tiny, tmp_path: Path) -> None:
    said = declaration(tiny)
    (tmp_path / "serving.json").write_bytes(said.content())
    assert Declaration.read(tmp_path / "serving.json") == said


def test_requirements_without_a_lock_are_what_is_installed() -> None:
    lines = pinned(["polars", "no-such-package"]).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("polars==")
    assert differing(pinned()) == []


def test_what_differs_from_the_lock_is_named() -> None:
    lock = (
        "polars==0.1 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n"
        "no-such-package==1.0\nno-such-windows==1.0 ; sys_platform == 'win32'\n# a remark\n-r other.txt\n"
    )
    found = differing(lock)
    assert len(found) == 2
    assert found[0].endswith("the lock wants 0.1")
    assert found[1] == "no-such-package is not installed, the lock wants 1.0"
