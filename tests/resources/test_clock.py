"""The data clock stands still, moves forward only, and survives writers at once; the wall clock goes by itself."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from resources.clock import Clock, DataClock, WallClock
from resources.clock_file import EPOCH, UnreadableClock
from resources.errors import NaiveInstant

FEBRUARY = datetime(2013, 2, 1, 5, tzinfo=UTC)
MARCH = datetime(2013, 3, 1, 5, tzinfo=UTC)

# Dagster asks a resource that has no field for its fields by pydantic's old name.
FIELDLESS = pytest.mark.filterwarnings("ignore:The `__fields__` attribute is deprecated")


def clock_at(tmp_path: Path) -> DataClock:
    return DataClock(path=str(tmp_path / "home" / "clock.json"))


def test_a_clock_that_nobody_set_stands_at_the_epoch_and_makes_no_file(tmp_path: Path) -> None:
    assert clock_at(tmp_path).now() == EPOCH
    assert list(tmp_path.iterdir()) == []


def test_an_advanced_clock_is_read_by_another_process_s_resource(tmp_path: Path) -> None:
    assert clock_at(tmp_path).advance(FEBRUARY) == FEBRUARY
    assert clock_at(tmp_path).now() == FEBRUARY


def test_the_clock_never_goes_back(tmp_path: Path) -> None:
    clock = clock_at(tmp_path)
    clock.advance(MARCH)
    assert clock.advance(FEBRUARY) == MARCH
    assert clock.now() == MARCH


def test_local_instants_are_kept_in_utc(tmp_path: Path) -> None:
    clock = clock_at(tmp_path)
    new_york = timezone(timedelta(hours=-5))
    assert clock.advance(datetime(2013, 2, 1, tzinfo=new_york)).tzinfo is UTC
    assert json.loads(Path(clock.path).read_text()) == {"now": "2013-02-01T05:00:00+00:00"}


def test_microseconds_survive(tmp_path: Path) -> None:
    instant = FEBRUARY + timedelta(microseconds=1)
    clock_at(tmp_path).advance(instant)
    assert clock_at(tmp_path).now() == instant


def test_of_many_that_advance_at_once_the_latest_wins(tmp_path: Path) -> None:
    instants = [FEBRUARY + timedelta(days=(7 * n) % 40) for n in range(40)]
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(clock_at(tmp_path).advance, instants))
    assert clock_at(tmp_path).now() == max(instants)
    assert all(now >= instant for now, instant in zip(told, instants, strict=True))


@FIELDLESS
@pytest.mark.parametrize("made", [lambda: DataClock(path="/nowhere/clock.json"), WallClock])
def test_an_instant_without_a_zone_is_refused(made: Callable[[], Clock]) -> None:
    clock = made()
    with pytest.raises(NaiveInstant, match="2013-02-01T00:00:00 has no time zone"):
        clock.advance(datetime(2013, 2, 1))  # noqa: DTZ001  that is the mistake


@pytest.mark.parametrize("content", ["", "{", "[]", '{"now": 3}', '{"then": "2013-02-01T05:00:00+00:00"}', '{"now": "2013-02-01"}'])
def test_a_file_that_holds_no_instant_is_named_and_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "clock.json"
    path.write_text(content)
    clock = DataClock(path=str(path))
    with pytest.raises(UnreadableClock, match=r"clock\.json does not hold"):
        clock.now()
    with pytest.raises(UnreadableClock):
        clock.advance(MARCH)
    assert path.read_text() == content


@FIELDLESS
def test_the_wall_clock_is_now_and_nobody_moves_it() -> None:
    before = datetime.now(UTC)
    assert before <= WallClock().advance(before + timedelta(days=400)) <= WallClock().now() <= datetime.now(UTC)
