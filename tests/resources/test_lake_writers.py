"""Writers at once, killed, hindered: the lake keeps every row that it confirmed and no half of any."""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import polars as pl
import pytest

from resources.lake import DeltaLake, LocalLake
from resources.lake_errors import LakeContended
from resources.rows import digest
from tests.resources.delayed_flights import FEBRUARY, JANUARY, TABLE, day, delays, flights, merge

ROOT: Final = Path(__file__).parents[2]


WRITER = """
import sys, time
from datetime import UTC, datetime
import polars as pl
from resources.lake import DeltaLake
lake, who, months, start = DeltaLake(root=sys.argv[1]), sys.argv[2], sys.argv[3].split(","), float(sys.argv[4])
lake.exists("table/a/b")
while time.time() < start: time.sleep(0.001)
for turn in range(4):
    for month in months:
        frame = pl.DataFrame({"flight": [f"{who}-{turn}-{n}" for n in range(50)], f"by_{who}": [1.0] * 50})
        lake.merge("table/flights/departures", frame, key=["flight"], partition=month, ingested_at=datetime(2013, 2, 1, tzinfo=UTC))
"""


def start_process(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_writers_at_once_lose_nothing_not_even_when_they_create_the_table_or_add_columns(lake: DeltaLake) -> None:
    start = str(time.time() + 2.5)
    writers = [start_process(WRITER, lake.root, who, months, start) for who, months in [("a", JANUARY), ("b", JANUARY), ("c", FEBRUARY)]]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
    rows = lake.read(TABLE).collect()
    assert (rows.height, rows["flight"].n_unique()) == (600, 600)
    assert lake.version(TABLE) == 11
    assert lake.digests(TABLE) == {month: digest(rows.filter(pl.col("month") == month)) for month in (JANUARY, FEBRUARY)}


CREATOR = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
import deltalake, polars as pl
import resources.lake
who, gate = sys.argv[2], Path(sys.argv[3])

def at_one_moment(*arguments, **named):
    if named["mode"] == "error":
        gate.joinpath(who).touch()
        while len(list(gate.iterdir())) < 3: pass
    deltalake.write_deltalake(*arguments, **named)

resources.lake.write_deltalake = at_one_moment
frame = pl.DataFrame({"flight": [f"{who}-{n}" for n in range(200_000)]})
lake = resources.lake.DeltaLake(root=sys.argv[1])
lake.merge("table/flights/departures", frame, key=["flight"], partition="2013-01", ingested_at=datetime(2013, 2, 1, tzinfo=UTC))
"""


def test_of_many_that_create_a_table_at_one_moment_one_does_and_the_others_add_to_it(lake: DeltaLake, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.mkdir()
    for creator in [start_process(CREATOR, lake.root, who, str(gate)) for who in "abc"]:
        _, errors = creator.communicate(timeout=120)
        assert creator.returncode == 0, errors
    rows = lake.read(TABLE).collect()
    assert (rows.height, rows["flight"].n_unique()) == (600_000, 600_000)
    assert lake.digests(TABLE) == {JANUARY: digest(rows)}
    assert lake.version(TABLE) == 2


def other_writer(lake: DeltaLake, monkeypatch: pytest.MonkeyPatch, month: str, *, times: int) -> None:
    """Somebody writes a month between our look at the table and our commit."""
    commit, left = DeltaLake._commit, iter(range(times))

    def interrupted(self: DeltaLake, *arguments: object, **named: object) -> int:
        for turn in left:
            monkeypatch.setattr(DeltaLake, "_commit", commit)
            lake.merge(TABLE, flights({f"theirs-{turn}": 1.0}), key=["flight"], partition=month, ingested_at=day(0))
            monkeypatch.setattr(DeltaLake, "_commit", interrupted)
            break
        return commit(self, *arguments, **named)  # pyright: ignore[reportArgumentType]  # handed through

    monkeypatch.setattr(DeltaLake, "_commit", interrupted)


@pytest.mark.parametrize("month", [JANUARY, FEBRUARY])
@pytest.mark.parametrize("there", [False, True])
def test_a_write_that_comes_between_is_neither_lost_nor_forgotten_in_the_digests(
    lake: DeltaLake, monkeypatch: pytest.MonkeyPatch, month: str, *, there: bool
) -> None:
    if there:
        merge(lake, {"first": 0.0})
    other_writer(lake, monkeypatch, month, times=1)
    merge(lake, {"ours": 2.0})
    rows = lake.read(TABLE).collect()
    assert sorted(rows["flight"]) == (["first"] if there else []) + ["ours", "theirs-0"]
    assert lake.digests(TABLE) == {name: digest(part) for (name,), part in rows.sort("month").group_by("month", maintain_order=True)}


def test_a_month_that_others_never_leave_alone_is_given_up_with_a_reason(lake: DeltaLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.lake.FIRST_PAUSE", 0.0001)
    monkeypatch.setattr("resources.lake.LONGEST_PAUSE", 0.0001)
    other_writer(lake, monkeypatch, JANUARY, times=100)
    with pytest.raises(LakeContended, match="departures 2013-01 was changed by other writers 12 times"):
        merge(lake, {"ours": 2.0})


KILLED = """
import sys
import polars as pl
from resources.lake import DeltaLake
lake = DeltaLake(root=sys.argv[1])
print("ready", flush=True)
for turn in range(10_000):
    rows = pl.DataFrame({"flight": [f"{n}" for n in range(20_000)], "delay": [float(turn)] * 20_000})
    lake.replace("table/flights/departures", rows, partition="2013-01")
"""


def test_a_writer_killed_at_any_moment_leaves_a_whole_version_that_takes_the_next_write(lake: DeltaLake) -> None:
    for pause in (0.05, 0.13, 0.3):
        writer = start_process(KILLED, lake.root)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(pause)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        if not lake.exists(TABLE):
            continue
        rows = lake.read(TABLE).collect()
        assert (rows.height, rows["delay"].n_unique()) == (20_000, 1)
        assert lake.digests(TABLE) == {JANUARY: digest(rows)}
    lake.replace(TABLE, flights({"UA": 1.0}), partition=JANUARY)
    assert delays(lake) == [("UA", 1.0)]


HINDERED = """
import os, resource, signal, sys
import polars as pl
from resources.lake import DeltaLake
lake, how = DeltaLake(root=sys.argv[1]), sys.argv[2]
rows = pl.DataFrame({"flight": [f"{n * 7919}" for n in range(50_000)], "delay": [1.0] * 50_000})
lake.exists("table/flights/departures")
if how == "full":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
elif os.geteuid() == 0:
    os.seteuid(65534)
try:
    lake.replace("table/flights/departures", rows, partition="2013-02")
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        (
            "read-only",
            "LakeReadOnly table/flights/departures 2013-02 cannot be written: {root}/table/flights/departures is read-only for this user.",
        ),
        ("full", "LakeFull table/flights/departures 2013-02 cannot be written: no room is left at {root}/table/flights/departures."),
    ],
)
def test_a_lake_without_permission_or_room_says_so_and_keeps_the_table(open_folder: Path, how: str, sentence: str) -> None:
    lake = LocalLake(root=str(open_folder))
    lake.replace(TABLE, flights({"UA": 1.0}), partition=JANUARY)
    if how == "read-only":
        for path in (open_folder, *open_folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
    said, errors = start_process(HINDERED, lake.root, how).communicate(timeout=120)
    assert said.startswith(sentence.format(root=open_folder)), said + errors
    assert delays(lake) == [("UA", 1.0)]
    assert lake.digests(TABLE).keys() == {JANUARY}
