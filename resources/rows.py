"""What a lake says about rows without touching storage: canonical values, content digests, versions of a key, the past. Pure Polars."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal

import polars as pl
import polars.selectors as cs

from resources.errors import PlatformError

Lands = Literal["as_declared", "on_arrival"]

INSTANT: Final = pl.Datetime("us", "UTC")
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ALWAYS: Final = "ALWAYS"
INGESTED_AT: Final = "ingested_at"
KNOWN_FROM: Final = "known_from"
KNOWN_UNTIL: Final = "known_until"
DIGEST_FORMAT: Final = 1


class ConflictingRows(PlatformError):
    """One delivery states two different things about one key."""

    def __init__(self, *, key: Sequence[str], count: int, example: Mapping[str, object]) -> None:
        told = ", ".join(f"{name}={value!r}" for name, value in example.items())
        super().__init__(
            f"{count:,} keys ({', '.join(key)}) occur more than once in one delivery with different values, first {told}. Nothing was "
            f"written. Keep one row a key in the file, or widen the key of the contract."
        )


def storable(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame in types that every lake keeps: instants in UTC microseconds, plain text for categories, signed integers."""
    zoned = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime) and dtype.time_zone not in {None, "UTC"}]
    return (
        frame.with_columns(pl.col(zoned).dt.convert_time_zone("UTC"))
        .with_columns(cs.datetime(time_unit=["ms", "ns"]).dt.cast_time_unit("us"))
        .with_columns(cs.by_dtype(pl.Categorical, pl.Enum).cast(pl.String), cs.unsigned_integer().cast(pl.Int64))
    )


def canonical(frame: pl.DataFrame) -> pl.DataFrame:
    """The same rows as integers and text, equal exactly where the values are: one zero, one NaN, columns in the order of their names."""
    return frame.select(_canonical(name, frame.schema[name]) for name in sorted(frame.columns))


def digest(frame: pl.DataFrame) -> str:
    """SHA-256 of the content, whatever the order of rows and columns, machine, threads or hash seed.

    Integer and float widths do not count. A column without a single value counts as absent, so that a table that gains a column
    keeps the digests of its older partitions.
    """
    import numpy as np  # a tenth of what loading the definitions may cost

    present = [name for name in sorted(frame.columns) if frame[name].null_count() < frame.height]
    frame = storable(frame)
    values = canonical(frame.select(present))
    if present:
        values = values.sort(present)
    header = [DIGEST_FORMAT, frame.height, [[name, _family(frame.schema[name])] for name in present]]
    state = hashlib.sha256(json.dumps(header, separators=(",", ":")).encode())
    for series in values:
        state.update(np.packbits(series.is_null().to_numpy()).tobytes())
        lengths = series.str.len_bytes().cast(pl.Int64) if series.dtype == pl.String else series
        state.update(lengths.fill_null(0).to_numpy().astype("<i8", copy=False).tobytes())
        if series.dtype == pl.String:
            state.update(str(series.str.join("")[0]).encode())
    return state.hexdigest()


def current(frame: pl.DataFrame, *, key: Sequence[str]) -> pl.DataFrame:
    """The latest version of every key."""
    if frame.select(key).is_unique().all():
        return frame
    return frame.filter(pl.col(INGESTED_AT) == pl.col(INGESTED_AT).max().over(key))


def unseen(existing: pl.DataFrame, incoming: pl.DataFrame, *, key: Sequence[str]) -> pl.DataFrame:
    """The incoming rows that say something else than the version of their key that was current when they came; equal rows count once.

    Raises:
        ConflictingRows: one key comes with different values.
    """
    compared = [name for name in incoming.columns if name != INGESTED_AT]
    numbered = canonical(incoming.select(compared)).with_row_index("__row").unique(compared, keep="first", maintain_order=True)
    repeated = numbered.filter(pl.struct(key).is_duplicated())
    if repeated.height:
        first = incoming.row(int(repeated["__row"].min()), named=True)  # pyright: ignore[reportArgumentType]  # the minimum of a row number
        count = repeated.select(key).n_unique()
        raise ConflictingRows(key=key, count=count, example={name: first[name] for name in key})
    before = existing.filter(pl.col(INGESTED_AT) <= pl.lit(incoming[INGESTED_AT].max(), INSTANT))
    known = current(before, key=key).with_columns(_absent(incoming, existing)).select(compared)
    stay = numbered.join(canonical(known), on=compared, how="anti", nulls_equal=True, maintain_order="left")
    return incoming[stay["__row"]]


