"""HTML pages that need nothing but themselves: one style, no script, no network. Whoever has something to show fills them."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

SHORT: Final = 24
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: {width}rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid #8884; vertical-align: top }}
td:first-child {{ white-space: nowrap }}
.short {{ white-space: nowrap; font-variant-numeric: tabular-nums }}
.good {{ color: seagreen }} .bad {{ color: crimson; font-weight: 600 }} .open {{ color: gray }}
.wide {{ overflow-x: auto }} .wide svg {{ display: block }}
</style></head><body><h1>{title}</h1>
{body}
</body></html>
"""


def page(title: str, *parts: str, width: int = 60) -> str:
    """A whole page of parts that are HTML already; ``width`` in letters of the browser."""
    return _PAGE.format(title=escape(title), body="\n".join(parts), width=width)


def heading(text: str) -> str:
    """A section's heading."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, *, kind: str = "") -> str:
    """A paragraph of plain text; ``kind`` is good, bad or open."""
    return f"<p class='{kind}'>{escape(text)}</p>" if kind else f"<p>{escape(text)}</p>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str = "Nothing.") -> str:
    """A table of plain text."""
    lines = ["".join(_cell(cell) for cell in row) for row in rows] or [f"<td colspan={len(header)}>{escape(empty)}</td>"]
    return raw_table(header, lines)


def _cell(text: str) -> str:
    """Short texts (names, numbers, months) are not broken."""
    return f"<td class=short>{escape(text)}</td>" if len(text) <= SHORT else f"<td>{escape(text)}</td>"


def raw_table(header: Sequence[str], lines: Iterable[str]) -> str:
    """A table of rows whose cells are HTML already."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
