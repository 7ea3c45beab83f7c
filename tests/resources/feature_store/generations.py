"""Declarations by number, so that a reader can tell which apply a registry comes from; and processes that apply them until killed."""

import multiprocessing
import os
import random
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from resources.feature_store.declarations import Service, View
from resources.feature_store.light import load_feast
from resources.feature_store.registry_lock import only_writer
from resources.feature_store.store import FeatureStore
from resources.lake import DeltaLake
from tests.resources.feature_store.scenes import SALES

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, ForkServerProcess
    from multiprocessing.synchronize import Event

    import feast

VIEWS: Final = 12
NAMED: Final = "sales_of_"
PRELOADED: Final = "tests.resources.feature_store.preloaded"


def generation(number: int) -> tuple[list[View], list[Service]]:
    """Views that all say ``number``, one of them under a name of this generation; services over them."""
    names = [*(f"sales{at}" for at in range(VIEWS - 1)), f"{NAMED}{number}"]
    views = [
        replace(SALES, name=name, address=f"feature/shop/{name}", spec_hash=f"spec-{number}", description=f"{number}") for name in names
    ]
    joins = {f"model{at}": tuple(view.full_name for view in views[at : at + 3]) for at in (0, 9)}
    return views, [Service(name=name, views=joined, description=f"{number}") for name, joined in joins.items()]


@dataclass(frozen=True, kw_only=True)
class Told:
    """Which numbers a registry says: of generations in its views and in its services, and of its views' versions."""

    views: set[str]
    services: set[str]
    versions: set[str]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a store is, in words that another process understands."""

    folder: Path
    url: str = ""
    password: str = ""

    def store(self) -> FeatureStore:
        """The store, in this process."""
        if self.password:
            os.environ["PGPASSWORD"] = self.password
        lake = DeltaLake(root=str(self.folder / "lake"))
        return FeatureStore(home=str(self.folder / "features"), project="shops", lake=lake, registry_url=self.url)

    @contextmanager
    def stock(self) -> "Generator[feast.FeatureStore]":
        """Feast as it comes, on the folder."""
        load_feast()
        from feast import FeatureStore as Stock

        stock = Stock(repo_path=self.store().home)
        try:
            yield stock
        finally:
            registry: Any = stock.registry
            registry.write_engine.dispose()

    def told(self) -> Told:
        """What the registry says; it is complete, each view with its source."""
        with self.stock() as stock:
            views, sources = stock.list_feature_views(), stock.list_data_sources()
            services = {one.description for one in stock.list_feature_services()}
        names, numbers = {view.name for view in views}, {view.description for view in views}
        assert names == {"shop_" + source.name.rpartition("/")[2] for source in sources}
        assert len(views) == VIEWS
        assert {f"shop_{NAMED}{number}" for number in numbers} <= names
        versions = {view.tags["version"] for view in views if not view.name.startswith(f"shop_{NAMED}")}
        return Told(views=numbers, services=services, versions=versions)

    @property
    def acknowledged(self) -> list[int]:
        """The generations that were applied, as those who did it say."""
        return [int(line) for line in (self.folder / "acknowledged").read_text().split()]

    @property
    def began(self) -> int:
        """The generation whose apply began last; 0 before the first, and while a process writes down the next."""
        said = self.folder / "began"
        return int(said.read_text() or 0) if said.exists() else 0

    def acknowledge(self, number: int) -> None:
        """Say that a generation was applied."""
        with (self.folder / "acknowledged").open("a") as said:
            said.write(f"{number}\n")


def apply_from(place: Place, first: int, step: int, times: int) -> None:
    """Apply generations in turn, for ever without ``times``; each is acknowledged once it is registered."""
    store = place.store()
    for number in count(first, step) if times == 0 else range(first, first + step * times, step):
        (place.folder / "began").write_text(f"{number}")
        store.apply(*generation(number))
        place.acknowledge(number)


def started(place: Place, *, first: int = 0, step: int = 1, times: int = 0) -> "ForkServerProcess":
    """A process that applies; it begins at once, Feast is loaded for all of them together."""
    process = _context().Process(target=apply_from, args=(place, first, step, times), daemon=True)
    process.start()
    return process


def hold_lock(place: Place, held: "Event") -> None:
    """Be the only writer and never end."""
    with place.store()._feast() as store, only_writer(store.registry):
        held.set()
        time.sleep(600)


def hold(place: Place) -> "ForkServerProcess":
    """A process that is the only writer by now, until it is killed."""
    held = _context().Event()
    process = _context().Process(target=hold_lock, args=(place, held), daemon=True)
    process.start()
    assert held.wait(60)
    return process


def joined(processes: "Sequence[ForkServerProcess]", *, seconds: float = 120) -> None:
    """Wait for processes that end by themselves."""
    for process in processes:
        process.join(seconds)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def kills(place: Place, *, times: int, seed: int) -> int:
    """Kill an applying process ``times`` times, each at a random moment of an apply; returns how many were not done with it.

    After each kill the registry is one generation from end to end, the last that was acknowledged or its successor, and applying that
    again writes nothing: there is nothing to heal.
    """
    lot, inside, store = random.Random(seed), 0, place.store()  # noqa: S311  # moments, not secrets
    store.apply(*generation(0))
    began = time.monotonic()
    store.apply(*generation(1))
    takes = time.monotonic() - began
    place.acknowledge(1)
    for _ in range(times):
        first = place.acknowledged[-1] + 1
        (place.folder / "began").unlink(missing_ok=True)
        process = started(place, first=first)
        _await_apply(place, first + lot.randrange(2))
        time.sleep(lot.uniform(0, takes))
        process.kill()
        process.join()
        known, told = place.acknowledged[-1], place.told()
        number = int(*told.views)
        assert number in {known, known + 1}, f"acknowledged {known}, registered {number}"
        assert told == Told(views={f"{number}"}, services={f"{number}"}, versions={f"{number + 1}"})
        assert store.apply(*generation(number)).changed == ()
        inside += place.began > known
        place.acknowledge(number)
    return inside


def _await_apply(place: Place, number: int) -> None:
    deadline = time.monotonic() + 60
    while place.began < number:
        assert time.monotonic() < deadline, f"generation {number} is not applied"
        time.sleep(0.001)


def _context() -> "ForkServerContext":
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    return context
