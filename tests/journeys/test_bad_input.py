"""What a user sees when a file, a disk or a name is bad: one error, nothing half-written, and the same command finishes after mending."""

import gzip
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from mlops_assets.build import named
from mlops_assets.flights.sources.departures import DEPARTURES
from mlops_assets.flights.sources.weather import HOURLY
from mlops_assets.lifecycle.checks import Broken
from mlops_assets.lifecycle.ingestion import DoesNotParse, Landed, TooManyRejected, ingestion
from mlops_assets.partitions import months_of
from mlops_assets.specs import SourceSpec
from resources.inbox import EmptyFile, NoSuchFile, UnreadableFile
from resources.lake_errors import LakeFull, LakeReadOnly
from resources.profiles import Resources, embedded
from resources.settings import Settings, child_environment
from resources.tracking.store import Away
from sensors.ingest_on_new_file import left_alone

JANUARY = "2013-01"
BOTH = 'key:"*/flights/departures"'
TELLTALE = "N7TELLTALE"
TROUBLE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
State = tuple[datetime, dict[str, str], dict[str, str]]


# Dagster's own, when a resource holds another one (the io manager holds the lake).
pytestmark = pytest.mark.filterwarnings("ignore:InitResourceContext.dagster_run is deprecated:DeprecationWarning")


@dataclass
class Desk:
    """One source, its inbox and the command that ingests a month of it."""

    spec: SourceSpec
    world: Resources

    @property
    def where(self) -> str:
        return f"table/{self.spec.table} {JANUARY}"

    def deliver(self, raw: pl.DataFrame | bytes) -> None:
        """Put a file into the inbox, as a frame or byte by byte."""
        if isinstance(raw, pl.DataFrame):
            self.world.inbox.deliver(self.spec.table, JANUARY, raw)
        else:
            path = self.world.inbox.path(self.spec.table, JANUARY)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw)

    def ingest(self) -> tuple[bool, str, list[dg.AssetCheckEvaluation]]:
        """Materialize the month: whether that went well, what the error says, what the check says."""
        months = months_of("flights")
        asset = ingestion(self.spec, package="mlops_assets.flights", partitions_def=months)
        with dg.DagsterInstance.ephemeral() as instance:  # pyright: ignore[reportUnknownMemberType]  a parameter of dagster's is
            instance.add_dynamic_partitions(str(months.name), [JANUARY])
            done = dg.materialize([asset], partition_key=JANUARY, instance=instance, resources=named(self.world), raise_on_error=False)
        errors = [str(event.step_failure_data.error) for event in done.all_events if event.is_step_failure]
        return done.success, "\n".join(errors), list(done.get_asset_check_evaluations())

    def state(self) -> State:
        """Everything that a bad file may not change."""
        lake = self.world.lake
        found = [lake.digests(one) if lake.exists(one) else {} for one in (f"table/{self.spec.table}", f"quarantine/{self.spec.table}")]
        return self.world.clock.now(), found[0], found[1]

    def rows(self) -> int:
        return self.world.lake.read(f"table/{self.spec.table}").collect().height

    def version(self) -> int:
        return self.world.lake.version(f"table/{self.spec.table}")


def january(spec: SourceSpec) -> pl.DataFrame:
    """A thousand rows of January."""
    assert spec.archive is not None
    return spec.archive(JANUARY).head(1000)


@pytest.fixture(scope="session")
def raw() -> pl.DataFrame:
    return january(DEPARTURES)


@pytest.fixture
def desk(home: Path) -> Desk:
    return Desk(spec=DEPARTURES, world=embedded(Settings(home=home), "flights"))


def some(column: str, value: str | pl.Expr, *rows: int) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """A file with another value in some rows."""

    def change(raw: pl.DataFrame) -> pl.DataFrame:
        new = pl.lit(value) if isinstance(value, str) else value
        return raw.with_columns(pl.when(pl.int_range(pl.len()).is_in(rows)).then(new).otherwise(column).alias(column))

    return change


def csv(raw: pl.DataFrame, separator: str = ",") -> bytes:
    return raw.write_csv(null_value="NA", separator=separator).encode()


def seconds(raw: pl.DataFrame) -> pl.DataFrame:
    """Delays in seconds, as a supplier changed them one day."""
    return raw.with_columns((pl.col("dep_delay", "arr_delay").cast(pl.Int64) * 60).cast(pl.String))


