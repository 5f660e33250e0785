"""Still pictures against charts whose measures are known."""

import base64
import copy
import inspect
import io
import itertools
import json
import logging
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

import amakit
from amakit import charts
from amakit.errors import AmakitError, UsageError
from amakit.still import picture

PUBLIC = [name for name, made in vars(charts).items()
          if inspect.isfunction(made) and name[0] != "_" and "plotly.graph_objects.Figure" in (made.__doc__ or "")]  # fmt: skip
DARK = np.array([51, 51, 51])


@pytest.fixture(scope="module")
def found():
    return amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")


@pytest.fixture(scope="module")
def made(found):
    return {(name, language): json.loads(getattr(charts, name)(found, language=language).to_json())
            for name in PUBLIC for language in ("en", "ja")}  # fmt: skip


def chart(*traces, **layout):
    return {"data": list(traces), "layout": layout}


def bar(lengths, names, **more):
    return {"type": "bar", "orientation": "h", "x": lengths, "y": names, **more}


def tree(svg):
    return ElementTree.fromstring(svg)


def boxes(svg, colour):
    """Give left, right, top and bottom of each rectangle that is filled with a colour."""
    found = []
    for path in tree(svg).iter("path"):
        if f"fill: {colour}" in path.get("style", ""):
            for piece in path.get("d").split("z"):
                if numbers := [float(n) for n in re.findall(r"-?[\d.]+", piece)]:
                    x, y = numbers[::2], numbers[1::2]
                    found.append((min(x), max(x), min(y), max(y)))
    return found


def texts(svg):
    return [part.text for part in tree(svg).iter("text")]


def spot(svg, text):
    part = next(part for part in tree(svg).iter("text") if part.text == text)
    return float(part.get("x")), float(part.get("y"))


def marks(svg, colour):
    """Give where the marks of a colour are."""
    root = tree(svg)
    return [(float(mark.get("x")), float(mark.get("y"))) for group in root.iter("g") for mark in group.findall("use")
            if f"fill: {colour}" in (mark.get("style") or group.get("style") or "")]  # fmt: skip


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


# -- the charts of the kit ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLIC)
def test_every_chart_has_both_forms(made, name):
    for language in ("en", "ja"):
        given = made[name, language]
        before = copy.deepcopy(given)
        svg, png = picture(given), picture(given, "png")
        assert given == before
        assert max(len(svg), len(png)) < 150_000
        assert b"http" not in svg
        assert b"xmlns" not in svg
        assert b"<style" not in svg  # would hold for the whole page
        root = tree(svg)
        assert root.find("title").text == given["layout"]["title"]["text"]
        assert root.find("title").text in texts(svg)
        assert root.get("viewBox").startswith("0 0 1100 ")
        assert Image.open(io.BytesIO(png)).size[0] == 2200
    assert (picture(given), picture(given, "png")) == (svg, png)


def test_public_charts_are_all_tried():
    assert {"inventory", "timeline", "adoption", "clock", "around", "downtimes", "causes", "alerts"} <= set(PUBLIC)


def test_ids_are_unique_on_a_page_and_every_reference_is_met(made):
    ids, references = [], []
    for n, given in enumerate([*made.values(), *made.values()]):
        svg = picture(given, prefix=f"p{n}").decode()
        own = re.findall(r' id="([^"]+)"', svg)
        own_references = re.findall(r'(?:url\(|href=")#([^")]+)', svg)
        assert set(own) == set(own_references)
        ids += own
        references += own_references
    assert len(ids) == len(set(ids)) > 50


def test_the_text_of_an_svg_takes_the_colour_of_the_page(made):
    svg = picture(made["causes", "en"]).decode()
    assert svg.count("fill: currentColor") == svg.count("<text")
    assert "#010203" not in svg


