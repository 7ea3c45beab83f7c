"""The follower keeps a worker in step with the ledger."""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from resources.registry import acts
from resources.registry.acts import By
from resources.registry.ledger import LedgerUnavailable
from resources.serving import scoring, worker
from resources.serving.examples import BadRequest
from resources.serving.worker import Follower, NothingLive, UnknownModel
from tests.resources.registry.books import Books
from tests.resources.registry.records import WHOLE
from tests.resources.serving.tiny import FEATURES, FRAME, Tiny

EXAMPLES = [{"x": 2.0, "k": "b", "n": 1}]


def follower(tiny: Tiny, *more: str) -> Follower:
    routes = [tiny.route(model) for model in ("tiny", *more)]
    return Follower(routes=routes, ledger=tiny.ledger, releases=tiny.releases, worker="w1")


def now() -> datetime:
    return datetime.now(UTC)


def said(tiny: Tiny) -> list[tuple[str, Any]]:
    return [(one["what"], one["payload"]["version"]) for one in tiny.ledger.observations() if one["subject"] == "tiny"]


def test_nothing_answers_before_a_version_is_live(tiny: Tiny) -> None:
    one = follower(tiny)
    one.step(now())
    assert not one.settled
    with pytest.raises(NothingLive, match="tiny has no version that can answer, because none is live in the ledger"):
        one.answer("tiny", EXAMPLES)


def test_an_unknown_model_is_answered_with_the_known_ones(tiny: Tiny) -> None:
    with pytest.raises(UnknownModel, match=r"huge is not a model of this service\. Known: other, tiny\."):
        follower(tiny, "other").answer("huge", EXAMPLES)


def test_the_live_version_answers_with_its_hash_and_the_ids_of_batch(tiny: Tiny) -> None:
    content_hash = tiny.release(3.0)
    one = follower(tiny)
    one.step(now())
    found = one.answer("tiny", scoring.rows(FRAME, FEATURES))
    assert (one.settled, found["model"], found["version"], found["content_hash"]) == (True, "tiny", 1, content_hash)
    batch = scoring.score(tiny.entry(), {"weights": {"x": 3.0}}, FRAME, FEATURES).to_list()
    assert [pair["prediction"] for pair in found["predictions"]] == batch
    assert [pair["prediction_id"] for pair in found["predictions"]] == scoring.prediction_ids(content_hash, FRAME, FEATURES).to_list()
    assert said(tiny) == [("loaded", 1), ("live", 1)]


def test_a_request_is_checked_against_the_version_that_answers(tiny: Tiny) -> None:
    tiny.release(3.0)
    one = follower(tiny)
    one.step(now())
    with pytest.raises(BadRequest, match="Example 0: n must be a whole number of 64 bits, not NoneType"):
        one.answer("tiny", [EXAMPLES[0] | {"n": None}])


def test_a_new_version_is_loaded_early_and_flips_at_its_instant(tiny: Tiny) -> None:
    tiny.release(1.0)
    one = follower(tiny)
    one.step(now())
    second = tiny.release(2.0, after=timedelta(hours=1))
    one.step(now())
    assert (one.loaded("tiny").version, said(tiny)[-1]) == (1, ("loaded", 2))
    one.step(now() + timedelta(hours=2))
    assert one.loaded("tiny").content_hash == second
    assert said(tiny)[-1] == ("live", 2)


def test_what_was_loaded_before_its_instant_answers_from_then_on_between_two_looks(tiny: Tiny) -> None:
    tiny.release(1.0)
    one = follower(tiny)
    one.step(now())
    second = tiny.release(2.0, after=timedelta(seconds=0.3))
    one.step(now())
    assert one.describe()["tiny"]["version"] == 1
    time.sleep(0.4)
    assert (one.loaded("tiny").content_hash, one.describe()["tiny"]["version"]) == (second, 2)


def test_what_was_called_off_before_its_instant_never_answers(tiny: Tiny) -> None:
    tiny.release(1.0)
    one = follower(tiny)
    second = tiny.release(2.0, after=timedelta(seconds=0.3))
    one.step(now())
    about = {"content_hash": second, "version": 2, "why": "a fault was found"}
    tiny.ledger.append("tiny", "revoked", about, expect_head=tiny.ledger.head("tiny"), actor="test", data_at=now())
    one.step(now())
    time.sleep(0.4)
    assert one.loaded("tiny").version == 1


