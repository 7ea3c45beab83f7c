"""What one order at the kiosk is."""

from mlops_assets.table import UTC, Table, column


class Orders(Table, available="placed_at"):
    """One order: what is known when it is placed, the rest when it is handed over."""

    order_id: str = column(unique=True)
    month: str = column(doc="Local month, YYYY-MM.")
    stall: str = column(isin=("east", "north", "west"))
    items: int = column(ge=1, le=20)
    placed_at: UTC
    due_at: UTC = column(doc="When the order is promised for.")
    handed_at: UTC | None = column(available="handed_at")
    wait: float | None = column(unit="min", ge=0, le=600, available="handed_at", absent_when="lost")
    lost: bool = column(available="due_at", doc="Never handed over: no wait will come.")
