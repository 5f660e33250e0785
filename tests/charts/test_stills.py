"""Still pictures against charts whose measures are known."""

import base64
import copy
import functools
import inspect
import io
import json
import logging
import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

import amakit
from amakit import charts
from amakit.charts.stills import picture
from amakit.charts.style import CAUSE_LOOKS
from amakit.errors import AmakitError, UsageError
from amakit.schemas import Cause

PUBLIC = [name for name, made in vars(charts).items()
          if inspect.isfunction(made) and name[0] != "_" and "plotly.graph_objects.Figure" in (made.__doc__ or "")]  # fmt: skip
RED, BLUE = {"color": "#ff0000"}, {"color": "#0000ff"}
HEATS = {"type": "heatmap", "x": [0, 1], "y": ["a", "b"], "zmin": 0, "zmax": 10, "showscale": False,
         "colorscale": [[0, "#000064"], [1, "rgb(200,100,0)"]]}  # fmt: skip
BOX = {"type": "box", "orientation": "h", "y": ["a"], "q1": [2], "median": [3], "q3": [6], "lowerfence": [1],
       "upperfence": [8], "fillcolor": "#ff0000", "line": BLUE}  # fmt: skip


@pytest.fixture(scope="module")
def made():
    found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")
    return {
        (name, language): json.loads(getattr(charts, name)(found, language=language).to_json())
        for name in PUBLIC
        for language in ("en", "ja")
    }


@pytest.fixture(scope="module")
def drawn(made):
    """Give the way to draw a chart of the kit, once for each form and for each of its places on a page."""

    @functools.cache
    def draw(name, language, form="svg", place="first"):
        given = made[name, language]
        before = copy.deepcopy(given)
        picture_of_it = picture(given, form, f"{name}-{language}-{place}")
        assert given == before
        return picture_of_it

    return draw


def chart(*traces, **layout):
    return {"data": list(traces), "layout": layout}


def bar(lengths, names, **more):
    return {"type": "bar", "orientation": "h", "x": lengths, "y": names, "marker": RED, **more}


def dots(x, y, mode="markers", **more):
    return {"type": "scatter", "x": x, "y": y, "mode": mode, "marker": RED, **more}


def tree(svg):
    return ElementTree.fromstring(svg)


def styled(svg, style):
    return [part for part in tree(svg).iter("path") if style in part.get("style", "")]


def numbers(text):
    return [float(n) for n in re.findall(r"-?[\d.]+", text)]


def boxes(svg, look=RED):
    """Give left, right, top and bottom of each shape that is filled with a colour."""
    pieces = [numbers(piece) for path in styled(svg, f"fill: {look['color']}") for piece in path.get("d").split("z")]
    return [(min(n[::2]), max(n[::2]), min(n[1::2]), max(n[1::2])) for n in pieces if n]


def texts(svg):
    return [part.text for part in tree(svg).iter("text")]


def spot(svg, text):
    part = next(part for part in tree(svg).iter("text") if part.text == text)
    return float(part.get("x")), float(part.get("y"))


# -- the charts of the kit ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLIC)
def test_every_chart_has_both_forms(made, drawn, name):
    for language in ("en", "ja"):
        given = made[name, language]
        svg, png = drawn(name, language), drawn(name, language, "png")
        assert max(len(svg), len(png)) < 150_000
        for word in (b"http", b"xmlns", b"<style", b"#010203"):  # a style would hold for the whole page
            assert word not in svg
        assert svg.count(b"fill: currentColor") > 5
        root = tree(svg)
        assert root.find("title").text == given["layout"]["title"]["text"]
        assert root.find("title").text in texts(svg)
        assert root.get("viewBox").startswith("0 0 1100 ")
        assert Image.open(io.BytesIO(png)).size[0] == 2200
    assert drawn(name, language, "svg", "again").replace(b"-again", b"-first") == svg
    assert drawn(name, language, "png", "again") == png


