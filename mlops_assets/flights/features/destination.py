"""How flights arrive at one destination, from whichever New York airport."""

from typing import Final

from mlops_assets.flights.contracts.departures import Departures
from mlops_assets.flights.sources.departures import DEPARTURES
from mlops_assets.specs import EntitySpec, FeatureViewSpec, days, hours
from mlops_assets.windows import mean

DESTINATION: Final = EntitySpec(name="destination", key="dest", description="A destination airport.")

DELAYS: Final = FeatureViewSpec(
    name="delays",
    entity=DESTINATION,
    source=DEPARTURES,
    owner="team:flights",
    description="Arrival delays at this destination.",
    features={
        "delay_3h": mean(Departures.arrival_delay, over=hours(3)),
        "delay_1d": mean(Departures.arrival_delay, over=days(1)),
        "delay_7d": mean(Departures.arrival_delay, over=days(7)),
    },
)
AIR_TIME: Final = FeatureViewSpec(
    name="air_time",
    entity=DESTINATION,
    source=DEPARTURES,
    owner="team:flights",
    description="Minutes in the air to this destination, lately: what the winds aloft do today.",
    features={
        "mean_6h": mean(Departures.air_time, over=hours(6)),
        "mean_12h": mean(Departures.air_time, over=hours(12)),
        "mean_1d": mean(Departures.air_time, over=days(1)),
    },
)
