"""Pages that need nothing but themselves."""

from resources import page


def test_text_is_shown_as_it_is_and_never_acts() -> None:
    made = page.page("a <b>", page.heading("<h>"), page.paragraph("<p>", kind="bad"), page.table(("<th>",), [("<td>",)]))
    assert "<b>" not in made
    assert all(f"&lt;{name}&gt;" in made for name in ("b", "h", "p", "th", "td"))
    assert "<script" not in made
    assert "http" not in made


def test_a_table_without_rows_says_so() -> None:
    assert "<td colspan=2>No report yet.</td>" in page.table(("a", "b"), [], empty="No report yet.")


def test_a_link_leads_where_it_says_and_cannot_leave_its_attribute() -> None:
    assert page.link("a <b>", "churn/trained/2020-01.html") == "<a href='churn/trained/2020-01.html'>a &lt;b&gt;</a>"
    assert "onclick='" not in page.link("x", "a' onclick='b")
    assert "javascript:" not in page.link("x", "javascript:alert(1)")


def test_commands_are_shown_line_by_line_as_they_are_typed() -> None:
    assert page.commands("a --why '<b>'", "c") == "<pre>a --why &#x27;&lt;b&gt;&#x27;\nc</pre>"


def test_a_cell_says_its_kind_and_a_short_one_is_not_broken() -> None:
    assert page.cell("ok") == "<td class=short>ok</td>"
    assert page.cell("ok", kind="good") == "<td class='good short'>ok</td>"
    assert page.cell("x" * 25) == f"<td>{'x' * 25}</td>"
