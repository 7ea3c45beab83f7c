"""Between the lake, the packed file and the platform: writes what holds at an instant, reads it back with a verdict on its age."""

from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from resources.feature_store.asof import INSTANT, RECENT, Columns, latest
from resources.feature_store.declarations import Dtype
from resources.feature_store.packed import Packed, pack, unpack
from resources.feature_store.registration import WINDOW

if TYPE_CHECKING:
    import feast

STATUS: Final = pl.Enum(["fresh", "stale", "ahead", "absent"])
TYPES: Final[dict[Dtype, pl.DataType]] = {"string": pl.String(), "int64": pl.Int64(), "float64": pl.Float64(), "bool": pl.Boolean()}
NEXT: Final = "__next"
VALID_UNTIL: Final = "valid_until"
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


def put(store: "feast.FeatureStore", view: "feast.FeatureView", *, until: datetime) -> int:
    """Write each key's row that holds at ``until``; returns how many were new or newer."""
    from resources.feature_store.online import PackedSqliteOnlineStore, layout, packable

    source: Any = view.batch_source
    features, keys = list(packable(view)), sorted(column.name for column in view.entity_columns)
    table = source.opened(store.config)
    stamp, cut = pl.col(source.timestamp_field), pl.lit(until - RECENT).cast(INSTANT)
    recent = source.rows(table, keys=keys, features=features, among=stamp > cut).collect()
    held_since = recent.lazy().filter(stamp <= pl.lit(until).cast(INSTANT)).select(keys).unique()
    older = source.rows(table, keys=keys, features=features, among=stamp <= cut).join(held_since, on=keys, how="anti").collect()
    rows = pl.concat([recent, older])
    window = timedelta(seconds=float(view.tags[WINDOW])) if WINDOW in view.tags else None
    held = last_known(rows, columns=source.columns(keys), until=until, ttl=view.ttl or None, window=window)
    instants = held.select(pl.col(source.timestamp_field, VALID_UNTIL).dt.epoch("us")).iter_rows()
    packed = [
        Packed(key=pack(key), since=since, valid_until=valid_until, version=table.version(), row=pack(values))
        for key, values, (since, valid_until) in zip(
            held.select(keys).iter_rows(), held.select(features).iter_rows(), instants, strict=True
        )
    ]
    with closing(PackedSqliteOnlineStore().file(store.config)) as file:
        return file.write(store.project, view.name, layout(view), packed)


def get(store: "feast.FeatureStore", view: "feast.FeatureView", entities: pl.DataFrame, *, at: datetime) -> pl.DataFrame:
    """``view__feature`` columns and ``view__status`` for each entity, in order; values only where the row is fresh at ``at``."""
    from resources.feature_store.online import PackedSqliteOnlineStore, layout, microseconds, packable

    dtypes, keys = packable(view), sorted(column.name for column in view.entity_columns)
    known = entities.select(keys).drop_nulls().unique()
    names = [pack(key) for key in known.iter_rows()]
    with closing(PackedSqliteOnlineStore().file(store.config)) as file:
        found = file.read(store.project, view.name, layout(view), names)
    status = f"{view.name}__status"
    schema: dict[str, Any] = {**{f"{view.name}__{name}": TYPES[dtype] for name, dtype in dtypes.items()}, status: STATUS}
    answers = [_answer(found.get(name), microseconds(at), len(dtypes)) for name in names]
    told = pl.concat([known, pl.DataFrame(answers, schema=schema, orient="row")], how="horizontal")
    joined = entities.select(keys).join(told, on=keys, how="left", maintain_order="left")
    return joined.drop(keys).with_columns(pl.col(status).fill_null("absent"))


def _answer(row: Packed | None, at: int, size: int) -> list[Any]:
    if row is not None and row.since <= at and (row.valid_until is None or at < row.valid_until):
        return [*unpack(row.row), "fresh"]
    return [*[None] * size, "absent" if row is None else "ahead" if at < row.since else "stale"]
