"""The release stores that the contract holds for: a folder, and S3 as a real server speaks it. What lies there can be harmed by hand."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from uuid import uuid4

from resources.registry.releases import Releases
from resources.registry.resource import Registry
from resources.registry.s3_shelf import SUFFIX, _packed, _unpacked
from tests.servers.s3 import S3

BUCKET: Final = "releases"


class Place(ABC):
    """An empty store, and a registry over it."""

    root: str

    def __init__(self, folder: Path) -> None:
        self.keys, self.copies, self.ledger = folder / "keys", folder / "copies", f"sqlite:///{folder}/ledger.db"

    def registry(self) -> Registry:
        return Registry(ledger_url=self.ledger, releases_root=self.root, keys_root=str(self.keys), copies=str(self.copies))

    def releases(self) -> Releases:
        return self.registry().releases()

    @abstractmethod
    def files(self, model: str, content_hash: str) -> dict[str, bytes]:
        """What lies there."""

    @abstractmethod
    def put(self, model: str, content_hash: str, files: Mapping[str, bytes]) -> None:
        """Put other files there, as somebody would who may write to the store."""

    @abstractmethod
    def put_statement(self, path: str, content: bytes | None) -> None:
        """Put another statement, or whatever else, there, or none."""


class Folder(Place):
    """A folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.root = str(folder / "releases")

    def files(self, model: str, content_hash: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in Path(self.root, model, content_hash).iterdir()}

    def put(self, model: str, content_hash: str, files: Mapping[str, bytes]) -> None:
        folder = Path(self.root, model, content_hash)
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        for name, content in files.items():
            (folder / name).write_bytes(content)

    def put_statement(self, path: str, content: bytes | None) -> None:
        Path(path).unlink(missing_ok=True)
        if content is not None:
            Path(path).write_bytes(content)


class Bucket(Place):
    """A folder of a bucket; the environment of this process names the server."""

    def __init__(self, folder: Path, server: S3) -> None:
        super().__init__(folder)
        self.root, self.client = f"s3://{BUCKET}/{uuid4().hex}", server.client()

    def at(self, path: str) -> dict[str, str]:
        return {"Bucket": BUCKET, "Key": path.removeprefix(f"s3://{BUCKET}/")}

    def object(self, model: str, content_hash: str) -> dict[str, str]:
        return self.at(f"{self.root}/{model}/{content_hash}{SUFFIX}")

    def read(self, model: str, content_hash: str) -> bytes:
        return self.client.get_object(**self.object(model, content_hash))["Body"].read()

    def files(self, model: str, content_hash: str) -> dict[str, bytes]:
        return _unpacked("", self.read(model, content_hash))

    def put(self, model: str, content_hash: str, files: Mapping[str, bytes]) -> None:
        self.client.put_object(**self.object(model, content_hash), Body=_packed(files))

    def put_statement(self, path: str, content: bytes | None) -> None:
        self.client.delete_object(**self.at(path))
        if content is not None:
            self.client.put_object(**self.at(path), Body=content)
