"""The Evidently page is a named sample that traps of the data cannot kill; files are replaced as a whole."""

import gc
import importlib
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from resources.monitors.report import IndexRow, NothingToReport, index_page, write_report

COLUMNS = ("empty", "delay", "carrier", "weekend", "seats", "odd")


def flights(rows: int = 700, *, seed: int = 0) -> pl.DataFrame:
    """Columns that each trip Evidently when they are passed on as they are."""
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "day": [date(2013, 4, 1) + timedelta(days=int(n)) for n in rng.integers(0, 7, rows)],
            "delay": rng.gamma(2, 20, rows),
            "carrier": pl.Series(["UA", "DL", None]).gather(rng.integers(0, 3, rows)),
            "weekend": rng.random(rows) < 0.3,
            "seats": rng.integers(50, 60, rows).astype(np.uint8),
            "odd": np.where(rng.random(rows) < 0.1, np.inf, rng.normal(size=rows)),
            "empty": pl.Series([None] * rows, dtype=pl.Float64),
            "prediction": rng.random(rows),
            "label": (rng.random(rows) < 0.3).astype(float),
        }
    ).with_columns(seats=pl.when(pl.col("seats") == 50).then(None).otherwise("seats"))


def test_the_page_is_complete_and_says_that_it_is_a_sample(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "flight_delay" / "2013-07.html"
    unlabelled = flights(seed=1).with_columns(label=pl.when(pl.int_range(pl.len()) < 20).then(None).otherwise("label"))
    write_report(path, reference=flights(), current=unlabelled, columns=COLUMNS, title="A <b>", seed=7, sample=300)
    page = path.read_text()
    assert "300 of 700 current rows against 300 of 700 reference rows (seed 7) in 5 columns" in page
    assert "Without values, so not shown: empty." in page
    assert "<b>A &lt;b&gt;</b>" in page
    assert all(f'"{name}"' in page or f">{name}<" in page or name in page for name in COLUMNS[1:])
    assert 'src="http' not in page
    assert [entry.name for entry in path.parent.iterdir()] == ["2013-07.html"]


def test_no_plot_is_drawn_that_the_page_does_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[object] = []

    def once_more(*said: object) -> None:
        drawn.append(said)

    statistics: Any = importlib.import_module("evidently.metrics.column_statistics")
    monkeypatch.setattr(statistics.ValueDriftCalculation, "calculate", once_more)
    path, columns = tmp_path / "page.html", ["delay", "carrier"]
    write_report(path, reference=flights(), current=flights(seed=1), columns=columns, title="t", seed=7)
    assert drawn == []
    assert path.read_text().count("DATA DISTRIBUTION") == 2


def test_the_garbage_collector_is_on_again_even_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evidently: Any = importlib.import_module("evidently")

    def failing(*_: object) -> None:
        assert not gc.isenabled()
        raise MemoryError

    monkeypatch.setattr(evidently.Report, "run", failing)
    with pytest.raises(MemoryError):
        write_report(tmp_path / "p.html", reference=flights(), current=flights(), columns=["delay"], title="t", seed=7)
    assert gc.isenabled()


def test_a_column_that_changed_from_number_to_text_is_shown_as_categories(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_report(
        path, reference=flights().drop("label"), current=flights(seed=1).cast({"seats": pl.String}), columns=["seats"], title="t", seed=7,
    )  # fmt: skip
    assert "seats" in path.read_text()


def test_a_handful_of_rows_does_not_end_the_page(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    late = flights(3, seed=1).with_columns(delay=pl.lit(5.0), carrier=pl.Series(["a", "b", "c"]))
    write_report(path, reference=flights(), current=late, columns=COLUMNS, title="t", seed=7)
    assert "3 of 3 current rows" in path.read_text()


def test_at_most_twelve_columns_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    wide = flights(50).with_columns(pl.col("delay").alias(f"c{n}") for n in range(14))
    write_report(path, reference=wide, current=wide, columns=[f"c{n}" for n in range(14)], title="t", seed=7)
    assert "in 12 columns" in path.read_text()


def test_nothing_to_show_is_said_and_no_file_is_left(tmp_path: Path) -> None:
    with pytest.raises(NothingToReport, match="no report can be drawn of 700 reference rows, 0 current rows"):
        write_report(tmp_path / "page.html", reference=flights(), current=flights().clear(), columns=["delay"], title="t", seed=7)
    assert list(tmp_path.iterdir()) == []


def test_the_index_lists_the_newest_month_first_and_escapes_what_it_is_given() -> None:
    page = index_page(
        [
            IndexRow(month="2013-04", model="air_time", verdict="ok", link="air_time/2013-04 a.html"),
            IndexRow(month="2013-05", model="<script>", verdict="fell", detail="a & b"),
        ]
    )
    assert page.index("2013-05") < page.index("2013-04")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "href='air_time/2013-04%20a.html'" in page
    assert "class=bad>fell" in page


def test_an_empty_index_says_so() -> None:
    assert "No report yet." in index_page([])
