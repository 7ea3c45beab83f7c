"""What the page of a feature view shows of its rows: a table of all features, and numbers that the UI draws over the months."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import dagster as dg
import polars as pl

from mlops_assets.lifecycle.assets import rounded
from mlops_assets.table import Level
from resources.monitors.statistics import STATISTICS, statistics

VALUES: Final = ("min", "max")
"""Statistics that are a value of somebody's."""

WITH_VALUES: Final[frozenset[Level]] = frozenset({"public", "internal"})
"""Levels up to which a page shows single values; above it, shares, means and ids alone."""


def described_rows(frame: pl.DataFrame, features: Sequence[str], *, level: Level) -> dict[str, Any]:
    """Metadata of a feature frame: ``statistics`` as a table; of each feature the share of nulls and the mean, to be drawn by month."""
    found = statistics(frame, features)
    shown = [name for name in STATISTICS if level in WITH_VALUES or name not in VALUES]
    nulls = {f"nulls/{name}": share for name, share in found.select("feature", "null_share").iter_rows() if share is not None}
    means = {f"mean/{name}": mean for name, mean in found.select("feature", "mean").iter_rows() if mean is not None}
    return {"statistics": dg.MetadataValue.md(markdown_table(shown, found.select(shown).iter_rows())), **rounded({**nulls, **means})}


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows as Markdown; numbers with four significant digits, nothing for null."""
    lines = [head, ["---"] * len(head), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")
