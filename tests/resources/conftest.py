"""A lake, the same in a folder and in S3 as a real server speaks it."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from resources.lake import DeltaLake
from tests.servers.s3 import S3, s3


@pytest.fixture(scope="module")
def files() -> Iterator[S3]:
    with s3("lake") as running:
        yield running


@pytest.fixture(params=["folder", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeltaLake:
    if request.param == "folder":
        return DeltaLake(root=str(tmp_path / "lake"))
    for name, value in request.getfixturevalue("files").environment().items():
        monkeypatch.setenv(name, value)
    return DeltaLake(root=f"s3://lake/{uuid4().hex}")
