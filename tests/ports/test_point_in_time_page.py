"""docs/reference/point-in-time.md names tests that are there, every kind of table, and the disagreements that are asserted."""

import re
from pathlib import Path
from typing import Final

import pytest

from tests.ports.kinds import KINDS
from tests.ports.test_offline_store import DISAGREEMENTS

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "reference" / "point-in-time.md").read_text()
OURS, FEASTS = PAGE.split("## Feast's own suite")
SEMANTICS, DIFFERENCES = OURS.split("## What Feast's own stores do instead")


def test_every_test_that_the_page_names_is_there() -> None:
    defined = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)`", OURS))
    assert len(named) > 15
    assert named - defined == set()


def test_the_page_speaks_of_every_kind_of_table_and_no_other() -> None:
    assert set(re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", SEMANTICS)) - {"italics"} == set(KINDS)


@pytest.mark.parametrize(("store", "column"), [("dask", 2), ("duckdb", 3)])
def test_the_page_lists_what_a_store_does_otherwise(store: str, column: int) -> None:
    rows = [[cell.strip() for cell in line.split("|")] for line in DIFFERENCES.splitlines() if line.startswith("| *")]
    told = {row[1].strip("*") for row in rows if row[column] and not row[column].startswith(("(", "not tried"))}
    assert told == set(DISAGREEMENTS[store])
