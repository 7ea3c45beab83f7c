"""Between the lake, the packed file and the platform: writes what holds at an instant, reads it back with a verdict on its age."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from resources.feature_store.declarations import Dtype
from resources.feature_store.materialization import VALID_UNTIL, last_known
from resources.feature_store.packed import Codec, Keys, Packed, PackedFile
from resources.feature_store.registration import WINDOW

if TYPE_CHECKING:
    import feast

FRESH: Final = "fresh"
STALE: Final = "stale"
AHEAD: Final = "ahead"
ABSENT: Final = "absent"
STATUS: Final = pl.Enum([FRESH, STALE, AHEAD, ABSENT])
TYPES: Final[dict[Dtype, pl.DataType]] = {"string": pl.String(), "int64": pl.Int64(), "float64": pl.Float64(), "bool": pl.Boolean()}


def put(store: "feast.FeatureStore", view: "feast.FeatureView", *, until: datetime) -> int:
    """Write each key's row that holds at ``until``; returns how many were new or newer."""
    from resources.feature_store.online import layout, packable

    source: Any = view.batch_source
    dtypes = packable(view)
    keys = [column.name for column in view.entity_columns]
    table = source.opened(store.config)
    rows = source.rows(table, keys=keys, features=dtypes)
    window = timedelta(seconds=float(view.tags[WINDOW])) if WINDOW in view.tags else None
    held = last_known(rows, columns=source.columns(keys), until=until, ttl=view.ttl or None, window=window)
    codec, encoded = Codec(list(dtypes.values())), Keys(keys)
    instants = held.select(pl.col(source.timestamp_field, VALID_UNTIL).dt.epoch("us")).iter_rows()
    packed = [
        Packed(key=encoded.encode(key), since=since, valid_until=valid_until, version=table.version(), row=codec.pack(values))
        for key, values, (since, valid_until) in zip(_rows(held, keys), _rows(held, list(dtypes)), instants, strict=True)
    ]
    with closing(_file(store)) as file:
        return file.write(store.project, view.name, layout(view), packed)


def get(store: "feast.FeatureStore", view: "feast.FeatureView", entities: pl.DataFrame, *, at: datetime) -> pl.DataFrame:
    """``view__feature`` columns and ``view__status`` for each entity, in order; values only where the row is fresh at ``at``."""
    from resources.feature_store.online import layout, microseconds, packable

    dtypes = packable(view)
    keys = [column.name for column in view.entity_columns]
    known, encoded = entities.select(keys).drop_nulls().unique(), Keys(keys)
    names = [encoded.encode(key) for key in known.iter_rows()]
    with closing(_file(store)) as file:
        found = file.read(store.project, view.name, layout(view), names)
    verdicts = [_verdict(found.get(name), microseconds(at)) for name in names]
    codec, nulls = Codec(list(dtypes.values())), [None] * len(dtypes)
    values = [codec.unpack(found[name].row) if verdict == FRESH else nulls for name, verdict in zip(names, verdicts, strict=True)]
    columns = {f"{view.name}__{name}": TYPES[dtype] for name, dtype in dtypes.items()}
    status = f"{view.name}__status"
    answers = pl.concat([known, pl.DataFrame(values, schema=columns, orient="row")], how="horizontal")
    judged = answers.with_columns(pl.Series(status, verdicts, dtype=STATUS))
    joined = entities.select(keys).join(judged, on=keys, how="left", maintain_order="left")
    return joined.drop(keys).with_columns(pl.col(status).fill_null(ABSENT))


def _rows(frame: pl.DataFrame, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    return frame.select(columns).iter_rows()


def _verdict(row: Packed | None, at: int) -> str:
    if row is None:
        return ABSENT
    if at < row.since:
        return AHEAD
    return FRESH if row.valid_until is None or at < row.valid_until else STALE


def _file(store: "feast.FeatureStore") -> PackedFile:
    from resources.feature_store.online import PackedSqliteOnlineStore

    return PackedSqliteOnlineStore().file(store.config)
