"""What is said of a release when it is registered, signed: verified before anything of it is decoded, wherever it is loaded.

An in-toto Statement v1 (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md) with a SLSA provenance predicate v1
(https://slsa.dev/spec/v1.0/provenance) in a DSSE envelope (https://github.com/secure-systems-lab/dsse/blob/master/protocol.md), at
``.statements/<model>/<content hash>/<version>.dsse.json`` of a shelf: beside the releases, so that whoever lists or frees them meets none.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from resources.errors import PlatformError
from resources.registry.identity import canonical, digest, sha256
from resources.registry.shelf import Shelf
from resources.registry.states import Entry
from resources.security.keys import KeyDamaged, KeyRevoked, KeyRing, KeyUnknown, Signature, SignatureInvalid

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://slsa.dev/provenance/v1"
PAYLOAD: Final = "application/vnd.in-toto+json"
BUILD: Final = "urn:mlops-assets:release:1"
BUILDER: Final = "urn:mlops-assets:platform:"
LOCK: Final = "requirements-serve.lock"
FOLDER: Final = ".statements"
Names = tuple[str, ...]


class NotSigned(PlatformError):
    """A version that was registered without a statement."""

    def __init__(self, *, entry: Entry) -> None:
        super().__init__(
            f"{entry.subject} version {entry.version}: its ledger entry {entry.seq} names no signed statement, so it is not loaded. "
            "Promote a version that was registered with one, or train it again."
        )


class StatementMissing(PlatformError):
    """A statement that the ledger names and that is not in the store."""

    def __init__(self, *, place: str, model: str, version: int) -> None:
        super().__init__(
            f"{model} version {version}: its signed statement {place} is missing, so it is not loaded. Restore it from a backup."
        )


class StatementChanged(PlatformError):
    """A statement that is not what was signed."""

    def __init__(self, *, place: str, model: str, version: int, what: str) -> None:
        super().__init__(
            f"{model} version {version}: its signed statement {place} {what}, so it is not loaded. Restore it from a backup, "
            "and find out who changed it."
        )


class StatementForeign(PlatformError):
    """A statement, truly signed, about something else."""

    def __init__(self, *, place: str, model: str, version: int, says: object) -> None:
        super().__init__(
            f"{model} version {version}: the signed statement {place} is not the one that the ledger recorded for it: it speaks of {says}. "
            "It is not loaded. Restore the statement from a backup, and find out who put another in its place."
        )


class SignerRefused(PlatformError):
    """A statement by a key that is not believed."""

    def __init__(self, *, model: str, version: int, problem: PlatformError) -> None:
        super().__init__(
            f"{model} version {version} is not loaded: {str(problem).split(', so ', maxsplit=1)[0]}. What answers goes on answering. "
            f"If you trust this version, sign it again with the current key: python -m mlops_assets.operate resign {model} {version}."
        )


def stated(*, model: str, version: int, content_hash: str, record: Mapping[str, Any], files: Mapping[str, str]) -> bytes:
    """The statement about a version: every file's SHA-256, and the data, code and lock that it was made of."""
    identity, made = dict(record.get("identity", {})), record.get("provenance", {})
    tables: Mapping[str, object] = identity.pop("tables", {})
    views: Mapping[str, str] = identity.pop("views", {})
    lock: str | None = identity.pop("lock", None)
    git: Mapping[str, Any] = made.get("git") or {}
    numbers: Mapping[str, int] = made.get("tables") or {}
    used: list[dict[str, Any]] = [
        {"name": name, "digest": {"sha256": digest(months)}, "annotations": {"version": numbers.get(name)}}
        for name, months in sorted(tables.items())
    ]
    used += [{"name": name, "digest": {"sha256": hashed}} for name, hashed in sorted(views.items())]
    used += [{"name": LOCK, "digest": {"sha256": lock}}] if lock else []
    used += (
        [{"name": "git", "digest": {"gitCommit": git["commit"]}, "annotations": {"dirty": git.get("dirty")}}] if git.get("commit") else []
    )
    return canonical(
        {
            "_type": STATEMENT,
            "subject": [{"name": name, "digest": {"sha256": files[name]}} for name in sorted(files)],
            "predicateType": PREDICATE,
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD,
                    "externalParameters": {"model": model, "version": version, "content_hash": content_hash},
                    "internalParameters": identity,
                    "resolvedDependencies": used,
                },
                "runDetails": {
                    "builder": {"id": f"{BUILDER}{made.get('platform')}"},
                    "metadata": {"invocationId": made.get("dagster_run")},
                },
            },
        }
    )


def authenticated(payload: bytes) -> bytes:
    """What a DSSE signature is of: the pre-authentication encoding of the payload and its type."""
    kind = PAYLOAD.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True, kw_only=True)