def test_a_fleet_of_thousands_is_a_small_picture():
    rows, columns = 3000, 720
    cells = (np.arange(rows)[:, None] + np.arange(columns)) // 400 % 5
    image = {"type": "heatmap", "z": cells.tolist(), "x": list(range(columns)), "y": [f"m{n}" for n in range(rows)],
             "zmin": -0.5, "zmax": 4.5, "colorbar": {"tickvals": [0, 4], "ticktext": ["0 –", "4 Linux"]},
             "colorscale": [[0, "#ffffff"], [1, "#0072B2"]]}  # fmt: skip
    svg = picture(chart(image, height=900, yaxis={"showticklabels": False, "showgrid": False}))
    assert len(svg) < 150_000
    assert "4 Linux" in texts(svg)
    addresses = [part.get("href") for part in tree(svg).iter("image")]
    shapes = [Image.open(io.BytesIO(base64.b64decode(a.partition(",")[2]))).size for a in addresses]
    assert (720, 1000) in shapes
    raster = next(Image.open(io.BytesIO(base64.b64decode(a.partition(",")[2]))) for a in addresses)
    colours = sorted(colour for _, colour in raster.convert("RGBA").getcolors())
    wanted = np.array([255, 255, 255, 255]) - np.array([255, 141, 77, 0]) * np.array(
        [[0.9], [0.7], [0.5], [0.3], [0.1]]
    )
    assert np.abs(np.array(colours) - wanted).max() <= 0.51  # each its own, whatever the palette


def test_thousands_of_marks_are_a_small_picture():
    many = {"type": "scatter", "mode": "markers", "x": list(range(9000)), "y": [n % 97 for n in range(9000)]}
    blocks = bar([1] * 4000, [n % 40 for n in range(4000)], base=list(range(4000)))
    assert len(picture(chart(many))) < 150_000
    assert len(picture(chart(blocks, barmode="overlay"))) < 150_000


# -- places and colours -------------------------------------------------------------------------------------


def test_bars_are_as_long_as_their_numbers():
    svg = picture(chart(bar([2, 4, 8], ["a", "b", "c"], marker={"color": "#ff0000"})))
    a, b, c = boxes(svg, "#ff0000")
    assert a[0] == b[0] == c[0]
    assert (b[1] - b[0]) / (a[1] - a[0]) == pytest.approx(2, abs=0.01)
    assert (c[1] - c[0]) / (a[1] - a[0]) == pytest.approx(4, abs=0.01)
    assert a[2] > b[3] > b[2] > c[3]  # the first lies at the bottom
    assert c[2] < spot(svg, "c")[1] < c[3]
    tick = spot(svg, "4")[0]
    assert tick == pytest.approx(b[1], abs=0.1)


def test_bars_stand_too_and_a_reversed_axis_begins_at_the_top():
    standing = {"type": "bar", "x": ["a", "b"], "y": [1, 3], "marker": {"color": ["#ff0000", "#0000ff"]}}
    svg = picture(chart(standing))
    (a,), (b,) = boxes(svg, "#ff0000"), boxes(svg, "#0000ff")
    assert (b[3] - b[2]) / (a[3] - a[2]) == pytest.approx(3, abs=0.01)
    assert a[1] < b[0]
    svg = picture(chart(bar([1, 1], ["a", "b"]), yaxis={"autorange": "reversed"}))
    assert spot(svg, "a")[1] < spot(svg, "b")[1]


def test_categories_keep_the_order_of_their_array():
    order = ["b", "c", "a"]
    svg = picture(chart(bar([1, 1, 1], ["a", "b", "c"]), yaxis={"categoryarray": order, "range": [2.5, -0.5]}))
    assert sorted(order, key=lambda name: spot(svg, name)[1]) == order


def test_stacked_bars_begin_where_the_last_ended():
    parts = [bar([3], ["a"], marker={"color": "#ff0000"}), bar([-2], ["a"], marker={"color": "#00ff00"}),
             bar([5], ["a"], marker={"color": "#0000ff"})]  # fmt: skip
    parts.append(bar([1], ["a"], marker={"color": "#ffff00"}))
    svg = picture(chart(*parts, barmode="relative"))
    (red,), (green,), (blue,), (yellow,) = (boxes(svg, c) for c in ("#ff0000", "#00ff00", "#0000ff", "#ffff00"))
    assert yellow[0] == blue[1]
    assert blue[0] == red[1]
    assert green[1] == red[0]
    assert (blue[1] - blue[0]) / (green[1] - green[0]) == pytest.approx(2.5, abs=0.01)


