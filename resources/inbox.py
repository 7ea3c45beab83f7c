"""Where raw files land: one folder a source, one CSV a month (or ``all.csv``). Knows nothing of contracts.

Deliver by rename: write under a name that begins with a dot or ends in ``.tmp``, ``.part`` or ``.partial``, then give it its own. What
bears its own name is taken for complete.
"""

import csv
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dagster as dg
import polars as pl

from resources.errors import PlatformError
from resources.whole import write_whole

WHOLE: Final = "all"
MONTH: Final = re.compile(r"\d{4}-(0[1-9]|1[0-2])", re.ASCII)
NULLS: Final = ["NA", ""]
ON_ITS_WAY: Final = frozenset({".tmp", ".part", ".partial"})


class NoSuchFile(PlatformError):
    """A month was asked for whose file never came."""

    def __init__(self, where: str, path: Path) -> None:
        super().__init__(f"{where}: {path} is not there, so nothing was ingested. Put the file into the inbox and materialize it again.")


class UnreadableFile(PlatformError):
    """A file that is not the CSV that it should be."""

    def __init__(self, where: str, path: Path, why: str) -> None:
        super().__init__(
            f"{where}: {path} cannot be read as CSV in UTF-8: {why}. Nothing was ingested. Mend the file and materialize it again."
        )


class EmptyFile(PlatformError):
    """A file without rows."""

    def __init__(self, where: str, path: Path) -> None:
        super().__init__(f"{where}: {path} holds no rows, so the table was left as it was. Deliver the whole file, or remove it.")


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A file in the inbox: of which table, which month (None: the whole table), and which bytes."""

    table: str
    month: str | None
    path: Path
    fingerprint: str


class Inbox(dg.ConfigurableResource[Any]):
    """A folder with one sub-folder a table, ``<noun>.<name>``."""

    root: str

    def path(self, table: str, month: str | None) -> Path:
        """Where the file of this table and month is expected."""
        return Path(self.root) / table.replace("/", ".") / f"{month or WHOLE}.csv"

    def arrivals(self) -> list[Arrival]:
        """All files named as a month or ``all``; the fingerprint is of size and modification time, cheap enough for a sensor."""
        return [
            Arrival(
                table=path.parent.name.replace(".", "/"),
                month=None if path.stem == WHOLE else path.stem,
                path=path,
                fingerprint=_fingerprint(path),
            )
            for path in self._files()
            if self._is_named(path)
        ]

    def misnamed(self) -> list[str]:
        """Files that cannot be taken for a table's month, relative to the inbox."""
        return [str(path.relative_to(self.root)) for path in self._files() if not self._is_named(path)]

    def read(self, table: str, month: str | None, *, where: str) -> pl.DataFrame:
        """The raw rows, every column text, ``NA`` and empty as null; errors begin with ``where`` and show no value.

        Raises:
            NoSuchFile: it never came. UnreadableFile: it is no CSV. EmptyFile: it has no rows.
        """
        path = self.path(table, month)
        try:
            frame = pl.read_csv(path, infer_schema=False, null_values=NULLS)
        except FileNotFoundError:
            raise NoSuchFile(where, path) from None
        except pl.exceptions.NoDataError:
            raise EmptyFile(where, path) from None
        except (pl.exceptions.PolarsError, OSError):  # their words quote the file
            raise UnreadableFile(where, path, _fault(path) or "a quote is not closed, or a line is no text") from None
        short = _fault(path) if frame.columns and frame[frame.columns[-1]].null_count() else None  # polars fills such lines with nulls
        if short or any("\0" in name for name in frame.columns):
            raise UnreadableFile(where, path, short or _fault(path) or "it holds zero bytes")
        if frame.is_empty():
            raise EmptyFile(where, path)
        return frame

    def deliver(self, table: str, month: str | None, raw: pl.DataFrame) -> Path:
        """Put a file into the inbox in one step; an equal file is left untouched, so that delivering twice is once."""
        path = self.path(table, month)
        data = raw.write_csv(null_value="NA").encode()
        if path.exists() and path.read_bytes() == data:
            return path
        write_whole(path, data)
        return path

    def _files(self) -> list[Path]:
        """Complete files at any depth."""
        found = (path for path in Path(self.root).rglob("*") if path.is_file() and path.suffix not in ON_ITS_WAY)
        return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(self.root).parts))

    def _is_named(self, path: Path) -> bool:
        placed = path.parent.parent == Path(self.root) and path.suffix == ".csv"
        return placed and (path.stem == WHOLE or MONTH.fullmatch(path.stem) is not None)


def _fault(path: Path) -> str | None:
    """The first line that is no text or whose number of fields is not the header's, without its values; None when there is none."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        return error.strerror
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        return f"line {line} is not UTF-8"
    reader = csv.reader(text.splitlines(keepends=True))
    width = len(next(reader, list[str]()))
    try:
        short = next((fields for fields in reader if fields and len(fields) != width), None)
    except csv.Error:
        return None
    return f"line {reader.line_num} has {len(short)} fields, the header has {width}" if short else None


def _fingerprint(path: Path) -> str:
    status = path.stat()
    return hashlib.sha256(f"{status.st_size}:{status.st_mtime_ns}".encode()).hexdigest()[:12]