BAD: dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame | bytes], type[Exception] | str, str]] = {
    "a field too many": (lambda raw: csv(raw) + b"1," * 20 + b"\n", "UnreadableFile", "line 1002 has 21 fields, the header has 19"),
    "a line cut off": (lambda raw: csv(raw)[:-30], "UnreadableFile", "line 1001 has"),
    "binary junk": (lambda _: bytes(range(255, -1, -1)) * 12, "UnreadableFile", "is not UTF-8"),
    "a compressed file": (lambda raw: gzip.compress(csv(raw))[:-9], "UnreadableFile", "is not UTF-8"),
    "an empty file": (lambda _: b"", "EmptyFile", "holds no rows"),
    "an empty month": (lambda raw: raw.clear(), "EmptyFile", "holds no rows"),
    "another delimiter": (lambda raw: csv(raw, separator=";"), "DoesNotParse", "the file has no column carrier (columns: 1)"),
    "another encoding": (
        lambda raw: csv(some("dest", "Zürich", 3)(raw)).decode().encode("latin-1"),
        "UnreadableFile",
        "line 5 is not UTF-8",
    ),
    "no header": (lambda raw: csv(raw).split(b"\n", 1)[1], "DoesNotParse", "the file has no column carrier (columns: 19)"),
    "a column missing": (lambda raw: raw.drop("dep_delay"), "DoesNotParse", "the file has no column dep_delay"),
    "seconds for minutes": (seconds, "TooManyRejected", "arrival_delay is above 2000 min: rows "),
    "a key twice": (lambda raw: pl.concat([raw, raw.head(1)]), "TooManyRejected", "2 of 1,001 rows break the contract (limit 1)"),
    "rows of February": (some("month", "2", 1, 2), "TooManyRejected", "month is not 2013-01: rows 1, 2"),
    "another month": (
        lambda raw: raw.with_columns(month=pl.lit("2")),
        "TooManyRejected",
        "1,000 of 1,000 rows break the contract (limit 1)",
    ),
    "instants to come": (some("time_hour", "2099-01-01T10:00:00Z", 1, 2), "TooManyRejected", "departs in the hour of its id: rows 1, 2"),
    "text for numbers": (some("distance", "far", 1, 2), "TooManyRejected", "distance is above 5500 mi: rows 1, 2"),
}


