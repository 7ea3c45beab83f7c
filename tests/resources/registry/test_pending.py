"""What waits for people, told from entries alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from resources.registry.pending import Pending, waiting
from resources.registry.states import Entry

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=15)


class Told:
    """Entries of models, written one after the other, a minute apart."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def say(self, kind: str, version: int = 0, *, model: str = "churn", actor: str = "dagster", **more: Any) -> None:
        about = {"content_hash": f"{model} {version}", "version": version} if version else {}
        at = NOON - timedelta(hours=1) + timedelta(minutes=len(self.entries))
        entry = Entry(
            seq=len(self.entries) + 1, subject=model, kind=kind, payload={**about, **more}, at=at, data_at=at, activate_at=None,
            actor=actor, prev=None, hash=str(len(self.entries)),
        )  # fmt: skip
        self.entries.append(entry)

    def register(self, *versions: int, level: str = "confidential", model: str = "churn") -> None:
        for version in versions:
            self.say("registered", version, model=model, level=level)

    def approve(self, who: str, version: int, *, model: str = "churn", until: datetime = NOON + timedelta(days=14)) -> None:
        self.say("approved", version, model=model, actor=who, approver=who, expires_at=until.isoformat())

    def waits(self, at: datetime = NOON) -> list[Pending]:
        return list(waiting(self.entries, at).versions)

    def names(self, at: datetime = NOON) -> list[tuple[str, int | None]]:
        return [(one.registered.subject, one.registered.version) for one in self.waits(at)]


def test_of_nothing_nothing_waits() -> None:
    assert waiting([], NOON).versions == []
    assert waiting([], NOON).frozen is None


def test_what_the_gate_alone_decides_never_waits() -> None:
    told = Told()
    told.register(1, level="internal")
    told.register(1, level="public", model="late")
    told.say("registered", 1, model="unsaid")
    assert told.waits() == []


def test_a_version_waits_until_enough_people_agree_and_says_who_has() -> None:
    told = Told()
    told.register(1, level="restricted")
    told.approve("bo", 1)
    (one,) = told.waits()
    assert (one.approvals.needed, list(one.valid), one.live) == (2, ["bo"], None)
    assert one.lacking == "a restricted model needs the approval of 2 different people and has that of bo"
    told.approve("kim", 1)
    assert told.waits() == []


def test_a_version_that_its_trainer_alone_approved_waits() -> None:
    told = Told()
    told.register(1)
    told.approve("dagster", 1)
    assert "a trainer does not approve alone" in told.waits()[0].lacking


def test_a_version_waits_again_when_its_approvals_have_expired() -> None:
    told = Told()
    told.register(1)
    told.approve("bo", 1)
    assert told.waits() == []
    assert "bo approved it and that has expired" in told.waits(LATER)[0].lacking


def test_versions_wait_by_model_and_the_newest_first_each_with_the_one_after_it() -> None:
    told = Told()
    told.register(1, 2)
    told.register(1, model="air")
    assert told.names() == [("air", 1), ("churn", 2), ("churn", 1)]
    assert [one.newer and one.newer.version for one in told.waits()] == [None, None, 2]


def test_a_version_before_the_live_one_waits_no_more_and_one_after_it_would_replace_it() -> None:
    told = Told()
    told.register(1, 2, 3)
    told.approve("bo", 2)
    told.say("promoted", 2)
    assert told.names() == [("churn", 3)]
    live = told.waits()[0].live
    assert live is not None
    assert (live.kind, live.version) == ("promoted", 2)


def test_what_was_archived_revoked_or_refused_does_not_wait() -> None:
    for kind in ("archived", "revoked", "refused"):
        told = Told()
        told.register(1)
        told.say(kind, 1)
        assert told.waits() == [], kind


def test_a_hold_of_the_model_and_a_freeze_of_all_are_told() -> None:
    told = Told()
    told.register(1)
    told.register(1, model="air")
    told.say("held", why="late")
    told.say("frozen", model="freeze", why="fire")
    found = waiting(told.entries, NOON)
    assert [one.held is not None for one in found.versions] == [False, True]
    assert found.frozen == told.entries[-1]
    told.say("unfrozen", model="freeze")
    told.say("released_hold")
    assert waiting(told.entries, NOON).frozen is None
    assert [one.held for one in told.waits()] == [None, None]


def test_an_approval_of_another_version_does_not_count() -> None:
    told = Told()
    told.register(1, 2)
    told.approve("bo", 1)
    assert told.names() == [("churn", 2)]
    told.entries[-1] = replace(told.entries[-1], payload={**told.entries[-1].payload, "content_hash": "churn 2"})
    assert told.names() == [("churn", 1)]
