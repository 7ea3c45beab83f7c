"""A contract's ranges and rules as counts of broken rows, without pandera: what the tests of the sources hold the year against."""

import polars as pl

from mlops_assets.table import Table


def broken(contract: type[Table], frame: pl.DataFrame) -> dict[str, int]:
    """How many rows break each check that any row breaks."""
    checks: dict[str, pl.Expr] = {}
    for name, column in contract.columns.items():
        value = pl.col(name)
        if not column.nullable:
            checks[f"{name} is null"] = value.is_null()
        if column.ge is not None:
            checks[f"{name} is below {column.ge:g}"] = value < column.ge
        if column.le is not None:
            checks[f"{name} is above {column.le:g}"] = value > column.le
        if column.isin:
            checks[f"{name} is unknown"] = ~value.is_in(column.isin)
    checks |= {name: ~rule for name, rule in contract.rules.items()}
    counts = frame.select(check.sum().alias(name) for name, check in checks.items()).row(0, named=True)
    return {name: count for name, count in counts.items() if count}
