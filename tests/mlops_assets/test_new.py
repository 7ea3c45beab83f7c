"""A project is written from a file: what is read off it, how much the user has in the end, and what is refused in one sentence."""

import compileall
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlops_assets.new.__main__ import main
from mlops_assets.new.example import orders
from mlops_assets.new.survey import Chosen, Survey, identifier, survey
from mlops_assets.specs import Catalogue
from mlops_assets.text import read

MOST_LINES = 150
ROLES: dict[str, Any] = {"time": "Time (local)", "key": ("Machine ID", "Time (local)"), "label": "vibration mm/s", "entity": "Machine ID"}
OPTIONS = ["--time", "Time (local)", "--key", "Machine ID", "--key", "Time (local)", "--label", "vibration mm/s", "--entity", "Machine ID"]
READINGS = """\
Machine ID,Time (local),Temp. °C,class,Operator note,vibration mm/s
001,31.01.2024 23:30,20.5,A,"hot, ""very"" hot",1.5
002,31.01.2024 23:30,,B,,NA
001,01.02.2024 00:30,-3,A,,2.5
002,01.02.2024 00:30,21,B,,0.5
001,13.02.2024 10:00,21.5,A,fine,3.5
002,13.02.2024 10:00,22,B,,2.25
001,29.02.2024 10:00,22.5,A,fine,3
002,29.02.2024 10:00,22,B,,2
001,01.03.2024 00:10,22.5,A,fine,3.125
002,01.03.2024 00:10,22,B,,2.75
"""
TICKETS = "id,at,whose,outcome\n" + "".join(
    f"{n},2024-0{1 + n % 3}-05T10:{n:02d}:00Z,a{n % 3},{'late' if n % 5 == 0 else 'fine'}\n" for n in range(40)
)


@pytest.fixture
def readings(tmp_path: Path) -> Path:
    path = tmp_path / "Plant 2 – readings.csv"
    path.write_text(READINGS, encoding="utf-8")
    return path


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the command is typed and from which Python imports."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def seen(path: Path, **said: Any) -> Survey:
    return survey(path, replace(Chosen(**ROLES, timezone="Europe/Berlin"), **said))


