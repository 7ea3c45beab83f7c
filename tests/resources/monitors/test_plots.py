"""Pictures are well-formed, small enough for the UI to show at once, and say what they were given."""

from datetime import date, timedelta
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import polars as pl
import pytest
from markdown_it import MarkdownIt
from typing_extensions import override

from resources.monitors.plots import AT_ONCE, bars_markdown, bars_svg, calibration_svg, interval_svg, lines_svg, markdown

CALIBRATION = pl.DataFrame(
    {
        "bin": range(10),
        "rows": [700] * 10,
        "predicted": [0.05 + n / 12 for n in range(10)],
        "observed": [0.06 + n / 13 for n in range(10)],
        "low": [0.03 + n / 13 for n in range(10)],
        "high": [0.09 + n / 13 for n in range(10)],
    }
)
MONTH = [str(date(2013, 4, 1) + timedelta(days=n)) for n in range(30)]
FEATURES = {f"origin_carrier_delays__delay_{n}d": 0.1 / (n + 1) for n in range(25)}


class Reader(MarkdownIt):
    """CommonMark; by default it trusts no SVG, Dagster's UI does."""

    @override
    def validateLink(self, url: str) -> bool:
        return url.startswith("data:image/svg+xml,")


def texts(svg: str) -> str:
    return " ".join(ET.fromstring(svg).itertext())  # noqa: S314  our own text


def paths(svg: str) -> list[str]:
    return [element.attrib["d"] for element in ET.fromstring(svg).iter() if element.tag.endswith("path")]  # noqa: S314  our own text


def test_each_picture_fits_what_the_ui_shows_at_once() -> None:
    pictures = [
        markdown(calibration_svg(CALIBRATION, title="flight_delay: calibration on held-out days"), alt="calibration"),
        markdown(lines_svg(MONTH, [0.14 + n % 7 / 100 for n in range(30)], title="Daily loss"), alt="Daily loss"),
        bars_markdown(FEATURES, title="Most drifted columns", alarms=list(FEATURES)[:2]),
    ]
    assert [len(picture) for picture in pictures if len(picture) > AT_ONCE] == []


def test_markdown_holds_the_picture_and_nothing_that_ends_it_early() -> None:
    svg = bars_svg({"a (b) #1 50% \\* &amp; <c>": 1.0}, title='"quoted" <tag>')
    token = Reader().parseInline(markdown(svg, alt="a [b]\nc"))[0].children
    assert token is not None
    assert [one.type for one in token] == ["image"]
    assert token[0].content == "a (b) c"
    assert unquote(str(token[0].attrs["src"])).removeprefix("data:image/svg+xml,") == svg


def test_bars_are_ordered_by_size_and_say_how_many_are_missing() -> None:
    svg = bars_svg({"small": 0.1, "large": -0.9, "middle": 0.5}, title="Importance", most=2)
    assert texts(svg).startswith("Importance, 2 of 3")
    assert texts(svg).index("large -0.9") < texts(svg).index("middle 0.5")
    assert "small" not in texts(svg)


def test_bars_in_alarm_are_red() -> None:
    assert "crimson" in bars_svg({"a": 1.0, "b": 2.0}, title="t", alarms=["a"])
    assert "crimson" not in bars_svg({"a": 1.0, "b": 2.0}, title="t")


def test_names_cannot_break_the_picture() -> None:
    assert "<script>&'\"" in texts(bars_svg({"<script>&'\"": 1.0}, title="t"))
    assert "a<b" in texts(lines_svg(["x"], [1.0], title="a<b"))


@pytest.mark.parametrize("items", [{}, {"zero": 0.0}])
def test_bars_of_nothing_are_still_a_picture(items: dict[str, float]) -> None:
    assert "t" in texts(bars_svg(items, title="t"))
    assert bars_markdown(items, title="t").startswith("![t]")


def test_one_bar_is_drawn_even_when_its_name_is_too_long_for_the_ui() -> None:
    assert len(bars_markdown({"x" * 2000: 1.0, "y" * 2000: 0.5}, title="t")) > AT_ONCE


def test_a_gap_in_a_line_stays_a_gap() -> None:
    line = paths(lines_svg(["a", "b", "c", "d"], [1.0, 2.0, None, 4.0], title="t"))[-1]
    assert line.count("M") == 2
    assert line.count("L") == 1
    assert paths(lines_svg(["a", "b"], [float("nan"), 1.0], title="t"))[-1].count("M") == 1


def test_a_point_between_gaps_is_still_seen() -> None:
    assert paths(lines_svg(["a", "b", "c", "d", "e"], [1.0, 2.0, None, 4.0, None], title="t"))[-1].endswith("h-2")


def test_a_line_names_its_first_and_its_last_label() -> None:
    svg = lines_svg(["2013-04", "2013-05", "2013-06"], [0.7, 0.72, 0.71], title="AUC")
    assert [name for name in ("2013-04", "2013-05", "2013-06") if name in texts(svg)] == ["2013-04", "2013-06"]


def test_every_point_lies_inside_the_picture() -> None:
    for values in ([0.0, 0.0], [1.0, 1.0], [-5.0, 1e6], [0.123456, 0.123457], [100.0, 200.0]):
        svg = lines_svg(["a", "b"], values, title="t")
        for pair in paths(svg)[-1].replace("h-2", "").replace("M", "L").split("L")[1:]:
            across, up = map(int, pair.split())
            assert 42 <= across <= 312
            assert 22 <= up <= 140


def test_a_line_without_points_has_only_axes() -> None:
    assert paths(lines_svg([], [], title="t"))[-1] == ""


def test_calibration_is_drawn_with_and_without_intervals() -> None:
    assert paths(calibration_svg(CALIBRATION))[-1].count("V") == 10
    bare = CALIBRATION.with_columns(low=pl.lit(None, pl.Float64), high=pl.lit(None, pl.Float64))
    assert "V" not in paths(calibration_svg(bare))[-1]


def test_equal_data_gives_equal_text() -> None:
    assert bars_svg(FEATURES, title="t") == bars_svg(dict(reversed(FEATURES.items())), title="t")


def test_a_difference_has_0_in_the_middle_and_its_farther_end_near_the_rim() -> None:
    zero, ends, value = paths(interval_svg(0.02, -0.01, 0.1, colour="seagreen"))
    assert (zero, ends) == ("M50 0V16", "M45 8H95")
    assert value == "M57 8h4"
    assert paths(interval_svg(0.0, 0.0, 0.0, colour="gray"))[1] == "M50 8H50"
