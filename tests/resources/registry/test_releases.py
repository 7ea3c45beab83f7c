"""The release store: named by content, whole or not there, and never read before every byte was checked."""

import importlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resources.registry.identity import canonical, sha256
from resources.registry.releases import ReleaseChanged, ReleaseMissing, ReleaseNotWritten, Releases, UnsafePart
from tests.racing import raced

RECORD = {"identity": {"code": "c0de", "seed": 7}, "provenance": {"git": "9c0ffee"}}
SIGNATURE = {"entry": "acme.score:predict"}
PARTS: dict[str, object] = {"weights": np.arange(6.0).reshape(2, 3), "categories": {"origin": ["EWR", "JFK"], "limit": 0.1}}


@pytest.fixture
def store(tmp_path: Path) -> Releases:
    return Releases(tmp_path / "releases")


@pytest.fixture
def released(store: Releases) -> Path:
    return store.path("churn", store.write("churn", PARTS, RECORD, SIGNATURE))


def booster(*, seed: int = 1, **params: object) -> Any:
    lgb: Any = importlib.import_module("lightgbm")
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(500, 4))
    given = {"objective": "binary", "verbosity": -1, "seed": seed, "bagging_fraction": 0.5, "bagging_freq": 1, **params}
    return lgb.train(given, lgb.Dataset(rows, (rows[:, 0] > 0).astype(float)), 5)


def test_parts_come_back_as_they_went_in(store: Releases) -> None:
    fitted = booster()
    found = store.load("churn", store.write("churn", {**PARTS, "booster": fitted}, RECORD, SIGNATURE))
    rows = np.random.default_rng(1).normal(size=(50, 4))
    assert (found.parts["booster"].predict(rows) == fitted.predict(rows)).all()
    assert (found.parts["weights"] == PARTS["weights"]).all()
    assert found.parts["categories"] == PARTS["categories"]
    assert (found.record, found.signature) == (RECORD, SIGNATURE)


def test_equal_content_has_an_equal_hash_whatever_its_provenance(store: Releases, tmp_path: Path) -> None:
    first = store.write("churn", PARTS, RECORD, SIGNATURE)
    other = Releases(tmp_path / "elsewhere").write("churn", PARTS, {**RECORD, "provenance": {"git": "another"}}, SIGNATURE)
    assert first == other


@pytest.mark.parametrize(
    ("parts", "record", "signature"),
    [
        ({**PARTS, "categories": {"origin": ["EWR"]}}, RECORD, SIGNATURE),
        ({**PARTS, "more": 1}, RECORD, SIGNATURE),
        (PARTS, {"identity": {"code": "c0de", "seed": 8}}, SIGNATURE),
        (PARTS, RECORD, {"entry": "acme.score:other"}),
    ],
)
def test_other_content_has_another_hash(
    store: Releases, parts: dict[str, object], record: dict[str, Any], signature: dict[str, object]
) -> None:
    assert store.write("churn", parts, record, signature) != store.write("churn", PARTS, RECORD, SIGNATURE)


def test_equal_trees_are_equal_bytes_at_any_number_of_threads(store: Releases) -> None:
    hashes = {store.write("churn", {"booster": booster(num_threads=threads)}, RECORD, SIGNATURE) for threads in (0, 1, 2)}
    assert len(hashes) == 1
    text = (store.path("churn", hashes.pop()) / "booster.lgb.txt").read_text()
    assert "[num_threads: 0]" in text
    assert "pandas_categorical" in text


def test_other_trees_are_other_bytes(store: Releases) -> None:
    assert len({store.write("churn", {"booster": booster(seed=seed)}, RECORD, SIGNATURE) for seed in (1, 2)}) == 2


def test_a_release_that_was_read_and_written_again_keeps_its_hash(store: Releases) -> None:
    first = store.write("churn", {"booster": booster(num_threads=2)}, RECORD, SIGNATURE)
    assert store.write("churn", store.load("churn", first).parts, RECORD, SIGNATURE) == first


def test_writing_again_keeps_the_first_provenance(store: Releases, released: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in released.iterdir()}
    store.write("churn", PARTS, {**RECORD, "provenance": {"git": "another"}}, SIGNATURE)
    assert {path.name: path.stat().st_mtime_ns for path in released.iterdir()} == before
    assert store.load("churn", released.name).record == RECORD


def test_nothing_unfinished_is_left_behind(store: Releases, released: Path) -> None:
    assert released.is_dir()
    assert list(Path(store.root, ".unfinished").iterdir()) == []


def test_released_files_are_read_only(released: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in released.iterdir()} == {0o444}


class Custom:
    """Something of the project's own."""


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (Custom(), "Custom"),
        (np.array([{"a": 1}], dtype=object), "an array of object can hold anything"),
        (pickle.dumps({}), "bytes"),
        ({"weights": np.arange(3)}, r"value\.weights: .*ndarray"),
        (float("nan"), "nan"),
    ],
)
def test_a_part_without_a_safe_format_is_refused_by_name(store: Releases, value: object, why: str) -> None:
    with pytest.raises(UnsafePart, match=f"churn: part 'model' cannot be stored: .*{why}"):
        store.write("churn", {"model": value}, RECORD, SIGNATURE)
    assert not Path(store.root).exists()


