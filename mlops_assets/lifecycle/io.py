"""The one way that frames cross stages: the address in the lake is the asset key, the partition is the month. Bodies open no path."""

from datetime import datetime

import dagster as dg
import polars as pl

from mlops_assets.keys import address
from mlops_assets.lifecycle.assets import MERGE_KEY, MONTHS_BACK
from mlops_assets.partitions import shift
from resources.clock_file import EPOCH
from resources.lake import Lake, Version


class LakeIOManager(dg.ConfigurableIOManager):
    """Writes a frame under its asset key and reads it back lazily, so that a stage reads only the columns that it names."""

    lake: Lake

    def handle_output(self, context: dg.OutputContext, obj: pl.DataFrame) -> None:
        """Replace the partition, or merge rows by key where the asset says so; both may be repeated."""
        where = address(context.asset_key)
        partition = context.partition_key if context.has_asset_partitions else None
        merge_key: list[str] | None = (context.definition_metadata or {}).get(MERGE_KEY)
        if merge_key:
            ingested_at: datetime = next(iter(obj["ingested_at"].head(1)), EPOCH)  # no row: nothing to stamp
            written = self.lake.merge(where, obj, key=merge_key, partition=partition, ingested_at=ingested_at)
        else:
            written = self.lake.replace(where, obj, partition=partition)
        declared = "dagster/column_schema" in (context.definition_metadata or {})
        context.add_output_metadata({**self._metadata(written), **({} if declared else _schema_of(obj))})  # pyright: ignore[reportUnknownMemberType]  a parameter of dagster's is

    def load_input(self, context: dg.InputContext) -> pl.LazyFrame:
        """The upstream table: its month, the months up to the one asked for, or all of it."""
        where = address(context.asset_key)
        if not context.has_asset_partitions:
            return self.lake.read(where)
        months_back: int = (context.definition_metadata or {}).get(MONTHS_BACK, 0)
        last = max(context.asset_partition_keys)
        wanted = [month for month in self.lake.digests(where) if shift(last, -months_back) <= month <= last]
        return self.lake.read(where, partitions=wanted)

    def _metadata(self, written: Version) -> dict[str, dg.MetadataValue]:
        return {
            "dagster/row_count": dg.MetadataValue.int(written.rows),
            "dagster/uri": dg.MetadataValue.text(self.lake.uri(written.address)),
            "table_version": dg.MetadataValue.int(written.version),
            "content_digest": dg.MetadataValue.text(written.digest),
        }


def _schema_of(frame: pl.DataFrame) -> dict[str, dg.MetadataValue]:
    columns = [dg.TableColumn(name, str(dtype)) for name, dtype in frame.schema.items()]
    return {"dagster/column_schema": dg.MetadataValue.table_schema(dg.TableSchema(columns=columns))}
