"""What online rows cost: to load, against ``feast materialize`` into Feast's own stores; to read, against Feast and the bare client."""

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

import orjson
import polars as pl
import yaml

from resources.feature_store.declarations import Service, View
from resources.feature_store.direct import Lookup, Reader, microseconds, opened
from resources.feature_store.light import load_feast
from resources.feature_store.packed_sqlite import ONE_VIEW
from resources.feature_store.store import FeatureStore
from resources.lake import DeltaLake
from tests.benchmarks.features.figure import Figure
from tests.servers.redis import Redis, redis

NOON: Final = datetime(2013, 6, 1, 12, tzinfo=UTC)
KEYS: Final = 100_000
WIDTHS: Final = (7, 6, 6, 6)
READS: Final = {1: 1000, 100: 200}
FEAST_READS: Final = {1: 300, 100: 40}
ALIKE: Final = 500


def view(number: int, width: int) -> View:
    """A view of so many numbers."""
    return View(
        name=f"v{number}", entity="thing", keys=("thing",), address=f"feature/thing/v{number}", spec_hash="1", partitioned=False,
        ttl=timedelta(days=30), features={f"x{number}_{column}": "float64" for column in range(width)},
    )  # fmt: skip


VIEWS: Final = [view(number, width) for number, width in enumerate(WIDTHS)]
WIDE: Final = view(9, 8)
LOOKUPS: Final = [Lookup.declared(one) for one in VIEWS]


def rows(one: View, keys: int) -> pl.DataFrame:
    """A row a key, each of an instant of its own in the last hour."""
    numbers = {name: pl.int_range(keys, eager=True).hash(seed).cast(pl.Float64) / 2**64 for seed, name in enumerate(one.features)}
    instants = pl.Series([NOON]).dt.cast_time_unit("us").new_from_index(0, keys) - pl.duration(seconds=pl.int_range(keys) % 3600)
    return pl.select(pl.format("key{}", pl.int_range(keys)).alias("thing"), event_timestamp=instants).with_columns(**numbers)


