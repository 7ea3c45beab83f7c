"""A real MLflow server over Postgres and S3, with the command and environment of ``deploy/compose/compose.yaml``, and users with roles."""

import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from tests.servers.ports import free_port
from tests.servers.postgres import Postgres
from tests.servers.s3 import S3

COMPOSE: Final = Path(__file__).parents[2] / "deploy" / "compose"
BUCKET: Final = "mlflow"
ADMIN: Final = "admin"
START_SECONDS: Final = 240


@dataclass(kw_only=True)
class MlflowServer:
    """A server that can be killed and started again; beside the administrator it has a user of each role, named after it."""

    postgres: Postgres
    s3_port: int
    database: str
    folder: Path
    port: int = field(default_factory=free_port)
    passwords: dict[str, str] = field(default_factory=lambda: {ADMIN: secrets.token_hex(12)})
    process: "subprocess.Popen[bytes] | None" = None
    _key: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers from its database."""
        with (self.folder / "mlflow.log").open("ab") as log:
            self.process = subprocess.Popen(self._command(), env=self._environment(), stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError((self.folder / "mlflow.log").read_text()[-4000:])
            time.sleep(0.2)

    def kill(self) -> None:
        """As a machine that dies: every process at once."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=30)
            self.process = None

    def _command(self) -> list[str]:
        said = [filled(one, self._settings()) for one in service()["command"]]
        place = [f"--port={self.port}", "--host=127.0.0.1", "--workers=1", f"--backend-store-uri={self.database}"]
        return [sys.executable, "-m", *said, *place]

    def _environment(self) -> dict[str, str]:
        said = {name: filled(value, self._settings()) for name, value in service()["environment"].items()}
        config = self.folder / "auth.ini"
        config.write_text(re.sub(r"(?m)^database_uri.*$", f"database_uri = {self.database}", (COMPOSE / "auth.ini").read_text()))
        place = {"MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{self.s3_port}", "MLFLOW_AUTH_CONFIG_PATH": str(config)}
        place["AWS_MAX_ATTEMPTS"] = "1"  # a test need not wait for what is not coming
        return {**os.environ, **said, **place}

    def _settings(self) -> dict[str, str]:
        return {
            "PGPASSWORD": self.postgres.password,
            "AWS_ACCESS_KEY_ID": S3.name,
            "AWS_SECRET_ACCESS_KEY": S3.secret,
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.passwords[ADMIN],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": self._key,
            "MLFLOW_ALLOWED_HOSTS": "127.0.0.1:*",
            "MLFLOW_ALLOWED_ORIGINS": self.url,
        }

    def _answers(self) -> bool:
        request = urllib.request.Request(f"{self.url}/api/2.0/mlflow/experiments/get?experiment_id=0")  # noqa: S310  our own address
        try:
            urllib.request.urlopen(request, timeout=5).close()  # noqa: S310  our own address
        except urllib.error.HTTPError as problem:
            problem.close()
            return problem.code == 401  # it is up and asks who we are
        except OSError:
            return False
        return True

    def make_users(self) -> None:
        """A user of each role, as an administrator makes them."""
        asks = {**os.environ, "MLFLOW_TRACKING_USERNAME": ADMIN, "MLFLOW_TRACKING_PASSWORD": self.passwords[ADMIN]}
        command = [sys.executable, str(COMPOSE / "users.py"), self.url, "platform", "trainer", "reader"]
        said = subprocess.run(command, env=asks, capture_output=True, text=True, check=True).stdout
        self.passwords |= dict(line.split() for line in said.splitlines())


def service() -> dict[str, Any]:
    """The server as the compose file has it."""
    return yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]["mlflow"]


def filled(text: str, settings: Mapping[str, str]) -> str:
    """A value of the compose file with its variables filled in; one that is missing is an error, as it is to compose."""
    return re.sub(r"\$\{(\w+)[^}]*\}", lambda found: settings[found[1]], text)


@contextmanager
def mlflow_server(postgres: Postgres, s3_port: int) -> Generator[MlflowServer]:
    """Start a server with its users, stop it afterwards. The artifacts go to ``BUCKET`` of the S3 server on ``s3_port``."""
    with tempfile.TemporaryDirectory(prefix="mlflow") as folder:
        server = MlflowServer(postgres=postgres, s3_port=s3_port, database=postgres.database(), folder=Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.kill()