def test_bars_side_by_side_do_not_overlap():
    svg = picture(chart(bar([1], ["a"], marker={"color": "#ff0000"}), bar([1], ["a"], marker={"color": "#0000ff"})))
    (red,), (blue,) = boxes(svg, "#ff0000"), boxes(svg, "#0000ff")
    assert blue[3] <= red[2] + 0.01


def test_lengths_on_an_axis_of_dates_are_milliseconds():
    hours = bar([6 * 3_600_000, 12 * 3_600_000], ["a", "b"], base=["2026-03-02T00:00:00", "2026-03-02T06:00:00.123456789"],
                marker={"color": "#ff0000"})  # fmt: skip
    axis = {"type": "date", "range": ["2026-03-02T00:00:00", "2026-03-03T00:00:00"], "title": {"text": "time"}}
    svg = picture(chart(hours, barmode="overlay", xaxis=axis))
    a, b = boxes(svg, "#ff0000")
    assert b[0] == pytest.approx(a[1], abs=0.05)
    assert spot(svg, "06:00")[0] == pytest.approx(a[1], abs=0.05)
    assert spot(svg, "18:00")[0] == pytest.approx(b[1], abs=0.05)
    assert any(text.startswith("time · 2026") for text in texts(svg))


@pytest.mark.parametrize(("first", "last", "said"), [
    ("2026-03-09 09:00", "2026-03-10 09:00", "time · 2026-03-09 – 2026-03-10"),
    ("2026-03-09 09:00", "2026-03-09 10:00", "time · 2026-03-09"),
    ("2026-03-02", "2026-03-16", "time · 2026"), ("2025-12-25", "2026-01-08", "time · 2025 – 2026"),
])  # fmt: skip
def test_the_title_of_a_time_axis_says_what_the_ticks_leave_out(first, last, said):
    ends = {"type": "scatter", "mode": "lines", "x": [first, last], "y": [1, 1]}
    assert said in texts(picture(chart(ends, xaxis={"title": {"text": "time"}})))


def test_each_pattern_is_its_own(made):
    svgs = {sign: picture(chart(bar([1], ["a"], marker={"color": "#ff0000", "pattern": {"shape": sign}})))
            for sign in ["", "/", "\\", "x", "-", "|", "+", "."]}  # fmt: skip
    assert len(set(svgs.values())) == 8
    assert [b"<pattern" in svg for svg in svgs.values()] == [False] + [True] * 7


def test_points_and_the_ends_of_their_bounds_are_in_place():
    points = {"type": "scatter", "mode": "markers", "x": [2, 6], "y": [1, 2], "marker": {"color": "#ff0000"},
              "error_x": {"symmetric": False, "array": [2, 1], "arrayminus": [1, 0], "color": "#0000ff"}}  # fmt: skip
    svg = picture(chart(points, xaxis={"range": [0, 10], "dtick": 2}))
    ticks = {n: spot(svg, str(n))[0] for n in (0, 2, 4, 6)}
    assert [x for x, _ in marks(svg, "#ff0000")] == pytest.approx([ticks[2], ticks[6]], abs=0.1)
    step = (ticks[2] - ticks[0]) / 2
    lines = [[float(n) for n in re.findall(r"[\d.]+", path.get("d"))] for path in tree(svg).iter("path")
             if "stroke: #0000ff" in path.get("style", "") and path.get("clip-path")]  # fmt: skip
    assert sorted((x0, x1) for x0, _, x1, _ in lines) == [
        pytest.approx((ticks[0] + step, ticks[4]), abs=0.1), pytest.approx((ticks[6], ticks[6] + step), abs=0.1)]  # fmt: skip


