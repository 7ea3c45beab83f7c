"""What a commit of ours says in the Delta log, and the content digests that follow from a log. Opens no data file."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import unquote

from deltalake import DeltaTable

WHOLE: Final = ""
"""The partition name of a table that has none."""

FIELD: Final = "mlops_lake"
HARMLESS: Final = frozenset({"OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES", "ADD COLUMN", "CREATE TABLE"})


class NamedTable(DeltaTable):
    """A table whose local files have the names that the disk knows: delta-rs gives them percent-encoded, and polars then finds none."""

    def file_uris(self, *arguments: Any, **filters: Any) -> list[str]:
        """The files; only plain paths are decoded, a URI stays as it is."""
        return [unquote(uri) if uri.startswith("/") else uri for uri in super().file_uris(*arguments, **filters)]


@dataclass(frozen=True, kw_only=True)
class Commit:
    """One write: its partition and digest, and all digests ``known`` at the version ``base`` on which the writer built.

    Versions between base and commit are other writers' partitions; they tell their own digest.
    """

    partition: str
    digest: str
    base: int
    known: Mapping[str, str]

    def metadata(self) -> dict[str, str]:
        """The commit's custom metadata."""
        return {FIELD: json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))}


def known_digests(table: DeltaTable, *, latest: DeltaTable) -> dict[str, str] | None:
    """Digest of each partition at the table's version; None when somebody else's write makes the log silent on it.

    ``latest`` is a second handle on the table; it is moved to the latest version.
    """
    limit = 4
    while True:
        commits = _newest(latest, limit)
        complete = len(commits) < limit or commits[-1]["version"] == 0
        found, told = _fold(commit for commit in commits if commit["version"] <= table.version())
        if told or complete:
            return found
        limit *= 8


def _newest(latest: DeltaTable, limit: int) -> list[dict[str, Any]]:
    """The newest commits with their versions.

    ``history()`` lists from the newest commit of the log and counts from the version of its handle, which may be an older one.
    """
    while True:
        commits, counted_from = latest.history(limit), latest.version()
        latest.update_incremental()
        if latest.version() == counted_from:
            return commits


def _fold(commits: Iterable[Mapping[str, Any]]) -> tuple[dict[str, str] | None, bool]:
    """Newest first: what the commits say until the base of the newest of ours, and whether that base was reached."""
    newer: dict[str, str] = {}
    newest: Commit | None = None
    for entry in commits:
        if newest is not None and entry["version"] <= newest.base:
            return {**newest.known, **newer}, True
        if FIELD in entry:
            commit = Commit(**json.loads(entry[FIELD]))
            newest = newest or commit
            newer.setdefault(commit.partition, commit.digest)
        elif entry.get("operation") not in HARMLESS:
            return None, True
    return None if newest is None else {**newest.known, **newer}, False