def loaded(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    monkeypatch.setattr(sys, "path", [str(folder / name), *sys.path])
    return import_module(f"{name}.catalogue").CATALOGUE


def test_types_formats_and_roles_are_read_off_a_file_with_nulls_quotes_and_odd_headers(readings: Path) -> None:
    found = seen(readings)
    assert {one.name: one.kind for one in found.fields.values()} == {
        "machine_id": "str", "time_local": "UTC", "temp_c": "float", "class_value": "str", "operator_note": "str",
        "vibration_mm_s": "float",
    }  # fmt: skip
    assert [one.name for one in found.fields.values() if one.nullable] == ["temp_c", "operator_note", "vibration_mm_s"]
    assert (found.time.header, found.time.form) == ("Time (local)", "%d.%m.%Y %H:%M")
    assert [one.header for one in found.key] == ["Machine ID", "Time (local)"]
    assert found.months == ("2024-01", "2024-02", "2024-03")
    assert found.threshold is None


def test_of_words_the_named_one_is_predicted_and_of_two_numbers_the_larger(tmp_path: Path) -> None:
    path, roles = tmp_path / "tickets.csv", Chosen(time="at", key=("id",), label="outcome", entity="whose")
    path.write_text(TICKETS)
    found = survey(path, replace(roles, positive="late"))
    assert (found.yes, found.threshold) == ("late", 1.0)
    for late, fine, threshold in (("7", "3", 7.0), ("true", "false", 1.0)):
        path.write_text(TICKETS.replace("late", late).replace("fine", fine))
        assert (survey(path, roles).yes, survey(path, roles).threshold) == (None, threshold)


@pytest.mark.parametrize(
    ("header", "name"),
    [("Order ID", "order_id"), ("price (€)", "price"), ("2nd", "c_2nd"), ("class", "class_value"), ("day", "day_value"),
     ("key", "key_value"), ("str", "str_value"), ("é__t", "e_t"), ("%", "column_value")],
)  # fmt: skip
def test_a_header_becomes_a_name_that_means_nothing_else(header: str, name: str) -> None:
    assert identifier(header) == name


def test_a_written_project_reads_the_file_that_it_was_written_from(
    readings: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["plant_written", "--csv", str(readings), *OPTIONS, "--timezone", "Europe/Berlin"]) == 0
    catalogue = loaded(elsewhere, "plant_written", monkeypatch)
    source, spec = catalogue.sources[0], catalogue.models[0]
    assert source.archive is not None
    rows = source.parse(source.archive("2024-02"))
    assert rows.schema == {name: col.dtype for name, col in source.contract.columns.items()}
    assert rows["time_local"].dt.to_string("%dT%H:%M").to_list()[:2] == ["31T23:30", "31T23:30"]
    assert rows["hour"].to_list()[:2] == [0, 0]
    assert rows["temp_c"].to_list()[:2] == [-3.0, 21.0]
    assert spec.task == "regression"
    assert "temp_c" in spec.feature_names
    assert "vibration_mm_s" not in spec.feature_names
    assert catalogue.replay == ("2024-01", "2024-03")


def test_what_cannot_be_read_is_never_taken_for_missing(readings: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["plant_broken", "--csv", str(readings), *OPTIONS]) == 0
    source = loaded(elsewhere, "plant_broken", monkeypatch).sources[0]
    raw = read(readings).with_columns(pl.lit("warm").alias("Temp. °C"))
    land = import_module("mlops_assets.lifecycle.ingestion").land
    assert land(source, raw, where="table/plant", month=None).rejected["reason"].unique().to_list() == ["temp_c is not a number"]


@pytest.mark.usefixtures("elsewhere")
def test_from_an_unseen_file_to_a_served_and_monitored_model_takes_at_most_150_lines(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text(orders())
    roles = ["--time", "ordered_at", "--key", "order_id", "--entity", "customer", "--label", "returned"]
    assert main(["acme_lines", "--csv", str(tmp_path / "sales.csv"), *roles]) == 0
    package = Path("acme_lines", "acme_lines")
    lines = [line for path in package.rglob("*.*") for line in path.read_text().splitlines() if line.strip()]
    assert 100 < len(lines) <= MOST_LINES
    assert compileall.compile_dir(package, quiet=1)


def test_the_example_is_the_same_bytes_each_time() -> None:
    assert orders() == orders()
    assert orders().count("\n") == 1 + 91 * 45


@pytest.mark.parametrize(
    ("name", "why"),
    [("Acme", "small letters"), ("acme-ml", "small letters"), ("2acme", "small letters"), ("class", "small letters"),
     ("json", "other code"), ("resources", "other code"), ("sensors", "other code"),
     ("mlops_assets", "other code"), ("polars", "other code"),
     ("tests", "other code"), ("attr", "other code"), ("model", "other code")],
)  # fmt: skip
@pytest.mark.usefixtures("elsewhere")
def test_a_name_that_is_no_package_s_or_somebody_else_s_is_refused(name: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name]) == 1
    said = capsys.readouterr().err
    assert why in said
    assert "Nothing was written" in said


@pytest.mark.usefixtures("elsewhere")
def test_a_folder_that_exists_is_left_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    Path("acme_there").mkdir()
    assert main(["acme_there"]) == 1
    assert "acme_there exists and is left as it is" in capsys.readouterr().err
    assert list(Path("acme_there").iterdir()) == []


SAY = "Nothing was written. Say --time COLUMN; its columns are id, at, whose, outcome."
REFUSED: list[tuple[str, dict[str, str], str]] = [
    ("", {"--time": "when"}, f"--time when is no column with an instant in one format in every row, from which the row is known. {SAY}"),
    ("", {"--time": "whose"}, f"--time whose is no column with an instant in one format in every row, from which the row is known. {SAY}"),
    ("", {"--time": ""}, "--time (not given) is no column with an instant in one format in every row"),
    ("", {"--label": "at"}, "--label at is no column with two values or more that are no instants, to be predicted. Nothing was written."),
    ("", {"--known": "whose"}, "--known whose is no column with instants in one format, from which the label is known"),
    ("", {"--entity": "at"}, "--entity at is no column with words or whole numbers that name whose row it is"),
    ("", {"--key": "number"}, "--key number is no column with a value in every row, which tells it from others"),
    ("", {"--key": "whose"}, "whose is the same in several rows. Nothing was written. Say what tells one row from another: --key COLUMN"),
    ("id,at,whose,outcome\n1,2024-01-01,a,fine\n,2024-01-01,b,late\n", {}, "--key id is no column with a value in every row"),
    ("", {"--timezone": "Mars"}, "--timezone Mars is no time zone. Nothing was written. Give its name, for example"),
    ("", {"--positive": "gone"}, "outcome holds 2 words ('fine', 'late'). Nothing was written. Say which is to be predicted: --"),
    ("id;at;y\n1;2024-01-01;0\n", {}, "holds 1 rows and 1 columns. Nothing was written. Give a file with a header, commas and rows."),
    ("id,at,y\n", {}, "holds 0 rows and 3 columns"),
    ("id,at,y\n1,2\n1,2,3,4\n", {}, "cannot be read as CSV"),
]  # fmt: skip


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(("text", "options", "why"), REFUSED)
def test_a_file_of_which_no_project_can_be_made_is_refused_in_one_sentence(
    tmp_path: Path, text: str, options: dict[str, str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file.csv").write_text(text or TICKETS)
    roles = {"--time": "at", "--key": "id", "--entity": "whose", "--label": "outcome", "--positive": "late"} | options
    assert main(["acme_refused", "--csv", str(tmp_path / "file.csv"), *(word for pair in roles.items() for word in pair)]) == 1
    said = capsys.readouterr().err
    assert why in said
    assert "Nothing was written" in said
    assert not Path("acme_refused").exists()


@pytest.mark.usefixtures("elsewhere")
def test_a_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["acme_refused", "--csv", "nowhere.csv"]) == 1
    assert "nowhere.csv cannot be read as CSV (No such file" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir("/proc")
    assert main(["acme_nowhere"]) == 1
    assert "/proc/acme_nowhere cannot be written" in capsys.readouterr().err


def test_the_known_column_settles_the_label_of_a_written_project(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (f"{n},2024-0{1 + n % 3}-05 10:{n:02d},2024-0{1 + n % 3}-07 12:00,a{n % 3},{('yes', '', 'no')[n % 5 % 3]}\n" for n in range(40))
    (elsewhere / "loans.csv").write_text("id,asked,paid,whose,label\n" + "".join(rows))
    roles = ["--time", "asked", "--known", "paid", "--key", "id", "--entity", "whose", "--label", "label", "--positive", "yes"]
    assert main(["loans_written", "--csv", "loans.csv", *roles]) == 0
    catalogue = loaded(elsewhere, "loans_written", monkeypatch)
    (source,), (spec,) = catalogue.sources, catalogue.models
    assert (spec.label_column.available, spec.label_column.absent_when) == ("paid", "never_known")
    assert source.archive is not None
    assert source.parse(source.archive("2024-02")).get_column("label_value").to_list()[:4] == [None, None, 0.0, 1.0]


def test_headers_that_become_one_name_are_told_apart_and_an_empty_column_is_text(tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_text("id,at,a b,a-b,empty,y\n1,2024-01-01,1,x,,0.5\n2,2024-02-02,2,y,,1.5\n")
    found = survey(path, Chosen(time="at", key=("id",), label="y", entity="a-b"))
    assert [(one.name, one.kind) for one in found.fields.values()] == [
        ("id", "int"), ("at", "UTC"), ("a_b", "int"), ("a_b_2", "str"), ("empty", "str"), ("y", "float"),
    ]  # fmt: skip