def test_areas_are_piled_up_in_steps():
    x = ["2026-03-02", "2026-03-03", "2026-03-04"]
    areas = [{"type": "scatter", "stackgroup": "s", "x": x, "y": y, "line": {"shape": "hv"}, "fillcolor": colour}
             for y, colour in (([2, 2, 1], "#ff0000"), ([1, 1, 3], "#0000ff"))]  # fmt: skip
    svg = picture(chart(*areas, yaxis={"range": [0, 4], "dtick": 1}))
    heights = {n: spot(svg, str(n))[1] - 4.5 for n in (0, 2, 4)}
    (red,), (blue,) = boxes(svg, "#ff0000"), boxes(svg, "#0000ff")
    assert red[2:] == pytest.approx((heights[2], heights[0]), abs=0.1)
    assert blue[2] == pytest.approx(heights[4], abs=0.1)
    assert red[:2] == blue[:2]


def test_cells_have_the_colours_of_their_numbers():
    grid = {"type": "heatmap", "z": [[0, 5], [10, None]], "x": ["p", "q"], "y": ["a", "b"], "showscale": False,
            "colorscale": [[0, "#000064"], [1, "rgb(200,100,0)"]], "text": [["no", ""], ["ten", ""]],
            "texttemplate": "<b>%{text}</b>"}  # fmt: skip
    svg = picture(chart(grid))
    (none,), (half,), (full,) = (boxes(svg, c) for c in ("#000064", "#643232", "#c86400"))
    assert none[1] <= half[0] + 0.01
    assert full[3] <= none[2] + 0.01
    x, y = spot(svg, "ten")
    assert full[0] < x < full[1]
    assert full[2] < y < full[3]


def test_a_box_reaches_from_quartile_to_quartile():
    box = {"type": "box", "orientation": "h", "y": ["a"], "q1": [2], "median": [3], "q3": [6], "lowerfence": [1],
           "upperfence": [8], "fillcolor": "#ff0000", "line": {"color": "#0000ff"}}  # fmt: skip
    svg = picture(chart(box, xaxis={"range": [0, 10], "dtick": 1}))
    (body,) = boxes(svg, "#ff0000")
    assert body[:2] == pytest.approx((spot(svg, "2")[0], spot(svg, "6")[0]), abs=0.1)
    ends = [[float(n) for n in re.findall(r"[\d.]+", path.get("d"))[::2]] for path in tree(svg).iter("path")
            if "stroke: #0000ff" in path.get("style", "") and "fill: none" in path.get("style")]  # fmt: skip
    reached = sorted({round(x) for x in itertools.chain(*ends)})
    assert reached == [round(spot(svg, n)[0]) for n in "12368"]


def test_shapes_and_notes_are_where_their_references_say():
    shapes = [{"type": "rect", "xref": "x", "yref": "y domain", "x0": 2, "x1": 4, "y0": 0, "y1": 1, "line": {"width": 0},
               "fillcolor": "#00ff00", "layer": "below"}]  # fmt: skip
    notes = [{"text": "at<br>two", "x": 2, "y": 1, "yref": "paper", "yanchor": "bottom", "xanchor": "left", "align": "left",
              "showarrow": False}, {"text": "beside", "x": 1, "xref": "paper", "y": "b", "xanchor": "left", "xshift": 8,
              "showarrow": False}]  # fmt: skip
    svg = picture(
        chart(bar([5, 9], ["a", "b"]), shapes=shapes, annotations=notes, xaxis={"range": [0, 10], "dtick": 2})
    )
    (band,) = boxes(svg, "#00ff00")
    assert band[:2] == pytest.approx((spot(svg, "2")[0], spot(svg, "4")[0]), abs=0.1)
    assert spot(svg, "at")[0] == spot(svg, "two")[0] == pytest.approx(band[0], abs=0.1)
    assert spot(svg, "at")[1] < spot(svg, "two")[1] < band[2]
    assert spot(svg, "beside")[1] == pytest.approx(spot(svg, "b")[1], abs=1)
    assert spot(svg, "beside")[0] > spot(svg, "10")[0]


