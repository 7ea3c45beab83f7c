"""A picture of who is made of whom: boxes in columns from left to right, as inline SVG. Pure; knows nothing of models."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, Literal

Tone = Literal["plain", "asked", "live"]
LETTERS: Final = (7.6, 6.7)
"""Width of a letter of the first line, which is bold, and of the others; at most on average."""
LINE: Final = 15
PAD: Final = 8
BETWEEN: Final = 10
GAP: Final = 56
STROKES: Final[Mapping[Tone, str]] = {"plain": "#8888", "asked": "crimson", "live": "seagreen"}


@dataclass(frozen=True, kw_only=True)
class Box:
    """One thing: its name, which edges use, its lines (the first is bold), its column, and whether it stands out."""

    name: str
    lines: tuple[str, ...]
    column: int
    tone: Tone = "plain"

    @property
    def height(self) -> int:
        """In pixels."""
        return LINE * len(self.lines) + 2 * PAD


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A box with its corner and width."""

    box: Box
    x: int
    y: int
    width: int

    @property
    def middle(self) -> int:
        return self.y + self.box.height // 2


def drawn(boxes: Sequence[Box], edges: Iterable[tuple[str, str]], *, title: str) -> str:
    """The picture; an edge whose end is not a box is left out."""
    columns = [[box for box in boxes if box.column == number] for number in sorted({box.column for box in boxes})]
    heights = [sum(box.height + BETWEEN for box in column) - BETWEEN for column in columns]
    places: dict[str, _Place] = {}
    x = 1
    for column, height in zip(columns, heights, strict=True):
        width, y = _width(column), (max(heights) - height) // 2 + 1
        for box in column:
            places[box.name] = _Place(box=box, x=x, y=y, width=width)
            y += box.height + BETWEEN
        x += width + GAP
    ends = [(places[one], places[other]) for one, other in edges if one in places and other in places]
    content = "".join(_edge(*pair) for pair in ends) + "".join(_drawn(place) for place in places.values())
    head = f"<svg xmlns='http://www.w3.org/2000/svg' width='{x - GAP + 1}' height='{max(heights, default=0) + 2}' role='img'"
    return f"{head} font-family='system-ui, sans-serif' font-size='12'><title>{escape(title)}</title>{content}</svg>"


def few(boxes: Sequence[Box], most: int) -> list[Box]:
    """At most ``most`` boxes of a column; the rest are one box that counts them."""
    if len(boxes) <= most:
        return list(boxes)
    rest = len(boxes) - most + 1
    return [*boxes[: most - 1], Box(name=f"more in {boxes[0].column}", lines=(f"and {rest} more",), column=boxes[0].column)]


def _width(column: Sequence[Box]) -> int:
    return round(max(len(line) * LETTERS[number > 0] for box in column for number, line in enumerate(box.lines))) + 2 * PAD


def _edge(start: _Place, end: _Place) -> str:
    x, to = start.x + start.width, end.x
    bend = (to - x) // 2
    path = f"M{x} {start.middle}C{x + bend} {start.middle} {to - bend} {end.middle} {to} {end.middle}"
    return f"<path d='{path}' fill='none' stroke='#8888' stroke-width='1'/>"


def _drawn(place: _Place) -> str:
    box = place.box
    width = 1 if box.tone == "plain" else 2
    frame = f"<rect x='{place.x}' y='{place.y}' width='{place.width}' height='{box.height}' rx='4' fill='Canvas'"
    lines = ""
    for number, line in enumerate(box.lines):
        weight = "" if number else " font-weight='600'"
        lines += f"<tspan x='{place.x + PAD}' y='{place.y + PAD + LINE * number + 11}'{weight}>{escape(line)}</tspan>"
    return f"{frame} stroke='{STROKES[box.tone]}' stroke-width='{width}'/><text fill='CanvasText'>{lines}</text>"
