from datetime import UTC, date, datetime

import polars as pl
import pytest

from mlops_assets.flights.catalogue import SOURCES
from mlops_assets.flights.sources.archive import NotInArchive
from mlops_assets.flights.sources.calendar import DAYS
from mlops_assets.flights.sources.departures import DEPARTURES
from mlops_assets.flights.sources.weather import HOURLY
from mlops_assets.specs import SourceSpec
from tests.flights.rules import broken


def raw(spec: SourceSpec, month: str | None = None) -> pl.DataFrame:
    assert spec.archive is not None
    return spec.archive(month)


def parsed(spec: SourceSpec, month: str | None = None) -> pl.DataFrame:
    return spec.parse(raw(spec, month))


@pytest.fixture(scope="module")
def year() -> pl.DataFrame:
    return parsed(DEPARTURES)


def flight(**said: str | None) -> pl.DataFrame:
    """The first flight of the year as text, with some of its fields told otherwise."""
    return raw(DEPARTURES, "2013-01").head(1).with_columns(pl.lit(value, pl.String).alias(name) for name, value in said.items())


@pytest.mark.parametrize("spec", SOURCES, ids=lambda spec: spec.table)
def test_a_parsed_source_has_the_columns_types_and_keys_of_its_contract(spec: SourceSpec) -> None:
    frame = parsed(spec)
    assert dict(frame.schema) == {name: column.dtype for name, column in spec.contract.columns.items()}
    assert frame.select(spec.contract.key).is_duplicated().sum() == 0


@pytest.mark.parametrize("spec", [spec for spec in SOURCES if spec is not HOURLY], ids=lambda spec: spec.table)
def test_the_archive_keeps_its_contract(spec: SourceSpec) -> None:
    assert broken(spec.contract, parsed(spec)) == {}


def test_nine_weather_reports_of_the_year_break_their_contract() -> None:
    assert broken(HOURLY.contract, parsed(HOURLY)) == {
        "wind_speed is above 150": 1,
        "humidity agrees with temperature and dew point in Fahrenheit": 8,
    }


def test_the_year_has_336776_flights_of_which_27564_of_28330_in_april_are_labelled(year: pl.DataFrame) -> None:
    april = parsed(DEPARTURES, "2013-04")
    assert (year.height, april.height, april["arrival_delay"].count()) == (336_776, 28_330, 27_564)


def test_flights_that_never_arrive_are_settled_a_day_after_the_schedule(year: pl.DataFrame) -> None:
    never = year.filter("never_arrives")
    assert never.height == 9_430
    assert never["arrival_delay"].null_count() == never["air_time"].null_count() == never.height
    assert (never["settled_at"] - never["scheduled_departure"]).dt.total_hours().unique().to_list() == [24]
    assert (year.filter(~pl.col("never_arrives"))["settled_at"] == year.drop_nulls("landed_at")["landed_at"]).all()


def test_the_month_of_a_flight_is_local_and_differs_from_utc_for_1218(year: pl.DataFrame) -> None:
    assert year.filter(pl.col("scheduled_departure").dt.strftime("%Y-%m") != pl.col("month")).height == 1_218
    evening = year.filter((pl.col("local_day") == "2013-12-31") & (pl.col("scheduled_departure") >= datetime(2014, 1, 1, tzinfo=UTC)))
    assert evening["month"].unique().to_list() == ["2013-12"]
    assert evening.height > 0


@pytest.mark.parametrize(
    ("day", "expected"),
    [("9", "2013-03-09T15:00:00"), ("10", "2013-03-10T14:00:00")],
    ids=["winter time", "summer time"],
)
def test_ten_in_the_morning_is_an_hour_earlier_in_utc_once_the_clocks_went_forward(day: str, expected: str) -> None:
    row = flight(month="3", day=day, hour="10", minute="0", time_hour=f"{expected}Z")
    assert DEPARTURES.parse(row)["scheduled_departure"].dt.strftime("%Y-%m-%dT%H:%M:%S").to_list() == [expected]


@pytest.mark.parametrize("hour", ["05", "06"])
def test_in_the_repeated_hour_time_hour_says_which_one_is_meant(hour: str) -> None:
    row = flight(month="11", day="3", hour="1", minute="30", time_hour=f"2013-11-03T{hour}:00:00Z")
    assert DEPARTURES.parse(row)["scheduled_departure"][0] == datetime(2013, 11, 3, int(hour), 30, tzinfo=UTC)


def test_a_local_time_that_no_clock_showed_is_refused_by_the_contract() -> None:
    row = flight(month="3", day="10", hour="2", minute="30", time_hour="2013-03-10T07:00:00Z")
    assert "scheduled_departure is null" in broken(DEPARTURES.contract, DEPARTURES.parse(row))


