"""What an offline store must do: for any tables and examples, give what a plain loop over all rows gives.

Feast's own suite passes on a store that ignores ttl; this one is not optional for anything that training rows come from.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import polars as pl
import pytest
from deltalake import write_deltalake
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from resources.feature_store import configuration
from resources.feature_store.declarations import Dtype, View
from resources.feature_store.light import load_feast
from resources.feature_store.registration import entities_of, feature_view

START: Final = datetime(2013, 1, 31, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
TICK: Final = timedelta(microseconds=1)
INSTANT: Final = pl.Datetime("us", "UTC")
BIG: Final = 2**53 + 1
"""The first integer that a float cannot hold."""

KEY_TYPES: Final[Mapping[str, pl.DataType]] = {"k": pl.String(), "j": pl.Int64()}
FEATURES: Final[Mapping[str, Dtype]] = {"x": "int64", "text": "string"}
ROW: Final[Mapping[str, pl.DataType]] = {"x": pl.Int64(), "text": pl.String(), "event_timestamp": INSTANT}


@dataclass(frozen=True, kw_only=True)
class Table:
    """A view's rows in the order in which they were written; two views have features of the same names."""

    keys: tuple[str, ...]
    ttl: timedelta | None
    partitioned: bool
    rows: tuple[Mapping[str, Any], ...]

    @property
    def view(self) -> View:
        """Its declaration."""
        name = "by_" + "_and_".join(self.keys)
        return View(
            name=name, entity="thing", keys=self.keys, key_types={"j": "int64"}, address=f"feature/thing/{name}", features=FEATURES,
            spec_hash="1", ttl=self.ttl, partitioned=self.partitioned,
        )  # fmt: skip

    def frame(self) -> pl.DataFrame:
        """What is written."""
        schema = {**{key: KEY_TYPES[key] for key in self.keys}, **ROW, **({"month": pl.String()} if self.partitioned else {})}
        return pl.DataFrame(list(self.rows), schema=schema)

    def held(self, asked: Mapping[str, Any]) -> tuple[int | None, str | None]:
        """The plain reading of the contract: the last of the rows of this key that are neither from the future nor too old."""
        at, wanted = asked["event_timestamp"], [asked[key] for key in self.keys]
        if at is None or None in wanted:
            return None, None
        of_key = [row for row in self.rows if [row[key] for key in self.keys] == wanted and row["event_timestamp"] is not None]
        past = [row for row in of_key if row["event_timestamp"] <= at]
        if not past:
            return None, None
        _, last = max(enumerate(past), key=lambda placed: (placed[1]["event_timestamp"], placed[1].get("month", ""), placed[0]))
        fresh = not self.ttl or at - last["event_timestamp"] <= self.ttl
        return (last["x"], last["text"]) if fresh else (None, None)


def instant(hours: int, ticks: int) -> datetime:
    return START + hours * HOUR + ticks * TICK


INSTANTS: Final[st.SearchStrategy[datetime | None]] = st.one_of(
    st.none(), st.builds(instant, st.integers(0, 6), st.sampled_from([0, 0, 0, -1, 1]))
)
KEYS: Final[Mapping[str, st.SearchStrategy[Any]]] = {"k": st.sampled_from(["a", "b", "", None]), "j": st.sampled_from([0, 1, BIG, None])}


def tables(keys: tuple[str, ...], *, partitioned: bool) -> st.SearchStrategy[Table]:
    row: dict[str, st.SearchStrategy[Any]] = {key: KEYS[key] for key in keys}
    row |= {"event_timestamp": INSTANTS, "x": st.sampled_from([None, 0, 1, 2, BIG]), "text": st.sampled_from([None, "", "é"])}
    row |= {"month": st.sampled_from(["2013-01", "2013-02", "2013-10"])} if partitioned else {}
    ttls = st.sampled_from([None, timedelta(0), TICK, HOUR, 2 * HOUR])
    return st.builds(
        Table,
        keys=st.just(keys),
        ttl=ttls,
        partitioned=st.just(partitioned),
        rows=st.lists(st.fixed_dictionaries(row), max_size=14).map(tuple),
    )


