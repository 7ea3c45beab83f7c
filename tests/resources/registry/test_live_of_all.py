"""What was live of all models at an instant is what folding everything says, whatever happened; the same on SQLite and Postgres."""

import random
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from resources.registry.ledger import Ledger
from resources.registry.states import Entry, Held, TransitionRefused, live_at
from resources.registry.tables import ENTRIES
from tests.resources.registry.books import APRIL, Books, register

MODELS = ("churn", "price", "delay")
NAMES = tuple(letter * 64 for letter in "abcdef")
KINDS = (*["promoted"] * 6, *["rolled_back"] * 4, *["released_hold"] * 5, "archived", "revoked")


def lived(ledger: Ledger, seed: int) -> None:
    """Three models whose versions are promoted for now, for later and for before, called off, rolled back, archived and revoked."""
    lot, now = random.Random(seed), datetime.now(UTC)  # noqa: S311  histories, no secrets
    for model in MODELS:
        for version, name in enumerate(NAMES, 1):
            register(ledger, name, version, subject=model)
    for _ in range(90):
        model, version, kind = lot.choice(MODELS), lot.randrange(len(NAMES)), lot.choice(KINDS)
        about: Mapping[str, object] = {} if kind == "released_hold" else {"content_hash": NAMES[version], "version": version + 1}
        at = None if lot.random() < 0.4 else now + timedelta(seconds=lot.randint(-3, 3))
        with suppress(TransitionRefused, Held):
            ledger.append(model, kind, about, expect_head=ledger.head(model), actor="test", data_at=APRIL, activate_at=at)


def folded(ledger: Ledger, at: datetime) -> dict[str, Entry | None]:
    return {model: live_at(ledger.entries(model), at) for model in MODELS}


@pytest.mark.parametrize("seed", range(4))
def test_one_look_says_what_folding_every_entry_says(ledger: Ledger, seed: int) -> None:
    lived(ledger, seed)
    instants = {at + timedelta(microseconds=by) for one in ledger.entries() for at in (one.at, one.activate_at) if at for by in (-1, 0, 1)}
    found = {at: ledger.live_of_all(at) for at in instants}
    assert {at: {model: found[at].get(model) for model in MODELS} for at in instants} == {at: folded(ledger, at) for at in instants}
    assert len({entry and entry.seq for live in found.values() for entry in live.values()}) > 2


def test_a_model_of_which_nothing_had_gone_live_is_left_out(ledger: Ledger) -> None:
    register(ledger, NAMES[0], 1)
    assert ledger.live_of_all(datetime.now(UTC)) == {}


def test_a_ledger_that_was_made_without_the_index_gets_it(books: Books) -> None:
    first = books.ledger()
    register(first, NAMES[0], 1)
    (index,) = [one for one in ENTRIES.indexes if one.name == "ledger_turns"]
    with first._engine.begin() as connection:
        index.drop(connection)
    first._engine.dispose()
    again = books.ledger()
    again.seq()
    with again._engine.begin() as connection:
        index.drop(connection)  # an error where it is not there
    again._engine.dispose()