def world(folder: Path, url: str) -> FeatureStore:
    """A store with all views registered and their tables written."""
    store = FeatureStore(home=str(folder / "features"), project="bench", lake=DeltaLake(root=str(folder / "lake")), online_url=url)
    for one, keys in [*((one, KEYS // 10) for one in VIEWS), (WIDE, KEYS)]:
        store.lake.replace(one.address, rows(one, keys))
    store.apply([*VIEWS, WIDE], [Service(name="model", views=tuple(one.full_name for one in VIEWS))])
    return store


def feast_of(store: FeatureStore, online: dict[str, Any] | None = None) -> Any:
    """Feast on the store's folder, with ``online`` in place of our online store."""
    load_feast()
    from feast import FeatureStore as Feast
    from feast import RepoConfig

    if online is None:
        return Feast(repo_path=store.home)
    said = yaml.safe_load((Path(store.home) / "feature_store.yaml").read_text())
    peer: Any = Feast(config=RepoConfig(**{**said, "online_store": online}, repo_path=Path(store.home)))
    peer._get_provider().update_infra("bench", [], peer.list_feature_views(), [], peer.list_entities(), partial=True)
    return peer


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def percentiles(calls: Sequence[Callable[[], object]]) -> tuple[float, float]:
    """Median and 99th percentile of these calls in milliseconds, after a few to warm up."""
    for call in calls[:5]:
        call()
    found = sorted(timed(call) * 1000 for call in calls)
    return found[len(found) // 2], found[int(len(found) * 0.99)]


def loading(name: str, store: FeatureStore, peer: dict[str, Any]) -> Iterator[Figure]:
    """Rows a second into our store and into Feast's, and that both then say the same."""
    wide, feast = WIDE.full_name, feast_of(store, peer)
    theirs = timed(lambda: feast.materialize(NOON - timedelta(days=1), NOON, feature_views=[wide]))
    ours = timed(lambda: store.materialize([wide], until=NOON))
    asked = [{"thing": f"key{number}"} for number in Random(1).sample(range(KEYS), ALIKE)]  # noqa: S311  a lot, not a secret
    refs = [f"{wide}:{feature}" for feature in WIDE.features]
    assert feast_of(store).get_online_features(refs, asked).to_dict() == feast.get_online_features(refs, asked).to_dict()
    yield Figure(name=f"materialize.{name}", value=KEYS / ours, unit="rows/s")
    yield Figure(name=f"materialize.{name}.feast", value=KEYS / theirs, unit="rows/s")
    yield Figure(name=f"materialize.{name}.to_feast", value=theirs / ours, unit="x", goal=">=", bound=10)


def reading(name: str, store: FeatureStore, peer: dict[str, Any], bare: Callable[[list[list[str]]], object]) -> Iterator[Figure]:
    """25 features of four views: the direct path, Feast with its own store and on our rows, the bare client fetching the same bytes."""
    views = [one.full_name for one in VIEWS]
    store.materialize(views, until=NOON)
    own = feast_of(store, peer)
    own.materialize(NOON - timedelta(days=1), NOON, feature_views=views)
    packed = opened(store.online_url, home=Path(store.home))
    reader, at, feast = Reader(packed, project="bench", lookups=LOOKUPS), microseconds(NOON), feast_of(store)
    service = feast.get_feature_service("model")
    for entities, times in READS.items():
        lots = [[f"key{Random(call).randrange(KEYS // 10)}" for _ in range(entities)] for call in range(times)]  # noqa: S311  lots, not secrets
        keys, asked = [[lot] * len(VIEWS) for lot in lots], [[{"thing": key} for key in lot] for lot in lots]
        direct = percentiles([partial(reader.read, some, at=at) for some in keys])
        raw = percentiles([partial(bare, some) for some in keys])
        stock = percentiles([partial(stock_read, own, service, some) for some in asked[: FEAST_READS[entities]]])
        ours = percentiles([partial(stock_read, feast, service, some) for some in asked[: FEAST_READS[entities]]])
        said = stock_read(feast, service, asked[0])
        told = {column.partition("__")[2]: list(values) for one in reader.read(keys[0], at=at) for column, values in one.columns.items()}
        assert told == {column: values for column, values in said.items() if column != "thing"}
        for place, which in enumerate(("p50", "p99")):
            yield Figure(name=f"read.{name}.{entities}.{which}", value=direct[place], unit="ms")
            yield Figure(name=f"read.{name}.{entities}.{which}.to_feast", value=stock[place] / direct[place], unit="x", goal=">=", bound=5)
            yield Figure(name=f"read.{name}.{entities}.{which}.to_feast_on_our_rows", value=ours[place] / direct[place], unit="x")
            yield Figure(name=f"read.{name}.{entities}.{which}.to_bare", value=direct[place] / raw[place], unit="x", goal="<=", bound=1.3)
    packed.close()


def figures() -> Iterator[Figure]:
    """Every figure of the online side, SQLite first."""
    with redis() as server, tempfile.TemporaryDirectory() as name:
        os.environ["REDIS_PASSWORD"] = server.password
        folder = Path(name)
        store = world(folder / "sqlite", "")
        peer = {"type": "sqlite", "path": str(folder / "peer.db")}
        yield from loading("sqlite", store, peer)
        yield from reading("sqlite", store, peer, bare_sqlite(store))
        store = world(folder / "redis", server.url())
        peer = {"type": "redis", "connection_string": f"127.0.0.1:{server.port},password={server.password},db=1"}
        yield from loading("redis", store, peer)
        yield from reading("redis", store, peer, bare_redis(server))


def stock_read(feast: Any, service: Any, entities: list[dict[str, str]]) -> dict[str, list[Any]]:
    """Feast's answer as values, which is what the direct path gives."""
    return feast.get_online_features(service, entities).to_dict()


def bare_sqlite(store: FeatureStore) -> Callable[[list[list[str]]], object]:
    """The query alone."""
    connection, query = sqlite3.connect(Path(store.home) / "online.db"), " UNION ALL ".join([ONE_VIEW] * len(LOOKUPS))

    def fetch(keys: list[list[str]]) -> object:
        asked = [
            one
            for lookup, some in zip(LOOKUPS, keys, strict=True)
            for one in (orjson.dumps(some).decode(), "bench", lookup.view, lookup.layout)
        ]
        return connection.execute(query, asked).fetchall()

    return fetch


def bare_redis(server: Redis) -> Callable[[list[list[str]]], object]:
    """The pipeline alone."""
    client, names = server.client(), [f"online:bench:{one.view}:{one.layout}" for one in LOOKUPS]

    def fetch(keys: list[list[str]]) -> object:
        pipe = client.pipeline(transaction=False)
        for name, some in zip(names, keys, strict=True):
            pipe.hmget(name, some)
        return pipe.execute()

    return fetch