ASKED: Final = st.lists(
    st.fixed_dictionaries({**KEYS, "event_timestamp": INSTANTS, "label": st.sampled_from([0, 1])}), max_size=10
).flatmap(lambda rows: st.lists(st.sampled_from(rows), max_size=14) if rows else st.just([]))
"""Examples, often the very same one several times."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


def retrieved(folder: Path, two: Sequence[Table], spine: pl.DataFrame, *, versions: Mapping[str, int] | None = None) -> pl.DataFrame:
    """What the configured offline store gives, asked as Feast asks it."""
    load_feast()
    from feast import RepoConfig
    from feast.infra.provider import get_provider

    said = configuration.settings(folder, "things")
    config = RepoConfig(**{**said, "offline_store": {**said["offline_store"], "versions": dict(versions or {})}}, repo_path=folder)
    views = [table.view for table in two]
    entities = entities_of(views)
    feature_views = [feature_view(view, str(folder / view.address), entities) for view in views]
    references = [f"{view.full_name}:{name}" for view in views for name in FEATURES]
    provider: Any = get_provider(config)
    job = provider.get_historical_features(
        config=config, feature_views=feature_views, feature_refs=references, entity_df=spine, registry=None, project="things",
        full_feature_names=True, filter_by_created_timestamp=True,
    )  # fmt: skip
    return job.to_polars()


def write(folder: Path, table: Table) -> None:
    place = folder / table.view.address
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    write_deltalake(place, table.frame(), partition_by=["month"] if table.partitioned else None)


def spine_of(asked: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(list(asked), schema={**KEY_TYPES, "event_timestamp": INSTANT, "label": pl.Int8()})


def at(hours: float, **values: object) -> dict[str, object]:
    return {"k": "a", "j": 1, "event_timestamp": START + hours * HOUR, **values}


def one(*rows: dict[str, object], ttl: timedelta | None = None, partitioned: bool = False) -> Table:
    return Table(keys=("k",), ttl=ttl, partitioned=partitioned, rows=tuple({"text": None, **row} for row in rows))


NOTHING: Final = Table(keys=("k", "j"), ttl=None, partitioned=False, rows=())


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(first=tables(("k",), partitioned=True), second=tables(("k", "j"), partitioned=False), asked=ASKED)
@example(first=one(at(0, x=1), ttl=2 * HOUR), second=NOTHING, asked=[at(2, label=0), at(2, label=1), at(2.001, label=0)])
@example(first=one(at(1, x=1)), second=NOTHING, asked=[at(1, label=0), at(0.999, label=0), at(9000, label=1)])
@example(
    first=one(at(1, x=2, month="2013-02"), at(1, x=1, month="2013-01"), partitioned=True),
    second=NOTHING,
    asked=[at(1, label=0), at(2, label=0)],
)
@example(first=one(at(1, x=1), at(2, x=None)), second=NOTHING, asked=[at(3, label=0)])
@example(first=one(at(1, x=1, k=None)), second=NOTHING, asked=[at(2, label=0, k=None), at(2, label=0)])
@example(
    first=one(at(1, x=1) | {"event_timestamp": None}), second=NOTHING, asked=[at(2, label=0), at(2, label=0) | {"event_timestamp": None}]
)
def test_every_example_gets_what_a_loop_over_all_rows_finds(folder: Path, first: Table, second: Table, asked: list[dict[str, Any]]) -> None:
    for table in (first, second):
        write(folder, table)
    spine = spine_of(asked)

    result = retrieved(folder, [first, second], spine)

    assert result.select(spine.columns).equals(spine)
    assert result.schema == {
        **spine.schema,
        **{f"{table.view.full_name}__{name}": ROW[name] for table in (first, second) for name in FEATURES},
    }
    for table in (first, second):
        found = result.select(f"{table.view.full_name}__{name}" for name in FEATURES).rows()
        assert found == [table.held(row) for row in asked]


def test_a_pinned_version_gives_the_rows_of_then(folder: Path) -> None:
    old, new = one(at(0, x=1)), one(at(0, x=2))
    write(folder, old)
    write(folder, NOTHING)
    write_deltalake(folder / old.view.address, new.frame(), mode="overwrite")
    spine = spine_of([at(1, label=0)])

    then = retrieved(folder, [old, NOTHING], spine, versions={old.view.address: 0})
    now = retrieved(folder, [old, NOTHING], spine)

    assert (then["thing_by_k__x"].item(), now["thing_by_k__x"].item()) == (1, 2)
