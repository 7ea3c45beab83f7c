"""The reviewer's page: its commands, typed as printed, take a version from waiting to live and another off the list."""

from pathlib import Path

import pytest

from tests.docs.pages import commands, done, project
from tests.mlops_assets.lifecycle.pending import Desk

PAGE = "how-to/approve-a-version.md"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A project whose model has a live version and two that wait."""
    project(tmp_path)
    (tmp_path / ".mlops").mkdir()
    made = Desk(tmp_path / ".mlops")
    made.live()
    made.register(2.0)
    made.register(3.0, cutoff="2013-05")
    return made


def test_a_reviewer_gets_a_token_looks_agrees_and_turns_down_as_the_page_says(desk: Desk, tmp_path: Path) -> None:
    token, look, job, agree, promote, refuse = commands(PAGE)
    page = desk.folder / "reports" / "approvals.html"
    done(tmp_path, token)
    assert "flight_delay version 2 waits: a confidential model needs 1 person's approval and has none" in done(tmp_path, look)
    by_command = page.read_text()
    page.unlink()
    done(tmp_path, job)
    assert page.read_text().split("<table>", 1)[1] == by_command.split("<table>", 1)[1]  # but for the minute
    assert "flight_delay version 2 approved by bo@example.com" in done(tmp_path, agree)
    assert "flight_delay version 2 promoted" in done(tmp_path, promote)
    assert "flight_delay version 3 waits" in done(tmp_path, look)
    assert "flight_delay version 3 archived" in done(tmp_path, refuse)
    assert done(tmp_path, look).startswith("No version waits for approval.")
