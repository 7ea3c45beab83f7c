"""A file is there whole or not at all."""

from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import pytest

from resources.whole import write_whole


def test_a_failed_write_leaves_the_old_text_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "index.html"
    write_whole(path, "old")

    def full(partial: Path, content: bytes) -> None:
        with partial.open("wb") as file:
            file.write(content[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["index.html"]


def test_threads_of_one_process_that_write_the_same_file_leave_one_of_their_contents(tmp_path: Path) -> None:
    path, contents = tmp_path / "deep" / "now.json", [str(number) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            list(pool.map(write_whole, repeat(path), contents))
            assert path.read_text() in contents
    assert [entry.name for entry in path.parent.iterdir()] == ["now.json"]
