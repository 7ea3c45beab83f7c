"""HTML pages that need nothing but themselves: one style, no script, no network. Whoever has something to show fills them."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final
from urllib.parse import quote

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
.beside {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(34rem, 100%), 1fr)); gap: 0 2.5rem }}
.beside > div {{ min-width: 0 }} .beside td {{ overflow-wrap: anywhere }}
section {{ border-top: 3px solid #8884; margin-top: 2.5rem }} section p, section ul {{ margin: .4rem 0 }}
section td {{ font-size: .87rem; padding: .2rem .8rem .2rem 0 }} h3 {{ font-size: 1rem; margin: .8rem 0 .2rem }}
pre {{ background: #8882; padding: .6rem .8rem; font-size: .8rem; white-space: pre-wrap }} summary {{ cursor: pointer; margin: .6rem 0 }}
</style></head><body><h1>{title}</h1>
{body}
</body></html>
"""


def page(title: str, *parts: str, width: int = 60) -> str:
    """A whole page of parts that are HTML already; ``width`` in letters of the browser."""
    return _PAGE.format(title=escape(title), body="\n".join(parts), width=width)


def heading(text: str, *, level: int = 2) -> str:
    """A heading; a section's, or one below it."""
    return f"<h{level}>{escape(text)}</h{level}>"


def section(name: str, *parts: str) -> str:
    """A part of the page that ``#name`` leads to."""
    return f"<section id='{escape(name)}'>{''.join(parts)}</section>"


def beside(*columns: str) -> str:
    """Columns where the window is wide enough, else one below the other."""
    return f"<div class=beside>{''.join(f'<div>{one}</div>' for one in columns)}</div>"


def folded(summary: str, *parts: str) -> str:
    """What is shown when somebody asks for it."""
    return f"<details><summary>{escape(summary)}</summary>{''.join(parts)}</details>"


def commands(*lines: str) -> str:
    """What is typed in a terminal."""
    return f"<pre>{escape(chr(10).join(lines))}</pre>"


def link(text: str, target: str) -> str:
    """A link to a place of this page or to a page beside it."""
    return f"<a href='{escape(quote(target, safe='/#'))}'>{escape(text)}</a>"


def cell(text: str, *, kind: str = "") -> str:
    """A cell; short texts (names, numbers, months) are not broken. ``kind`` is good, bad or open."""
    classes = kind + " short" * (len(text) <= SHORT)
    return f"<td class='{classes.strip()}'>{escape(text)}</td>" if kind else f"<td{' class=short' * bool(classes)}>{escape(text)}</td>"


def paragraph(text: str, *, kind: str = "") -> str:
    """A paragraph of plain text; ``kind`` is good, bad or open."""
    return f"<p class='{kind}'>{escape(text)}</p>" if kind else f"<p>{escape(text)}</p>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str = "Nothing.") -> str:
    """A table of plain text."""
    lines = ["".join(cell(text) for text in row) for row in rows] or [f"<td colspan={len(header)}>{escape(empty)}</td>"]
    return raw_table(header, lines)


def raw_table(header: Sequence[str], lines: Iterable[str], *, head: str = "") -> str:
    """A table of rows whose cells are HTML already; so is ``head``, which may stand for ``header``."""
    head = head or "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>"


def markdown(text: str) -> str:
    """The Markdown that cards are written in, as HTML: headings, paragraphs, lists, tables, bold and code; all else is plain text."""
    return "\n".join(_block(block.strip().splitlines()) for block in re.split(r"\n\s*\n", _apart(text)) if block.strip())


def _apart(text: str) -> str:
    """With a blank line before each list and table, and around each heading."""
    text = re.sub(r"^(#+ .*)$", r"\n\1\n", text, flags=re.MULTILINE)
    return re.sub(r"^(?![-|])(.+)\n(?=[-|] ?)", r"\1\n\n", text, flags=re.MULTILINE)


def _block(lines: list[str]) -> str:
    first = lines[0]
    if found := re.match(r"(#+) (.*)", first):
        return f"<h{min(len(found[1]) + 1, 6)}>{_inline(found[2])}</h{min(len(found[1]) + 1, 6)}>"
    if first.startswith("|"):
        cells = [[_inline(cell.strip()) for cell in line.strip().strip("|").split("|")] for line in lines]
        rows = ["".join(f"<td{' class=short' * (len(cell) <= SHORT)}>{cell}</td>" for cell in row) for row in cells[2:]]
        return raw_table([], rows, head="".join(f"<th>{cell}</th>" for cell in cells[0]))
    if first.startswith("- "):
        items = re.split(r"^- ", "\n".join(lines), flags=re.MULTILINE)[1:]
        return f"<ul>{''.join(f'<li>{_inline(item)}</li>' for item in items)}</ul>"
    return f"<p>{_inline(' '.join(lines))}</p>"


def _inline(text: str) -> str:
    bold = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escape(text, quote=False))
    return re.sub(r"`(.+?)`", r"<code>\1</code>", bold)
