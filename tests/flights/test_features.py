from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from mlops_assets.flights.catalogue import MODELS, VIEWS
from mlops_assets.flights.features import aircraft, airport, calendar, desk, weather
from mlops_assets.flights.sources.departures import DEPARTURES
from mlops_assets.lifecycle.features import feature_rows
from mlops_assets.specs import FeatureViewSpec, SourceSpec
from mlops_assets.table import ALWAYS
from resources.rows import as_of

FIRST, LAST = datetime(2013, 2, 5, tzinfo=UTC), datetime(2013, 2, 13, tzinfo=UTC)
INGESTED = datetime(2013, 3, 1, 5, tzinfo=UTC)
MONTHLY = [view for view in VIEWS if view.source.partitions is not None]
NOON_IN_A_STORM = datetime(2013, 2, 8, 17, tzinfo=UTC)
LATE_EVENING = datetime(2013, 2, 11, 3, 30, tzinfo=UTC)


def stamped(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(ingested_at=pl.lit(INGESTED, pl.Datetime("us", "UTC")))


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    """Eight days of February, with the snow storm of the 8th, as the lake would hold them."""
    whole = {spec.table: spec.parse(spec.archive("2013-02" if spec.partitions else None)) for spec in _sources() if spec.archive}
    inside = pl.col("published_at").is_between(FIRST - timedelta(days=30), LAST, closed="left")
    return {name: stamped(frame.filter(inside) if "published_at" in frame.columns else frame) for name, frame in whole.items()}


def _sources() -> list[SourceSpec]:
    return list({view.source.table: view.source for view in VIEWS}.values())


def rows(view: FeatureViewSpec, source: pl.DataFrame) -> pl.DataFrame:
    return feature_rows(view, source, since=datetime(1970, 1, 1, tzinfo=UTC), until=LAST)


def known_at(source: pl.DataFrame, view: FeatureViewSpec, instant: datetime) -> pl.DataFrame:
    table = view.source.contract
    later = {name: column.available for name, column in table.columns.items() if column.available not in {ALWAYS, table.available}}
    return as_of(source, key=table.key, instant=table.available, availability=later, lands="as_declared", at=instant)


def planted(source: pl.DataFrame, instant: datetime) -> pl.DataFrame:
    """A copy of every row with other keys and absurd values, all of whose instants come right after ``instant``."""
    soon = pl.lit(instant + timedelta(microseconds=1), pl.Datetime("us", "UTC"))
    instants = [
        name
        for name, dtype in source.schema.items()
        if isinstance(dtype, pl.Datetime) and name not in {"ingested_at", "scheduled_departure"}
    ]
    later = soon + pl.int_range(1, pl.len() + 1) * pl.duration(microseconds=1)
    numbers = [name for name, dtype in source.schema.items() if dtype == pl.Float64]
    return source.with_columns(soon.alias(name) for name in instants).with_columns(
        *(pl.lit(1e4).alias(name) for name in numbers),
        *((pl.lit("planted ") + pl.col("flight_id")).alias("flight_id") for _ in range("flight_id" in source.columns)),
        *(later.alias("observed_hour") for _ in range("observed_hour" in source.columns)),
    )


@pytest.mark.parametrize("view", MONTHLY, ids=lambda view: view.address)
@pytest.mark.parametrize("instant", [NOON_IN_A_STORM, LATE_EVENING], ids=["noon in a storm", "late evening"])
def test_what_happens_later_changes_no_feature_row(view: FeatureViewSpec, instant: datetime, tables: dict[str, pl.DataFrame]) -> None:
    source = tables[view.source.table]
    before = pl.col("event_timestamp") <= instant
    full = rows(view, source).filter(before)
    past = pl.concat([known_at(source, view, instant).select(source.columns), planted(source, instant)])
    assert full.height > 0
    assert rows(view, past).filter(before).equals(full)


@pytest.mark.parametrize("hour", range(0, 48, 5))
def test_the_delay_of_a_desk_is_the_mean_over_what_left_in_the_three_hours_before(hour: int, tables: dict[str, pl.DataFrame]) -> None:
    instant = datetime(2013, 2, 9, 12, 7, tzinfo=UTC) + timedelta(hours=hour)
    flights = tables[DEPARTURES.table].filter(origin="JFK", carrier="B6")
    left = flights.filter((pl.col("departed_at") <= instant) & (pl.col("departed_at") > instant - timedelta(hours=3)))
    made = rows(desk.LATELY, flights).filter(pl.col("event_timestamp") <= instant).tail(1)
    mean = left["departure_delay"].mean()
    assert made["delay_3h"][0] == (pytest.approx(mean) if mean is not None else None)


def test_traffic_counts_the_schedule_of_the_next_hours_flown_or_not(tables: dict[str, pl.DataFrame]) -> None:
    flights = tables[DEPARTURES.table].filter(origin="LGA")
    coming = flights.filter(pl.col("scheduled_departure").is_between(NOON_IN_A_STORM, NOON_IN_A_STORM + timedelta(hours=2), closed="right"))
    made = rows(airport.TRAFFIC, flights).filter(pl.col("event_timestamp") <= NOON_IN_A_STORM).tail(1)
    assert made["scheduled_2h"][0] == coming.height
    assert coming["never_arrives"].any()


def test_weather_is_stamped_an_hour_after_its_label_and_goes_stale(tables: dict[str, pl.DataFrame]) -> None:
    made = rows(weather.OBSERVED, tables["weather/hourly"]).filter(origin="JFK").sort("event_timestamp")
    report = tables["weather/hourly"].filter(origin="JFK").sort("observed_hour")
    assert (made["event_timestamp"] - report["observed_hour"]).dt.total_minutes().unique().to_list() == [60]
    assert weather.OBSERVED.ttl == timedelta(hours=6)


def test_calm_air_gusts_like_the_wind_and_an_unmeasured_wind_not_at_all() -> None:
    given = pl.DataFrame(
        {"wind_gust": [None, 30.0, None], "wind_speed": [10.0, 20.0, None]}, schema={"wind_gust": pl.Float64, "wind_speed": pl.Float64}
    )
    assert weather.observed(given)["wind_gust"].to_list() == [10.0, 30.0, None]


def test_facts_that_were_always_true_are_stamped_with_the_epoch(tables: dict[str, pl.DataFrame]) -> None:
    facts, days = rows(aircraft.FACTS, tables["aircraft/register"]), rows(calendar.DAY, tables["calendar/days"])
    assert facts["event_timestamp"].unique().to_list() == days["event_timestamp"].unique().to_list() == [datetime(1970, 1, 1, tzinfo=UTC)]
    assert days.filter(pl.col("is_holiday"))["local_day"].is_in(["2013-07-04", "2013-12-25"]).sum() == 2


def test_flight_delay_reads_at_least_25_features_of_at_least_four_entities() -> None:
    spec = next(model for model in MODELS if model.name == "flight_delay")
    assert len(spec.feature_names) >= 25
    assert len({view.entity.name for view in spec.views}) >= 4
