"""Still pictures that are drawn while a notebook runs are those that the page asks for, and none is drawn twice."""

import contextlib
import re
import threading

import pytest

import amakit
from amakit.charts.stills import Drawer, drawer, drawing_thread, picture, prefix_of

BAR, OTHER = (
    {"data": [{"type": "bar", "x": [n, 5], "y": ["web", "app"], "orientation": "h"}], "layout": {}} for n in (3, 4)
)
UNKNOWN = {"data": [{"type": "sankey"}], "layout": {}}


@contextlib.contextmanager
def drawing(forms, first=None):
    with drawing_thread() as thread:
        yield Drawer(forms, thread, first)


@pytest.fixture
def drawn(monkeypatch):
    """Give every picture that was drawn, and by which thread."""
    made = []

    def noted(chart, form, prefix):
        made.append((chart, form, prefix, threading.current_thread().name))
        return picture(chart, form, prefix)

    monkeypatch.setattr(drawer, "picture", noted)
    return made


def test_what_was_shown_is_drawn_beside_and_only_once(drawn):
    wanted = [picture(chart, "svg", f"c{number}-") for number, chart in enumerate((BAR, OTHER, BAR), 1)]
    with drawing(["svg", "png"]) as own:
        own.show([BAR, OTHER])
        own.show([])
        own.show([BAR])
        assert [own.draw(chart, "svg", prefix_of(n)) for n, chart in enumerate((BAR, OTHER, BAR), 1)] == wanted
        in_png = own.draw(BAR, "png")
    assert in_png == picture(BAR, "png")
    # in PNGs, which have no ids, the same chart is the same picture
    told = sorted((form, prefix) for _, form, prefix, _ in drawn)
    assert told == [("png", ""), ("png", ""), ("svg", "c1-"), ("svg", "c2-"), ("svg", "c3-")]
    assert {thread.partition("_")[0] for *_, thread in drawn} == {"amakit-drawer"}


def test_what_was_not_shown_is_drawn_when_it_is_asked_for(drawn):
    with drawing(["svg"]) as own:
        assert own.draw(BAR, "png")[:4] == b"\x89PNG"
    assert [(chart, form) for chart, form, *_ in drawn] == [(BAR, "png")]


def test_a_chart_that_has_changed_since_is_drawn_anew(drawn):
    changing = BAR | {"layout": {}}
    with drawing(["svg"]) as own:
        own.show([changing])
        changing["layout"]["title"] = {"text": "Later"}
        assert b"<title>Later</title>" in own.draw(changing, "svg", prefix_of(1))
    assert [chart["layout"] for chart, *_ in drawn] == [{}, {"title": {"text": "Later"}}]


@pytest.mark.parametrize("shown", [True, False])
def test_what_cannot_be_drawn_is_told_to_whoever_asks_for_it(shown):
    with drawing(["svg"]) as own:
        own.show([UNKNOWN] * shown)
        with pytest.raises(amakit.AmakitError, match="trace 'sankey'"):
            own.draw(UNKNOWN, "svg", prefix_of(1))


def test_what_comes_first_comes_with_the_first_charts_and_once():
    called = []
    with drawing(["svg"], lambda: called.append(threading.current_thread().name)) as own:
        assert called == []
        own.show([])
        own.show([BAR])
        own.draw(BAR, "svg", prefix_of(1))
        assert [name.partition("_")[0] for name in called] == ["amakit-drawer"]


def test_a_page_is_made_of_the_pictures_that_were_drawn_while_it_ran(drawn, tmp_path):
    amakit.report.report("01_version_transitions", "demo", "2026-03-02", "2026-03-03", out=tmp_path, to=("html", "md"))
    page = (tmp_path / "01_version_transitions.html").read_text(encoding="utf-8")
    in_page, forms = len(re.findall('<svg [^>]*role="img"', page)), [form for _, form, *_ in drawn]
    assert in_page == forms.count("svg") == forms.count("png") > 2
    assert len({(form, prefix, repr(chart)) for chart, form, prefix, _ in drawn}) == len(drawn)


def test_a_report_without_pictures_draws_none(drawn, tmp_path):
    amakit.report.report("01_version_transitions", "demo", "2026-03-02", "2026-03-03", out=tmp_path, to=("ticket",))
    assert drawn == []
