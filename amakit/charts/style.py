"""How every chart looks: colours, patterns, axes, labels, and figures as widgets."""

import base64
import html
import io
import re
from collections.abc import Collection
from typing import TypeVar

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from amakit.analysis import Analysis
from amakit.charts.colours import COLOURS, INK
from amakit.find.unknown import concerned
from amakit.prose.language import texts, visible
from amakit.schemas import MACHINE, Cause, machine_labels

#: A column of instants, or the index of one.
Instants = TypeVar("Instants", pd.Series, pd.DatetimeIndex)

PATTERNS = ["", "/", ".", "x", "-", "|", "\\", "+"]
GREY = "rgba(128,128,128,0.25)"
#: Up to here each machine gets bars in the map of a fleet, which has to fit a screen.
MOST_ROWS = 60
#: Colour and symbol of each cause; what went wrong for good is the warmest, what lost nothing is green.
CAUSE_LOOKS = {
    Cause.UPGRADE: (COLOURS[0], "circle"),
    Cause.DOWNGRADE: (COLOURS[8], "triangle-down"),
    Cause.ROLLED_BACK: (COLOURS[1], "triangle-left"),
    Cause.ROLLBACK_FAILED: (COLOURS[5], "x"),
    Cause.AGENT_RESTARTED: (COLOURS[12], "diamond-tall"),
    Cause.AGENT_REMOVED: (COLOURS[13], "star"),
    Cause.MACHINE_STOPPED: (COLOURS[3], "square"),
    Cause.MACHINE_RESTARTED: (COLOURS[4], "diamond"),
    Cause.MACHINE_REMOVED: (COLOURS[11], "pentagon"),
    Cause.DISCONNECTED: (COLOURS[2], "triangle-up"),
    Cause.NOT_RECORDED: (COLOURS[7], "hexagon"),
    Cause.UNEXPLAINED: (COLOURS[6], "cross"),
}


def theme(dark: bool = False) -> go.layout.Template:
    """Give the one style of all charts as a template of plotly.

    Charts have it already, the dark one where the default template of plotly is a dark one when they are made:
    ``plotly.io.templates.default = "plotly_dark"``.  Their paper is clear, so that they stand on any page or slide.

    Parameters
    ----------
    dark : bool
        Whether text is for dark paper.

    Returns
    -------
    plotly.graph_objects.layout.Template

    Examples
    --------
    >>> import amakit, amakit.charts
    >>> shown = amakit.charts.inventory(amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10"))
    >>> shown.update_layout(template=theme(dark=True)).layout.template.layout.font.color
    '#A4ADB8'
    """
    ink = INK["dark" if dark else "light"]
    axis = {"gridcolor": GREY, "zeroline": False, "automargin": True}
    return go.layout.Template(
        layout={
            "font": {"family": "system-ui, sans-serif", "size": 13, "color": ink},
            "colorway": COLOURS[:8],
            "title": {
                "x": 0,
                "xref": "paper",
                "font": {"size": 16},
                "y": 1,
                "yref": "container",
                "yanchor": "top",
                "pad": {"t": 12},
            },
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "bargap": 0.15,
            "legend": {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
            "hoverlabel": {
                "bgcolor": "#FFFFFF",
                "bordercolor": "#8C8C8C",
                "font": {"color": "#1F2328"},
                "align": "left",
            },
            "modebar": {
                "bgcolor": "rgba(0,0,0,0)",
                "color": "#8C8C8C",
                "activecolor": "#0072B2",
                "remove": ["select2d", "lasso2d"],
            },
            "xaxis": axis,
            "yaxis": axis,
        }
    )


def row_names(analysis: Analysis) -> pd.Series:
    """Give the name that each machine has in a chart, where names are cut and made safe.

    Returns
    -------
    pandas.Series of str
        On the index of ``analysis.machines``.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-03", ["web-37.corp.contoso.example"])
    >>> row_names(found).tolist()
    ['web-37.corp.contoso.example']
    """
    rows = analysis.machines[MACHINE].merge(machine_rows(analysis), how="left", on=MACHINE)
    return pd.Series(rows["label"].to_numpy(), index=analysis.machines.index)


def live(figure: go.Figure) -> "go.FigureWidget":
    """Turn a figure into a widget, which tells of clicks and can be drawn anew.

    Parameters
    ----------
    figure : Figure of plotly

    Returns
    -------
    FigureWidget of plotly
    """
    widget = go.FigureWidget(_light(figure))
    widget.layout.autosize = True
    widget._config = {"responsive": True, "displaylogo": False}  # as wide as its place; there is no public way
    return widget


def redraw(widget: "go.FigureWidget", figure: go.Figure) -> None:
    """Draw another figure in a widget; what was there is gone, the widget stays where it is.

    Parameters
    ----------
    widget : FigureWidget of plotly
        As `live` gives it; it is changed.
    figure : Figure of plotly
    """
    figure = _light(figure)
    widget.layout.shapes = widget.layout.images = ()  # they hang on axes that go with their traces
    widget.data = ()  # a layout is cheap to change where there is nothing to draw
    # the old legend pushes the plot down until the new one is drawn; a lower chart would have no room for both
    height = figure.layout.height
    figure.layout.height = max(filter(None, (height, widget.layout.height)), default=None)
    widget.layout = figure.layout
    widget.layout.autosize = True
    widget.add_traces(figure.data)
    widget.layout.height = height


def _light(figure):
    """Give a copy with a raster laid under the marks as an image: a widget would send it number by number.

    What is left of the heatmap is one cell for each row, which tells of its machine and is clicked, and the colour bar.
    """
    from PIL import Image

    figure = go.Figure(figure)  # a copy: that of the caller stays as it is
    for raster in list(figure.select_traces({"type": "heatmap"})):
        shades = [_rgba(shade) for _, shade in raster.colorscale[::2]]
        image = Image.fromarray(raster.z, "P")
        image.putpalette([part for shade in shades for part in shade], "RGBA")
        file = io.BytesIO()
        image.save(file, format="png")
        step = (raster.x[1] - raster.x[0]) / np.timedelta64(1, "ms")
        start = pd.Timestamp(raster.x[0]) - pd.Timedelta(milliseconds=step / 2)
        figure.add_layout_image(
            source="data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii"),
            layer="below",
            xref="x",
            yref="y",
            x=start,
            y=-0.5,
            sizex=step * raster.z.shape[1],
            sizey=raster.z.shape[0],
            sizing="stretch",
            yanchor="top",
        )
        figure.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            showlegend=False,
            marker={
                "color": [0],
                "cmin": raster.zmin,
                "cmax": raster.zmax,
                "colorscale": raster.colorscale,
                "colorbar": raster.colorbar.to_plotly_json(),
                "showscale": True,
            },
        )
        ends = [start, start + pd.Timedelta(milliseconds=step * raster.z.shape[1])]
        raster.update(
            x=ends, z=raster.z[:, -1:].tolist(), opacity=0, showscale=False, hovertemplate="%{y}<extra></extra>"
        )
    return figure


