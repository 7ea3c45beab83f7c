"""Where HTML reports lie, and the page that lists them."""

from pathlib import Path
from typing import Any

import dagster as dg


class Reports(dg.ConfigurableResource[Any]):
    """A folder with one sub-folder a model and one page a month, and pages about versions; ``ui`` is the address that links point to."""

    root: str
    ui: str = "http://127.0.0.1:8800"

    def page(self, model: str, month: str) -> Path:
        """Where the report of a model and month lies."""
        return Path(self.root) / model / f"{month}.html"

    def link(self, model: str, month: str) -> str:
        """The page's address while `make ui` runs: a browser opens no file from a page that came by HTTP."""
        return f"{self.ui}/{model}/{month}.html"

    def file(self, *parts: str) -> Path:
        """Where a page that is about no month lies: folder, then name."""
        return Path(self.root).joinpath(*parts[:-1], f"{parts[-1]}.html")

    def address(self, *parts: str) -> str:
        """The address of that page while `make ui` runs."""
        return f"{self.ui}/{'/'.join(parts)}.html"

    @property
    def index(self) -> Path:
        """The page that lists all reports."""
        return Path(self.root) / "index.html"
