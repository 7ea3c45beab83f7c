"""Where tables live: the ``Lake`` port and its Delta adapter. An address is an asset key with slashes, ``stage/noun/name``.

Pure functions over rows are in ``resources.rows``; nothing here knows what a table means.
"""

import os
import random
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import dagster as dg
import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from resources.lake_errors import (
    LakeContended,
    MonthMismatch,
    NoSuchColumn,
    NoSuchPartition,
    NoSuchVersion,
    NothingThere,
    PartitioningDiffers,
    TypeDiffers,
    UntypedColumn,
    storage_error,
)
from resources.lake_log import WHOLE, Commit, NamedTable, known_digests
from resources.rows import INGESTED_AT, INSTANT, digest, merged, storable, unseen

MONTH: Final = "month"
ABSENT: Final = -1
"""The version before the first."""

LIMITS: Final = {"retry_timeout": "45s"}
"""For so long an object store that does not answer is asked again; by itself delta-rs goes on for three minutes."""

ATTEMPTS: Final = 12
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Version:
    """What a write left behind: the version of the table, and of the written partition the content digest and the row count."""

    address: str
    version: int
    digest: str
    rows: int
    inserted: int


class Lake(dg.ConfigurableResource[Any]):
    """Tables by address, in versions; a table is whole or partitioned by the text column ``month``.

    A write is there or not, whenever the process dies. An equal write makes no version. Two writers at once both end up in the table, or
    the later one rewrites the same month.
    """

    @abstractmethod
    def read(
        self, address: str, *, columns: Sequence[str] | None = None, partitions: Sequence[str] | None = None, version: int | None = None
    ) -> pl.LazyFrame:
        """The rows of a table, or of some of its months, as of the latest or a given version. The order of rows is not promised.

        Raises:
            NothingThere, NoSuchPartition, NoSuchVersion, NoSuchColumn: what was asked for is not in the lake.
        """

    @abstractmethod
    def exists(self, address: str) -> bool:
        """Whether anything was ever written to the address."""

    @abstractmethod
    def replace(self, address: str, frame: pl.DataFrame, *, partition: str | None = None) -> Version:
        """Make the month, or the whole table, hold exactly these rows."""

    @abstractmethod
    def merge(self, address: str, frame: pl.DataFrame, *, key: Sequence[str], partition: str | None, ingested_at: datetime) -> Version:
        """Add the rows that say something new of their key, stamped ``ingested_at``; those that say nothing new are left out.

        Deliveries may be merged in any order: each version of a key takes its place by its own instant.
        """

    @abstractmethod
    def version(self, address: str) -> int:
        """The number of the latest version."""

    @abstractmethod
    def digests(self, address: str, *, version: int | None = None) -> dict[str, str]:
        """Content digest of every month that was ever written, in ascending order; of a whole table under ``""``."""

    @abstractmethod
    def state(self, address: str) -> str:
        """Names the state that a table is in, for a quick look whether it is the same as before; empty where nothing was written."""

    @abstractmethod
    def uri(self, address: str) -> str:
        """Where the table is, for people and for other readers of the format."""


