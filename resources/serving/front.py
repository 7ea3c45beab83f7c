"""The front of a worker: ASGI, from bytes to bytes. Answers predictions, the list of models and the index page; all else is BentoML's.

A public middleware hook of BentoML places it before BentoML's own, slower path; the ``@bentoml.api`` twins document what it does.
"""

import logging
import os
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, Final

import anyio
import anyio.to_thread
import orjson

from resources.serving.examples import BadRequest
from resources.serving.worker import Follower, NothingLive, UnknownModel

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


class Front:
    """ASGI middleware around BentoML's app."""

    def __init__(self, app: App, *, follower: Follower, run: str | None) -> None:
        self._app = app
        self._follower = follower
        self._run = run
        self._one_at_a_time = anyio.CapacityLimiter(1)

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

    async def _predict(self, model: str, receive: Receive) -> tuple[int, Any]:
        """One version answers the whole request: the reference is read once.

        Models predict one request at a time, outside the event loop: probes answer meanwhile and model code need not be thread-safe.
        """
        try:
            version = self._follower.loaded(model)
            examples = version.read(await _body(receive))
            return HTTPStatus.OK, await anyio.to_thread.run_sync(version.answer, examples, limiter=self._one_at_a_time)
        except BadRequest as error:
            return error.status, {"error": str(error), "field": error.field, "example": error.example}
        except (UnknownModel, NothingLive) as error:
            return error.status, {"error": str(error)}
        except Exception:  # the door of a process: an escaped error leaves the client waiting for BentoML's whole timeout
            LOGGER.exception("predicting %s failed", model)
            return HTTPStatus.INTERNAL_SERVER_ERROR, {"error": FAILED}


async def _body(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > MOST_BYTES:
            what = f"The body is larger than {MOST_BYTES // 2**20} MiB. Send the examples in several requests."
            raise BadRequest(what, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if not message.get("more_body", False):
            return b"".join(chunks)


async def _send(send: Send, status: int, content: Any) -> None:
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    kind = b"text/html; charset=utf-8" if isinstance(content, bytes) else b"application/json"
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