def _rgba(shade):
    """Read a colour of the palette, or one that is written as rgba()."""
    if shade.startswith("#"):
        return [*(int(shade[n : n + 2], 16) for n in (1, 3, 5)), 255]
    *colour, share = re.findall(r"[\d.]+", shade)
    return [*map(int, colour), round(255 * float(share))]


def empty_figure(title: str, height: int) -> go.Figure:
    """Make an empty figure in the one style of the kit: dark where plotly's own default template is a dark one."""
    return go.Figure(
        layout={
            "template": theme(on_dark()),
            "height": height,
            "title": {"text": title},
            "barmode": "overlay",
            "margin": {"l": 20, "r": 20, "t": 50, "b": 50},
        }
    )


def on_dark() -> bool:
    """Tell whether plotly's own default template is a dark one."""
    from plotly.io import templates

    return "dark" in (templates.default or "")


def figure_without_data(figure: go.Figure, words: dict) -> go.Figure:
    """Say in the middle of an empty figure that there is nothing to draw."""
    figure.add_annotation(
        text=words["nothing"], showarrow=False, font={"size": 16}, xref="paper", yref="paper", x=0.5, y=0.5
    )
    return figure.update_xaxes(visible=False).update_yaxes(visible=False)


def time_axis(figure: go.Figure, words: dict, timezone: str) -> go.Figure:
    """Make the horizontal axis one of time, named after its zone."""
    day, finer = "%m-%d\n%Y", "%H:%M\n%m-%d"
    stops = [{"dtickrange": [None, 86_399_999], "value": finer}, {"dtickrange": [86_400_000, None], "value": day}]
    return figure.update_xaxes(
        title=words["time"].format(zone=timezone), type="date", tickformatstops=stops, hoverformat="%Y-%m-%d %H:%M:%S"
    )


