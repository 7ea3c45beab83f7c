"""Releases and statements in S3 or whatever speaks it. Credentials, region and ``AWS_ENDPOINT_URL`` come from the usual environment.

A release is one object, ``<root>/<model>/<content hash>.release``, written on the condition that there is none: S3 has neither a rename nor
a way to write several objects at once. Its first line says the names and sizes of the files; their bytes follow.
"""

import importlib
import json
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cached_property
from http import HTTPStatus
from typing import Any, Final

from resources.errors import PlatformError
from resources.registry.identity import canonical
from resources.registry.shelf import Damaged, Kept, Shelf

SUFFIX: Final = ".release"
OBJECT: Final = re.compile(r"/([0-9a-f]{64})\.release$")
ATTEMPTS: Final = 4
CONNECT_SECONDS: Final = 3
READ_SECONDS: Final = 30
THERE: Final = frozenset({HTTPStatus.PRECONDITION_FAILED, HTTPStatus.CONFLICT})


class ReleaseStoreFailed(PlatformError):
    """S3 did not answer, or refused."""

    def __init__(self, *, place: str, why: str) -> None:
        super().__init__(
            f"release store {place}: {why}, after {ATTEMPTS} attempts where another could help. Nothing half-written is left and nothing "
            "was registered. Check AWS_ENDPOINT_URL, the credentials, the bucket and its rights, then do the same again."
        )


class S3Shelf(Shelf):
    """A folder of a bucket."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self._bucket, _, prefix = self.root.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""

    @cached_property
    def _client(self) -> Any:
        from botocore.config import Config

        retries: Any = {"mode": "standard", "total_max_attempts": ATTEMPTS}
        config = Config(retries=retries, connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS)
        session: Any = importlib.import_module("boto3.session")  # not typed: by its name pyright would follow it
        return session.Session().client("s3", config=config)

    def place(self, *names: str) -> str:
        """Its address."""
        return "/".join((self.root, *names))

    def files(self, model: str, content_hash: str) -> dict[str, bytes] | None:
        """One object, taken apart."""
        content = self._read(model, content_hash + SUFFIX)
        return None if content is None else _unpacked(content_hash + SUFFIX, content)

    def store(self, model: str, content_hash: str, files: Mapping[str, bytes]) -> None:
        """Look first, for a store that does not know the condition; then write one object where there is none."""
        names = model, content_hash + SUFFIX
        with self._asked(*names, unless=THERE):
            if not self._there(*names):
                self._client.put_object(**self._at(*names), Body=_packed(files), IfNoneMatch="*")

    def kept(self, model: str) -> list[Kept]:
        """By the age of its object."""
        with self._asked(model):
            under = {"Bucket": self._bucket, "Prefix": f"{self._prefix}{model}/", "Delimiter": "/"}
            pages = self._client.get_paginator("list_objects_v2").paginate(**under)
            listed = [(OBJECT.search(one["Key"]), one) for page in pages for one in page.get("Contents", ())]
        return [Kept(content_hash=found[1], at=one["LastModified"], size=one["Size"]) for found, one in listed if found]

    def free(self, model: str, content_hash: str) -> None:
        """Delete the object."""
        with self._asked(model, content_hash + SUFFIX):
            self._client.delete_object(**self._at(model, content_hash + SUFFIX))

    def read(self, *names: str) -> bytes:
        """One object."""
        content = self._read(*names)
        if content is None:
            raise FileNotFoundError(self.place(*names))
        return content

    def replace(self, content: bytes, *names: str) -> None:
        """One object."""
        with self._asked(*names):
            self._client.put_object(**self._at(*names), Body=content)

    def _at(self, *names: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + "/".join(names)}

    def _there(self, *names: str) -> bool:
        with self._asked(*names, unless={HTTPStatus.NOT_FOUND}):
            self._client.head_object(**self._at(*names))
            return True
        return False

    def _read(self, *names: str) -> bytes | None:
        with self._asked(*names, unless={HTTPStatus.NOT_FOUND}):
            return self._client.get_object(**self._at(*names))["Body"].read()
        return None

    @contextmanager
    def _asked(self, *names: str, unless: frozenset[HTTPStatus] | set[HTTPStatus] = frozenset()) -> Generator[None]:
        """Our error for one of S3's; an answer with a status of ``unless`` is none."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as problem:
            said: Any = problem.response
            if said["ResponseMetadata"]["HTTPStatusCode"] not in unless or said["Error"]["Code"] == "NoSuchBucket":
                raise ReleaseStoreFailed(place=self.place(*names), why=str(problem)) from problem
        except BotoCoreError as problem:
            raise ReleaseStoreFailed(place=self.place(*names), why=str(problem)) from problem


def _packed(files: Mapping[str, bytes]) -> bytes:
    sizes = {name: len(content) for name, content in files.items()}
    return b"\n".join((canonical(sizes), b"".join(files[name] for name in sorted(files))))


def _unpacked(file: str, content: bytes) -> dict[str, bytes]:
    """The files of an object, which is spelled in one way, so that no byte of it is free."""
    head, _, rest = content.partition(b"\n")
    files: dict[str, bytes] = {}
    try:
        for name, size in sorted(json.loads(head).items()):
            files[name], rest = rest[:size], rest[size:]
        whole = not rest and _packed(files) == content
    except (ValueError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise Damaged(file, "became something other than a release")
    return files
