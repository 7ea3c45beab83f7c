"""The examples of a retrieval: in which forms they come, what is demanded of them, and how many are held at a time."""

# ruff: noqa: TID253 -- Feast loads this module

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

import pandas as pd
import polars as pl
from deltalake import DeltaTable

from resources.feature_store.declarations import STAMP
from resources.feature_store.refusals import UnfitExamples
from resources.lake_log import NamedTable

SLICE: Final = 2_000_000
"""Rows of a spine that are joined at a time: with 25 features about 1 GB of result."""
QUERY: Final = re.compile(r"\s*(select|with|from)\s", re.IGNORECASE)
SERVICE: Final = "any feature service"


@dataclass(frozen=True, kw_only=True)
class Spine:
    """Examples in their order, with instants in UTC in the column ``at``. ``whole``: the frame, if it is in memory anyway."""

    frame: pl.LazyFrame
    at: str
    whole: pl.DataFrame | None = None

    def slices(self) -> Iterator[pl.DataFrame]:
        """All examples in order: at once what is in memory anyway, else ``SLICE`` rows at a time; at least one frame."""
        if self.whole is not None:
            yield self.whole
            return
        empty = True
        for piece in self.frame.collect_batches(chunk_size=SLICE, maintain_order=True):
            empty = False
            yield piece
        if empty:
            yield self.frame.head(0).collect()

    def span(self) -> tuple[datetime | None, datetime | None]:
        """The first and the last instant asked for."""
        ends = self.frame.select(pl.col(self.at).min().alias("first"), pl.col(self.at).max().alias("last")).collect()
        return ends["first"].item(), ends["last"].item()


def spine(entity_df: object, *, tables: Mapping[str, pl.LazyFrame], storage_options: dict[str, str] | None) -> Spine:
    """Examples from a Polars, pandas or Arrow frame, the name of one of ``tables``, the address of a table, or a query over ``tables``.

    Raises:
        UnfitExamples: there are none at that address; they have no instants, or two columns of them and none called ``event_timestamp``.
    """
    if isinstance(entity_df, str):
        return _stamped(_named(entity_df, tables, storage_options))
    if isinstance(entity_df, pl.LazyFrame):
        return _stamped(entity_df)
    frame = entity_df if isinstance(entity_df, pl.DataFrame) else pl.from_pandas(entity_df) if isinstance(entity_df, pd.DataFrame) else None
    if frame is None and not hasattr(entity_df, "__arrow_c_stream__"):
        raise UnfitExamples(what=SERVICE, why=f"a {type(entity_df).__name__} is no frame, table or query")
    found = _stamped((pl.DataFrame(cast("Any", entity_df)) if frame is None else frame).lazy())
    return Spine(frame=found.frame, at=found.at, whole=found.frame.collect())


def _named(text: str, tables: Mapping[str, pl.LazyFrame], options: dict[str, str] | None) -> pl.LazyFrame:
    if QUERY.match(text):
        return pl.SQLContext({name: frame for name, frame in tables.items() if name in text}).execute(text)
    if text in tables:
        return tables[text]
    if not text.endswith(".parquet") and DeltaTable.is_deltatable(text, options):
        return pl.scan_delta(NamedTable(text, storage_options=options))
    found = pl.scan_parquet(text, storage_options=options)
    try:
        found.collect_schema()
    except FileNotFoundError as error:
        raise UnfitExamples(what=SERVICE, why=f"{text} is neither a registered source nor a place with Parquet files") from error
    return found


def _stamped(frame: pl.LazyFrame) -> Spine:
    schema = frame.collect_schema()
    instants = [name for name, dtype in schema.items() if isinstance(dtype, pl.Datetime)]
    at = STAMP if STAMP in instants or len(instants) != 1 else instants[0]
    if at not in instants:
        raise UnfitExamples(what=SERVICE, why=f"they need a column {STAMP} of instants")
    said = cast("pl.Datetime", schema[at])
    zoned = pl.col(at).dt.convert_time_zone("UTC") if said.time_zone else pl.col(at).dt.replace_time_zone("UTC")
    return Spine(frame=frame.with_columns(zoned), at=at)