class Statements:
    """The statements on a shelf of releases, and the ring that signs and verifies them."""

    shelf: Shelf
    ring: KeyRing

    def place(self, model: str, content_hash: str, version: int) -> str:
        """Where the statement about a version lies."""
        return self.shelf.place(*_names(model, content_hash, version))

    def write(self, payload: bytes, *, model: str, content_hash: str, version: int) -> dict[str, str]:
        """Keep a signed statement and return its hash and its signer; one that is there and good stays as it is."""
        names = _names(model, content_hash, version)
        with suppress(StatementMissing, StatementChanged, SignerRefused):  # nothing yet, or left by a killed one: no entry leans on it
            kept, signature = self._signed(names, model, version)
            if kept == payload:
                return {"statement_hash": sha256(kept), "key_id": signature.key_id}
        return self._keep(names, payload)

    def verified(self, entry: Entry) -> dict[str, str]:
        """SHA-256 of each file of the release that an entry is about, by its statement: signed by a good key, about this very entry."""
        names = _named(entry)
        payload, _ = self._signed(names, entry.subject, entry.version or 0)
        return self._files(names, payload, entry)

    def resign(self, entry: Entry) -> dict[str, str]:
        """Sign the statement that the ledger recorded with the current key, whoever signed it before; its hash stays."""
        names = _named(entry)
        payload, _ = self._read(names, entry.subject, entry.version or 0)
        self._files(names, payload, entry)
        return self._keep(names, payload)

    def copy(self, entry: Entry, shelf: Shelf) -> None:
        """Keep the statement about an entry on another shelf as well, as it is."""
        shelf.replace(self.shelf.read(*_named(entry)), *_named(entry))

    def _files(self, names: Names, payload: bytes, entry: Entry) -> dict[str, str]:
        """The files that a statement names, if it is the one that the ledger recorded for the entry."""
        about = {"model": entry.subject, "version": entry.version, "content_hash": entry.content_hash}
        if sha256(payload) != entry.payload["statement_hash"] or _about(payload) != about:
            place = self.shelf.place(*names)
            raise StatementForeign(place=place, model=entry.subject, version=entry.version or 0, says=_about(payload))
        return {one["name"]: one["digest"]["sha256"] for one in json.loads(payload)["subject"]}

    def _keep(self, names: Names, payload: bytes) -> dict[str, str]:
        signature = self.ring.sign(authenticated(payload))
        self.shelf.replace(_envelope(payload, signature), *names)
        return {"statement_hash": sha256(payload), "key_id": signature.key_id}

    def _signed(self, names: Names, model: str, version: int) -> tuple[bytes, Signature]:
        """Payload and signature of an envelope, the signature verified."""
        payload, signature = self._read(names, model, version)
        try:
            self.ring.verify(authenticated(payload), signature.key_id, signature.value)
        except SignatureInvalid as problem:
            what = f"is not what key {signature.key_id} signed"
            raise StatementChanged(place=self.shelf.place(*names), model=model, version=version, what=what) from problem
        except (KeyUnknown, KeyRevoked, KeyDamaged) as problem:
            raise SignerRefused(model=model, version=version, problem=problem) from problem
        return payload, signature

    def _read(self, names: Names, model: str, version: int) -> tuple[bytes, Signature]:
        """Payload and signature of an envelope, not verified; an envelope is spelled in one way, so that no byte of it is free."""
        place = self.shelf.place(*names)
        try:
            raw = self.shelf.read(*names)
            said = json.loads(raw)
            payload, (one,) = base64.b64decode(said["payload"], validate=True), said["signatures"]
            signature = Signature(key_id=str(one["keyid"]), value=base64.b64decode(one["sig"], validate=True))
        except FileNotFoundError as problem:
            raise StatementMissing(place=place, model=model, version=version) from problem
        except OSError as problem:
            raise StatementChanged(place=place, model=model, version=version, what=f"is no file ({problem.strerror})") from problem
        except (ValueError, KeyError, TypeError, binascii.Error) as problem:
            raise StatementChanged(place=place, model=model, version=version, what="is no DSSE envelope") from problem
        if raw != _envelope(payload, signature):
            raise StatementChanged(place=place, model=model, version=version, what="is spelled in another way than it was written")
        return payload, signature


def _names(model: str, content_hash: str, version: int) -> Names:
    """What a statement is called on its shelf."""
    return FOLDER, model, content_hash, f"{version}.dsse.json"


def _named(entry: Entry) -> Names:
    """What the statement about an entry is called."""
    if not entry.payload.get("statement_hash") or not entry.content_hash or not entry.version:
        raise NotSigned(entry=entry)
    return _names(entry.subject, entry.content_hash, entry.version)


def _about(payload: bytes) -> object:
    """Which version a statement is about, if it is one."""
    try:
        return json.loads(payload)["predicate"]["buildDefinition"]["externalParameters"]
    except (ValueError, KeyError, TypeError):
        return "nothing that we state"


def _envelope(payload: bytes, signature: Signature) -> bytes:
    signatures = [{"keyid": signature.key_id, "sig": base64.b64encode(signature.value).decode()}]
    return canonical({"payload": base64.b64encode(payload).decode(), "payloadType": PAYLOAD, "signatures": signatures})