def merged(existing: pl.DataFrame, fresh: pl.DataFrame, *, key: Sequence[str]) -> pl.DataFrame:
    """Existing and fresh rows together, the same whichever came first; a key stated twice at one instant keeps its last statement.

    A fresh row takes its place among the versions of its key by its own instant; a version that says what the one before it says goes.
    """
    kept = existing.join(fresh.select(*key, INGESTED_AT), on=[*key, INGESTED_AT], how="anti", nulls_equal=True, maintain_order="left")
    together = pl.concat([kept, fresh], how="diagonal")
    versions = kept.join(fresh.select(*key, pl.col(INGESTED_AT).alias(KNOWN_FROM)), on=list(key), nulls_equal=True)
    if versions.filter(pl.col(INGESTED_AT) > pl.col(KNOWN_FROM)).is_empty():
        return together
    ordered = together.sort(*key, INGESTED_AT)
    said = canonical(ordered.drop(INGESTED_AT))
    repeats = said.select(pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in said.columns))
    return ordered.filter(~repeats.to_series())


def versions(frame: pl.DataFrame, *, key: Sequence[str], instant: str | None, lands: Lands) -> pl.DataFrame:
    """The rows with the stretch of time in which each was the current version of its key: ``known_from`` (inclusive) to ``known_until``.

    A first version of a table that lands as declared, or whose ``instant`` is ``ALWAYS`` (or None), is known from the epoch: its declared
    instants alone say when it counts. Everything else is known from ``ingested_at``. The last version has no ``known_until``.
    """
    declared = lands == "as_declared" or instant in {None, ALWAYS}
    if frame.select(key).is_unique().all():
        known_from = pl.lit(EPOCH, INSTANT) if declared else pl.col(INGESTED_AT)
        return frame.with_columns(known_from.alias(KNOWN_FROM), pl.lit(None, INSTANT).alias(KNOWN_UNTIL))
    ordered = frame.sort(*key, INGESTED_AT, maintain_order=True)
    first = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in key)
    last = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(-1)) for name in key)
    start = pl.when(first).then(pl.lit(EPOCH, INSTANT)).otherwise(INGESTED_AT) if declared else pl.col(INGESTED_AT)
    stamped = ordered.with_columns(start.alias(KNOWN_FROM))
    end = pl.when(last).then(None).otherwise(pl.col(KNOWN_FROM).shift(-1))
    return stamped.with_columns(end.alias(KNOWN_UNTIL))


def as_of(
    frame: pl.DataFrame, *, key: Sequence[str], instant: str | None, availability: Mapping[str, str], lands: Lands, at: datetime
) -> pl.DataFrame:
    """The table as it was known at ``at``: of each key the version current then, if its ``instant`` had come.

    ``availability`` names for a column the instant column from which its value is known; a value whose instant is later, or null, is null.
    ``ALWAYS`` (or None) as instant is always past. Columns of the source only, ``ingested_at`` included.
    """
    now = pl.lit(at, INSTANT)
    known = (pl.col(KNOWN_FROM) <= now) & (pl.col(KNOWN_UNTIL).is_null() | (pl.col(KNOWN_UNTIL) > now))
    if instant not in {None, ALWAYS}:
        known &= pl.col(str(instant)) <= now
    hidden = [
        pl.when(pl.col(column_instant) <= now).then(pl.col(name)).alias(name)
        for name, column_instant in availability.items()
        if column_instant not in {ALWAYS, instant} and name in frame.columns and name not in key
    ]
    rows = versions(frame, key=key, instant=instant, lands=lands).filter(known)
    return rows.with_columns(hidden).drop(KNOWN_FROM, KNOWN_UNTIL)


def _family(dtype: pl.DataType) -> str:
    if dtype.is_float():
        return "float"
    if dtype.is_integer():
        return "integer"
    if isinstance(dtype, pl.Datetime):
        return "instant" if dtype.time_zone else "local"
    return "nested" if dtype.is_nested() else str(dtype.base_type()).lower()


def _canonical(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if dtype.is_float():
        wide = column.cast(pl.Float64).fill_nan(float("nan"))
        return pl.when(wide == 0.0).then(pl.lit(0.0)).otherwise(wide).reinterpret(dtype=pl.Int64).alias(name)
    if isinstance(dtype, pl.Datetime):
        return column.dt.cast_time_unit("us").to_physical()
    if dtype.is_nested():
        return pl.when(column.is_not_null()).then(pl.struct(name).struct.json_encode()).alias(name)
    return column if isinstance(dtype, pl.String | pl.Null) else column.to_physical().cast(pl.Int64)


def _absent(incoming: pl.DataFrame, existing: pl.DataFrame) -> list[pl.Expr]:
    return [pl.lit(None, dtype).alias(name) for name, dtype in incoming.schema.items() if name not in existing.columns]