def test_nothing_that_was_planned_begins_while_the_ledger_does_not_hold(tiny: Tiny) -> None:
    tiny.release(1.0)
    one, books = follower(tiny), Books(tiny.ledger.url, tiny.registry.ring("ledger"))
    tiny.release(2.0, after=timedelta(seconds=1))
    one.step(now())
    books.damage("DELETE FROM heads")
    one.start()
    time.sleep(1.5)
    assert (one.loaded("tiny").version, "no signed head" in str(one.trouble)) == (1, True)
    one.stop()


def test_a_version_that_answered_a_moment_ago_answers_again_at_once_after_a_rollback(tiny: Tiny) -> None:
    one = follower(tiny)
    for weight in (1.0, 2.0):
        tiny.release(weight)
        one.step(now())
    acts.roll_back(tiny.registry.desk(), "tiny", By(actor="ana", data_at=now(), why="late"))
    one.step(now())
    assert one.loaded("tiny").version == 1


def test_what_is_live_is_not_folded_again_while_nothing_can_have_changed(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.release(1.0)
    one = follower(tiny)
    one.step(now())
    loaded = one.loaded("tiny")

    def again(*_: object) -> None:
        pytest.fail("folded again")

    monkeypatch.setattr(worker, "live_at", again)
    one.step(now())
    assert one.loaded("tiny") is loaded


def test_a_release_with_other_code_is_refused_by_name_and_the_old_version_stays(tiny: Tiny) -> None:
    tiny.release(1.0)
    one = follower(tiny)
    one.step(now())
    tiny.write(offset=100.0)
    other = tiny.release(2.0)
    one.step(now())
    one.step(now())
    assert one.answer("tiny", EXAMPLES)["version"] == 1
    refusals = [one for one in tiny.ledger.observations() if one["what"] == "refused"]
    assert [(found["payload"]["content_hash"], found["worker"]) for found in refusals] == [(other, "w1")]
    assert "was fitted with code" in str(refusals[0]["payload"]["reason"])
    assert other in one.describe()["tiny"]["refused"]


def test_a_comment_is_no_other_code(tiny: Tiny) -> None:
    one = follower(tiny)
    tiny.write(offset=0.0, comment="said differently")
    tiny.release(1.0)
    one.step(now())
    assert one.loaded("tiny").version == 1


def test_changed_bytes_are_refused_and_the_old_version_stays(tiny: Tiny) -> None:
    tiny.release(1.0)
    one = follower(tiny)
    one.step(now())
    second = tiny.release(2.0)
    part = tiny.releases.path("tiny", second) / "weights.json"
    part.chmod(0o644)
    part.write_text('{"x":9.0}')
    one.step(now())
    assert one.loaded("tiny").version == 1
    assert "weights.json was changed since it was released" in one.describe()["tiny"]["refused"][second]


def test_a_version_whose_key_was_revoked_is_refused_until_it_is_signed_again_and_what_answers_stays(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = tiny.registry.ring("release")
    tiny.release(1.0)
    one = follower(tiny)
    one.step(now())
    second = tiny.release(2.0)
    ring.rotate()
    ring.revoke(ring.keys()[0].key_id, why="stolen")
    one.step(now())
    assert one.loaded("tiny").version == 1
    assert "tiny version 2 is not loaded: key" in one.describe()["tiny"]["refused"][second]
    tiny.releases.statements.resign(next(entry for entry in tiny.ledger.entries("tiny") if entry.version == 2))
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.0)
    one.step(now())
    assert one.loaded("tiny").version == 2


def test_what_was_mended_is_loaded_when_it_is_tried_again(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    content_hash = tiny.release(1.0)
    part = tiny.releases.path("tiny", content_hash) / "weights.json"
    good = part.read_bytes()
    part.chmod(0o644)
    part.write_text("{}")
    one = follower(tiny)
    one.step(now())
    part.write_bytes(good)
    one.step(now())
    assert one.seats["tiny"].current is None  # not before the pause is over
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.0)
    one.step(now())
    assert (one.loaded("tiny").version, one.describe()["tiny"]["refused"]) == (1, {})


def test_a_version_that_does_not_repeat_its_recorded_answers_is_refused(tiny: Tiny) -> None:
    lie = {"examples": scoring.rows(FRAME, FEATURES), "predictions": [0.0] * 4}
    content_hash = tiny.store({"weights": {"x": 1.0}}, probe=lie)
    tiny.promote(content_hash)
    one = follower(tiny)
    one.step(now())
    assert "was answered 0.0 at training and 2.0 here" in one.describe()["tiny"]["refused"][content_hash]


@pytest.mark.parametrize("missing", ["probe", "entry", "features"])
def test_a_release_that_says_too_little_is_refused(tiny: Tiny, missing: str) -> None:
    route = tiny.route()
    whole = {"entry": route.entry, "code_hash": route.code_hash, "features": scoring.signature(FRAME, FEATURES), "probe": {"examples": [1]}}
    signature = {key: value for key, value in whole.items() if key != missing}
    content_hash = tiny.releases.write("tiny", {"weights": {"x": 1.0}}, WHOLE, signature)
    tiny.promote(content_hash)
    one = follower(tiny)
    one.step(now())
    assert missing in one.describe()["tiny"]["refused"][content_hash]


def test_request_fields_name_an_example_and_reach_no_model(tiny: Tiny) -> None:
    asked = {"examples": [EXAMPLES[0] | {"flight_id": "a"}], "predictions": [2.0]}
    content_hash = tiny.store({"weights": {"x": 1.0}}, request={"flight_id": {"dtype": "string", "nullable": False}}, probe=asked)
    tiny.promote(content_hash)
    one = follower(tiny)
    one.step(now())
    pair = [one.answer("tiny", [EXAMPLES[0] | {"flight_id": name}])["predictions"][0] for name in ("a", "b")]
    assert pair[0]["prediction"] == pair[1]["prediction"] == 2.0
    assert pair[0]["prediction_id"] != pair[1]["prediction_id"]
    frame = pl.DataFrame([EXAMPLES[0] | {"flight_id": "a"}])
    assert pair[0]["prediction_id"] == scoring.prediction_ids(content_hash, frame, (*FEATURES, "flight_id"))[0]


def test_a_revoked_version_answers_no_more(tiny: Tiny) -> None:
    content_hash = tiny.release(1.0)
    one = follower(tiny)
    one.step(now())
    head = tiny.ledger.head("tiny")
    tiny.ledger.append("tiny", "revoked", {"content_hash": content_hash, "why": "test"}, expect_head=head, actor="test", data_at=now())
    one.step(now())
    with pytest.raises(NothingLive):
        one.answer("tiny", EXAMPLES)
    assert said(tiny)[-1] == ("dropped", 1)


def test_one_models_refusal_is_not_its_neighbours(tiny: Tiny) -> None:
    tiny.release(1.0)
    bad = tiny.store({"weights": {"x": 1.0}}, model="other", probe={"examples": scoring.rows(FRAME, FEATURES), "predictions": [0.0] * 4})
    tiny.promote(bad, model="other")
    one = follower(tiny, "other")
    one.step(now())
    assert (one.settled, one.loaded("tiny").version, one.describe()["other"]["version"]) == (True, 1, None)


def test_a_ledger_that_is_away_changes_nothing(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.release(1.0)
    one = follower(tiny)
    one.step(now())
    asked = threading.Event()

    def away(*_: object, **__: object) -> None:
        asked.set()
        raise LedgerUnavailable(url="sqlite:///x", why="disk I/O error")

    monkeypatch.setattr(tiny.ledger, "read_on", away)
    one.start()
    assert asked.wait(5)
    assert one.answer("tiny", EXAMPLES)["version"] == 1
    one.stop()


def test_a_thread_follows_until_it_is_stopped(tiny: Tiny) -> None:
    one = follower(tiny)
    one.start()
    tiny.release(1.0)
    deadline = time.monotonic() + 10
    while not one.settled and time.monotonic() < deadline:
        time.sleep(0.02)
    assert one.loaded("tiny").version == 1
    one.stop()
    tiny.release(2.0)
    time.sleep(0.3)
    assert one.loaded("tiny").version == 1
