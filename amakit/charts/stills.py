"""Still pictures: charts as SVG and PNG without a browser, from plotly's own description of a figure.

The page of a report shows them where no script runs; the printed and the Markdown form have no other.  Drawn is
what `amakit.charts` uses of plotly; what else would change the meaning of a picture is refused.  The only door to
matplotlib, which is loaded when a picture is asked for.
"""

import base64
import contextlib
import html
import io
import logging
import re
import unicodedata
import warnings
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from amakit.errors import AmakitError, UsageError

FORMS = ("svg", "png")
_WIDTH = 1100
_INK = {"svg": "#010203", "png": "#333333"}  #: in an SVG a mark, which gives way to the colour of the text around
#: What a PNG is written in; an SVG is only measured with it, and begins with the widest, so that any other fits.
_FONTS = ["Noto Sans CJK JP", "Yu Gothic", "Hiragino Sans", "Meiryo", "IPAexGothic", "DejaVu Sans"]
_HATCHES = {"": None, "/": "//", "\\": "\\\\", "x": "xx", "-": "--", "|": "||", "+": "++", ".": "."}
#: Matplotlib's sign of each symbol, and how much larger it has to be to look as large.
_SYMBOLS = {
    "circle": ("o", 1), "square": ("s", 0.9), "diamond": ("D", 0.9), "cross": ("P", 1), "x": ("X", 1),
    "triangle-up": ("^", 1), "triangle-down": ("v", 1), "triangle-left": ("<", 1), "triangle-right": (">", 1),
    "diamond-tall": ("d", 1), "star": ("*", 1.2), "pentagon": ("p", 1), "hexagon": ("h", 1),
    "line-ns": ("|", 1.4), "x-thin": ("x", 1),
}  # fmt: skip
_MOST_MARKS = 1500  #: of one trace; more are drawn as an image in an SVG too


def picture(chart: dict, form: str = "svg", prefix: str = "still") -> bytes:
    """Draw a chart.

    Parameters
    ----------
    chart : dict
        A plotly figure as JSON: ``data`` and ``layout``.
    form : {'svg', 'png'}
        An SVG to stand inside an HTML page: the colour of its text is the page's, its background none, and it
        names no address.  Or a PNG of double density on white.
    prefix : str
        Begins each id in an SVG; pictures of one page need different ones.

    Returns
    -------
    bytes
        The same for the same chart, fonts and version of matplotlib.

    Raises
    ------
    UsageError
        When the form is not known.
    AmakitError
        When the chart holds what this module cannot draw.

    Examples
    --------
    >>> bar = {"type": "bar", "x": [3, 5], "y": ["web", "app"], "orientation": "h"}
    >>> svg = picture({"data": [bar], "layout": {"title": {"text": "Machines"}}})
    >>> svg[:5], b"<title>Machines</title>" in svg
    (b'<svg ', True)
    """
    if form not in FORMS:
        raise UsageError(f"form {form!r} is not known; it is {' or '.join(FORMS)}")
    file = io.BytesIO()
    with _quiet():
        import matplotlib

        with matplotlib.rc_context(_settings(matplotlib, form)):
            try:
                figure, title = _drawn(_decoded(chart))
                figure.savefig(file, format=form)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                raise AmakitError(f"a still picture cannot be drawn of this chart: {error!r:.200}") from error
    return _inline(file.getvalue(), prefix, title) if form == "svg" else _small(file)


@contextlib.contextmanager
def _quiet():
    """Keep to itself what matplotlib says of fonts that a machine does not have."""
    log = logging.getLogger("matplotlib")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        log.setLevel(level)


def _settings(matplotlib, form):
    """Give matplotlib's own settings, whatever the user's are, with those of the kit."""
    from matplotlib.font_manager import get_font_names

    known, ink = set(get_font_names()), _INK[form]
    fonts = [name for name in _FONTS if name in known]
    inked = ("axes.labelcolor", "text.color", "xtick.labelcolor", "ytick.labelcolor")
    return (
        {name: value for name, value in matplotlib.rcParamsDefault.items() if "backend" not in name}
        | matplotlib.rc_params_from_file(Path(__file__).with_suffix(".mplstyle"), use_default_template=False)
        | dict.fromkeys(inked, ink)
        | {
            "font.family": fonts[::-1] if form == "svg" else fonts,
            "savefig.facecolor": "none" if form == "svg" else "white",
        }
    )


