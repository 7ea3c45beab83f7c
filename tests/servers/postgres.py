"""A real Postgres on a free loopback port, in a temporary folder, with passwords on; gone when the tests are."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

USER: Final = "mlops"
UNPRIVILEGED: Final = "postgres"
"""Who runs the server when the tests run as root, which Postgres refuses."""
QUICK: Final = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")
START_SECONDS: Final = 60


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """A running server. Clients find ``password`` where libpq looks for it, in ``PGPASSWORD``."""

    port: int
    password: str

    def database(self) -> str:
        """The URL of a new, empty database, without a password in it."""
        name = f"test_{secrets.token_hex(6)}"
        with self.connected() as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{name}"

    def connected(self, database: str = "postgres") -> "psycopg.Connection[Any]":
        """A connection that commits each statement."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=self.password, dbname=database, autocommit=True, connect_timeout=5
        )


@contextmanager
def postgres() -> Generator[Postgres]:
    """Start a server, stop it afterwards with whoever is still connected."""
    with tempfile.TemporaryDirectory(prefix="postgres") as name:
        folder, password = Path(name), secrets.token_hex(16)
        secret = folder / "password"
        secret.write_text(password)
        if os.geteuid() == 0:
            for path in (folder, secret):
                shutil.chown(path, UNPRIVILEGED)
        data = folder / "data"
        made = [_program("initdb"), "-D", data, "-U", USER, f"--pwfile={secret}", "--auth=scram-sha-256", "--no-sync", "--locale=C.UTF-8"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, cwd=folder, **_owner())
        port = _free_port()
        settings = [f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", *QUICK]
        command = [_program("postgres"), "-D", data, *(part for setting in settings for part in ("-c", setting))]
        with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **_owner()) as process:
            try:
                server = Postgres(port=port, password=password)
                _await(server, process, folder / "log")
                yield server
            finally:
                process.send_signal(signal.SIGINT)  # Postgres: end now, roll back what is open
                process.wait(timeout=30)


def _program(name: str) -> Path:
    """Debian keeps the server's programs off the PATH, in a folder a version."""
    found = shutil.which(name) or next(iter(sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), None)
    if found is None:
        raise FileNotFoundError(f"{name} of Postgres is not installed; deploy/embedded/servers.sh installs it.")
    return Path(found)


def _owner() -> dict[str, Any]:
    return {"user": UNPRIVILEGED, "group": UNPRIVILEGED, "extra_groups": []} if os.geteuid() == 0 else {}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _await(server: Postgres, process: "subprocess.Popen[Any]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            server.connected().close()
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Postgres did not start: {log.read_text(errors='replace')[-2000:]}") from error
            time.sleep(0.05)
        else:
            return