def test_a_flight_that_leaves_after_midnight_departs_on_the_next_day() -> None:
    row = DEPARTURES.parse(flight(hour="23", minute="55", time_hour="2013-01-02T04:00:00Z", dep_delay="20", air_time="60"))
    assert row["departed_at"][0] == datetime(2013, 1, 2, 5, 15, tzinfo=UTC)
    assert row["landed_at"][0] == datetime(2013, 1, 2, 6, 55, tzinfo=UTC)
    assert row["local_day"][0] == "2013-01-01"


@pytest.mark.parametrize(
    ("said", "check"),
    [
        ({"dep_delay": "soon"}, "departure_delay is above 2000"),
        ({"arr_delay": "1e9"}, "arrival_delay is above 2000"),
        ({"air_time": "twelve"}, "air_time is above 900"),
        ({"flight": "UA1"}, "flight_number is null"),
        ({"time_hour": "yesterday"}, "flight_id is null"),
        ({"day": "32"}, "scheduled_departure is null"),
        ({"origin": "LHR"}, "origin is unknown"),
        ({"air_time": "13620"}, "air_time is above 900"),
        ({"distance": "2253", "air_time": "160"}, "distance in miles and air time in minutes give 60 to 750 mph"),
        ({"arr_delay": "660"}, "gains or loses less than four hours on the way"),
        ({"arr_delay": None}, "has both an arrival delay and an air time, or neither"),
        ({"month": "2"}, "departs in its month"),
    ],
)
def test_a_value_that_cannot_be_true_breaks_a_named_check(said: dict[str, str | None], check: str) -> None:
    found = DEPARTURES.parse(flight(**said))
    if check == "departs in its month":
        found = found.with_columns(month=pl.lit("2013-01"))
    assert check in broken(DEPARTURES.contract, found)


@pytest.mark.parametrize("month", ["2013-01", "2013-07"])
def test_distances_in_kilometres_break_more_rows_than_a_month_may_lose(month: str) -> None:
    miles = raw(DEPARTURES, month)
    kilometres = miles.with_columns((pl.col("distance").cast(pl.Float64) * 1.609344).cast(pl.String))
    rule = "distance in miles and air time in minutes give 60 to 750 mph"
    assert broken(DEPARTURES.contract, DEPARTURES.parse(kilometres))[rule] > DEPARTURES.reject_at_most * miles.height


def test_temperatures_in_celsius_break_more_rows_than_a_month_may_lose() -> None:
    given = raw(HOURLY, "2013-04")
    celsius = given.with_columns(((pl.col(name).cast(pl.Float64) - 32) / 1.8).cast(pl.String) for name in ("temp", "dewp"))
    rule = "humidity agrees with temperature and dew point in Fahrenheit"
    assert broken(HOURLY.contract, HOURLY.parse(celsius))[rule] > HOURLY.reject_at_most * given.height


def test_both_reports_of_the_repeated_hour_are_kept_apart() -> None:
    day = parsed(HOURLY, "2013-11").filter(pl.col("observed_hour").dt.date() == date(2013, 11, 3), origin="JFK")
    assert {5, 6} <= set(day["observed_hour"].dt.hour())
    assert (day["published_at"] - day["observed_hour"]).dt.total_minutes().unique().to_list() == [60]


def test_the_month_of_a_report_is_local_and_differs_from_utc_for_141() -> None:
    reports = parsed(HOURLY)
    local = pl.col("observed_hour").dt.convert_time_zone("America/New_York").dt.strftime("%Y-%m")
    assert reports.filter(local != pl.col("month")).height == 0
    assert reports.filter(pl.col("observed_hour").dt.strftime("%Y-%m") != pl.col("month")).height == 141


def test_the_calendar_counts_days_to_and_from_holidays() -> None:
    days = parsed(DAYS)
    assert (days["local_day"].min(), days["local_day"].max(), days.height) == ("2012-11-22", "2015-01-01", 771)
    eve = days.row(by_predicate=pl.col("local_day") == "2013-11-27", named=True)
    assert (eve["weekday"], eve["holiday"], eve["days_since_holiday"], eve["days_to_holiday"]) == (3, None, 16, 1)
    thanksgiving = days.row(by_predicate=pl.col("local_day") == "2013-11-28", named=True)
    assert (thanksgiving["holiday"], thanksgiving["days_since_holiday"], thanksgiving["days_to_holiday"]) == ("Thanksgiving Day", 0, 0)


@pytest.mark.parametrize("month", ["2012-12", "2014-01"])
def test_a_month_outside_the_archive_is_refused_by_name(month: str) -> None:
    with pytest.raises(NotInArchive, match=month):
        raw(DEPARTURES, month)