def test_two_axes_stand_side_by_side():
    left = bar([4], ["a"], marker={"color": "#ff0000"})
    right = bar([8], ["a"], marker={"color": "#0000ff"}, xaxis="x2")
    axes = {
        "xaxis": {"domain": [0, 0.48], "range": [0, 8]},
        "xaxis2": {"domain": [0.52, 1], "range": [0, 8], "anchor": "y"},
    }
    svg = picture(chart(left, right, **axes))
    (red,), (blue,) = boxes(svg, "#ff0000"), boxes(svg, "#0000ff")
    assert (blue[1] - blue[0]) / (red[1] - red[0]) == pytest.approx(2, abs=0.01)
    assert texts(svg).count("a") == 1
    assert red[2:] == blue[2:]


def test_the_legend_names_each_group_once_above_the_plot():
    parts = [bar([1], ["a"], name=name, legendgroup=name, marker={"color": "#ff0000"}) for name in ("p", "q", "p")]
    svg = picture(chart(*parts, bar([1], ["a"], name="hidden", showlegend=False), barmode="stack"))
    assert [text for text in texts(svg) if text in ("p", "q", "hidden")] == ["p", "q"]
    assert spot(svg, "p")[1] < min(box[2] for box in boxes(svg, "#ff0000") if box[1] - box[0] > 20)


def test_a_png_shows_what_the_svg_says():
    image = pixels(picture(chart(bar([2, 8], ["a", "b"], marker={"color": "#ff0000"})), "png"))
    red = (image == [255, 0, 0]).all(axis=2)
    lengths = np.unique(red.sum(axis=1))
    lengths = lengths[lengths > 0]
    assert lengths[-1] / lengths[0] == pytest.approx(4, abs=0.05)
    assert (image[0] == 255).all()
    assert (np.abs(image - DARK).sum(axis=2) < 30).sum() > 100


def test_japanese_text_is_drawn(made):
    svg = picture(made["causes", "ja"])
    assert "アップグレード以外の停止（原因別）" in texts(svg)


# -- what a chart may hold ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "shape"), [("f8", None), ("i1", None), ("u2", "2, 2"), ("float64", "2, 2")])
def test_arrays_in_base64_are_lists(code, shape):
    values = np.array([1, 2, 3, 4], dtype=code)
    packed = {"dtype": code, "bdata": base64.b64encode(values.tobytes()).decode()}
    if shape:
        listed, packed["shape"] = values.reshape(2, 2).tolist(), shape
        assert picture(chart({"type": "heatmap", "z": packed})) == picture(chart({"type": "heatmap", "z": listed}))
    else:
        names = list("abcd")
        assert picture(chart(bar(packed, names))) == picture(chart(bar(values.tolist(), names)))


HOSTILE = ["<script>alert(1)</script>", "</svg><img src=x onerror=alert(1)>", "x" * 10_000, "\u202egnp.exe\u200f", "$\\frac{1}{$",
           "a\x00b\ud800\ufffe", "--> ]]>", "", "&lt;b&gt;", "文" * 300, '" onload="alert(1)', "$a_b$", "<b" * 5000]  # fmt: skip


def test_names_may_hold_anything():
    given = chart(
        bar([1] * len(HOSTILE), HOSTILE, name=HOSTILE[0], text=HOSTILE, showlegend=True),
        {"type": "scatter", "x": [0.5] * len(HOSTILE), "y": HOSTILE, "mode": "markers+text", "text": HOSTILE, "name": HOSTILE[2]},
        title={"text": "".join(HOSTILE)}, xaxis={"title": {"text": HOSTILE[1]}},
        annotations=[{"text": text, "x": 0, "y": 0, "xref": "paper", "yref": "paper", "showarrow": False} for text in HOSTILE],
    )  # fmt: skip
    svg = picture(given)
    assert {part.tag for part in tree(svg).iter()} <= {
        "svg",
        "title",
        "g",
        "defs",
        "path",
        "use",
        "text",
        "clipPath",
        "rect",
    }
    assert not any(key.startswith("on") for part in tree(svg).iter() for key in part.attrib)
    assert "$a_b$" in texts(svg)
    assert all(c.isprintable() for text in texts(svg) for c in text)
    assert len(svg) < 150_000
    assert picture(given, "png").startswith(b"\x89PNG")


