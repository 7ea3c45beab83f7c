"""Tables in the lake: what is written is there in one step or not at all, once, by month; what cannot be is said with its remedy."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake
from polars.testing import assert_frame_equal

from resources.errors import PlatformError
from resources.lake import DeltaLake, Lake, LocalLake
from resources.lake_errors import (
    LakeFailed,
    LakeFull,
    LakeReadOnly,
    MonthMismatch,
    NoSuchColumn,
    NoSuchPartition,
    NoSuchVersion,
    NothingThere,
    PartitioningDiffers,
    TypeDiffers,
    UntypedColumn,
    storage_error,
)
from resources.lake_log import known_digests
from resources.rows import current, digest
from tests.resources.delayed_flights import FEBRUARY, JANUARY, TABLE, day, delays, flights, merge
from tests.servers.proxy import proxy
from tests.servers.s3 import S3

# --- reading and replacing ----------------------------------------------------------------------------------------------------------


def test_a_month_is_read_back_with_its_month_column(lake: DeltaLake) -> None:
    lake.replace(TABLE, flights({"UA": 1.0, "AA": None}), partition=JANUARY)
    read = lake.read(TABLE).collect()
    assert_frame_equal(read, flights({"UA": 1.0, "AA": None}).with_columns(month=pl.lit(JANUARY)), check_row_order=False)


@pytest.mark.parametrize("name", ["my lake", "Zürichsee"])
def test_a_lake_lies_in_any_folder_whatever_its_name(tmp_path: Path, name: str) -> None:
    lake = LocalLake(root=str(tmp_path / name))
    lake.replace(TABLE, flights({"UA": 1.0}), partition=JANUARY)
    lake.replace(TABLE, flights({"UA": 2.0}), partition=FEBRUARY)
    assert delays(lake) == [("UA", 1.0), ("UA", 2.0)]
    assert delays(lake, partitions=[JANUARY]) == [("UA", 1.0)]


def test_replacing_a_month_leaves_the_others_alone(lake: DeltaLake) -> None:
    lake.replace(TABLE, flights({"UA": 1.0}), partition=JANUARY)
    lake.replace(TABLE, flights({"UA": 2.0}), partition=FEBRUARY)
    lake.replace(TABLE, flights({"DL": 3.0}), partition=JANUARY)
    assert delays(lake) == [("DL", 3.0), ("UA", 2.0)]
    assert delays(lake, partitions=[JANUARY]) == [("DL", 3.0)]


def test_replacing_a_whole_table_leaves_nothing_of_it_not_even_its_columns(lake: DeltaLake) -> None:
    lake.replace(TABLE, flights({"UA": 1.0}))
    lake.replace(TABLE, pl.DataFrame({"flight": [7]}))
    assert lake.read(TABLE).collect().to_dict(as_series=False) == {"flight": [7]}


@pytest.mark.parametrize("partition", [None, JANUARY])
def test_an_equal_write_makes_no_version_whatever_the_order_of_rows(lake: DeltaLake, partition: str | None) -> None:
    frame = flights({"UA": 1.0, "AA": None, "DL": -0.5})
    first = lake.replace(TABLE, frame, partition=partition)
    again = lake.replace(TABLE, frame[::-1].select("delay", "flight"), partition=partition)
    assert (first.version, first.rows, first.inserted) == (0, 3, 3)
    assert (again.version, again.digest, again.rows, again.inserted) == (0, first.digest, 3, 0)
    assert lake.version(TABLE) == 0


def test_a_month_that_went_back_to_its_old_rows_is_a_new_version_with_the_old_digest(lake: DeltaLake) -> None:
    first = lake.replace(TABLE, flights({"UA": 1.0}), partition=JANUARY)
    lake.replace(TABLE, flights({"UA": 2.0}), partition=JANUARY)
    last = lake.replace(TABLE, flights({"UA": 1.0}), partition=JANUARY)
    assert (last.version, last.digest) == (2, first.digest)


def test_an_older_version_can_be_read_and_has_its_digests(lake: DeltaLake) -> None:
    lake.replace(TABLE, flights({"UA": 1.0}), partition=JANUARY)
    before = lake.digests(TABLE)
    lake.replace(TABLE, flights({"UA": 2.0}), partition=JANUARY)
    lake.replace(TABLE, flights({"UA": 3.0}), partition=FEBRUARY)
    assert delays(lake, version=0) == [("UA", 1.0)]
    assert lake.digests(TABLE, version=0) == before
    assert list(lake.digests(TABLE)) == [JANUARY, FEBRUARY]


def test_an_empty_month_is_there_and_empty(lake: DeltaLake) -> None:
    lake.replace(TABLE, flights({"UA": 1.0}), partition=JANUARY)
    lake.replace(TABLE, flights({}), partition=FEBRUARY)
    lake.replace(TABLE, flights({}), partition=JANUARY)
    assert delays(lake, partitions=[JANUARY, FEBRUARY]) == []
    assert lake.replace(TABLE, flights({}), partition=FEBRUARY).version == 2


def test_a_table_may_begin_empty(lake: DeltaLake) -> None:
    lake.replace(TABLE, flights({}), partition=JANUARY)
    assert delays(lake, partitions=[JANUARY]) == []


def remove(uris: list[str]) -> None:
    """Take files out of a folder or a bucket."""
    filesystem: Any = importlib.import_module("pyarrow.fs")
    for uri in uris:
        where, path = filesystem.FileSystem.from_uri(uri) if "://" in uri else (filesystem.LocalFileSystem(), uri)
        where.delete_file(path)


def test_only_the_files_of_the_months_asked_for_are_opened(lake: DeltaLake) -> None:
    for month in (JANUARY, FEBRUARY, "2013-03"):
        lake.replace(TABLE, flights({"UA": 1.0}), partition=month)
    others = [uri for uri in DeltaTable(lake.uri(TABLE)).file_uris() if FEBRUARY not in uri]
    assert len(others) == 2
    remove(others)
    assert delays(lake, partitions=[FEBRUARY]) == [("UA", 1.0)]
    with pytest.raises(OSError, match="month="):
        delays(lake, partitions=[JANUARY])


def test_a_table_exists_once_it_was_written(lake: DeltaLake) -> None:
    assert not lake.exists(TABLE)
    lake.replace(TABLE, flights({"UA": 1.0}))
    assert lake.exists(TABLE)


def test_the_state_of_a_table_is_another_after_each_write_and_the_same_between(lake: DeltaLake) -> None:
    assert lake.state(TABLE) == ""
    states: list[str] = []
    for number in range(12):
        lake.replace(TABLE, flights({"UA": float(number)}), partition=JANUARY)
        states.append(lake.state(TABLE))
        assert lake.state(TABLE) == states[-1]
    assert (len(set(states)), "" in states) == (12, False)


# --- merging ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("month", [None, JANUARY])
def test_merging_twice_is_merging_once(lake: DeltaLake, month: str | None) -> None:
    assert merge(lake, {"UA": 1.0, "AA": None}, month=month) == 2
    assert merge(lake, {"AA": None, "UA": 1.0}, month=month, at=9) == 0
    assert lake.version(TABLE) == 0


def test_a_correction_is_another_row_with_its_own_instant(lake: DeltaLake) -> None:
    merge(lake, {"UA": 1.0, "AA": 5.0})
    assert merge(lake, {"UA": 60.0, "AA": 5.0}, at=3) == 1
    rows = lake.read(TABLE).collect().sort("flight", "ingested_at").select("flight", "delay", "ingested_at").rows()
    assert rows == [("AA", 5.0, day(0)), ("UA", 1.0, day(0)), ("UA", 60.0, day(3))]


def test_a_correction_of_the_same_instant_replaces_what_was_said(lake: DeltaLake) -> None:
    merge(lake, {"UA": 1.0, "AA": 5.0})
    merge(lake, {"UA": 2.0}, month=FEBRUARY)
    assert merge(lake, {"UA": 60.0}) == 1
    assert delays(lake) == [("AA", 5.0), ("UA", 2.0), ("UA", 60.0)]


def test_a_value_taken_back_is_a_third_version(lake: DeltaLake) -> None:
    merge(lake, {"UA": 1.0})
    merge(lake, {"UA": 2.0}, at=1)
    assert merge(lake, {"UA": 1.0}, at=2) == 1


def test_a_merge_keeps_keys_that_the_delivery_does_not_name(lake: DeltaLake) -> None:
    merge(lake, {"UA": 1.0})
    merge(lake, {"AA": 2.0}, at=1)
    assert delays(lake) == [("AA", 2.0), ("UA", 1.0)]


def test_the_digest_after_merges_is_that_of_the_rows_that_are_there(lake: DeltaLake) -> None:
    for at, given in enumerate([{"UA": 1.0}, {"UA": 2.0, "AA": 1.0}, {"AA": 1.0, "DL": None}]):
        merge(lake, given, at=at)
    assert lake.digests(TABLE) == {JANUARY: digest(lake.read(TABLE).collect())}


def test_rows_stamped_before_what_corrects_them_come_in_as_history(lake: DeltaLake) -> None:
    merge(lake, {"UA": 1.0}, at=5)
    merge(lake, {"UA": 2.0, "AA": 1.0}, at=4)
    assert merge(lake, {"UA": 2.0, "AA": 1.0}, at=4) == 0
    told = lake.read(TABLE).collect()
    assert current(told, key=["flight"]).sort("flight")["delay"].to_list() == [1.0, 1.0]
    assert told.height == 3


# --- columns come and change --------------------------------------------------------------------------------------------------------


def test_a_new_column_is_null_in_older_months_and_leaves_their_digests(lake: DeltaLake) -> None:
    lake.replace(TABLE, flights({"UA": 1.0}), partition=JANUARY)
    before = lake.digests(TABLE)[JANUARY]
    lake.replace(TABLE, flights({"UA": 2.0}).with_columns(gate=pl.lit("A1")), partition=FEBRUARY)
    assert lake.read(TABLE, columns=["gate"], partitions=[JANUARY]).collect()["gate"].to_list() == [None]
    assert lake.digests(TABLE)[JANUARY] == before == digest(lake.read(TABLE, partitions=[JANUARY]).collect())


def test_a_month_without_a_column_of_the_table_is_written_with_nulls(lake: DeltaLake) -> None:
    lake.replace(TABLE, flights({"UA": 1.0}), partition=JANUARY)
    lake.replace(TABLE, flights({"UA": 2.0}).drop("delay"), partition=FEBRUARY)
    assert delays(lake, partitions=[FEBRUARY]) == [("UA", None)]


def test_a_column_that_gains_only_nulls_still_becomes_a_column(lake: DeltaLake) -> None:
    lake.replace(TABLE, flights({"UA": 1.0}), partition=JANUARY)
    lake.replace(TABLE, flights({"UA": 1.0}).with_columns(gate=pl.lit(None, pl.String)), partition=JANUARY)
    assert lake.read(TABLE, columns=["gate"]).collect()["gate"].to_list() == [None]


def test_whole_numbers_fit_into_a_column_of_decimals_and_an_equal_write_is_none(lake: DeltaLake) -> None:
    lake.replace(TABLE, flights({"UA": 1.0}), partition=JANUARY)
    assert lake.replace(TABLE, pl.DataFrame({"flight": ["UA"], "delay": [1]}), partition=JANUARY).version == 0


def test_a_column_of_untyped_nulls_takes_the_type_of_the_table(lake: DeltaLake) -> None:
    lake.replace(TABLE, flights({"UA": 1.0}), partition=JANUARY)
    lake.replace(TABLE, pl.DataFrame({"flight": ["UA"], "delay": [None]}), partition=FEBRUARY)
    assert delays(lake, partitions=[FEBRUARY]) == [("UA", None)]


@pytest.mark.parametrize("frame", [pl.DataFrame({"flight": ["UA"], "delay": ["1"]}), pl.DataFrame({"flight": [1], "delay": [1.0]})])
def test_a_column_that_changes_its_type_is_refused_by_name(lake: DeltaLake, frame: pl.DataFrame) -> None:
    lake.replace(TABLE, flights({"UA": 1.0}), partition=JANUARY)
    with pytest.raises(TypeDiffers, match=r"table/flights/departures\.(delay is Float64|flight is String)"):
        lake.replace(TABLE, frame, partition=FEBRUARY)


# --- what cannot be -----------------------------------------------------------------------------------------------------------------


def test_a_table_that_was_never_written_is_named_with_what_to_do(lake: DeltaLake) -> None:
    for ask in (lake.read, lake.version, lake.digests):
        with pytest.raises(
            NothingThere, match=r"table/flights/departures is not in the lake .* Materialize table/flights/departures first"
        ):
            ask(TABLE)


def test_what_is_missing_in_a_table_is_named_with_what_is_there(lake: DeltaLake) -> None:
    lake.replace(TABLE, flights({"UA": 1.0}), partition=JANUARY)
    with pytest.raises(NoSuchPartition, match=r"no partition 2013-02, 2013-03; it has 2013-01 to 2013-01 \(1\)"):
        lake.read(TABLE, partitions=["2013-03", FEBRUARY, JANUARY])
    with pytest.raises(NoSuchColumn, match="no column gate; it has delay, flight, month"):
        lake.read(TABLE, columns=["flight", "gate"])
    with pytest.raises(NoSuchVersion, match=r"no version 7 \(latest: 0\)"):
        lake.read(TABLE, version=7)


def test_a_monthly_table_is_not_overwritten_as_a_whole_nor_the_reverse(lake: DeltaLake) -> None:
    lake.replace(TABLE, flights({"UA": 1.0}), partition=JANUARY)
    lake.replace("table/planes/all", flights({"UA": 1.0}))
    with pytest.raises(PartitioningDiffers, match="kept by month and was to be written as a whole"):
        lake.replace(TABLE, flights({"UA": 2.0}))
    with pytest.raises(PartitioningDiffers, match="kept as a whole and was to be written as month 2013-01"):
        lake.replace("table/planes/all", flights({"UA": 2.0}), partition=JANUARY)
    assert delays(lake) == [("UA", 1.0)]


def test_rows_of_another_month_are_refused(lake: DeltaLake) -> None:
    frame = flights({"UA": 1.0, "AA": 2.0}).with_columns(month=pl.Series([JANUARY, FEBRUARY]))
    with pytest.raises(MonthMismatch, match="departures 2013-01: the frame holds rows of month 2013-02"):
        lake.replace(TABLE, frame, partition=JANUARY)
    assert not lake.exists(TABLE)


def test_a_column_of_untyped_nulls_is_refused_in_a_new_table(lake: DeltaLake) -> None:
    with pytest.raises(UntypedColumn, match=r"departures\.gate holds only nulls"):
        lake.replace(TABLE, pl.DataFrame({"flight": ["UA"], "gate": [None]}))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Generic LocalFileSystem error: No space left on device (os error 28)", LakeFull),
        ("Disk quota exceeded (os error 122)", LakeFull),
        ("Permission denied (os error 13)", LakeReadOnly),
        ("Read-only file system (os error 30)", LakeReadOnly),
        ("connection refused (os error 111)", LakeFailed),
    ],
)
def test_what_the_storage_says_becomes_an_instruction(said: str, expected: type[PlatformError]) -> None:
    error = storage_error(address=TABLE, uri="/lake", error=OSError(said))
    assert type(error) is expected
    assert str(error).startswith("table/flights/departures ")


def test_an_object_store_that_is_away_is_said_to_be_so_by_its_address_and_cause(files: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy(files.port) as way:
        for name, value in {**files.environment(), "AWS_ENDPOINT_URL": f"http://127.0.0.1:{way.port}"}.items():
            monkeypatch.setenv(name, value)
        way.refuses = True
        lake = DeltaLake(root="s3://lake/away", storage_options={"retry_timeout": "1s", "max_retries": "1"})
        asks: list[Callable[[str], object]] = [lake.exists, lake.version, lambda address: lake.replace(address, flights({"UA": 1.0}))]
        for ask in asks:
            with pytest.raises(LakeFailed, match=r"departures at s3://lake/away/table/flights/departures could .*error sending request"):
                ask(TABLE)
        way.refuses = False
        assert lake.replace(TABLE, flights({"UA": 1.0})).version == 0


def test_an_object_store_is_asked_within_limits_and_as_the_options_say(tmp_path: Path) -> None:
    assert DeltaLake(root="s3://lake/tables").options == {"retry_timeout": "45s"}
    assert DeltaLake(root="s3://lake", storage_options={"retry_timeout": "9s", "a": "b"}).options == {"retry_timeout": "9s", "a": "b"}
    assert DeltaLake(root=str(tmp_path)).options == DeltaLake(root=f"file://{tmp_path}").options == {}


# --- other writers of the format, other places --------------------------------------------------------------------------------------


def test_digests_survive_maintenance_and_many_commits(lake: DeltaLake) -> None:
    for at in range(9):
        merge(lake, {f"UA{at}": 1.0}, month=f"2013-0{1 + at % 2}", at=at)
    before, rows = lake.digests(TABLE), delays(lake)
    table = DeltaTable(lake.uri(TABLE))
    table.optimize.compact()
    table.create_checkpoint()
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert lake.digests(TABLE) == before
    assert delays(lake) == rows
    assert merge(lake, {"UA0": 1.0}, month=JANUARY, at=20) == 0


def test_a_stale_handle_tells_the_digests_of_its_own_version(lake: DeltaLake) -> None:
    told: list[dict[str, str]] = []
    handles: list[DeltaTable] = []
    for at in range(12):
        merge(lake, {f"UA{at}": 1.0}, month=f"2013-0{1 + at % 3}", at=at)
        told.append(lake.digests(TABLE))
        handles.append(DeltaTable(lake.uri(TABLE)))
    assert [lake._digests(handle) for handle in handles] == told


def test_commits_that_came_since_a_handle_was_opened_are_not_taken_for_older_ones(lake: DeltaLake) -> None:
    handles: list[DeltaTable] = []
    for month in range(1, 6):
        merge(lake, {"UA": 1.0}, month=f"2013-0{month}")
        handles.append(DeltaTable(lake.uri(TABLE)))
    rows = flights({"UA": 1.0}).with_columns(month=pl.lit("2013-06"))
    known, old = lake.digests(TABLE, version=0), DeltaTable(lake.uri(TABLE), version=0)
    lake._commit(TABLE, old, rows, partition="2013-06", content=digest(rows), known=known, append=False)
    digests = lake.digests(TABLE)
    assert list(digests) == [f"2013-0{month}" for month in range(1, 7)]
    for handle in handles:
        assert known_digests(DeltaTable(lake.uri(TABLE)), latest=handle) == digests


def test_after_somebody_else_s_write_digests_are_those_of_the_rows(lake: DeltaLake) -> None:
    merge(lake, {"UA": 1.0})
    write_deltalake(lake.uri(TABLE), lake.read(TABLE).collect().with_columns(delay=pl.lit(9.0)), mode="append")
    assert lake.digests(TABLE) == {JANUARY: digest(lake.read(TABLE).collect())}
    merge(lake, {"AA": 3.0}, month=FEBRUARY)
    assert lake.digests(TABLE)[JANUARY] == digest(lake.read(TABLE, partitions=[JANUARY]).collect())


def test_a_root_may_be_an_address_of_an_object_store(tmp_path: Path) -> None:
    lake = DeltaLake(root=f"file://{tmp_path}/lake/", storage_options={"timeout": "30s"})
    lake.replace(TABLE, flights({"UA": 1.0}), partition=JANUARY)
    assert lake.uri(TABLE) == f"file://{tmp_path}/lake/table/flights/departures"
    assert delays(lake) == delays(LocalLake(root=str(tmp_path / "lake"))) == [("UA", 1.0)]


def test_root_and_storage_options_come_from_the_environment_when_a_run_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @dg.asset
    def written(lake: Lake) -> None:
        lake.replace(TABLE, flights({"UA": 1.0}))

    lake = DeltaLake(root=dg.EnvVar("LAKE_ROOT"), storage_options={"token": dg.EnvVar("LAKE_TOKEN")})
    monkeypatch.setenv("LAKE_ROOT", str(tmp_path))
    monkeypatch.setenv("LAKE_TOKEN", "secret")
    assert dg.materialize([written], resources={"lake": lake}).success
    assert delays(LocalLake(root=str(tmp_path))) == [("UA", 1.0)]
