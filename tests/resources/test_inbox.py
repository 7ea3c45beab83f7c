"""The inbox: which names are taken, what a delivery is, and how a file that is no CSV is refused without showing what it holds."""

import gzip
import os
from pathlib import Path

import polars as pl
import pytest

from resources.errors import PlatformError
from resources.inbox import EmptyFile, Inbox, NoSuchFile, UnreadableFile

WHERE = "table/shop/orders 2013-01"
VALUE = "N7TELLTALE"


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(root=str(tmp_path / "inbox"))


def put(inbox: Inbox, name: str, data: bytes = b"a,b\n1,2\n") -> Path:
    path = Path(inbox.root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def taken(inbox: Inbox) -> list[tuple[str, str | None]]:
    return [(one.table, one.month) for one in inbox.arrivals()]


def test_a_month_and_a_whole_table_arrive_under_their_names(inbox: Inbox) -> None:
    put(inbox, "shop.orders/2013-01.csv")
    put(inbox, "shop.clients/all.csv")
    assert taken(inbox) == [("shop/clients", None), ("shop/orders", "2013-01")]
    assert inbox.misnamed() == []


@pytest.mark.parametrize(
    "name",
    [
        "2013-13.csv",
        "2013-00.csv",
        "13-01.csv",
        "foo.csv",
        "2013-01.csv.gz",
        "2013-01.CSV",
        "2013-1.csv",
        "\u0662\u0660\u0661\u0663-\u0660\u0661.csv",
    ],
)
def test_what_is_no_month_never_arrives_and_is_named(inbox: Inbox, name: str) -> None:
    put(inbox, f"shop.orders/{name}")
    assert taken(inbox) == []
    assert inbox.misnamed() == [f"shop.orders/{name}"]


def test_files_beside_or_below_the_folder_of_a_table_are_named(inbox: Inbox) -> None:
    put(inbox, "2013-01.csv")
    put(inbox, "shop/orders/2013-01.csv")
    assert taken(inbox) == []
    assert inbox.misnamed() == ["2013-01.csv", "shop/orders/2013-01.csv"]


@pytest.mark.parametrize("name", [".2013-01.csv", "2013-01.csv.tmp", "2013-01.csv.part", "2013-01.4711.partial", ".git/2013-01.csv"])
def test_a_file_on_its_way_is_neither_taken_nor_named(inbox: Inbox, name: str) -> None:
    put(inbox, f"shop.orders/{name}")
    assert taken(inbox) == []
    assert inbox.misnamed() == []


def test_an_inbox_that_was_never_made_is_empty(inbox: Inbox) -> None:
    assert inbox.arrivals() == []
    assert inbox.misnamed() == []


def test_a_delivery_is_read_back_as_text_with_nulls(inbox: Inbox) -> None:
    raw = pl.DataFrame({"a": ["1", None], "b": ["x,y", "é"]})
    inbox.deliver("shop/orders", "2013-01", raw)
    assert inbox.read("shop/orders", "2013-01", where=WHERE).equals(raw)


def test_delivering_equal_content_again_leaves_the_file_untouched(inbox: Inbox) -> None:
    raw = pl.DataFrame({"a": ["1"]})
    path = inbox.deliver("shop/orders", None, raw)
    os.utime(path, ns=(1, 1))
    inbox.deliver("shop/orders", None, raw)
    assert path.stat().st_mtime_ns == 1
    inbox.deliver("shop/orders", None, pl.DataFrame({"a": ["2"]}))
    assert [one.name for one in path.parent.iterdir()] == ["all.csv"]
    assert path.stat().st_mtime_ns > 1


def test_a_delivery_becomes_visible_by_renaming_only(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    replace = Path.replace

    def spied(self: Path, target: Path) -> Path:
        seen.extend([*inbox.arrivals(), *inbox.misnamed()])
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", spied)
    inbox.deliver("shop/orders", "2013-01", pl.DataFrame({"a": ["1"]}))
    assert seen == []
    assert taken(inbox) == [("shop/orders", "2013-01")]


def test_a_byte_order_mark_and_windows_lines_are_read(inbox: Inbox) -> None:
    put(inbox, "shop.orders/2013-01.csv", "a,b\r\n1,é\r\n".encode("utf-8-sig"))
    assert inbox.read("shop/orders", "2013-01", where=WHERE).rows() == [("1", "é")]


def test_a_null_at_the_end_of_a_line_is_no_missing_field(inbox: Inbox) -> None:
    put(inbox, "shop.orders/2013-01.csv", b"a,b\n1,\n2,NA\n")
    assert inbox.read("shop/orders", "2013-01", where=WHERE).rows() == [("1", None), ("2", None)]


def test_a_month_that_never_came_names_the_path(inbox: Inbox) -> None:
    with pytest.raises(NoSuchFile, match=rf"{WHERE}: .*shop\.orders/2013-01\.csv is not there"):
        inbox.read("shop/orders", "2013-01", where=WHERE)


@pytest.mark.parametrize("data", [b"", b"\n\n", b"a,b\n"])
def test_a_file_without_rows_is_refused(inbox: Inbox, data: bytes) -> None:
    put(inbox, "shop.orders/2013-01.csv", data)
    with pytest.raises(EmptyFile, match=f"{WHERE}: .* holds no rows, so the table was left as it was"):
        inbox.read("shop/orders", "2013-01", where=WHERE)


BAD = {
    "more fields": (f"a,b\n1,2\n3,4,{VALUE}\n".encode(), "line 3 has 3 fields, the header has 2"),
    "fewer fields": (f"a,b,c\n1,2,3\n4,{VALUE}\n".encode(), "line 3 has 2 fields, the header has 3"),
    "cut off": (f"a,b,c\n1,2,3\n{VALUE}".encode(), "line 3 has 1 fields, the header has 3"),
    "open quote": (f'a,b\n1,"{VALUE}\n3,4\n'.encode(), "line 3 has 2 fields|a quote is not closed"),
    "text after a quote": (f'a,b\n1,"{VALUE}"y\n'.encode(), "a quote is not closed, or a line is no text"),
    "latin-1": (f"a,b\n1,2\n3,{VALUE}é\n".encode("latin-1"), "line 3 is not UTF-8"),
    "UTF-16": (f"a,b\n1,{VALUE}\n".encode("utf-16"), "line 1 is not UTF-8"),
    "gzip": (gzip.compress(f"a,b\n1,{VALUE}\n".encode())[:20], "line 1 is not UTF-8"),
    "bytes": (bytes(range(256)) * 9, "line 2 is not UTF-8"),
    "zeros": (b"\0" * 100, "it holds zero bytes"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_csv_is_refused_with_the_line_and_without_its_values(inbox: Inbox, case: str) -> None:
    data, why = BAD[case]
    put(inbox, "shop.orders/2013-01.csv", data)
    with pytest.raises(UnreadableFile, match=why) as caught:
        inbox.read("shop/orders", "2013-01", where=WHERE)
    assert str(caught.value).startswith(f"{WHERE}: {inbox.path('shop/orders', '2013-01')} cannot be read as CSV in UTF-8: ")
    assert str(caught.value).endswith("Nothing was ingested. Mend the file and materialize it again.")
    assert VALUE not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_folder_in_the_place_of_a_file_is_no_arrival_and_cannot_be_read(inbox: Inbox) -> None:
    Path(inbox.root, "shop.orders", "2013-01.csv").mkdir(parents=True)
    assert taken(inbox) == []
    with pytest.raises(PlatformError):
        inbox.read("shop/orders", "2013-01", where=WHERE)
