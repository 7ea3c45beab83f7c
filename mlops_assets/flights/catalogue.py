"""Everything that the flights project has: explicit tuples, one line for each thing."""

from typing import Final

from mlops_assets.flights.features import aircraft, airport, calendar, carrier, desk, destination, flight, route, weather
from mlops_assets.flights.models.air_time import spec as air_time
from mlops_assets.flights.models.flight_delay import spec as flight_delay
from mlops_assets.flights.sources.calendar import DAYS
from mlops_assets.flights.sources.departures import DEPARTURES
from mlops_assets.flights.sources.registers import AIRCRAFT, AIRLINES, AIRPORTS
from mlops_assets.flights.sources.weather import HOURLY
from mlops_assets.specs import Catalogue

# Models read neither airports nor airlines: people do, to read a code as a name and a place.
SOURCES: Final = (DEPARTURES, HOURLY, AIRCRAFT, AIRPORTS, AIRLINES, DAYS)
VIEWS: Final = (
    weather.OBSERVED,
    airport.LATELY,
    airport.TRAFFIC,
    desk.LATELY,
    carrier.DELAYS,
    route.DELAYS,
    route.AIR_TIME,
    destination.DELAYS,
    destination.AIR_TIME,
    flight.DELAYS,
    aircraft.DELAYS,
    aircraft.FACTS,
    calendar.DAY,
)
MODELS: Final = (flight_delay.SPEC, air_time.SPEC)

CATALOGUE: Final = Catalogue(project="flights", sources=SOURCES, views=VIEWS, models=MODELS, replay=("2013-01", "2013-12"))
