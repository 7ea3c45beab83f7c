"""What one airline is called."""

from mlops_assets.table import ALWAYS, Table, column


class Airlines(Table, available=ALWAYS, level="public"):
    """One carrier code and the name behind it."""

    carrier: str = column(unique=True)
    name: str
