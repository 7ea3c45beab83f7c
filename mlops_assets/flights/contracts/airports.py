"""What the register knows of one airport."""

from mlops_assets.table import ALWAYS, Table, column


class Airports(Table, available=ALWAYS, level="public"):
    """One airport of the United States; four that flights go to are missing (BQN, PSE, SJU, STT)."""

    airport: str = column(unique=True, doc="FAA code.")
    name: str
    latitude: float = column(unit="deg", ge=-90, le=90)
    longitude: float = column(unit="deg", ge=-180, le=180)
    altitude: float = column(unit="ft", ge=-1500, le=15000)
    timezone: str | None = column(doc="IANA name.")
