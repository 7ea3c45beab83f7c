"""Registering, refusing and promoting: safe to repeat, safe to race, and never half done."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from resources.registry.acts import VersionUnknown
from resources.registry.ledger import Ledger
from resources.registry.record import RecordIncomplete
from resources.registry.releases import ReleaseChanged, ReleaseMissing
from resources.registry.resource import Registry
from resources.registry.states import Entry, LedgerConflict, TransitionRefused, states, upcoming
from tests.resources.registry.records import whole

APRIL = datetime(2013, 4, 1, 4, tzinfo=UTC)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(ledger_url=f"sqlite:///{tmp_path}/ledger.db", releases_root=str(tmp_path / "releases"))


def stored(registry: Registry, weight: float) -> str:
    return registry.releases().write(
        "churn", {"weight": weight}, whole(git={"commit": "c" * 40, "dirty": False, **MADE}), {"entry": "acme:predict"}
    )


def registered(registry: Registry, weight: float) -> Entry:
    return registry.register(
        "churn", stored(registry, weight), mlflow_run_id=f"run-{weight}", actor="gate", data_at=APRIL, facts={"auc": 0.7}
    )


MADE = {"author": "bo@acme.org", "committer": "mia@acme.org"}


def promote(registry: Registry, version: int, *, activate_at: datetime | None = None) -> Entry:
    return registry.promote("churn", version, actor="gate", data_at=APRIL, activate_at=activate_at)


def test_versions_count_up_and_a_release_is_registered_once(registry: Registry) -> None:
    first, second = registered(registry, 1.0), registered(registry, 2.0)
    assert (first.version, second.version, registered(registry, 1.0)) == (1, 2, first)
    assert registry.ledger().seq() == 2


def test_a_registration_carries_what_a_worker_must_check(registry: Registry) -> None:
    entry = registered(registry, 1.0)
    attested = registry.releases().attest("churn", entry.content_hash or "", version=1)
    assert set(attested) == {"manifest_hash", "statement_hash", "key_id"}
    assert entry.payload == {
        "content_hash": entry.content_hash,
        "version": 1,
        "mlflow_run_id": "run-1.0",
        "auc": 0.7,
        "level": "internal",
        **MADE,
        **attested,
    }


def test_a_release_that_is_not_stored_is_not_registered(registry: Registry) -> None:
    with pytest.raises(ReleaseMissing):
        registry.register("churn", "a" * 64, mlflow_run_id="r", actor="gate", data_at=APRIL)
    assert registry.ledger().seq() == 0


def test_a_release_that_was_changed_is_not_registered(registry: Registry) -> None:
    name = stored(registry, 1.0)
    part = registry.releases().path("churn", name) / "weight.json"
    part.chmod(0o644)
    part.write_text("2.0")
    with pytest.raises(ReleaseChanged):
        registry.register("churn", name, mlflow_run_id="r", actor="gate", data_at=APRIL)
    assert registry.ledger().seq() == 0


@pytest.mark.parametrize(("part", "field"), [("identity", "lock"), ("provenance", "card")])
def test_a_release_whose_record_lacks_a_field_is_neither_registered_nor_signed(registry: Registry, part: str, field: str) -> None:
    record = whole()
    del record[part][field]
    name = registry.releases().write("churn", {"weight": 1.0}, record, {"entry": "acme:predict"})
    with pytest.raises(RecordIncomplete, match=rf"churn: the record .*nothing was registered\.\n  {part}\.{field}: Field required"):
        registry.register("churn", name, mlflow_run_id="r", actor="gate", data_at=APRIL)
    assert registry.ledger().seq() == 0
    assert not Path(registry.releases().statements.place("churn", name, 1)).exists()


@pytest.mark.parametrize(
    ("recorded", "said", "level"),
    [("restricted", {}, "restricted"), ("restricted", {"level": "internal"}, "restricted"), ("internal", {"level": "public"}, "internal"),
     ("internal", {"level": "confidential"}, "confidential")],
)  # fmt: skip
def test_a_version_has_the_level_of_its_record_unless_a_stricter_one_is_said(
    registry: Registry, recorded: str, said: dict[str, object], level: str
) -> None:
    name = registry.releases().write("churn", {"weight": 1.0}, whole(level=recorded), {"entry": "acme:predict"})
    entry = registry.register("churn", name, mlflow_run_id="r", actor="gate", data_at=APRIL, facts=said)
    assert entry.payload["level"] == level


def test_what_is_registered_already_is_not_asked_again_for_its_record(registry: Registry) -> None:
    name = registry.releases().write("churn", {"weight": 1.0}, {"identity": {}}, {"entry": "acme:predict"})
    about = {"content_hash": name, "version": 1}
    entry = registry.ledger().append("churn", "registered", about, expect_head=None, actor="gate", data_at=APRIL)
    assert registry.register("churn", name, mlflow_run_id="r", actor="gate", data_at=APRIL) == entry


def test_a_registration_that_meets_another_takes_the_next_number(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    name, real = stored(registry, 2.0), Ledger.append

    def beaten(ledger: Ledger, *given: Any, **more: Any) -> Entry:
        monkeypatch.setattr(Ledger, "append", real)
        registered(registry, 1.0)
        return real(ledger, *given, **more)

    monkeypatch.setattr(Ledger, "append", beaten)
    assert registry.register("churn", name, mlflow_run_id="r", actor="gate", data_at=APRIL).version == 2


def test_a_promotion_says_why_no_approval_was_needed(registry: Registry) -> None:
    registered(registry, 1.0)
    promote(registry, 1)
    assert [entry.kind for entry in registry.ledger().entries()] == ["registered", "approved", "promoted"]
    assert registry.ledger().entries()[1].payload["why"] == "gate passed, no approval needed"


def test_promoting_retires_what_was_live(registry: Registry) -> None:
    first, second = registered(registry, 1.0), registered(registry, 2.0)
    promote(registry, 1)
    promote(registry, 2)
    assert states(registry.ledger().entries("churn")) == {first.content_hash: "retired", second.content_hash: "live"}


def test_promoting_what_is_live_returns_its_entry(registry: Registry) -> None:
    registered(registry, 1.0)
    assert promote(registry, 1) == promote(registry, 1)
    assert registry.ledger().seq() == 3


def test_a_promotion_killed_after_its_approval_goes_on(registry: Registry) -> None:
    entry = registered(registry, 1.0)
    said = {"content_hash": entry.content_hash, "version": 1}
    registry.ledger().append("churn", "approved", said, expect_head=entry.hash, actor="gate", data_at=APRIL)
    assert promote(registry, 1).seq == 3
    assert registry.ledger().live("churn") == registry.ledger().entries()[-1]


def test_an_older_version_comes_back_by_rollback_only(registry: Registry) -> None:
    registered(registry, 1.0)
    registered(registry, 2.0)
    promote(registry, 1)
    promote(registry, 2)
    with pytest.raises(TransitionRefused, match="is retired, so it cannot be promoted"):
        promote(registry, 1)


def test_a_promotion_that_meets_another_entry_is_a_conflict(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    registered(registry, 1.0)
    name, real = stored(registry, 2.0), Ledger.append

    def beaten(ledger: Ledger, *given: Any, **more: Any) -> Entry:
        monkeypatch.setattr(Ledger, "append", real)
        registry.register("churn", name, mlflow_run_id="r", actor="gate", data_at=APRIL)
        return real(ledger, *given, **more)

    monkeypatch.setattr(Ledger, "append", beaten)
    with pytest.raises(LedgerConflict):
        promote(registry, 1)
    assert registry.ledger().live("churn") is None


def test_a_promotion_may_be_for_later(registry: Registry) -> None:
    registered(registry, 1.0)
    entry = promote(registry, 1, activate_at=datetime.now(UTC) + timedelta(hours=1))
    assert (registry.ledger().live("churn"), upcoming(registry.ledger().entries(), datetime.now(UTC))) == (None, entry)


def test_a_version_that_was_never_registered_is_named(registry: Registry) -> None:
    with pytest.raises(VersionUnknown, match=r"churn has no version 1: it has none\..*release/churn/candidate"):
        promote(registry, 1)
    registered(registry, 1.0)
    with pytest.raises(VersionUnknown, match="it has versions 1 to 1"):
        promote(registry, 7)


def test_a_refused_release_is_never_registered(registry: Registry) -> None:
    said = {"content_hash": stored(registry, 1.0), "why": "auc .61 below .68"}
    registry.ledger().append("churn", "refused", said, expect_head=None, actor="gate", data_at=APRIL)
    with pytest.raises(TransitionRefused, match="is refused, so it cannot be registered"):
        registered(registry, 1.0)


def test_what_is_live_is_loaded_and_checked_against_the_ledger(registry: Registry) -> None:
    registered(registry, 1.0)
    live = promote(registry, 1)
    assert registry.load(live).parts == {"weight": 1.0}
    record = registry.releases().path("churn", live.content_hash or "") / "manifest.json"
    record.chmod(0o644)
    record.write_bytes(record.read_bytes() + b" ")
    with pytest.raises(ReleaseChanged, match="not the one that the ledger recorded"):
        registry.load(live)
