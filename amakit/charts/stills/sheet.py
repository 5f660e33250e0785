"""The sheet of a still picture: panels, axes, shapes and annotations, title and legend."""

from typing import TYPE_CHECKING

import numpy as np

from amakit.charts.stills.chart import along, known, plain, rgba
from amakit.charts.stills.marks import DRAWN, say
from amakit.errors import AmakitError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 1100


def drawn(chart: dict) -> "tuple[Figure, str]":
    """Draw a chart; give matplotlib's figure and its title."""
    from matplotlib.figure import Figure

    layout, traces = chart.get("layout") or {}, [t for t in chart.get("data") or [] if t.get("visible", True) is True]
    if sum(t.get("type") == "bar" for t in traces) > 1:
        known(["overlay", "stack"], layout.get("barmode", "group"), "mode of bars")
    margin = layout.get("margin") or {}
    height = max(layout.get("height", 450) - margin.get("t", 100) - margin.get("b", 80), 60)
    figure = Figure((WIDTH / 72, height / 72 + 20))
    names = list(dict.fromkeys(t.get("xaxis", "x") for t in traces)) or ["x"]
    panels = dict(zip(names, figure.subplots(1, len(names), sharey=True, squeeze=False)[0], strict=True))
    upright, shown, below = layout.get("yaxis") or {}, {}, {}
    values = [*upright.get("categoryarray", []), *(v for t in traces for v in t.get("y") or [] if v is not None)]
    named = upright.get("type") == "category" or any(isinstance(v, str) for v in values)
    rows = {value: n for n, value in enumerate(dict.fromkeys(values))} if named else {}
    for n, trace in enumerate(traces):
        for odd in {"error_y", "fill", "yaxis"} & set(trace):
            known(["y"], trace[odd], odd)
        kind, piled = trace.get("type", "scatter"), "stackgroup" in trace or layout.get("barmode") == "stack"
        x, y = along(trace.get("x") or []), np.array([rows.get(v, v) for v in trace.get("y") or []], dtype=float)
        axes, draw = panels[trace.get("xaxis", "x")], known(DRAWN, kind, "trace")
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
    title = plain((layout.get("title") or {}).get("text") or "", 105)
    _legend(figure, title, [(plain(name, 45), made) for name, made in shown.items()])
    figure.get_layout_engine().execute(figure)  # type: ignore[union-attr]  # the plot is as high as the chart says, whatever stands around it
    figure.set_figheight(figure.get_figheight() + (height - axes.get_window_extent().height) / 72)
    return figure, title


def _scale(axes, letter, spec, rows, dated=False):
    """Set ends, ticks and title of an axis."""
    from matplotlib import dates, ticker

    known(["-", "linear", "date", "category"], spec.get("type", "-"), "axis")
    known([None], spec.get("overlaying"), "axis over an axis")
    axis, note = getattr(axes, f"{letter}axis"), ""
    low, high = (-0.5, len(rows) - 0.5) if rows else getattr(axes, f"get_{letter}lim")()
    if spec.get("rangemode") == "tozero":
        low = min(low, 0) if axis.get_data_interval()[0] < 0 else 0
    if spec.get("range"):
        low, high = along(spec["range"])
    elif spec.get("autorange") == "reversed":
        low, high = high, low
    if not spec.get("showticklabels", True):
        axis.set_ticks([])  # thousands of ticks take seconds even where they do not show
    elif "tickvals" in spec or rows:
        axis.set_ticks(spec.get("tickvals") or range(len(rows)), [plain(t, 60) for t in spec.get("ticktext") or rows])
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
    axis.set_label_text(" · ".join(filter(None, [plain((spec.get("title") or {}).get("text") or "", 100), note])))
    axis.set_visible(spec.get("visible", True))


def _around(figure, panels, layout, rows):
    """Draw shapes and annotations."""
    for shape in layout.get("shapes") or []:
        kind, line = (shape.get("type"), shape.get("xref"), shape.get("yref")), shape.get("line") or {}
        if kind == ("rect", "x", "y domain"):
            panels["x"].axvspan(*along([shape["x0"], shape["x1"]]), color=rgba(shape["fillcolor"]), lw=0, zorder=0.4)
        elif kind == ("line", "x domain", "y"):
            panels["x"].axhline(shape["y0"], color=rgba(line["color"]), linewidth=line["width"])
        else:
            raise AmakitError(f"a still picture has no shape {kind[0]!r} on {kind[1]!r} and {kind[2]!r}")
    for note in layout.get("annotations") or []:
        known([False], note.get("showarrow", True), "arrow")
        refs, x, y = (note.get("xref", "x"), note.get("yref", "y")), note["x"], note["y"]
        if (*refs, x, y) == ("paper", "paper", 0, 0):  # what stands under the plot has the whole width
            figure.supxlabel(plain(note["text"]), x=12 / WIDTH, ha="left", size=12, linespacing=1.4)
            continue
        coords = tuple("axes fraction" if ref == "paper" or ref.endswith("domain") else "data" for ref in refs)
        above, axes = note.get("yanchor") == "bottom", panels.get(refs[0].split()[0], panels["x"])
        say(
            axes,
            note["text"],
            (along([x])[0], rows.get(y, y)),
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
        if made.get_window_extent().width <= WIDTH - 10 or columns == 1:
            break
        made.remove()
