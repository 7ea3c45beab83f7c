"""The release store: write-once releases of named parts in safe formats, named by their content and verified before anything is read.

A release is its parts, ``record.json``, ``signature.json`` (what serving must know) and ``manifest.json`` with the hash of every other
file. A shelf keeps its bytes, in a folder or in S3, and beside them what was signed of them. No pickle, in or out.
"""

import json
import os
import re
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from resources.errors import PlatformError
from resources.registry.formats import NAME, UnsafePart, decoded, encoded
from resources.registry.identity import canonical, digest, sha256
from resources.registry.shelf import Damaged, FolderShelf, Shelf, shelf_at
from resources.registry.statement import Statements, stated
from resources.registry.states import Entry
from resources.security.keys import KeyRing, ring_for

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
RECORD: Final = "record.json"
SIGNATURE: Final = "signature.json"
COPIES: Final = 4
"""So many releases of a model are copied to this machine."""
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

    def __init__(self, *, model: str, content_hash: str, root: str) -> None:
        super().__init__(
            f"{model}: release {content_hash[:12]} is not in {root}, so it cannot be loaded. "
            f"Materialize model/{model}/parts of its month again: equal data and code give the same release."
        )


class ReleaseChanged(PlatformError):
    """A release whose bytes are not the ones that were written."""

    def __init__(self, *, model: str, content_hash: str, place: str, file: str, what: str) -> None:
        super().__init__(
            f"release {model}/{content_hash[:12]}: {file} {what} since it was released, so it is refused unread. "
            f"Restore {place} from a backup, or delete it and materialize the model's month again."
        )


class ReleaseNotWritten(PlatformError):
    """The store's disk refused."""

    def __init__(self, *, model: str, root: str, problem: OSError) -> None:
        super().__init__(
            f"{model}: the release could not be written to {root}: {problem.strerror or problem}. Nothing half-written is left. "
            "Make room or give write permission there, then materialize again."
        )