def hatch(figure: go.Figure, analysis: Analysis, labels: Collection[str], words: dict, timezone: str) -> None:
    """Hatch the time of which nothing is known of Heartbeat: in each row, or as a band where there are no rows."""
    for stretch in analysis.run["unknown"]:
        own = concerned(analysis.machines, stretch)
        if stretch["table"] != "Heartbeat" or not (len(labels) or own.all()):
            continue  # a band would cover the machines of other workspaces
        start, end = wall_clock(pd.Series(pd.to_datetime([stretch["start"], stretch["end"]], utc=True)), timezone)
        if not len(labels):
            figure.add_vrect(
                x0=start,
                x1=end,
                fillcolor="rgba(128,128,128,0.3)",
                line_width=0,
                layer="above",
                annotation_text=words["unknown"],
                annotation_position="top left",
            )
            continue
        seconds, shown = (end - start).total_seconds(), list(labels)
        if not own.all():
            shown = [label for label in shown if label in set(machine_labels(analysis.machines)[own])]
        figure.add_bar(
            base=[start] * len(shown),
            x=[seconds * 1000] * len(shown),
            y=shown,
            orientation="h",
            name=words["unknown"],
            legendgroup="unknown",
            width=0.9,
            showlegend=not any(trace.legendgroup == "unknown" for trace in figure.data),
            marker={
                "color": "rgba(128,128,128,0.25)",
                "line": {"width": 0},
                "pattern": {"shape": "/", "fgcolor": "#7F7F7F", "size": 6, "fillmode": "overlay"},
            },
            hovertemplate=f"{words['unknown']}<extra></extra>",
        )


def machine_rows(analysis: Analysis) -> pd.DataFrame:
    """Give each machine its row, number and label, those that changed first at the top."""
    machines = analysis.machines[["resource_id", "computer", "os_type"]].copy()
    first = analysis.transitions.groupby(MACHINE)["first_new"].min().rename("changed")
    machines = machines.merge(first, how="left", on=MACHINE)
    machines = machines.sort_values(["os_type", "changed", "computer", "resource_id"], ignore_index=True)
    label = machine_labels(machines).map(escaped)
    again = label.groupby(label).cumcount()  # shortened names may meet; a row needs one of its own
    label = label.where(again == 0, label + " (" + (again + 1).astype("str") + ")")
    return machines.assign(label=label, row=range(len(machines))).drop(columns=["os_type", "changed"])


def escaped(text: str, limit: int = 40) -> str:
    """Make text from outside safe for plotly, which reads a little HTML and, in hovers, ``%{…}``."""
    return html.escape(visible(text, limit)).replace("%{", "&#37;{")


def chart_words(language: str) -> dict:
    """Give the texts of charts in a language."""
    return texts(language)["charts"]


def wall_clock(times: Instants, timezone: str) -> Instants:
    """Turn instants into the wall clock of a zone: plotly draws what it is given and knows no zones."""
    if isinstance(times, pd.Series):
        return times.dt.tz_convert(timezone).dt.tz_localize(None).dt.as_unit("us")  # a widget draws no nanoseconds
    return times.tz_convert(timezone).tz_localize(None).as_unit("us")


def under_title(height: int) -> dict:
    """Place the legend under the title where labels stand right above the plot."""
    return {"y": 1 - 40 / height, "yref": "container", "yanchor": "top", "x": 0, "xref": "container"}


def cause_label(cause: str, words: dict) -> str:
    """Name a cause as charts do."""
    return words.get(f"cause {cause}", escaped(cause))


def tick_step(most: float) -> int:
    """Space ticks of whole numbers: ten of them at most."""
    return next(step for n in range(12) for step in (10**n, 2 * 10**n, 5 * 10**n) if most / step <= 10)


def downtimes_in_words(outages: pd.DataFrame, words: dict) -> pd.Series:
    """Tell how long outages lasted, with their bounds, in minutes and seconds."""
    ends = outages[["downtime_s", "downtime_low_s", "downtime_high_s"]]
    told = ends.map(lambda s: words["goes on"] if pd.isna(s) else f"{round(s) // 60}:{round(s) % 60:02}")
    bounds = " (" + told["downtime_low_s"] + "–" + told["downtime_high_s"] + ")"
    return told["downtime_s"] + bounds.where(ends["downtime_s"].notna(), "")


def version_changes(outages: pd.DataFrame) -> pd.Series:
    """Tell the version before and after; one that stayed once."""
    old, new = (outages[name].map(escaped) for name in ("from_version", "to_version"))
    return old.where(old == new, old + " → " + new.where(new != "", "–"))


def machine_name(analysis: Analysis, row: pd.Series) -> str:
    """Name the machine of an outage as charts do."""
    fleet = analysis.machines
    called = machine_labels(fleet)[
        (fleet["resource_id"] == row["resource_id"]) & (fleet["computer"] == row["computer"])
    ]
    return escaped(called.iloc[0] if len(called) else row["computer"])
