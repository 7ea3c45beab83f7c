"""Why a project cannot be written."""

from collections.abc import Iterable
from pathlib import Path

from resources.errors import PlatformError


class NotAName(PlatformError):
    """A word that cannot be the name of a package."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(
            f"{name!r} cannot name a project: {why}. Nothing was written. Take small letters, digits and underscores, for example acme_ml."
        )


class FolderExists(PlatformError):
    """Something lies where the project would be written."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} exists and is left as it is; nothing was written. Take another name, or remove it first.")


class UnusableFile(PlatformError):
    """A CSV file of which no project can be made."""

    def __init__(self, path: Path, why: str, do: str) -> None:
        super().__init__(f"{path}: {why}. Nothing was written. {do}")


class NoSuchColumn(PlatformError):
    """An option names a column that the file lacks."""

    def __init__(self, path: Path, option: str, column: str, known: Iterable[str]) -> None:
        super().__init__(f"{path} has no column {column!r} for --{option}. Nothing was written. Its columns are {', '.join(known)}.")