@pytest.mark.parametrize("name", PUBLIC)
def test_every_text_of_a_chart_is_inside_its_picture(drawn, name):
    svg = drawn(name, "en")
    height = float(tree(svg).get("viewBox").split()[3])
    for part in tree(svg).iter("text"):
        if "rotate" not in part.get("transform", ""):
            x, y = numbers(part.get("transform") or f"{part.get('x')} {part.get('y')}")
            anchor = re.search("anchor: (end|middle)", part.get("style"))
            width = 6.5 * len(part.text) * {"end": 1, "middle": 0.5}.get(anchor and anchor[1], 0)
            assert (x > width, x < 1100, 0 < y < height) == (True, True, True), part.text


def test_ids_are_unique_on_a_page_and_every_reference_is_met(drawn):
    """The charts of a page in each language, and those of one twice."""
    assert len(PUBLIC) >= 9
    ids = []
    for name in PUBLIC:
        for svg in (drawn(name, "en"), drawn(name, "ja"), drawn(name, "ja", "svg", "again")):
            own = re.findall(r' id="([^"]+)"', svg.decode())
            assert set(own) == set(re.findall(r'(?:url\(|href=")#([^")]+)', svg.decode()))
            ids += own
    assert len(ids) == len(set(ids)) > 50


def test_a_fleet_of_thousands_is_a_small_picture():
    cells = (np.arange(3000)[:, None] + np.arange(720)) // 400 % 5
    image = HEATS | {
        "z": cells.tolist(),
        "x": list(range(720)),
        "y": [f"m{n}" for n in range(3000)],
        "zmin": -0.5,
        "zmax": 4.5,
        "colorbar": {"tickvals": [0, 4], "ticktext": ["0 –", "4 Linux"]},
        "showscale": True,
        "colorscale": [[0, "#ffffff"], [1, "#0072B2"]],
    }
    svg = picture(chart(image, height=900, yaxis={"showticklabels": False, "showgrid": False}))
    assert len(svg) < 150_000
    assert {"0 –", "4 Linux"} <= set(texts(svg))
    assert "m0" not in texts(svg)
    (address,) = [part.get("href") for part in tree(svg).iter("image")]
    raster = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGBA")
    assert raster.size == (720, 1000)
    colours = np.array(sorted(colour for _, colour in raster.getcolors()))
    shares = np.array([[0.9], [0.7], [0.5], [0.3], [0.1]])
    assert np.abs(colours - 255 + np.array([255, 141, 77, 0]) * shares).max() <= 0.51  # each its own
    blocks = bar([86_400_000] * 4000, [n % 40 for n in range(4000)], base=["2026-03-02"] * 4000)
    assert len(picture(chart(dots(list(range(9000)), [n % 97 for n in range(9000)])))) < 150_000
    assert len(picture(chart(blocks))) < 150_000


# -- places and colours -------------------------------------------------------------------------------------


def test_bars_are_as_long_as_their_numbers():
    svg = picture(chart(bar([2, 4, 8], ["a", "b", "c"], text=["two", "four", ""], textposition="outside")))
    a, b, c = boxes(svg)
    assert a[0] == b[0] == c[0]
    assert (b[1] - b[0]) / (a[1] - a[0]) == pytest.approx(2, abs=0.01)
    assert (c[1] - c[0]) / (a[1] - a[0]) == pytest.approx(4, abs=0.01)
    assert a[2] > b[3] > b[2] > c[3]  # the first lies at the bottom
    assert c[2] < spot(svg, "c")[1] < c[3]
    assert spot(svg, "4")[0] == pytest.approx(b[1], abs=0.1)
    assert spot(svg, "four")[0] == pytest.approx(b[1] + 5, abs=0.1)
    assert b[2] < spot(svg, "four")[1] < b[3]


@pytest.mark.parametrize(("axis", "order"), [
    ({"autorange": "reversed"}, "abc"), ({}, "cba"), ({"categoryarray": ["b", "c", "a"], "range": [2.5, -0.5]}, "bca"),
])  # fmt: skip
def test_names_stand_in_the_order_that_the_axis_says(axis, order):
    svg = picture(chart(bar([1, 1, 1], ["a", "b", "c"]), yaxis=axis))
    assert sorted("abc", key=lambda name: spot(svg, name)[1]) == list(order)


