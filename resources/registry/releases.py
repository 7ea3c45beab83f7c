"""The release store: write-once folders of named parts in safe formats, named by their content and verified before anything is read.

``<root>/<model>/<content hash>/`` holds the parts, ``record.json``, ``signature.json``, ``probe.json`` if the record has one, and
``manifest.json`` with the hash of every other file. No pickle, in or out.
"""

from __future__ import annotations

import errno
import importlib
import io
import json
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from resources.errors import PlatformError
from resources.registry.identity import NotPlain, canonical, content_hash, is_hash, sha256

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
RECORD: Final = "record.json"
SIGNATURE: Final = "signature.json"
PROBE: Final = "probe.json"
UNFINISHED: Final = ".unfinished"
UNFINISHED_SECONDS: Final = 3600
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_NUM_THREADS: Final = re.compile(r"^\[num_threads: -?\d+\]$", re.MULTILINE)
_RESERVED: Final = frozenset({"manifest", "record", "signature", "probe"})


@dataclass(frozen=True, kw_only=True)
class Release:
    """One released model: its parts, ready to score with, and what is known about it."""

    model: str
    content_hash: str
    parts: Mapping[str, Any]
    record: Mapping[str, Any]
    signature: Mapping[str, Any]
    probe: Any
    path: Path


class UnsafePart(PlatformError):
    """A part for which there is no safe format."""

    def __init__(self, *, model: str, part: str, why: str) -> None:
        super().__init__(
            f"{model}: part {part!r} cannot be stored: {why}. Nothing was written. Return from fit only LightGBM or XGBoost boosters, "
            "numeric numpy arrays and plain JSON values, under names of letters, digits and underscores."
        )


class ReleaseMissing(PlatformError):
    """No such release in the store."""

    def __init__(self, *, model: str, content_hash: str, root: Path) -> None:
        super().__init__(
            f"{model}: release {content_hash[:12]} is not in {root}, so it cannot be loaded. "
            f"Materialize model/{model}/parts of its month again: equal data and code give the same release."
        )


class ReleaseChanged(PlatformError):
    """A release whose bytes are not the ones that were written."""

    def __init__(self, *, path: Path, file: str, what: str) -> None:
        super().__init__(
            f"release {path.parent.name}/{path.name[:12]}: {file} {what} since it was released, so it is refused unread. "
            f"Restore {path} from a backup, or delete the folder and materialize the model's month again."
        )


class ReleaseNotWritten(PlatformError):
    """The store's disk refused."""

    def __init__(self, *, model: str, root: Path, problem: OSError) -> None:
        super().__init__(
            f"{model}: the release could not be written to {root}: {problem.strerror or problem}. Nothing half-written is left. "
            "Make room or give write permission there, then materialize again."
        )


