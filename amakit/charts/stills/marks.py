"""Marks of still pictures: each draws a trace, and gives what the legend shows of it."""

from typing import TYPE_CHECKING, Any

import numpy as np

from amakit.charts.stills.chart import along, known, plain, rgba
from amakit.errors import AmakitError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HATCHES = {"": None, "/": "//", "\\": "\\\\", "x": "xx", "-": "--", "|": "||", "+": "++", ".": "."}
#: Matplotlib's sign of each symbol, and how much larger it has to be to look as large.
_SYMBOLS = {
    "circle": ("o", 1), "square": ("s", 0.9), "diamond": ("D", 0.9), "cross": ("P", 1), "x": ("X", 1),
    "triangle-up": ("^", 1), "triangle-down": ("v", 1), "triangle-left": ("<", 1), "triangle-right": (">", 1),
    "diamond-tall": ("d", 1), "star": ("*", 1.2), "pentagon": ("p", 1), "hexagon": ("h", 1),
    "line-ns": ("|", 1.4), "x-thin": ("x", 1),
}  # fmt: skip
_MOST_MARKS = 1500  #: of one trace; more are drawn as an image in an SVG too


def _bar(axes, trace, x, y, colour, below):
    known(["h"], trace.get("orientation"), "orientation of bars")
    if "base" in trace:  # of times, where lengths are in milliseconds
        left, x = along(trace["base"]), x / 86_400_000
    else:
        left = np.array([below.get((axes, row), 0) for row in y])
        below.update({(axes, row): end for row, end in zip(y, left + x, strict=True)})
    marker, inside = trace.get("marker") or {}, trace.get("textposition") == "inside"
    look = _look(marker.get("color") or colour, marker.get("pattern"))
    for *spot, text in zip(left + x / (2 if inside else 1), y, trace.get("text") or [], strict=False):
        say(axes, text, spot, trace.get("textfont"), ha="center" if inside else "left", xytext=(5 * (not inside), 0))
    return _blocks(axes, left, left + x, y - 0.425, y + 0.425, **look)


def _look(colour, pattern=None):
    pattern, colour = pattern or {}, rgba(colour)
    share, ink = pattern.get("fgopacity", 1), rgba(pattern.get("fgcolor") or "white")
    lines = [(1 - share) * under + share * over for under, over in zip(colour[:3], ink[:3], strict=True)]
    return {
        "facecolor": colour,
        "edgecolor": lines,
        "linewidth": 0,  # a hatch has the colour of the edge
        "hatch": known(_HATCHES, pattern.get("shape") or "", "pattern"),
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
    known(["solid"], line.get("dash", "solid"), "dash")
    known(["hv" if "stackgroup" in trace else "linear"], line.get("shape", "linear"), "line")
    if "stackgroup" in trace:
        low = below.get((axes, trace["stackgroup"]), np.zeros(len(y)))
        high = below[axes, trace["stackgroup"]] = low + np.nan_to_num(y)
        keep = np.ones(len(x), dtype=bool)  # where nothing changes there is no corner
        keep[1:-1] = ((np.diff(low) != 0) | (np.diff(high) != 0))[:-1]
        x, low, high = np.repeat(x[keep], 2)[1:], np.repeat(low[keep], 2)[:-1], np.repeat(high[keep], 2)[:-1]
        axes.margins(x=0)
        look = _look(trace.get("fillcolor") or line.get("color") or colour, trace.get("fillpattern"))
        return axes.fill([*x, *x[::-1]], [*high, *low[::-1]], **look)[0]
    mode = known(["lines", "markers", "lines+markers", "markers+text"], trace.get("mode", "lines+markers"), "mode")
    look = {"color": rgba(line.get("color") or colour), "rasterized": len(x) > _MOST_MARKS}
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
            ecolor=rgba(error["color"]),
            elinewidth=thick,
            capthick=thick,
        )
    if "markers" in mode:
        sign, scale = known(_SYMBOLS, marker.get("symbol", "circle"), "symbol")
        look["color"], edge = rgba(marker.get("color") or colour), marker.get("line") or {}
        look |= {"markeredgecolor": rgba(edge.get("color") or look["color"]), "markeredgewidth": edge.get("width", 0)}
        made = axes.plot(x, y, sign, markersize=marker.get("size", 6) * scale, **look)
    for *spot, text in zip(x, y, said, strict=False) if "text" in mode else ():
        known(["middle left"], trace.get("textposition"), "place of text")
        say(axes, text, spot, trace.get("textfont"), ha="right", xytext=(-7, 0))
    return made[0]


def _box(axes, trace, x, y, colour, below):
    known(["h"], trace.get("orientation"), "orientation of boxes")
    parts = {"whislo": "lowerfence", "q1": "q1", "med": "median", "q3": "q3", "whishi": "upperfence"}
    numbers = [dict(zip(parts, row, strict=True)) for row in zip(*(trace[n] for n in parts.values()), strict=True)]
    line = {"color": rgba((trace.get("line") or {}).get("color") or colour), "linewidth": 2}
    body = {"facecolor": rgba(trace.get("fillcolor") or colour), "edgecolor": line["color"], "linewidth": 2}
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
        bands = np.array([rgba(shade) for _, shade in trace["colorscale"]]).T
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
            say(axes, text, (spot, row), trace.get("textfont"))
    bar = trace["colorbar"] if trace.get("showscale", True) else {"tickvals": [], "ticktext": []}
    return {text: Patch(color=shaded(value)) for value, text in zip(bar["tickvals"], bar["ticktext"], strict=True)}


DRAWN = {"bar": _bar, "scatter": _scatter, "box": _box, "heatmap": _heatmap}


def say(
    axes: "Axes",
    text: str,
    spot: Any,
    font: dict | None = None,
    coords: Any = "data",
    xytext: tuple[float, float] = (0, 0),
    ha: str = "center",
    va: str = "center_baseline",
) -> None:
    """Write beside a spot; the plot makes room for it."""
    font, bold = font or {}, str(text).startswith("<b>")
    for n, line in enumerate(reversed(plain(text).split("\n")) if text else ()):  # one by one: an SVG keeps their side
        axes.annotate(
            line,
            spot,
            (xytext[0], xytext[1] + 18 * n),
            coords,
            "offset points",
            annotation_clip=False,
            ha=ha,
            va=va,
            color=rgba(font["color"]) if "color" in font else None,
            size=font.get("size", 13),
            weight=600 if bold else 400,
        )
