"""Acts on versions: one entry each, safe to repeat, stopped by freeze, hold and missing approvals, each by an error of its own."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from unittest.mock import Mock

import pytest

from resources.registry import acts
from resources.registry.acts import By, ModelUnknown, NothingBefore, NotOn, Signed, TokenSeen, VersionUnknown
from resources.registry.approvals import ApprovalsMissing, approvals, person
from resources.registry.ledger import Ledger
from resources.registry.releases import ReleaseChanged
from resources.registry.resource import Registry
from resources.registry.states import Entry, Frozen, Held, LedgerConflict, PayloadIncomplete, TransitionRefused, states
from resources.security import tokens
from resources.security.tokens import TokenExpired, TokenInvalid
from tests.resources.registry.records import whole

APRIL = datetime(2013, 4, 1, 4, tzinfo=UTC)
ANA = By(actor="ana", data_at=APRIL, why="late in EWR")
DAY = timedelta(days=1)


class Office:
    """One model ``churn`` of a level, its registry, and people with tokens."""

    def __init__(self, folder: Path) -> None:
        self.registry = Registry(ledger_url=f"sqlite:///{folder}/ledger.db", releases_root=str(folder / "releases"))
        self.desk = self.registry.desk()
        self.ledger = self.desk.ledger

    def register(self, *weights: float, level: str = "internal", actor: str = "dagster") -> list[Entry]:
        releases = self.registry.releases()
        record = whole(
            git={"commit": "c" * 40, "dirty": False, "author": "Tom+git@acme.org", "committer": "7+mia@users.noreply.github.com"}
        )
        names = [releases.write("churn", {"weight": one}, record, {"entry": "acme:predict"}) for one in weights]
        facts = {"level": level, "author": "", "committer": ""}  # what the record says counts
        return [self.registry.register("churn", one, mlflow_run_id="r", actor=actor, data_at=APRIL, facts=facts) for one in names]

    def live(self) -> int | None:
        found = self.ledger.live("churn")
        return found.version if found else None

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.ledger.entries()]

    def token(self, person: str, valid: timedelta = DAY) -> Signed:
        return Signed(token=tokens.issue(self.desk.people, person=person, valid=valid))

    def approve(self, person: str, version: int = 1) -> Entry:
        return acts.approve(self.desk, "churn", version, By(actor="", data_at=APRIL), self.token(person))

    def given(self) -> dict[str, Entry]:
        """The approvals of version 1, by person."""
        known = self.ledger.entries("churn")
        return approvals(known, str(known[0].content_hash)).valid(datetime.now(UTC))

    def promote(self, version: int) -> Entry:
        return acts.promote(self.desk, "churn", version, By(actor="ana", data_at=APRIL))


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_a_rollback_is_one_entry_that_brings_the_version_before_back_and_holds_the_model(office: Office) -> None:
    office.register(1.0, 2.0, 3.0)
    for version in (1, 2):
        office.promote(version)
    before = office.ledger.seq()
    entry = acts.roll_back(office.desk, "churn", ANA)
    assert (office.ledger.seq(), office.live(), entry.payload["from_version"]) == (before + 1, 1, 2)
    assert entry.payload["manifest_hash"] == office.registry.releases().verify("churn", str(entry.content_hash))
    with pytest.raises(Held, match=r"churn is held since .* by ana: late in EWR\. .*operate lift churn --why"):
        office.promote(3)
    assert office.live() == 1


def test_a_rollback_that_is_repeated_goes_back_once(office: Office) -> None:
    office.register(1.0, 2.0, 3.0)
    for version in (1, 2, 3):
        office.promote(version)
    assert acts.roll_back(office.desk, "churn", ANA) == acts.roll_back(office.desk, "churn", ANA)
    assert office.live() == 2
    assert acts.roll_back(office.desk, "churn", ANA, to=1) == acts.roll_back(office.desk, "churn", ANA, to=1)
    assert office.live() == 1


def test_after_the_hold_was_lifted_a_promotion_goes_through_and_a_rollback_goes_back_again(office: Office) -> None:
    office.register(1.0, 2.0, 3.0)
    for version in (1, 2):
        office.promote(version)
    acts.roll_back(office.desk, "churn", ANA)
    acts.lift(office.desk, "churn", ANA)
    office.promote(3)
    assert office.live() == 3
    acts.roll_back(office.desk, "churn", ANA)
    assert office.live() == 1  # what was live last before version 3


def test_a_rollback_takes_no_version_that_was_archived_or_revoked(office: Office) -> None:
    office.register(1.0, 2.0, 3.0, 4.0)
    for version in (1, 2, 3, 4):
        office.promote(version)
    acts.archive(office.desk, "churn", 3, ANA)
    acts.revoke(office.desk, "churn", 2, ANA)
    acts.roll_back(office.desk, "churn", ANA)
    assert office.live() == 1
    acts.roll_back(office.desk, "churn", ANA, to=3)
    assert office.live() == 3
    with pytest.raises(TransitionRefused, match="is revoked, so it cannot be rolled back"):
        acts.roll_back(office.desk, "churn", ANA, to=2)


def test_without_a_version_before_there_is_nothing_to_roll_back_to(office: Office) -> None:
    office.register(1.0)
    office.promote(1)
    with pytest.raises(NothingBefore, match=r"churn has no version that was live before.*operate hold churn"):
        acts.roll_back(office.desk, "churn", ANA)


def test_a_version_whose_bytes_were_changed_is_not_rolled_back_to(office: Office) -> None:
    first, _ = office.register(1.0, 2.0)
    for version in (1, 2):
        office.promote(version)
    part = office.registry.releases().path("churn", str(first.content_hash)) / "weight.json"
    part.chmod(0o644)
    part.write_text("9.0")
    with pytest.raises(ReleaseChanged):
        acts.roll_back(office.desk, "churn", ANA)
    assert office.live() == 2


@pytest.mark.parametrize("act", [acts.promote, acts.adopt])
def test_a_version_that_no_worker_would_load_does_not_go_live(office: Office, act: Callable[..., Entry]) -> None:
    _, second = office.register(1.0, 2.0)
    office.promote(1)
    part = office.registry.releases().path("churn", str(second.content_hash)) / "weight.json"
    part.chmod(0o644)
    part.write_text("2.5")
    with pytest.raises(ReleaseChanged):
        act(office.desk, "churn", 2, ANA)
    assert office.live() == 1


def test_a_held_model_is_not_promoted_and_a_rollback_still_goes_through(office: Office) -> None:
    office.register(1.0, 2.0, 3.0)
    for version in (1, 2):
        office.promote(version)
    assert acts.hold(office.desk, "churn", ANA) == acts.hold(office.desk, "churn", ANA)
    for act in (acts.promote, acts.adopt):
        with pytest.raises(Held):
            act(office.desk, "churn", 3, ANA)
    acts.roll_back(office.desk, "churn", ANA)
    assert (office.live(), office.kinds().count("held"), "approved" in office.kinds()[-3:]) == (1, 1, False)
    assert acts.lift(office.desk, "churn", ANA) == acts.lift(office.desk, "churn", ANA)


def test_what_was_never_held_or_frozen_is_not_lifted(office: Office) -> None:
    with pytest.raises(NotOn, match="churn is not held"):
        acts.lift(office.desk, "churn", ANA)
    with pytest.raises(NotOn, match="The platform is not frozen"):
        acts.unfreeze(office.desk, ANA)
    assert office.kinds() == []


def test_a_model_that_the_ledger_does_not_know_is_not_held_by_a_slip(office: Office) -> None:
    office.register(1.0)
    with pytest.raises(ModelUnknown, match=r"the ledger knows no model chrun.*Did you mean churn\?"):
        acts.hold(office.desk, "chrun", ANA)
    with pytest.raises(ModelUnknown, match=r"Known are: churn\."):
        acts.hold(office.desk, "freeze", ANA)
    assert office.kinds() == ["registered"]


def test_in_a_freeze_nothing_new_goes_live_and_the_way_back_is_open(office: Office) -> None:
    office.register(1.0, 2.0, 3.0)
    for version in (1, 2):
        office.promote(version)
    assert acts.freeze(office.desk, ANA) == acts.freeze(office.desk, ANA)
    for act in (acts.promote, acts.adopt):
        with pytest.raises(Frozen, match=r"churn: the platform is frozen since .* by ana: late in EWR\. .*operate unfreeze"):
            act(office.desk, "churn", 3, ANA)
    acts.roll_back(office.desk, "churn", ANA)
    assert office.live() == 1
    acts.revoke(office.desk, "churn", 1, ANA)
    assert office.live() is None
    assert acts.unfreeze(office.desk, ANA) == acts.unfreeze(office.desk, ANA)
    acts.lift(office.desk, "churn", ANA)
    office.promote(3)
    assert office.live() == 3


def test_what_is_live_is_promoted_again_in_a_freeze_by_the_entry_that_is_there(office: Office) -> None:
    office.register(1.0)
    entry = office.promote(1)
    acts.freeze(office.desk, ANA)
    assert office.promote(1) == entry


def test_a_revoked_live_version_leaves_nothing_live_until_somebody_rolls_back(office: Office) -> None:
    office.register(1.0, 2.0)
    for version in (1, 2):
        office.promote(version)
    assert acts.revoke(office.desk, "churn", 2, ANA) == acts.revoke(office.desk, "churn", 2, ANA)
    assert office.live() is None
    acts.roll_back(office.desk, "churn", ANA)
    assert office.live() == 1
    acts.lift(office.desk, "churn", ANA)
    with pytest.raises(TransitionRefused, match="is revoked, so it cannot be promoted"):
        office.promote(2)


def test_an_archived_version_is_live_no_more(office: Office) -> None:
    office.register(1.0)
    office.promote(1)
    assert acts.archive(office.desk, "churn", 1, ANA) == acts.archive(office.desk, "churn", 1, ANA)
    assert (office.live(), office.kinds()[-1]) == (None, "archived")


def test_an_alias_moved_by_hand_is_adopted_by_an_entry(office: Office) -> None:
    office.register(1.0, 2.0)
    for version in (1, 2):
        office.promote(version)
    assert acts.adopt(office.desk, "churn", 1, ANA) == acts.adopt(office.desk, "churn", 1, ANA)
    assert (office.live(), office.kinds()[-1]) == (1, "alias_adopted")


@pytest.mark.parametrize("act", [acts.promote, acts.adopt, acts.revoke, acts.archive])
def test_a_version_that_was_never_registered_is_named(office: Office, act: Mock) -> None:
    with pytest.raises(VersionUnknown, match="churn has no version 7: it has none"):
        act(office.desk, "churn", 7, ANA)


@pytest.mark.parametrize("level", ["public", "internal"])
def test_the_gate_alone_decides_for_public_and_internal_models(office: Office, level: str) -> None:
    office.register(1.0, level=level)
    office.promote(1)
    assert office.live() == 1


def test_a_confidential_model_needs_one_person_who_did_not_train_it(office: Office) -> None:
    office.register(1.0, level="confidential", actor="ada")
    with pytest.raises(
        ApprovalsMissing, match=r"churn: version 1 may not go live yet: a confidential model needs 1 person's approval and has"
    ):
        office.promote(1)
    for number, trainer in enumerate(("ada", "tom", "mia@acme.org"), 1):
        office.approve(trainer)
        assert len(office.given()) == number
        with pytest.raises(ApprovalsMissing, match=r"has that of ada.*who trained it; a trainer does not approve alone"):
            office.promote(1)
    office.approve("bo")
    office.promote(1)
    assert office.live() == 1


def test_a_restricted_model_needs_two_different_people(office: Office) -> None:
    office.register(1.0, level="restricted", actor="ada")
    for name in ("bo", "bo", "Bo@acme.org", "bo+work@acme.org", "12+bo@users.noreply.github.com"):
        office.approve(name)
    assert office.kinds().count("approved") == 1
    with pytest.raises(ApprovalsMissing, match="a restricted model needs the approval of 2 different people and has that of bo"):
        office.promote(1)
    assert states(office.ledger.entries("churn"))[str(office.ledger.entries()[0].content_hash)] == "candidate"
    office.approve("ada")
    office.promote(1)
    assert office.live() == 1


@pytest.mark.parametrize("two", [*combinations(("ada@acme.org", "tom", "Mia"), 2)])
def test_whoever_ran_wrote_and_committed_are_not_two_people_who_agree(office: Office, two: tuple[str, str]) -> None:
    office.register(1.0, level="restricted", actor="ada")
    for name in two:
        office.approve(name)
    assert len(office.given()) == 2
    with pytest.raises(ApprovalsMissing, match="a trainer does not approve alone"):
        office.promote(1)


@pytest.mark.parametrize("name", ["bo", "BO", "bo@acme.org", "Bo+git@other.org", "17+bo@users.noreply.github.com"])
def test_a_person_is_known_by_the_part_of_an_address_before_the_at_sign(name: str) -> None:
    assert person(name) == "bo"
    assert person("ro" + name) != "bo"


def test_an_approval_is_for_one_content(office: Office) -> None:
    office.register(1.0, 2.0, level="confidential")
    office.approve("bo", version=1)
    with pytest.raises(ApprovalsMissing, match="version 2"):
        office.promote(2)


def test_an_approval_that_has_expired_counts_no_more_and_is_named(office: Office) -> None:
    office.register(1.0, level="confidential")
    said = By(actor="", data_at=APRIL)
    acts.approve(office.desk, "churn", 1, said, office.token("bo"), valid=timedelta(microseconds=1))
    with pytest.raises(ApprovalsMissing, match=r"has none \(bo approved it and that has expired\)"):
        office.promote(1)
    office.approve("bo")
    office.promote(1)
    assert office.live() == 1


def test_nobody_goes_past_the_acts_by_appending_to_the_ledger(office: Office) -> None:
    [entry] = office.register(1.0, level="restricted")
    about = {"content_hash": entry.content_hash, "version": 1}
    with pytest.raises(ApprovalsMissing):
        office.ledger.append("churn", "promoted", about, expect_head=entry.hash, actor="eve", data_at=APRIL)
    with pytest.raises(PayloadIncomplete, match="token_id"):
        office.ledger.append("churn", "approved", about | {"approver": "eve"}, expect_head=entry.hash, actor="eve", data_at=APRIL)
    office.ledger.append("churn", "approved", about, expect_head=entry.hash, actor="eve", data_at=APRIL)
    with pytest.raises(ApprovalsMissing):
        office.promote(1)


def test_a_level_that_nobody_knows_is_not_registered(office: Office) -> None:
    with pytest.raises(PayloadIncomplete, match="a level out of public, internal, confidential, restricted"):
        office.register(1.0, level="secret")


def test_a_token_that_proves_nobody_approves_nothing(office: Office, tmp_path: Path) -> None:
    office.register(1.0, level="confidential")
    stranger = Office(tmp_path / "elsewhere").token("bo")
    for signed in (stranger, replace(stranger, token="bo")):  # noqa: S106  no secret, and that is the point
        with pytest.raises(TokenInvalid):
            acts.approve(office.desk, "churn", 1, ANA, signed)
    assert office.kinds() == ["registered"]


def test_a_token_that_has_expired_approves_nothing(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.register(1.0, level="confidential")
    token, late = office.token("bo"), Mock(wraps=datetime)
    late.now.return_value = datetime.now(UTC) + 2 * DAY
    monkeypatch.setattr("resources.registry.acts.datetime", late)
    with pytest.raises(TokenExpired):
        acts.approve(office.desk, "churn", 1, ANA, token)
    assert office.kinds() == ["registered"]


def test_a_token_that_others_could_read_signs_nothing_else(office: Office) -> None:
    office.register(1.0, 2.0, level="confidential")
    shown = Signed(token=office.token("bo").token, shown=True)
    first = acts.approve(office.desk, "churn", 1, ANA, shown)
    assert acts.approve(office.desk, "churn", 1, ANA, shown) == first
    copied = Signed(token=shown.token)
    with pytest.raises(TokenSeen, match="stood in the config of a Dagster run"):
        acts.approve(office.desk, "churn", 2, ANA, copied)
    with pytest.raises(TokenSeen):
        acts.override(office.desk, "churn", "c" * 64, ANA, copied, valid=DAY)


def test_an_entry_holds_who_signed_and_never_the_token(office: Office) -> None:
    office.register(1.0, level="confidential")
    signed = office.token("bo")
    entry = acts.approve(office.desk, "churn", 1, ANA, signed)
    assert (entry.actor, entry.payload["approver"], entry.payload["why"]) == ("bo", "bo", "late in EWR")
    assert signed.token not in str(entry.payload)


def test_an_override_counts_until_it_expires_and_changes_no_state(office: Office) -> None:
    name = "c" * 64
    entry = acts.override(office.desk, "churn", name, ANA, office.token("bo"), valid=DAY)
    assert acts.override(office.desk, "churn", name, ANA, office.token("bo"), valid=DAY) == entry
    known, now = office.ledger.entries("churn"), datetime.now(UTC)
    assert [acts.overridden(known, name, at=at) for at in (now, now + 2 * DAY)] == [entry, None]
    assert (acts.overridden(known, "d" * 64, at=now), states(known), entry.payload["person"]) == (None, {}, "bo")


def test_an_override_without_a_reason_is_refused(office: Office) -> None:
    with pytest.raises(PayloadIncomplete, match="needs why in its payload"):
        acts.override(office.desk, "churn", "c" * 64, By(actor="bo", data_at=APRIL), office.token("bo"), valid=DAY)


def beaten(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else writes about the model between the next look and its entry."""
    real = Ledger.append

    def second(ledger: Ledger, *given: object, **more: object) -> Entry:
        monkeypatch.setattr(Ledger, "append", real)
        office.register(9.0)
        return real(ledger, *given, **more)  # pyright: ignore[reportArgumentType]  whatever the act says is passed on

    monkeypatch.setattr(Ledger, "append", second)


def test_a_hold_that_meets_another_entry_is_written_after_it(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.register(1.0)
    beaten(office, monkeypatch)
    acts.hold(office.desk, "churn", ANA)
    assert office.kinds() == ["registered", "registered", "held"]


def test_a_rollback_that_meets_another_entry_is_told(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.register(1.0, 2.0)
    for version in (1, 2):
        office.promote(version)
    beaten(office, monkeypatch)
    with pytest.raises(LedgerConflict):
        acts.roll_back(office.desk, "churn", ANA)
    assert office.live() == 2
