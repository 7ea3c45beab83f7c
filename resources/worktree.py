"""Code as it was at a commit: a clean working tree beside the checkout, gone when it has been used."""

import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from resources.errors import PlatformError

GIT_SECONDS: Final = 120


class CommitNotHere(PlatformError):
    """A commit that the checkout does not have."""

    def __init__(self, *, commit: str, repository: Path, why: str) -> None:
        super().__init__(
            f"commit {commit[:12]} cannot be checked out from {repository} ({why}), so the code of then cannot run. "
            "Fetch that commit into this checkout (a shallow clone has few), then run again."
        )


def top(path: Path) -> Path | None:
    """The root of the checkout that holds a folder; None outside one."""
    done = _git(path, "rev-parse", "--show-toplevel")
    return Path(done.stdout.strip()) if done.returncode == 0 else None


def file_at(folder: Path, commit: str, name: str) -> bytes | None:
    """What a file of the folder held at a commit; None where the checkout does not know."""
    done = _git(folder, "show", f"{commit}:./{name}")
    return done.stdout.encode() if done.returncode == 0 else None


@contextmanager
def worktree(repository: Path, commit: str) -> Generator[Path]:
    """A folder with exactly the files of a commit.

    Raises:
        CommitNotHere: the checkout does not know the commit.
    """
    with tempfile.TemporaryDirectory(prefix="worktree-") as parent:
        folder = Path(parent).resolve() / "code"
        done = _git(repository, "worktree", "add", "--detach", str(folder), commit)
        if done.returncode:
            raise CommitNotHere(commit=commit, repository=repository, why=done.stderr.strip().splitlines()[-1])
        try:
            yield folder
        finally:
            _git(repository, "worktree", "remove", "--force", str(folder))


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=GIT_SECONDS)  # noqa: S603  our own words, no shell
