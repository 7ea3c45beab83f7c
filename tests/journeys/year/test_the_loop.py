"""January to April 2013, replayed by the command that `make demo` runs; every fact is read back from what it wrote."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import psutil
import pytest
from filelock import FileLock

from mlops_assets.flights.catalogue import CATALOGUE
from resources.lake import LocalLake
from tests.journeys.conftest import MONTHS, replay, table, world


def test_the_month_after_the_first_training_is_predicted_labelled_judged_and_retrained(year: tuple[Path, str]) -> None:
    _, said = year
    line = table(said).split("\n\n")[0].splitlines()[-1]
    auc, mae = (float(part) for part in line.split()[2:4])
    assert 0.70 < auc < 0.80
    assert 5.0 < mae < 8.0
    assert "retrained, live" in line
    assert line.endswith("flight_delay 2, air_time 2")


def test_every_prediction_carries_its_version_and_hash_and_an_id_of_its_own(year: tuple[Path, str]) -> None:
    frame = LocalLake(root=str(year[0] / "lake")).read("prediction/flight_delay/batch", partitions=["2013-04"]).collect()
    assert frame.height == 28_330
    assert frame["prediction_id"].n_unique() == frame.height
    assert set(frame["model_version"]) == {1}
    first = world(year[0]).registry.ledger().entries("flight_delay")[0]
    assert set(frame["content_hash"]) == {first.content_hash}


def test_the_ledger_holds_and_tells_each_version_s_way_to_live(year: tuple[Path, str]) -> None:
    ledger = world(year[0]).registry.ledger()
    assert ledger.verify() == 12
    assert [entry.kind for entry in ledger.entries("air_time")] == ["registered", "approved", "promoted"] * 2


def test_mlflow_follows_the_ledger(year: tuple[Path, str]) -> None:
    resources = world(year[0])
    client = resources.tracking.client()
    for spec in CATALOGUE.models:
        live = resources.registry.ledger().live(spec.name)
        assert live is not None
        version = client.get_model_version_by_alias(spec.name, "production")
        assert version.tags["content_hash"] == live.content_hash


def test_training_rows_know_nothing_later_than_their_prediction(year: tuple[Path, str]) -> None:
    lake = LocalLake(root=str(year[0] / "lake"))
    examples = lake.read("training_set/flight_delay/examples", partitions=["2013-03"]).collect()
    source = lake.read("table/flights/departures").select("origin", "carrier", "departed_at", "departure_delay").collect()
    for row in examples.sample(20, seed=3).iter_rows(named=True):
        until = row["predict_at"]
        lately = source.filter(
            (pl.col("origin") == row["origin"])
            & (pl.col("carrier") == row["carrier"])
            & (pl.col("departed_at") <= until)
            & (pl.col("departed_at") > until - pl.duration(hours=3))
        )
        mean = lately["departure_delay"].mean()
        assert row["desk_lately__delay_3h"] == (None if mean is None else pytest.approx(mean))


def test_the_reports_are_there_and_listed(year: tuple[Path, str]) -> None:
    index = (year[0] / "reports" / "index.html").read_text()
    for spec in CATALOGUE.models:
        page = year[0] / "reports" / spec.name / "2013-04.html"
        assert page.stat().st_size > 1_000_000
        assert f"{spec.name}/2013-04.html" in index


def test_the_service_ended_with_the_replay(year: tuple[Path, str]) -> None:
    left = [
        process.info["cmdline"] for process in psutil.process_iter(["cmdline"]) if str(year[0]) in " ".join(process.info["cmdline"] or ())
    ]
    assert left == []


def test_the_same_command_again_shows_the_result_and_starts_nothing(year: tuple[Path, str]) -> None:
    home, said = year
    again = replay(home, "--until", MONTHS[-1])
    assert again.returncode == 0, again.stderr
    assert "is complete" in again.stdout
    assert table(said) == table(again.stdout)


def test_a_second_replay_at_the_same_time_is_told_who_holds_the_folder(year: tuple[Path, str]) -> None:
    home, _ = year
    with FileLock(home / "replay.lock"):
        second = replay(home, "--until", MONTHS[-1])
    assert second.returncode == 1
    assert "is held by another replay (process" in second.stderr


def test_the_stock_feast_command_reads_what_was_applied(year: tuple[Path, str]) -> None:
    feast = Path(sys.executable).with_name("feast")
    listed = subprocess.run(
        [feast, "-c", year[0] / "features", "feature-views", "list"], capture_output=True, text=True, check=True, timeout=120
    )
    assert all(f"{view.entity.name}_{view.name}" in listed.stdout for view in CATALOGUE.views)


def test_the_data_clock_stands_at_the_end_of_the_last_month(year: tuple[Path, str]) -> None:
    home, _ = year
    clock: Mapping[str, str] = json.loads((home / "clock.json").read_text())
    assert clock["now"].startswith("2013-05-01T04:00")
