"""Pages for people: an Evidently report of a small named sample, and the index of reports. Renders; the verdicts are made elsewhere.

Evidently is imported here and nowhere else, inside the function (7-11 s). It reads a column wrongly or drops it in silence unless it gets a
complete definition and plain numpy types, and one all-null column ends the whole report: both are taken care of here.
"""

from __future__ import annotations

import gc
import html
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import polars as pl

from resources.errors import PlatformError
from resources.page import page, raw_table
from resources.settings import be_quiet
from resources.whole import write_whole

if TYPE_CHECKING:
    import pandas as pd

MOST_COLUMNS: Final = 12
MISSING: Final = "(missing)"
_NOISE: Final = (
    "numpy.core is deprecated",  # evidently/legacy/tests/utils.py, when imported
    "invalid escape sequence",  # evidently/descriptors/text_match.py, when compiled
    "Call to deprecated function 'Dependency'",  # litestar, which evidently imports
    "Use of deprecated class 'DependencyKwarg'",  # as above
)
"""What evidently 0.7.23 warns of that nobody here can mend."""


class NothingToReport(PlatformError):
    """A report without rows or without columns."""

    def __init__(self, *, title: str, reference: int, current: int) -> None:
        """``reference`` and ``current`` rows."""
        super().__init__(
            f"{title}: no report can be drawn of {reference:,} reference rows, {current:,} current rows: no column has "
            "values in both. The verdicts in the monitor table do not need it."
        )


@dataclass(frozen=True, kw_only=True)
class IndexRow:
    """One line of the index: whose report, what the monitor said, and the file, relative to the index."""

    month: str
    model: str
    verdict: str
    detail: str = ""
    link: str | None = None


def write_report(
    path: Path, *, reference: pl.DataFrame, current: pl.DataFrame, columns: Sequence[str], title: str, seed: int, sample: int = 2000
) -> None:
    """Write the Evidently page of at most 12 ``columns`` and ``sample`` rows of each side; the page says that it is a sample.

    Columns that hold no value on one side are left out and named.
    """
    wanted, both = list(dict.fromkeys(columns))[:MOST_COLUMNS], (reference, current)
    usable = [name for name in wanted if all(side[name].count() for side in both)]
    if not usable:
        raise NothingToReport(title=title, reference=reference.height, current=current.height)
    kinds = {name: all(side.schema[name].is_numeric() for side in both) for name in usable}
    sides = [_sampled(side.select(usable), sample=sample, seed=seed) for side in both]
    before, now = (f"{side.height:,} of {whole.height:,}" for side, whole in zip(sides, both, strict=True))
    without = ", ".join(name for name in wanted if name not in usable)
    note = (
        f"This page shows a sample: {now} current rows against {before} reference rows (seed {seed}) in {len(usable)} columns."
        f"{f' Without values, so not shown: {without}.' if without else ''} Its drift flags are Evidently's own and decide nothing; "
        "the verdict is made of all rows and stands in the monitor table."
    )
    page = _render([_plain(side, kinds=kinds) for side in sides], kinds=kinds)
    said = _NOTE.format(title=html.escape(title), note=html.escape(note))
    write_whole(path, page.replace("<body>", f"<body>{said}", 1))


def index_page(rows: Sequence[IndexRow], *, title: str = "Reports") -> str:
    """A page that lists reports, newest month first; it needs nothing but itself."""
    ordered = sorted(rows, key=lambda row: (row.month, row.model), reverse=True)
    lines = [_index_row(row) for row in ordered] or ["<td colspan=5>No report yet.</td>"]
    return page(title, raw_table(("month", "model", "verdict", "what was seen", "report"), lines))


@contextmanager
def _undisturbed() -> Generator[None]:
    """Neither Evidently's warnings nor the garbage collector: to search what it builds costs a quarter of its import, a fifth of a page."""
    was_on = gc.isenabled()
    gc.disable()
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):  # a constant column has no correlation
        for message in _NOISE:
            warnings.filterwarnings("ignore", message=message)
        try:
            yield
        finally:
            if was_on:
                gc.enable()


def _render(sides: list[pd.DataFrame], *, kinds: dict[str, bool]) -> str:
    be_quiet()
    with _undisturbed():
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        class Inputs(DataDriftPreset):
            """The preset's page without the metrics behind it: they draw every plot once more, and the page shows none of them."""

            def generate_metrics(self, context: Any) -> list[Any]:
                del context
                return []

        definition = DataDefinition(
            numerical_columns=[name for name, numeric in kinds.items() if numeric],
            categorical_columns=[name for name, numeric in kinds.items() if not numeric],
            text_columns=[], datetime_columns=[], unknown_columns=[], list_columns=[],
        )  # fmt: skip
        dataset: Any = Dataset  # its constructor is half typed
        reference, current = (dataset.from_pandas(side, definition) for side in sides)
        return Report([Inputs(columns=list(kinds))]).run(current, reference).get_html_str(as_iframe=False)


def _sampled(side: pl.DataFrame, *, sample: int, seed: int) -> pl.DataFrame:
    if side.height <= sample:
        return side
    return side[np.sort(np.random.default_rng(seed).choice(side.height, size=sample, replace=False))]


def _plain(side: pl.DataFrame, *, kinds: dict[str, bool]) -> pd.DataFrame:
    import pandas as pd

    def values(name: str) -> npt.NDArray[Any]:
        if not kinds[name]:
            return np.array(side[name].cast(pl.String).fill_null(MISSING).to_list(), dtype=object)
        numbers = side[name].cast(pl.Float64).to_numpy()
        return np.where(np.isfinite(numbers), numbers, np.nan)

    return pd.DataFrame({name: values(name) for name in side.columns})


def _index_row(row: IndexRow) -> str:
    month, model, verdict, detail = (html.escape(text) for text in (row.month, row.model, row.verdict, row.detail))
    link = f"<a href='{html.escape(quote(row.link), quote=True)}'>open</a>" if row.link else "none"
    kind = "good" if row.verdict == "ok" else "bad" if any(word in row.verdict for word in ("drift", "fell")) else "open"
    return f"<td>{month}</td><td>{model}</td><td class={kind}>{verdict}</td><td>{detail}</td><td>{link}</td>"


_NOTE: Final = "<div style='font:14px sans-serif;padding:12px 24px;background:#fff8e1;color:#333'><b>{title}</b><br>{note}</div>"
