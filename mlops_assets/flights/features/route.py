"""How flights fare between one origin and one destination."""

from typing import Final

from mlops_assets.flights.contracts.departures import Departures
from mlops_assets.flights.sources.departures import DEPARTURES
from mlops_assets.specs import EntitySpec, FeatureViewSpec, at_least, days
from mlops_assets.windows import mean

ROUTE: Final = EntitySpec(name="route", key=("origin", "dest"), description="An origin and a destination.")

DELAYS: Final = FeatureViewSpec(
    name="delays",
    entity=ROUTE,
    source=DEPARTURES,
    owner="team:flights",
    description="Arrival delays on this route.",
    features={
        "delay_1d": mean(Departures.arrival_delay, over=days(1)),
        "delay_7d": mean(Departures.arrival_delay, over=days(7)),
        "late_30d": mean(at_least(Departures.arrival_delay, 15), over=days(30)),
    },
)
AIR_TIME: Final = FeatureViewSpec(
    name="air_time",
    entity=ROUTE,
    source=DEPARTURES,
    owner="team:flights",
    description="Minutes in the air on this route.",
    features={
        "mean_1d": mean(Departures.air_time, over=days(1)),
        "mean_7d": mean(Departures.air_time, over=days(7)),
        "mean_30d": mean(Departures.air_time, over=days(30)),
    },
)
