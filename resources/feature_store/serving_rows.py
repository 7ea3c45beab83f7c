"""From the lake to the online rows: what holds at an instant, until when it can be trusted, and what is there no more."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from resources.feature_store.asof import INSTANT, RECENT, Columns, latest
from resources.feature_store.declarations import STAMP
from resources.feature_store.direct import STATUS, Lookup, Reader, microseconds
from resources.feature_store.packed import TYPES, PackedRows, Place, Reading, pack_keys
from resources.feature_store.refusals import UnfitPush
from resources.feature_store.registration import WINDOW

if TYPE_CHECKING:
    import feast

NEXT: Final = "__next"
VALID_UNTIL: Final = "valid_until"
TICK: Final = timedelta(microseconds=1)
"""The resolution of instants: a row that is valid *including* an instant stops being so one tick later."""

CHUNK: Final = 50_000
"""Rows that are packed and written at once."""

SAMPLE: Final = 200
"""Rows of a load that are read back."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What a load did: how many rows were new or newer, from when the newest holds, and some as a client reads them now.

    ``sample`` has the keys, the features (null unless the row is fresh), ``event_timestamp`` and ``status`` (fresh, stale, ahead, absent).
    """

    rows: int
    newest: datetime | None
    sample: pl.DataFrame


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


def put(store: "feast.FeatureStore", view: "feast.FeatureView", rows: PackedRows, *, until: datetime, since: str | None) -> Loaded:
    """Write each key's row that holds at ``until``.

    Of a table in months only those from ``since`` on are looked at; without it all are, and a key that the table no longer has is gone.
    """
    from resources.feature_store.online import lookup_of, place_of

    source: Any = view.batch_source
    lookup, table = lookup_of(view), source.opened(store.config)
    place, month = place_of(store.project, lookup), source.date_partition_column
    wanted = {"keys": lookup.keys, "features": list(lookup.features)}
    if since and month:
        known = source.rows(table, **wanted, among=pl.col(month) >= since).collect()
    else:
        known = _recent_and_older(source, table, wanted, until)
    held = last_known(known, columns=source.columns(lookup.keys), until=until, ttl=view.ttl or None, window=window_of(view))
    read = Reading(version=table.version(), at=microseconds(until))
    written = _write(rows, place, lookup, held, stamp=source.timestamp_field, read=read)
    removed = 0 if since and month else _remove_others(rows, place, lookup, held, until, read)
    newest = held.select(pl.col(source.timestamp_field).max()).item()
    return Loaded(rows=written + removed, newest=newest, sample=_read_back(rows, place, lookup, held.head(SAMPLE), at=until))


def push(view: "feast.FeatureView", rows: PackedRows, project: str, fresh: pl.DataFrame, *, stamp: str) -> int:
    """Write rows that come from elsewhere than the lake; returns how many were new or newer.

    Raises:
        UnfitPush: a column is missing or of another type, a key or instant is null.
    """
    from resources.feature_store.online import lookup_of, place_of

    lookup = lookup_of(view)
    _demand(view, lookup, fresh, stamp)
    expiry = pl.col(stamp) + TICK if window_of(view) else pl.col(stamp) + view.ttl + TICK if view.ttl else pl.lit(None, dtype=INSTANT)
    dated = fresh.with_columns(pl.col(stamp).cast(INSTANT)).with_columns(expiry.alias(VALID_UNTIL))
    return _write(rows, place_of(project, lookup), lookup, dated, stamp=stamp, read=None)


def delete(view: "feast.FeatureView", rows: PackedRows, project: str, keys: pl.DataFrame, *, at: datetime) -> int:
    """Say that these keys are gone at ``at``; returns of how many nothing newer is known."""
    from resources.feature_store.online import lookup_of, place_of

    lookup = lookup_of(view)
    return _bury(rows, place_of(project, lookup), lookup, pack_keys(keys.select(lookup.keys).drop_nulls()), at, None)


def window_of(view: "feast.FeatureView") -> timedelta | None:
    """The longest window of a windowed view."""
    return timedelta(seconds=float(view.tags[WINDOW])) if WINDOW in view.tags else None


def _recent_and_older(source: Any, table: Any, wanted: dict[str, Any], until: datetime) -> pl.DataFrame:
    """The rows of the last stretch, and for keys that have none in it those before."""
    stamp, cut, keys = pl.col(source.timestamp_field), pl.lit(until - RECENT).cast(INSTANT), list(wanted["keys"])
    recent = source.rows(table, **wanted, among=stamp > cut).collect()
    held_since = recent.lazy().filter(stamp <= pl.lit(until).cast(INSTANT)).select(keys).unique()
    older = source.rows(table, **wanted, among=stamp <= cut).join(held_since, on=keys, how="anti").collect()
    return pl.concat([recent, older])


def _write(rows: PackedRows, place: Place, lookup: Lookup, held: pl.DataFrame, *, stamp: str, read: Reading | None) -> int:
    written = 0
    for some in held.iter_slices(CHUNK):
        since, until = (some[name].dt.epoch("us") for name in (stamp, VALID_UNTIL))
        packed = lookup.packing.pack(some, since=since, until=until, read=read)
        written += rows.write(place, pack_keys(some.select(lookup.keys)), packed)
    return written


def _read_back(rows: PackedRows, place: Place, lookup: Lookup, some: pl.DataFrame, *, at: datetime) -> pl.DataFrame:
    keys = some.select(lookup.keys)
    (told,) = Reader(rows, project=place.project, lookups=[lookup]).read([pack_keys(keys)], at=microseconds(at))
    features = [
        pl.Series(name, values, dtype=TYPES[dtype])
        for (name, dtype), values in zip(lookup.features.items(), told.columns.values(), strict=True)
    ]
    return keys.with_columns(*features, pl.Series(STAMP, told.since).cast(INSTANT), pl.Series("status", told.status, dtype=STATUS))


def _remove_others(rows: PackedRows, place: Place, lookup: Lookup, held: pl.DataFrame, until: datetime, read: Reading) -> int:
    """Bury the keys that an earlier load read from the table and this one did not; pushed rows were read from none and stay."""
    others = sorted({*rows.keys(place)}.difference(pack_keys(held.select(lookup.keys))))
    return sum(_bury(rows, place, lookup, some, until, read) for some in _versioned(rows, place, lookup, others))


def _versioned(rows: PackedRows, place: Place, lookup: Lookup, keys: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(keys), CHUNK):
        some = keys[start : start + CHUNK]
        found = zip(some, rows.read([(place, some)]), strict=True)
        yield [key for key, row in found if row is not None and lookup.packing.loaded(row)]


def _bury(rows: PackedRows, place: Place, lookup: Lookup, keys: Sequence[str], at: datetime, read: Reading | None) -> int:
    nothing = pl.DataFrame({name: pl.Series([None] * len(keys), dtype=TYPES[dtype]) for name, dtype in lookup.features.items()})
    instant = pl.Series([at] * len(keys), dtype=INSTANT).dt.epoch("us")
    never = pl.Series([None] * len(keys), dtype=pl.Int64)
    return rows.write(place, keys, lookup.packing.pack(nothing, since=instant, until=never, read=read, gone=True)) if keys else 0


def _demand(view: "feast.FeatureView", lookup: Lookup, fresh: pl.DataFrame, stamp: str) -> None:
    keys = {column.name: TYPES["int64" if str(column.dtype) == "Int64" else "string"] for column in view.entity_columns}
    features = {name: TYPES[dtype] for name, dtype in lookup.features.items()}
    for name, dtype in {**keys, **features}.items():
        if name not in fresh.columns:
            raise UnfitPush(view=view.name, why=f"they lack the column {name}")
        if fresh.schema[name] != dtype:
            raise UnfitPush(view=view.name, why=f"column {name} is {fresh.schema[name]}, the view has {dtype}")
    if stamp not in fresh.columns or not isinstance(kind := fresh.schema[stamp], pl.Datetime) or kind.time_zone is None:
        raise UnfitPush(view=view.name, why=f"they need a column {stamp} of instants with a time zone")
    if empty := [name for name in (*keys, stamp) if fresh[name].null_count()]:
        raise UnfitPush(view=view.name, why=f"{', '.join(empty)} is null in some")
