"""Small pictures of what monitors found, as SVG text and as markdown with the picture inside. Pure; holds no verdicts.

Written by hand, not by matplotlib: Dagster's UI shows markdown at once only below 1,000 characters and hides the rest behind a button.
Measured: matplotlib costs 2.3 s of import, then 40-80 ms and 12-16 kB a picture; this .1 ms and .6-1 kB. Grey text and mid-tones read on
light and dark pages.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

import polars as pl

AT_ONCE: Final = 999
"""The longest markdown that Dagster's UI shows without a click."""

WIDTH: Final = 320
HEIGHT: Final = 170
LEFT: Final = 42
TOP: Final = 22
BOTTOM: Final = 140
ROW: Final = 15
LETTER: Final = 6.3
"""Width of a letter of a name, at most on average."""
BAR: Final = 130
_ESCAPES: Final = {"%": "%25", "<": "%3C", ">": "%3E", "#": "%23", "&": "%26", "\\": "%5C", "\n": "%0A"}
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
    def over(cls, values: Sequence[float], *, start: float, end: float) -> _Scale:
        """An axis with round ends around the values."""
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        step = 10 ** math.floor(math.log10(high - low)) if high > low else abs(high) or 1.0
        return cls(low=math.floor(low / step) * step, high=math.floor(high / step + 1) * step if high / step % 1 else max(high, low + step),
                   start=start, end=end)  # fmt: skip


def calibration_svg(calibration: pl.DataFrame, *, title: str = "Calibration", unit: str = "") -> str:
    """Mean label against mean prediction (form CALIBRATION) with intervals; the thin diagonal is perfect."""
    rows = calibration.to_dicts()
    values = [row[name] for row in rows for name in ("predicted", "observed", "low", "high") if row[name] is not None]
    across = _Scale.over(values, start=LEFT, end=WIDTH - 8)
    up = _Scale(low=across.low, high=across.high, start=BOTTOM, end=TOP)
    points = [(across(row["predicted"]), up(row["observed"])) for row in rows]
    bars = "".join(f"M{across(row['predicted'])} {up(row['low'])}V{up(row['high'])}" for row in rows if row["low"] is not None)
    return _svg(
        _axes(up, title=title, ends=(f"{across.low:g}", f"{across.high:g}"), caption=_with_unit("predicted, observed upwards", unit))
        + _path(f"M{LEFT} {BOTTOM}L{WIDTH - 8} {TOP}", "gray", width=0.5)
        + _path(_line(points) + bars, "steelblue", width=2)
    )


def bars_svg(items: Mapping[str, float], *, title: str, unit: str = "", most: int = 20, alarms: Sequence[str] = ()) -> str:
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
    said = _with_unit(title, unit) + (f", {len(ordered)} of {len(items)}" if len(ordered) < len(items) else "")
    bars = "".join(_path(stroke, colour, width=9) for colour, stroke in strokes.items() if stroke)
    return _svg(f"<text y='11'>{html.escape(said)}{names}</text>{bars}", width=max(label + BAR, WIDTH), height=TOP + ROW * len(ordered) + 4)


def lines_svg(
    labels: Sequence[str],
    values: Sequence[float | None],
    *,
    title: str,
    unit: str = "",
    low: Sequence[float | None] = (),
    high: Sequence[float | None] = (),
    bound: float | None = None,
) -> str:
    """One line over days or months, with an interval at each point and a dashed bound where given; gaps stay gaps."""
    known = [value for value in (*values, *low, *high, bound) if value is not None and math.isfinite(value)]
    up = _Scale.over(known, start=BOTTOM, end=TOP)
    across = _Scale(low=0, high=max(1, len(labels) - 1), start=LEFT, end=WIDTH - 8)
    points = [None if value is None or not math.isfinite(value) else (across(place), up(value)) for place, value in enumerate(values)]
    bars = "".join(
        f"M{across(place)} {up(bottom)}V{up(top)}"
        for place, (bottom, top) in enumerate(zip(low, high, strict=True))
        if bottom is not None and top is not None
    )
    ends = (labels[0], labels[-1]) if labels else ("", "")
    limit = _path(f"M{LEFT} {up(bound)}H{WIDTH - 8}", "crimson", width=1, dashed=True) if bound is not None else ""
    return _svg(
        _axes(up, title=_with_unit(title, unit), ends=ends, caption="")
        + (_path(bars, "steelblue", width=0.7) if bars else "")
        + limit
        + _path(_line(points), "steelblue", width=2)
    )


def markdown(svg: str, *, alt: str) -> str:
    """The picture as a markdown image that carries its data; below ``AT_ONCE`` characters Dagster's UI shows it without a click."""
    packed = "".join(_ESCAPES.get(letter, letter) for letter in svg)
    plain = alt.replace("[", "(").replace("]", ")").replace("\n", " ")
    return f"![{plain}](<data:image/svg+xml,{packed}>)"


def bars_markdown(items: Mapping[str, float], *, title: str, unit: str = "", alarms: Sequence[str] = ()) -> str:
    """``bars_svg`` as markdown, with as many bars as the UI shows at once."""
    return _largest(lambda most: markdown(bars_svg(items, title=title, unit=unit, most=most, alarms=alarms), alt=title), len(items))


def _largest(draw: Callable[[int], str], wanted: int) -> str:
    for most in range(min(wanted, 20), 1, -1):
        text = draw(most)
        if len(text) <= AT_ONCE:
            return text
    return draw(1)


def _svg(content: str, *, width: int = WIDTH, height: int = HEIGHT) -> str:
    font = "font-family='sans-serif' font-size='11' fill='gray'"
    return f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' {font}>{content}</svg>"


def _axes(up: _Scale, *, title: str, ends: tuple[str, str], caption: str) -> str:
    below = BOTTOM + 13
    text = (
        f"<text y='11'>{html.escape(title)}"
        f"<tspan x='0' y='{TOP + 8}'>{up.high:.4g}</tspan><tspan x='0' y='{BOTTOM}'>{up.low:.4g}</tspan>"
        f"<tspan x='{LEFT}' y='{below}'>{html.escape(ends[0])}</tspan></text>"
        f"<text x='{WIDTH - 8}' y='{below}' text-anchor='end'>{html.escape(ends[1])}</text>"
    )
    named = f"<text x='{LEFT + 60}' y='{below + 10}'>{html.escape(caption)}</text>" if caption else ""
    return text + named + _path(f"M{LEFT} {TOP}V{BOTTOM}H{WIDTH - 8}", "gray", width=1)


def _path(content: str, colour: str, *, width: float, dashed: bool = False) -> str:
    dash = " stroke-dasharray='4'" if dashed else ""
    return f"<path d='{content}' fill='none' stroke='{colour}' stroke-width='{width:g}'{dash}/>"


def _line(points: Sequence[tuple[int, int] | None]) -> str:
    parts, before = "", None
    for point, after in zip_longest(points, points[1:]):
        if point is not None:
            alone = before is None and after is None
            parts += f"{'M' if before is None else 'L'}{point[0]} {point[1]}" + ("h-2" if alone else "")
        before = point
    return parts


def _with_unit(text: str, unit: str) -> str:
    return f"{text} [{unit}]" if unit else text
