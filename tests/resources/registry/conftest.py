"""A ledger in an empty database, the same on SQLite and on a real Postgres."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.registry.ledger import Ledger
from resources.security.keys import KeyRing
from tests.resources.registry.books import Books
from tests.servers.postgres import Postgres, postgres


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"])
def books(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Books:
    ring = KeyRing(tmp_path / "keys")
    if request.param == "sqlite":
        return Books(f"sqlite:///{tmp_path}/deep/ledger.db", ring)
    running: Postgres = request.getfixturevalue("server")
    monkeypatch.setenv("PGPASSWORD", running.password)
    return Books(running.database(), ring)


@pytest.fixture
def ledger(books: Books) -> Iterator[Ledger]:
    found = books.ledger()
    yield found
    found._engine.dispose()
