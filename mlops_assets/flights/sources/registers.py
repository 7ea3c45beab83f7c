"""Registers of aircraft, airports and airlines: small tables that arrive whole."""

import polars as pl

from mlops_assets.flights.contracts.registers import Aircraft, Airlines, Airports
from mlops_assets.flights.sources.archive import archive
from mlops_assets.flights.sources.text import number, whole
from mlops_assets.specs import SourceSpec


def parse_aircraft(raw: pl.DataFrame) -> pl.DataFrame:
    """Raw columns of planes.csv to the contract's; ``speed`` is left out, 23 of 3,322 rows have one."""
    return raw.select(
        tail_number="tailnum",
        built=number("year"),
        kind="type",
        manufacturer="manufacturer",
        aircraft_model="model",
        engines=whole("engines"),
        seats=whole("seats"),
        engine="engine",
    )


def parse_airports(raw: pl.DataFrame) -> pl.DataFrame:
    """Raw columns of airports.csv to the contract's."""
    return raw.select(airport="faa", name="name", latitude=number("lat"), longitude=number("lon"), altitude=number("alt"), timezone="tzone")


def parse_airlines(raw: pl.DataFrame) -> pl.DataFrame:
    """Raw columns of airlines.csv to the contract's."""
    return raw.select(carrier="carrier", name="name")


AIRCRAFT = SourceSpec(
    table="aircraft/register",
    contract=Aircraft,
    owner="team:flights",
    parse=parse_aircraft,
    archive=archive("planes.csv"),
    lands="as_declared",
    reject_at_most=0.001,
    description="What the register knows of each aircraft.",
)
AIRPORTS = SourceSpec(
    table="airports/register",
    contract=Airports,
    owner="team:flights",
    parse=parse_airports,
    archive=archive("airports.csv"),
    lands="as_declared",
    description="Where each airport is.",
)
AIRLINES = SourceSpec(
    table="airlines/register",
    contract=Airlines,
    owner="team:flights",
    parse=parse_airlines,
    archive=archive("airlines.csv"),
    lands="as_declared",
    description="What each carrier is called.",
)
