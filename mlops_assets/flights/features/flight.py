"""How one flight number fares from week to week."""

from typing import Final

from mlops_assets.flights.contracts.departures import Departures
from mlops_assets.flights.sources.departures import DEPARTURES
from mlops_assets.specs import EntitySpec, FeatureViewSpec, at_least, days
from mlops_assets.windows import mean

FLIGHT: Final = EntitySpec(name="flight", key=("carrier", "flight_number"), description="A flight number of a carrier.")

DELAYS: Final = FeatureViewSpec(
    name="delays",
    entity=FLIGHT,
    source=DEPARTURES,
    owner="team:flights",
    description="Arrival delays of this flight number.",
    features={
        "delay_7d": mean(Departures.arrival_delay, over=days(7)),
        "delay_30d": mean(Departures.arrival_delay, over=days(30)),
        "late_30d": mean(at_least(Departures.arrival_delay, 15), over=days(30)),
    },
)
