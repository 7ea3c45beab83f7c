"""Clients that ask a service all the time and keep what they were told."""

import http.client
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self


@dataclass(frozen=True)
class Answer:
    """What one request was answered, and between which instants."""

    asked: datetime
    answered: datetime
    said: Mapping[str, Any]


class Clients:
    """Threads that ask for predictions, on a new connection each time, of whoever ``url`` names at that moment."""

    def __init__(
        self, url: Callable[[], str], examples: Sequence[Mapping[str, object]], *, model: str = "tiny", count: int = 1, pause: float = 0.01
    ) -> None:
        self.answers: list[Answer] = []
        self.failed: list[str] = []
        self._url, self._path, self._body, self._pause = url, f"/{model}/predict", json.dumps({"examples": examples}), pause
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def versions(self) -> list[int]:
        """The versions that answered, in order of the answers."""
        return [one.said["version"] for one in self.answers]

    def _run(self) -> None:
        while not self._over.wait(self._pause):
            connection, asked = http.client.HTTPConnection(self._url().removeprefix("http://"), timeout=20), datetime.now(UTC)
            try:
                connection.request("POST", self._path, self._body)
                answer = connection.getresponse()
                said = answer.read()
                if answer.status == http.client.OK:
                    self.answers.append(Answer(asked, datetime.now(UTC), json.loads(said)))
                else:
                    self.failed.append(said.decode())
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(str(error))
            finally:
                connection.close()
