"""Who somebody is: a signed, expiring token (JWT, EdDSA) that names a person, issued and read with the ring of people's keys."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from resources.errors import PlatformError, in_utc
from resources.security.keys import KeyRing

ALGORITHM: Final = "EdDSA"
CLAIMS: Final = ("sub", "jti", "exp")


class TokenInvalid(PlatformError):
    """A token that proves nothing."""

    def __init__(self, *, why: str) -> None:
        super().__init__(f"the token proves nobody's identity: {why}. Nothing was done. Ask for a new token and pass it whole.")


class TokenExpired(PlatformError):
    """A token that was good once."""

    def __init__(self, *, person: str, at: datetime) -> None:
        super().__init__(f"the token of {person} expired at {at.isoformat()}. Nothing was done. Ask for a new token.")


@dataclass(frozen=True, kw_only=True)
class Token:
    """What a verified token says."""

    person: str
    token_id: str
    expires_at: datetime


def issue(ring: KeyRing, *, person: str, valid: timedelta) -> str:
    """A token that names a person for a while: by the e-mail address that they commit with, or the part of it before the @."""
    import jwt

    if not person.isprintable() or person.split() != [person]:
        raise TokenInvalid(why=f"{person!r} is not what git calls somebody: it takes an e-mail address, or the part of it before the @")
    if valid <= timedelta():
        raise TokenInvalid(why=f"it would be valid for {valid}")
    key_id, key = ring.signing_key()
    claims: dict[str, Any] = {"sub": person, "jti": secrets.token_hex(8), "exp": datetime.now(UTC) + valid}
    return jwt.encode(claims, key, algorithm=ALGORITHM, headers={"kid": key_id})


def read(ring: KeyRing, token: str, *, now: datetime) -> Token:
    """What a token says, if a key of the ring signed it and it is valid at ``now``."""
    import jwt

    try:
        key = ring.public_key(str(jwt.get_unverified_header(token).get("kid")))
        # Expiry is judged by ``now`` below.
        said: dict[str, Any] = jwt.decode(token, key, algorithms=[ALGORITHM], options={"require": list(CLAIMS), "verify_exp": False})
        found = Token(person=str(said["sub"]), token_id=str(said["jti"]), expires_at=datetime.fromtimestamp(int(said["exp"]), UTC))
    except (jwt.InvalidTokenError, PlatformError, ValueError, OverflowError) as problem:
        raise TokenInvalid(why=str(problem).rstrip(".")) from problem
    if in_utc("now", now) >= found.expires_at:
        raise TokenExpired(person=found.person, at=found.expires_at)
    return found


def who(ring: KeyRing, token: str, *, now: datetime) -> str:
    """The person that a token names."""
    return read(ring, token, now=now).person