class Releases:
    """A folder of releases."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def path(self, model: str, content_hash: str) -> Path:
        """Where a release lies, whether or not it does."""
        if not _NAME.fullmatch(model) or not is_hash(content_hash):
            raise ReleaseMissing(model=model, content_hash=content_hash, root=self.root)
        return self.root / model / content_hash

    def exists(self, model: str, content_hash: str) -> bool:
        """Whether the release is there, whole."""
        return (self.path(model, content_hash) / MANIFEST).is_file()

    def write(self, model: str, parts: Mapping[str, object], record: Mapping[str, Any], signature: Mapping[str, object]) -> str:
        """Store a release and return its content hash. Storing the same content again changes nothing, not even provenance.

        ``record`` is ``{"identity": …, "provenance": …}``, optionally with ``"probe"``: rows and the predictions expected for them.
        """
        files = dict(_encoded(model, name, value) for name, value in sorted(parts.items()))
        if not files or not _NAME.fullmatch(model):
            raise UnsafePart(model=model, part="", why="a release needs a model's name and at least one part")
        hashes = {name: sha256(content) for name, content in files.items()}
        files[SIGNATURE] = canonical(signature)
        files[RECORD] = canonical({"identity": record["identity"], "provenance": record.get("provenance", {})})
        if record.get("probe") is not None:
            files[PROBE] = canonical(record["probe"])
        named = content_hash(record["identity"], parts=hashes, signature=sha256(files[SIGNATURE]))
        listed = {name: {"bytes": len(content), "sha256": sha256(content)} for name, content in sorted(files.items())}
        files[MANIFEST] = canonical({"content_hash": named, "files": listed, "format": FORMAT, "model": model, "parts": sorted(hashes)})
        with self._door(model):
            self._store(self.path(model, named), files)
        return named

    def manifest_hash(self, model: str, content_hash: str) -> str:
        """Hash of the manifest: covers every byte of the release, provenance too. The ledger keeps it."""
        return sha256(self._bytes(self.path(model, content_hash), MANIFEST))

    def load(self, model: str, content_hash: str, *, manifest_hash: str | None = None) -> Release:
        """Check every byte, then read. With the ledger's ``manifest_hash`` a changed provenance is found as well."""
        path, files, manifest = self._verified(model, content_hash, manifest_hash)
        record = json.loads(files[RECORD])
        return Release(
            model=model,
            content_hash=content_hash,
            parts={name.split(".")[0]: _decoded(name, files[name]) for name in manifest["parts"]},
            record=record,
            signature=json.loads(files[SIGNATURE]),
            probe=json.loads(files[PROBE]) if PROBE in files else None,
            path=path,
        )

    def verify(self, model: str, content_hash: str, *, manifest_hash: str | None = None) -> None:
        """Check every byte without reading anything into a model."""
        self._verified(model, content_hash, manifest_hash)

    def _verified(self, model: str, named: str, manifest_hash: str | None) -> tuple[Path, dict[str, bytes], dict[str, Any]]:
        path = self.path(model, named)
        raw = self._bytes(path, MANIFEST)
        if manifest_hash is not None and sha256(raw) != manifest_hash:
            raise ReleaseChanged(path=path, file=MANIFEST, what="is not the one that the ledger recorded; it was changed")
        manifest = _manifest(path, raw)
        present = {entry.name for entry in path.iterdir()} - {MANIFEST}
        listed = set(manifest["files"])
        for name in sorted(present ^ listed):
            raise ReleaseChanged(path=path, file=name, what="was removed" if name in listed else "was added")
        files = {name: self._bytes(path, name) for name in sorted(listed)}
        for name, content in files.items():
            if {"bytes": len(content), "sha256": sha256(content)} != manifest["files"][name]:
                raise ReleaseChanged(path=path, file=name, what="was changed")
        hashes = {name: sha256(files[name]) for name in manifest["parts"]}
        if content_hash(json.loads(files[RECORD])["identity"], parts=hashes, signature=sha256(files[SIGNATURE])) != named:
            raise ReleaseChanged(path=path, file=f"{MANIFEST} with {RECORD}", what="was changed")
        return path, files, manifest

    def _bytes(self, path: Path, name: str) -> bytes:
        """Content of a regular file; links are refused, because what they point to may change."""
        try:
            handle = os.open(path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError as problem:
            if path.exists():
                raise ReleaseChanged(path=path, file=name, what="was removed") from problem
            raise ReleaseMissing(model=path.parent.name, content_hash=path.name, root=self.root) from problem
        except OSError as problem:
            what = "became a link" if problem.errno == errno.ELOOP else f"became unreadable ({problem.strerror})"
            raise ReleaseChanged(path=path, file=name, what=what) from problem
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise ReleaseChanged(path=path, file=name, what="became something other than a file")
            return file.read()

    def _store(self, path: Path, files: Mapping[str, bytes]) -> None:
        """Write beside, then rename: the release is there whole or not at all. Whoever comes second checks and keeps the first."""
        if not path.exists():
            unfinished = self.root / UNFINISHED
            _sweep(unfinished)
            draft = unfinished / f"{path.name}.{uuid.uuid4().hex}"
            try:
                _write(draft, files)
                path.parent.mkdir(parents=True, exist_ok=True)
                draft.rename(path)
                _sync(path.parent)
            except OSError as problem:
                shutil.rmtree(draft, ignore_errors=True)
                if problem.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
                    raise
        self.verify(path.parent.name, path.name)

    @contextmanager
    def _door(self, model: str) -> Generator[None]:
        try:
            yield
        except OSError as problem:
            raise ReleaseNotWritten(model=model, root=self.root, problem=problem) from problem


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, content in files.items():
        with (folder / name).open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        (folder / name).chmod(0o444)
    _sync(folder)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sweep(unfinished: Path) -> None:
    """Remove drafts of writers that were killed."""
    if unfinished.is_dir():
        for draft in unfinished.iterdir():
            if draft.stat().st_mtime < time.time() - UNFINISHED_SECONDS:
                shutil.rmtree(draft, ignore_errors=True)


def _manifest(path: Path, raw: bytes) -> dict[str, Any]:
    """The manifest as data, if it has the shape that we write; a name in it may never leave the folder."""
    try:
        found = json.loads(raw)
        names = [*found["files"], *found["parts"]]
        sound = found["format"] == FORMAT and {RECORD, SIGNATURE} <= set(found["files"]) and set(found["parts"]) <= set(found["files"])
        sound = sound and all(name.split(".")[0] and set(name).isdisjoint("/\\\0") for name in names) and MANIFEST not in found["files"]
        sound = sound and (found["model"], found["content_hash"], canonical(found)) == (path.parent.name, path.name, raw)
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ReleaseChanged(path=path, file=MANIFEST, what="was changed") from problem
    if not sound:
        raise ReleaseChanged(path=path, file=MANIFEST, what="was changed")
    return found


def _library(value: object) -> str:
    kind = type(value)
    return f"{kind.__module__.split('.')[0]}.{kind.__name__}"


def _encoded(model: str, name: str, value: object) -> tuple[str, bytes]:
    """File name and bytes of a part; the format follows from the type."""
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise UnsafePart(model=model, part=name, why="its name is not allowed")
    match _library(value):
        case "lightgbm.Booster":
            return f"{name}.lgb.txt", lightgbm_text(value)
        case "xgboost.Booster":
            return f"{name}.ubj", _ubj(value)
        case "numpy.ndarray":
            return f"{name}.npy", _npy(model, name, value)
        case _:
            try:
                return f"{name}.json", canonical(value)
            except NotPlain as problem:
                raise UnsafePart(model=model, part=name, why=str(problem).split(", so ", maxsplit=1)[0]) from problem


def lightgbm_text(booster: Any) -> bytes:
    """The booster as text, byte-identical for equal trees: the number of threads that it was fitted with is left out."""
    return _NUM_THREADS.sub("[num_threads: 0]", booster.model_to_string()).encode()


def _ubj(booster: Any) -> bytes:
    return bytes(booster.save_raw("ubj"))


def _npy(model: str, name: str, value: Any) -> bytes:
    if value.dtype.hasobject:
        raise UnsafePart(model=model, part=name, why=f"an array of {value.dtype} can hold anything, also code")
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(value), allow_pickle=False)
    return buffer.getvalue()


def _decoded(name: str, content: bytes) -> Any:
    """A part from bytes that have been verified."""
    if name.endswith(".lgb.txt"):
        import lightgbm

        return lightgbm.Booster(model_str=content.decode())
    if name.endswith(".ubj"):
        booster: Any = importlib.import_module("xgboost").Booster()  # not a dependency of ours: a project that fits with it brings it
        booster.load_model(bytearray(content))
        return booster
    if name.endswith(".npy"):
        return np.load(io.BytesIO(content), allow_pickle=False)
    return json.loads(content)
