"""What one hourly weather report of an airport is."""

from collections.abc import Mapping
from typing import ClassVar, Final

import polars as pl

from mlops_assets.table import UTC, Table, column

NEW_YORK: Final = "America/New_York"
"""The clock of all three origins."""

DISAGREE: Final = 15
"""Percent by which sensors may contradict each other; eight reports of 2013 do more, and most would if temperatures came in Celsius."""


def _vapour(temperature: str) -> pl.Expr:
    celsius = (pl.col(temperature) - 32) / 1.8
    return (17.625 * celsius / (243.04 + celsius)).exp()


class Weather(Table, available="published_at", level="public", key=("origin", "observed_hour")):
    """The last routine report of one hour at one airport; it is taken about nine minutes before that hour ends."""

    origin: str = column(isin=("EWR", "JFK", "LGA"))
    month: str = column(doc="Local month at the airport, YYYY-MM.")
    observed_hour: UTC = column(doc="Start of the hour.")
    published_at: UTC = column(doc="End of the hour.")
    temperature: float | None = column(unit="degF", ge=-40, le=120)
    dew_point: float | None = column(unit="degF", ge=-60, le=90)
    humidity: float | None = column(unit="%", ge=0, le=100)
    wind_direction: float | None = column(unit="deg", ge=0, le=360)
    wind_speed: float | None = column(unit="mph", ge=0, le=150)
    wind_gust: float | None = column(unit="mph", ge=0, le=200, doc="Null without gusts.")
    precipitation: float = column(unit="in", ge=0, le=10)
    pressure: float | None = column(unit="hPa", ge=870, le=1085)
    visibility: float = column(unit="mi", ge=0, le=10)

    rules: ClassVar[Mapping[str, pl.Expr]] = {
        "dew point is not above temperature": pl.col("dew_point") <= pl.col("temperature"),
        "humidity agrees with temperature and dew point in Fahrenheit": (
            (100 * _vapour("dew_point") / _vapour("temperature") - pl.col("humidity")).abs() <= DISAGREE
        ),
        "gusts are not below the wind": pl.col("wind_gust") >= pl.col("wind_speed"),
        "observed in its month": pl.col("observed_hour").dt.convert_time_zone(NEW_YORK).dt.strftime("%Y-%m") == pl.col("month"),
        "published an hour after the label": pl.col("published_at") - pl.col("observed_hour") == pl.duration(hours=1),
    }
