"""The front of a worker: ASGI, from bytes to bytes. Answers predictions, the list of models and the index page; all else is BentoML's.

A public middleware hook of BentoML places it before BentoML's own, slower path; the ``@bentoml.api`` twins document what it does.
"""

import logging
import os
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import anyio
import anyio.to_thread
import orjson

from resources.errors import PlatformError
from resources.serving.examples import BadRequest, parse
from resources.serving.worker import Answer, Follower, NothingLive, UnknownModel

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOGGER: Final = logging.getLogger("resources.serving.front")
MOST_BYTES: Final = 64 * 2**20
FAILED: Final = "The model failed on these examples; the log of the service says why."
PAGE: Final = b"""<!doctype html><meta charset="utf-8"><title>models</title>
<link rel="stylesheet" href="./static_content/swagger-ui.css"><div id="swagger-ui"></div>
<script src="./static_content/swagger-ui-bundle.js"></script><script src="./static_content/swagger-ui-standalone-preset.js"></script>
<script src="./static_content/swagger-initializer.js"></script>"""
"""The index page: BentoML's own, less the script that it loads from elsewhere."""


class TooLarge(PlatformError):
    """A body over the limit."""

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"The body is larger than {limit // 2**20} MiB. Nothing was predicted. Send the examples in several requests.")


STATUS: Final[Mapping[type[PlatformError], HTTPStatus]] = {
    BadRequest: HTTPStatus.BAD_REQUEST,
    UnknownModel: HTTPStatus.NOT_FOUND,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    NothingLive: HTTPStatus.SERVICE_UNAVAILABLE,
}


class Front:
    """ASGI middleware around BentoML's app."""

    def __init__(self, app: App, *, follower: Follower, run: str | None) -> None:
        self._app = app
        self._follower = follower
        self._run = run
        self._one_at_a_time: anyio.CapacityLimiter | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route one request."""
        method, path = scope.get("method"), scope.get("path", "").split("/")[1:]
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif method == "POST" and len(path) == 2 and path[1] == "predict":  # noqa: PLR2004  the path is /<model>/predict
            await _send(send, *await self._predict(path[0], receive))
        elif method == "GET" and path == ["models"]:
            await _send(send, HTTPStatus.OK, {"run": self._run, "worker": os.getpid(), "models": self._follower.describe()})
        elif method == "GET" and path == [""]:
            await _send(send, HTTPStatus.OK, PAGE)
        else:
            await self._app(scope, receive, send)

    async def _predict(self, model: str, receive: Receive) -> tuple[HTTPStatus, Any]:
        """One version answers the whole request: the reference is read once."""
        try:
            version = self._follower.loaded(model)
            examples = parse(await _body(receive), version.fields)
            answer = await anyio.to_thread.run_sync(partial(version.answer, examples), limiter=self._limiter)
        except PlatformError as error:
            return _refusal(error)
        except Exception:  # the door of a process: an escaped error leaves the client waiting for BentoML's whole timeout
            LOGGER.exception("predicting %s failed", model)
            return HTTPStatus.INTERNAL_SERVER_ERROR, {"error": FAILED}
        return HTTPStatus.OK, _plain(answer)

    @property
    def _limiter(self) -> anyio.CapacityLimiter:
        """Models predict one request at a time, outside the event loop: probes answer meanwhile and model code need not be thread-safe."""
        if self._one_at_a_time is None:
            self._one_at_a_time = anyio.CapacityLimiter(1)
        return self._one_at_a_time


def _plain(answer: Answer) -> dict[str, Any]:
    return {"model": answer.model, "version": answer.version, "content_hash": answer.content_hash, "predictions": answer.predictions}


def _refusal(error: PlatformError) -> tuple[HTTPStatus, dict[str, Any]]:
    status = STATUS.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        LOGGER.error("%s", error)
        return status, {"error": FAILED}
    where = {"field": error.field, "example": error.example} if isinstance(error, BadRequest) else {}
    return status, {"error": str(error), **where}


async def _body(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > MOST_BYTES:
            raise TooLarge(limit=MOST_BYTES)
        if not message.get("more_body", False):
            return b"".join(chunks)


async def _send(send: Send, status: HTTPStatus, content: Any) -> None:
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    kind = b"text/html; charset=utf-8" if isinstance(content, bytes) else b"application/json"
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
