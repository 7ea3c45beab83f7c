"""A file is there whole or not at all."""

import errno
import os
import resource
import signal
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

import pytest

from resources.whole import read_regular, write_whole

EITHER = pytest.mark.parametrize("durable", [False, True])


@contextmanager
def files_of_at_most(size: int) -> Generator[None]:
    before, action = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, action)


@EITHER
def test_a_failed_write_leaves_the_old_text_and_nothing_else(tmp_path: Path, durable: bool) -> None:  # noqa: FBT001  a parameter of the test
    path = tmp_path / "index.html"
    write_whole(path, "old")
    with files_of_at_most(10_000), pytest.raises(OSError, match="File too large"):
        write_whole(path, "new" * 10_000, durable=durable)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["index.html"]


def test_threads_of_one_process_that_write_the_same_file_leave_one_of_their_contents(tmp_path: Path) -> None:
    path, contents = tmp_path / "deep" / "now.json", [str(number) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            list(pool.map(write_whole, repeat(path), contents))
            assert path.read_text() in contents
    assert [entry.name for entry in path.parent.iterdir()] == ["now.json"]


@EITHER
def test_a_file_has_its_mode_from_the_start(tmp_path: Path, durable: bool) -> None:  # noqa: FBT001  a parameter of the test
    path = tmp_path / "secret"
    write_whole(path, "x", mode=0o600, durable=durable)
    assert path.stat().st_mode & 0o777 == 0o600


def test_only_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    assert read_regular(tmp_path / "file") == b"content"
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    for name, number in (("link", errno.ELOOP), ("pipe", errno.EINVAL), ("nothing", errno.ENOENT)):
        with pytest.raises(OSError, match=rf"\[Errno {number}\]"):
            read_regular(tmp_path / name)
