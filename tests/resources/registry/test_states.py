"""The table of states and the folds: what is live at T by either clock, and what may follow what."""

from datetime import UTC, datetime, timedelta

import pytest

from resources.registry.states import (
    KINDS,
    Entry,
    PayloadIncomplete,
    TransitionRefused,
    check,
    live_at,
    live_for,
    states,
    upcoming,
    versions,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
APRIL = datetime(2013, 4, 1, tzinfo=UTC)
A, B = "a" * 64, "b" * 64


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def story(*told: tuple[str, str, float] | tuple[str, str, float, float], numbers: dict[str, int] | None = None) -> list[Entry]:
    """Entries of one model: (kind, content hash, hour of activation[, months of the data clock after April])."""
    found = numbers or {A: 1, B: 2}
    return [
        Entry(
            seq=place + 1, subject="churn", kind=one[0], payload={"content_hash": one[1], "version": found[one[1]]},
            at=NOON + hours(place / 100), data_at=APRIL + timedelta(days=30 * (one[3] if len(one) > 3 else 0)),
            activate_at=NOON + hours(one[2]), actor="test", prev=None, hash=str(place),
        )
        for place, one in enumerate(told)
    ]  # fmt: skip


def test_live_is_the_last_entry_that_is_active() -> None:
    told = story(("promoted", A, 0), ("promoted", B, 2))
    assert [live_at(told, NOON + hours(at)) for at in (-1, 0, 1.99, 2)] == [None, told[0], told[0], told[1]]


def test_a_later_entry_that_is_active_sooner_stays_live() -> None:
    told = story(("promoted", A, 5), ("promoted", B, 1))
    assert live_at(told, NOON + hours(6)) == told[1]


def test_a_revoked_version_leaves_nothing_live() -> None:
    told = story(("promoted", A, 0), ("promoted", B, 1), ("revoked", B, 2))
    assert live_at(told, NOON + hours(3)) is None


def test_a_version_that_is_revoked_before_its_activation_never_goes_live() -> None:
    told = story(("promoted", A, 0), ("promoted", B, 5), ("revoked", B, 1))
    assert live_at(told, NOON + hours(6)) == told[0]


def test_revoking_another_version_changes_nothing() -> None:
    told = story(("promoted", A, 0), ("promoted", B, 1), ("revoked", A, 2))
    assert live_at(told, NOON + hours(3)) == told[1]


def test_a_rollback_is_a_promotion_of_an_older_version() -> None:
    told = story(("promoted", A, 0), ("promoted", B, 1), ("rolled_back", A, 2))
    assert live_at(told, NOON + hours(2)) == told[2]


def test_the_next_promotion_is_known_before_it_is_active() -> None:
    told = story(("promoted", A, 0), ("promoted", B, 5))
    assert [upcoming(told, NOON + hours(at)) for at in (-1, 0, 5)] == [told[0], told[1], None]


def test_a_planned_promotion_that_was_revoked_is_not_upcoming() -> None:
    told = story(("promoted", A, 0), ("promoted", B, 5), ("revoked", B, 1))
    assert upcoming(told, NOON + hours(2)) is None


def test_live_by_the_data_clock_is_the_last_one_strictly_before() -> None:
    told = story(("promoted", A, 0, 0), ("promoted", B, 1, 1))
    at = [APRIL, APRIL + timedelta(days=1), APRIL + timedelta(days=30), APRIL + timedelta(days=31)]
    assert [live_for(told, instant) for instant in at] == [None, told[0], told[0], told[1]]


def test_the_two_clocks_may_disagree() -> None:
    told = story(("promoted", A, 0, 3), ("promoted", B, 1, 1))
    assert live_at(told, NOON + hours(2)) == told[1]
    assert live_for(told, APRIL + timedelta(days=60)) == told[1]
    assert live_at(told, NOON) == told[0]


def test_a_version_that_was_ended_by_the_data_clock_is_not_live_for_later_data() -> None:
    told = story(("promoted", A, 0, 0), ("retired", A, 1, 1))
    assert live_for(told, APRIL + timedelta(days=31)) is None


def test_another_promotion_retires_the_one_before() -> None:
    told = story(("registered", A, 0), ("approved", A, 0), ("promoted", A, 0), ("registered", B, 0), ("approved", B, 0), ("promoted", B, 0))
    assert states(told) == {A: "retired", B: "live"}


def test_versions_are_numbered_by_registration() -> None:
    assert versions(story(("registered", A, 0), ("approved", A, 0), ("registered", B, 0))) == {A: 1, B: 2}


BEFORE = {
    "unknown": [],
    "candidate": [("registered", A, 0)],
    "approved": [("registered", A, 0), ("approved", A, 0)],
    "live": [("registered", A, 0), ("approved", A, 0), ("promoted", A, 0)],
    "retired": [("registered", A, 0), ("approved", A, 0), ("promoted", A, 0), ("retired", A, 0)],
    "revoked": [("registered", A, 0), ("revoked", A, 0)],
    "refused": [("registered", A, 0), ("refused", A, 0)],
}
ALLOWED = {
    "unknown": {"trained", "registered", "refused"},
    "candidate": {"gated", "refused", "approved", "archived", "revoked"},
    "approved": {"approved", "promoted", "alias_adopted", "refused", "archived", "revoked"},
    "live": {"retired", "archived", "revoked"},
    "retired": {"rolled_back", "alias_adopted", "archived", "revoked", "freed"},
    "revoked": {"freed"},
    "refused": {"freed"},
}
NOT_OF_A_RELEASE = {"held", "released_hold", "frozen", "unfrozen", "overridden", "declassified"}


@pytest.mark.parametrize("state", BEFORE)
def test_only_what_the_table_of_states_says_may_follow(state: str) -> None:
    found = set[str]()
    for kind in KINDS - NOT_OF_A_RELEASE:
        try:
            check("churn", kind, {"content_hash": A, "version": 1}, story(*BEFORE[state]), at=NOON)
        except TransitionRefused:
            continue
        found.add(kind)
    assert found == ALLOWED[state]


def test_the_refusal_says_what_may_follow() -> None:
    with pytest.raises(
        TransitionRefused, match=r"churn: release aaaaaaaaaaaa is candidate, so it cannot be promoted\..* approved, archived"
    ):
        check("churn", "promoted", {"content_hash": A, "version": 1}, story(("registered", A, 0)), at=NOON)


@pytest.mark.parametrize(
    ("kind", "payload", "names"),
    [
        ("registered", {"content_hash": B, "version": 3}, "version 2, the number of bbbbbbbbbbbb"),
        ("registered", {"content_hash": B}, "version 2, the number of bbbbbbbbbbbb"),
        ("registered", {"version": 2}, "content_hash"),
        ("promoted", {"content_hash": A, "version": 2}, "version 1, the number of aaaaaaaaaaaa"),
        ("promoted", {"content_hash": A}, "needs version"),
    ],
)
def test_an_entry_has_to_name_what_it_is_about(kind: str, payload: dict[str, object], names: str) -> None:
    with pytest.raises(PayloadIncomplete, match=names):
        check("churn", kind, payload, story(("registered", A, 0), ("approved", A, 0)), at=NOON)


def test_a_kind_that_nobody_knows_is_refused() -> None:
    with pytest.raises(TransitionRefused, match="not a kind of entry"):
        check("churn", "blessed", {}, [], at=NOON)


def test_a_switch_is_not_turned_on_twice() -> None:
    frozen = story(("frozen", A, 0))
    assert states(frozen)["freeze"] == "on"
    check("freeze", "unfrozen", {}, frozen, at=NOON)
    with pytest.raises(TransitionRefused, match="the freeze is on, so it cannot be frozen"):
        check("freeze", "frozen", {}, frozen, at=NOON)


def test_what_was_never_turned_on_cannot_be_turned_off() -> None:
    with pytest.raises(TransitionRefused, match="the hold is unknown"):
        check("churn", "released_hold", {}, [], at=NOON)


@pytest.mark.parametrize(("subject", "kind"), [("freeze", "registered"), ("freeze", "held"), ("churn", "frozen")])
def test_the_freeze_is_no_model_and_no_model_is_frozen_alone(subject: str, kind: str) -> None:
    with pytest.raises(TransitionRefused, match=f"`{kind}` is not about {subject}"):
        check(subject, kind, {"content_hash": A, "version": 1}, [], at=NOON)
