"""A query that ends in render is drawn as it asks, or it is said that it is not."""

import pandas as pd
import pytest
from click.testing import CliRunner

from amakit import connect
from amakit.charts.render import render
from amakit.cli import main
from amakit.errors import AmakitError
from amakit.kql.rendering import DRAWN, Drawing, drawing_of

HOURS = pd.date_range("2026-03-10", periods=3, freq="h", tz="UTC").as_unit("us")
ANSWER = pd.DataFrame(
    {
        "OSType": ["Windows", "Windows", "Linux", "Linux"],
        "TimeGenerated": [HOURS[1], HOURS[0], HOURS[0], HOURS[2]],
        "n": pd.array([2, 1, 3, 4], dtype="Int64"),
        "mean": [0.5, 1.5, 2.5, 3.5],
    }
)


def test_a_timechart_has_one_line_for_each_text_and_number_in_order_of_time():
    figure = render(ANSWER, drawing_of("T | render timechart"))
    assert [trace.name for trace in figure.data] == ["Windows, n", "Windows, mean", "Linux, n", "Linux, mean"]
    assert list(figure.data[0].y) == [1, 2]
    assert figure.data[0].type == "scatter"


def test_the_properties_choose_columns_and_words():
    asked = 'T | render columnchart with (title="Beats", xcolumn=OSType, ycolumns=n, series=OSType, kind=stacked, xtitle="os")'
    figure = render(ANSWER, drawing_of(asked))
    assert figure.layout.title.text == "Beats"
    assert figure.layout.barmode == "stack"
    assert figure.layout.xaxis.title.text == "os"
    assert {trace.type for trace in figure.data} == {"bar"}
    assert sum(sum(trace.y) for trace in figure.data) == ANSWER["n"].sum()


@pytest.mark.parametrize("kind", DRAWN)
def test_every_kind_draws_all_numbers(kind):
    answer = ANSWER.drop(columns="mean")
    figure = render(answer, Drawing(kind))
    values = {"piechart": "values", "barchart": "x"}.get(kind, "y")
    assert sum(float(v) for trace in figure.data for v in getattr(trace, values)) == answer["n"].sum()


def test_a_bar_chart_lies_and_a_pie_has_its_first_column_as_names():
    counts = pd.DataFrame({"OSType": ["Windows", "Linux"], "n": [3, 4]})
    assert render(counts, Drawing("barchart")).data[0].orientation == "h"
    assert list(render(counts, Drawing("piechart")).data[0].labels) == ["Windows", "Linux"]


def test_a_series_of_make_series_is_drawn_point_by_point():
    text = (
        "Heartbeat | make-series n = count() on TimeGenerated from datetime(2026-03-03) to datetime(2026-03-04) "
        "step 6h by OSType | render timechart"
    )
    with connect("demo") as logs:
        figure = render(logs.query(text), drawing_of(text))
    assert {trace.name for trace in figure.data} == {"Windows", "Linux"}
    assert [len(trace.y) for trace in figure.data] == [4, 4]


@pytest.mark.parametrize(
    ("drawing", "words"),
    [
        (Drawing("anomalychart"), "anomalychart is not drawn"),
        (Drawing("timechart", {"ycolumns": ["nn"]}), "'nn'.*nearest is 'n'"),
    ],
)
def test_what_is_not_drawn_is_said(drawing, words):
    with pytest.raises(AmakitError, match=words):
        render(ANSWER, drawing)


def test_numbers_are_needed():
    with pytest.raises(AmakitError, match="needs a column of numbers"):
        render(ANSWER[["OSType", "TimeGenerated"]], Drawing("timechart"))


@pytest.mark.parametrize(
    ("kql", "kind"),
    [
        ("T | render piechart", "piechart"),
        ("let a = 1;\nT | where x == 'render' // | render barchart\n| render linechart ;", "linechart"),
        ("T | render barchart kind=stacked", "barchart"),
        ("T | render timechart with(title='a|b')", "timechart"),
    ],
)
def test_the_render_of_a_query_is_found_wherever_comments_and_strings_stand(kql, kind):
    assert drawing_of(kql).kind == kind


def test_a_query_without_render_asks_for_no_chart():
    assert drawing_of("T | where x == '| render timechart'") is None


@pytest.mark.parametrize(("name", "begins"), [("c.html", b"<!doctype html>"), ("c.png", b"\x89PNG")])
def test_the_command_line_draws_into_a_file(tmp_path, name, begins):
    out = tmp_path / name
    asked = "Heartbeat | summarize n = count() by bin(TimeGenerated, 1d), OSType | render timechart"
    ran = CliRunner().invoke(main, ["query", "demo", asked, "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    assert out.read_bytes().startswith(begins)


def test_a_chart_of_a_query_without_render_is_wrong_use_and_errors_point_into_the_text(tmp_path):
    ran = CliRunner().invoke(main, ["query", "demo", "Heartbeat | take 1", "--out", str(tmp_path / "c.html")])
    assert ran.exit_code == 2
    ran = CliRunner().invoke(main, ["query", "demo", "Heartbeat\n| where Computr == 'a'"])
    assert ran.exit_code == 1
    assert ran.output.splitlines()[-2:] == ["   2 | where Computr == 'a'", "             ^"]
