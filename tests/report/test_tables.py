"""Tables as cells show them: whatever they hold is shown as text, in every form."""

import numpy as np
import pandas as pd
import pytest
from nbconvert.filters import markdown2html

from amakit.errors import UsageError
from amakit.report.tables import Table, page_texts

HOSTILE = ["<script>alert(1)</script>", "a|b", "two\nlines", "*b* _i_ `c` [l](http://x) $m$ ~~s~~", "\u202eevil", "=cmd|' /C calc'!A0",
           "&amp;", "\\", "<img src=x onerror=alert(1)>", "# h", "http://evil.example/"]  # fmt: skip


def shown(frame, form, **more):
    return Table(frame, **more)._repr_mimebundle_()[form]


def test_html_has_headings_for_columns_and_rows_and_marks_numbers_and_short_columns():
    frame = pd.DataFrame(
        {"lost": [1234, 5], "when": ["1.38.1.0 → 1.39.0.0"] * 2, "why": ["x" * 20, "y"]}, index=["a", "b"]
    )
    told = shown(frame.rename_axis(columns="machine"), "text/html")
    assert told.count('<th scope="col"') == 4
    assert told.count('<th scope="row"') == 2
    assert '<td class="number">1,234</td>' in told
    assert '<td class="short">1.38.1.0 → 1.39.0.0</td>' in told
    assert "<td>y</td>" in told


@pytest.mark.parametrize("text", HOSTILE)
def test_a_cell_is_text_in_every_form(text):
    frame = pd.DataFrame({text: [text, "x"]}, index=[text, "y"]).rename_axis(columns=text)
    told = shown(frame, "text/html")
    assert told.count("<") == Table(pd.DataFrame({"a": ["b", "x"]}, index=["b", "y"]))._repr_mimebundle_()[
        "text/html"
    ].count("<")
    source = shown(frame, "text/markdown")
    assert len(source.splitlines()) == 4
    html = markdown2html(source)
    assert html.count("<td") + html.count("<th") == 2 + 4 + html.count("<thead")
    assert not [tag for tag in ("<script", "<img", "<em", "<code", "<strong", "<del", "<a ", "<h1") if tag in html]
    for form in ("text/html", "text/markdown", "text/plain"):
        assert "\u202e" not in shown(frame, form)


def test_markdown_shows_fifty_rows_and_says_how_many_more_there_are():
    frame = pd.DataFrame({"n": np.arange(1100)}).rename_axis(columns="row")
    lines = shown(frame, "text/markdown").splitlines()
    assert len(lines) == 2 + 50 + 1
    assert lines[-1] == "| … 1,050 more in the result tables |  |"
    assert "残り 1,050 行" in shown(frame, "text/markdown", language="ja")
    assert shown(frame, "text/html").count("<tr>") == 1101


def test_nothing_is_shown_of_no_rows_and_of_nothing():
    frame = pd.DataFrame({"n": [np.nan, None], "t": [pd.NaT, None], "yes": [True, False]})
    assert shown(frame, "text/markdown").splitlines()[-2:] == ["| 0 |  |  | True |", "| 1 |  |  | False |"]
    assert shown(frame.head(0), "text/html") == shown(frame.head(0), "text/markdown") == ""


def test_pages_say_the_same_in_both_languages():
    english, japanese = page_texts("en"), page_texts("ja")
    assert english.keys() == japanese.keys()
    for key in english:
        assert set(_fields(english[key])) == set(_fields(japanese[key]))
    with pytest.raises(UsageError, match="it is en or ja"):
        page_texts("fr")


def _fields(text):
    import string

    return [name for _, name, _, _ in string.Formatter().parse(text) if name]
