"""What day it is."""

from typing import Final

import polars as pl

from mlops_assets.flights.contracts.days import Days
from mlops_assets.flights.sources.calendar import DAYS
from mlops_assets.specs import EntitySpec, FeatureViewSpec

CALENDAR: Final = EntitySpec(name="calendar", key="local_day", description="A local day.")


def day(rows: pl.DataFrame) -> pl.DataFrame:
    """Weekday and holidays; the name of the holiday becomes a flag."""
    return rows.with_columns(is_holiday=pl.col("holiday").is_not_null()).drop("holiday")


DAY: Final = FeatureViewSpec(
    name="day",
    entity=CALENDAR,
    source=DAYS,
    owner="team:flights",
    description="The weekday and how far the holidays are.",
    features={"weekday": int, "is_holiday": bool, "days_since_holiday": int, "days_to_holiday": int},
    compute=day,
    reads=(Days.weekday, Days.holiday, Days.days_since_holiday, Days.days_to_holiday),
)
