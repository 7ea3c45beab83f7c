"""Which files start a run, how often, and what the tick says of the others."""

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.flights.catalogue import CATALOGUE
from resources.inbox import Inbox
from sensors.ingest_on_new_file import ingest_on_new_file

JANUARY = "flights.departures/2013-01.csv"


class Ticks:
    """The sensor over an inbox, with the cursor that Dagster keeps."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        self.inbox, self.instance = Inbox(root=str(root)), instance
        self.cursor: str | None = None
        self.sensor = ingest_on_new_file(CATALOGUE)
        self.clock = 0

    def put(self, name: str, content: str) -> None:
        """Write a file with a modification time of its own."""
        path = Path(self.inbox.root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        self.touch(name)

    def touch(self, name: str) -> None:
        self.clock += 1
        os.utime(Path(self.inbox.root, name), ns=(self.clock, self.clock))

    def look(self, *, keep: bool = True) -> tuple[list[str], list[str], str]:
        """One tick: run keys, months added, what it says; without ``keep`` the daemon dies before it stores the cursor."""
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor) as context:
            found = self.sensor._raw_fn(context, self.inbox)
        assert isinstance(found, dg.SensorResult)
        if keep:
            self.cursor = found.cursor
        added = [key for request in found.dynamic_partitions_requests or () for key in request.partition_keys]
        return (
            [str(request.run_key) for request in found.run_requests or ()],
            added,
            found.skip_reason.skip_message or "" if found.skip_reason else "",
        )


@pytest.fixture
def ticks(tmp_path: Path) -> Iterator[Ticks]:
    with dg.DagsterInstance.ephemeral() as instance:  # pyright: ignore[reportUnknownMemberType]  a parameter of dagster's is
        yield Ticks(tmp_path, instance)


def test_a_file_starts_one_run_and_becomes_a_month(ticks: Ticks) -> None:
    ticks.put(JANUARY, "a")
    ticks.put("aircraft.register/all.csv", "a")
    keys, added, _ = ticks.look()
    assert [key.rsplit(" ", 1)[0] for key in keys] == ["aircraft/register 1", "flights/departures 2013-01 1"]
    assert added == ["2013-01"]
    assert ticks.look() == ([], [], "No new file.")


def test_content_that_comes_back_is_a_delivery_of_its_own(ticks: Ticks) -> None:
    keys: list[str] = []
    for content in "ABA":
        ticks.put(JANUARY, content)
        keys += ticks.look()[0]
    assert len(set(keys)) == 3


def test_content_that_comes_back_after_the_file_was_away_is_a_delivery_of_its_own(ticks: Ticks) -> None:
    keys: list[str] = []
    for content in ("A", "B", None, "A"):
        if content is None:
            Path(ticks.inbox.root, JANUARY).unlink()
        else:
            ticks.put(JANUARY, content)
        keys += ticks.look()[0]
    assert len(set(keys)) == 3


def test_a_tick_whose_cursor_was_lost_asks_for_the_same_runs(ticks: Ticks) -> None:
    for content in "AB":
        ticks.put(JANUARY, content)
        lost = ticks.look(keep=False)
        assert lost == ticks.look()
        assert len(lost[0]) == 1


def test_a_file_that_was_only_touched_starts_nothing_and_is_not_read_again(ticks: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks.put(JANUARY, "A")
    ticks.look()
    ticks.touch(JANUARY)
    assert ticks.look()[0] == []
    monkeypatch.delattr(Path, "read_bytes")
    assert ticks.look()[0] == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("flights.departures/foo.csv", "flights.departures/foo.csv"),
        ("flights.departures/2013-13.csv", "flights.departures/2013-13.csv"),
        ("flights.departures/all.csv", "flights.departures/all.csv (flights/departures comes by month)"),
        ("aircraft.register/2013-01.csv", "aircraft.register/2013-01.csv (aircraft/register comes whole)"),
        ("flight.departures/2013-01.csv", "flight.departures/2013-01.csv (no source declares flight/departures)"),
    ],
)
def test_a_file_that_no_source_expects_is_named_and_never_becomes_a_month(ticks: Ticks, name: str, why: str) -> None:
    ticks.put(name, "a")
    keys, added, said = ticks.look()
    assert (keys, added) == ([], [])
    assert said.startswith(f"No new file. Left alone: {why}. Name a file <noun>.<name>/YYYY-MM.csv")
    assert ticks.look()[2] == said


def test_strange_files_are_told_beside_a_good_one_and_do_not_hold_it_up(ticks: Ticks, capfd: pytest.CaptureFixture[str]) -> None:
    ticks.put("flights.departures/foo.csv", "a")
    ticks.put(JANUARY, "a")
    keys, added, _ = ticks.look()
    assert (len(keys), added) == (1, ["2013-01"])
    assert "WARNING - Left alone: flights.departures/foo.csv. " in capfd.readouterr().err


def test_of_many_strange_files_the_first_are_named_and_the_others_counted(ticks: Ticks) -> None:
    for number in range(30):
        ticks.put(f"flights.departures/x{number:02d}.csv", "a")
    said = ticks.look()[2]
    assert "flights.departures/x09.csv and 20 more. " in said
    assert "x10" not in said
