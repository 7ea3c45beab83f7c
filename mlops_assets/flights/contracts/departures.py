"""What one scheduled departure is."""

from collections.abc import Mapping
from typing import ClassVar, Final

import polars as pl

from mlops_assets.table import UTC, Table, column

FOUR_HOURS: Final = 240
SPEED: Final = pl.col("distance") * 60 / pl.col("air_time")


class Departures(Table, available="published_at", level="internal"):
    """One scheduled departure from a New York airport: the schedule when it is published, the rest when it has happened."""

    flight_id: str = column(unique=True, doc="Carrier, number and scheduled hour in UTC.")
    month: str = column(doc="Local month at the origin, YYYY-MM.")
    local_day: str = column(doc="Local day at the origin, YYYY-MM-DD.")
    local_minute: int = column(unit="min", ge=0, le=1439, doc="Scheduled departure as minutes after local midnight.")
    clock_minutes: int = column(unit="min", ge=0, le=1439, doc="Scheduled arrival minus departure, each by the clock of its own airport.")
    carrier: str
    flight_number: int = column(ge=1, le=9999)
    tail_number: str | None = column(doc="Registration of the aircraft; not always reported.")
    origin: str = column(isin=("EWR", "JFK", "LGA"))
    dest: str
    distance: float = column(unit="mi", ge=10, le=5500)
    published_at: UTC = column(doc="Thirty days before the scheduled departure.")
    scheduled_departure: UTC
    departed_at: UTC | None = column(available="departed_at")
    departure_delay: float | None = column(unit="min", ge=-120, le=2000, available="departed_at")
    landed_at: UTC | None = column(available="landed_at", doc="Departure, time in the air and 40 minutes on the ground.")
    arrival_delay: float | None = column(unit="min", ge=-120, le=2000, available="landed_at", absent_when="never_arrives")
    air_time: float | None = column(unit="min", ge=10, le=900, available="landed_at", absent_when="never_arrives")
    settled_at: UTC = column(available="settled_at", doc="The landing, or 24 hours after the schedule when there is none.")
    never_arrives: bool = column(available="settled_at", doc="Cancelled, diverted, or the arrival was not reported: no delay will come.")

    rules: ClassVar[Mapping[str, pl.Expr]] = {
        "landed after departed": pl.col("landed_at") > pl.col("departed_at"),
        "departed as late as its delay says": (pl.col("departed_at") - pl.col("scheduled_departure")).dt.total_minutes()
        == pl.col("departure_delay"),
        "distance in miles and air time in minutes give 60 to 750 mph": SPEED.is_between(60, 750),
        "gains or loses less than four hours on the way": (pl.col("arrival_delay") - pl.col("departure_delay")).abs() < FOUR_HOURS,
        "has both an arrival delay and an air time, or neither": pl.col("arrival_delay").is_null() == pl.col("air_time").is_null(),
        "never arrives or has landed": pl.col("never_arrives") == pl.col("landed_at").is_null(),
        "departs in the hour of its id": pl.col("flight_id").str.ends_with(pl.col("scheduled_departure").dt.strftime("-%Y%m%dT%HZ")),
        "departs in its month": pl.col("local_day").str.starts_with(pl.col("month")),
    }
