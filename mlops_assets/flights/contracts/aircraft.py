"""What the register knows of one aircraft."""

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