@pytest.mark.parametrize("name", ["../escape", "a/b", ".hidden", "record", "manifest", "", "two words"])
def test_a_part_with_a_name_that_could_mean_something_else_is_refused(store: Releases, name: str) -> None:
    with pytest.raises(UnsafePart):
        store.write("churn", {name: 1}, RECORD, SIGNATURE)


def test_a_release_without_parts_is_refused(store: Releases) -> None:
    with pytest.raises(UnsafePart, match="at least one part"):
        store.write("churn", {}, RECORD, SIGNATURE)


def test_an_absent_release_is_named_with_what_to_do(store: Releases) -> None:
    with pytest.raises(ReleaseMissing, match=r"churn: release aaaaaaaaaaaa is not in .* Materialize model/churn/parts"):
        store.load("churn", "a" * 64)


@pytest.mark.parametrize(("model", "name"), [("../churn", "a" * 64), ("churn", "../" + "a" * 61), ("churn", "")])
def test_a_name_that_leaves_the_store_is_a_missing_release(store: Releases, model: str, name: str) -> None:
    with pytest.raises(ReleaseMissing):
        store.load(model, name)


def rewrite(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


FILES = ["categories.json", "manifest.json", "record.json", "signature.json", "weights.npy"]


def test_these_are_the_files_of_a_release(released: Path) -> None:
    assert sorted(path.name for path in released.iterdir()) == FILES


@pytest.mark.parametrize("file", FILES)
def test_a_flipped_byte_in_any_file_is_a_refusal_that_names_it(store: Releases, released: Path, file: str) -> None:
    content, recorded = (released / file).read_bytes(), store.verify("churn", released.name)
    for place in range(len(content)):
        rewrite(released / file, content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ReleaseChanged):
            store.verify("churn", released.name)
        with pytest.raises(ReleaseChanged, match=file):
            store.load("churn", released.name, manifest_hash=recorded)


def test_nothing_is_read_from_a_release_with_one_changed_byte(store: Releases, released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **_more: object) -> None:
        pytest.fail("read before all was checked")

    monkeypatch.setattr(np, "load", read)
    rewrite(released / "signature.json", b"{}")
    with pytest.raises(ReleaseChanged, match=r"signature\.json was changed"):
        store.load("churn", released.name)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "removed": (lambda path: (path / "weights.npy").unlink(), r"weights\.npy was removed"),
    "added": (lambda path: (path / "extra.json").write_text("1"), r"extra\.json was added"),
    "added hidden": (lambda path: (path / ".gitignore").write_text("*"), r"\.gitignore was added"),
    "empty folder": (lambda path: (path / "empty").mkdir(), "empty became unreadable"),
    "no manifest": (lambda path: (path / "manifest.json").unlink(), r"manifest\.json was removed"),
    "manifest is a list": (lambda path: rewrite(path / "manifest.json", b"[]"), r"manifest\.json was changed"),
    "manifest is empty": (lambda path: rewrite(path / "manifest.json", b""), r"manifest\.json was changed"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_folder_that_is_not_as_it_was_written_is_refused(store: Releases, released: Path, what: str) -> None:
    damage, sentence = DAMAGE[what]
    damage(released)
    with pytest.raises(ReleaseChanged, match=sentence):
        store.load("churn", released.name)


def test_a_link_in_the_place_of_a_file_is_refused(store: Releases, released: Path, tmp_path: Path) -> None:
    same = tmp_path / "same.npy"
    shutil.copy(released / "weights.npy", same)
    (released / "weights.npy").unlink()
    (released / "weights.npy").symlink_to(same)
    with pytest.raises(ReleaseChanged, match=r"weights\.npy became a link"):
        store.load("churn", released.name)


def test_a_pipe_in_the_place_of_a_file_is_refused_and_hangs_nobody(store: Releases, released: Path) -> None:
    (released / "weights.npy").unlink()
    os.mkfifo(released / "weights.npy")
    with pytest.raises(ReleaseChanged, match=r"weights\.npy became something other than a file"):
        store.load("churn", released.name)


def forged(released: Path, file: str, content: bytes) -> None:
    """Change a file and its hash in the manifest."""
    rewrite(released / file, content)
    manifest = json.loads((released / "manifest.json").read_text())
    manifest["files"][file] = {"bytes": len(content), "sha256": sha256(content)}
    rewrite(released / "manifest.json", canonical(manifest))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("categories.json", b"{}"),
        ("signature.json", b'{"entry":"evil:code"}'),
        ("record.json", canonical({"identity": {"seed": 8}, "provenance": {}})),
    ],
)
def test_a_forged_manifest_does_not_add_up_to_the_content_hash(store: Releases, released: Path, file: str, content: bytes) -> None:
    forged(released, file, content)
    with pytest.raises(ReleaseChanged, match=r"manifest\.json was changed"):
        store.load("churn", released.name)


