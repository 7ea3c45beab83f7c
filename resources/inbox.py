"""Where raw files land: one folder a source, one CSV a month (or ``all.csv``). Knows nothing of contracts."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import dagster as dg
import polars as pl

from resources.errors import PlatformError

WHOLE: Final = "all"
NULLS: Final = ["NA", ""]


class NoSuchFile(PlatformError):
    """A month was asked for whose file never came."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is not there, so the partition cannot be ingested. Put the file into the inbox and materialize it again.")


class UnreadableFile(PlatformError):
    """A file that is not the CSV that it should be."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"{path} cannot be read as CSV: {why}. Nothing of it was ingested. Mend the file and materialize the partition again."
        )


class EmptyFile(PlatformError):
    """A file with a header and no rows."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} holds no rows, so the partition was left as it was. Deliver the whole month, or remove the file.")


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A file in the inbox: of which table, which month (None: the whole table), and which bytes."""

    table: str
    month: str | None
    path: Path
    fingerprint: str


class Inbox(dg.ConfigurableResource):
    """A folder with one sub-folder a table, ``<noun>.<name>``."""

    root: str

    def path(self, table: str, month: str | None) -> Path:
        """Where the file of this table and month is expected."""
        return Path(self.root) / table.replace("/", ".") / f"{month or WHOLE}.csv"

    def arrivals(self) -> list[Arrival]:
        """All files that are here, by table and month; the fingerprint is of size and modification time, cheap enough for a sensor."""
        found = sorted(Path(self.root).glob("*/*.csv"))
        return [
            Arrival(
                table=path.parent.name.replace(".", "/"),
                month=None if path.stem == WHOLE else path.stem,
                path=path,
                fingerprint=_fingerprint(path),
            )
            for path in found
        ]

    def read(self, table: str, month: str | None) -> pl.DataFrame:
        """The raw rows, every column text, ``NA`` and empty as null.

        Raises:
            NoSuchFile: it never came. UnreadableFile: it is no CSV. EmptyFile: it has no rows.
        """
        path = self.path(table, month)
        try:
            frame = pl.read_csv(path, infer_schema=False, null_values=NULLS)
        except FileNotFoundError:
            raise NoSuchFile(path) from None
        except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
            raise UnreadableFile(path, str(error).splitlines()[0]) from error
        if frame.is_empty():
            raise EmptyFile(path)
        return frame

    def deliver(self, table: str, month: str | None, raw: pl.DataFrame) -> Path:
        """Put a file into the inbox in one step; an equal file is left untouched, so that delivering twice is once."""
        path = self.path(table, month)
        data = raw.write_csv(null_value="NA").encode()
        if path.exists() and path.read_bytes() == data:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        partial.write_bytes(data)
        partial.replace(path)
        return path


def _fingerprint(path: Path) -> str:
    status = path.stat()
    return hashlib.sha256(f"{status.st_size}:{status.st_mtime_ns}".encode()).hexdigest()[:12]
