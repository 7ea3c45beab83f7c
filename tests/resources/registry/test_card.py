"""The model card: what people must say, and what the record says by itself."""

from pathlib import Path
from typing import Any

import pytest

from resources.registry.card import Metric, card, missing, sections

ROOT = Path(__file__).resolve().parents[3]
TEXT = """# late

**What it says.** Whether an order waits.

**Intended use.** Planning
of the counter.

**Know before use.**
- Only one winter.
"""
RECORD: dict[str, Any] = {
    "identity": {
        "cutoff": "2020-02", "trained_until": "2020-02-20", "seed": 7, "params": {"trees": 10}, "lock": "7" * 64,
        "tables": {"table/a/b": {}},
    },
    "provenance": {
        "owner": "team:counter", "level": "internal", "licence": "MIT", "card": TEXT, "mlflow_run_id": "run",
        "git": {"commit": "9" * 40, "dirty": True}, "training_set": {"rows": 1200, "since": "2020-01"},
        "used": {"seconds": 2.0, "cpu_seconds": 3.5, "peak_mb": 900.0},
    },
}  # fmt: skip


def without(said: str) -> str:
    return card(title="late 2", record={**RECORD, "provenance": {**RECORD["provenance"], "card": said}}, metrics=[], gate=[])


def test_sections_are_bold_titles_or_headings_at_the_beginning_of_a_line() -> None:
    assert sections(TEXT)["Intended use"] == "Planning\nof the counter."
    assert sections("## What it says\nA wait.\n\nIt is **not said.** here")["What it says"] == "A wait.\n\nIt is **not said.** here"


@pytest.mark.parametrize(
    ("text", "lacks"),
    [
        (TEXT, []),
        (TEXT.replace("Planning\nof the counter.", ""), ["Intended use"]),
        ("# late\n\nA model.", ["What it says", "Intended use", "Know before use"]),
        ("", ["What it says", "Intended use", "Know before use"]),
    ],
)
def test_a_section_that_is_missing_or_empty_is_named(text: str, lacks: list[str]) -> None:
    assert missing(text) == lacks


def test_the_cards_of_the_flights_are_complete() -> None:
    cards = list((ROOT / "mlops_assets" / "flights" / "models").glob("*/card.md"))
    assert len(cards) == 2
    assert [missing(path.read_text()) for path in cards] == [[], []]


def test_a_card_holds_what_was_written_measured_and_recorded() -> None:
    metrics = [Metric(name="auc", value=0.81234, low=0.75, high=0.86), Metric(name="ece", value=0.02)]
    made = card(title="late 2", record=RECORD, metrics=metrics, gate=["auc reaches its floor."])
    assert made.startswith("# late 2\n\n**What it says.** Whether an order waits.")
    assert "| auc | 0.8123 [0.75, 0.86] |\n| ece | 0.02 |" in made
    assert "## Gate\n\n- auc reaches its floor." in made
    assert "| trained on | 1,200 examples, 2020-01 to 2020-02, before 2020-02-20 |" in made
    assert "| code | commit 999999999999 with uncommitted edits |" in made
    assert "| cost | 2 s, 3.5 s of CPU, 900 MB of memory |" in made
    assert "Not complete" not in made


def test_a_card_that_is_not_complete_says_what_is_not_said() -> None:
    assert "**Not complete:** Intended use is not said in card.md." in without(TEXT.replace("Intended", "Other"))
    assert "**Not complete:** What it says, Intended use, Know before use are not said in card.md." in without("")
