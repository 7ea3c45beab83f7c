"""Why a project cannot be written."""

from resources.errors import PlatformError


class NotWritten(PlatformError):
    """A project cannot be written: its name, its folder or its file does not do."""

    def __init__(self, why: str, do: str) -> None:
        super().__init__(f"{why}. Nothing was written. {do}")
