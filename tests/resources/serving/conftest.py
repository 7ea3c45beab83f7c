"""A tiny project for the tests of this folder."""

import sys
from pathlib import Path

import pytest

from tests.resources.serving.tiny import Tiny


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """A project on the path of this process, with an empty ledger."""
    monkeypatch.setattr(sys, "path", [str(tmp_path / "source"), *sys.path])
    return Tiny(tmp_path)
