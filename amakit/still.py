"""Still pictures: charts as SVG and PNG without a browser, from plotly's own description of a figure.

The page of a report shows them where no script runs; the printed and the Markdown form have no other.  The only
door to matplotlib, which is loaded when a picture is asked for.
"""

import base64
import contextlib
import html
import io
import logging
import re
import unicodedata
import warnings
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from amakit.errors import AmakitError, UsageError

FORMS = ("svg", "png")
_WIDTH, _EDGE = 1100, 12
_INK = {"svg": "#010203", "png": "#333333"}  #: in an SVG a mark, which gives way to the colour of the text around
_GRID = "rgba(128,128,128,0.25)"
_FONTS = ["Noto Sans CJK JP", "Yu Gothic", "Hiragino Sans", "Meiryo", "IPAexGothic", "DejaVu Sans"]
_HATCHES = {"": None, "/": "//", "\\": "\\\\", "x": "xx", "-": "--", "|": "||", "+": "++", ".": "."}
_SYMBOLS = {
    "circle": ("o", 1), "square": ("s", 0.9), "diamond": ("D", 0.9), "cross": ("P", 1), "x": ("X", 1),
    "star": ("*", 1.2),
    "triangle-up": ("^", 1), "triangle-down": ("v", 1), "triangle-left": ("<", 1), "triangle-right": (">", 1),
    "line-ns": ("|", 1.4), "line-ew": ("_", 1.4), "cross-thin": ("+", 1), "x-thin": ("x", 1), "hexagon": ("h", 1),
    "pentagon": ("p", 1),
}  # fmt: skip
_DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
#: More marks than this in one trace are drawn as an image in an SVG too.
_MOST_MARKS = 1500
_MOST_CELLS = 2500
_DAY = 86_400_000
_METADATA = {"svg": ["Date", "Creator", "Format", "Type"], "png": ["Software"]}


def picture(chart, form="svg", prefix="still"):
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

        with matplotlib.rc_context(_settings(matplotlib)):
            sheet = _Sheet(_decoded(chart), _INK[form])
            sheet.figure.patch.set_visible(form == "png")
            sheet.figure.savefig(file, format=form, dpi=144, metadata=dict.fromkeys(_METADATA[form]))
    return _inline(file.getvalue(), prefix, sheet.title) if form == "svg" else _small(file)


@contextlib.contextmanager
def _quiet():
    """Keep to itself what matplotlib says of fonts that a machine does not have."""
    log = logging.getLogger("matplotlib")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _settings(matplotlib):
    """Give matplotlib's own settings, whatever the user's are, with those of the kit."""
    from matplotlib.font_manager import get_font_names

    known = set(get_font_names())
    return {name: value for name, value in matplotlib.rcParamsDefault.items() if "backend" not in name} | {
        "svg.fonttype": "none", "svg.hashsalt": "amakit", "text.parse_math": False, "hatch.linewidth": 1,
        "font.family": [name for name in _FONTS if name in known],
    }  # fmt: skip


# -- what plotly says ---------------------------------------------------------------------------------------


def _decoded(value):
    """Turn plotly's base64 arrays into lists, wherever they are."""
    if isinstance(value, dict) and "bdata" in value:
        flat = np.frombuffer(base64.b64decode(value["bdata"]), np.dtype(value["dtype"]).newbyteorder("<"))
        shape = str(value.get("shape", len(flat))).strip("()[]").split(",")
        return flat.reshape([int(n) for n in shape]).tolist()
    if isinstance(value, dict):
        return {key: _decoded(part) for key, part in value.items()}
    return [_decoded(part) for part in value] if isinstance(value, (list, tuple)) else value


def _plain(text):
    """Turn plotly's little HTML into text, without what steers a reader's eye or a terminal."""
    text = re.sub(r"<br\s*/?>", "\n", str(text))
    text = html.unescape(re.sub(r"</?(?:b|i|em|strong|s|u|su[bp]|span|a)(?:\s[^<>]*)?>", "", text))
    return "".join(c if c == "\n" or c.isprintable() else " " * c.isspace() for c in text)


def _wide(text, size):
    """Estimate how wide a line is in any font that a browser may take."""
    return size * sum(1.0 if unicodedata.east_asian_width(c) in "WF" else 0.56 for c in text)


def _cut(text, width, size=13):
    """Make one line of a text, no wider than that."""
    line, used = "", 0
    for c in text.replace("\n", " ")[:500]:
        used += _wide(c, size)
        if used > width:
            return line[:-1] + "…"
        line += c
    return line


def _known(table, key, what):
    if key not in table:
        raise AmakitError(f"a still picture has no {what} {key!r}; it has {', '.join(map(repr, table))}")
    return table[key]


def _rgba(css, opacity=1.0):
    """Read a colour as plotly writes it."""
    from matplotlib.colors import to_rgba

    called = re.fullmatch(r"rgba?\(([^()]+)\)", str(css).replace(" ", ""))
    try:
        red, green, blue, *alpha = map(float, called[1].split(",")) if called else to_rgba(css)
    except ValueError:
        raise AmakitError(f"a still picture has no colour {css!r}; write '#RRGGBB' or 'rgba(r, g, b, a)'") from None
    full = 255 if called else 1
    return red / full, green / full, blue / full, (alpha or [1])[0] * (1 if opacity is None else opacity)


def _mixed(under, over, share):
    return *((1 - share) * u + share * o for u, o in zip(under[:3], over[:3], strict=True)), under[3]


