"""How a carrier fares at one airport in these hours: the strongest sign of what comes next."""

from typing import Final

from mlops_assets.flights.contracts.departures import Departures
from mlops_assets.flights.sources.departures import DEPARTURES
from mlops_assets.specs import EntitySpec, FeatureViewSpec, at_least, days, hours
from mlops_assets.windows import mean

DESK: Final = EntitySpec(name="desk", key=("origin", "carrier"), description="A carrier at an origin airport.")

LATELY: Final = FeatureViewSpec(
    name="lately",
    entity=DESK,
    source=DEPARTURES,
    owner="team:flights",
    description="How late this carrier's flights were that left this airport in the last hours.",
    features={
        "delay_1h": mean(Departures.departure_delay, over=hours(1)),
        "delay_3h": mean(Departures.departure_delay, over=hours(3)),
        "late_3h": mean(at_least(Departures.departure_delay, 15), over=hours(3)),
        "delay_7d": mean(Departures.departure_delay, over=days(7)),
    },
)
