"""A real S3 API on a free loopback port, in memory: moto's server."""

import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import boto3
from botocore.exceptions import BotoCoreError

from tests.servers.ports import free_port

REGION: Final = "us-east-1"
START_SECONDS: Final = 60


@dataclass(frozen=True, kw_only=True)
class S3:
    """A running server; any name and secret will do."""

    port: int
    name: str = "mlflow"
    secret: str = "secret"  # noqa: S105  it opens nothing

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """What names it to our own processes, in the usual variables."""
        opens = {"AWS_ACCESS_KEY_ID": self.name, "AWS_SECRET_ACCESS_KEY": self.secret, "AWS_DEFAULT_REGION": REGION}
        return {**opens, "AWS_ENDPOINT_URL": self.url, "AWS_ALLOW_HTTP": "true", "AWS_EC2_METADATA_DISABLED": "true"}

    def client(self) -> Any:
        """A bare client."""
        said: dict[str, Any] = {"aws_access_key_id": self.name, "aws_secret_access_key": self.secret, "region_name": REGION}
        made: Any = getattr(boto3, "client")  # noqa: B009  # boto3 is not typed: by its name pyright would follow it
        return made("s3", endpoint_url=self.url, **said)


@contextmanager
def s3(*buckets: str) -> Generator[S3]:
    """Start a server with these buckets, stop it afterwards."""
    server = S3(port=free_port())
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(server.port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                server.client().list_buckets()
                break
            except BotoCoreError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.1)
        for bucket in buckets:
            server.client().create_bucket(Bucket=bucket)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)
