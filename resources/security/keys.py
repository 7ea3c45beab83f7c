"""A key ring: a folder of Ed25519 keys. The newest signs, every one verifies until it is revoked.

``<key_id>.pub`` is a public key (PEM below a line that says since when); ``<key_id>.key`` its private half (PEM, mode 0600), absent on
a machine that only verifies; ``<key_id>.revoked`` ends it. Whoever may write to the folder decides who is believed.
"""

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from resources.errors import PlatformError
from resources.registry.identity import sha256
from resources.whole import write_whole

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

Purpose = Literal["release", "ledger", "people"]
"""What a ring signs: statements about releases, the ledger's head, tokens that name people. Each is a folder of its own."""

ID_LENGTH: Final = 16
LOCK_SECONDS: Final = 30
OTHERS: Final = 0o077
_MADE: Final = "made: "
_ID: Final = re.compile(rf"[0-9a-f]{{{ID_LENGTH}}}")


class KeyUnknown(PlatformError):
    """A signature by a key that is not in the ring."""

    def __init__(self, *, root: Path, key_id: str) -> None:
        super().__init__(
            f"key {key_id[:ID_LENGTH]!r} is not in the ring {root}, so nothing that it signed is believed. "
            f"If it is yours, copy its public half, {key_id[:ID_LENGTH]}.pub, into {root}; otherwise find out who signed."
        )


class KeyRevoked(PlatformError):
    """A signature by a key that was revoked."""

    def __init__(self, *, root: Path, key_id: str, note: str) -> None:
        super().__init__(
            f"key {key_id} in the ring {root} is revoked ({note}), so nothing that it signed is believed any more. "
            "Have what you still trust signed again with the current key."
        )


class KeyDamaged(PlatformError):
    """A key file that does not hold the key that it is named for."""

    def __init__(self, *, path: Path) -> None:
        super().__init__(f"{path} does not hold the key that it is named for, so it is not used. Restore it from a backup of the ring.")


class KeyExposed(PlatformError):
    """A private key that others may read."""

    def __init__(self, *, path: Path, mode: int) -> None:
        super().__init__(
            f"{path} may be read by others (mode {mode:04o}), so nothing is signed with it. "
            "If nobody else has read it, give it mode 0600; otherwise revoke it and rotate the ring."
        )


class NoSigningKey(PlatformError):
    """A ring that can verify and not sign."""

    def __init__(self, *, root: Path) -> None:
        super().__init__(
            f"the ring {root} has no private key that is still good, so nothing was signed. "
            "Rotate the ring to make one, or sign on the machine that has it."
        )


class RingUnavailable(PlatformError):
    """A ring's folder that cannot be read or written."""

    def __init__(self, *, root: Path, problem: OSError) -> None:
        super().__init__(
            f"the ring {root} cannot be used: {problem.strerror or problem}. Nothing was signed or changed. "
            "Make room or give its owner permission there, then run again."
        )


class KeysNowhere(PlatformError):
    """Rings of keys without a place."""

    def __init__(self, *, releases_root: str) -> None:
        super().__init__(
            f"the rings of keys have no place: releases are in {releases_root}, and keys do not lie beside them there, where whoever may "
            "write a release could write its key. Name a folder of this machine, in MLOPS_KEYS or keys_root."
        )


class SignatureInvalid(PlatformError):
    """A signature that is not of this content."""

    def __init__(self, *, key_id: str) -> None:
        super().__init__(
            f"the signature by key {key_id} is not of this content: one of the two was changed. "
            "Restore both from a backup, or have what you trust signed again."
        )


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Which key signed, and the 64 bytes that it gave."""

    key_id: str
    value: bytes


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key of a ring: since when, whether it can sign here, and the note that revoked it."""

    key_id: str
    made: datetime
    private: bool
    revoked: str | None

    @property
    def state(self) -> str:
        """What it is good for, in words."""
        return f"revoked {self.revoked}" if self.revoked else "signs and verifies" if self.private else "verifies"


