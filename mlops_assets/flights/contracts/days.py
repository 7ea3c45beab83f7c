"""What the calendar says of one day."""

from mlops_assets.table import ALWAYS, Table, column


class Days(Table, available=ALWAYS, level="public"):
    """One day of the calendar in the United States; known years ahead."""

    local_day: str = column(unique=True, doc="YYYY-MM-DD.")
    weekday: int = column(ge=1, le=7, doc="Monday is 1.")
    day_of_year: int = column(ge=1, le=366)
    holiday: str | None = column(doc="Name of the federal holiday on this day.")
    days_since_holiday: int = column(unit="d", ge=0, le=120, doc="Since the last federal holiday; 0 on one.")
    days_to_holiday: int = column(unit="d", ge=0, le=120, doc="To the next federal holiday; 0 on one.")
