"""The controller starts, adopts, replaces and stops a service; here with a stub in the place of BentoML."""

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from resources.serving import controller, guard
from resources.serving.controller import NoService, NothingToResume, NotServed, Refused, RollRefused, ServiceFailed, Serving
from resources.serving.endpoint import CURRENT, HOLDERS, NEXT, STOPPED, Endpoint, running, start_time
from resources.serving.routes import Route
from tests.resources.serving.tiny import Tiny


def seat(content_hash: str | None, **refused: str) -> dict[str, Any]:
    return {"content_hash": content_hash, "version": 1, "refused": refused, "looked": True}


class Desk:
    """A controller over a stub service, and what that service says."""

    def __init__(self, tiny: Tiny, home: Path) -> None:
        self.tiny = tiny
        self.home = home
        self.serving = self.another()
        home.mkdir()
        self.says({"tiny": seat("h1")})

    def another(self, **more: Any) -> Serving:
        return Serving(home=str(self.home), ledger_url=self.tiny.ledger.url, releases_root=str(self.tiny.releases.root), **more)

    def says(self, content: object) -> None:
        draft = self.home / "says.draft"
        draft.write_text(json.dumps(content))
        draft.replace(self.home / "says.json")

    def routes(self) -> list[Route]:
        return [self.tiny.route()]

    def ensure(self) -> Endpoint:
        return self.serving.ensure(self.routes(), "tinyco", timeout=20)


