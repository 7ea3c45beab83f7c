"""Which version goes live: the newest that may."""

from pathlib import Path

import pytest

from mlops_assets.lifecycle.release import GateFailed, NoCandidate, newest
from resources.registry.ledger import Ledger
from tests.mlops_assets.lifecycle.orders import LATE, NOON

HASHES = {number: str(number) * 64 for number in (1, 2, 3)}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(f"sqlite:///{tmp_path}/ledger.db")


def say(ledger: Ledger, kind: str, version: int) -> None:
    about = {"content_hash": HASHES[version], "version": version}
    more: dict[str, dict[str, object]] = {
        "registered": {"manifest_hash": "f" * 64, "mlflow_run_id": "run"},
        "approved": {"approvers": [], "why": "gate passed"},
    }
    ledger.append("late", kind, {**about, **more.get(kind, {})}, expect_head=ledger.head("late"), actor="test", data_at=NOON)


def test_the_newest_candidate_goes_live(ledger: Ledger) -> None:
    for version in (1, 2):
        say(ledger, "registered", version)
    assert newest(LATE, ledger.entries("late")) == 2


def test_a_version_that_is_live_stays_when_nothing_newer_may(ledger: Ledger) -> None:
    for kind in ("registered", "approved", "promoted"):
        say(ledger, kind, 1)
    assert newest(LATE, ledger.entries("late")) == 1


def test_with_nothing_registered_the_error_says_what_to_do() -> None:
    with pytest.raises(NoCandidate, match=r"late has no candidate.*Materialize release/late/candidate"):
        newest(LATE, ())


def test_a_failed_gate_names_cut_off_and_reasons_and_says_what_stays_live() -> None:
    said = str(GateFailed(LATE, "2020-01", ["AUC 0.5 is below its floor 0.6."], content_hash="c" * 64))
    assert said.startswith("late 2020-01 did not pass its gate, so it was not registered.\n  AUC 0.5 is below its floor 0.6.")
    assert "What is live stays live." in said
    assert f"operate override late {'c' * 64} --token" in said
