"""Nothing later than an instant has a part in what was said before it: the replayed home against its own past, byte for byte.

At 20 instants drawn by lot every table is read ``as_of``, rows of the future with absurd values are planted, and each view is built again
from the beginning: every row up to the instant equals the full run's, and with it whatever an example before the instant is joined with.
At one of them the join is made too, and every training row of both models before it equals the one in the lake.
"""

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import polars as pl
import pytest

from mlops_assets.flights.catalogue import CATALOGUE
from mlops_assets.lifecycle.examples import PREDICT_AT, known
from mlops_assets.lifecycle.features import EPOCH, declaration, feature_rows, service
from mlops_assets.lifecycle.training import training_rows
from mlops_assets.partitions import calendar_of
from mlops_assets.specs import FeatureViewSpec, ModelSpec
from resources.feature_store.store import FeatureStore
from resources.lake import LocalLake
from resources.rows import canonical
from tests.flights.test_features import known_at, planted
from tests.journeys.conftest import MONTHS

FIRST, LAST = datetime(2013, 2, 1, tzinfo=UTC), datetime(2013, 5, 1, tzinfo=UTC)
SECONDS: Final = random.Random(20).sample(range(int((LAST - FIRST).total_seconds())), 20)  # noqa: S311  a lot, not a secret
INSTANTS: Final = sorted(FIRST + timedelta(seconds=second) for second in SECONDS)
PLANTED: Final = 500


class Past:
    """The tables of the replayed home, and what was known of them at an instant, with planted rows of the future."""

    def __init__(self, lake: LocalLake) -> None:
        self._lake = lake
        self._sources = {spec.table: self._read(f"table/{spec.table}") for spec in CATALOGUE.sources}

    def _read(self, address: str) -> pl.DataFrame:
        months = [month for month in self._lake.digests(address) if month in {"", *MONTHS}]
        return self._lake.read(address, partitions=None if months == [""] else months).collect()

    def view(self, spec: FeatureViewSpec) -> pl.DataFrame:
        """The rows of a view as the replay wrote them; of a row that two months emitted, the later month's."""
        rows = self._read(f"feature/{spec.address}")
        order = [name for name in ("month",) if name in rows.columns]
        last = rows.sort(order).unique([*spec.entity.keys, "event_timestamp"], keep="last") if order else rows
        return last.select(*spec.entity.keys, *spec.features, "event_timestamp").sort(*spec.entity.keys, "event_timestamp")

    def rebuilt(self, spec: FeatureViewSpec, instant: datetime) -> pl.DataFrame:
        """A view up to an instant, made of what was known then and of planted rows that come right after it."""
        source = self._sources[spec.source.table]
        if spec.source.partitions is not None:
            future = planted(source.sample(PLANTED, seed=1), instant)
            source = pl.concat([known_at(source, spec, instant).select(source.columns), future])
        return feature_rows(spec, source, since=EPOCH, until=instant + timedelta(microseconds=1))

    def examples(self, model: ModelSpec) -> pl.DataFrame:
        """The training rows of the last cut-off as the replay wrote them."""
        return self._lake.read(f"training_set/{model.name}/examples", partitions=[MONTHS[-1]]).collect()

    def example_source(self, model: ModelSpec, instant: datetime) -> pl.DataFrame:
        """The rows of a model's examples as known at ``instant``."""
        return known(model, self._sources[model.examples.table], at=instant)


@pytest.fixture(scope="module")
def past(year: tuple[Path, str]) -> Past:
    return Past(LocalLake(root=str(year[0] / "lake")))


@pytest.mark.parametrize("spec", CATALOGUE.views, ids=lambda view: view.address)
def test_a_view_of_tables_read_as_of_an_instant_equals_the_full_run_s_up_to_it(spec: FeatureViewSpec, past: Past) -> None:
    full, compared = past.view(spec), 0
    for instant in INSTANTS:
        before = full.filter(pl.col("event_timestamp") <= instant)
        assert_same_bytes(past.rebuilt(spec, instant), before)
        compared += before.height
    assert compared > len(INSTANTS)


@pytest.mark.parametrize("model", CATALOGUE.models, ids=lambda model: model.name)
def test_every_feature_has_a_value_in_most_training_rows(model: ModelSpec, past: Past) -> None:
    rows = past.examples(model)
    assert {name for name in model.feature_names if rows[name].null_count() > rows.height / 2} == set()


def test_training_rows_of_a_lake_cut_at_an_instant_equal_those_of_the_full_run_before_it(past: Past, tmp_path: Path) -> None:
    instant = next(one for one in INSTANTS if one > datetime(2013, 4, 10, tzinfo=UTC))
    lake = LocalLake(root=str(tmp_path / "lake"))
    for spec in CATALOGUE.views:
        month = None if spec.source.partitions is None else MONTHS[-1]  # where a row lies decides nothing
        lake.replace(f"feature/{spec.address}", past.rebuilt(spec, instant), partition=month)
    store = FeatureStore(home=str(tmp_path / "features"), lake=lake, project="flights")
    views = [declaration(spec, package=CATALOGUE.package) for spec in CATALOGUE.views]
    store.apply(views, [service(model) for model in CATALOGUE.models])
    for model in CATALOGUE.models:
        rows, _ = training_rows(
            model,
            past.example_source(model, instant),
            cutoff=MONTHS[-1],
            calendar=calendar_of(CATALOGUE),
            store=store,
            versions=versions(lake),
        )
        mine = rows.filter(pl.col(PREDICT_AT) <= instant)
        full = past.examples(model).filter(pl.col("row_id").is_in(mine["row_id"].implode()))
        assert mine.height > 70_000
        assert_same_bytes(mine.sort("row_id"), full.select(mine.columns).sort("row_id"))


def versions(lake: LocalLake) -> Mapping[str, int]:
    return {f"feature/{spec.address}": lake.version(f"feature/{spec.address}") for spec in CATALOGUE.views}


def assert_same_bytes(mine: pl.DataFrame, full: pl.DataFrame) -> None:
    """Equal rows, columns and types, and equal bits of every float."""
    assert mine.schema == full.schema
    assert canonical(mine).equals(canonical(full))
