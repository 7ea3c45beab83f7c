"""A past version is made again from its record, while the project's code has moved on. Tests run in order, on one home."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from resources.registry.approvals import approvals
from tests.journeys.tiny import Kiosk, digests

TREES = "lgb.train(settings, train, 10)"


def git(kiosk: Kiosk, *words: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    subprocess.run(["git", "-C", kiosk.source, *who, *words], check=True, capture_output=True)  # noqa: S607  the git on the path


def rebuild(kiosk: Kiosk, version: int, *, anyway: bool = False) -> tuple[int, str]:
    """Exit status and words of the job."""
    path = kiosk.source.parent / "rebuild.yaml"
    path.write_text(f"ops: {{refit: {{config: {{model: late, version: {version}, anyway: {anyway}}}}}}}")
    done = kiosk.run("-m", "dagster", "job", "execute", "-m", "kiosk.definitions", "-j", "rebuild", "-c", str(path))
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def kiosk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kiosk]:
    """A project in git whose first version was trained at its commit, the second with an edit that was never committed."""
    one = Kiosk(tmp_path_factory.mktemp("rebuilt"))
    (one.source / ".gitignore").write_text("__pycache__\n")
    git(one, "init", "-q")
    git(one, "add", ".")
    git(one, "commit", "-qm", "first")
    for month in ("2020-01", "2020-02"):
        done = one.replay(until=month)
        assert done.returncode == 0, done.stderr
        path = one.source / "kiosk" / "models" / "late" / "train.py"
        path.write_text(path.read_text().replace(TREES, TREES.replace("10", "12")))
    yield one
    one.world().serving.stop()


def test_who_committed_the_code_stands_in_the_entry_of_the_version_and_may_not_approve_it_alone(kiosk: Kiosk) -> None:
    known = kiosk.world().registry.ledger().entries("late")
    entry = next(entry for entry in known if entry.kind == "registered")
    assert (entry.payload["author"], entry.payload["committer"]) == ("t@example.com", "t@example.com")
    assert "t" in approvals(known, str(entry.content_hash)).trainers


def test_a_version_of_a_commit_is_made_again_bit_by_bit_though_the_code_has_changed_since(kiosk: Kiosk) -> None:
    before, releases = digests(kiosk), sorted((kiosk.home / "releases").rglob("*"))
    status, said = rebuild(kiosk, 1)
    assert status == 0, said
    assert "equal, 3 of 3 files" in said
    assert "its training set equals the one in the lake" in said
    assert digests(kiosk) == before
    assert sorted((kiosk.home / "releases").rglob("*")) == releases


def test_a_version_whose_code_was_never_committed_differs_first_in_its_code(kiosk: Kiosk) -> None:
    status, said = rebuild(kiosk, 2)
    assert status != 0
    assert "late version 2 was rebuilt and is not the same. First difference: code fit: was " in said
    assert "Its checkout had uncommitted changes when it was trained." in said


def test_the_two_versions_are_compared_on_one_page_and_each_training_left_its_report(kiosk: Kiosk) -> None:
    path = kiosk.source.parent / "compare.yaml"
    path.write_text("ops: {versions: {config: {model: late}}}")
    done = kiosk.run("-m", "dagster", "job", "execute", "-m", "kiosk.definitions", "-j", "compare", "-c", str(path))
    assert done.returncode == 0, done.stderr
    reports = kiosk.home / "reports" / "late"
    assert "the code of fit changed" in (reports / "compared" / "1-2.html").read_text()
    assert "Model card of late 2020-02" in (reports / "trained" / "2020-02.html").read_text()
    assert "late/trained/2020-02.html" in (reports.parent / "index.html").read_text()


def test_the_entry_of_a_version_says_how_it_differs_from_the_one_that_was_live(kiosk: Kiosk) -> None:
    first, second = (one.payload for one in kiosk.world().registry.ledger().entries("late") if one.kind == "registered")
    assert first["against"] is None
    assert second["against"]["content_hash"] == first["content_hash"]
    assert set(second["against"]["differences"]) == {"auc", "log_loss", "brier", "ece"}
    assert [one["name"] for one in second["gate"]] == ["auc floor", "licence", "card"]  # its gate does not ask for it


def test_a_training_set_that_was_replaced_since_is_told_and_is_not_what_the_rebuild_trusts(kiosk: Kiosk) -> None:
    lake, where = kiosk.world().lake, "training_set/late/examples"
    lake.replace(where, lake.read(where, partitions=["2020-01"]).collect().head(50), partition="2020-01")
    status, said = rebuild(kiosk, 1)
    assert status == 0, said
    assert "its training set is not the one that is in the lake now" in said


def test_rows_that_are_gone_are_named_as_the_first_difference(kiosk: Kiosk) -> None:
    where = "feature/stall/lately"
    lake = kiosk.world().lake
    less = lake.read(where).collect().filter(month="2020-01").head(9)
    shutil.rmtree(kiosk.home / "lake" / where)
    lake.replace(where, less, partition="2020-01")
    status, said = rebuild(kiosk, 1)
    assert status != 0
    assert "could not be rebuilt: first difference: data. feature/stall/lately 2020-01: version " in said


def test_a_version_that_nobody_registered_is_refused(kiosk: Kiosk) -> None:
    assert "late has no version 7: the ledger knows 1 to 2." in rebuild(kiosk, 7)[1]


def test_without_its_commit_a_version_is_made_again_only_on_demand_and_what_differs_is_told(kiosk: Kiosk) -> None:
    shutil.rmtree(kiosk.source / ".git")
    assert "cannot be checked out" in rebuild(kiosk, 1)[1]
    status, said = rebuild(kiosk, 1, anyway=True)
    assert status != 0
    assert "first difference: data." in said