# -- what plotly says ---------------------------------------------------------------------------------------


def _decoded(value):
    """Turn plotly's base64 arrays into lists, wherever they are."""
    if isinstance(value, dict) and "bdata" in value:
        flat = np.frombuffer(base64.b64decode(value["bdata"]), np.dtype(value["dtype"]).newbyteorder("<"))
        return flat.reshape([int(n) for n in re.findall(r"\d+", str(value.get("shape", len(flat))))]).tolist()
    if isinstance(value, dict):
        return {key: _decoded(part) for key, part in value.items()}
    return [_decoded(part) for part in value] if isinstance(value, (list, tuple)) else value


def _plain(text, most=120):
    """Turn plotly's little HTML into text: no line too long, nothing that steers a reader's eye or a terminal."""
    text = re.sub(r"<br\s*/?>", "\n", str(text))
    text = html.unescape(re.sub(r"</?(?:b|i|em|strong|s|u|su[bp]|span|a)(?:\s[^<>]*)?>", "", text))
    lines = "".join(c if c == "\n" or c.isprintable() else " " * c.isspace() for c in text).split("\n")
    ends = [np.cumsum([1 + (unicodedata.east_asian_width(c) in "WF") for c in line[:500]]) for line in lines]
    fits = [np.searchsorted(end, most, side="right") for end in ends]
    return "\n".join(line if len(line) <= n else line[: n - 1] + "…" for line, n in zip(lines, fits, strict=True))


def _known(table, key, what):
    if key not in table:
        raise AmakitError(f"a still picture has no {what} {key!r}; it has {', '.join(map(repr, table))}")
    return table[key] if isinstance(table, dict) else key


def _rgba(css):
    """Read a colour as plotly writes it."""
    from matplotlib.colors import to_rgba

    called = re.fullmatch(r"rgba?\(([^()]+)\)", str(css).replace(" ", ""))
    try:
        red, green, blue, alpha = [*map(float, called[1].split(",")), 1][:4] if called else to_rgba(css)
    except ValueError:
        raise AmakitError(f"a still picture has no colour {css!r}; write '#RRGGBB' or 'rgba(r, g, b, a)'") from None
    return (red / 255, green / 255, blue / 255, alpha) if called else (red, green, blue, alpha)


def _along(values):
    """Turn what lies along x, numbers or times as text, into matplotlib's numbers."""
    from matplotlib.dates import date2num

    if not any(isinstance(value, str) for value in values):
        return np.array(values, dtype=float)
    times = pd.to_datetime(pd.Series(values, dtype=object), format="ISO8601", utc=True)
    return date2num(times.dt.tz_localize(None).to_numpy())


# -- marks: each draws a trace and gives what the legend shows of it ----------------------------------------


def _bar(axes, trace, x, y, colour, below):
    _known(["h"], trace.get("orientation"), "orientation of bars")
    if "base" in trace:  # of times, where lengths are in milliseconds
        left, x = _along(trace["base"]), x / 86_400_000
    else:
        left = np.array([below.get((axes, row), 0) for row in y])
        below.update({(axes, row): end for row, end in zip(y, left + x, strict=True)})
    marker, inside = trace.get("marker") or {}, trace.get("textposition") == "inside"
    look = _look(marker.get("color") or colour, marker.get("pattern"))
    for *spot, text in zip(left + x / (2 if inside else 1), y, trace.get("text") or [], strict=False):
        _say(axes, text, spot, trace.get("textfont"), ha="center" if inside else "left", xytext=(5 * (not inside), 0))
    return _blocks(axes, left, left + x, y - 0.425, y + 0.425, **look)


def _look(colour, pattern=None):
    pattern, colour = pattern or {}, _rgba(colour)
    share, ink = pattern.get("fgopacity", 1), _rgba(pattern.get("fgcolor") or "white")
    lines = [(1 - share) * under + share * over for under, over in zip(colour[:3], ink[:3], strict=True)]
    return {
        "facecolor": colour,
        "edgecolor": lines,
        "linewidth": 0,  # a hatch has the colour of the edge
        "hatch": _known(_HATCHES, pattern.get("shape") or "", "pattern"),
    }


