"""Small pictures of what monitors found, as SVG text and as markdown with the picture inside. Pure; holds no verdicts.

Written by hand, not by matplotlib: Dagster's UI shows markdown at once only below 1,000 characters and hides the rest behind a button.
Measured: matplotlib costs 2.3 s of import, then 40-80 ms and 12-16 kB a picture; this .1 ms and .6-1 kB. Grey text and mid-tones read on
light and dark pages.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

AT_ONCE: Final = 999
"""The longest markdown that Dagster's UI shows without a click."""

WIDTH: Final = 320
LEFT: Final = 42
RIGHT: Final = WIDTH - 8
TOP: Final = 22
BOTTOM: Final = 140
ROW: Final = 15
LETTER: Final = 6.3
"""Width of a letter of a name, at most on average."""
BAR: Final = 130
SPAN: Final = 100
MOST: Final = 20
_ESCAPES: Final = str.maketrans({"%": "%25", "<": "%3C", ">": "%3E", "#": "%23", "&": "%26", "\\": "%5C", "\n": "%0A"})
"""What a data URI between ``<`` and ``>`` in markdown may not hold: markdown would end it there or decode it before SVG does."""


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """Data to pixels along one axis."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> int:
        """The pixel of a value."""
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start))

    @classmethod
    def upwards(cls, values: Sequence[float]) -> _Scale:
        """An axis with round ends around the values."""
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        step = 10 ** math.floor(math.log10(high - low)) if high > low else abs(high) or 1.0
        above = math.floor(high / step + 1) * step if high / step % 1 else max(high, low + step)
        return cls(low=math.floor(low / step) * step, high=above, start=BOTTOM, end=TOP)


def calibration_svg(calibration: pl.DataFrame, *, title: str = "Calibration") -> str:
    """Mean label against mean prediction (form CALIBRATION) with intervals; the thin diagonal is perfect."""
    rows = calibration.to_dicts()
    up = _Scale.upwards([row[name] for row in rows for name in ("predicted", "observed", "low", "high") if row[name] is not None])
    across = _Scale(low=up.low, high=up.high, start=LEFT, end=RIGHT)
    points = [(across(row["predicted"]), up(row["observed"])) for row in rows]
    bars = "".join(f"M{across(row['predicted'])} {up(row['low'])}V{up(row['high'])}" for row in rows if row["low"] is not None)
    caption = f"<text x='{LEFT + 60}' y='{BOTTOM + 23}'>predicted, observed upwards</text>"
    perfect = _path(f"M{LEFT} {BOTTOM}L{RIGHT} {TOP}", "gray", width=0.5)
    return _svg(_axes(up, title=title, ends=(f"{up.low:g}", f"{up.high:g}")) + caption + perfect + _path(_line(points) + bars, "steelblue"))


def bars_svg(items: Mapping[str, float], *, title: str, most: int = MOST, alarms: Sequence[str] = ()) -> str:
    """Horizontal bars, largest first, at most ``most``; names in ``alarms`` are red."""
    ordered = sorted(items.items(), key=lambda item: (-abs(item[1]), item[0]))[:most]
    largest = max((abs(value) for _, value in ordered), default=0.0) or 1.0
    label = round(LETTER * max((len(f"{name} {value:.3g}") for name, value in ordered), default=0)) + 6
    names, strokes = "", {"steelblue": "", "crimson": ""}
    for place, (name, value) in enumerate(ordered):
        y = TOP + ROW * place + 11
        names += f"<tspan x='0' y='{y}'>{html.escape(name)} {value:.3g}</tspan>"
        length = round(abs(value) / largest * BAR)
        strokes["crimson" if name in alarms else "steelblue"] += f"M{label} {y - 4}h{max(length, 1)}"
    said = title + (f", {len(ordered)} of {len(items)}" if len(ordered) < len(items) else "")
    bars = "".join(_path(stroke, colour, width=9) for colour, stroke in strokes.items() if stroke)
    return _svg(f"<text y='11'>{html.escape(said)}{names}</text>{bars}", width=max(label + BAR, WIDTH), height=TOP + ROW * len(ordered) + 4)


def lines_svg(labels: Sequence[str], values: Sequence[float | None], *, title: str) -> str:
    """One line over days or months; gaps stay gaps."""
    known = [value if value is not None and math.isfinite(value) else None for value in values]
    up = _Scale.upwards([value for value in known if value is not None])
    across = _Scale(low=0, high=max(1, len(labels) - 1), start=LEFT, end=RIGHT)
    points = [None if value is None else (across(place), up(value)) for place, value in enumerate(known)]
    return _svg(_axes(up, title=title, ends=(labels[0], labels[-1]) if labels else ("", "")) + _path(_line(points), "steelblue"))


def interval_svg(value: float, low: float, high: float, *, colour: str) -> str:
    """One difference with its interval, 0 in the middle; as wide as its own farther end asks for."""
    most = 1.1 * max(abs(low), abs(high)) or 1.0
    across = _Scale(low=-most, high=most, start=0, end=SPAN)
    zero, ends = _path(f"M{across(0)} 0V16", "gray", width=1), _path(f"M{across(low)} 8H{across(high)}", colour)
    return _svg(zero + ends + _path(f"M{across(value) - 2} 8h4", colour, width=8), width=SPAN, height=16)


def markdown(svg: str, *, alt: str) -> str:
    """The picture as a markdown image that carries its data; below ``AT_ONCE`` characters Dagster's UI shows it without a click."""
    plain = alt.replace("[", "(").replace("]", ")").replace("\n", " ")
    return f"![{plain}](<data:image/svg+xml,{svg.translate(_ESCAPES)}>)"


def bars_markdown(items: Mapping[str, float], *, title: str, alarms: Sequence[str] = ()) -> str:
    """``bars_svg`` as markdown, with as many bars as the UI shows at once, but one at least."""
    text = ""
    for most in range(min(max(len(items), 1), MOST), 0, -1):
        text = markdown(bars_svg(items, title=title, most=most, alarms=alarms), alt=title)
        if len(text) <= AT_ONCE:
            break
    return text


def _svg(content: str, *, width: int = WIDTH, height: int = BOTTOM + 30) -> str:
    font = "font-family='sans-serif' font-size='11' fill='gray'"
    return f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' {font}>{content}</svg>"


def _axes(up: _Scale, *, title: str, ends: tuple[str, str]) -> str:
    below = BOTTOM + 13
    return (
        f"<text y='11'>{html.escape(title)}"
        f"<tspan x='0' y='{TOP + 8}'>{up.high:.4g}</tspan><tspan x='0' y='{BOTTOM}'>{up.low:.4g}</tspan>"
        f"<tspan x='{LEFT}' y='{below}'>{html.escape(ends[0])}</tspan></text>"
        f"<text x='{RIGHT}' y='{below}' text-anchor='end'>{html.escape(ends[1])}</text>"
    ) + _path(f"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}", "gray", width=1)


def _path(content: str, colour: str, *, width: float = 2) -> str:
    return f"<path d='{content}' fill='none' stroke='{colour}' stroke-width='{width:g}'/>"


def _line(points: Sequence[tuple[int, int] | None]) -> str:
    """A stroke through the points; each begins with a dash, so that a point between two gaps is seen."""
    pairs = zip([None, *points[:-1]], points, strict=True) if points else ()
    return "".join(f"M{now[0]} {now[1]}h-2" if before is None else f"L{now[0]} {now[1]}" for before, now in pairs if now is not None)