def test_stacked_bars_begin_where_the_last_ended_and_others_at_nought():
    parts = [bar([3, 1], ["a", "b"]), bar([5, 2], ["a", "b"], marker=BLUE, text=["five", ""], textposition="inside")]
    svg = picture(chart(*parts, barmode="stack"))
    (a, b), (c, d) = boxes(svg), boxes(svg, BLUE)
    assert (c[0], d[0], a[2:]) == (a[1], b[1], c[2:])
    assert (c[1] - c[0]) / (a[1] - a[0]) == pytest.approx(5 / 3, abs=0.01)
    assert spot(svg, "five")[0] == pytest.approx((c[0] + c[1]) / 2, abs=0.1)
    svg = picture(chart(*parts, barmode="overlay"))
    assert boxes(svg)[0][0] == boxes(svg, BLUE)[0][0]


def test_lengths_on_an_axis_of_dates_are_milliseconds():
    hours = bar(
        [6 * 3_600_000, 12 * 3_600_000], ["a", "b"], base=["2026-03-02T00:00:00", "2026-03-02T06:00:00.123456789"]
    )
    svg = picture(chart(hours, xaxis={"type": "date", "range": ["2026-03-02T00:00:00", "2026-03-03T00:00:00"]}))
    a, b = boxes(svg)
    assert b[0] == pytest.approx(a[1], abs=0.05)
    assert spot(svg, "06:00")[0] == pytest.approx(a[1], abs=0.05)
    assert spot(svg, "18:00")[0] == pytest.approx(b[1], abs=0.05)


@pytest.mark.parametrize(("first", "last", "said"), [
    ("2026-03-09 09:00", "2026-03-10 09:00", "time · 2026-03-09 – 2026-03-10"),
    ("2026-03-09 09:00", "2026-03-09 10:00", "time · 2026-03-09"),
    ("2026-03-02", "2026-03-16", "time · 2026"), ("2025-12-25", "2026-01-08", "time · 2025 – 2026"),
])  # fmt: skip
def test_the_title_of_a_time_axis_says_what_the_ticks_leave_out(first, last, said):
    ends = {"range": [first, last], "title": {"text": "time"}}
    assert said in texts(picture(chart(dots([first, last], [1, 1], "lines"), xaxis=ends)))


def test_each_pattern_and_each_symbol_is_its_own():
    svgs = [picture(chart(bar([1], ["a"], marker=RED | {"pattern": {"shape": sign}}))) for sign in ["", *"/\\x-|+."]]
    assert len(set(svgs)) == 8
    assert [b"<pattern" in svg for svg in svgs] == [False] + [True] * 7
    symbols = [*(symbol for _, symbol in CAUSE_LOOKS.values()), "triangle-right", "line-ns", "x-thin"]
    assert (
        len({picture(chart(dots([1], [1], marker=RED | {"symbol": sign, "size": 9}))) for sign in symbols})
        == len(Cause) + 3
    )


def test_points_and_the_ends_of_their_bounds_are_in_place():
    bounds = BLUE | {"symmetric": False, "array": [2, 1], "arrayminus": [1, 0], "width": 3, "thickness": 1.4}
    svg = picture(chart(dots([2, 6], [1, 2], error_x=bounds), xaxis={"range": [0, 10], "dtick": 2}))
    zero, two, four, six = (spot(svg, text)[0] for text in "0246")
    found = [float(mark.get("x")) for mark in tree(svg).iter("use") if "fill: #ff0000" in mark.get("style", "")]
    assert found == pytest.approx([two, six], abs=0.1)
    lines = [numbers(path.get("d")) for path in styled(svg, "stroke: #0000ff") if path.get("clip-path")]
    assert sorted((x0, x1) for x0, _, x1, _ in lines) == [
        pytest.approx(((zero + two) / 2, four), abs=0.1),
        pytest.approx((six, six + two / 2 - zero / 2), abs=0.1),
    ]


def test_areas_are_piled_up_in_steps():
    areas = [
        {
            "type": "scatter",
            "stackgroup": "s",
            "x": ["2026-03-02", "2026-03-03", "2026-03-04"],
            "y": y,
            "fillcolor": look["color"],
            "line": {"shape": "hv"},
        }
        for y, look in (([2, 2, 1], RED), ([1, 1, 3], BLUE))
    ]
    svg = picture(chart(*areas, yaxis={"range": [0, 4], "dtick": 1}))
    step = spot(svg, "0")[1] - spot(svg, "1")[1]
    (red,), (blue,) = boxes(svg), boxes(svg, BLUE)
    assert red[3] - red[2] == pytest.approx(2 * step, abs=0.1)
    assert red[3] - blue[2] == pytest.approx(4 * step, abs=0.1)
    assert red[:2] == blue[:2]
    assert len(numbers(styled(svg, "fill: #0000ff")[0].get("d"))) % 4 == 0  # every corner is square


