"""The weather at the origin, as of the last published hour."""

from datetime import timedelta
from typing import Any, Final

import polars as pl

from mlops_assets.flights.contracts.weather import Weather
from mlops_assets.flights.features.airport import AIRPORT
from mlops_assets.flights.sources.weather import HOURLY
from mlops_assets.specs import FeatureViewSpec

REPORTS_GO_STALE: Final = timedelta(hours=6)
READINGS: Final[tuple[Any, ...]] = (
    Weather.temperature, Weather.dew_point, Weather.humidity, Weather.wind_direction, Weather.wind_speed, Weather.wind_gust,
    Weather.precipitation, Weather.pressure, Weather.visibility,
)  # fmt: skip
"""Columns; to a type checker, their values."""


def observed(rows: pl.DataFrame) -> pl.DataFrame:
    """The report's values; calm air is no gust above the wind."""
    return rows.with_columns(wind_gust=pl.coalesce("wind_gust", "wind_speed"))


OBSERVED: Final = FeatureViewSpec(
    name="weather",
    entity=AIRPORT,
    source=HOURLY,
    owner="team:flights",
    description="The last weather report of this airport, at most six hours old.",
    features={reading.name: float for reading in READINGS},
    compute=observed,
    reads=READINGS,
    ttl=REPORTS_GO_STALE,
)
