"""What the registers know of one aircraft, one airline, one airport."""

from mlops_assets.table import ALWAYS, Table, column


class Aircraft(Table, available=ALWAYS, level="public"):
    """One registered aircraft: facts that were true before anyone asked."""

    tail_number: str = column(unique=True)
    built: float | None = column(unit="year", ge=1950, le=2013)
    kind: str = column(isin=("Fixed wing multi engine", "Fixed wing single engine", "Rotorcraft"))
    manufacturer: str
    aircraft_model: str
    engines: int = column(ge=1, le=4)
    seats: int = column(ge=1, le=600)
    engine: str


class Airlines(Table, available=ALWAYS, level="public"):
    """One carrier code and the name behind it."""

    carrier: str = column(unique=True)
    name: str


class Airports(Table, available=ALWAYS, level="public"):
    """One airport of the United States; four that flights go to are missing (BQN, PSE, SJU, STT)."""

    airport: str = column(unique=True, doc="FAA code.")
    name: str
    latitude: float = column(unit="deg", ge=-90, le=90)
    longitude: float = column(unit="deg", ge=-180, le=180)
    altitude: float = column(unit="ft", ge=-1500, le=15000)
    timezone: str | None = column(doc="IANA name.")