def test_cells_have_the_colours_of_their_numbers():
    svg = picture(chart(HEATS | {"text": [["no", ""], ["ten", ""]], "xgap": 2, "ygap": 2, "z": [[0, 5], [10, None]]}))
    (none,), (half,), (full,) = (boxes(svg, {"color": c}) for c in ("#000064", "#643232", "#c86400"))
    assert none[1] <= half[0] + 0.01
    assert full[3] <= none[2] + 0.01
    x, y = spot(svg, "ten")
    assert full[0] < x < full[1]
    assert full[2] < y < full[3]


def test_a_box_reaches_from_quartile_to_quartile():
    svg = picture(chart(BOX, xaxis={"range": [0, 10], "dtick": 1}))
    (body,) = boxes(svg)
    assert body[:2] == pytest.approx((spot(svg, "2")[0], spot(svg, "6")[0]), abs=0.1)
    ends = {round(x) for path in styled(svg, "stroke: #0000ff") for x in numbers(path.get("d"))[::2]}
    assert sorted(ends) == [round(spot(svg, n)[0]) for n in "12368"]


def test_shapes_and_notes_are_where_their_references_say():
    shapes = [
        {"type": "rect", "xref": "x", "yref": "y domain", "x0": 2, "x1": 4, "y0": 0, "y1": 1, "fillcolor": "#00ff00"},
        {
            "type": "line",
            "xref": "x domain",
            "yref": "y",
            "x0": 0,
            "x1": 1,
            "y0": 0.5,
            "y1": 0.5,
            "line": {"color": "#ff00ff", "width": 1},
        },
    ]
    notes = [
        {
            "text": "at<br>two",
            "x": 2,
            "y": 1,
            "yref": "paper",
            "yanchor": "bottom",
            "xanchor": "right",
            "align": "right",
        },
        {"text": "beside", "x": 1, "xref": "paper", "y": "b", "xanchor": "left", "xshift": 8},
        {"text": "<b>under</b><br>a &lt;i&gt; &amp; b", "x": 0, "y": 0, "xref": "paper", "yref": "paper"},
    ]
    svg = picture(
        chart(
            bar([5, 9], ["a", "b"]),
            shapes=shapes,
            annotations=[note | {"showarrow": False} for note in notes],
            xaxis={"range": [0, 10], "dtick": 2},
        )
    )
    (band,), (a, b) = boxes(svg, {"color": "#00ff00"}), boxes(svg)
    assert band[:2] == pytest.approx((spot(svg, "2")[0], spot(svg, "4")[0]), abs=0.1)
    assert spot(svg, "at")[0] == spot(svg, "two")[0] == pytest.approx(band[0], abs=0.1)
    assert spot(svg, "at")[1] < spot(svg, "two")[1] < band[2]
    assert spot(svg, "beside")[1] == pytest.approx(spot(svg, "b")[1], abs=1)
    assert spot(svg, "beside")[0] > spot(svg, "10")[0]
    assert {"under", "a <i> & b"} <= set(texts(svg))
    assert numbers(styled(svg, "stroke: #ff00ff")[0].get("d"))[1] == pytest.approx((a[2] + b[3]) / 2, abs=0.1)


def test_two_axes_stand_side_by_side():
    bars = [bar([4], ["a"]), bar([8], ["a"], marker=BLUE, xaxis="x2")]
    svg = picture(chart(*bars, barmode="stack", xaxis={"range": [0, 8]}, xaxis2={"range": [0, 8], "anchor": "y"}))
    (red,), (blue,) = boxes(svg), boxes(svg, BLUE)
    assert (blue[1] - blue[0]) / (red[1] - red[0]) == pytest.approx(2, abs=0.01)
    assert texts(svg).count("a") == 1
    assert red[2:] == blue[2:]