class Releases:
    """A folder of releases, or ``s3://bucket/folder``. ``ring`` signs and verifies what is stated of them: by default ``keys`` beside them.

    What is loaded from S3 by its entry is copied to the folder ``copies`` of this machine, by default a temporary one. A copy saves the
    way to S3 and is believed no more than S3 is: its statement and its bytes are checked in the same way, and what fails is fetched again.
    """

    def __init__(self, root: Path | str, ring: KeyRing | None = None, *, copies: Path | str | None = None) -> None:
        self.shelf: Shelf = shelf_at(root)
        self.root = self.shelf.place()
        self.statements = Statements(shelf=self.shelf, ring=ring or ring_for("release", keys_root="", releases_root=self.root))
        self._copies = Path(copies or Path(tempfile.gettempdir()) / f"mlops-releases-{os.getuid()}")

    @cached_property
    def here(self) -> "Releases":
        """This store where it is a folder, else the copies."""
        return self if isinstance(self.shelf, FolderShelf) else Releases(self._copies, self.statements.ring)

    def path(self, model: str, content_hash: str) -> Path:
        """The folder of this machine where a release or its copy lies, whether or not it does."""
        return Path(self.here.shelf.place(model, self._named(model, content_hash)))

    @contextmanager
    def folder(self, model: str, content_hash: str) -> Generator[Path]:
        """A release as a folder of this machine, every byte checked; gone afterwards where the store is none."""
        files = self.files(model, content_hash)
        with tempfile.TemporaryDirectory() as name:
            shelf = self.shelf if self.here is self else FolderShelf(Path(name))
            shelf.store(model, content_hash, files)
            yield Path(shelf.place(model, content_hash))

    def write(self, model: str, parts: Mapping[str, object], record: Mapping[str, Any], signature: Mapping[str, object]) -> str:
        """Store a release and return its content hash. Storing the same content again changes nothing, not even provenance.

        ``record`` is ``{"identity": …, "provenance": …}``.
        """
        files = dict(encoded(model, name, value) for name, value in sorted(parts.items()))
        if not files or not NAME.fullmatch(model):
            raise UnsafePart(model=model, part="", why="a release needs a model's name and at least one part")
        files |= {SIGNATURE: canonical(signature), RECORD: canonical({"provenance": {}, **record})}
        named, manifest = _manifest(model, files)
        try:
            self.shelf.store(model, named, files | {MANIFEST: manifest})
            self.verify(model, named)
        except OSError as problem:
            raise ReleaseNotWritten(model=model, root=self.root, problem=problem) from problem
        return named

    def load(self, model: str, content_hash: str, *, manifest_hash: str | None = None) -> Release:
        """Check every byte, then read: a release before it is registered. With ``manifest_hash`` a changed provenance is found as well."""
        return _read(model, content_hash, self.files(model, content_hash, manifest_hash=manifest_hash))

    def attest(self, model: str, content_hash: str, *, version: int) -> dict[str, str]:
        """Check every byte, then sign what the release is as version ``version``; the hashes and the signer, for the ledger."""
        files = self.files(model, content_hash)
        hashes = {name: sha256(content) for name, content in files.items()}
        about: dict[str, Any] = {"model": model, "content_hash": content_hash, "version": version}
        payload = stated(**about, record=json.loads(files[RECORD]), files=hashes)
        try:
            return {"manifest_hash": hashes[MANIFEST], **self.statements.write(payload, **about)}
        except OSError as problem:
            raise ReleaseNotWritten(model=model, root=self.root, problem=problem) from problem

    def of(self, entry: Entry) -> Release:
        """The release that a ledger's entry is about: its signed statement, then every byte is checked before anything is read."""
        if self.here is self:
            return _read(entry.subject, entry.content_hash or "", self._stated(entry))
        with suppress(PlatformError):  # not copied yet, signed anew, or no longer what it was
            return self.here.of(entry)
        files = self._stated(entry)
        with suppress(OSError):  # a copy that cannot be kept costs a fetch, no answer
            self._copy(entry.subject, entry.content_hash or "", files)
            self.statements.copy(entry, self.here.shelf)
        return _read(entry.subject, entry.content_hash or "", files)

    def record_of(self, entry: Entry) -> dict[str, Any]:
        """The record of the release that an entry is about, checked as ``of`` does: no part is decoded."""
        return json.loads(self._stated(entry)[RECORD])

    def record(self, model: str, content_hash: str) -> dict[str, Any]:
        """Check every byte, then read the record alone: no part is decoded."""
        return json.loads(self.files(model, content_hash)[RECORD])

    def verify(self, model: str, content_hash: str) -> str:
        """Check every byte without reading anything into a model; the hash of the manifest, which covers all, provenance too."""
        return sha256(self.files(model, content_hash)[MANIFEST])

    def files(self, model: str, content_hash: str, *, manifest_hash: str | None = None) -> dict[str, bytes]:
        """Every file of a release, every byte checked."""
        try:
            files = self.shelf.files(model, self._named(model, content_hash))
        except Damaged as problem:
            raise self._changed(model, content_hash, problem.file, problem.what) from problem
        if files is None:
            raise ReleaseMissing(model=model, content_hash=content_hash, root=self.root)
        raw = files.get(MANIFEST, b"")
        if manifest_hash not in {None, sha256(raw)}:
            raise self._changed(model, content_hash, MANIFEST, "is not the one that the ledger recorded; it was changed")
        try:
            found, listed = _listed(files), json.loads(raw)["files"]
            for name in sorted({*found, *listed}):
                if found.get(name) != listed.get(name):
                    what = "added" if name not in listed else "changed" if name in found else "removed"
                    raise self._changed(model, content_hash, name, f"was {what}")
            whole = _manifest(model, files) == (content_hash, raw)
        except (ValueError, KeyError, TypeError, AttributeError):  # not even the shape that we write
            whole = False
        if not whole:
            raise self._changed(model, content_hash, MANIFEST, "was changed" if MANIFEST in files else "was removed")
        return files

    def _stated(self, entry: Entry) -> dict[str, bytes]:
        """Every file of the release that an entry is about, each as the signed statement says."""
        model, content_hash, said = entry.subject, entry.content_hash or "", self.statements.verified(entry)
        files = self.files(model, content_hash, manifest_hash=entry.payload.get("manifest_hash"))
        for name in sorted({*said, *files}):
            if name not in files or said.get(name) != sha256(files[name]):
                raise self._changed(model, content_hash, name, "is not what the signed statement says, changed")
        return files

    def _copy(self, model: str, content_hash: str, files: Mapping[str, bytes]) -> None:
        shelf = self.here.shelf
        with suppress(Damaged):
            if shelf.files(model, content_hash) == files:  # somebody may be reading it
                return
        shelf.free(model, content_hash)
        shelf.store(model, content_hash, files)
        for old in sorted(shelf.kept(model), key=lambda one: one.at)[:-COPIES]:
            shelf.free(model, old.content_hash)

    def _named(self, model: str, content_hash: str) -> str:
        """The content hash, unless it or the model's name could lead out of the store."""
        if not NAME.fullmatch(model) or not _HASH.fullmatch(content_hash):
            raise ReleaseMissing(model=model, content_hash=content_hash, root=self.root)
        return content_hash

    def _changed(self, model: str, content_hash: str, file: str, what: str) -> ReleaseChanged:
        place = self.shelf.place(model, content_hash)
        return ReleaseChanged(model=model, content_hash=content_hash, place=place, file=file, what=what)


def _read(model: str, content_hash: str, files: Mapping[str, bytes]) -> Release:
    """A release from bytes that have been verified."""
    parts = {name.split(".")[0]: decoded(model, name, files[name]) for name in _parts(files)}
    record, signature = (json.loads(files[name]) for name in (RECORD, SIGNATURE))
    return Release(model=model, content_hash=content_hash, parts=parts, record=record, signature=signature)


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
