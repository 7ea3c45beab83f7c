"""How a carrier's flights arrive, wherever they go."""

from typing import Final

from mlops_assets.flights.contracts.departures import Departures
from mlops_assets.flights.sources.departures import DEPARTURES
from mlops_assets.specs import EntitySpec, FeatureViewSpec, days, hours
from mlops_assets.windows import mean

CARRIER: Final = EntitySpec(name="carrier", key="carrier", description="An airline.")

DELAYS: Final = FeatureViewSpec(
    name="delays",
    entity=CARRIER,
    source=DEPARTURES,
    owner="team:flights",
    description="Arrival delays of this carrier's flights from New York.",
    features={
        "delay_3h": mean(Departures.arrival_delay, over=hours(3)),
        "delay_1d": mean(Departures.arrival_delay, over=days(1)),
        "delay_7d": mean(Departures.arrival_delay, over=days(7)),
        "delay_30d": mean(Departures.arrival_delay, over=days(30)),
    },
)
