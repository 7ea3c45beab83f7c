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
