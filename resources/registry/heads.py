"""The signed head of the ledger: which entry is the last, signed in the transaction that wrote it. What is cut off afterwards is missed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from resources.errors import PlatformError
from resources.registry.identity import canonical
from resources.registry.tables import HEADS

if TYPE_CHECKING:
    from resources.security.keys import KeyRing


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How far a reader has verified a ledger: number and hash of the last entry, and the signatures of its head that were believed."""

    last: tuple[int, str | None] = (0, None)
    heads: Sequence[dict[str, Any]] = ()


class LedgerTampered(PlatformError):
    """The chain does not hold: rows were changed, removed, added or reordered behind the ledger's back."""

    def __init__(self, *, seq: int, what: str) -> None:
        super().__init__(
            f"ledger entry {seq}: {what}. Nothing from this entry on can be trusted. "
            "Restore the ledger from a backup; until then promote nothing. What is being served stays as it is."
        )


class HeadUnsigned(PlatformError):
    """A ledger with entries and without a signature."""

    def __init__(self, *, count: int) -> None:
        super().__init__(
            f"the ledger has {count} entries and no signed head, so nobody can tell whether entries were cut off. Nothing was written. "
            "If it was written without keys, look at its entries and sign it once: python -m mlops_assets.operate sign."
        )


class RingMissing(PlatformError):
    """An append without keys to a ledger whose heads are signed."""

    def __init__(self, *, seq: int) -> None:
        super().__init__(
            f"the head of this ledger, entry {seq}, is signed, and this process has no ring to sign the next one. Nothing was written. "
            "Open the ledger through the registry of the profile, which knows its keys (MLOPS_KEYS)."
        )


def said(seq: int, content_hash: str) -> bytes:
    """What a head's signature is of."""
    return canonical({"ledger_head": content_hash, "seq": seq})


def newest(connection: sa.Connection) -> list[dict[str, Any]]:
    """The signatures of the head that was signed last, the newest first; more than one after a key was replaced."""
    top = sa.select(sa.func.max(HEADS.c.seq)).scalar_subquery()
    return [{**row} for row in connection.execute(sa.select(HEADS).where(HEADS.c.seq == top)).mappings()][::-1]


def sign(connection: sa.Connection, ring: "KeyRing | None", *, seq: int, content_hash: str) -> None:
    """Sign a head, once a key; without a ring only a ledger goes on whose heads nobody signs."""
    if ring is None:
        if newest(connection):
            raise RingMissing(seq=seq - 1)
        return
    given = ring.sign(said(seq, content_hash))
    row = {"seq": seq, "hash": content_hash, "key_id": given.key_id, "signature": given.value.hex()}
    if all(one["key_id"] != given.key_id or one["seq"] != seq for one in newest(connection)):
        connection.execute(HEADS.insert().values(**row))


def demand(connection: sa.Connection, ring: "KeyRing | None", last: tuple[int, str | None]) -> list[dict[str, Any]]:
    """The signatures of the head, once they are of the last entry (number, hash) and one is by a key of the ring that is not revoked."""
    heads, (seq, content_hash) = newest(connection), last
    if not heads:
        if seq and ring is not None:
            raise HeadUnsigned(count=seq)
        return heads
    top = heads[0]["seq"]
    if not isinstance(top, int):  # SQLite keeps what it is given
        raise LedgerTampered(seq=seq, what="the signed head is no number")
    if top > seq:
        raise LedgerTampered(seq=seq + 1, what=f"it is missing; the signed head says that there are {top}")
    if top < seq:
        raise LedgerTampered(seq=top + 1, what="no key signed it: the signed head is the entry before it")
    if any(one["hash"] != content_hash for one in heads):
        raise LedgerTampered(seq=seq, what="it is not the one whose head was signed")
    if ring is not None:
        _verified(ring, heads)
    return heads


def _verified(ring: "KeyRing", heads: list[dict[str, Any]]) -> None:
    """One good signature is enough: those by keys that were revoked or replaced stand beside it."""
    problems: list[PlatformError] = []
    for one in heads:
        try:
            ring.verify(said(int(one["seq"]), str(one["hash"])), str(one["key_id"]), _bytes(str(one["signature"])))
        except PlatformError as problem:
            problems.append(problem)
        else:
            return
    raise problems[0]


def _bytes(text: str) -> bytes:
    """A signature from its text; what is no hexadecimal is a signature of nothing."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