def _blocks(axes, left, right, low, high, **look):
    """Draw rectangles as one element, which is smaller than many."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    corners = np.stack([left, low, right, low, right, high, left, high, left, low], axis=-1).reshape(-1, 5, 2)
    corners = corners[np.isfinite(corners).all(axis=(1, 2))]
    path = Path(corners.reshape(-1, 2), [1, 2, 2, 2, 79] * len(corners))
    return axes.add_patch(PathPatch(path, rasterized=len(corners) > _MOST_MARKS, **look))


def _scatter(axes, trace, x, y, colour, below):
    line, marker, said = trace.get("line") or {}, trace.get("marker") or {}, trace.get("text") or []
    _known(["solid"], line.get("dash", "solid"), "dash")
    _known(["hv" if "stackgroup" in trace else "linear"], line.get("shape", "linear"), "line")
    if "stackgroup" in trace:
        low = below.get((axes, trace["stackgroup"]), np.zeros(len(y)))
        high = below[axes, trace["stackgroup"]] = low + np.nan_to_num(y)
        keep = np.ones(len(x), dtype=bool)  # where nothing changes there is no corner
        keep[1:-1] = ((np.diff(low) != 0) | (np.diff(high) != 0))[:-1]
        x, low, high = np.repeat(x[keep], 2)[1:], np.repeat(low[keep], 2)[:-1], np.repeat(high[keep], 2)[:-1]
        axes.margins(x=0)
        look = _look(trace.get("fillcolor") or line.get("color") or colour, trace.get("fillpattern"))
        return axes.fill([*x, *x[::-1]], [*high, *low[::-1]], **look)[0]
    mode = _known(["lines", "markers", "lines+markers", "markers+text"], trace.get("mode", "lines+markers"), "mode")
    look = {"color": _rgba(line.get("color") or colour), "rasterized": len(x) > _MOST_MARKS}
    if "lines" in mode:
        made = axes.plot(x, y, linewidth=line.get("width", 2), **look)
    if error := trace.get("error_x"):
        reach, thick = np.clip([error["arrayminus"], error["array"]], 0, None), error["thickness"]
        axes.errorbar(
            x,
            y,
            xerr=reach,
            fmt="none",
            capsize=error["width"],
            ecolor=_rgba(error["color"]),
            elinewidth=thick,
            capthick=thick,
        )
    if "markers" in mode:
        sign, scale = _known(_SYMBOLS, marker.get("symbol", "circle"), "symbol")
        look["color"], edge = _rgba(marker.get("color") or colour), marker.get("line") or {}
        look |= {"markeredgecolor": _rgba(edge.get("color") or look["color"]), "markeredgewidth": edge.get("width", 0)}
        made = axes.plot(x, y, sign, markersize=marker.get("size", 6) * scale, **look)
    for *spot, text in zip(x, y, said, strict=False) if "text" in mode else ():
        _known(["middle left"], trace.get("textposition"), "place of text")
        _say(axes, text, spot, trace.get("textfont"), ha="right", xytext=(-7, 0))
    return made[0]


def _box(axes, trace, x, y, colour, below):
    _known(["h"], trace.get("orientation"), "orientation of boxes")
    parts = {"whislo": "lowerfence", "q1": "q1", "med": "median", "q3": "q3", "whishi": "upperfence"}
    numbers = [dict(zip(parts, row, strict=True)) for row in zip(*(trace[n] for n in parts.values()), strict=True)]
    line = {"color": _rgba((trace.get("line") or {}).get("color") or colour), "linewidth": 2}
    body = {"facecolor": _rgba(trace.get("fillcolor") or colour), "edgecolor": line["color"], "linewidth": 2}
    return axes.bxp(
        numbers,
        y,
        orientation="horizontal",
        widths=0.6,
        capwidths=0.3,
        patch_artist=True,
        boxprops=body,
        whiskerprops=line,
        capprops=line,
        medianprops=line,
        showfliers=False,
        manage_ticks=False,
    )["boxes"][0]


def _heatmap(axes, trace, x, y, colour, below):
    from matplotlib.patches import Patch

    def shaded(z):
        share = (np.array(z, dtype=float) - trace["zmin"]) / ((trace["zmax"] - trace["zmin"]) or 1)
        bands = np.array([_rgba(shade) for _, shade in trace["colorscale"]]).T
        return np.stack([np.interp(share, [stop for stop, _ in trace["colorscale"]], band) for band in bands], axis=-1)

    cells, wide = np.nan_to_num(shaded(trace["z"])), (x[1] - x[0]) / 2
    if not np.allclose(np.diff(x), 2 * wide):
        raise AmakitError("a still picture has no cells of different widths")
    axes.margins(x=0)
    if trace.get("xgap"):
        for shade in np.unique(cells.reshape(-1, 4), axis=0):
            own = (cells == shade).all(axis=2)
            left, low = (place[own] for place in np.meshgrid(x - 0.95 * wide, y - 0.475))
            _blocks(axes, left, left + 1.9 * wide, low, low + 0.95, facecolor=shade, linewidth=0)
    else:  # an image has no use for more rows than pixels
        shown = (cells[:: -(-len(cells) // 1000)] * 255).round().astype("uint8")
        axes.imshow(
            shown,
            interpolation="none",
            aspect="auto",
            origin="lower",
            zorder=0.6,
            extent=(x[0] - wide, x[-1] + wide, y[0] - 0.5, y[-1] + 0.5),
        )
    for row, texts in zip(y, trace.get("text") or [], strict=False):
        for spot, text in zip(x, texts, strict=True):
            _say(axes, text, (spot, row), trace.get("textfont"))
    bar = trace["colorbar"] if trace.get("showscale", True) else {"tickvals": [], "ticktext": []}
    return {text: Patch(color=shaded(value)) for value, text in zip(bar["tickvals"], bar["ticktext"], strict=True)}


_DRAWN = {"bar": _bar, "scatter": _scatter, "box": _box, "heatmap": _heatmap}


def _say(axes, text, spot, font=None, coords="data", xytext=(0, 0), ha="center", va="center_baseline"):
    """Write beside a spot; the plot makes room for it."""
    font, bold = font or {}, str(text).startswith("<b>")
    for n, line in enumerate(reversed(_plain(text).split("\n")) if text else ()):  # one by one: an SVG keeps their side
        axes.annotate(
            line,
            spot,
            (xytext[0], xytext[1] + 18 * n),
            coords,
            "offset points",
            annotation_clip=False,
            ha=ha,
            va=va,
            color=_rgba(font["color"]) if "color" in font else None,
            size=font.get("size", 13),
            weight=600 if bold else 400,
        )


# -- the sheet ----------------------------------------------------------------------------------------------


def _drawn(chart):
    """Draw a chart; give matplotlib's figure and its title."""
    from matplotlib.figure import Figure

    layout, traces = chart.get("layout") or {}, [t for t in chart.get("data") or [] if t.get("visible", True) is True]
    if sum(t.get("type") == "bar" for t in traces) > 1:
        _known(["overlay", "stack"], layout.get("barmode", "group"), "mode of bars")
    margin = layout.get("margin") or {}
    height = max(layout.get("height", 450) - margin.get("t", 100) - margin.get("b", 80), 60)
    figure = Figure((_WIDTH / 72, height / 72 + 20))
    names = list(dict.fromkeys(t.get("xaxis", "x") for t in traces)) or ["x"]
    panels = dict(zip(names, figure.subplots(1, len(names), sharey=True, squeeze=False)[0], strict=True))
    upright, shown, below = layout.get("yaxis") or {}, {}, {}
    values = [*upright.get("categoryarray", []), *(v for t in traces for v in t.get("y") or [] if v is not None)]
    named = upright.get("type") == "category" or any(isinstance(v, str) for v in values)
    rows = {value: n for n, value in enumerate(dict.fromkeys(values))} if named else {}
    for n, trace in enumerate(traces):
        for odd in {"error_y", "fill", "yaxis"} & set(trace):
            _known(["y"], trace[odd], odd)
        kind, piled = trace.get("type", "scatter"), "stackgroup" in trace or layout.get("barmode") == "stack"
        x, y = _along(trace.get("x") or []), np.array([rows.get(v, v) for v in trace.get("y") or []], dtype=float)
        axes, draw = panels[trace.get("xaxis", "x")], _known(_DRAWN, kind, "trace")
        made = draw(axes, trace, x, y, f"C{n % 10}", below if piled else {})
        if kind == "heatmap":
            shown |= made
        elif trace.get("name") and trace.get("showlegend", len(traces) > 1):
            shown[trace["name"]] = made
    for name, axes in panels.items():
        own = [v for t in traces if t.get("xaxis", "x") == name for v in t.get("base") or t.get("x") or []]
        axes.autoscale_view()
        _scale(axes, "x", layout.get(f"xaxis{name[1:]}") or {}, {}, any(isinstance(v, str) for v in own))
        _scale(axes, "y", upright, rows)
        axes.label_outer()
    _around(figure, panels, layout, rows)
    title = _plain((layout.get("title") or {}).get("text") or "", 105)
    _legend(figure, title, [(_plain(name, 45), made) for name, made in shown.items()])
    figure.get_layout_engine().execute(figure)  # type: ignore[union-attr]  # the plot is as high as the chart says, whatever stands around it
    figure.set_figheight(figure.get_figheight() + (height - axes.get_window_extent().height) / 72)
    return figure, title


