"""The release store: write-once folders of named parts in safe formats, named by their content and verified before anything is read.

``<root>/<model>/<content hash>/`` holds the parts, ``record.json``, ``signature.json`` (what serving must know) and ``manifest.json`` with
the hash of every other file; ``<root>/.statements/`` holds what was signed of them. No pickle, in or out.
"""

import errno
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from resources.errors import PlatformError
from resources.registry.formats import NAME, UnsafePart, decoded, encoded
from resources.registry.identity import canonical, digest, sha256
from resources.registry.statement import Statements, stated
from resources.registry.states import Entry
from resources.security.keys import KeyRing, ring_for
from resources.whole import read_regular, sync_folder

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
RECORD: Final = "record.json"
SIGNATURE: Final = "signature.json"
UNFINISHED: Final = ".unfinished"
UNFINISHED_SECONDS: Final = 3600
_HASH: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Release:
    """One released model: its parts, ready to score with, and what is known about it."""

    model: str
    content_hash: str
    parts: Mapping[str, Any]
    record: Mapping[str, Any]
    signature: Mapping[str, Any]


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
    """A folder of releases. ``ring`` signs and verifies what is stated of them; by default the one for releases beside them."""

    def __init__(self, root: Path | str, ring: KeyRing | None = None) -> None:
        self.root = Path(root)
        self.statements = Statements(root=self.root, ring=ring or ring_for("release", keys_root="", releases_root=str(root)))

    def path(self, model: str, content_hash: str) -> Path:
        """Where a release lies, whether or not it does."""
        if not NAME.fullmatch(model) or not _HASH.fullmatch(content_hash):
            raise ReleaseMissing(model=model, content_hash=content_hash, root=self.root)
        return self.root / model / content_hash

    def write(self, model: str, parts: Mapping[str, object], record: Mapping[str, Any], signature: Mapping[str, object]) -> str:
        """Store a release and return its content hash. Storing the same content again changes nothing, not even provenance.

        ``record`` is ``{"identity": …, "provenance": …}``.
        """
        files = dict(encoded(model, name, value) for name, value in sorted(parts.items()))
        if not files or not NAME.fullmatch(model):
            raise UnsafePart(model=model, part="", why="a release needs a model's name and at least one part")
        files |= {SIGNATURE: canonical(signature), RECORD: canonical({"provenance": {}, **record})}
        named, manifest = _manifest(model, files)
        path = self.path(model, named)
        try:
            if not path.exists():
                _store(path, self.root / UNFINISHED, files | {MANIFEST: manifest})
            self.verify(model, named)
        except OSError as problem:
            raise ReleaseNotWritten(model=model, root=self.root, problem=problem) from problem
        return named

    def load(self, model: str, content_hash: str, *, manifest_hash: str | None = None) -> Release:
        """Check every byte, then read: a release before it is registered. With ``manifest_hash`` a changed provenance is found as well."""
        return _read(model, content_hash, self._verified(model, content_hash, manifest_hash))

    def attest(self, model: str, content_hash: str, *, version: int) -> dict[str, str]:
        """Check every byte, then sign what the release is as version ``version``; the hashes and the signer, for the ledger."""
        files = self._verified(model, content_hash, None)
        hashes = {name: sha256(content) for name, content in files.items()}
        about: dict[str, Any] = {"model": model, "content_hash": content_hash, "version": version}
        payload = stated(**about, record=json.loads(files[RECORD]), files=hashes)
        try:
            return {"manifest_hash": hashes[MANIFEST], **self.statements.write(payload, **about)}
        except OSError as problem:
            raise ReleaseNotWritten(model=model, root=self.root, problem=problem) from problem

    def of(self, entry: Entry) -> Release:
        """The release that a ledger's entry is about: its signed statement, then every byte is checked before anything is read."""
        model, content_hash, said = entry.subject, entry.content_hash or "", self.statements.verified(entry)
        files = self._verified(model, content_hash, entry.payload.get("manifest_hash"))
        for name in sorted({*said, *files}):
            if name not in files or said.get(name) != sha256(files[name]):
                raise ReleaseChanged(path=self.path(model, content_hash), file=name, what="is not what the signed statement says, changed")
        return _read(model, content_hash, files)

    def record(self, model: str, content_hash: str) -> dict[str, Any]:
        """Check every byte, then read the record alone: no part is decoded."""
        return json.loads(self._verified(model, content_hash, None)[RECORD])

    def verify(self, model: str, content_hash: str) -> str:
        """Check every byte without reading anything into a model; the hash of the manifest, which covers all, provenance too."""
        return sha256(self._verified(model, content_hash, None)[MANIFEST])

    def _verified(self, model: str, content_hash: str, manifest_hash: str | None) -> dict[str, bytes]:
        path = self.path(model, content_hash)
        if not path.is_dir():
            raise ReleaseMissing(model=model, content_hash=content_hash, root=self.root)
        files = {file.name: _bytes(path, file.name) for file in sorted(path.iterdir())}
        raw = files.get(MANIFEST, b"")
        if manifest_hash not in {None, sha256(raw)}:
            raise ReleaseChanged(path=path, file=MANIFEST, what="is not the one that the ledger recorded; it was changed")
        try:
            found, listed = _listed(files), json.loads(raw)["files"]
            for name in sorted({*found, *listed}):
                if found.get(name) != listed.get(name):
                    what = "added" if name not in listed else "changed" if name in found else "removed"
                    raise ReleaseChanged(path=path, file=name, what=f"was {what}")
            whole = _manifest(model, files) == (content_hash, raw)
        except (ValueError, KeyError, TypeError, AttributeError):  # not even the shape that we write
            whole = False
        if not whole:
            raise ReleaseChanged(path=path, file=MANIFEST, what="was changed" if MANIFEST in files else "was removed")
        return files


