"""Ends a service that nobody wants: runs as a thread inside the supervisor and inside each worker, so that no kill can leave an orphan.

The supervisor stops when no holder lives, or 10 s after another service took its place. A worker stops when its supervisor is gone.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from resources.serving.endpoint import Endpoint, held, named

LOGGER: Final = logging.getLogger("resources.serving.guard")
LOOK_SECONDS: Final = 0.5
DRAIN_SECONDS: Final = 10.0
STOP_SECONDS: Final = 8.0


def watch_holders(endpoint: Endpoint) -> threading.Thread:
    """In the supervisor: stop this process when it is no longer wanted."""
    return _watch("serving-holders", lambda: unwanted(endpoint), stop_tree)


def watch_supervisor(pid: int) -> threading.Thread:
    """In a worker: end at once when the supervisor ``pid`` is no longer the parent."""
    return _watch("serving-supervisor", lambda: f"supervisor {pid} is gone" if os.getppid() != pid else None, lambda: os._exit(1))


def unwanted(endpoint: Endpoint) -> str | None:
    """Why the service should stop; None while it is wanted. A displaced service is given time to drain."""
    home, deadline = Path(endpoint.home), time.monotonic() + DRAIN_SECONDS
    while held(home):
        if named(home, endpoint.run):
            return None
        if time.monotonic() > deadline:
            return "another service took its place"
        time.sleep(LOOK_SECONDS)
    return "no process holds it"


def stop_tree() -> None:
    """Stop this process as an operator would; what still runs after 8 s is killed."""
    import psutil

    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    for child in psutil.Process().children(recursive=True):
        child.kill()
    os._exit(1)


def _watch(name: str, reason: Callable[[], str | None], end: Callable[[], None]) -> threading.Thread:
    def loop() -> None:
        while (found := reason()) is None:
            time.sleep(LOOK_SECONDS)
        LOGGER.warning("service process %d stops: %s", os.getpid(), found)
        end()

    thread = threading.Thread(target=loop, name=name, daemon=True)
    thread.start()
    return thread
