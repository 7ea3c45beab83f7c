"""A stock MLflow client does its worst while several workers are asked: no answer fails, and each is by what the ledger says is live."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resources.registry import acts
from resources.registry.states import Entry
from resources.serving.controller import Refused, Serving
from tests.resources.registry.drill import EXAMPLE, MODEL, drill, judged, scene, served, tricks
from tests.resources.serving.clients import Answer

REPORTED = ("moves the alias", "takes the alias away", "deletes the live version")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_whatever_a_stock_client_does_under_load_no_answer_fails_and_each_is_by_the_version_that_the_ledger_has_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path / "source"), *sys.path])
    one = scene(tmp_path)
    with served(one) as url:
        found = drill(one, url, seconds=0.1)  # every trick once
    assert (found.failed, found.not_live, found.alias_wrong) == ([], 0, [])
    assert found.tricks == len(list(tricks(one)))
    assert (found.answers > 500, found.flips, found.slowest < 1) == (True, found.tricks, True)
    assert all("was moved by hand" in " ".join(found.repairs[each]) for each in REPORTED)
    assert all("weights.json was changed since it was released, so it is refused unread" in each for each in found.refusals)
    # A service that starts now finds the live release changed: it says so, and a rollback to a whole one mends it.
    serving = Serving(home=str(tmp_path / "serving"), ledger_url=one.tiny.ledger.url, releases_root=str(one.tiny.releases.root))
    serving.ensure([one.tiny.route()], one.tiny.package)
    with pytest.raises(Refused, match=r"\(503\): .*weights\.json was changed since it was released"):
        serving.predict(MODEL, [EXAMPLE])
    entry = acts.roll_back(one.tiny.registry.desk(), MODEL, one.by(), to=1)
    serving.wait_for(MODEL, str(entry.content_hash), timeout=20)
    assert serving.predict(MODEL, [EXAMPLE])["version"] == 1
    serving.stop()


def entry(seq: int, name: str, *, at: float, activate_at: float | None = None) -> Entry:
    written = NOON + timedelta(seconds=at)
    starts = written if activate_at is None else NOON + timedelta(seconds=activate_at)
    about = {"content_hash": name}
    return Entry(
        seq=seq,
        subject=MODEL,
        kind="promoted",
        payload=about,
        at=written,
        data_at=NOON,
        activate_at=starts,
        actor="ana",
        prev=None,
        hash="",
    )


LIVES = [entry(1, "a", at=-9), entry(2, "b", at=0, activate_at=5), entry(3, "c", at=10)]
SAID = {
    "by what was live": ("a", 4.0, 4.1, (0, 0)),
    "early by what was to be live": ("b", 4.0, 4.1, (1, 0)),
    "by either when it became live in between": ("b", 4.9, 5.1, (0, 0)),
    "late by what was live before an instant that was known ahead": ("a", 5.01, 5.1, (1, 0)),
    "by what was live before an entry that counts at once": ("b", 10.1, 10.2, (0, 1)),
    "long after such an entry": ("b", 11.1, 11.2, (1, 0)),
    "by what was live long ago": ("a", 10.1, 10.2, (1, 0)),
}


@pytest.mark.parametrize("what", SAID)
def test_an_answer_is_held_against_the_ledger_s_own_instants(what: str) -> None:
    name, asked, answered, counted = SAID[what]
    one = Answer(NOON + timedelta(seconds=asked), NOON + timedelta(seconds=answered), {"content_hash": name})
    assert judged(LIVES, [one])[:2] == counted
