"""A service runs the Bento's own code, or nothing."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resources.security.keys import KeyUnknown
from resources.serving.routes import Declaration
from resources.serving.service import Host, NotTheBentosCode, own_code
from tests.resources.serving.tiny import Tiny


def declaration(tiny: Tiny) -> Declaration:
    return Declaration(project=tiny.package, routes=(tiny.route(),), ledger_url="sqlite:///x", releases_root="x")


def test_code_from_outside_the_bento_is_refused_by_module(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(NotTheBentosCode, match=r"resources\.serving\.service would be imported from .*service\.py, not from the Bento in"):
        own_code(declaration(tiny), tmp_path)


def test_a_worker_verifies_with_the_public_halves_that_its_declaration_names(tiny: Tiny, tmp_path: Path) -> None:
    tiny.release(1.0)
    release, ledger, public = tiny.registry.ring("release"), tiny.registry.ring("ledger"), tmp_path / "public"
    for ring in (release, ledger):
        (public / ring.root.name).mkdir(parents=True)
    places = {"ledger_url": tiny.ledger.url, "releases_root": str(tiny.releases.root), "keys_root": str(public)}
    path = tmp_path / "serving.json"
    path.write_bytes(Declaration(project=tiny.package, routes=(tiny.route(),), **places).content())
    with pytest.raises(KeyUnknown, match=rf"is not in the ring {public}/ledger, so nothing that it signed is believed"):
        Host(path).follower.step(datetime.now(UTC))
    shutil.copy(next(ledger.root.glob("*.pub")), public / "ledger")
    without = Host(path).follower
    without.step(datetime.now(UTC))
    assert "is not in the ring" in next(iter(without.describe()["tiny"]["refused"].values()))
    shutil.copy(next(release.root.glob("*.pub")), public / "release")
    has = Host(path).follower
    has.step(datetime.now(UTC))
    assert has.loaded("tiny").version == 1


def test_a_bento_whose_code_was_edited_is_refused(tiny: Tiny) -> None:
    said = declaration(tiny)
    own_code(said, Path("/"))
    edited = replace(said, routes=(replace(said.routes[0], code_hash="0" * 64),))
    with pytest.raises(NotTheBentosCode, match=r"The code behind tinyco\.score:predict was changed after the Bento was built"):
        own_code(edited, Path("/"))