class DeltaLake(Lake):
    """Delta tables under a folder or an object store: ``root="s3://bucket/lake"`` with ``storage_options`` is the same code.

    One folder a table, ``root/stage/noun/name``.
    """

    root: str
    storage_options: dict[str, str] = {}  # noqa: RUF012  pydantic gives each instance its own

    @property
    def options(self) -> dict[str, str]:
        """What storage is asked with: a limit for one that is not of this machine, and whatever ``storage_options`` says."""
        far = "://" in self.root and not self.root.startswith("file://")
        return {**(LIMITS if far else {}), **self.storage_options}

    def uri(self, address: str) -> str:
        """Root and address."""
        root = self.root if "://" in self.root else str(Path(self.root).absolute())
        return f"{root.rstrip('/')}/{address}"

    def exists(self, address: str) -> bool:
        """Whether the address has a Delta log."""
        try:
            return DeltaTable.is_deltatable(self.uri(address), storage_options=self.options or None)
        except (OSError, DeltaError) as error:
            raise storage_error(address=address, uri=self.uri(address), error=error) from error

    def read(
        self, address: str, *, columns: Sequence[str] | None = None, partitions: Sequence[str] | None = None, version: int | None = None
    ) -> pl.LazyFrame:
        """A lazy scan of one snapshot; only the files of the months asked for are opened."""
        table = self._existing(address, version)
        rows = self._scan(table)
        if partitions is not None:
            present = self._digests(table, newest=version is None)
            if missing := sorted(set(partitions) - set(present)):
                raise NoSuchPartition(address=address, missing=missing, present=list(present))
            rows = rows.filter(pl.col(MONTH).is_in(list(partitions)))
        if columns is None:
            return rows
        names = _columns(table)
        if unknown := [name for name in columns if name not in names]:
            raise NoSuchColumn(address=address, unknown=unknown, present=names)
        return rows.select(columns)

    def replace(self, address: str, frame: pl.DataFrame, *, partition: str | None = None) -> Version:
        """One overwrite commit of the month, or of the table; none when the digest is that of the latest version."""
        given = _placed(address, storable(frame), partition)

        def attempt(table: DeltaTable | None) -> Version:
            rows = _fitted(address, given, {} if table is None or partition is None else self._scan(table).collect_schema())
            content = digest(rows)
            known = {} if table is None else self._digests(table)
            if table is not None and set(rows.columns) <= set(_columns(table)) and known.get(partition or WHOLE) == content:
                return Version(address=address, version=table.version(), digest=content, rows=rows.height, inserted=0)
            number = self._commit(address, table, rows, partition=partition, content=content, known=known, append=False)
            return Version(address=address, version=number, digest=content, rows=rows.height, inserted=rows.height)

        return self._write(address, partition, attempt)

    def merge(self, address: str, frame: pl.DataFrame, *, key: Sequence[str], partition: str | None, ingested_at: datetime) -> Version:
        """One commit of the new rows; none when there are none. A key restated at the same instant replaces its statement."""
        stamped = storable(frame).with_columns(pl.lit(ingested_at, INSTANT).alias(INGESTED_AT))
        given = _placed(address, stamped, partition)

        def attempt(table: DeltaTable | None) -> Version:
            rows = _fitted(address, given, {} if table is None else self._scan(table).collect_schema())
            before = rows.clear() if table is None else self._partition(table, partition)
            fresh = unseen(before, rows, key=key)
            after = merged(before, fresh, key=key)
            content = digest(after)
            known = {} if table is None else self._digests(table)
            if table is not None and fresh.is_empty() and (partition or WHOLE) in known:
                return Version(address=address, version=table.version(), digest=content, rows=after.height, inserted=0)
            append = table is not None and after.height == before.height + fresh.height
            number = self._commit(
                address, table, fresh if append else after, partition=partition, content=content, known=known, append=append
            )
            return Version(address=address, version=number, digest=content, rows=after.height, inserted=fresh.height)

        return self._write(address, partition, attempt)

    def version(self, address: str) -> int:
        """The latest Delta version."""
        return self._existing(address, None).version()

    def state(self, address: str) -> str:
        """The newest file of the log with its age, or where files cannot be listed for nothing, the latest version."""
        uri = self.uri(address)
        if "://" in uri:
            return str(self.version(address)) if self.exists(address) else ""
        try:
            newest = max(os.scandir(Path(uri, "_delta_log")), key=lambda file: (file.name.endswith(".json"), file.name), default=None)
        except FileNotFoundError:
            return ""
        return f"{newest.name} {newest.stat().st_mtime_ns}" if newest else ""

    def digests(self, address: str, *, version: int | None = None) -> dict[str, str]:
        """Folded from the commits; computed from the rows where somebody else wrote to the table."""
        return self._digests(self._existing(address, version), newest=version is None)

    def _open(self, address: str) -> DeltaTable | None:
        try:
            return NamedTable(self.uri(address), storage_options=self.options or None)
        except TableNotFoundError:
            return None
        except (OSError, DeltaError) as error:
            raise storage_error(address=address, uri=self.uri(address), error=error) from error

    def _existing(self, address: str, version: int | None) -> DeltaTable:
        table = self._open(address)
        if table is None:
            raise NothingThere(address=address, uri=self.uri(address))
        if version is None or version == table.version():
            return table
        latest = table.version()
        try:
            table.load_as_version(version)
        except DeltaError as error:
            raise NoSuchVersion(address=address, version=version, latest=latest) from error
        return table

    def _scan(self, table: DeltaTable) -> pl.LazyFrame:
        return pl.scan_delta(table, storage_options=self.options or None)

    def _partition(self, table: DeltaTable, partition: str | None) -> pl.DataFrame:
        rows = self._scan(table)
        return (rows if partition is None else rows.filter(pl.col(MONTH) == partition)).collect()

    def _digests(self, table: DeltaTable, *, newest: bool = False) -> dict[str, str]:
        """Digests at the table's version; ``newest`` spares a second handle, for readers: it may move the table to a later version."""
        found = known_digests(table, latest=table if newest else NamedTable(table.table_uri, storage_options=self.options or None))
        if found is None:
            rows = self._scan(table).collect()
            found = {str(month): digest(part) for (month,), part in rows.group_by(MONTH)} if _partitioned(table) else {WHOLE: digest(rows)}
        return dict(sorted(found.items()))

    def _write(self, address: str, partition: str | None, attempt: Callable[[DeltaTable | None], Version]) -> Version:
        pause = FIRST_PAUSE
        for _ in range(ATTEMPTS):
            table = self._open(address)
            if table is not None and _partitioned(table) != (partition is not None):
                raise PartitioningDiffers(address=address, partition=partition)
            try:
                return attempt(table)
            except CommitFailedError:
                time.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - jitter between two writers
                pause = min(2 * pause, LONGEST_PAUSE)
        raise LakeContended(address=address, partition=partition, attempts=ATTEMPTS)

    def _commit(
        self,
        address: str,
        table: DeltaTable | None,
        rows: pl.DataFrame,
        *,
        partition: str | None,
        content: str,
        known: Mapping[str, str],
        append: bool,
    ) -> int:
        base = ABSENT if table is None else table.version()
        commit = Commit(partition=partition or WHOLE, digest=content, base=base, known=known)
        properties = CommitProperties(
            custom_metadata=commit.metadata(),
            app_transactions=[Transaction(f"lake/{partition or WHOLE}", base + 1)],  # writers of one partition never overtake each other
            max_commit_retries=0 if table is None else None,
        )
        try:
            if table is None:
                self._create(address, rows, partition=partition, properties=properties)
            elif append:
                write_deltalake(table, rows, mode="append", schema_mode="merge", commit_properties=properties)
            elif partition is None:
                write_deltalake(table, rows, mode="overwrite", schema_mode="overwrite", commit_properties=properties)
            else:
                predicate = f"{MONTH} = '{partition}'"
                write_deltalake(table, rows, mode="overwrite", predicate=predicate, schema_mode="merge", commit_properties=properties)
        except (OSError, DeltaError) as error:
            raise storage_error(address=f"{address} {partition or ''}".strip(), uri=self.uri(address), error=error) from error
        return base + 1 if table is None else table.version()

    def _create(self, address: str, rows: pl.DataFrame, *, partition: str | None, properties: CommitProperties) -> None:
        """The first version; of several creators one wins (mode error, no retry), the others come back and build on it."""
        write_deltalake(
            self.uri(address),
            rows,
            mode="error",
            partition_by=None if partition is None else [MONTH],
            storage_options=self.options or None,
            commit_properties=properties,
        )


