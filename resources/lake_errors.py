"""What may go wrong with a table in the lake, each with its remedy."""

import re
from collections.abc import Sequence
from typing import Final

from deltalake.exceptions import CommitFailedError

from resources.errors import PlatformError

READ_ONLY: Final = ("os error 13", "os error 1)", "os error 30", "permission denied", "read-only file system", "operation not permitted")
FULL: Final = ("os error 28", "os error 27", "os error 122", "no space left", "file too large", "quota exceeded")
EXISTS: Final = "a table already exists"
SHOWN: Final = 12
LONGEST: Final = 400


class NothingThere(PlatformError):
    """An address was read before it was ever written."""

    def __init__(self, *, address: str, uri: str) -> None:
        super().__init__(f"{address} is not in the lake ({uri}), so there is nothing to read. Materialize {address} first.")


class NoSuchPartition(PlatformError):
    """Months were asked for that the table never had."""

    def __init__(self, *, address: str, missing: Sequence[str], present: Sequence[str]) -> None:
        there = f"{present[0]} to {present[-1]} ({len(present)})" if present else "no month at all"
        months = ", ".join(missing)
        super().__init__(
            f"{address} has no partition {months}; it has {there}. Rows of other months are no substitute, so nothing was read. "
            f"Materialize {months} of {address} first."
        )


class NoSuchVersion(PlatformError):
    """A version of a table that never was, or was cleaned away."""

    def __init__(self, *, address: str, version: int, latest: int) -> None:
        super().__init__(
            f"{address} has no version {version} (latest: {latest}), so what was recorded cannot be read again. Check the recorded "
            f"version, or read the past with as_of() on the latest one."
        )


class NoSuchColumn(PlatformError):
    """A column that the table does not have."""

    def __init__(self, *, address: str, unknown: Sequence[str], present: Sequence[str]) -> None:
        super().__init__(
            f"{address} has no column {', '.join(unknown)}; it has {', '.join(sorted(present))}. Materialize {address} again if its "
            f"contract gained the column, or ask for one of these."
        )


class PartitioningDiffers(PlatformError):
    """A monthly table was written as a whole, or the reverse."""

    def __init__(self, *, address: str, partition: str | None) -> None:
        how, was = ("as a whole", "by month") if partition is None else (f"as month {partition}", "as a whole")
        super().__init__(
            f"{address} is kept {was} and was to be written {how}, which would drop what is there. Nothing was written. Write it {was}, "
            f"or remove its folder and materialize it from the start."
        )


class MonthMismatch(PlatformError):
    """Rows of one month were to be written into another."""

    def __init__(self, *, address: str, partition: str, others: Sequence[str | None]) -> None:
        told = ", ".join(map(str, others[:SHOWN]))
        super().__init__(
            f"{address} {partition}: the frame holds rows of month {told}. Nothing was written. Materialize each month with its own rows "
            f"(the column `month` is the partition)."
        )


class TypeDiffers(PlatformError):
    """A column changed its type between two partitions."""

    def __init__(self, *, address: str, column: str, stored: object, given: object) -> None:
        super().__init__(
            f"{address}.{column} is {stored} in the lake and {given} in the new rows. Nothing was written. Cast it to {stored} where it is "
            f"made, or remove the table's folder and materialize all months again."
        )


class UntypedColumn(PlatformError):
    """A column of nulls that nobody gave a type."""

    def __init__(self, *, address: str, column: str) -> None:
        super().__init__(
            f"{address}.{column} holds only nulls and has no type, so the lake cannot keep it. Nothing was written. "
            f"Give it one where it is made: pl.lit(None, dtype=...)."
        )


class LakeContended(PlatformError):
    """Other writers kept changing the same month."""

    def __init__(self, *, address: str, partition: str | None, attempts: int) -> None:
        super().__init__(
            f"{address} {partition or ''} was changed by other writers {attempts} times while it was being written. This write was given "
            f"up and left nothing behind. Materialize it again, with fewer runs of the same month at once."
        )


class LakeReadOnly(PlatformError):
    """The lake does not let us write."""

    def __init__(self, *, address: str, uri: str) -> None:
        super().__init__(
            f"{address} cannot be written: {uri} is read-only for this user. The table is as it was. "
            f"Give the user write permission on the folder, or point MLOPS_HOME to one that is writable."
        )


class LakeFull(PlatformError):
    """No room left for the table."""

    def __init__(self, *, address: str, uri: str) -> None:
        super().__init__(
            f"{address} cannot be written: no room is left at {uri}. The table is as it was. "
            f"Free disk space or raise the quota, then materialize {address} again."
        )


class LakeFailed(PlatformError):
    """The storage refused for a reason of its own."""

    def __init__(self, *, address: str, uri: str, why: str) -> None:
        super().__init__(
            f"{address} at {uri} could not be read or written: {why}. The table is as it was. "
            f"Check that the storage answers and that the folder holds a sound Delta table, then materialize {address} again."
        )


def storage_error(*, address: str, uri: str, error: Exception) -> Exception:
    """Our error for one of the storage's, told apart by the system's words; a lost race stays a ``CommitFailedError``."""
    text = str(error).lower()
    if any(sign in text for sign in FULL):
        return LakeFull(address=address, uri=uri)
    if any(sign in text for sign in READ_ONLY):
        return LakeReadOnly(address=address, uri=uri)
    if isinstance(error, CommitFailedError):
        return error
    if EXISTS in text:
        return CommitFailedError(str(error))
    return LakeFailed(address=address, uri=uri, why=_told(str(error)))


def _told(text: str) -> str:
    """What delta-rs draws as a tree in colours, from failure to cause, as a line."""
    return " ".join(re.sub(r"\x1b\[\d*m|↳", " ", text).split())[:LONGEST]
