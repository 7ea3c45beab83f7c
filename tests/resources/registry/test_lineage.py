"""The way back from a prediction, and the way forward from a piece of data, told from records."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from resources.registry.lineage import Made, Piece, Predicted, Source, Touched, lineage, lives, touched
from resources.registry.states import Entry

ENTRY = Entry(
    seq=3, subject="churn", kind="approved", payload={"content_hash": "4" * 64, "version": 9, "why": "gate passed, no approval needed"},
    at=datetime(2026, 1, 1, tzinfo=UTC), data_at=datetime(2013, 12, 1, 5, tzinfo=UTC), activate_at=None, actor="gate", prev=None, hash="h",
)  # fmt: skip
RECORD: dict[str, Any] = {
    "identity": {
        "lock": "7" * 64,
        "views": {"shop_lately": "5" * 64, "calendar_day": "6" * 64},
        "code": {"fit": "1" * 64, "score": "2" * 64},
        "tables": {
            "table/shop/orders": {"2013-01": "a" * 64, "2013-02": "b" * 64},
            "feature/shop/lately": {"2013-01": "c" * 64, "2013-02": "d" * 64},
            "feature/calendar/day": {"": "e" * 64},
        },
    },
    "provenance": {
        "mlflow_run_id": "3b1e",
        "git": {"commit": "9" * 40, "dirty": True},
        "training_set": {"address": "training_set/churn/examples", "version": 31, "rows": 302118},
        "tables": {"table/weather/hourly": 12, "table/flights/departures": 11},
    },
}
SOURCES = {
    "feature/shop/lately": Source(table="table/shop/orders", months_back=1),
    "feature/calendar/day": Source(table="table/calendar/days", months_back=1),
}
ONE = Made(entries=(ENTRY,), record=RECORD, features=("shop_lately__late_3h", "items"))


def entry(kind: str, name: str, hour: int, **more: Any) -> Entry:
    return replace(ENTRY, kind=kind, at=ENTRY.at + timedelta(hours=hour), payload={"content_hash": name, "version": 1}, **more)


def other(name: str, *, until: str) -> Made:
    """A version that was trained on the months up to ``until``."""
    tables = {table: {month: digest for month, digest in months.items() if month <= until} for table, months in ONE.tables.items()}
    record = {**RECORD, "identity": {**RECORD["identity"], "tables": tables}}
    return replace(ONE, entries=(replace(ENTRY, payload={"content_hash": name * 64, "version": 8}),), record=record)


def ask(piece: Piece, *versions: Made, filled: tuple[Predicted, ...] = (), locks: Any = None) -> Touched:
    return touched(piece, versions, filled, sources=SOURCES, locks=locks or {})


def hit(answer: Touched) -> dict[int, str]:
    return {made.version: why for made, why in answer.versions}


def test_every_step_from_the_prediction_to_the_code_is_told() -> None:
    assert lineage(ENTRY, RECORD) == [
        "<- release    churn  version 9  sha256 444444444444  decided gate passed, no approval needed  since 2013-12-01",
        "<- run        mlflow 3b1e  git 999999999999  dirty yes  lock 777777777777",
        "<- examples   training_set/churn/examples  version 31  rows 302,118",
        "<- tables     table/flights/departures version 11 · table/weather/hourly version 12",
        "<- features   calendar_day 666666666666 · shop_lately 555555555555",
        "<- code       fit and score  fit 111111111111  score 222222222222",
    ]


def test_what_was_not_recorded_is_said_to_be_so() -> None:
    assert lineage(ENTRY, {})[1:] == [
        "<- run        mlflow not recorded  git not recorded  lock not recorded",
        "<- examples   not recorded",
        "<- tables     not recorded",
        "<- features   not recorded",
        "<- code       fit and score  fit not recorded  score not recorded",
    ]


def test_the_people_who_approved_are_named_before_the_rule_that_needed_none() -> None:
    ada = replace(ENTRY, payload={"content_hash": "4" * 64, "approver": "ada"})
    ben = replace(ENTRY, payload={"content_hash": "4" * 64, "approvers": ["ben"], "why": "two people"})
    assert Made(entries=(ada, ben), record={}).approval == "ada, ben"
    assert Made(entries=(replace(ENTRY, kind="registered"),), record={}).approval == "not recorded"


def test_a_version_lives_until_another_takes_its_place_or_it_is_ended() -> None:
    a, b = "a" * 64, "b" * 64
    found = lives(
        [entry("promoted", a, 0), entry("promoted", b, 2), entry("rolled_back", a, 3), entry("revoked", b, 4), entry("archived", a, 9)]
    )
    assert [(life.since.hour, life.until and life.until.hour) for life in found[a]] == [(0, 2), (3, 9)]
    assert [(life.since.hour, life.until and life.until.hour) for life in found[b]] == [(2, 3)]


def test_a_promotion_that_was_ended_before_it_began_is_no_life() -> None:
    planned = entry("promoted", "a" * 64, 0, activate_at=ENTRY.at + timedelta(hours=9))
    assert lives([planned, entry("revoked", "a" * 64, 5)]) == {}


def test_the_last_promoted_is_live_until_told_otherwise() -> None:
    assert lives([entry("promoted", "a" * 64, 1)])["a" * 64][0].until is None


def test_a_month_reaches_the_versions_that_were_trained_on_it_and_on_the_months_of_features_that_look_back_at_it() -> None:
    answer = ask(Piece(table="table/shop/orders", month="2013-01"), ONE, other("8", until="2012-12"))
    assert hit(answer) == {9: "trained on 2013-01 of table/shop/orders; trained on 2013-01 to 2013-02 of feature/shop/lately"}


def test_a_later_month_does_not_reach_a_version_that_was_trained_before_it() -> None:
    assert hit(ask(Piece(table="table/shop/orders", month="2013-02"), other("8", until="2013-01"))) == {}


def test_rows_that_were_corrected_are_told_from_those_before_by_their_digest() -> None:
    bad = Piece(table="feature/shop/lately", month="2013-02", digest="d" * 64)
    assert hit(ask(bad, ONE)) == {9: "trained on 2013-02 of feature/shop/lately"}
    assert hit(ask(replace(bad, digest="0" * 64), ONE)) == {}


def test_a_whole_table_reaches_every_version_that_reads_it_or_a_view_of_it() -> None:
    assert hit(ask(Piece(table="table/calendar/days"), ONE)) == {9: "trained on all of feature/calendar/day"}
    assert hit(ask(Piece(table="table/nobody/reads"), ONE)) == {}


def test_predictions_are_reached_by_the_version_that_made_them_and_by_what_it_read_for_them() -> None:
    old = other("8", until="2012-12")
    filled = tuple(
        Predicted(model="churn", month=month, content_hash=made.content_hash, rows=10)
        for month, made in (("2013-01", old), ("2013-02", old), ("2013-03", old), ("2013-03", ONE))
    )
    answer = ask(Piece(table="table/shop/orders", month="2013-01"), ONE, old, filled=filled)
    assert [(one.month, made and made.version, why) for one, made, why in answer.predictions] == [
        ("2013-01", 8, "read 2013-01 of table/shop/orders, feature/shop/lately"),
        ("2013-02", 8, "read 2013-02 of feature/shop/lately"),
        ("2013-03", 9, "made by version 9"),
    ]


def test_a_view_or_one_of_its_features_reaches_the_versions_that_read_it() -> None:
    assert set(hit(ask(Piece(feature="shop_lately"), ONE))) == {9}
    assert set(hit(ask(Piece(feature="shop_lately__late_3h"), ONE))) == {9}
    assert set(hit(ask(Piece(feature="items"), ONE))) == {9}
    assert hit(ask(Piece(feature="shop_lately__late_9h"), ONE)) == {}
    assert hit(ask(Piece(feature="shop"), ONE)) == {}


def test_a_library_reaches_the_versions_whose_lock_pins_it() -> None:
    locks = {"7" * 64: {"numpy": "2.1.0"}}
    assert hit(ask(Piece(library="NumPy"), ONE, locks=locks)) == {9: "NumPy 2.1.0 in lock 777777777777"}
    assert set(hit(ask(Piece(library="numpy==2.1.0"), ONE, locks=locks))) == {9}
    assert hit(ask(Piece(library="numpy==2.1"), ONE, locks=locks)) == {}
    assert hit(ask(Piece(library="pandas"), ONE, locks=locks)) == {}


def test_a_version_whose_lock_or_record_is_not_here_is_not_called_safe() -> None:
    gone = Made(entries=(ENTRY,), record={})
    answer = ask(Piece(library="numpy"), ONE, gone)
    assert answer.unknown == (ONE, gone)
    assert answer.lines()[-1] == "churn version 9: not known, because its record or its lock is not here"
    assert ask(Piece(table="table/shop/orders"), gone).unknown == (gone,)


def test_the_answer_begins_with_how_much_was_reached() -> None:
    filled = Predicted(model="churn", month="2013-03", content_hash=ONE.content_hash, rows=1200)
    living = replace(ONE, lives=lives([entry("promoted", ONE.content_hash, 0)])[ONE.content_hash])
    answer = ask(Piece(table="table/shop/orders", month="2013-02"), living, filled=(filled,))
    assert answer.lines()[0] == (
        "table/shop/orders 2013-02 has reached 1 versions of 1 models, 1 of them live, and 1 partitions of predictions (1,200 rows)."
    )
    assert answer.lines()[1].startswith("churn version 9, live: trained on 2013-02")
    assert answer.lines()[2] == "prediction/churn/batch 2013-03, 1,200 rows: made by version 9; read 2013-03 of feature/shop/lately"
