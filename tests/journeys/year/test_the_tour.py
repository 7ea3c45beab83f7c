"""docs/tour.md, typed along in a folder that holds the replayed home."""

import doctest
from pathlib import Path

import pytest

from tests.docs.pages import ROOT


def test_the_tour_prints_what_it_says(year: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".mlops").symlink_to(year[0])
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(str(ROOT / "docs" / "tour.md"), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert tried > 40
    assert failed == 0