def _scale(axes, letter, spec, rows, dated=False):
    """Set ends, ticks and title of an axis."""
    from matplotlib import dates, ticker

    _known(["-", "linear", "date", "category"], spec.get("type", "-"), "axis")
    _known([None], spec.get("overlaying"), "axis over an axis")
    axis, note = getattr(axes, f"{letter}axis"), ""
    low, high = (-0.5, len(rows) - 0.5) if rows else getattr(axes, f"get_{letter}lim")()
    if spec.get("rangemode") == "tozero":
        low = min(low, 0) if axis.get_data_interval()[0] < 0 else 0
    if spec.get("range"):
        low, high = _along(spec["range"])
    elif spec.get("autorange") == "reversed":
        low, high = high, low
    if not spec.get("showticklabels", True):
        axis.set_ticks([])  # thousands of ticks take seconds even where they do not show
    elif "tickvals" in spec or rows:
        axis.set_ticks(spec.get("tickvals") or range(len(rows)), [_plain(t, 60) for t in spec.get("ticktext") or rows])
    elif dated:
        finder = dates.AutoDateLocator(minticks=3, maxticks=9)
        places = finder.tick_values(dates.num2date(low), dates.num2date(high))
        names = dates.ConciseDateFormatter(
            finder,
            formats=["%Y", "%Y-%m", "%m-%d", "%H:%M", "%H:%M", "%H:%M:%S"],
            zero_formats=["", "%Y", "%Y-%m-%d", "%m-%d", "%H:%M", "%H:%M"],
            offset_formats=["", "", "%Y", "%Y-%m-%d", "%Y-%m-%d", "%Y-%m-%d %H:%M"],
        )
        axis.set_ticks(places, names.format_ticks(places))
        first, last = (str(dates.num2date(v))[: len(names.get_offset())] for v in (low, high))
        note = first if first == last else f"{first} – {last}"  # what of a date the ticks leave out
    else:
        whole, step = "d" in spec.get("tickformat", ""), spec.get("dtick")
        finder = ticker.MaxNLocator(10 if letter == "x" else 5, steps=[1, 2, 5, 10], integer=whole)
        axis.set_major_locator(ticker.MultipleLocator(step) if step and abs(high - low) < 100 * step else finder)
        axis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{round(v, 9):,.10g}"))
    axes.set(**{f"{letter}lim": (low, high)})
    axes.grid(spec.get("showgrid", True), axis=letter)
    axis.set_label_text(" · ".join(filter(None, [_plain((spec.get("title") or {}).get("text") or "", 100), note])))
    axis.set_visible(spec.get("visible", True))


