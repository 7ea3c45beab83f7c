"""The picture of who is made of whom: valid SVG, everything in its column, nothing that could act."""

import itertools
from xml.etree import ElementTree as ET

from resources.registry.picture import Box, drawn, few

SVG = "{http://www.w3.org/2000/svg}"
BOXES = [
    Box(name="t", lines=("table/shop/orders", "2013-01"), column=0),
    Box(name="v", lines=("version 9",), column=1, tone="live"),
    Box(name="p", lines=("prediction <b>&'\"", "x"), column=4, tone="asked"),
]


def test_boxes_stand_in_columns_and_are_joined_from_left_to_right() -> None:
    root = ET.fromstring(drawn(BOXES, [("t", "v"), ("v", "p"), ("v", "nobody")], title="a & b"))  # noqa: S314  our own text
    lefts = [int(box.get("x", "")) for box in root.iter(f"{SVG}rect")]
    assert lefts == sorted(lefts)
    assert len(set(lefts)) == 3
    assert len(list(root.iter(f"{SVG}path"))) == 2
    assert all(int(box.get("x", "")) + int(box.get("width", "")) <= int(root.get("width", "")) for box in root.iter(f"{SVG}rect"))
    assert [line.text for line in root.iter(f"{SVG}tspan")][-2:] == ["prediction <b>&'\"", "x"]


def test_boxes_of_a_column_do_not_overlap() -> None:
    column = [Box(name=str(number), lines=("a",) * (number + 1), column=0) for number in range(4)]
    root = ET.fromstring(drawn(column, [], title="t"))  # noqa: S314  our own text
    spans = [(int(box.get("y", "")), int(box.get("y", "")) + int(box.get("height", ""))) for box in root.iter(f"{SVG}rect")]
    assert all(end < begin for (_, end), (begin, _) in itertools.pairwise(spans))
    assert spans[-1][1] <= int(root.get("height", ""))


def test_a_long_column_ends_with_how_many_are_left_out() -> None:
    column = [Box(name=str(number), lines=("a",), column=2) for number in range(9)]
    assert [box.lines[0] for box in few(column, 4)] == ["a", "a", "a", "and 6 more"]
    assert few(column, 9) == column
