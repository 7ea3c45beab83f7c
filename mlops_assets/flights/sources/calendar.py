"""The calendar: generated, because nobody ships one."""

from datetime import date
from typing import Final

import polars as pl

from mlops_assets.flights.contracts.days import Days
from mlops_assets.specs import SourceSpec

FIRST: Final = date(2012, 11, 22)
LAST: Final = date(2015, 1, 1)
"""Holidays both: on each side of every day between them there is one to count from."""


def generate(month: str | None) -> pl.DataFrame:
    """Every day from November 2012 to the first of 2015 with its federal holiday, as text; one table, whatever the month."""
    del month
    from holidays import country_holidays

    names = {str(day): name for day, name in country_holidays("US", years=range(2012, 2016)).items() if "observed" not in name}
    days = pl.date_range(FIRST, LAST, eager=True).cast(pl.String)
    return pl.DataFrame({"day": days, "holiday": [names.get(day) for day in days]}, schema_overrides={"holiday": pl.String})


def parse(raw: pl.DataFrame) -> pl.DataFrame:
    """Generated text columns to the contract's."""
    day = pl.col("day").str.to_date("%Y-%m-%d", strict=False)
    free = pl.when(pl.col("holiday").is_not_null()).then(day)
    return raw.select(
        local_day="day",
        weekday=day.dt.weekday().cast(pl.Int64),
        day_of_year=day.dt.ordinal_day().cast(pl.Int64),
        holiday="holiday",
        days_since_holiday=(day - free.forward_fill()).dt.total_days(),
        days_to_holiday=(free.backward_fill() - day).dt.total_days(),
    )


DAYS = SourceSpec(
    table="calendar/days",
    contract=Days,
    owner="team:flights",
    parse=parse,
    archive=generate,
    lands="as_declared",
    description="Days and federal holidays of the United States, 2012-11-22 to 2015-01-01.",
)