def _around(figure, panels, layout, rows):
    """Draw shapes and annotations."""
    for shape in layout.get("shapes") or []:
        kind, line = (shape.get("type"), shape.get("xref"), shape.get("yref")), shape.get("line") or {}
        if kind == ("rect", "x", "y domain"):
            panels["x"].axvspan(*_along([shape["x0"], shape["x1"]]), color=_rgba(shape["fillcolor"]), lw=0, zorder=0.4)
        elif kind == ("line", "x domain", "y"):
            panels["x"].axhline(shape["y0"], color=_rgba(line["color"]), linewidth=line["width"])
        else:
            raise AmakitError(f"a still picture has no shape {kind[0]!r} on {kind[1]!r} and {kind[2]!r}")
    for note in layout.get("annotations") or []:
        _known([False], note.get("showarrow", True), "arrow")
        refs, x, y = (note.get("xref", "x"), note.get("yref", "y")), note["x"], note["y"]
        if (*refs, x, y) == ("paper", "paper", 0, 0):  # what stands under the plot has the whole width
            figure.supxlabel(_plain(note["text"]), x=12 / _WIDTH, ha="left", size=12, linespacing=1.4)
            continue
        coords = tuple("axes fraction" if ref == "paper" or ref.endswith("domain") else "data" for ref in refs)
        above, axes = note.get("yanchor") == "bottom", panels.get(refs[0].split()[0], panels["x"])
        _say(
            axes,
            note["text"],
            (_along([x])[0], rows.get(y, y)),
            note.get("font"),
            coords,
            (note.get("xshift", 0), 4 * above),
            note.get("xanchor", "center"),
            "bottom" if above else "center_baseline",
        )