def test_the_legend_reads_row_by_row_above_a_plot_that_keeps_its_height():
    parts = [bar([1], ["a"], name=f"name {n // 2}" + "w" * 30) for n in range(40)]
    few, many = (
        picture(chart(*some, bar([1], ["a"], name="hidden", showlegend=False), barmode="stack", height=300))
        for some in (parts[:2], parts)
    )
    names = list(dict.fromkeys(part["name"] for part in parts))
    assert "hidden" not in texts(many)
    assert sorted(names, key=lambda name: spot(many, name)[::-1]) == names
    assert max(spot(many, name)[0] for name in names) < 900
    (low, high), (_, above) = ((box[3] - box[2], box[2]) for box in (boxes(few)[0], boxes(many)[0]))
    assert boxes(many)[0][3] - boxes(many)[0][2] == pytest.approx(low, rel=0.1)
    assert above > spot(many, names[-1])[1] > high


def test_a_png_shows_what_the_svg_says():
    file = io.BytesIO(picture(chart(bar([2, 8], ["a", "b"])), "png"))
    image = np.asarray(Image.open(file).convert("RGB")).astype(int)
    lengths = np.unique((image == [255, 0, 0]).all(axis=2).sum(axis=1))
    assert lengths[-1] / lengths[lengths > 0][0] == pytest.approx(4, abs=0.05)
    assert (image[0] == 255).all()
    assert (np.abs(image - 51).sum(axis=2) < 30).sum() > 100  # dark text


# -- what a chart may hold ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "shape"), [("f8", None), ("i1", None), ("u2", "2, 2"), ("float64", "2, 2")])
def test_arrays_in_base64_are_lists(code, shape):
    values = np.array([1, 2, 3, 4], dtype=code)
    packed = {"dtype": code, "bdata": base64.b64encode(values.tobytes()).decode()} | ({"shape": shape} if shape else {})
    listed = (values.reshape(2, 2) if shape else values).tolist()
    one, other = (HEATS | {"z": given} if shape else bar(given, list("abcd")) for given in (packed, listed))
    assert picture(chart(one)) == picture(chart(other))


HOSTILE = ["<script>alert(1)</script>", "</svg><img src=x onerror=alert(1)>", "x" * 10_000, "\u202egnp.exe\u200f", "$\\frac{1}{$",
           "a\x00b\ud800\ufffe", "--> ]]>", "", "&lt;b&gt;", "文" * 300, '" onload="alert(1)', "$a_b$", "<b" * 5000, "_x"]  # fmt: skip


def test_names_may_hold_anything():
    given = chart(
        bar([1] * len(HOSTILE), HOSTILE, text=HOSTILE),
        *(bar([1], HOSTILE[:1], name=name) for name in HOSTILE),
        dots([0.5] * len(HOSTILE), HOSTILE, "markers+text", text=HOSTILE, textposition="middle left"),
        title={"text": "".join(HOSTILE)},
        xaxis={"title": {"text": HOSTILE[1]}},
        barmode="overlay",
        annotations=[{"text": text, "x": 0.5, "y": 0, "yref": "paper", "showarrow": False} for text in HOSTILE],
    )
    svg = picture(given)
    assert not {part.tag for part in tree(svg).iter()} & {"script", "img", "image", "a", "foreignObject"}
    assert not any(key.startswith("on") for part in tree(svg).iter() for key in part.attrib)
    assert {"$a_b$", "_x", "gnp.exe"} <= set(texts(svg))
    assert all(c.isprintable() for text in texts(svg) for c in text)
    assert max(map(len, texts(svg))) <= 120
    assert len(svg) < 150_000
    assert picture(given, "png").startswith(b"\x89PNG")


