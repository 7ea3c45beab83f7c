"""How many minutes will a departure spend in the air, as seen two hours before it leaves?"""

from typing import Final

from mlops_assets.flights.contracts.departures import Departures
from mlops_assets.flights.features import aircraft, airport, calendar, destination, route, weather
from mlops_assets.flights.models.air_time.score import predict
from mlops_assets.flights.models.air_time.train import fit
from mlops_assets.flights.sources.departures import DEPARTURES
from mlops_assets.specs import Expanding, Gate, ModelSpec, Serving, before, months, value

SPEC: Final = ModelSpec(
    name="air_time", owner="team:flights", seed=7,
    examples=DEPARTURES,
    predict_at=before(Departures.scheduled_departure, hours=2),
    label=value(Departures.air_time),
    features=(
        weather.OBSERVED, airport.LATELY, airport.TRAFFIC, route.AIR_TIME, destination.AIR_TIME, aircraft.FACTS, calendar.DAY,
        Departures.origin, Departures.dest, Departures.carrier, Departures.local_minute, Departures.clock_minutes, Departures.distance,
    ),
    train=fit, score=predict, train_on=Expanding(since="2013-01", at_least=months(3)),
    gate=Gate(ceilings={"mae": 8.0}, slices=(Departures.origin, Departures.carrier), size_mb=2),
    serving=Serving(request=(Departures.flight_id,)),
)  # fmt: skip
