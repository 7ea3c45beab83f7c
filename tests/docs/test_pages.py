"""README, tour and glossary say what is so: every link leads somewhere, every path is there, every state is the ledger's."""

import re
from pathlib import Path

import pytest

from resources.registry.states import SWITCHES, TRANSITIONS
from tests.docs.pages import ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([\w-]+))?\)")
BACKTICKED = re.compile(r"`((?:mlops_assets|resources|sensors|docs|tests|deploy)/[\w./]*)`")
MOST_BYTES = 200_000


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    return {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in page.read_text().splitlines() if line[:1] == "#"
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, heading in LINK.findall(page.read_text()):
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), target
        assert not heading or heading in anchors(path), f"{target}#{heading}"


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "tour.md"], ids=lambda page: page.name)
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    named = BACKTICKED.findall(page.read_text())
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_glossary_has_the_states_of_the_ledger() -> None:
    table = (ROOT / "docs" / "glossary.md").read_text().split("| state (ledger) |")[1].splitlines()[2:]
    told = {state.strip() for row in table for state in row.split("|")[1].split(",")}
    assert told == {after for kind, moves in TRANSITIONS.items() if kind not in SWITCHES for after in moves.values()}


def test_every_term_of_the_glossary_is_defined_once_and_says_what_to_avoid() -> None:
    terms = re.findall(r"^- \*\*(.+?)\*\*: (.+)$", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    assert len({term for term, _ in terms}) == len(terms) > 40
    assert [term for term, text in terms if "*Avoid: " not in text] == []


def test_pictures_are_small_and_shown() -> None:
    shown = "".join(page.read_text() for page in PAGES)
    pictures = list((ROOT / "docs" / "images").iterdir())
    assert len(pictures) >= 5
    assert [path.name for path in pictures if path.stat().st_size > MOST_BYTES or f"images/{path.name}" not in shown] == []