def test_nothing_to_show_says_so():
    note = {"text": "nothing", "xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5, "showarrow": False}
    hidden = {"xaxis": {"visible": False}, "yaxis": {"visible": False}}
    assert sorted(texts(picture(chart(title={"text": "T"}, annotations=[note], **hidden)))) == ["T", "nothing"]


@pytest.mark.parametrize("trace", [
    bar([], []), bar([None], ["a"]), bar([0], ["a"]), bar([float("nan"), 1], [1, 2]), dots([None], [None]), dots([1], [5], "lines"), {},
    HEATS | {"z": [[None, None]] * 2}, BOX | {"q1": [6], "lowerfence": [6]}, dots(["2026-03-02"], [1], stackgroup="s", line={"shape": "hv"}),
])  # fmt: skip
def test_charts_with_next_to_nothing_are_drawn(trace):
    assert picture(chart(trace))


@pytest.mark.parametrize(("given", "words"), [
    (chart({"type": "pie", "values": [1]}), "trace 'pie'"), (chart(dots([1], [1], marker={"symbol": "y-up"})), "symbol 'y-up'"),
    (chart(bar([1], ["a"], marker={"pattern": {"shape": "?"}})), r"pattern '\?'"),
    (chart(bar([1], ["a"], marker={"color": "no colour"})), "colour 'no colour'"),
    (chart(bar([1, 2], ["a", "b"], marker={"color": ["red", "blue"]})), "colour"),
    (chart(dots([1], [1], marker={"size": [1, 2]})), "cannot be drawn"),
    (chart(bar([1], ["a"], orientation="v")), "orientation of bars 'v'"), (chart(bar([1], ["a"]), bar([1], ["a"])), "mode of bars 'group'"),
    (chart(dots([1], [1], line={"dash": "dot"})), "dash 'dot'"), (chart(dots([1], [1], fill="tozeroy")), "fill 'tozeroy'"),
    (chart(dots([1], [1], yaxis="y2")), "yaxis 'y2'"), (chart(dots(["a", "b"], [1, 1])), "cannot be drawn"),
    (chart(dots([1], [1], "text")), "mode 'text'"), (chart(bar([1], ["a"]), xaxis={"type": "log"}), "axis 'log'"),
    (chart(bar([1], ["a"]), xaxis={"dtick": "M1"}), "cannot be drawn"),
    (chart(bar([1], ["a"], xaxis="x2"), xaxis2={"overlaying": "x"}), "axis over an axis"),
    (chart(bar([1], ["a"]), shapes=[{"type": "circle", "x0": 0, "x1": 1, "y0": 0, "y1": 1}]), "shape 'circle'"),
    (chart(bar([1], ["a"]), annotations=[{"text": "t", "x": 0, "y": 0}]), "arrow"),
    (chart({"type": "box", "orientation": "h", "x": [1, 2, 3]}), "cannot be drawn"),
    (chart(HEATS | {"z": [[1, 1]], "colorscale": "Viridis"}), "cannot be drawn"),
    (chart(HEATS | {"z": [[1, 2, 3]] * 2, "x": [0, 1, 5]}), "different widths"), ({"data": "abc"}, "cannot be drawn"), ([], "cannot be drawn"),
])  # fmt: skip
def test_what_cannot_be_drawn_is_refused(given, words):
    with pytest.raises(AmakitError, match=words):
        picture(given)


def test_an_unknown_form_is_refused():
    with pytest.raises(UsageError, match="'pdf' is not known; it is svg or png"):
        picture(chart(), "pdf")


def test_settings_and_logging_of_the_caller_stay_as_they_were(caplog):
    import matplotlib

    given, before, level = (
        chart(bar([1], ["$a$ 文 \U0001fae0"])),
        dict(matplotlib.rcParams),
        logging.getLogger("matplotlib").level,
    )
    plain = picture(given, "png")
    with matplotlib.rc_context({"text.usetex": True, "font.size": 40, "axes.grid": True, "timezone": "Asia/Tokyo"}):
        assert picture(given, "png") == plain
    assert dict(matplotlib.rcParams) == before
    assert logging.getLogger("matplotlib").level == level
    assert not caplog.records


def test_a_machine_without_japanese_fonts_draws_and_says_nothing(monkeypatch, caplog, capfd, made):
    monkeypatch.setattr("amakit.charts.stills.files._FONTS", ["DejaVu Sans", "No Such Font"])
    assert "アップグレード以外の停止（原因別）" in texts(picture(made["causes", "ja"]))
    assert picture(made["causes", "ja"], "png").startswith(b"\x89PNG")
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_matplotlib_is_loaded_only_when_a_picture_is_made():
    code = "import sys, amakit, amakit.charts.stills; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
