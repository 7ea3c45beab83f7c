"""A ledger on SQLite or Postgres, and what somebody does to it who may do everything to its database and has no key."""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from resources.registry.heads import said
from resources.registry.identity import canonical, sha256
from resources.registry.ledger import Ledger
from resources.security.keys import KeyRing

APRIL = datetime(2013, 4, 1, 4, tzinfo=UTC)
GUARDS_OFF = {
    "sqlite": [f"DROP TRIGGER IF EXISTS {table}_no_{what}" for table in ("ledger", "heads") for what in ("update", "delete")],
    "postgresql": [f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in ("ledger", "heads")],
}
INSERT = "INSERT INTO ledger VALUES (:seq, :subject, :kind, :payload, :at, :data_at, :activate_at, :actor, :prev, :hash)"
SIGN = "INSERT INTO heads VALUES (:seq, :key_id, :hash, :signature)"


@dataclass(frozen=True)
class Books:
    """An empty database for one ledger, and the ring that signs it; what an intruder does to it."""

    url: str
    ring: KeyRing

    def ledger(self) -> Ledger:
        return Ledger(self.url, self.ring)

    def damage(self, *changes: str, **values: object) -> None:
        """What somebody does who may do everything to the database: the guards are off."""
        with self._connected() as connection:
            for guard in GUARDS_OFF[connection.dialect.name]:
                connection.execute(sa.text(guard))
            for change in changes:
                assert connection.execute(sa.text(change), values).rowcount > 0

    def ask(self, query: str) -> list[dict[str, Any]]:
        with self._connected() as connection:
            return [{**row} for row in connection.execute(sa.text(query)).mappings()]

    @contextmanager
    def _connected(self) -> Generator[sa.Connection]:
        engine = sa.create_engine(self.url)
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()


def register(ledger: Ledger, name: str, version: int, subject: str = "churn") -> None:
    about = {"content_hash": name, "version": version}
    ledger.append(subject, "registered", about, expect_head=ledger.head(subject), actor="test", data_at=APRIL)
    ledger.append(subject, "approved", about, expect_head=ledger.head(subject), actor="test", data_at=APRIL)


def forged(books: Books, **other: object) -> Mapping[str, object]:
    """An entry after the second one, whose hash is right."""
    row = books.ask("SELECT * FROM ledger WHERE seq = 2")[0]
    row |= {"seq": 3, "actor": "eve", "prev": row["hash"], "payload": json.loads(row["payload"]), **other}
    row["hash"] = sha256(canonical({name: value for name, value in row.items() if name != "hash"}))
    return row | {"payload": canonical(row["payload"]).decode()}


def signed_by(ring: KeyRing, seq: int, content_hash: str) -> dict[str, Any]:
    """A head that a ring signed."""
    given = ring.sign(said(seq, content_hash))
    return {"seq": seq, "hash": content_hash, "key_id": given.key_id, "signature": given.value.hex()}