@pytest.fixture(scope="session")
def begun(raw: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that has the first 900 rows of January; copy it before a test writes into it."""
    home = tmp_path_factory.mktemp("begun") / "home"
    desk = Desk(spec=DEPARTURES, world=embedded(Settings(home=home), "flights"))
    desk.deliver(raw.head(900))
    assert desk.ingest()[0]
    return home


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_by_name_changes_nothing_and_ingests_once_it_is_mended(
    desk: Desk, home: Path, begun: Path, raw: pl.DataFrame, case: str
) -> None:
    spoil, error, why = BAD[case]
    shutil.copytree(begun, home)
    before = desk.state()
    desk.deliver(spoil(raw.with_columns(tailnum=pl.lit(TELLTALE))))

    done, said, checks = desk.ingest()

    assert not done
    assert f".{error}: {desk.where}: " in said, said
    assert why in said, said
    assert TELLTALE not in said + "".join(str(one) for one in checks)
    assert desk.state() == before
    desk.deliver(raw)
    assert desk.ingest()[0]
    assert desk.rows() == 1000


def test_the_first_file_of_all_may_be_bad_and_leaves_neither_table_nor_time(desk: Desk, raw: pl.DataFrame) -> None:
    before = desk.state()
    desk.deliver(raw.drop("origin"))
    assert not desk.ingest()[0]
    assert desk.state() == before
    assert not any(desk.world.lake.exists(f"{stage}/flights/departures") for stage in ("table", "quarantine"))


def test_above_the_limit_the_check_fails_too(desk: Desk, raw: pl.DataFrame) -> None:
    desk.deliver(some("origin", "LHR", 4, 7)(raw))
    _, said, checks = desk.ingest()
    assert "origin is none of EWR, JFK, LGA: rows 4, 7" in said
    assert [(one.passed, one.description) for one in checks] == [
        (False, f"{desk.where}: 2 of 1,000 rows break the contract (limit 1)")
    ]  # fmt: skip


def test_up_to_the_limit_rows_wait_in_quarantine_until_the_file_is_mended(desk: Desk, raw: pl.DataFrame) -> None:
    desk.deliver(some("origin", "LHR", 4)(raw))
    done, _, checks = desk.ingest()
    assert done
    assert checks[0].passed
    assert checks[0].description == (
        f"{desk.where}: 1 of 1,000 rows break the contract (limit 1) and wait in quarantine/flights/departures.\n"
        "  origin is none of EWR, JFK, LGA: rows 4\n"
        "The other 999 rows are in the table; what is built on it uses them. Correct the file and materialize 2013-01 again."
    )
    waiting = desk.world.lake.read("quarantine/flights/departures").collect()
    assert waiting.select("row", "reason", "origin").rows() == [(4, "origin is none of EWR, JFK, LGA", "LHR")]
    state = desk.state()
    assert desk.ingest()[0]
    assert desk.state() == state
    desk.deliver(raw)
    assert desk.ingest()[0]
    assert (desk.rows(), desk.world.lake.read("quarantine/flights/departures").collect().height) == (1000, 0)


def test_a_column_that_nobody_reads_changes_nothing(desk: Desk, raw: pl.DataFrame) -> None:
    desk.deliver(raw)
    assert desk.ingest()[0]
    before = desk.state()
    desk.deliver(raw.with_columns(gate=pl.lit("B7")))
    assert desk.ingest()[0]
    assert desk.state() == before


def test_a_row_that_the_table_has_already_is_not_doubled_and_a_changed_one_is_a_correction(desk: Desk, raw: pl.DataFrame) -> None:
    desk.deliver(raw)
    assert desk.ingest()[0]
    version = desk.version()
    desk.deliver(raw.sample(fraction=1.0, shuffle=True, seed=1))
    assert desk.ingest()[0]
    assert (desk.rows(), desk.version()) == (1000, version)
    desk.deliver(some("tailnum", "N1", 0)(raw))
    assert desk.ingest()[0]
    assert desk.world.lake.read("table/flights/departures").filter(pl.col("tail_number") == "N1").collect().height == 1


def test_a_report_from_another_month_waits_in_quarantine(home: Path) -> None:
    desk = Desk(spec=HOURLY, world=embedded(Settings(home=home), "flights"))
    desk.deliver(some("time_hour", "2099-01-01T10:00:00Z", 5)(january(HOURLY)))
    done, _, checks = desk.ingest()
    assert done
    assert "observed in its month: rows 5" in str(checks[0].description)


def test_a_file_that_never_came_is_asked_for_by_its_path(desk: Desk) -> None:
    done, said, _ = desk.ingest()
    assert not done
    assert f".NoSuchFile: {desk.where}: {desk.world.inbox.path('flights/departures', JANUARY)} is not there" in said


def mounted(*arguments: str) -> bool:
    """Whether this user may mount, and has."""
    return subprocess.run(["/bin/mount", *arguments], capture_output=True, check=False).returncode == 0


@pytest.fixture
def open_home() -> Iterator[Path]:
    """A home that every user can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        lake = Path(name, "lake")
        lake.mkdir()
        yield Path(name)
        while os.path.ismount(lake):
            subprocess.run(["/bin/umount", str(lake)], check=True)


@contextmanager
def full(lake: Path) -> Generator[None]:
    """A disk without room: a small one, filled; for a user who may not mount, a limit on the size of files."""
    if os.path.ismount(lake):
        filler = lake / "filler"
        with pytest.raises(OSError, match="No space left"):
            filler.write_bytes(b"x" * 10_000_000)
        yield
        filler.unlink()
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def read_only(lake: Path) -> Generator[None]:
    """A folder that nobody may write: root ignores permissions, so it gets a read-only mount, or is nobody for a while."""
    if mounted("--bind", str(lake), str(lake)) and mounted("-o", "remount,ro,bind", str(lake)):
        yield
        subprocess.run(["/bin/umount", str(lake)], check=True)
        return
    user, places = os.geteuid(), (lake, *lake.rglob("*"))
    for place in places:
        place.chmod(0o555 if place.is_dir() else 0o444)
    os.seteuid(65534 if user == 0 else user)
    yield
    os.seteuid(user)
    for place in places:
        place.chmod(0o755 if place.is_dir() else 0o644)


@pytest.mark.parametrize(
    ("trouble", "why"), [(full, "LakeFull: {} cannot be written: no room is left"), (read_only, "LakeReadOnly: {} cannot be written")]
)
def test_a_month_that_cannot_be_written_is_not_there_and_the_same_command_finishes_later(
    open_home: Path, raw: pl.DataFrame, trouble: Callable[[Path], AbstractContextManager[None]], why: str
) -> None:
    desk = Desk(spec=DEPARTURES, world=embedded(Settings(home=open_home), "flights"))
    lake = open_home / "lake"
    if trouble is full:
        mounted("-t", "tmpfs", "-o", "size=2m", "tmpfs", str(lake))
    desk.deliver(raw.head(500))
    assert desk.ingest()[0]
    before = desk.state()
    desk.deliver(some("origin", "LHR", 700)(raw))

    with trouble(lake):
        done, said, _ = desk.ingest()

    assert not done
    assert why.format(f"quarantine/flights/departures {JANUARY}") in said, said
    assert desk.state() == before
    assert desk.ingest()[0]
    assert desk.ingest()[0]
    assert desk.rows() == 999


def test_a_month_whose_table_alone_cannot_be_written_has_not_come(desk: Desk, raw: pl.DataFrame) -> None:
    place = Path(desk.world.lake.uri("table/flights"))
    place.parent.mkdir(parents=True)
    place.write_text("a file where a folder should be")
    before = desk.world.clock.now()
    desk.deliver(raw)
    done, said, _ = desk.ingest()
    assert not done
    assert f"LakeFailed: {desk.where} at " in said, said
    assert desk.world.clock.now() == before
    place.unlink()
    assert desk.ingest()[0]
    assert desk.rows() == 1000


def dagster(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The dagster command as a user types it."""
    home.mkdir(exist_ok=True)
    environment = child_environment(MLOPS_HOME=str(home), DAGSTER_HOME=str(home))
    command = [sys.executable, "-m", "dagster", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def materialize(home: Path, asset: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return dagster(home, "asset", "materialize", "-m", "mlops_assets.definitions", "--select", asset, *arguments)


def test_the_command_line_shows_the_error_fails_and_succeeds_once_the_file_is_mended(home: Path, desk: Desk, raw: pl.DataFrame) -> None:
    desk.deliver(raw.drop("dep_delay"))
    arrived = dagster(home, "job", "execute", "-m", "mlops_assets.definitions", "-j", "arrive_flights")
    assert arrived.returncode == 0, arrived.stderr
    bad = materialize(home, BOTH, "--partition", JANUARY)
    assert bad.returncode != 0
    assert f"DoesNotParse: {desk.where}: " in bad.stderr + bad.stdout
    desk.deliver(raw)
    good = materialize(home, BOTH, "--partition", JANUARY)
    assert good.returncode == 0, good.stderr
    assert desk.rows() == 1000


NO_MONTH = (
    "All selected assets must have a PartitionsDefinition containing the passed partition key `2013-13` or have no PartitionsDefinition."
)
NO_MODEL = "AssetKey(s) ['training_set/delay/examples'] were selected, but no AssetsDefinition objects supply these keys."
REFUSED = "[Errno 111] Connection refused"
HALF = "This AssetsDefinition does not support subsetting. Please select all asset and check keys produced by this asset."


@pytest.mark.parametrize(("asset", "why"), [("table/flights/departures", NO_MONTH), ("training_set/delay/examples", NO_MODEL)])
def test_an_unknown_month_or_model_is_named_by_the_command_line(home: Path, asset: str, why: str) -> None:
    done = materialize(home, asset, "--partition", "2013-13")
    assert done.returncode != 0
    assert why in done.stderr


def test_a_table_without_its_quarantine_is_refused_by_the_command_line(home: Path) -> None:
    done = materialize(home, "table/aircraft/register")
    assert done.returncode != 0
    assert HALF in done.stderr


def quoted() -> set[str]:
    """The messages that docs/troubleshooting.md promises, made by the code that raises them."""
    where, path, uri = (
        "table/flights/departures 2013-07",
        Path(".mlops/inbox/flights.departures/2013-07.csv"),
        ".mlops/lake/table/flights/departures",
    )

    def landed(rule: str, rows: tuple[int, ...]) -> Landed:
        accepted, rejected = (pl.DataFrame({"row": range(height)}) for height in (29_425 - len(rows), len(rows)))
        return Landed(where=where, accepted=accepted, rejected=rejected, found=(Broken(rule=rule, rows=rows),), limit=29)

    left = ["flights.departures/2013-13.csv", "aircraft.register/2013-01.csv (aircraft/register comes whole)"]
    left.append("flight.departures/2013-01.csv (no source declares flight/departures)")
    return {
        NO_MONTH, NO_MODEL, HALF,
        f"No new file. {left_alone(left)}",
        landed("scheduled_departure is null", (118, 4071, 29411)).waiting,
        str(TooManyRejected(landed("arrival_delay is above 2000 min", tuple(range(300))))),
        str(NoSuchFile(where, path)),
        str(UnreadableFile(where, path, "line 4071 has 3 fields, the header has 19")),
        str(EmptyFile(where, path)),
        str(DoesNotParse(DEPARTURES, where, "the file has no column dep_delay (columns: 19)")),
        str(LakeFull(address=where, uri=uri)),
        str(LakeReadOnly(address=where, uri=uri)),
        f"flight_delay 2013-03 waits in .mlops/mlflow/spool/c0c3….jsonl: {Away(uri='http://mlflow:5000', what='be reached', why=REFUSED)}",
    }  # fmt: skip


def test_the_docs_quote_the_messages_as_they_are() -> None:
    blocks = re.findall(r"```\n(.*?)```", TROUBLE.read_text(), flags=re.DOTALL)
    assert sorted(" ".join(block.split()) for block in blocks) == sorted(" ".join(one.split()) for one in quoted())