@pytest.fixture
def desk(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(controller, "LAUNCH", Path(__file__).with_name("stub.py"))
    one = Desk(tiny, tmp_path / "serving")
    yield one
    one.serving.stop()


def gone(endpoint: Endpoint, *, within: float = 10.0) -> bool:
    deadline = time.monotonic() + within
    while running(endpoint.pid, endpoint.started) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not running(endpoint.pid, endpoint.started)


def test_start_does_not_wait_and_the_service_answers_once_it_is_ready(desk: Desk) -> None:
    desk.says({"tiny": seat(None) | {"looked": False}})
    started = desk.serving.start(desk.routes(), "tinyco")
    assert Endpoint.read(desk.home / NEXT) == started
    assert desk.serving.current() is None
    with pytest.raises(ServiceFailed, match=r"was not ready after 1 s"):
        desk.serving.wait_until_ready(timeout=1)
    desk.says({"tiny": seat("h1")})
    assert desk.serving.wait_until_ready(timeout=20) == started == desk.serving.current()
    assert not (desk.home / NEXT).exists()


def test_a_service_that_runs_is_adopted(desk: Desk) -> None:
    first = desk.ensure()
    assert desk.ensure() == first
    desk.tiny.write(offset=0.0, comment="said differently")
    assert desk.another().ensure(desk.routes(), "tinyco", timeout=20) == first


def test_one_that_is_starting_is_adopted_too(desk: Desk) -> None:
    found: list[Endpoint] = []
    threads = [threading.Thread(target=lambda: found.append(desk.another().ensure(desk.routes(), "tinyco", timeout=20))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.pid for one in found}) == 1
    assert len(list((desk.home / "runs").iterdir())) == 1


def test_a_pid_that_was_given_to_another_process_is_not_adopted(desk: Desk) -> None:
    first = desk.ensure()
    desk.serving.stop()
    stranger = {"pid": os.getpid(), "started": first.started - 100}
    Endpoint(**json.loads(json.dumps(first.__dict__)) | stranger).write(desk.home / CURRENT)
    assert desk.serving.current() is None
    second = desk.ensure()
    assert second.pid not in {first.pid, os.getpid()}


def test_other_code_rolls_a_new_service_on_a_new_port_and_the_old_one_drains(desk: Desk) -> None:
    first = desk.ensure()
    desk.tiny.write(offset=1.0)
    second = desk.ensure()
    assert (second.pid != first.pid, second.url != first.url, second.bento != first.bento) == (True, True, True)
    assert desk.serving.current() == second
    assert first.alive  # still answering those who asked before
    desk.serving.stop()
    assert (gone(first), gone(second)) == (True, True)
    assert guard.DRAIN_SECONDS == 10.0


def test_a_new_service_that_lost_a_model_never_replaces_the_old_one(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    first = desk.ensure()
    desk.tiny.write(offset=1.0)
    real = Serving._seats
    lost = {"tiny": seat(None, h1="h1 was fitted with other code.")}

    def seats(self: Serving, one: Endpoint) -> Any:
        return real(self, one) if one.run == first.run else lost

    monkeypatch.setattr(Serving, "_seats", seats)
    with pytest.raises(RollRefused, match="cannot answer for tiny: h1 was fitted with other code"):
        desk.ensure()
    assert desk.serving.current() == first
    assert [path.name for path in desk.home.glob("*.json") if path.name != "says.json"] == [CURRENT]


def test_going_back_to_the_code_that_runs_gives_up_the_new_service(desk: Desk) -> None:
    first = desk.ensure()
    desk.tiny.write(offset=1.0)
    second = desk.serving.start(desk.routes(), "tinyco")
    desk.tiny.write(offset=0.0)
    assert desk.ensure() == first
    assert gone(second)


def test_a_service_that_dies_while_it_starts_shows_the_end_of_its_log(desk: Desk) -> None:
    desk.says("die")
    with pytest.raises(ServiceFailed, match=r"(?s)tinyco ended while it started.*the stub was told to die"):
        desk.ensure()
    desk.says({"tiny": seat("h1")})
    assert desk.ensure().alive


def test_a_service_that_was_killed_is_started_again(desk: Desk) -> None:
    first = desk.ensure()
    os.kill(first.pid, 9)
    assert gone(first)
    with pytest.raises(NoService):
        desk.serving.predict("tiny", [{}])
    assert desk.ensure().pid != first.pid


def stored(desk: Desk, endpoint: Endpoint) -> Path:
    """The Bento's folder, which the stub does not make."""
    folder = desk.home / "bento" / "bentos" / endpoint.bento.replace(":", "/")
    folder.mkdir(parents=True)
    return folder


def test_what_answered_last_is_started_again_whatever_code_is_here_now(desk: Desk) -> None:
    first = desk.ensure()
    stored(desk, first)
    desk.serving.stop()
    desk.tiny.write(offset=1.0)
    second = desk.serving.resume(timeout=20)
    assert (second.bento, second.pid != first.pid, desk.serving.current()) == (first.bento, True, second)
    assert desk.serving.resume() == second
    os.kill(second.pid, 9)
    assert gone(second)
    assert desk.serving.resume(timeout=20).bento == first.bento


def test_a_service_of_other_code_that_was_starting_is_not_what_answered_last(desk: Desk) -> None:
    first = desk.ensure()
    stored(desk, first)
    os.kill(first.pid, 9)
    desk.tiny.write(offset=1.0)
    other = desk.serving.start(desk.routes(), "tinyco")
    assert desk.serving.resume(timeout=20).bento == first.bento
    assert gone(other)


def test_nothing_is_started_again_where_none_answered_or_its_bento_is_gone(desk: Desk) -> None:
    with pytest.raises(NothingToResume, match="none has answered here yet"):
        desk.serving.resume()
    first = desk.ensure()
    desk.serving.stop()
    with pytest.raises(NothingToResume, match=f"its Bento {first.bento} is not there any more"):
        desk.serving.resume()
    assert desk.serving.current() is None


def test_what_was_stopped_is_remembered_until_something_answers_again(desk: Desk) -> None:
    first = desk.ensure()
    desk.serving.stop()
    desk.serving.stop()
    assert Endpoint.read(desk.home / STOPPED) == first
    desk.ensure()
    assert not (desk.home / STOPPED).exists()


def test_waiting_for_a_release_ends_when_it_answers_or_is_refused(desk: Desk) -> None:
    desk.ensure()
    assert desk.serving.wait_for("tiny", "h1", timeout=5)["content_hash"] == "h1"
    desk.says({"tiny": seat("h1", h2="h2 was changed.")})
    with pytest.raises(NotServed, match=r"does not answer with release h2: h2 was changed\."):
        desk.serving.wait_for("tiny", "h2", timeout=60)
    with pytest.raises(NotServed, match=r"after 0 s it is not live in the ledger\."):
        desk.serving.wait_for("tiny", "h3", timeout=0)
    with pytest.raises(NotServed, match="it has no route for this model"):
        desk.serving.wait_for("huge", "h1", timeout=60)


def test_a_prediction_is_asked_over_http_and_a_refusal_is_an_error(desk: Desk) -> None:
    desk.ensure()
    assert desk.serving.predict("tiny", [{"x": 1.0}]) == {"predictions": [{"x": 1.0}]}
    with pytest.raises(Refused, match=r"bad: the service refused the request \(400\)") as refused:
        desk.serving.predict("bad", [{}])
    assert refused.value.status == 400


def test_stopping_leaves_nothing_and_may_be_done_twice(desk: Desk) -> None:
    first = desk.ensure()
    desk.serving.stop()
    assert gone(first, within=0.0)
    assert not (desk.home / HOLDERS).exists()
    desk.serving.stop()
    with pytest.raises(NoService, match="No service runs"):
        desk.serving.wait_until_ready(timeout=1)


def test_a_service_ends_when_nobody_holds_it(desk: Desk) -> None:
    first = desk.ensure()
    (desk.home / HOLDERS / f"{os.getpid()}@{start_time(os.getpid())}").unlink()
    assert gone(first)


def test_a_detached_service_outlives_its_holders(desk: Desk) -> None:
    first = desk.another(keep="detached").ensure(desk.routes(), "tinyco", timeout=20)
    assert [path.name for path in (desk.home / HOLDERS).iterdir()] == ["detached"]  # and no process that could end
    assert not gone(first, within=1.5)


def test_old_runs_are_cleared_away(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "KEPT_RUNS", 1)
    for name in ("20130101T000000-a", "20130102T000000-b"):
        (desk.home / "runs" / name).mkdir(parents=True)
    desk.ensure()
    assert min(path.name for path in (desk.home / "runs").iterdir()) == "20130102T000000-b"


def test_a_new_home_has_nothing_to_stop(tmp_path: Path) -> None:
    Serving(home=str(tmp_path / "none"), ledger_url="sqlite:///x", releases_root="x").stop()
    assert not (tmp_path / "none").exists()
