"""A small table of flights for the tests of the lake."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from resources.lake import Lake

TABLE: Final = "table/flights/departures"
JANUARY: Final = "2013-01"
FEBRUARY: Final = "2013-02"


def day(n: int) -> datetime:
    return datetime(2013, 2, 1, tzinfo=UTC) + timedelta(days=n)


def flights(delays: Mapping[str, float | None]) -> pl.DataFrame:
    return pl.DataFrame({"flight": list(delays), "delay": list(delays.values())}, schema={"flight": pl.String, "delay": pl.Float64})


def delays(lake: Lake, *, partitions: Sequence[str] | None = None, version: int | None = None) -> list[tuple[str, float | None]]:
    rows = lake.read(TABLE, columns=["flight", "delay"], partitions=partitions, version=version).collect()
    return sorted(rows.rows(), key=str)


def merge(lake: Lake, given: Mapping[str, float | None], *, month: str | None = JANUARY, at: int = 0) -> int:
    return lake.merge(TABLE, flights(given), key=["flight"], partition=month, ingested_at=day(at)).inserted
