"""Processes that load and push online rows by number until they are killed, and what must be true afterwards."""

import multiprocessing
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Final, Literal
from unittest import mock

import polars as pl

from resources.feature_store import serving_rows
from resources.feature_store.declarations import Service
from resources.feature_store.store import FeatureStore
from resources.lake import DeltaLake
from tests.resources.feature_store.scenes import NOON, SALES, sales

How = Literal["materialize", "push"]
SHOPS: Final = [f"shop{number}" for number in range(1200)]
CHUNK: Final = 100
"""Rows written at once: a load has twelve places between which a kill falls."""
PRELOADED: Final = "tests.resources.feature_store.preloaded"
MONTH: Final = "2013-01"


@dataclass(frozen=True, kw_only=True)
class Shops:
    """Where the store is, in words that another process understands."""

    folder: Path
    url: str = ""
    password: str = ""

    def store(self) -> FeatureStore:
        """The store, in this process."""
        os.environ["REDIS_PASSWORD"] = self.password
        lake = DeltaLake(root=str(self.folder / "lake"))
        return FeatureStore(home=str(self.folder / "features"), project="shops", lake=lake, online_url=self.url)

    def begun(self) -> int:
        """The number that is being written, or was last."""
        return self._said("began")

    def ended(self) -> int:
        """The last number that was written to its end, as the writer says."""
        return self._said("ended")

    def say(self, what: Literal["began", "ended"], number: int) -> None:
        """Note a number in one step: a kill leaves the old one or the new one, never an empty file."""
        (fresh := self.folder / "fresh").write_text(str(number))
        fresh.replace(self.folder / what)

    def _said(self, what: str) -> int:
        path = self.folder / what
        return int(path.read_text()) if path.exists() else 0


def instant(number: int) -> datetime:
    """When the rows of this number hold."""
    return NOON + timedelta(minutes=number)


def rows(number: int) -> pl.DataFrame:
    """A row a shop that says ``number``."""
    return sales([(shop, instant(number), number, float(number)) for shop in SHOPS])


def write(store: FeatureStore, how: How, number: int) -> None:
    """Bring the rows of a number online; the same again changes nothing."""
    if how == "push":
        store.push("shop_sales", rows(number))
    else:
        store.lake.replace(SALES.address, rows(number).with_columns(month=pl.lit(MONTH)), partition=MONTH)
        store.materialize(["shop_sales"], until=instant(number))


def write_from(shops: Shops, how: How, first: int) -> None:
    """Write numbers in turn until killed."""
    store = shops.store()
    with mock.patch.object(serving_rows, "CHUNK", CHUNK):
        for number in count(first):
            shops.say("began", number)
            write(store, how, number)
            shops.say("ended", number)


def seen(store: FeatureStore, *, at: datetime) -> pl.DataFrame:
    """What is online of every shop."""
    return store.online("sales", pl.DataFrame({"shop": SHOPS}), at=at)


def kills(shops: Shops, how: How, *, times: int, seed: int) -> int:
    """Kill a writing process ``times`` times at a random moment; returns how many kills fell inside a write.

    After each, no row is older than the last write that ended, none that is older than the one begun is served as fresh at its instant,
    each says what belongs to its instant; and the same write again ends it.
    """
    lot, inside, store = random.Random(seed), 0, shops.store()  # noqa: S311  moments, not secrets
    store.apply([SALES], [Service(name="sales", views=("shop_sales",))])
    write(store, how, 0)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    for _ in range(times):
        first = shops.begun() + 1
        process = context.Process(target=write_from, args=(shops, how, first), daemon=True)
        process.start()
        _await(shops, first)
        time.sleep(lot.uniform(0, 0.4))
        process.kill()
        process.join()
        begun, ended = shops.begun(), shops.ended()
        inside += begun > ended
        found = seen(store, at=instant(begun))
        _whole(found, begun=begun, ended=max(ended, first - 1))
        write(store, how, begun)
        again = seen(store, at=instant(begun))
        assert again["shop_sales__count_3h"].to_list() == [begun] * len(SHOPS)
    return inside


def _whole(found: pl.DataFrame, *, begun: int, ended: int) -> None:
    numbers: Sequence[int] = [begun - round(age / 60) for age in found["shop_sales__age"]]
    assert min(numbers) >= ended, "a row that was written is lost"
    assert max(numbers) <= begun, "a row is newer than what was ever begun"
    told = zip(numbers, found["shop_sales__count_3h"], found["shop_sales__status"], strict=True)
    for number, value, status in told:
        assert (value, status) == ((begun, "fresh") if number == begun else (None, "stale"))


def _await(shops: Shops, number: int) -> None:
    deadline = time.monotonic() + 60
    while shops.begun() < number:
        assert time.monotonic() < deadline, f"{number} is not being written"
        time.sleep(0.001)
