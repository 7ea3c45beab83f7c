"""A key ring: the newest key signs, every known key verifies until it is revoked, and a key file is believed for what it holds."""

import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resources.security import keys
from resources.security.keys import (
    KeyDamaged,
    KeyExposed,
    KeyRevoked,
    KeyRing,
    KeyUnknown,
    NoSigningKey,
    RingUnavailable,
    SignatureInvalid,
)
from tests.racing import raced

CONTENT = b"what was released"


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys" / "release")


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def ids(ring: KeyRing) -> list[str]:
    found = ring.keys()
    return [key.key_id for key in found]


def openssl(*said: str, given: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *said], input=given, capture_output=True, check=True).stdout  # noqa: S607  of whichever system this is


def test_what_a_ring_signs_it_verifies(ring: KeyRing) -> None:
    signed = ring.sign(CONTENT)
    ring.verify(CONTENT, signed.key_id, signed.value)
    assert ids(ring) == [signed.key_id]


def test_opening_and_asking_make_nothing(ring: KeyRing) -> None:
    assert ring.keys() == []
    with pytest.raises(KeyUnknown):
        ring.verify(CONTENT, "0" * 16, b"")
    assert not ring.root.exists()


def test_a_private_key_is_for_its_owner_alone(ring: KeyRing) -> None:
    signed = ring.sign(CONTENT)
    assert (ring.root / f"{signed.key_id}.key").stat().st_mode & 0o777 == 0o600


def test_the_public_half_is_a_file_that_openssl_reads(ring: KeyRing) -> None:
    signed = ring.sign(CONTENT)
    content, signature = ring.root / "content", ring.root / "signature"
    content.write_bytes(CONTENT)
    signature.write_bytes(signed.value)
    public = ["-pubin", "-inkey", str(ring.root / f"{signed.key_id}.pub")]
    said = openssl("pkeyutl", "-verify", *public, "-rawin", "-in", str(content), "-sigfile", str(signature))
    assert b"Verified Successfully" in said


@pytest.mark.parametrize("place", range(64))
def test_any_flipped_byte_of_a_signature_is_refused(ring: KeyRing, place: int) -> None:
    signed = ring.sign(CONTENT)
    with pytest.raises(SignatureInvalid, match=f"by key {signed.key_id} is not of this content"):
        ring.verify(CONTENT, signed.key_id, flipped(signed.value, place))


@pytest.mark.parametrize("content", [b"", b"what was released.", flipped(CONTENT, 3)])
def test_other_content_is_refused(ring: KeyRing, content: bytes) -> None:
    signed = ring.sign(CONTENT)
    with pytest.raises(SignatureInvalid):
        ring.verify(content, signed.key_id, signed.value)


