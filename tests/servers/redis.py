"""A real Redis on a free loopback port, with a password; gone when the tests are."""

import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import redis as library

START_SECONDS: Final = 30


@dataclass(frozen=True, kw_only=True)
class Redis:
    """A running server. Clients find ``password`` in ``REDIS_PASSWORD``."""

    port: int
    password: str

    def url(self, database: int = 0) -> str:
        """Where it is, without the password."""
        return f"redis://127.0.0.1:{self.port}/{database}"

    def client(self) -> Any:
        """A bare client."""
        return library.Redis(host="127.0.0.1", port=self.port, password=self.password)


@contextmanager
def redis() -> Generator[Redis]:
    """Start a server that keeps nothing, stop it afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = Redis(port=port, password=secrets.token_hex(16))
    program = shutil.which("redis-server")
    assert program is not None, "redis-server is missing: deploy/embedded/servers.sh installs it"
    with tempfile.TemporaryDirectory(prefix="redis") as folder:
        said = ["--port", str(port), "--bind", "127.0.0.1", "--requirepass", server.password, "--save", "", "--appendonly", "no"]
        process = subprocess.Popen([program, *said], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait(server)
            yield server
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait(server: Redis) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(library.ConnectionError), server.client() as client:
            client.ping()
            return
        time.sleep(0.02)
    raise TimeoutError(f"redis-server did not answer on port {server.port} within {START_SECONDS} s")
