"""Where the bytes of releases and of their statements lie: the ``Shelf`` port and its folder. ``s3_shelf`` is the other adapter.

A shelf knows nothing of what it holds. It keeps a release whole or not at all, keeps the first of two, and hands out what is there;
whether that is what was released is asked in ``releases``.
"""

import errno
import os
import shutil
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from resources.errors import PlatformError
from resources.whole import read_regular, sync_folder, weight, write_whole

UNFINISHED: Final = ".unfinished"
UNFINISHED_SECONDS: Final = 3600


class Damaged(ValueError):
    """What is kept cannot be what was stored: in which file, and how that shows. Said within this package."""

    def __init__(self, file: str, what: str) -> None:
        super().__init__(file, what)
        self.file, self.what = file, what


class NoShelf(PlatformError):
    """A root that is neither a folder nor in S3."""

    def __init__(self, *, root: str) -> None:
        super().__init__(
            f"releases cannot lie in {root}: only folders and S3 keep the first of two writers, so nothing was read or written. "
            "Name s3://bucket/folder or file:///folder in MLOPS_RELEASES_URI."
        )


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A release that is kept: its name, since when, and its bytes."""

    content_hash: str
    at: datetime
    size: int


class Shelf(Protocol):
    """Releases by model and content hash, and statements by name."""

    def place(self, *names: str) -> str:
        """Where something lies, for people."""
        ...

    def files(self, model: str, content_hash: str) -> dict[str, bytes] | None:
        """Every file that is kept of a release, unchecked; None when there is no such release.

        Raises:
            Damaged: what is there has not even the shape that ``store`` gave it.
        """

    def store(self, model: str, content_hash: str, files: Mapping[str, bytes]) -> None:
        """Keep a release, whole or not at all wherever the process dies; what is there already stays as it is."""

    def kept(self, model: str) -> list[Kept]:
        """The releases of a model."""
        ...

    def free(self, model: str, content_hash: str) -> None:
        """Let go of a release; one that is gone is gone."""

    def read(self, *names: str) -> bytes:
        """A statement; an ``OSError`` when it is not there, or is no file."""
        ...

    def replace(self, content: bytes, *names: str) -> None:
        """Keep a statement in one step, whatever was there."""


def shelf_at(root: Path | str) -> Shelf:
    """The shelf of a root: ``s3://bucket/folder``, or a folder.

    Raises:
        NoShelf: it is neither.
    """
    scheme, named, rest = str(root).partition("://")
    if named and scheme == "s3":
        from resources.registry.s3_shelf import S3Shelf

        return S3Shelf(str(root))
    if named and scheme != "file":
        raise NoShelf(root=str(root))
    return FolderShelf(Path(rest if named else root))


class FolderShelf(Shelf):
    """A folder of folders, ``<root>/<model>/<content hash>/<file>``: read-only files, written beside and renamed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def place(self, *names: str) -> str:
        """Its path."""
        return str(self.root.joinpath(*names))

    def files(self, model: str, content_hash: str) -> dict[str, bytes] | None:
        """Regular files only: what a link points to may change."""
        path = self.root / model / content_hash
        return {file.name: _bytes(file) for file in sorted(path.iterdir())} if path.is_dir() else None

    def store(self, model: str, content_hash: str, files: Mapping[str, bytes]) -> None:
        """Write beside, then rename: the release is there whole or not at all. Whoever comes second keeps the first."""
        path, drafts = self.root / model / content_hash, self.root / UNFINISHED
        if path.exists():
            return
        for left in drafts.glob("*"):  # by writers that were killed
            with suppress(FileNotFoundError):  # or by one that has finished meanwhile
                if left.stat().st_mtime < time.time() - UNFINISHED_SECONDS:
                    shutil.rmtree(left, ignore_errors=True)
        draft = drafts / f"{content_hash}.{uuid.uuid4().hex}"
        try:
            _write(draft, files)
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.rename(path)
            sync_folder(path.parent)
        except OSError as problem:
            shutil.rmtree(draft, ignore_errors=True)
            if problem.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
                raise

    def kept(self, model: str) -> list[Kept]:
        """By the age of its folder."""
        found: list[Kept] = []
        for path in sorted(self.root.joinpath(model).glob("?" * 64)):
            with suppress(FileNotFoundError):  # somebody lets go of it just now
                found.append(Kept(content_hash=path.name, at=datetime.fromtimestamp(path.stat().st_mtime, UTC), size=weight(path)))
        return found

    def free(self, model: str, content_hash: str) -> None:
        """Gone at once; what is left of it by a kill goes with other drafts."""
        away = self.root / UNFINISHED / f"{content_hash}.{uuid.uuid4().hex}"
        away.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            self.root.joinpath(model, content_hash).rename(away)
            shutil.rmtree(away)

    def read(self, *names: str) -> bytes:
        """A regular file."""
        return read_regular(self.root.joinpath(*names))

    def replace(self, content: bytes, *names: str) -> None:
        """A read-only file, on the disk when this returns."""
        write_whole(self.root.joinpath(*names), content, mode=0o444, durable=True)


def _write(draft: Path, files: Mapping[str, bytes]) -> None:
    draft.mkdir(parents=True)
    for name, content in files.items():
        with (draft / name).open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        (draft / name).chmod(0o444)
    sync_folder(draft)


def _bytes(file: Path) -> bytes:
    try:
        return read_regular(file)
    except OSError as problem:
        what = {errno.ELOOP: "became a link", errno.EINVAL: "became something other than a file"}
        raise Damaged(file.name, what.get(problem.errno or 0, f"became unreadable ({problem.strerror})")) from problem