def test_the_little_html_of_plotly_becomes_text():
    notes = [{"text": "<b>one</b><br>a &lt;i&gt; &amp; b", "x": 0, "y": 0, "showarrow": False}]
    said = texts(picture(chart(bar([1], ["R&amp;D"]), annotations=notes)))
    assert {"one", "a <i> & b", "R&D"} <= set(said)


def test_nothing_to_show_says_so():
    hidden, note = {"visible": False}, {"text": "nothing", "xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5}
    svg = picture(chart(title={"text": "T"}, annotations=[note | {"showarrow": False}], xaxis=hidden, yaxis=hidden))
    assert texts(svg) == ["T", "nothing"]


@pytest.mark.parametrize("trace", [
    bar([], []), bar([None], ["a"]), bar([0], ["a"]), bar([float("nan"), 1], [1, 2]), {"type": "scatter", "x": [None], "y": [None]},
    {"type": "heatmap", "z": []}, {"type": "heatmap", "z": [[None]]}, {"type": "scatter", "y": [5], "mode": "lines"}, {},
    {"type": "bar", "x": ["2026-03-02"], "y": [1]}, {"type": "scatter", "x": ["1.5", "3"], "y": [1, 2]},
    {"type": "box", "q1": [1], "median": [1], "q3": [1], "name": "a"},
])  # fmt: skip
def test_charts_with_next_to_nothing_are_drawn(trace):
    for form in ("svg", "png"):
        assert picture(chart(trace), form)


@pytest.mark.parametrize(("given", "words"), [
    (chart({"type": "pie", "values": [1]}), "trace 'pie'"),
    (chart({"type": "scatter", "x": [1], "y": [1], "mode": "markers", "marker": {"symbol": "y-up"}}), "symbol 'y-up'"),
    (chart(bar([1], ["a"], marker={"pattern": {"shape": "?"}})), r"pattern '\?'"),
    (chart(bar([1], ["a"], marker={"color": "no colour"})), "colour 'no colour'"),
    (chart(bar([1], ["a"]), xaxis={"type": "log"}), "axis 'log'"),
    (chart(bar([1], ["a"]), shapes=[{"type": "circle", "x0": 0, "x1": 1, "y0": 0, "y1": 1}]), "shape 'circle'"),
    (chart(bar([1], ["a"]), annotations=[{"text": "t", "x": 0, "y": 0}]), "arrow"),
    (chart({"type": "box", "y": [1, 2, 3]}), "quartiles"),
    (chart({"type": "heatmap", "z": [[1]], "colorscale": "Viridis"}), "scale 'Viridis'"),
])  # fmt: skip
def test_what_cannot_be_drawn_is_refused(given, words):
    with pytest.raises(AmakitError, match=words):
        picture(given)


def test_an_unknown_form_is_refused():
    with pytest.raises(UsageError, match="'pdf' is not known; it is svg or png"):
        picture(chart(), "pdf")


def test_settings_and_logging_of_the_caller_stay_as_they_were(caplog):
    import matplotlib

    before = dict(matplotlib.rcParams)
    level = logging.getLogger("matplotlib").level
    plain = picture(chart(bar([1], ["$a$ 文 \U0001fae0"])), "png")
    with matplotlib.rc_context({"text.usetex": True, "font.size": 40, "axes.grid": True, "timezone": "Asia/Tokyo"}):
        assert picture(chart(bar([1], ["$a$ 文 \U0001fae0"])), "png") == plain
    assert dict(matplotlib.rcParams) == before
    assert logging.getLogger("matplotlib").level == level
    assert not caplog.records


def test_a_machine_without_japanese_fonts_draws_and_says_nothing(monkeypatch, caplog, capfd, made):
    monkeypatch.setattr("amakit.still._FONTS", ["DejaVu Sans", "No Such Font"])
    svg = picture(made["causes", "ja"])
    assert "アップグレード以外の停止（原因別）" in texts(svg)
    assert picture(made["causes", "ja"], "png").startswith(b"\x89PNG")
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_matplotlib_is_loaded_only_when_a_picture_is_made():
    import subprocess
    import sys

    code = "import sys, amakit, amakit.still; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
