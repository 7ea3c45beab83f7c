"""Parquet files as Feast's file sources have them. Every file appears in one step: a reader never sees half of one."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pyarrow as pa
import pyarrow.dataset as untyped_dataset
import pyarrow.fs as untyped_fs
import pyarrow.parquet as untyped_parquet
from filelock import FileLock

arrow: Any = pa  # ships no types
fs: Any = untyped_fs
parquet: Any = untyped_parquet
datasets: Any = untyped_dataset

LOCK_SECONDS: Final = 120


def streamed(tables: Iterable[Any]) -> Any:
    """Arrow tables of one schema, at least one, as a reader that holds one at a time."""
    rest = iter(tables)
    first = next(rest)

    def batches() -> Iterator[Any]:
        yield from first.to_batches()
        for table in rest:
            yield from table.cast(first.schema).to_batches()

    return arrow.RecordBatchReader.from_batches(first.schema, batches())


def replace(place: str, tables: Iterable[Any], *, endpoint: str = "") -> None:
    """Put the tables, at least one, into a file called ``*.parquet`` or else into a folder whose files they replace."""
    store, path = opened(place, endpoint)
    if path.endswith(".parquet"):
        _write(store, path, tables)
        return
    old = [one.path for one in store.get_file_info(fs.FileSelector(path, allow_not_found=True)) if one.path.endswith(".parquet")]
    _write(store, f"{path}/{uuid4().hex}.parquet", tables)
    for one in old:
        store.delete_file(one)


def append(place: str, table: Any, *, endpoint: str = "") -> None:
    """Add rows behind those of a Parquet file, one writer at a time, or as another file of a folder."""
    store, path = opened(place, endpoint)
    if store.get_file_info(path).type == fs.FileType.Directory:
        _write(store, f"{path}/{uuid4().hex}.parquet", [table])
        return
    with FileLock(f"{path}.lock", timeout=LOCK_SECONDS) if isinstance(store, fs.LocalFileSystem) else nullcontext():
        before = parquet.ParquetFile(path, filesystem=store)
        _write(store, path, [before.read(), table.cast(before.schema_arrow)])


def add_files(place: str, data: Any, *, partition_by: Sequence[str] | None, endpoint: str = "") -> None:
    """Add an Arrow table, or a folder of Parquet files, to a folder of them; ``partition_by``: columns that the names of subfolders say."""
    store, path = opened(place, endpoint)
    datasets.write_dataset(
        datasets.dataset(data, format="parquet") if isinstance(data, Path) else data,
        base_dir=path,
        basename_template=f"{uuid4().hex}-{{i}}.parquet",
        partitioning=partition_by,
        partitioning_flavor="hive" if partition_by else None,
        filesystem=store,
        format="parquet",
        existing_data_behavior="overwrite_or_ignore",
    )


def opened(place: str, endpoint: str = "") -> tuple[Any, str]:
    """The Arrow file system of a place, and the path in it."""
    if place.startswith("s3://"):
        return fs.S3FileSystem(**({"endpoint_override": endpoint} if endpoint else {})), place.removeprefix("s3://")
    return fs.LocalFileSystem(), place


def _write(store: Any, path: str, tables: Iterable[Any]) -> None:
    batches = streamed(tables)
    store.create_dir(str(Path(path).parent), recursive=True)
    partial = f"{path}.{uuid4().hex}.partial"
    with parquet.ParquetWriter(partial, batches.schema, filesystem=store) as writer:
        for batch in batches:
            writer.write_batch(batch)
    store.move(partial, path)
