"""A token names a person if a key of the ring signed it, whole, and it has not expired."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from resources.errors import NaiveInstant
from resources.security.keys import KeyRing
from resources.security.tokens import TokenExpired, TokenInvalid, issue, read, who

DAY = timedelta(days=1)


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys" / "people")


def now() -> datetime:
    return datetime.now(UTC)


def test_a_token_names_its_person_until_it_expires(ring: KeyRing) -> None:
    token = issue(ring, person="ada@example.com", valid=DAY)
    assert who(ring, token, now=now()) == "ada@example.com"
    with pytest.raises(TokenExpired, match=r"the token of ada@example\.com expired at 20"):
        who(ring, token, now=now() + DAY)


def test_two_tokens_of_a_person_have_ids_of_their_own(ring: KeyRing) -> None:
    first, second = (read(ring, issue(ring, person="ada", valid=DAY), now=now()) for _ in range(2))
    assert first.person == second.person
    assert first.token_id != second.token_id
    assert timedelta() < first.expires_at - now() <= DAY


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def claims(**more: object) -> dict[str, Any]:
    return {"sub": "mallory", "jti": "1", "exp": int(now().timestamp()) + 60, **more}


def forged(ring: KeyRing, tmp_path: Path) -> dict[str, str]:
    genuine, key_id = issue(ring, person="ada", valid=DAY), ring.keys()[0].key_id
    header, body, signature = genuine.split(".")
    foreign = KeyRing(tmp_path / "foreign")
    _, key = foreign.signing_key()
    _, own = ring.signing_key()
    public = (ring.root / f"{key_id}.pub").read_bytes().hex().encode()
    lacking = [{name: value for name, value in claims().items() if name != left_out} for left_out in ("sub", "jti", "exp")]
    return {
        "empty": "",
        "words": "ada says yes",
        "no signature": f"{header}.{body}.",
        "two parts": f"{header}.{body}",
        "another body": f"{header}.{encoded(claims())}.{signature}",
        "another header": f"{encoded({'alg': 'EdDSA', 'kid': key_id, 'x': 1})}.{body}.{signature}",
        "no algorithm": f"{encoded({'alg': 'none', 'kid': key_id})}.{encoded(claims())}.",
        "the public key as a password": jwt.encode(claims(), public, algorithm="HS256", headers={"kid": key_id}),
        "a foreign key": issue(foreign, person="ada", valid=DAY),
        "a foreign key under our name": jwt.encode(claims(), key, algorithm="EdDSA", headers={"kid": key_id}),
        "no key named": jwt.encode(claims(), own, algorithm="EdDSA"),
        "a path for a key": jwt.encode(claims(), own, algorithm="EdDSA", headers={"kid": "../" + key_id}),
        "a person that is a number": jwt.encode(claims(sub=7), own, algorithm="EdDSA", headers={"kid": key_id}),
        "an expiry beyond all time": jwt.encode(claims(exp=10**20), own, algorithm="EdDSA", headers={"kid": key_id}),
        **{
            f"without {sorted(set(claims()) - set(some))}": jwt.encode(some, own, algorithm="EdDSA", headers={"kid": key_id})
            for some in lacking
        },
    }


def test_a_token_that_no_key_of_the_ring_signed_whole_proves_nothing(ring: KeyRing, tmp_path: Path) -> None:
    for token in forged(ring, tmp_path).values():
        with pytest.raises(TokenInvalid, match=r"the token proves nobody's identity: .* Ask for a new token"):
            who(ring, token, now=now())


def test_tokens_signed_by_a_revoked_key_prove_nothing(ring: KeyRing) -> None:
    token = issue(ring, person="ada", valid=DAY)
    ring.revoke(ring.keys()[0].key_id, why="lost")
    with pytest.raises(TokenInvalid, match=r"is revoked .*: lost"):
        who(ring, token, now=now())


def test_tokens_issued_before_a_rotation_go_on(ring: KeyRing) -> None:
    token = issue(ring, person="ada", valid=DAY)
    ring.rotate()
    assert who(ring, token, now=now()) == "ada"


@pytest.mark.parametrize("person", ["", " ada", "a\nb", "Ada Lovelace"])
def test_a_token_is_issued_to_somebody_whom_git_could_call_so(ring: KeyRing, person: str) -> None:
    with pytest.raises(TokenInvalid, match="is not what git calls somebody: it takes an e-mail address"):
        issue(ring, person=person, valid=DAY)


def test_a_token_is_issued_for_some_time(ring: KeyRing) -> None:
    with pytest.raises(TokenInvalid, match="valid for 0"):
        issue(ring, person="ada", valid=timedelta())


def test_now_has_a_time_zone(ring: KeyRing) -> None:
    token = issue(ring, person="ada", valid=DAY)
    with pytest.raises(NaiveInstant):
        who(ring, token, now=datetime(2026, 1, 1))  # noqa: DTZ001  the mistake under test
