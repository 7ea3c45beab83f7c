"""No file of the hostile corpus is loaded, under its own name or under an allowed one, signed or not; and nothing in one is run."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resources.errors import PlatformError
from resources.registry import releases
from resources.registry.formats import FORMATS, FormatRefused, decoded
from resources.registry.identity import canonical
from resources.registry.releases import ReleaseChanged
from resources.registry.resource import Registry
from resources.registry.states import Entry
from tests.resources.registry.hostile.corpus import BITES, CORPUS, SKOPS, pickled, python_source
from tests.resources.registry.records import WHOLE


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """What is there if anything was run."""
    return tmp_path / "marker"


def test_the_corpus_is_large() -> None:
    assert len(CORPUS) >= 30


@pytest.mark.parametrize("what", BITES)
def test_the_corpus_bites_whoever_is_careless(what: str, marker: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CORPUS[what][1](marker))
    libraries = [name for name in ("joblib", "numpy", "pickle", "skops.io", "yaml", "zipfile") if f"{name}." in BITES[what]]
    careless = f"import io, sys, {', '.join(libraries) or 'os'}; content = open(sys.argv[1], 'rb').read(); {BITES[what]}"
    subprocess.run([sys.executable, "-W", "ignore", "-c", careless, str(tmp_path / "file")], capture_output=True, check=False)
    assert marker.exists()


@pytest.mark.parametrize("what", CORPUS)
def test_a_hostile_file_is_refused_under_its_own_name_and_under_every_allowed_one(what: str, marker: Path) -> None:
    own, made = CORPUS[what]
    content = made(marker)
    for file in (own, *(f"model{one.suffix}" for one in FORMATS)):
        with pytest.raises(FormatRefused):
            decoded("churn", file, content)
    assert not marker.exists()


LEFT_TO_SKOPS = {"skops with a random generator that is a function"}


@pytest.mark.parametrize("what", sorted(set(SKOPS) - LEFT_TO_SKOPS))
def test_a_hostile_archive_is_refused_before_skops_sees_it(what: str, marker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(*_: object, **_more: object) -> None:
        pytest.fail("skops was asked")

    monkeypatch.setattr("skops.io.loads", seen)
    with pytest.raises(FormatRefused):
        decoded("churn", "model.skops", SKOPS[what](marker))


@pytest.mark.parametrize("what", ["array of objects", "array of objects of the right length", "array larger than memory"])
def test_a_hostile_array_is_refused_by_its_header(what: str, marker: Path) -> None:
    with pytest.raises(FormatRefused, match=r"its header says \w+ \(\d+,\)"):
        decoded("churn", "model.npy", CORPUS[what][1](marker))


class Attacker:
    """Somebody who may write releases and has them registered: everything is signed and adds up."""

    def __init__(self, folder: Path) -> None:
        self.registry = Registry(ledger_url=f"sqlite:///{folder}/ledger.db", releases_root=str(folder / "releases"))

    def released(self, files: Mapping[str, bytes]) -> Entry:
        """Plant a release with these files and register it."""
        whole = {**files, releases.SIGNATURE: b"{}", releases.RECORD: canonical(WHOLE)}
        named, manifest = releases._manifest("churn", whole)
        folder = self.registry.releases().path("churn", named)
        folder.mkdir(parents=True)
        for name, content in {**whole, releases.MANIFEST: manifest}.items():
            (folder / name).write_bytes(content)
        return self.registry.register("churn", named, mlflow_run_id="run", actor="mallory", data_at=datetime.now(UTC))

    def folder(self, entry: Entry) -> Path:
        return self.registry.releases().path("churn", str(entry.content_hash))


@pytest.fixture
def attacker(tmp_path: Path) -> Attacker:
    return Attacker(tmp_path)


@pytest.mark.parametrize("what", CORPUS)
def test_a_hostile_file_is_refused_though_it_was_registered_and_signed(what: str, attacker: Attacker, marker: Path) -> None:
    own, made = CORPUS[what]
    entry = attacker.released({own: made(marker)})
    with pytest.raises(FormatRefused):
        attacker.registry.load(entry)
    assert not marker.exists()


def test_the_attackers_way_of_releasing_works_for_what_is_harmless(attacker: Attacker) -> None:
    assert attacker.registry.load(attacker.released({"weights.json": b"[1,2]"})).parts == {"weights": [1, 2]}


def linked(folder: Path, marker: Path) -> None:
    marker.with_name("outside").write_bytes(b"[1,2]")
    (folder / "weights.json").unlink()
    (folder / "weights.json").symlink_to(marker.with_name("outside"))


def shadowed(folder: Path, marker: Path) -> None:
    (folder / "code").mkdir()
    (folder / "code" / "lightgbm.py").write_bytes(python_source(marker))


def shadowed_beside(folder: Path, marker: Path) -> None:
    (folder / "lightgbm.py").write_bytes(python_source(marker))


def exchanged(folder: Path, marker: Path) -> None:
    (folder / "weights.json").write_bytes(pickled(marker))


@pytest.mark.parametrize("harm", [linked, shadowed, shadowed_beside, exchanged])
def test_a_release_that_was_made_hostile_after_it_was_signed_is_refused(harm: object, attacker: Attacker, marker: Path) -> None:
    entry = attacker.released({"weights.json": b"[1,2]"})
    assert callable(harm)
    harm(attacker.folder(entry), marker)
    with pytest.raises(ReleaseChanged):
        attacker.registry.load(entry)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["..", ".", "", "../weights.json", "/weights.json", "weights.json/..", "weights\0.json"])
def test_a_part_whose_name_leads_elsewhere_is_refused(name: str, marker: Path) -> None:
    with pytest.raises(FormatRefused, match="no part of a release has such a name"):
        decoded("churn", name, pickled(marker))
    assert not marker.exists()


def test_a_release_in_the_place_of_another_is_refused(attacker: Attacker) -> None:
    good, bad = attacker.released({"weights.json": b"[1,2]"}), attacker.released({"weights.json": b"[6,6]"})
    shutil.rmtree(attacker.folder(good))
    shutil.copytree(attacker.folder(bad), attacker.folder(good))
    with pytest.raises(PlatformError, match="is not the one that the ledger recorded"):
        attacker.registry.load(good)
