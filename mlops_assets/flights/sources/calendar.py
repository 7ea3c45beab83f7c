"""The calendar: generated, because nobody ships one."""

from datetime import date, timedelta
from typing import Final

import polars as pl

from mlops_assets.flights.contracts.days import Days
from mlops_assets.flights.sources.text import whole
from mlops_assets.specs import SourceSpec

FIRST: Final = date(2012, 12, 1)
LAST: Final = date(2014, 12, 31)


def generate(month: str | None) -> pl.DataFrame:
    """Every day from December 2012 to December 2014 with its federal holiday, as text; one table, whatever the month."""
    del month
    from holidays import country_holidays

    names = {day: name for day, name in country_holidays("US", years=range(FIRST.year, LAST.year + 2)).items() if "observed" not in name}
    days = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
    rows = [(str(day), names.get(day), _since(day, names), _until(day, names)) for day in days]
    return pl.DataFrame(rows, schema=["day", "holiday", "since", "until"], orient="row").cast(pl.String)


def _since(day: date, names: dict[date, str]) -> int:
    return min((day - holiday).days for holiday in names if holiday <= day)


def _until(day: date, names: dict[date, str]) -> int:
    return min((holiday - day).days for holiday in names if holiday >= day)


def parse(raw: pl.DataFrame) -> pl.DataFrame:
    """Generated text columns to the contract's."""
    day = pl.col("day").str.to_date("%Y-%m-%d", strict=False)
    return raw.select(
        local_day="day",
        weekday=day.dt.weekday().cast(pl.Int64),
        day_of_year=day.dt.ordinal_day().cast(pl.Int64),
        holiday="holiday",
        days_since_holiday=whole("since"),
        days_to_holiday=whole("until"),
    )


DAYS = SourceSpec(
    table="calendar/days",
    contract=Days,
    owner="team:flights",
    parse=parse,
    archive=generate,
    lands="as_declared",
    description="Days and federal holidays of the United States, 2012-12 to 2014-12.",
)