def _read(model: str, content_hash: str, files: Mapping[str, bytes]) -> Release:
    """A release from bytes that have been verified."""
    parts = {name.split(".")[0]: decoded(model, name, files[name]) for name in _parts(files)}
    record, signature = (json.loads(files[name]) for name in (RECORD, SIGNATURE))
    return Release(model=model, content_hash=content_hash, parts=parts, record=record, signature=signature)


def _store(path: Path, drafts: Path, files: Mapping[str, bytes]) -> None:
    """Write beside, then rename: the release is there whole or not at all. Whoever comes second keeps the first."""
    for left in drafts.glob("*"):  # by writers that were killed
        with suppress(FileNotFoundError):  # or by one that has finished meanwhile
            if left.stat().st_mtime < time.time() - UNFINISHED_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
    draft = drafts / f"{path.name}.{uuid.uuid4().hex}"
    try:
        draft.mkdir(parents=True)
        for name, content in files.items():
            with (draft / name).open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            (draft / name).chmod(0o444)
        sync_folder(draft)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.rename(path)
        sync_folder(path.parent)
    except OSError as problem:
        shutil.rmtree(draft, ignore_errors=True)
        if problem.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
            raise


def _parts(files: Mapping[str, bytes]) -> list[str]:
    return sorted(set(files) - {MANIFEST, RECORD, SIGNATURE})


def _manifest(model: str, files: Mapping[str, bytes]) -> tuple[str, bytes]:
    """What a release of these files is called, and the manifest that it must have.

    The name covers the identity, the parts and the signature; the manifest covers every file.
    """
    parts = {name: sha256(files[name]) for name in _parts(files)}
    named = digest({"identity": json.loads(files[RECORD])["identity"], "parts": parts, "signature": sha256(files[SIGNATURE])})
    return named, canonical({"content_hash": named, "files": _listed(files), "format": FORMAT, "model": model, "parts": list(parts)})


def _listed(files: Mapping[str, bytes]) -> dict[str, object]:
    return {name: {"bytes": len(content), "sha256": sha256(content)} for name, content in files.items() if name != MANIFEST}


def _bytes(path: Path, name: str) -> bytes:
    """Content of a file of a release."""
    try:
        return read_regular(path / name)
    except OSError as problem:
        what = {errno.ELOOP: "became a link", errno.EINVAL: "became something other than a file"}
        raise ReleaseChanged(
            path=path, file=name, what=what.get(problem.errno or 0, f"became unreadable ({problem.strerror})")
        ) from problem
