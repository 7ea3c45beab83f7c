"""Will a departure arrive 15 minutes late or more, as seen two hours before it leaves?"""

from typing import Final

from mlops_assets.flights.contracts.departures import Departures
from mlops_assets.flights.features import aircraft, airport, calendar, carrier, desk, destination, flight, route, weather
from mlops_assets.flights.models.flight_delay.score import predict
from mlops_assets.flights.models.flight_delay.train import fit
from mlops_assets.flights.sources.departures import DEPARTURES
from mlops_assets.specs import Expanding, Fair, Gate, ModelSpec, Serving, at_least, before, months

SPEC: Final = ModelSpec(
    name="flight_delay", owner="team:flights", seed=7,
    examples=DEPARTURES,
    predict_at=before(Departures.scheduled_departure, hours=2),
    label=at_least(Departures.arrival_delay, 15),
    positive="arrives 15 minutes late or more",
    features=(
        weather.OBSERVED, airport.LATELY, airport.TRAFFIC, desk.LATELY, carrier.DELAYS, route.DELAYS, destination.DELAYS,
        flight.DELAYS, aircraft.DELAYS, aircraft.FACTS, calendar.DAY,
        Departures.origin, Departures.dest, Departures.carrier, Departures.local_minute, Departures.clock_minutes, Departures.distance,
    ),
    train=fit, score=predict, train_on=Expanding(since="2013-01", at_least=months(3)),
    gate=Gate(
        floors={"auc": 0.60}, ceilings={"ece": 0.12}, slices=(Departures.origin, Departures.carrier),
        fair=(Fair(by=Departures.origin, metric="auc", most=0.2),), size_mb=2,
    ),
    serving=Serving(request=(Departures.flight_id,)),
)  # fmt: skip