class LocalLake(DeltaLake):
    """The embedded lake: Delta tables in a folder of this machine."""


def _columns(table: DeltaTable) -> list[str]:
    return [field.name for field in table.schema().fields]


def _partitioned(table: DeltaTable) -> bool:
    return bool(table.metadata().partition_columns)


def _placed(address: str, frame: pl.DataFrame, partition: str | None) -> pl.DataFrame:
    """The frame with the month of its partition, which it may not contradict."""
    if partition is None:
        return frame
    if MONTH in frame.columns:
        others = frame.filter(pl.col(MONTH).ne_missing(pl.lit(partition)))[MONTH].unique().sort().to_list()
        if others:
            raise MonthMismatch(address=address, partition=partition, others=others)
    return frame.with_columns(pl.lit(partition, pl.String).alias(MONTH))


def _fitted(address: str, frame: pl.DataFrame, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The frame in the types that the table has (none: those of the frame); a type may widen, never change."""
    changes: list[pl.Expr] = []
    for name, dtype in frame.schema.items():
        stored = schema.get(name, dtype)
        if stored == pl.Null:
            raise UntypedColumn(address=address, column=name)
        if dtype not in {stored, pl.Null} and not _widens(dtype, stored):
            raise TypeDiffers(address=address, column=name, stored=stored, given=dtype)
        changes.append(pl.col(name).cast(stored))
    return frame.with_columns(changes)


def _widens(given: pl.DataType, stored: pl.DataType) -> bool:
    if given.is_integer():
        return isinstance(stored, pl.Int64 | pl.Float64)
    return given.is_float() and isinstance(stored, pl.Float64)
