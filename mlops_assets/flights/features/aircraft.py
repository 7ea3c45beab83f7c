"""What is known of the aircraft that is planned for a flight: its last days and its papers."""

from typing import Final

import polars as pl

from mlops_assets.flights.contracts.departures import Departures
from mlops_assets.flights.contracts.registers import Aircraft
from mlops_assets.flights.sources.departures import DEPARTURES
from mlops_assets.flights.sources.registers import AIRCRAFT as REGISTER
from mlops_assets.specs import EntitySpec, FeatureViewSpec, days
from mlops_assets.windows import count, mean

AIRCRAFT: Final = EntitySpec(name="aircraft", key="tail_number", description="An aircraft, by its registration.")

DELAYS: Final = FeatureViewSpec(
    name="delays",
    entity=AIRCRAFT,
    source=DEPARTURES,
    owner="team:flights",
    description="How late this aircraft was on its flights from New York.",
    features={
        "departure_delay_1d": mean(Departures.departure_delay, over=days(1)),
        "delay_1d": mean(Departures.arrival_delay, over=days(1)),
        "delay_7d": mean(Departures.arrival_delay, over=days(7)),
        "landed_1d": count(Departures.arrival_delay, over=days(1)),
    },
)


def facts(rows: pl.DataFrame) -> pl.DataFrame:
    """The register's columns as they are."""
    return rows


FACTS: Final = FeatureViewSpec(
    name="facts",
    entity=AIRCRAFT,
    source=REGISTER,
    owner="team:flights",
    description="Year, size and engines of this aircraft, from the register.",
    features={"built": float, "engines": int, "seats": int},
    compute=facts,
    reads=(Aircraft.built, Aircraft.engines, Aircraft.seats),
)