class KeyRing:
    """The keys in one folder. Opening does nothing; the first signature makes the folder and a key."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def sign(self, content: bytes) -> Signature:
        """Sign with the newest private key that is not revoked; an empty ring gets its first key."""
        key_id, key = self.signing_key()
        return Signature(key_id=key_id, value=key.sign(content))

    def verify(self, content: bytes, key_id: str, value: bytes) -> None:
        """Return only if the key is in the ring, is not revoked and signed exactly this."""
        from cryptography.exceptions import InvalidSignature

        try:
            self.public_key(key_id).verify(value, content)
        except InvalidSignature as problem:
            raise SignatureInvalid(key_id=key_id) from problem

    def rotate(self) -> str:
        """Make a new key, which signs from now on; the keys before it go on verifying."""
        with self._alone():
            return self._make()

    def revoke(self, key_id: str, *, why: str) -> None:
        """End a key for good: nothing that it signed is believed from now on. The first reason stands."""
        self._demand(key_id)
        with self._alone():
            if not self._path(key_id, "revoked").exists():
                note = f"{datetime.now(UTC).isoformat(timespec='seconds')}: {why}\n"
                write_whole(self._path(key_id, "revoked"), note, durable=True)

    def keys(self) -> list[Key]:
        """Every key, oldest first."""
        found = [self._key(path.stem) for path in self.root.glob("*.pub") if _ID.fullmatch(path.stem)]
        return sorted(found, key=lambda key: (key.made, key.key_id))

    def signing_key(self) -> tuple[str, "Ed25519PrivateKey"]:
        """The key that signs now, by its id."""
        key_id = self._newest() or self._first()
        return key_id, self._private(key_id)

    def public_key(self, key_id: str) -> "Ed25519PublicKey":
        """The public half of a key that is not revoked."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        self._demand(key_id)
        note = self._note(key_id)
        if note is not None:
            raise KeyRevoked(root=self.root, key_id=key_id, note=note)
        path = self._path(key_id, "pub")
        try:
            key = load_pem_public_key(path.read_bytes())
        except OSError as problem:
            raise RingUnavailable(root=self.root, problem=problem) from problem
        except (ValueError, UnsupportedAlgorithm) as problem:
            raise KeyDamaged(path=path) from problem
        if not isinstance(key, Ed25519PublicKey) or _id(key) != key_id:
            raise KeyDamaged(path=path)
        return key

    def _path(self, key_id: str, kind: str) -> Path:
        return self.root / f"{key_id}.{kind}"

    def _demand(self, key_id: str) -> None:
        if not _ID.fullmatch(key_id) or not self._path(key_id, "pub").is_file():
            raise KeyUnknown(root=self.root, key_id=key_id)

    def _note(self, key_id: str) -> str | None:
        path = self._path(key_id, "revoked")
        return path.read_text().strip() if path.exists() else None

    def _key(self, key_id: str) -> Key:
        path = self._path(key_id, "pub")
        try:
            made = datetime.fromisoformat(path.read_text().partition("\n")[0].removeprefix(_MADE))
        except ValueError as problem:
            raise KeyDamaged(path=path) from problem
        return Key(key_id=key_id, made=made, private=self._path(key_id, "key").exists(), revoked=self._note(key_id))

    def _newest(self) -> str | None:
        return next((key.key_id for key in reversed(self.keys()) if key.private and key.revoked is None), None)

    def _first(self) -> str:
        """The first key of an empty ring. A ring that has keys and none to sign with only verifies, and stays so until it is rotated."""
        with self._alone():
            if not self.keys():
                return self._make()
            key_id = self._newest()
        if key_id is None:
            raise NoSigningKey(root=self.root)
        return key_id

    @contextmanager
    def _alone(self) -> Generator[None]:
        from filelock import FileLock  # a worker, which only verifies, has none

        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / "lock", timeout=LOCK_SECONDS):
                yield
        except OSError as problem:
            raise RingUnavailable(root=self.root, problem=problem) from problem

    def _make(self) -> str:
        """A new key. Its public half is written last and makes it count, so that a kill leaves a key or none."""
        from cryptography.hazmat.primitives import serialization as form
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        key = Ed25519PrivateKey.generate()
        key_id = _id(key.public_key())
        secret = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
        write_whole(self._path(key_id, "key"), secret, mode=0o600, durable=True)
        before = max((one.made for one in self.keys()), default=datetime.min.replace(tzinfo=UTC))
        made = max(datetime.now(UTC), before + timedelta(microseconds=1))  # a clock that went back must not keep the old key signing
        public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
        write_whole(self._path(key_id, "pub"), f"{_MADE}{made.isoformat()}\n".encode() + public, durable=True)
        return key_id

    def _private(self, key_id: str) -> "Ed25519PrivateKey":
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        path = self._path(key_id, "key")
        mode = path.stat().st_mode & 0o777
        if mode & OTHERS:
            raise KeyExposed(path=path, mode=mode)
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as problem:
            raise KeyDamaged(path=path) from problem
        if not isinstance(key, Ed25519PrivateKey) or _id(key.public_key()) != key_id:
            raise KeyDamaged(path=path)
        return key


def ring_for(purpose: Purpose, *, keys_root: str, releases_root: str) -> KeyRing:
    """The ring for a purpose in the folder of rings: ``keys_root``, or when that is empty, ``keys`` beside a folder of releases.

    Raises:
        KeysNowhere: releases are in no folder, and nothing says where the rings are.
    """
    if not keys_root and "://" in releases_root:
        raise KeysNowhere(releases_root=releases_root)
    return KeyRing((Path(keys_root) if keys_root else Path(releases_root).with_name("keys")) / purpose)


def _id(key: "Ed25519PublicKey") -> str:
    return sha256(key.public_bytes_raw())[:ID_LENGTH]
