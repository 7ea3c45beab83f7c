"""Where HTML reports lie, and the page that lists them."""

from pathlib import Path

import dagster as dg


class Reports(dg.ConfigurableResource):
    """A folder with one sub-folder a model and one page a month."""

    root: str

    def page(self, model: str, month: str) -> Path:
        """Where the report of a model and month lies."""
        return Path(self.root) / model / f"{month}.html"

    @property
    def index(self) -> Path:
        """The page that lists all reports."""
        return Path(self.root) / "index.html"
