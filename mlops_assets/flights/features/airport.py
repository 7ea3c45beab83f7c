"""What an origin airport goes through: its departures of the last hours and what its schedule holds next."""

from typing import Final

from mlops_assets.flights.contracts.departures import Departures
from mlops_assets.flights.sources.departures import DEPARTURES
from mlops_assets.specs import EntitySpec, FeatureViewSpec, at_least, hours
from mlops_assets.windows import count, mean

AIRPORT: Final = EntitySpec(name="airport", key="origin", description="An origin airport.")

LATELY: Final = FeatureViewSpec(
    name="lately",
    entity=AIRPORT,
    source=DEPARTURES,
    owner="team:flights",
    description="How late the flights were that left this airport in the last hours.",
    features={
        "delay_1h": mean(Departures.departure_delay, over=hours(1)),
        "delay_3h": mean(Departures.departure_delay, over=hours(3)),
        "late_3h": mean(at_least(Departures.departure_delay, 15), over=hours(3)),
        "departed_1h": count(Departures.departure_delay, over=hours(1)),
    },
)
TRAFFIC: Final = FeatureViewSpec(
    name="traffic",
    entity=AIRPORT,
    source=DEPARTURES,
    owner="team:flights",
    description="How many departures the published schedule holds.",
    features={
        "scheduled_2h": count(Departures.flight_number, at=Departures.scheduled_departure, over=hours(2), ahead=hours(2)),
        "scheduled_next_4h": count(Departures.flight_number, at=Departures.scheduled_departure, over=hours(4), ahead=hours(4)),
    },
)