def _legend(figure, title, shown):
    """Write the title, and under it what the marks mean, in as few rows as fit."""
    for columns in range(min(len(shown), 12) or 1, 0, -1):
        order = [shown[k] for first in range(columns) for k in range(first, len(shown), columns)]
        made = figure.legend(
            [mark for _, mark in order],
            [name for name, _ in order],
            loc="outside upper left",
            ncols=columns,
            title=title or None,
            alignment="left",
            title_fontproperties={"size": 16, "weight": 600},
        )
        if made.get_window_extent().width <= _WIDTH - 10 or columns == 1:
            break
        made.remove()


# -- what matplotlib gives ----------------------------------------------------------------------------------


def _inline(svg, prefix, title):
    """Make of matplotlib's SVG a part of an HTML page."""
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        parent.tag = parent.tag.partition("}")[2]
        parent.attrib = {key.partition("}")[2] or key: value for key, value in parent.attrib.items()}
        parent.tail, parent.text = None, parent.text if parent.tag == "text" else None
        for child in [c for c in parent if c.tag.endswith(("metadata", "style"))]:
            parent.remove(child)  # a style would hold for the whole page
    everything = "\n".join(value for part in root.iter() for value in part.attrib.values())
    used = set(re.findall(r"(?:url\(|^)#([\w-]+)", everything, flags=re.M))
    for part in root.iter():
        if part.get("id") not in used:
            part.attrib.pop("id", None)
        if part.get("transform", "").startswith("rotate(-0 "):
            del part.attrib["transform"]
        part.attrib = {key: _tidy(key, value, prefix) for key, value in part.attrib.items()}
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "width": "100%",
        "role": "img",
        "stroke-linejoin": "round",
        "font-family": "system-ui, sans-serif",
    }
    root.insert(0, ElementTree.Element("title"))
    root[0].text = title
    return ElementTree.tostring(root, encoding="utf-8")


def _tidy(key, value, prefix):
    if key == "id":
        return f"{prefix}-{value}"
    if key == "href":
        return re.sub("^#", f"#{prefix}-", value)
    if key in ("d", "x", "y", "transform") and "matrix" not in value:
        return re.sub(r"\d+\.\d{3,}", lambda n: f"{float(n[0]):.2f}".rstrip("0").rstrip("."), value).strip()
    value = re.sub(r"font-family: [^;]*;? ?", "", value) if key == "style" else value
    return value.replace("url(#", f"url(#{prefix}-").replace(_INK["svg"], "currentColor")


def _small(file):
    """Write a PNG with a palette, which is a third as large."""
    from PIL import Image

    out = io.BytesIO()
    Image.open(file).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(out, format="png", optimize=True)
    return out.getvalue()
