"""Code of a commit beside the checkout, with real git."""

import subprocess
from pathlib import Path

import pytest

from resources.worktree import CommitNotHere, top, worktree


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    done = subprocess.run(["git", "-C", folder, *who, *words], capture_output=True, check=True, text=True)  # noqa: S607  the git on the path
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "code.txt").write_text("then")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "then")
    return folder


def test_the_files_are_those_of_the_commit_whatever_was_edited_since_and_nothing_is_left(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    (checkout / "deep" / "code.txt").write_text("now")
    with worktree(checkout, commit) as folder:
        assert (folder / "deep" / "code.txt").read_text() == "then"
    assert not folder.exists()
    assert git(checkout, "worktree", "list").count("\n") == 0
    assert (checkout / "deep" / "code.txt").read_text() == "now"


def test_a_commit_that_the_checkout_lacks_is_refused_by_name(checkout: Path) -> None:
    with pytest.raises(CommitNotHere, match=r"commit 999999999999 cannot be checked out.*Fetch that commit"), worktree(checkout, "9" * 40):
        pass


def test_the_top_of_a_checkout_is_found_from_inside_and_nothing_outside_one(checkout: Path, tmp_path: Path) -> None:
    assert top(checkout / "deep") == checkout
    assert top(tmp_path) is None