def _each(value, count):
    """Give one value for each mark, whether the chart has one for all or a list."""
    return (value + [None] * count)[:count] if isinstance(value, list) else [value] * count


def _groups(keys):
    """Give the places of each key, so that all marks of one look become one element."""
    places = {}
    for n, key in enumerate(keys):
        places.setdefault(key, []).append(n)
    return places.items()


def _title(spec):
    title = spec.get("title") or ""
    return _plain((title.get("text") or "") if isinstance(title, dict) else title)


class _Axis:
    """An axis: from values of a chart to numbers of matplotlib, and to ticks."""

    def __init__(self, name, spec, values):
        self.name, self.spec = name, spec
        values = [v for v in values if v is not None and v == v]
        kind = _kind(values) if spec.get("type", "-") == "-" else spec["type"]
        self.kind = _known({k: k for k in ("linear", "date", "category")}, kind, "axis")
        named = [*spec.get("categoryarray", []), *values] if self.kind == "category" else []
        self.order = {value: n for n, value in enumerate(dict.fromkeys(named))}

    def place(self, values):
        if self.kind == "category":
            at = [self.order.get(v, v if isinstance(v, (int, float)) else None) for v in values]
            return np.array(at, dtype=float)
        if self.kind == "linear":
            return pd.to_numeric(pd.Series(values, dtype=object), errors="coerce").to_numpy(dtype=float)
        from matplotlib.dates import date2num

        if all(isinstance(v, (int, float)) for v in values):
            return self.length(values) + date2num(np.datetime64(0, "s"))
        times = pd.to_datetime(pd.Series(values, dtype=object), format="ISO8601", utc=True, errors="coerce")
        return date2num(times.dt.tz_localize(None).to_numpy())

    def length(self, values):
        """Turn lengths along the axis; those of time are in milliseconds."""
        return np.array(values, dtype=float) / (_DAY if self.kind == "date" else 1)

    def bounds(self, extent, tight, zero):
        """Give both ends: those that the chart sets, or what the marks need and some room."""
        if self.spec.get("range"):
            given = self.spec["range"]
            return tuple(map(float, given)) if self.kind == "category" else tuple(self.place(given))
        low, high = extent if np.isfinite(extent).all() else (0.0, 1.0)
        if self.kind == "category":
            low, high = -0.5, max(len(self.order), 1) - 0.5
        elif not tight:
            low = min(low, 0.0) if zero or self.spec.get("rangemode") == "tozero" else low
            room = (high - low or 1) * 0.05
            low, high = low - (room if low else 0), high + room
        return (high, low) if self.spec.get("autorange") == "reversed" else (low, high + (low == high))

    def ticks(self, ends, pixels):
        """Give places and labels of the ticks, and what of a date they leave out."""
        from matplotlib import dates, ticker

        low, high = sorted(ends)
        spec, note = self.spec, ""
        if spec.get("visible") is False or not (spec.get("showticklabels", True) or spec.get("showgrid", True)):
            return [], [], ""
        if "tickvals" in spec:
            places = self.place(spec["tickvals"])
            labels = [_plain(t) for t in spec.get("ticktext", spec["tickvals"])]
        elif self.kind == "category":
            places, labels = np.arange(len(self.order)), [_plain(v) for v in self.order]
        elif self.kind == "date":
            locator = dates.AutoDateLocator(minticks=3, maxticks=max(4, pixels // 90))
            places = locator.tick_values(dates.num2date(low), dates.num2date(high))
            names = dates.ConciseDateFormatter(
                locator, formats=["%Y", "%Y-%m", "%m-%d", "%H:%M", "%H:%M", "%H:%M:%S"],
                zero_formats=["", "%Y", "%Y-%m-%d", "%m-%d", "%H:%M", "%H:%M"],
                offset_formats=["", "", "%Y", "%Y-%m-%d", "%Y-%m-%d", "%Y-%m-%d %H:%M"], show_offset=True,
            )  # fmt: skip
            labels = names.format_ticks(places)
            first, last = (str(dates.num2date(v))[: len(names.get_offset())] for v in (low, high))
            note = first if first == last else f"{first} – {last}"
        else:
            step, whole = spec.get("dtick"), "d" in spec.get("tickformat", "")
            finder = ticker.MaxNLocator(int(np.clip(pixels // 60, 2, 10)), steps=[1, 2, 5, 10], integer=whole)
            if isinstance(step, (int, float)) and step > 0 and (high - low) / step < 100:
                finder = ticker.MultipleLocator(step)
            places = finder.tick_values(low, high)
            labels = [f"{round(v, 9):,.10g}" for v in places]
        inside = [(p, t) for p, t in zip(places, labels, strict=False) if low - 1e-9 <= p <= high + 1e-9]
        return [p for p, _ in inside], [t for _, t in inside], note


def _kind(values):
    """Tell what an axis is from what lies on it, as plotly does."""
    if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
        return "linear"
    texts = [str(v) for v in values]
    if all(re.match(r"\d{4}-\d\d-\d\d", t) for t in texts):
        return "date"
    return "linear" if all(re.fullmatch(r"-?\d+(\.\d+)?", t) for t in texts) else "category"


# -- marks --------------------------------------------------------------------------------------------------


class _Panel:
    """The space between one x and one y axis, with what is piled up in it."""

    def __init__(self, axes, x, y, layout, traces):
        self.axes, self.x, self.y, self.layout = axes, x, y, layout
        self.bars = [t for t in traces if t.get("type") == "bar"]
        self.piles = {}
        axes.patch.set_visible(False)
        axes.spines[:].set_visible(False)
        axes.set_axisbelow(True)
        axes.tick_params(length=0, labelbottom=False, labelleft=False)

    def pile(self, group, spots, sizes):
        """Set marks on top of those that are there already, upward and downward apart."""
        below = []
        for spot, size in zip(spots, sizes, strict=True):
            key = (group, spot, size < 0)
            below.append(self.piles.get(key, 0.0))
            self.piles[key] = below[-1] + (0 if np.isnan(size) else size)
        return np.array(below)


def _shape(axes, vertices, colour, pattern=(None, None, 0), edge=(0, "none"), **more):
    """Draw polygons, an array of corners each, as one element."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    vertices = [np.vstack([corners, corners[:1]]) for corners in vertices if np.isfinite(corners).all()]
    if not vertices:
        return
    codes = [code for corners in vertices for code in [1] + [2] * (len(corners) - 2) + [79]]
    sign, ink, share = pattern
    width, line = edge
    hatch = _known(_HATCHES, sign or "", "pattern")
    if hatch:  # matplotlib draws a hatch in the colour of the edge
        width, line = 0, _mixed(colour, _rgba(ink or "white"), 1 if share is None else share)
    axes.add_patch(PathPatch(Path(np.vstack(vertices), codes), facecolor=colour, edgecolor=line, linewidth=width,
                             hatch=hatch, rasterized=len(codes) > 5 * _MOST_MARKS, **more))  # fmt: skip


def _rectangles(x0, x1, y0, y1):
    return np.stack([np.stack(corner, axis=-1) for corner in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))], axis=-2)


def _pattern(spec):
    spec = spec or {}
    return spec.get("shape"), spec.get("fgcolor"), spec.get("fgopacity")


def _bar(panel, trace, colour):
    flat = trace.get("orientation") == "h"
    along, across = (panel.x, panel.y) if flat else (panel.y, panel.x)
    lengths, spots = (trace.get("x") or [], trace.get("y") or [])[:: 1 if flat else -1]
    count, base = min(len(lengths), len(spots)), trace.get("base")
    sizes, spots = along.length(lengths[:count]), across.place(spots[:count])
    mode, own = panel.layout.get("barmode", "group"), _each(trace.get("width"), count)
    apart = np.diff(np.unique(spots[np.isfinite(spots)]))
    gap = 1 if across.kind == "category" else min(apart, default=1)
    usual = gap * (1 - panel.layout.get("bargap", 0.2))
    if mode == "group":
        usual /= max(len(panel.bars), 1)
        spots = spots + usual * (next(n for n, t in enumerate(panel.bars) if t is trace) - (len(panel.bars) - 1) / 2)
    half = np.array([usual if w is None else across.length(w) for w in own]) / 2
    if base is not None:
        start = along.place(_each(base, count))
    else:
        start = panel.pile("bar", spots, sizes) if mode in ("stack", "relative") else np.zeros(count)
    corners = _rectangles(start, start + sizes, spots - half, spots + half)
    marker = trace.get("marker") or {}
    pattern, line = marker.get("pattern") or {}, marker.get("line") or {}
    looks = [_each(v, count) for v in (marker.get("color"), marker.get("opacity"), pattern.get("shape"),
                                       pattern.get("fgcolor"), line.get("width"), line.get("color"))]  # fmt: skip
    for (paint, opacity, sign, ink, width, edge), places in _groups(zip(*looks, strict=True)):
        opacity = opacity if opacity is not None else trace.get("opacity")
        _shape(panel.axes, corners[places] if flat else corners[places][..., ::-1], _rgba(paint or colour, opacity),
               (sign, ink, pattern.get("fgopacity")), (width or 0, _rgba(edge or "white")))  # fmt: skip
    inside = trace.get("textposition") == "inside"
    for n, text in enumerate(_each(trace.get("text"), count)):
        if text not in (None, "") and trace.get("textposition") != "none":
            at, sign = (start[n] + sizes[n] / 2 if inside else start[n] + sizes[n]), -1 if sizes[n] < 0 else 1
            spot = (at, spots[n]) if flat else (spots[n], at)
            shift = (0, 0) if inside else (5 * sign, 0) if flat else (0, 10 * sign)
            yield spot, text, shift, "center" if inside or not flat else ("left", "right")[sign < 0], trace


def _scatter(panel, trace, colour):
    ys = trace.get("y") or []
    xs = trace.get("x") or list(range(len(ys)))
    count = min(len(xs), len(ys))
    x, y = panel.x.place(xs[:count]), panel.y.place(ys[:count])
    line, stack = trace.get("line") or {}, trace.get("stackgroup")
    stepped = line.get("shape") == "hv"
    if stack is not None:
        low = panel.pile(stack, xs[:count], y)
        y = low + np.nan_to_num(y)
        _area(panel.axes, x, low, y, stepped, _rgba(trace.get("fillcolor") or line.get("color") or colour),
              _pattern(trace.get("fillpattern")))  # fmt: skip
    mode = trace.get("mode") or ("lines" if stack is not None or count > 20 else "lines+markers")
    clip = trace.get("cliponaxis", True)
    if "lines" in mode and stack is None:
        dash = _known(_DASHES, line.get("dash", "solid"), "dash")
        panel.axes.plot(x, y, dash, color=_rgba(line.get("color") or colour, trace.get("opacity")),
                        linewidth=line.get("width", 2), drawstyle="steps-post" if stepped else "default",
                        rasterized=count > 10 * _MOST_MARKS, clip_on=clip)  # fmt: skip
    for letter in "xy":
        error = trace.get(f"error_{letter}")
        if error and error.get("visible", True):
            low = "array" if error.get("symmetric", True) else "arrayminus"
            axis, thick = panel.x if letter == "x" else panel.y, error.get("thickness", 2)
            lengths = [axis.length(error[side])[:count].clip(0) for side in (low, "array")]
            panel.axes.errorbar(x, y, ls="none", ecolor=_rgba(error.get("color") or colour), elinewidth=thick,
                                capthick=thick, capsize=error.get("width", 4), **{f"{letter}err": lengths})  # fmt: skip
    if "markers" in mode:
        _marks(panel.axes, x, y, trace, colour, clip_on=clip, rasterized=count > _MOST_MARKS)
    if "text" in mode:
        vertical, side = (trace.get("textposition") or "middle center").split()
        beside, over = {"left": -7, "center": 0, "right": 7}[side], {"top": 12, "middle": 0, "bottom": -12}[vertical]
        anchor = {"left": "right", "center": "center", "right": "left"}[side]
        for n, text in enumerate(_each(trace.get("text"), count)):
            if text:
                yield (x[n], y[n]), text, (beside, over), anchor, trace


def _area(axes, x, low, high, stepped, colour, pattern):
    keep = np.ones(len(x), dtype=bool)
    if stepped and len(x) > 2:  # where nothing changes there is no corner
        same = (np.diff(low) == 0) & (np.diff(high) == 0)
        keep[1:-1] = ~same[:-1]
    x, low, high = x[keep], low[keep], high[keep]
    if stepped:
        x, low, high = np.repeat(x, 2)[1:], np.repeat(low, 2)[:-1], np.repeat(high, 2)[:-1]
    corners = np.concatenate([np.stack([x, high], axis=-1), np.stack([x, low], axis=-1)[::-1]])
    _shape(axes, [corners] if len(x) else [], colour, pattern)


def _marks(axes, x, y, trace, colour, **more):
    marker = trace.get("marker") or {}
    line = marker.get("line") or {}
    looks = [_each(v, len(x)) for v in (marker.get("symbol"), marker.get("size"), marker.get("color"),
                                        marker.get("opacity"), line.get("width"), line.get("color"))]  # fmt: skip
    for (symbol, size, paint, opacity, width, edge), places in _groups(zip(*looks, strict=True)):
        name = str(symbol or "circle").removesuffix("-open")
        sign, scale = _known(_SYMBOLS, name, "symbol")
        paint = _rgba(paint or colour, opacity if opacity is not None else trace.get("opacity"))
        hollow, thin = str(symbol).endswith("-open"), sign in ("|", "_", "+", "x")
        edge = paint if hollow or (edge is None and (thin or not width)) else _rgba(edge or "#444")
        axes.plot(x[places], y[places], sign, markersize=(size or 6) * scale, color=paint, markeredgecolor=edge,
                  markerfacecolor="none" if hollow else paint,
                  markeredgewidth=width or (1.5 if hollow or thin else 0), **more)  # fmt: skip


def _box(panel, trace, colour):
    flat = trace.get("orientation") == "h"
    if "q1" not in trace:
        raise AmakitError("a still picture has a 'box' from its quartiles only; give q1, median and q3")
    across = panel.y if flat else panel.x
    low, q1, middle, q3, high = (
        np.array(trace.get(name) or trace[other], dtype=float)
        for name, other in (("lowerfence", "q1"), ("q1", ""), ("median", ""), ("q3", ""), ("upperfence", "q3"))
    )
    at = across.place(trace.get("y" if flat else "x") or [trace.get("name")] * len(q1))
    line = trace.get("line") or {}
    edge, width = _rgba(line.get("color") or colour), line.get("width", 2)
    body = _rectangles(q1, q3, at - 0.3, at + 0.3)
    _shape(panel.axes, body if flat else body[..., ::-1], _rgba(trace.get("fillcolor") or colour),
           edge=(width, edge))  # fmt: skip
    for x0, x1, y0, y1 in ((low, q1, at, at), (q3, high, at, at), (low, low, at - 0.15, at + 0.15),
                           (high, high, at - 0.15, at + 0.15), (middle, middle, at - 0.3, at + 0.3)):  # fmt: skip
        ends = ([x0, x1], [y0, y1])[:: 1 if flat else -1]
        panel.axes.plot(*ends, color=edge, linewidth=width, solid_capstyle="butt")
    yield from ()


def _heatmap(panel, trace, colour):
    z = np.array([[np.nan if v is None else v for v in row] for row in trace["z"]], dtype=float)
    if not z.size:
        return
    xs, ys = trace.get("x") or list(range(z.shape[1])), trace.get("y") or list(range(z.shape[0]))
    x, y = panel.x.place(xs), panel.y.place(ys)
    step = -(-z.shape[0] // 1000) if z.size > _MOST_CELLS else 1  # an image has no use for more rows than pixels
    cells = _shades({"zmin": np.nanmin(z), "zmax": np.nanmax(z)} | trace, z[::step])
    (left, right), (low, high) = _edges(x), _edges(y)
    if z.size > _MOST_CELLS:
        panel.axes.imshow((cells * 255).round().astype("uint8"), interpolation="none", aspect="auto",
                          zorder=0.6, origin="lower", extent=(left[0], right[-1], low[0], high[-1]))  # fmt: skip
    else:
        across, down = (n.ravel() for n in np.meshgrid(np.arange(len(x)), np.arange(len(y))))
        box = _rectangles(left[across], right[across], low[down], high[down])
        middle, share = box.mean(axis=1, keepdims=True), np.where([trace.get("xgap"), trace.get("ygap")], 0.95, 1)
        for shade, places in _groups(map(tuple, cells.reshape(-1, 4))):
            _shape(panel.axes, (middle + (box - middle) * share)[places], shade)
    template = trace.get("texttemplate") or ""
    for row, texts in enumerate(trace.get("text") or []) if template else ():
        for column, text in enumerate(texts):
            if text not in (None, ""):
                said = template.replace("%{text}", str(text)).replace("%{z}", f"{z[row, column]:g}")
                yield (x[column], y[row]), said, (0, 0), "center", trace


def _edges(places):
    """Give where the cells around these places begin and end."""
    between = (places[1:] + places[:-1]) / 2
    first, last = (places[0] - 0.5, places[0] + 0.5) if len(places) == 1 else (
        places[0] - (between[0] - places[0]), places[-1] + (places[-1] - between[-1]))  # fmt: skip
    return np.array([first, *between]), np.array([*between, last])


def _shades(trace, z):
    """Give each number its colour on the scale of a heatmap, as four shares."""
    scale = trace.get("colorscale") or [[0, "#EAF3FA"], [1, "#0072B2"]]
    if not isinstance(scale, list):
        raise AmakitError(f"a still picture has no colour scale {scale!r}; give a list of steps")
    low, high = trace["zmin"], trace["zmax"]
    share = ((z - low) / ((high - low) or 1)).clip(0, 1)
    stops, shades = [stop for stop, _ in scale], np.array([_rgba(shade) for _, shade in scale])
    cells = np.stack([np.interp(share, stops, shades[:, n]) for n in range(4)], axis=-1)
    cells[np.isnan(share)] = 0
    return cells


_DRAWN = {"bar": _bar, "scatter": _scatter, "scattergl": _scatter, "box": _box, "heatmap": _heatmap}


# -- the sheet ----------------------------------------------------------------------------------------------


class _Sheet:
    """A figure laid out in pixels, and each line of text placed by itself: browsers have other fonts."""

    def __init__(self, chart, ink):
        from matplotlib.figure import Figure

        self.layout, self.ink = chart.get("layout") or {}, _rgba(ink)
        self.traces = [t for t in chart.get("data") or [] if t.get("visible", True) is True]
        self.title = _cut(_title(self.layout), _WIDTH - 2 * _EDGE, 17.5)
        self.figure = Figure(figsize=(_WIDTH / 72, 1), dpi=72)
        self.page = self.figure.add_axes((0, 0, 1, 1), zorder=9, label="page", xlim=(0, _WIDTH), facecolor="none")
        self.page.axis("off")
        self._panels()
        said = [(panel, *text) for panel, trace, n in self._drawn() for text in
                _DRAWN[trace.get("type", "scatter")](panel, trace, f"C{n % 10}")]  # fmt: skip
        self._ends()
        self._place()
        for panel, spot, text, shift, anchor, trace in said:
            self._say(panel, spot, text, shift, anchor, trace.get("textfont") or {})
        self._around()

    def _spec(self, name):
        return self.layout.get(f"{name[0]}axis{name[1:]}") or {}

    def _panels(self):
        pairs = {}
        for trace in self.traces:
            _known(_DRAWN, trace.get("type", "scatter"), "trace")
            pairs.setdefault((trace.get("xaxis", "x"), trace.get("yaxis", "y")), []).append(trace)
        pairs = pairs or {("x", "y"): []}
        values = {}
        for (x, y), traces in pairs.items():
            for name, trace in ((name, trace) for name in (x, y) for trace in traces):
                along = trace.get("type") == "bar" and (name[0] == "x") == (trace.get("orientation") == "h")
                key = "base" if along and "base" in trace else name[0]
                if trace.get("type") == "box" and not trace.get(key):  # its numbers, or the name of the one box
                    own = (name[0] == "x") == (trace.get("orientation") == "h")
                    key = "q1" if own else "name"
                found = trace.get(key)
                values.setdefault(name, []).extend(found if isinstance(found, list) else [found])
        self.axes = {n: _Axis(n, self._spec(n), values.get(n, [])) for pair in pairs for n in pair}
        self.panels = {
            (x, y): _Panel(self.figure.add_axes((0, 0, 1, 1), label=x + y), self.axes[x], self.axes[y], self.layout,
                           traces) for (x, y), traces in pairs.items()
        }  # fmt: skip

    def _drawn(self):
        for n, trace in enumerate(self.traces):
            yield self.panels[trace.get("xaxis", "x"), trace.get("yaxis", "y")], trace, n

    def _ends(self):
        """Set the ends of each axis from all that is drawn along it."""
        self.ends = {}
        for name, axis in self.axes.items():
            letter, own = name[0], [(p, t) for p, t, _ in self._drawn() if axis in (p.x, p.y)]
            limits = [getattr(p.axes.dataLim, f"interval{letter}") for p, _ in own]
            extent = np.array(limits or [(np.inf, -np.inf)])
            extent = np.array([extent[:, 0].min(), extent[:, 1].max()])
            wide = [t.get("type") == "heatmap" or (letter == "x" and ("stackgroup" in t or t.get("mode") == "lines"))
                    for _, t in own]  # fmt: skip
            bars = any((t.get("type") == "bar" and "base" not in t and (t.get("orientation") == "h") == (letter == "x"))
                       or ("stackgroup" in t and letter == "y") for _, t in own)  # fmt: skip
            self.ends[name] = axis.bounds(extent, all(wide), bars)
        for panel in self.panels.values():
            panel.axes.set(xlim=self.ends[panel.x.name], ylim=self.ends[panel.y.name])

    def _place(self):
        """Measure what stands around the plot, give it room, and draw axes and title."""
        margin = {"t": 100, "b": 80} | (self.layout.get("margin") or {})
        height = max(self.layout.get("height", 450) - margin["t"] - margin["b"], 60)
        notes = self.layout.get("annotations") or []
        above = [_plain(n["text"]).count("\n") + 1 for n in notes if (n.get("yref"), n.get("y")) == ("paper", 1)]
        beside = [_lines_wide(n) + n.get("xshift", 0) for n in notes
                  if (n.get("xref"), n.get("xanchor"), n.get("x")) == ("paper", "left", 1)]  # fmt: skip
        self.scales = [t for t in self.traces if t.get("type") == "heatmap" and t.get("showscale", True)]
        scales = [(s.get("colorbar") or {}).get("ticktext", ["0" * 6]) for s in self.scales]
        names = [_wide(_plain(text), 12) + 40 for texts in scales for text in texts]
        ticks = {n: a.ticks(self.ends[n], height * self._share(n) if n[0] == "y" else 850 * self._share(n))
                 for n, a in self.axes.items()}  # fmt: skip
        sides = [n for n in self.axes if n[0] == "y" and self._spec(n).get("showticklabels", True)]
        labels = max((min(_wide(t, 13), 460) + 8 for n in sides for t in ticks[n][1]), default=0)
        self.left = _EDGE + labels + 24 * any(_title(self._spec(n)) != "" for n in self.axes if n[0] == "y")
        self.right = _WIDTH - _EDGE - min(max([16, *beside, *names]), 320)
        self.low = max(margin["b"], 50)
        self.high = self.low + height
        rows = self._legend()
        full = self.high + 10 + 17 * max(above, default=0) + 23 * len(rows) + (38 if self.title else 8)
        self.figure.set_size_inches(_WIDTH / 72, full / 72)
        self.page.set_ylim(0, full)
        if self.title:
            self.write(_EDGE, full - 26, self.title, size=16, weight=600)
        for n, row in enumerate(rows):
            for x, name, trace, colour in row:
                self._swatch(x, full - 38 - 23 * n - 13, trace, colour)
                self.write(x + 22, full - 38 - 23 * n - 18, name)
        for (x, y), panel in self.panels.items():
            self._axis(panel, ticks, x, y)

    def _share(self, name):
        low, high = self._spec(name).get("domain") or (0, 1)
        return high - low

    def _axis(self, panel, ticks, x, y):
        spec, other = self._spec(x), self._spec(y)
        across, up = spec.get("domain") or (0, 1), other.get("domain") or (0, 1)
        left, right = (self.left + share * (self.right - self.left) for share in across)
        low, high = (self.low + share * (self.high - self.low) for share in up)
        full = self.page.get_ylim()[1]
        panel.axes.set_position((left / _WIDTH, low / full, (right - left) / _WIDTH, (high - low) / full))
        panel.frame = (left, right, low, high)
        for letter, s in (("x", spec), ("y", other)):
            gridded = s.get("showgrid", True) and s.get("visible", True)
            getattr(panel.axes, f"set_{letter}ticks")(ticks[x if letter == "x" else y][0] if gridded else [])
            panel.axes.grid(gridded, axis=letter, color=_rgba(s.get("gridcolor") or _GRID), linewidth=1)
        if spec.get("visible", True) and spec.get("anchor", "y") in (y, "free"):
            places, labels, note = ticks[x]
            middle, end = (left + right) / 2, -np.inf
            room = (right - left) / max(len(labels), 1) - 4 if panel.x.kind == "category" else 200
            for place, label in sorted(zip(places, labels, strict=True), key=lambda tick: self.at(panel, tick[0], "x")):
                spot, label = self.at(panel, place, "x"), _cut(label, max(room, 40))
                if spot - _wide(label, 13) / 2 > end + 4 and spec.get("showticklabels", True):
                    self.write(spot, low - 17, label, anchor="center")
                    end = spot + _wide(label, 13) / 2
            title = " · ".join(filter(None, [_title(spec), note]))
            self.write(middle, low - 40, _cut(title, right - left), anchor="center")
        if other.get("visible", True) and other.get("anchor", "x") in (x, "free"):
            end = -np.inf
            for place, label in sorted(zip(*ticks[y][:2], strict=True), key=lambda tick: self.at(panel, tick[0], "y")):
                spot = self.at(panel, place, "y")
                if spot > end + 12.5 and other.get("showticklabels", True):
                    self.write(left - 8, spot - 4.5, _cut(label, 460), anchor="right")
                    end = spot
            self.write(_EDGE + 12, (low + high) / 2, _cut(_title(other), high - low), anchor="center", rotation=90)

    def at(self, panel, place, letter):
        """Give the pixel of a place on an axis."""
        begin, end = self.ends[(panel.x if letter == "x" else panel.y).name]
        first, last = panel.frame[:2] if letter == "x" else panel.frame[2:]
        return first + (place - begin) / ((end - begin) or 1) * (last - first)

    def panel(self, name):
        """Give the panel to which an axis belongs, the first where it belongs to none."""
        panels = list(self.panels.values())
        return next((p for p in panels if name in (p.x.name, p.y.name)), panels[0])

    def where(self, ref, value, letter):
        """Give the pixel of a value that a shape or an annotation names: on the paper, a domain or an axis."""
        name, _, domain = ref.partition(" ")
        panel, side = self.panel(name), slice(0, 2) if letter == "x" else slice(2, 4)
        if ref != "paper" and not domain:
            return self.at(panel, (panel.x if letter == "x" else panel.y).place([value])[0], letter)
        first, last = (panel.frame if domain else (self.left, self.right, self.low, self.high))[side]
        return first + value * (last - first)

    def write(self, x, y, text, anchor="left", size=13, weight=400, colour=None, rotation=0):
        """Write one line; y is that of its foot."""
        if text.strip() and np.isfinite([x, y]).all():
            self.page.text(x, y, text, ha=anchor, va="baseline", size=size, weight=weight, rotation=rotation,
                           color=colour or self.ink, rotation_mode="anchor")  # fmt: skip

    def _say(self, panel, spot, text, shift, anchor, font):
        weight = 700 if str(text).startswith("<b>") else 400
        x, y = self.at(panel, spot[0], "x") + shift[0], self.at(panel, spot[1], "y") + shift[1]
        colour, size = font.get("color"), font.get("size", 13)
        colour = _rgba(colour) if isinstance(colour, str) else None
        room = min(300, _WIDTH - x - 2) if anchor == "left" else 300
        self.write(x, y - size * 0.35, _cut(_plain(text), room, size), anchor, size, weight, colour)

    def _legend(self):
        """Fill rows with those traces that have a place in the legend."""
        rows, x = [[]], _EDGE
        listed = [(t, n) for n, t in enumerate(self.traces)
                  if t.get("name") and t.get("showlegend", t.get("type") != "heatmap")]  # fmt: skip
        if self.layout.get("showlegend") is False or (len(self.traces) == 1 and not self.traces[0].get("showlegend")):
            listed = []
        seen = set()
        for trace, n in listed:
            name = _cut(_plain(trace["name"]), 300)
            group = (trace.get("legendgroup"), name)
            if group in seen and group[0]:
                continue
            seen.add(group)
            width = 22 + _wide(name, 13) + 18
            if x + width > _WIDTH - _EDGE and rows[-1]:
                rows.append([])
                x = _EDGE
            rows[-1].append((x, name, trace, f"C{n % 10}"))
            x += width
        return [row for row in rows if row]

    def _swatch(self, x, y, trace, colour):
        marker, line = trace.get("marker") or {}, trace.get("line") or {}
        first = {k: v[0] if isinstance(v, list) and v else v for k, v in marker.items()}
        square = _rectangles(*np.array([[x], [x + 15], [y - 7], [y + 7]], dtype=float))
        if trace.get("type") == "bar":
            _shape(self.page, square, _rgba(first.get("color") or colour), _pattern(first.get("pattern")))
        elif trace.get("type") == "box":
            edge = (line.get("width", 2), _rgba(line.get("color") or colour))
            _shape(self.page, square, _rgba(trace.get("fillcolor") or colour), edge=edge)
        elif "stackgroup" in trace:
            shade = _rgba(trace.get("fillcolor") or line.get("color") or colour)
            _shape(self.page, square, shade, _pattern(trace.get("fillpattern")))
        elif "markers" in (trace.get("mode") or "lines"):
            _marks(self.page, np.array([x + 7.5]), np.array([y]), {"marker": first}, colour)
        else:
            shade = _rgba(line.get("color") or colour)
            self.page.plot([x, x + 15], [y, y], color=shade, linewidth=line.get("width", 2))

    def _around(self):
        """Draw shapes, annotations and scales of colour."""
        for shape in self.layout.get("shapes") or []:
            _known({"rect": 1, "line": 1}, shape.get("type", "rect"), "shape")
            x = [self.where(shape.get("xref", "x"), shape[k], "x") for k in ("x0", "x1")]
            y = [self.where(shape.get("yref", "y"), shape[k], "y") for k in ("y0", "y1")]
            panel = self.panel(shape.get("xref", "x").split()[0])
            x, y = np.clip(x, *panel.frame[:2]), np.clip(y, *panel.frame[2:])
            line = shape.get("line") or {}
            edge = (line.get("width", 2), _rgba(line.get("color") or "#444"))
            box = shape.get("type", "rect") == "rect"
            corners = _rectangles(x[:1], x[1:], y[:1], y[1:]) if box else [np.stack([x, y], axis=-1)]
            colour = _rgba(shape.get("fillcolor") or "none", shape.get("opacity"))
            _shape(panel.axes, corners, colour, edge=edge, transform=self.page.transData,
                   zorder=0.4 if shape.get("layer") == "below" else 3)  # fmt: skip
        for note in self.layout.get("annotations") or []:
            self._note(note)
        for trace in self.scales:
            self._scale(trace)

    def _note(self, note):
        if note.get("showarrow", True):
            raise AmakitError("a still picture has no arrow; give the annotation showarrow=False")
        xref, yref, size = note.get("xref", "x"), note.get("yref", "y"), (note.get("font") or {}).get("size", 13)
        lines = [_cut(t, _WIDTH - 2 * _EDGE, size) for t in _plain(note["text"]).split("\n")]
        wide, step = max(_wide(t, size) for t in lines), size * 1.32
        x = self.where(xref, note.get("x", 0.5), "x") + note.get("xshift", 0)
        y = self.where(yref, note.get("y", 0.5), "y") + note.get("yshift", 0)
        if xref == "paper" and note.get("x") == 0 and note.get("y") == 0:
            x = _EDGE  # what stands under the plot has the whole width
        sides = {"left": 0, "center": 0.5, "right": 1}
        left = x - wide * sides.get(note.get("xanchor"), 0.5)
        left = float(np.clip(left, _EDGE / 2, max(_WIDTH - wide - _EDGE / 2, _EDGE / 2)))
        anchor = note.get("align") or "center" if len(lines) > 1 else note.get("xanchor", "center")
        anchor = anchor if anchor in sides else "center"
        top = y + len(lines) * step * {"top": 0, "bottom": 1}.get(note.get("yanchor"), 0.5)
        top += 4 * (note.get("yanchor") == "bottom")
        weight = 600 if note["text"].startswith("<b>") else 400
        colour = (note.get("font") or {}).get("color")
        for n, line in enumerate(lines):
            self.write(left + wide * sides[anchor], top - step * n - size, line, anchor, size, weight,
                       _rgba(colour) if colour else None)  # fmt: skip

    def _scale(self, trace):
        bar, numbers = trace.get("colorbar") or {}, [v for row in trace["z"] for v in row if v is not None]
        low, high = trace.get("zmin", min(numbers, default=0)), trace.get("zmax", max(numbers, default=1))
        shades = _shades(trace | {"zmin": low, "zmax": high}, np.linspace(low, high, 512)[:, None])
        x = self.right + 12
        self.page.imshow(shades, extent=(x, x + 14, self.low, self.high), origin="lower", aspect="auto",
                         interpolation="none")  # fmt: skip
        places, labels, _ = _Axis("y", bar, [low, high]).ticks((low, high), self.high - self.low)
        for place, label in zip(places, labels, strict=True):
            y = self.low + (place - low) / ((high - low) or 1) * (self.high - self.low)
            self.write(x + 20, y - 4.5, _cut(label, 280, 12), size=12)


def _lines_wide(note):
    return max(_wide(line, (note.get("font") or {}).get("size", 13)) for line in _plain(note["text"]).split("\n"))


# -- what matplotlib gives ----------------------------------------------------------------------------------


def _inline(svg, prefix, title):
    """Make of matplotlib's SVG a part of an HTML page."""
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        parent.tag = parent.tag.partition("}")[2]
        parent.attrib = {key.partition("}")[2] or key: value for key, value in parent.attrib.items()}
        for child in [c for c in parent if c.tag.endswith(("metadata", "style"))]:
            parent.remove(child)  # a style would hold for the whole page
        parent.tail = None
        if parent.tag != "text":
            parent.text = None
    everything = "\n".join(value for part in root.iter() for value in part.attrib.values())
    used = set(re.findall(r"(?:url\(|^)#([\w-]+)", everything, flags=re.M))
    for part in root.iter():
        if part.get("id") not in used:
            part.attrib.pop("id", None)
        for key, value in part.attrib.items():
            part.set(key, _tidy(key, value, prefix))
        if part.tag == "text" and part.get("transform", "").startswith("rotate(-0 "):
            del part.attrib["transform"]
    _thin(root)
    root.attrib = {"viewBox": root.get("viewBox"), "width": "100%", "role": "img", "stroke-linejoin": "round",
                   "font-family": "system-ui, sans-serif"}  # fmt: skip
    name = ElementTree.Element("title")
    name.text = title
    root.insert(0, name)
    return ElementTree.tostring(root, encoding="utf-8", short_empty_elements=True)


def _tidy(key, value, prefix):
    if key == "id":
        return f"{prefix}-{value}"
    if key == "href":
        return f"#{prefix}-{value[1:]}" if value.startswith("#") else _packed(value)
    if key == "style":
        value = re.sub(r"font-family: [^;]*;? ?", "", value).replace(_INK["svg"], "currentColor")
    value = value.replace("url(#", f"url(#{prefix}-").replace(_INK["svg"], "currentColor")
    if key in ("d", "x", "y", "transform") and "matrix" not in value:
        value = re.sub(r"\d+\.\d{3,}", lambda n: f"{float(n[0]):.2f}".rstrip("0").rstrip("."), value).strip()
    return value


def _thin(group):
    """Leave out empty groups, and say once for a group what all marks in it say."""
    for part in list(group):
        _thin(part)
        if part.tag in ("g", "defs") and not len(part):
            group.remove(part)
    styles = {part.get("style") for part in group}
    if len(group) > 1 and {part.tag for part in group} == {"use"} and len(styles) == 1:
        group.set("style", styles.pop())
        for part in group:
            del part.attrib["style"]


def _packed(address):
    """Write an image inside an SVG anew, smaller."""
    start, _, data = address.partition(",")
    return f"{start},{base64.b64encode(_small(io.BytesIO(base64.b64decode(data)))).decode()}"


def _small(file):
    """Write a PNG with a palette: its own colours where those are few, near ones where nothing shines through."""
    from PIL import Image

    image = Image.open(file).convert("RGBA")
    cells = np.asarray(image)
    colours, number = np.unique(np.ascontiguousarray(cells).view("<u4")[..., 0], return_inverse=True)
    bands = 3 if (cells[..., 3] == 255).all() else 4
    if len(colours) <= 256:
        image = Image.fromarray(number.reshape(cells.shape[:2]).astype("uint8")).convert("P")
        palette = colours[:, None].view("uint8")
        image.putpalette(palette[:, :bands].tobytes(), rawmode="RGBA"[:bands])
    elif bands == 3:
        image = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    out = io.BytesIO()
    image.save(out, format="png", optimize=True)
    return out.getvalue()
