"""An exported ledger is verified by the script in the docs, with Python alone; whatever is changed in the file is found by its line."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resources.registry.export import export
from resources.registry.heads import HeadUnsigned, LedgerTampered
from resources.registry.ledger import Ledger
from resources.security.keys import KeyRing
from tests.docs.pages import blocks, commands, done, shell

PAGE = "reference/ledger.md"
APRIL = datetime(2013, 4, 1, 4, tzinfo=UTC)
MOST_LINES = 30


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(f"sqlite:///{tmp_path}/.mlops/ledger.db", KeyRing(tmp_path / ".mlops" / "keys" / "ledger"))


@pytest.fixture
def file(ledger: Ledger, tmp_path: Path) -> Path:
    """An export of four entries, one of another subject and with letters of its own."""
    for version, name in enumerate(("a" * 64, "b" * 64), start=1):
        said = {"content_hash": name, "version": version, "share": 0.1, "gate": [None, True, "Zürich"]}
        ledger.append("churn", "registered", said, expect_head=ledger.head("churn"), actor="ana", data_at=APRIL)
    for subject in ("freeze", "churn"):
        kind = "frozen" if subject == "freeze" else "held"
        ledger.append(subject, kind, {"why": "fire"}, expect_head=ledger.head(subject), actor="bo", data_at=APRIL)
    assert export(ledger, tmp_path / "ledger.jsonl") == 4
    return tmp_path / "ledger.jsonl"


def script() -> str:
    (found,) = (block.text for block in blocks(PAGE) if block.language == "python")
    return found


def verify(file: Path) -> tuple[int, str]:
    """What the script says, run by a Python that sees none of our packages."""
    (file.parent / "verify.py").write_text(script())
    ran = subprocess.run([sys.executable, "-I", "-S", "verify.py", file.name], cwd=file.parent, capture_output=True, text=True, check=False)
    return ran.returncode, (ran.stdout + ran.stderr).strip()


def test_the_script_is_short() -> None:
    assert len(script().splitlines()) <= MOST_LINES


def test_an_export_holds_and_names_the_key_that_signed_its_head(file: Path, ledger: Ledger) -> None:
    signed = ledger.signed_head()
    assert signed is not None
    assert verify(file) == (0, f"4 entries hold; the head was signed by key {signed['key_id']}")


def swapped(lines: list[str]) -> list[str]:
    return [lines[0], lines[2], lines[1], *lines[3:]]


DAMAGE: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "a byte flipped": (lambda lines: [lines[0], lines[1].replace('"ana"', '"anb"'), *lines[2:]], "line 2: was changed"),
    "a field added": (lambda lines: [lines[0].replace('"subject"', '"more": 1, "subject"'), *lines[1:]], "line 1: was changed"),
    "a payload changed": (lambda lines: [lines[0].replace("0.1", "0.2"), *lines[1:]], "line 1: was changed"),
    "no JSON": (lambda lines: [lines[0], lines[1][:-1], *lines[2:]], "line 2: is no JSON"),
    "a line removed": (lambda lines: lines[:1] + lines[2:], "line 2: does not follow from the line before"),
    "the first removed": (lambda lines: lines[1:], "line 1: does not follow from the line before"),
    "two swapped": (swapped, "line 2: does not follow from the line before"),
    "a line doubled": (lambda lines: [lines[0], *lines], "line 2: does not follow from the line before"),
    "the last entry cut off": (lambda lines: [*lines[:3], lines[4]], "line 4: the end is missing"),
    "the end cut off": (lambda lines: lines[:3], "line 4: the end is missing"),
    "a line after the head": (lambda lines: [*lines, lines[0]], "line 6: stands after the signed head"),
    "emptied": (lambda _: [], "line 1: the end is missing"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_whatever_was_done_to_an_export_is_found(file: Path, what: str) -> None:
    change, said = DAMAGE[what]
    file.write_text("\n".join(change(file.read_text().splitlines())))
    code, found = verify(file)
    assert (code, found.startswith(said)) == (1, True), found


def test_openssl_confirms_the_signature_of_the_head_and_denies_that_of_another(file: Path) -> None:
    (confirm,) = commands(PAGE)
    assert "Signature Verified Successfully" in done(file.parent, confirm)
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:4], lines[4].replace('"seq": 4', '"seq": 3')]))
    assert "Signature Verification Failure" in shell(file.parent, confirm).stdout


def test_a_ledger_that_does_not_hold_or_was_never_signed_is_not_exported(ledger: Ledger, file: Path, tmp_path: Path) -> None:
    with ledger._engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER ledger_no_delete")
        connection.exec_driver_sql("DELETE FROM ledger WHERE seq = 4")
    before = file.read_text()
    with pytest.raises(LedgerTampered):
        export(ledger, file)
    assert file.read_text() == before
    with pytest.raises(HeadUnsigned):
        export(Ledger(f"sqlite:///{tmp_path}/other.db"), file)