def test_forged_provenance_is_found_with_the_ledgers_hash(store: Releases, released: Path) -> None:
    recorded = store.verify("churn", released.name)
    forged(released, "record.json", canonical({**RECORD, "provenance": {"git": "forged"}}))
    with pytest.raises(ReleaseChanged, match="not the one that the ledger recorded"):
        store.load("churn", released.name, manifest_hash=recorded)


def test_a_release_under_another_models_name_is_refused(store: Releases, released: Path) -> None:
    shutil.copytree(released, Path(store.root, "delay", released.name))
    with pytest.raises(ReleaseChanged, match=r"release delay/.*manifest\.json was changed"):
        store.load("delay", released.name)


def test_a_release_under_another_hash_is_refused(store: Releases, released: Path) -> None:
    shutil.copytree(released, released.with_name("b" * 64))
    with pytest.raises(ReleaseChanged):
        store.load("churn", "b" * 64)


def test_a_manifest_may_not_point_outside(store: Releases, released: Path) -> None:
    manifest = json.loads((released / "manifest.json").read_text())
    manifest["files"]["../outside.json"] = manifest["files"].pop("weights.npy")
    rewrite(released / "manifest.json", canonical(manifest))
    with pytest.raises(ReleaseChanged, match=r"outside\.json was removed"):
        store.load("churn", released.name)


def test_writing_over_a_changed_release_is_refused_and_mends_nothing(store: Releases, released: Path) -> None:
    rewrite(released / "categories.json", b"{}")
    with pytest.raises(ReleaseChanged, match=r"categories\.json was changed.* delete it and materialize"):
        store.write("churn", PARTS, RECORD, SIGNATURE)


def test_a_changed_release_comes_back_when_its_folder_is_deleted(store: Releases, released: Path) -> None:
    shutil.rmtree(released)
    assert store.write("churn", PARTS, RECORD, SIGNATURE) == released.name
    assert store.load("churn", released.name).record == RECORD


def test_a_store_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    with pytest.raises(ReleaseNotWritten, match=r"churn: the release could not be written to .*taken: Not a directory"):
        Releases(tmp_path / "taken").write("churn", PARTS, RECORD, SIGNATURE)


LIMITED = """
import resource, signal, sys
from resources.registry.releases import Releases, ReleaseNotWritten
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    Releases(sys.argv[1]).write("churn", {"weights": list(range(100_000))}, {"identity": {}}, {})
except ReleaseNotWritten as problem:
    print(problem)
"""


def test_a_disk_that_takes_no_more_leaves_nothing_half_written(store: Releases) -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED, store.root], capture_output=True, text=True, check=True)
    assert "churn: the release could not be written" in done.stdout
    assert "File too large" in done.stdout
    assert [path for path in Path(store.root).rglob("*") if path.is_file()] == []


KILLED = """
import os, signal, sys
from resources.registry import releases
real, left = os.fsync, [int(sys.argv[2])]
def fsync(handle):
    real(handle)
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
os.fsync = fsync
releases.Releases(sys.argv[1]).write("churn", {"weights": [1.0, 2.0]}, {"identity": {}}, {})
"""


@pytest.mark.parametrize("after", [1, 3, 4, 5, 6])
def test_a_writer_killed_anywhere_leaves_a_whole_release_or_none(store: Releases, after: int) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, store.root, str(after)], check=False)
    assert killed.returncode == -9
    named = store.write("churn", {"weights": [1.0, 2.0]}, {"identity": {}}, {})
    assert [path.name for path in Path(store.root, "churn").iterdir()] == [named]
    assert store.load("churn", named).parts == {"weights": [1.0, 2.0]}


def test_drafts_of_killed_writers_are_swept_after_a_while(store: Releases) -> None:
    drafts = Path(store.root, ".unfinished")
    for name, age in (("old", 7200), ("young", 60)):
        (drafts / name).mkdir(parents=True)
        stamp = (drafts / name).stat().st_mtime - age
        os.utime(drafts / name, (stamp, stamp))
    store.write("churn", PARTS, RECORD, SIGNATURE)
    assert [path.name for path in drafts.iterdir()] == ["young"]


def test_a_draft_that_goes_while_others_are_swept_disturbs_nobody(store: Releases) -> None:
    Path(store.root, ".unfinished").mkdir(parents=True)
    Path(store.root, ".unfinished", "gone").symlink_to("nowhere")  # listed, and no longer there when it is looked at
    assert store.load("churn", store.write("churn", PARTS, RECORD, SIGNATURE)).record == RECORD


TOGETHER = """
import sys
from resources.registry.releases import Releases
print("ready", flush=True)
sys.stdin.readline()
print(Releases(sys.argv[1]).write("churn", {"weights": list(range(10000))}, {"identity": {}}, {}))
"""


def test_writers_of_the_same_release_at_once_all_succeed(store: Releases) -> None:
    command = [sys.executable, "-c", TOGETHER, store.root]
    named = {*raced([command] * 4)}
    assert [path.name for path in Path(store.root, "churn").iterdir()] == list(named)