@pytest.mark.parametrize("value", [b"", b"short", b"x" * 65])
def test_a_signature_of_another_length_is_refused(ring: KeyRing, value: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        ring.verify(CONTENT, ring.sign(CONTENT).key_id, value)


@pytest.mark.parametrize("key_id", ["", "../escape", "0" * 16, "0" * 64, "A" * 16])
def test_a_key_that_is_not_in_the_ring_is_refused_by_name(ring: KeyRing, key_id: str) -> None:
    signed = ring.sign(CONTENT)
    with pytest.raises(KeyUnknown, match=r"is not in the ring .*release, so nothing that it signed is believed"):
        ring.verify(CONTENT, key_id, signed.value)


def test_a_rotated_ring_signs_with_the_new_key_and_verifies_with_both(ring: KeyRing) -> None:
    first = ring.sign(CONTENT)
    newer = ring.rotate()
    second = ring.sign(CONTENT)
    assert second.key_id == newer != first.key_id
    for one in (first, second):
        ring.verify(CONTENT, one.key_id, one.value)
    assert ids(ring) == [first.key_id, newer]


def test_a_new_key_signs_though_the_clock_went_back(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    ring.sign(CONTENT)

    class Earlier(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]  # the one call that is made
            del tz
            return datetime(2001, 1, 1, tzinfo=UTC)

    monkeypatch.setattr(keys, "datetime", Earlier)
    assert ring.rotate() == ring.sign(CONTENT).key_id


def test_nothing_that_a_revoked_key_signed_is_believed(ring: KeyRing) -> None:
    signed = ring.sign(CONTENT)
    ring.revoke(signed.key_id, why="laptop lost")
    ring.revoke(signed.key_id, why="another reason, too late")
    with pytest.raises(KeyRevoked, match=rf"key {signed.key_id} .* is revoked \(20.*: laptop lost\).*signed again with the current key"):
        ring.verify(CONTENT, signed.key_id, signed.value)
    assert "laptop lost" in str(ring.keys()[0].revoked)


def test_a_revoked_key_signs_nothing_and_the_one_before_it_does(ring: KeyRing) -> None:
    first = ring.sign(CONTENT).key_id
    ring.revoke(ring.rotate(), why="a try")
    assert ring.sign(CONTENT).key_id == first


def test_a_ring_whose_keys_are_all_revoked_signs_after_a_rotation_only(ring: KeyRing) -> None:
    ring.revoke(ring.sign(CONTENT).key_id, why="lost")
    with pytest.raises(NoSigningKey, match=r"no private key that is still good.* Rotate the ring"):
        ring.sign(CONTENT)
    assert ring.rotate() == ring.sign(CONTENT).key_id


def test_a_key_that_nobody_knows_cannot_be_revoked(ring: KeyRing) -> None:
    with pytest.raises(KeyUnknown):
        ring.revoke("0" * 16, why="mistyped")
    assert not ring.root.exists()


def test_a_ring_with_public_halves_alone_verifies_and_never_makes_a_key(ring: KeyRing, tmp_path: Path) -> None:
    signed = ring.sign(CONTENT)
    elsewhere = KeyRing(tmp_path / "worker")
    elsewhere.root.mkdir()
    shutil.copy(ring.root / f"{signed.key_id}.pub", elsewhere.root)
    elsewhere.verify(CONTENT, signed.key_id, signed.value)
    with pytest.raises(NoSigningKey):
        elsewhere.sign(CONTENT)
    (key,) = elsewhere.keys()
    assert (key.key_id, key.private) == (signed.key_id, False)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
def test_a_private_key_that_others_may_read_is_refused_by_name(ring: KeyRing, mode: int) -> None:
    path = ring.root / f"{ring.sign(CONTENT).key_id}.key"
    path.chmod(mode)
    with pytest.raises(KeyExposed, match=rf"{path} may be read by others \(mode {mode:04o}\)"):
        ring.sign(CONTENT)


def test_any_changed_line_of_a_public_key_file_is_found_or_changes_nothing(ring: KeyRing) -> None:
    signed = ring.sign(CONTENT)
    path = ring.root / f"{signed.key_id}.pub"
    content = path.read_bytes()
    held = content.index(b"-----BEGIN") + len("-----BEGIN PUBLIC KEY-----\n")
    for place in range(held, held + 59):  # the base64 of the key; its last character is padding
        path.write_bytes(flipped(content, place))
        with pytest.raises(KeyDamaged, match=f"{signed.key_id}.pub does not hold the key that it is named for"):
            ring.verify(CONTENT, signed.key_id, signed.value)


def test_a_public_key_under_another_keys_name_is_refused(ring: KeyRing, tmp_path: Path) -> None:
    signed, foreign = ring.sign(CONTENT), KeyRing(tmp_path / "foreign")
    forged = foreign.sign(CONTENT)
    shutil.copy(foreign.root / f"{forged.key_id}.pub", ring.root / f"{signed.key_id}.pub")
    with pytest.raises(KeyDamaged):
        ring.verify(CONTENT, signed.key_id, forged.value)


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_private_key_file_that_holds_no_key_is_refused_by_name(ring: KeyRing, content: bytes) -> None:
    path = ring.root / f"{ring.sign(CONTENT).key_id}.key"
    path.write_bytes(content)
    with pytest.raises(KeyDamaged, match=rf"{path} does not hold the key"):
        ring.sign(CONTENT)


def test_a_private_key_under_another_keys_name_is_refused(ring: KeyRing) -> None:
    first, second = ring.sign(CONTENT).key_id, ring.rotate()
    shutil.copy(ring.root / f"{first}.key", ring.root / f"{second}.key")
    with pytest.raises(KeyDamaged, match=rf"{second}\.key"):
        ring.sign(CONTENT)


def test_a_public_key_of_another_kind_is_refused(ring: KeyRing) -> None:
    path = ring.root / f"{ring.sign(CONTENT).key_id}.pub"
    path.write_bytes(openssl("pkey", "-pubout", given=openssl("genpkey", "-algorithm", "X25519")))
    with pytest.raises(KeyDamaged):
        ring.verify(CONTENT, path.stem, b"")


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    with pytest.raises(RingUnavailable, match=r"the ring .*taken cannot be used: .* Nothing was signed"):
        KeyRing(tmp_path / "taken").rotate()


def test_a_public_key_that_cannot_be_read_is_a_clear_error(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = ring.sign(CONTENT)

    def refused(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refused)  # the tests may run as root, to whom no mode is closed
    with pytest.raises(RingUnavailable, match="Permission denied"):
        ring.verify(CONTENT, signed.key_id, signed.value)


TOGETHER = """
import sys
from resources.security.keys import KeyRing
print("ready", flush=True)
sys.stdin.readline()
print(KeyRing(sys.argv[1]).sign(b"").key_id)
"""


def test_processes_that_sign_first_at_once_make_one_key(ring: KeyRing) -> None:
    command = [sys.executable, "-c", TOGETHER, str(ring.root)]
    made = {*raced([command] * 4)}
    assert set(ids(ring)) == made
    assert len(list(ring.root.glob("*.key"))) == 1


KILLED = """
import os, signal, sys
from resources.security.keys import KeyRing
def fsync(handle):
    os.kill(os.getpid(), signal.SIGKILL)
os.fsync = fsync
KeyRing(sys.argv[1]).sign(b"")
"""


def test_a_signer_killed_before_its_key_counts_leaves_a_ring_that_works(ring: KeyRing) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(ring.root)], check=False)
    assert killed.returncode == -9
    assert ring.keys() == []
    signed = ring.sign(CONTENT)
    ring.verify(CONTENT, signed.key_id, signed.value)
