"""The front: from bytes to bytes."""

import asyncio
import json
from collections.abc import MutableMapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from resources.serving import front
from resources.serving.front import Front, Receive, Scope, Send
from resources.serving.worker import Follower, Loaded
from tests.resources.serving.tiny import Tiny

EXAMPLE = {"x": 2.0, "k": "b", "n": 1}


async def beneath(scope: Scope, receive: Receive, send: Send) -> None:
    del receive
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": str(scope.get("path")).encode()})


def ask(one: Front, method: str, path: str, *chunks: bytes) -> tuple[int, Any]:
    sent: list[MutableMapping[str, Any]] = []
    waiting = list(chunks or [b""])

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    asyncio.run(one({"type": "http", "method": method, "path": path}, receive, send))
    body = sent[1]["body"]
    headers = dict(sent[0]["headers"])
    return sent[0]["status"], json.loads(body) if headers.get(b"content-type") == b"application/json" else body


@pytest.fixture
def one(tiny: Tiny) -> Front:
    tiny.release(3.0)
    follower = Follower(routes=[tiny.route(), tiny.route("idle")], ledger=tiny.ledger, releases=tiny.releases, worker="w1")
    follower.step(datetime.now(UTC))
    return Front(beneath, follower=follower, run="r1")


def test_a_prediction_says_who_made_it(one: Front) -> None:
    body = json.dumps({"examples": [EXAMPLE]}).encode()
    status, said = ask(one, "POST", "/tiny/predict", body[:10], body[10:])
    assert status == 200
    assert (said["model"], said["version"], len(said["content_hash"])) == ("tiny", 1, 64)
    assert [set(pair) for pair in said["predictions"]] == [{"prediction_id", "prediction"}]
    assert said["predictions"][0]["prediction"] == 6.0


def test_a_bad_example_is_the_clients_fault_and_names_the_field(one: Front) -> None:
    status, said = ask(one, "POST", "/tiny/predict", json.dumps({"examples": [EXAMPLE, EXAMPLE | {"n": "1"}]}).encode())
    assert (status, said["field"], said["example"]) == (400, "n", 1)
    assert said["error"].startswith("Example 1: n must be a whole number of 64 bits, not '1' (str).")


def test_an_unknown_model_is_not_found_and_the_known_are_named(one: Front) -> None:
    status, said = ask(one, "POST", "/huge/predict", b"{}")
    assert status == 404
    assert "Known: idle, tiny." in said["error"]


def test_a_model_without_a_live_version_is_unavailable(one: Front) -> None:
    assert ask(one, "POST", "/idle/predict", b"{}")[0] == 503


def test_a_body_has_a_limit(one: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "MOST_BYTES", 10)
    assert ask(one, "POST", "/tiny/predict", b"x" * 6, b"x" * 6, b"x")[0] == 413


def test_a_failing_model_is_the_services_fault_and_tells_the_log(one: Front, caplog: pytest.LogCaptureFixture) -> None:
    loaded = one._follower.loaded("tiny")
    one._follower.seats["tiny"].current = replace(loaded, release=replace(loaded.release, parts={}))
    status, said = ask(one, "POST", "/tiny/predict", json.dumps({"examples": [EXAMPLE]}).encode())
    assert (status, said) == (500, {"error": front.FAILED})
    assert "tinyco.score:predict failed on 1 examples: KeyError: 'weights'" in caplog.text


def test_an_unforeseen_error_is_answered_too(one: Front, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Loaded, "answer", broken)
    status, said = ask(one, "POST", "/tiny/predict", json.dumps({"examples": [EXAMPLE]}).encode())
    assert (status, said) == (500, {"error": front.FAILED})
    assert "ZeroDivisionError" in caplog.text


def test_the_models_page_says_what_answers_and_what_to_send(one: Front) -> None:
    status, said = ask(one, "GET", "/models")
    assert (status, said["run"], said["models"]["tiny"]["version"], said["models"]["idle"]["version"]) == (200, "r1", 1, None)
    assert said["models"]["tiny"]["request"]["n"] == {"dtype": "int64", "nullable": False}


def test_the_index_page_loads_nothing_from_elsewhere(one: Front) -> None:
    status, page = ask(one, "GET", "/")
    assert status == 200
    assert b"swagger-ui-bundle.js" in page
    assert b"//" not in page.replace(b"</", b"<")


@pytest.mark.parametrize(("method", "path"), [("GET", "/readyz"), ("GET", "/tiny/predict"), ("POST", "/tiny"), ("POST", "/a/b/predict")])
def test_all_else_is_bentomls(one: Front, method: str, path: str) -> None:
    assert ask(one, method, path) == (418, path.encode())


def test_what_is_not_http_is_bentomls() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del receive, send
        seen.append(scope["type"])

    async def never() -> Any:
        raise AssertionError

    asyncio.run(Front(app, follower=None, run=None)({"type": "lifespan"}, never, lambda _: never()))  # pyright: ignore[reportArgumentType]  # not asked
    assert seen == ["lifespan"]
