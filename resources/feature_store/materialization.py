"""What the online store is to hold at an instant: each key's last row and until when it can be trusted. Pure Polars."""

from datetime import datetime, timedelta
from typing import Final

import polars as pl

from resources.feature_store.asof import INSTANT, Columns, latest

VALID_UNTIL: Final = "valid_until"
NEXT: Final = "__next"
TICK: Final = timedelta(microseconds=1)
"""The resolution of instants: a row that is valid *including* an instant stops being so one tick later."""


def last_known(rows: pl.DataFrame, *, columns: Columns, until: datetime, ttl: timedelta | None, window: timedelta | None) -> pl.DataFrame:
    """Each key's row that holds at ``until`` with ``valid_until``, the first instant at which it may no longer be so.

    That is its next row in the table, or the end of its ``ttl``. A windowed row without a next one whose ``window`` reaches beyond
    ``until`` holds values that will leave at instants which nobody computed: it is trusted at ``until`` and no later.
    """
    at = pl.lit(until).cast(INSTANT)
    stamp, keys = pl.col(columns.stamp), list(columns.keys)
    held = latest(rows.filter(stamp <= at), columns=columns)
    coming = rows.filter(stamp > at).drop_nulls(keys).group_by(keys).agg(stamp.min().alias(NEXT))
    expiry = pl.lit(None, dtype=INSTANT)
    if ttl:
        expiry = stamp + ttl + TICK
    elif window:
        expiry = pl.when(pl.col(NEXT).is_null() & (stamp + window > at)).then(at + TICK)
    dated = held.join(coming, on=keys, how="left", maintain_order="left").with_columns(pl.min_horizontal(NEXT, expiry).alias(VALID_UNTIL))
    return dated.drop(NEXT)
