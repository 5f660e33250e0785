"""Charts: the only door to plotly.  Functions take an analysis and give a figure.

A version has the same colour and pattern in every chart of an analysis.  The colours are those of Okabe and
Ito, which colour-blind readers can tell apart; a pattern or a number stands beside each, never colour alone.
"""

import base64
import html
import io
import re
import textwrap
from collections.abc import Iterable

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from amakit import blindness, facts
from amakit import releases as known_releases
from amakit.analysis import Analysis, machine_labels
from amakit.blindness import CAUSES, SLOW
from amakit.rollout import curve, lags, standing
from amakit.transitions import version_key
from amakit.words import evidence, texts, visible

_MACHINE = ["resource_id", "computer"]
_COLOURS = [
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A900", "#7F7F7F",
    "#004A75", "#8F6200", "#00614A", "#8A4A6F", "#2A77A3", "#8A3C00", "#6E6600", "#4D4D4D",
]  # fmt: skip
_PATTERNS = ["", "/", ".", "x", "-", "|", "\\", "+"]
_GREY = "rgba(128,128,128,0.25)"
#: Up to here each machine gets bars and a name of its own; beyond, the fleet is one raster.
_MOST_BARS = 120
#: Lines of a raster in a page, which has fewer pixels; of a larger fleet several machines share a line.
_MOST_LINES = 1000
#: Up to here each machine gets bars in the map of a fleet, which has to fit a screen.
_MOST_ROWS = 60
#: Marks in a map of a fleet; those of the longest outages are drawn.
_MOST_MARKS = 1000
#: Up to here each outage is a point with its bounds; beyond, a version pair is a box.
_MOST_POINTS = 80
#: In the order of CAUSES; what went wrong for good is the warmest, what lost nothing is green.
_CAUSE_COLOURS = [_COLOURS[n] for n in (0, 1, 5, 3, 4, 2, 6, 7)]
_CAUSE_SYMBOLS = ["circle", "triangle-left", "x", "square", "diamond", "triangle-up", "cross"]
#: More version pairs than this cannot be read; the rarest are left out of a chart, never of a table.
_MOST_PAIRS = 30
_LOOKS = {"fires": ("#D55E00", ""), "depends": ("#E69F00", "/"), "misses": ("#56B4E9", ".")}
#: Versions whose curves can be told apart in one picture; those with the most upgrades are drawn.
_MOST_CURVES = 6
#: Steps of one curve; a page has fewer pixels.
_MOST_STEPS = 1000
#: Releases behind: up to which number, colour and pattern.
_BEHIND = [(0, "#009E73", ""), (1, "#56B4E9", "."), (2, "#E69F00", "/"), (5, "#D55E00", "x"), (np.inf, "#8A3C00", "-")]
#: Rows of places; the smallest are left out of the chart, never of a table.
_MOST_PLACES = 30
_OS_LOOKS = {"Windows": ("#0072B2", "circle"), "Linux": ("#D55E00", "square")}


def inventory(analysis: Analysis, language: str = "en") -> go.Figure:
    """Show how many machines report which version at the end of the window, silent ones apart.

    Parameters
    ----------
    analysis : Analysis
    language : {'en', 'ja'}

    Returns
    -------
    plotly.graph_objects.Figure
        One bar per product line and version, the newest at the top.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-04")
    >>> sum(sum(bar.x) for bar in inventory(found).data) == len(found.machines)
    True
    """
    words, styles = _words(language), _styles(analysis)
    label = _labels(analysis.machines, styles)
    counts = label.value_counts()
    figure = _figure(words["inventory"], height=160 + 30 * len(counts))
    for name, style in styles.items():
        if name in counts:
            figure.add_bar(
                x=[int(counts[name])], y=[name], orientation="h", name=name, marker=_marker(style), showlegend=False,
                text=[f"{counts[name]}"], textposition="outside", cliponaxis=False,
                hovertemplate=f"{name}<br>%{{x}} {words['machines']}<extra></extra>",
            )  # fmt: skip
    figure.update_xaxes(title=words["machines"], rangemode="tozero")
    return figure


def timeline(analysis: Analysis, language: str = "en", timezone: str = "UTC") -> go.Figure:
    """Show the version of each machine over time, one row per machine.

    Up to 120 machines are drawn as bars with their names; more become one raster, in which a cell holds the
    version that a machine reported at that moment.  Rows are sorted by product line and by the first change.  Of more
    than 1,000 machines, neighbours share a row, which shows what most of them reported.

    Parameters
    ----------
    analysis : Analysis
    language : {'en', 'ja'}
    timezone : str
        Zone of the axis and of the hovers, for example ``Asia/Tokyo``.

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-04")
    >>> timeline(found, timezone="Asia/Tokyo").layout.xaxis.title.text
    'time (Asia/Tokyo)'
    """
    words, rows = _words(language), _shared(_rows(analysis))
    many = len(rows) > _MOST_BARS
    figure = _figure(words["timeline"], height=900 if many else 220 + 19 * len(rows))
    if _versions(figure, analysis, rows, many, words, timezone).empty:
        return _empty(figure, words)
    changes = analysis.transitions.merge(rows, on=["resource_id", "computer"])
    for kind, symbol in (("upgrade", "triangle-right"), ("downgrade", "triangle-left")):
        part = changes[changes["kind"] == kind]
        if part.empty or (many and kind == "upgrade"):  # in a raster an upgrade shows as an edge of colour
            continue
        span = part["from_version"].map(_told) + " → " + part["to_version"].map(_told)
        figure.add_scatter(
            x=_local(part["first_new"], timezone), y=part["label"], mode="markers", name=words[kind],
            marker={"symbol": symbol, "size": 9, "color": "white", "line": {"color": "black", "width": 1.4}},
            customdata=np.stack([part["name"], span, _local(part["last_old"], timezone).astype("str")], axis=-1),
            hovertemplate=f"%{{customdata[0]}}<br>%{{customdata[1]}}<br>{words['last old']} %{{customdata[2]}}"
                          f"<br>{words['first new']} %{{x}}<extra></extra>",
        )  # fmt: skip
    return _rowed(figure, analysis, rows, many, words, timezone)


def fleet(
    analysis: Analysis,
    machines: pd.DataFrame | None = None,
    outages: pd.DataFrame | None = None,
    language: str = "en",
    timezone: str = "UTC",
) -> go.Figure:
    """Show the version of each machine over time, and its outages as marks: the map to pick an outage from.

    Up to 60 machines are drawn as bars with their names; more become one raster.  A symbol marks the beginning of an
    outage and tells its cause; of more than 1,000 outages those that lasted longest are marked.

    Parameters
    ----------
    analysis : Analysis
        The whole of it, so that a version looks the same whatever part of the fleet is drawn.
    machines : pandas.DataFrame, optional
        The rows of ``analysis.machines`` to draw; by default all.
    outages : pandas.DataFrame, optional
        The rows of ``analysis.outages`` to mark; by default all.
    language : {'en', 'ja'}
    timezone : str
        Zone of the axis and of the hovers.

    Returns
    -------
    plotly.graph_objects.Figure
        The last column of ``customdata`` of a mark is the index of its outage; ``y`` is the name of a machine as
        `row_names` gives it.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-03")
    >>> marks = [trace for trace in fleet(found).data if trace.type == "scatter"]
    >>> sorted(int(row[-1]) for trace in marks for row in trace.customdata) == list(found.outages.index)
    True
    """
    words, rows = _words(language), _rows(analysis)
    if machines is not None:
        rows = rows.merge(machines[_MACHINE], on=_MACHINE)
        rows = rows.assign(row=range(len(rows)))
    many = len(rows) > _MOST_ROWS
    figure = _figure(words["fleet"], height=640 if many else 190 + 15 * max(len(rows), 4))
    if _versions(figure, analysis, rows, many, words, timezone).empty:
        return _empty(figure, words)
    own = (analysis.outages if outages is None else outages).rename_axis("outage").reset_index()
    own = own.merge(rows, on=_MACHINE)
    length = own["downtime_s"].fillna(np.inf)
    own = own[length.rank(method="first", ascending=False) <= _MOST_MARKS]
    for n, name in enumerate(CAUSES):
        part = own[own["cause"] == name]
        if len(part):
            figure.add_scatter(
                x=_local(part["start_earliest"], timezone), y=part["label"], mode="markers", name=_cause(name, words),
                marker={"symbol": _CAUSE_SYMBOLS[n], "size": 6 if many else 10, "color": _CAUSE_COLOURS[n],
                        "line": {"width": 0.5 if many else 1.2, "color": "white"}},
                customdata=np.stack([part["label"], _spans(part, words), _pairs(part),
                                     part["outage"].astype("str")], axis=-1),
                hovertemplate=f"%{{customdata[0]}}<br>{_cause(name, words)}<br>%{{x}}<br>{words['blind']} "
                              "%{customdata[1]}<br>%{customdata[2]}<extra></extra>",
            )  # fmt: skip
    # hung on the title, the legend may wrap as the page is narrow and never reaches the rows
    top = 60 + 21 * -(-sum(trace.type != "heatmap" for trace in figure.data) // 4)
    height = 640 if many else 80 + top + 15 * max(len(rows), 4)
    figure.update_layout(height=height, margin_t=top, legend=_under_title(height))
    figure.update_xaxes(
        showspikes=True,
        spikemode="across",
        spikesnap="cursor",
        spikethickness=1,
        spikecolor="#8C8C8C",
        spikedash="solid",
    )
    figure.update_yaxes(tickfont={"size": 11})
    return _rowed(figure, analysis, rows, many, words, timezone)


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
    >>> import amakit
    >>> shown = inventory(amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10"))
    >>> shown.update_layout(template=theme(dark=True)).layout.template.layout.font.color
    '#A4ADB8'
    """
    # the lighter of greys that can be read on white, so that a figure which knows no paper can be read on black, too
    ink = "#A4ADB8" if dark else "#737373"
    axis = {"gridcolor": _GREY, "zeroline": False, "automargin": True}
    return go.layout.Template(layout={
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": ink}, "colorway": _COLOURS[:8],
        "title": {"x": 0, "xref": "paper", "font": {"size": 16}, "y": 1, "yref": "container", "yanchor": "top",
                  "pad": {"t": 12}},
        "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "bargap": 0.15,
        "legend": {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        "hoverlabel": {"bgcolor": "#FFFFFF", "bordercolor": "#8C8C8C", "font": {"color": "#1F2328"}, "align": "left"},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "#8C8C8C", "activecolor": "#0072B2",
                    "remove": ["select2d", "lasso2d"]},
        "xaxis": axis, "yaxis": axis,
    })  # fmt: skip


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
    rows = analysis.machines[_MACHINE].merge(_rows(analysis), how="left", on=_MACHINE)
    return pd.Series(rows["label"].to_numpy(), index=analysis.machines.index)


def live(figure: go.Figure) -> go.FigureWidget:
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


def redraw(widget: go.FigureWidget, figure: go.Figure) -> None:
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
    widget.layout = figure.layout
    widget.layout.autosize = True
    widget.add_traces(figure.data)


def adoption(analysis: Analysis, language: str = "en", timezone: str = "UTC", points: int = 400) -> go.Figure:
    """Show how many machines were on which version at each moment of the window.

    A machine counts from its first heartbeat on a version until the first on another one, or until its last
    heartbeat of all if it fell silent.  Of several agents on one machine the first counts.

    Parameters
    ----------
    analysis : Analysis
    language : {'en', 'ja'}
    timezone : str
    points : int
        Into how many moments the window is cut.

    Returns
    -------
    plotly.graph_objects.Figure
        One stacked step area per product line and version.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-04")
    >>> len(adoption(found, points=50).data[0].y)
    50
    """
    words, styles = _words(language), _styles(analysis)
    runs = _clipped(analysis)
    runs = runs[runs["line"] == 0]
    figure = _figure(words["adoption"], height=460)
    figure.update_layout(margin_t=110)
    if runs.empty:
        return _empty(figure, words)
    following = runs.groupby(["resource_id", "computer"])["first"].shift(-1)
    until = following.fillna(runs["last"])
    moments = pd.date_range(analysis.window.start, analysis.window.end, periods=points, unit="us")
    label = _labels(runs, styles)
    for name, style in styles.items():
        on, off = (np.sort(_local(times[label == name], "UTC").to_numpy()) for times in (runs["first"], until))
        at = _local(moments, "UTC").to_numpy()
        count = np.searchsorted(on, at, side="right") - np.searchsorted(off, at, side="left")
        if count.any():
            figure.add_scatter(
                x=_local(moments, timezone), y=count, name=name, stackgroup="all",
                line={"shape": "hv", "width": 1, "color": style["colour"]},
                fillcolor=style["colour"], fillpattern=style["pattern"],
                hovertemplate=f"{name}: %{{y}}<extra></extra>",
            )  # fmt: skip
    _hatch(figure, analysis, [], words, timezone)
    figure.update_layout(hovermode="x unified")
    figure.update_yaxes(title=words["machines"], rangemode="tozero")
    _time_axis(figure, words, timezone)
    return figure


def clock(analysis: Analysis, language: str = "en", timezone: str = "UTC") -> go.Figure:
    """Show at which hour of which weekday upgrades were first seen.

    Parameters
    ----------
    analysis : Analysis
    language : {'en', 'ja'}
    timezone : str
        Zone in which hours and weekdays are counted.

    Returns
    -------
    plotly.graph_objects.Figure
        A grid of seven days and 24 hours; each cell carries its count.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")
    >>> bool(clock(found).data[0].z.sum() == sum(found.transitions["kind"] == "upgrade"))
    True
    """
    words = _words(language)
    seen = analysis.transitions.query("kind == 'upgrade'")["first_new"].dt.tz_convert(timezone)
    counts = np.zeros((7, 24), dtype="uint16")
    np.add.at(counts, (seen.dt.day_of_week, seen.dt.hour), 1)
    figure = _figure(words["clock"], height=330)
    figure.add_heatmap(
        z=counts, x=list(range(24)), y=words["days"], xgap=2, ygap=2, showscale=False,
        text=np.where(counts > 0, counts.astype("str"), ""), texttemplate="%{text}",
        colorscale=[[0, _GREY], [1e-9, "#D6ECFA"], [1, "#56B4E9"]], zmin=0, zmax=max(int(counts.max()), 1),
        textfont={"color": "#1f2328"},
        hovertemplate=f"%{{y}} %{{x}}:00–%{{x}}:59<br>%{{z}} {words['upgrades']}<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(title=words["hour"].format(zone=timezone), dtick=2, showgrid=False)
    return figure


def around(analysis: Analysis, outage: int | None = None, language: str = "en", timezone: str = "UTC") -> go.Figure:
    """Show one machine around one outage: every stream a row, every sample a tick.

    Shaded darkly is where the agent surely was blind, lightly the bracket of each end, in which it may have been.
    A cross marks a sample that the stream's schedule would have produced.

    Parameters
    ----------
    analysis : Analysis
    outage : int, optional
        Index of a row of ``analysis.outages``; by default the longest upgrade, or the longest outage of all
        where there is no upgrade.
    language : {'en', 'ja'}
    timezone : str
        Zone of the axis; the evidence below keeps its UTC.

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-03", ["web-37.corp.contoso.example"])
    >>> [trace.name for trace in around(found).data]
    ['sample', 'missing', 'evidence', 'surely blind', 'maybe blind']
    """
    words = _words(language)
    outage = facts.worst(analysis) if outage is None else outage
    if outage is None:
        return _empty(_figure(words["around none"], height=240), words)
    row = analysis.outages.loc[outage]
    view = _view(row, analysis)
    streams = _streams(analysis, row, view, words)
    lines = [line for n, part in enumerate(evidence(row["evidence"], language), start=1)
             for line in textwrap.wrap(f"{n}. {visible(part, 1000)}", 100, subsequent_indent="    ")]  # fmt: skip
    title = words["around"].format(machine=_name(analysis, row), cause=_cause(row["cause"], words))
    figure = _figure(title, height=300)
    names = [*streams["label"], words["evidence"]]
    _ticks(figure, analysis, row, view, streams, words, timezone)
    _marks(figure, row, view, words, timezone)
    _shades(figure, row, view, analysis.run["horizon"], words, timezone)
    for label, lost in zip(streams["label"], streams["told"], strict=True):
        figure.add_annotation(x=1, xref="paper", xanchor="left", xshift=8, y=label, text=lost, showarrow=False)
    text = "<br>".join([words["evidence text"], *map(html.escape, lines or [words["none"]])])
    figure.add_annotation(text=text, x=0, xref="paper", xanchor="left", y=0, yref="paper", yanchor="top",
                          align="left", showarrow=False, font={"size": 12}, yshift=-66)  # fmt: skip
    below = 80 + 17 * (len(lines) + 1)
    height = 150 + 27 * len(names) + below
    figure.update_layout(height=height, margin={"t": 130, "b": below, "r": 110}, legend=_under_title(height))
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=names, range=[len(names) - 0.5, -0.7],
                        showgrid=False, ticks="", dtick=1)  # fmt: skip
    return _time_axis(figure, words, timezone).update_xaxes(range=[*_local(pd.Series(view), timezone)])


def incident(analysis: Analysis, language: str = "en", timezone: str = "UTC") -> go.Figure:
    """Show when which machine was blind, and why: one row per machine, one mark per outage.

    A line reaches from the earliest beginning to the latest end, a symbol marks the beginning, so that outages of
    minutes show in a window of weeks.  Where more than 40 machines had outages, those are drawn that were blind for
    longest; below all of them are counted.

    Parameters
    ----------
    analysis : Analysis
    language : {'en', 'ja'}
    timezone : str
        Zone of the axis and of the hovers.

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")
    >>> shown = incident(found)
    >>> sum(len(trace.x) for trace in shown.data if trace.mode == "markers") == len(found.outages)
    True
    """
    words = _words(language)
    own = analysis.outages.merge(_rows(analysis)[["resource_id", "computer", "label"]], on=["resource_id", "computer"])
    if own.empty:
        return _empty(_figure(words["incident"], height=240), words)
    horizon = pd.Timestamp(analysis.run["horizon"])
    last = own["end_latest"].fillna(max(horizon, own["start_latest"].max()))
    own = own.assign(last=last, length=(last - own["start_earliest"]).dt.total_seconds())
    longest = own.groupby("label")["length"].max().sort_values(ascending=False, kind="stable")
    own = own[own["label"].isin(longest.index[: facts.DRAWN])]
    rows = own.groupby("label")["start_earliest"].min().sort_values(kind="stable").index
    many = len(longest) > facts.DRAWN
    figure = _figure(words["incident more"].format(n=facts.DRAWN) if many else words["incident"], height=240)
    for n, name in enumerate(CAUSES):
        part = own[own["cause"] == name]
        if part.empty:
            continue
        colour, symbol, shown = _CAUSE_COLOURS[n], _CAUSE_SYMBOLS[n], _cause(name, words)
        first, last = _local(part["start_earliest"], timezone), _local(part["last"], timezone)
        breaks = pd.Series(pd.NaT, index=first.index)
        figure.add_scatter(
            x=pd.concat([first, last, breaks], axis=1).to_numpy().ravel(), y=np.repeat(part["label"].to_numpy(), 3),
            mode="lines", line={"color": colour, "width": 5}, name=shown, legendgroup=name, showlegend=False,
            hoverinfo="skip",
        )  # fmt: skip
        figure.add_scatter(
            x=first, y=part["label"], mode="markers", name=shown, legendgroup=name, showlegend=True,
            marker={"symbol": symbol, "size": 10, "color": colour, "line": {"width": 1, "color": "white"}},
            customdata=np.stack([part["label"], _spans(part, words), _pairs(part)], axis=-1),
            hovertemplate=f"%{{customdata[0]}}<br>{shown}<br>%{{x}}<br>{words['blind']} %{{customdata[1]}}<br>"
                          "%{customdata[2]}<extra></extra>",
        )  # fmt: skip
    _hatch(figure, analysis, rows, words, timezone)
    height = 180 + 21 * len(rows)
    figure.update_layout(height=height, margin_t=100, legend=_under_title(height))
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=list(rows), ticks="", dtick=1,
                        range=[len(rows) - 0.4, -0.6])  # fmt: skip
    span = _local(pd.Series([analysis.window.start, analysis.window.end]), timezone)
    return _time_axis(figure, words, timezone).update_xaxes(range=list(span))


def downtimes(analysis: Analysis, language: str = "en") -> go.Figure:
    """Show how long agents were blind during upgrades, by product line and version pair.

    Few upgrades are points with their low and high bounds, sorted within their pair; many are one box for each
    pair: quartiles, median, and whiskers from the fifth to the ninety-fifth percentile.

    Parameters
    ----------
    analysis : Analysis
    language : {'en', 'ja'}

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")
    >>> shown = sum(len(trace.x) for trace in downtimes(found).data if trace.mode == "markers")
    >>> shown == sum(found.outages["cause"] == "upgrade")
    True
    """
    words = _words(language)
    own = analysis.outages[(analysis.outages["cause"] == "upgrade") & analysis.outages["downtime_s"].notna()]
    figure = _figure(words["downtimes"], height=240)
    if own.empty:
        return _empty(figure, words)
    pair = own["os_type"] + " " + own["from_version"] + " → " + own["to_version"]
    own = own.assign(pair=pair.map(_told))
    often = own["pair"].value_counts().head(_MOST_PAIRS).index
    own = own[own["pair"].isin(often)]
    middle = own.groupby("pair")["downtime_s"].median()
    own = own.assign(middle=own["pair"].map(middle)).sort_values(["os_type", "middle", "pair", "downtime_s"])
    (_points if len(own) <= _MOST_POINTS else _boxes)(figure, analysis, own, words)
    return figure.update_xaxes(title=words["minutes"], rangemode="tozero")


def causes(analysis: Analysis, language: str = "en") -> go.Figure:
    """Show how many outages were not upgrades, by cause.

    Parameters
    ----------
    analysis : Analysis
    language : {'en', 'ja'}

    Returns
    -------
    plotly.graph_objects.Figure
        One bar per cause that occurred, with its number.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")
    >>> sum(bar.x[0] for bar in causes(found).data) == sum(found.outages["cause"] != "upgrade")
    True
    """
    words = _words(language)
    counts = analysis.outages["cause"].value_counts().drop("upgrade", errors="ignore")
    figure = _figure(words["causes"], height=150 + 32 * len(counts))
    if counts.empty:
        return _empty(figure.update_layout(height=200), words)
    order = [c for c in CAUSES if c in counts] + sorted(set(counts.index) - set(CAUSES))
    for name in order:
        n = CAUSES.index(name) if name in CAUSES else len(CAUSES)
        look = {"colour": _CAUSE_COLOURS[n], "pattern": {"shape": _PATTERNS[n % len(_PATTERNS)], "fgcolor": "white",
                "fgopacity": 0.45, "size": 8, "fillmode": "overlay"}}  # fmt: skip
        figure.add_bar(
            x=[int(counts[name])], y=[_cause(name, words)], orientation="h", marker=_marker(look), showlegend=False,
            text=[f"{counts[name]:,}"], textposition="outside", cliponaxis=False, name=_cause(name, words),
            hovertemplate=f"%{{y}}: %{{x}} {words['outages']}<extra></extra>",
        )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure.update_xaxes(title=words["outages"], rangemode="tozero", dtick=_step(counts.max()), tickformat=",d")


def alerts(
    analysis: Analysis, language: str = "en", windows: Iterable[int] = blindness.WINDOWS, frequency: float = 1
) -> go.Figure:
    """Show which heartbeat alerts and availability figures would have noticed the outages.

    Parameters
    ----------
    analysis : Analysis
    language : {'en', 'ja'}
    windows : iterable of int
        Windows of alerts in minutes.
    frequency : float
        Minutes between evaluations of an alert.

    Returns
    -------
    plotly.graph_objects.Figure
        On the left upgrades, on the right all other outages; see `amakit.blindness.verdicts` for the three verdicts.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-03", ["web-37.corp.contoso.example"])
    >>> [(bar.name, bar.x[0]) for bar in alerts(found).data if bar.xaxis == "x"]
    [('surely', 1), ('depends on timing', 0), ('never', 0)]
    """
    words = _words(language)
    horizon = pd.Timestamp(analysis.run["horizon"])
    silent = blindness.silences(analysis.outages, analysis.gaps, horizon)
    found = blindness.verdicts(silent, horizon, windows, frequency)
    figure = _figure(words["alerts"], height=190 + 34 * len(found.columns))
    if found.empty:
        return _empty(figure.update_layout(height=200), words)
    names = [words["alert"].format(n=c.split()[1]) if c.startswith("alert ") else words[c] for c in found.columns]
    upgrade = silent["cause"] == "upgrade"
    for axis, part, shown in (("x", found[upgrade], True), ("x2", found[~upgrade], False)):
        for verdict, (colour, pattern) in _LOOKS.items():
            numbers = (part == verdict).sum().astype("int64").tolist()
            figure.add_bar(
                x=numbers, y=names, orientation="h", name=words[verdict], legendgroup=verdict, showlegend=shown,
                xaxis=axis, marker={"color": colour, "line": {"width": 0}, "pattern": {
                    "shape": pattern, "fgcolor": "white", "fgopacity": 0.45, "size": 8, "fillmode": "overlay"}},
                text=[f"<b>{n:,}</b>" if n > len(part) * 0.02 * len(f"{n:,}") else "" for n in numbers],
                textposition="inside", insidetextanchor="middle",
                textfont={"color": "#1f2328"}, textangle=0, constraintext="none",
                hovertemplate=f"%{{y}}<br>{words[verdict]}: %{{x}} {words['outages']}<extra></extra>",
            )  # fmt: skip
    for axis, part, at in (("x domain", upgrade, "all upgrades"), ("x2 domain", ~upgrade, "others")):
        figure.add_annotation(text=f"<b>{words[at]}: {part.sum():,}</b>", xref=axis, x=0, xanchor="left", yref="paper",
                              y=1, yanchor="bottom", showarrow=False)  # fmt: skip
    figure.update_layout(
        barmode="stack", margin_t=120, xaxis={"domain": [0, 0.48]},
        legend=_under_title(figure.layout.height),
        xaxis2={"domain": [0.52, 1], "anchor": "y"},
    )  # fmt: skip
    for axis, part in (("xaxis", upgrade), ("xaxis2", ~upgrade)):
        most = max(int(part.sum()), 1)
        figure.layout[axis].update(title=words["outages"], range=[0, most * 1.02], dtick=_step(most), tickformat=",d")
    return figure.update_yaxes(autorange="reversed", showgrid=False)


def rollout(
    analysis: Analysis, releases: pd.DataFrame | None = None, language: str = "en", timezone: str = "UTC"
) -> go.Figure:
    """Show how versions spread: the share of each product line's machines that had reached a version or a newer one.

    A step is an upgrade; around it lies the band of 95 %, see `amakit.rollout.curve`.  A machine that fell silent
    counts up to then.  Where more than six versions came, those with the most upgrades are drawn.

    Parameters
    ----------
    analysis : Analysis
    releases : pandas.DataFrame, optional
        As `amakit.releases.known` gives it, which is the default.  A release inside the window is shaded.
    language : {'en', 'ja'}
    timezone : str

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")
    >>> [trace.name for trace in rollout(found).data if trace.showlegend is not False][0]
    'Linux 1.38.1'
    """
    words, styles = _words(language), _styles(analysis)
    releases = known_releases.known() if releases is None else releases
    table = lags(analysis, releases, "start")
    came = table[table["state"] == "upgraded"].groupby(["os_type", "version"]).size().sort_values(ascending=False)
    came = (came[came > 1] if (came > 1).any() else came).head(_MOST_CURVES)
    figure = _figure(words["rollout"], height=470)
    if came.empty:
        return _empty(figure.update_layout(height=240), words)
    steps = curve(table)
    marked = releases.assign(key=[version_key(v) for v in releases["version"]])
    height = figure.layout.height
    for os_type, version in sorted(came.index, key=lambda pair: (pair[0], version_key(pair[1]))):
        own = steps[(steps["os_type"] == os_type) & (steps["version"] == version)]
        name = _told(f"{os_type} {version}")
        colour = next(s["colour"] for s in styles.values() if s["key"] == (os_type, version_key(version)))
        end = (pd.Timestamp(analysis.run["horizon"]) - analysis.window.start) / pd.Timedelta(days=1)
        if len(own) > _MOST_STEPS:  # of those that one pixel would hold, the last
            own = own[~(own["day"].clip(0, end) * _MOST_STEPS // end).duplicated(keep="last")]
        days = np.concatenate([[0.0], own["day"].clip(0, end), [end]])
        share, low, high = (np.concatenate([[0.0], own[c], own[c].iloc[-1:]]) * 100 for c in ("share", "low", "high"))
        at = _local(analysis.window.start + pd.to_timedelta(pd.Series(days), unit="D"), timezone)
        for values, fill in ((low, "rgba(0,0,0,0)"), (high - low, _faded(colour))):
            figure.add_scatter(
                x=at, y=values, stackgroup=name, line={"shape": "hv", "width": 0, "color": "rgba(0,0,0,0)"},
                fillcolor=fill, showlegend=False, hoverinfo="skip", mode="lines", legendgroup=name,
                name=f"{name} band",
            )  # fmt: skip
        figure.add_scatter(  # a rim, on which a dark line shows on dark paper too
            x=np.repeat(at, 2)[1:], y=np.repeat(share, 2)[:-1], mode="lines", name=name, legendgroup=name,
            line={"color": "rgba(160,160,160,0.7)", "width": 4.5}, showlegend=False, hoverinfo="skip",
        )  # fmt: skip
        figure.add_scatter(
            x=np.repeat(at, 2)[1:], y=np.repeat(share, 2)[:-1], mode="lines", name=name, legendgroup=name,
            line={"color": colour, "width": 2.5}, customdata=np.repeat(np.stack([low, high], axis=-1), 2, axis=0)[:-1],
            hovertemplate=f"{name}: %{{y:.0f}} % (%{{customdata[0]:.0f}}–%{{customdata[1]:.0f}} %)<br>%{{x}}"
            "<extra></extra>",
        )  # fmt: skip
        out = marked[(marked["os_type"] == os_type) & (marked["key"] == version_key(version))]
        for row in out.itertuples():
            if row.released_latest > analysis.window.start and row.released_earliest < analysis.window.end:
                ends = pd.Series([row.released_earliest, row.released_latest])
                x0, x1 = _local(ends.clip(analysis.window.start, analysis.window.end), timezone)
                figure.add_vrect(x0=x0, x1=x1, fillcolor=_GREY, line_width=0, layer="below")
                figure.add_annotation(x=x0, y=1, yref="paper", yanchor="bottom", xanchor="left", showarrow=False,
                                      text=words["released"].format(version=name))  # fmt: skip
    _hatch(figure, analysis, [], words, timezone)
    figure.update_layout(margin_t=100, legend=_under_title(height))
    figure.update_yaxes(title=words["share"], range=[-1, 102])
    span = _local(pd.Series([analysis.window.start, analysis.window.end]), timezone)
    return _time_axis(figure, words, timezone).update_xaxes(range=list(span))


def arrivals(
    analysis: Analysis, releases: pd.DataFrame | None = None, language: str = "en", timezone: str = "UTC"
) -> go.Figure:
    """Show on one time axis when versions came out and when the fleet took them up.

    Rows are the versions of the last year that are known, and those that are not but report.  A light bar is the
    interval in which a version came out, a dark one reaches from its first heartbeat to the last machine that took it
    up; a triangle says that it was there before the window.

    Parameters
    ----------
    analysis : Analysis
    releases : pandas.DataFrame, optional
        As `amakit.releases.known` gives it, which is the default.
    language : {'en', 'ja'}
    timezone : str

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")
    >>> [trace.name for trace in arrivals(found).data]
    ['came out', 'taken up in this fleet', 'there before the window']
    """
    words = _words(language)
    releases = known_releases.known() if releases is None else releases
    horizon = pd.Timestamp(analysis.run["horizon"])
    since = horizon - pd.Timedelta(days=365)
    lines = set(analysis.machines["os_type"])
    rows = {}
    for row in releases[releases["os_type"].isin(lines)].itertuples():
        if row.released_latest > since and row.released_earliest < horizon:
            rows[row.os_type, version_key(row.version)] = [row.version, row.released_earliest, row.released_latest]
    taken, runs = {}, _clipped(analysis)
    listed = {(os_type, version_key(v)) for os_type, v in releases[["os_type", "version"]].itertuples(index=False)}
    for os_type, version, first in runs[["os_type", "version", "first"]].itertuples(index=False):
        taken.setdefault((os_type, version_key(version)), []).append(first)
        if (os_type, version_key(version)) not in listed:
            rows.setdefault((os_type, version_key(version)), [version, pd.NaT, pd.NaT])
    figure = _figure(words["arrivals"], height=240)
    if not rows:
        return _empty(figure, words)
    order = sorted(rows, reverse=True)
    names = {key: _told(f"{key[0]} {rows[key][0]}") for key in order}
    out = [key for key in order if pd.notna(rows[key][1])]
    here = [key for key in order if key in taken]
    for word, keys, spans, colour in (
        ("came out", out, [rows[key][1:] for key in out], "#8FA3AD"),
        ("taken up", here, [(min(taken[key]), max(taken[key])) for key in here], "#0072B2"),
    ):
        ends = [_local(pd.Series(pd.to_datetime([span[n] for span in spans], utc=True)), timezone) for n in (0, 1)]
        figure.add_bar(
            base=ends[0], x=((ends[1] - ends[0]).dt.total_seconds() * 1000).clip(lower=0.0),
            y=[names[key] for key in keys], orientation="h", name=words[word], showlegend=True,
            marker={"color": colour, "line": {"width": 0}}, customdata=ends[1].astype("str"),
            hovertemplate=f"%{{y}}<br>{words[word]}: %{{base}} – %{{customdata}}<extra></extra>",
        )  # fmt: skip
    began = runs.sort_values("first", kind="stable").drop_duplicates(["resource_id", "computer"])
    began = began[began["first"] <= analysis.window.start + pd.Timedelta(days=1)]
    there = {(os, version_key(version)) for os, version in began[["os_type", "version"]].itertuples(index=False)}
    for word, symbol, keys in (
        ("first seen", "diamond", [key for key in here if key not in there]),
        ("there before", "triangle-left", [key for key in here if key in there]),
    ):
        first = _local(pd.Series(pd.to_datetime([min(taken[key]) for key in keys], utc=True)), timezone)
        if keys:
            figure.add_scatter(
                x=first, y=[names[key] for key in keys], mode="markers", name=words[word], showlegend=True,
                marker={"symbol": symbol, "size": 11, "color": "#D55E00", "line": {"width": 1, "color": "white"}},
                hovertemplate=f"%{{y}}<br>{words[word]}: %{{x}}<extra></extra>",
            )  # fmt: skip
    height = 170 + 27 * len(order)
    figure.update_layout(height=height, margin_t=100, legend=_under_title(height))
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=[names[key] for key in order], ticks="",
                        range=[len(order) - 0.4, -0.6], dtick=1)  # fmt: skip
    return _time_axis(figure, words, timezone)


def behind(analysis: Analysis, releases: pd.DataFrame | None = None, language: str = "en") -> go.Figure:
    """Show how many releases the machines of each product line and place are behind.

    Parameters
    ----------
    analysis : Analysis
    releases : pandas.DataFrame, optional
        As `amakit.releases.known` gives it, which is the default.
    language : {'en', 'ja'}

    Returns
    -------
    plotly.graph_objects.Figure
        One stacked bar per system and place; silent machines stand apart.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")
    >>> sum(sum(bar.x) for bar in behind(found).data) == len(found.machines)
    True
    """
    words = _words(language)
    table = standing(analysis, known_releases.known() if releases is None else releases)
    figure = _figure(words["behind"], height=240)
    if table.empty:
        return _empty(figure, words)
    short = table["place"].str.rsplit("/", n=1).str[-1]
    twins = table.assign(short=short).groupby("short")["place"].nunique()
    whole = table["place"].str.replace(
        r"^/subscriptions/[^/]*?([^/]{1,8})/resourcegroups/(.*)$", r"\2 (…\1)", regex=True)  # fmt: skip
    place = short.where(short.map(twins) <= 1, whole).where(table["place"] != "", words["no place"])
    label = pd.Series([_told(f"{os} · {where}", 60) for os, where in zip(table["os_type"], place, strict=True)])
    sizes = label.value_counts()
    names = sorted(sizes.index[:_MOST_PLACES])
    levels = np.searchsorted([most for most, *_ in _BEHIND], table["behind"])
    silent = (table["state"] == "silent").to_numpy()
    unreadable = table["behind"].isna().to_numpy() & ~silent
    parts = [(words["level"][n], (levels == n) & ~silent & ~unreadable, colour, pattern)
             for n, (_, colour, pattern) in enumerate(_BEHIND)]  # fmt: skip
    parts += [(words["level"][-2], silent, "#4D4D4D", "|"), (words["level"][-1], unreadable, "#B0B0B0", "\\")]
    most = int(sizes.max())
    for name, rows, colour, pattern in parts:
        if not rows.any():
            continue
        numbers = label[rows].value_counts().reindex(names, fill_value=0).tolist()
        figure.add_bar(
            x=numbers, y=names, orientation="h", name=name, showlegend=True,
            marker={"color": colour, "line": {"width": 0}, "pattern": {
                "shape": pattern, "fgcolor": "white", "fgopacity": 0.35, "size": 8, "fillmode": "overlay"}},
            text=[f"<b>{n:,}</b>" if n > most * 0.015 * len(f"{n:,}") else "" for n in numbers],
            textposition="inside", insidetextanchor="middle", textangle=0, constraintext="none",
            textfont={"color": "#1f2328" if colour not in ("#4D4D4D", "#8A3C00") else "#ffffff"},
            hovertemplate=f"%{{y}}<br>{name}: %{{x}} {words['machines']}<extra></extra>",
        )  # fmt: skip
    height = 190 + 32 * len(names)
    figure.update_layout(barmode="stack", height=height, margin_t=100, legend=_under_title(height))
    figure.update_xaxes(title=words["machines"], range=[0, most * 1.02], dtick=_step(most), tickformat=",d")
    return figure.update_yaxes(autorange="reversed", showgrid=False, ticks="")


# -- parts --------------------------------------------------------------------------------------------------


def _light(figure):
    """Lay a raster under the marks as an image: a widget would send it number by number, there and back.

    What is left of the heatmap is one cell for each row, which tells of its machine and is clicked, and the colour bar.
    """
    from PIL import Image

    for raster in list(figure.select_traces({"type": "heatmap"})):
        shades = [_rgba(shade) for _, shade in raster.colorscale[::2]]
        image = Image.fromarray(raster.z, "P")
        image.putpalette([part for shade in shades for part in shade], "RGBA")
        file = io.BytesIO()
        image.save(file, format="png")
        step = (raster.x[1] - raster.x[0]) / np.timedelta64(1, "ms")
        start = pd.Timestamp(raster.x[0]) - pd.Timedelta(milliseconds=step / 2)
        figure.add_layout_image(
            source="data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii"), layer="below",
            xref="x", yref="y", x=start, y=-0.5, sizex=step * raster.z.shape[1], sizey=raster.z.shape[0],
            sizing="stretch", yanchor="top",
        )  # fmt: skip
        figure.add_scatter(
            x=[None], y=[None], mode="markers", showlegend=False,
            marker={"color": [0], "cmin": raster.zmin, "cmax": raster.zmax, "colorscale": raster.colorscale,
                    "colorbar": raster.colorbar.to_plotly_json(), "showscale": True},
        )  # fmt: skip
        ends = [start, start + pd.Timedelta(milliseconds=step * raster.z.shape[1])]
        raster.update(x=ends, z=raster.z[:, -1:].tolist(), opacity=0, showscale=False,
                      hovertemplate="%{y}<extra></extra>")  # fmt: skip
    return figure


def _rgba(shade):
    """Read a colour of the palette, or one that is written as rgba()."""
    if shade.startswith("#"):
        return [*(int(shade[n : n + 2], 16) for n in (1, 3, 5)), 255]
    *colour, share = re.findall(r"[\d.]+", shade)
    return [*map(int, colour), round(255 * float(share))]


def _faded(colour, share=0.18):
    """Give a colour of the palette, so faint that others show through."""
    red, green, blue = (int(colour[n : n + 2], 16) for n in (1, 3, 5))
    return f"rgba({red},{green},{blue},{share})"


def _figure(title, height):
    """Make an empty figure in the one style of the kit: dark where plotly's own default template is a dark one."""
    from plotly.io import templates

    return go.Figure(layout={
        "template": theme("dark" in (templates.default or "")), "height": height, "title": {"text": title},
        "barmode": "overlay", "margin": {"l": 20, "r": 20, "t": 50, "b": 50},
    })  # fmt: skip


def _empty(figure, words):
    figure.add_annotation(text=words["nothing"], showarrow=False, font={"size": 16}, xref="paper", yref="paper",
                          x=0.5, y=0.5)  # fmt: skip
    return figure.update_xaxes(visible=False).update_yaxes(visible=False)


def _time_axis(figure, words, timezone):
    day, finer = "%m-%d\n%Y", "%H:%M\n%m-%d"
    stops = [{"dtickrange": [None, 86_399_999], "value": finer}, {"dtickrange": [86_400_000, None], "value": day}]
    return figure.update_xaxes(
        title=words["time"].format(zone=timezone), type="date", tickformatstops=stops, hoverformat="%Y-%m-%d %H:%M:%S"
    )


def _hatch(figure, analysis, labels, words, timezone):
    """Hatch the time of which nothing is known of Heartbeat: in each row, or as a band where there are no rows."""
    for stretch in analysis.run["unknown"]:
        if stretch["table"] != "Heartbeat":
            continue
        start, end = _local(pd.Series(pd.to_datetime([stretch["start"], stretch["end"]], utc=True)), timezone)
        if not len(labels):
            figure.add_vrect(x0=start, x1=end, fillcolor="rgba(128,128,128,0.3)", line_width=0, layer="above",
                             annotation_text=words["unknown"], annotation_position="top left")  # fmt: skip
            continue
        seconds = (end - start).total_seconds()
        figure.add_bar(
            base=[start] * len(labels), x=[seconds * 1000] * len(labels), y=list(labels), orientation="h",
            name=words["unknown"], legendgroup="unknown", width=0.9,
            showlegend=not any(trace.legendgroup == "unknown" for trace in figure.data),
            marker={"color": "rgba(128,128,128,0.25)", "line": {"width": 0},
                    "pattern": {"shape": "/", "fgcolor": "#7F7F7F", "size": 6, "fillmode": "overlay"}},
            hovertemplate=f"{words['unknown']}<extra></extra>",
        )  # fmt: skip


def _styles(analysis):
    """Give each product line and version its colour and pattern, the same in every chart."""
    pairs = pd.concat([analysis.runs, analysis.machines])[["os_type", "version"]].drop_duplicates()
    keys = sorted({(os, version_key(version)) for os, version in pairs.itertuples(index=False)})
    spelled = {(os, version_key(v)): v for os, v in sorted(pairs.itertuples(index=False, name=None), reverse=True)}
    return {
        _told(f"{key[0]} {spelled[key]}".strip()): {
            "key": key,
            "colour": _COLOURS[n % len(_COLOURS)],
            "pattern": {"shape": _PATTERNS[(n + n // len(_COLOURS)) % len(_PATTERNS)],  # no pair comes twice before 128
                        "fgcolor": "white", "fgopacity": 0.45, "size": 8,
                        "fillmode": "overlay"},
        }
        for n, key in enumerate(keys)
    }  # fmt: skip


def _labels(frame, styles):
    by_key = {style["key"]: name for name, style in styles.items()}
    pairs = zip(frame["os_type"], frame["version"], strict=True)
    return pd.Series([by_key[os, version_key(v)] for os, v in pairs], index=frame.index, dtype="str")


def _rows(analysis):
    """Give each machine its row, number and label, those that changed first at the top."""
    machines = analysis.machines[["resource_id", "computer", "os_type"]].copy()
    first = analysis.transitions.groupby(["resource_id", "computer"])["first_new"].min().rename("changed")
    machines = machines.merge(first, how="left", on=["resource_id", "computer"])
    machines = machines.sort_values(["os_type", "changed", "computer", "resource_id"], ignore_index=True)
    label = machine_labels(machines).map(_told)
    again = label.groupby(label).cumcount()  # shortened names may meet; a row needs one of its own
    label = label.where(again == 0, label + " (" + (again + 1).astype("str") + ")")
    return machines.assign(label=label, row=range(len(machines))).drop(columns=["os_type", "changed"])


def _shared(rows):
    """Let neighbours share a label, and with it a line, where there are more machines than lines; keep their names."""
    line = rows["row"] // max(-(-len(rows) // _MOST_LINES), 1)
    ends = rows["label"].groupby(line).agg(["first", "last"])
    label = ends["first"].where(ends["first"] == ends["last"], ends["first"] + " – " + ends["last"])
    return rows.assign(name=rows["label"], label=line.map(label))


def _told(text, limit=40):
    """Make text from outside safe for plotly, which reads a little HTML and, in hovers, ``%{…}``."""
    return html.escape(visible(text, limit)).replace("%{", "&#37;{")


def _words(language):
    return texts(language)["charts"]


def _clipped(analysis):
    """Give the runs as far as they lie in the window."""
    runs = analysis.runs[analysis.runs["beats"] > 0]
    return runs.assign(first=runs["first"].clip(lower=analysis.window.start))


def _local(times, timezone):
    """Turn instants into the wall clock of a zone: plotly draws what it is given and knows no zones."""
    if isinstance(times, pd.Series):
        return times.dt.tz_convert(timezone).dt.tz_localize(None).dt.as_unit("us")  # a widget draws no nanoseconds
    return times.tz_convert(timezone).tz_localize(None).as_unit("us")


def _versions(figure, analysis, rows, many, words, timezone):
    """Draw the versions of some machines over time; give the stretches that were drawn."""
    figure.update_layout(margin_t=50 if many else 110)
    runs = _broken(_clipped(analysis), analysis).merge(rows, on=_MACHINE)
    if len(runs):
        (_raster if many else _bars)(figure, analysis, rows, runs, _styles(analysis), words, timezone)
    return runs


def _rowed(figure, analysis, rows, many, words, timezone):
    """Lay the rows of machines and the time axis under what was drawn."""
    lines = rows["label"].unique()
    figure.update_yaxes(
        type="category", categoryorder="array", categoryarray=lines, range=[len(lines) - 0.5, -0.5],
        showticklabels=not many, ticks="", dtick=1, showgrid=False,
        title=_counted(rows, lines, words) if many else None,
    )  # fmt: skip
    _hatch(figure, analysis, [] if many else rows["label"], words, timezone)
    span = _local(pd.Series([analysis.window.start, analysis.window.end]), timezone)
    return _time_axis(figure, words, timezone).update_xaxes(range=list(span))


def _counted(rows, lines, words):
    told = f"{len(rows):,} {words['machines']}"
    if len(lines) == len(rows):
        return told
    return words["in each row"].format(machines=told, n=int((rows["label"] == lines[0]).sum()))


def _broken(runs, analysis):
    """Break runs where the agent surely delivered nothing although its version stayed."""
    away = analysis.outages[analysis.outages["cause"] != "disconnected"]
    away = away[[*_MACHINE, "start_latest", "end_earliest"]].dropna()
    runs = runs.rename_axis("run").reset_index()
    cuts = runs[["run", *_MACHINE, "first", "last"]].merge(away, on=_MACHINE)
    cuts = cuts[(cuts["first"] < cuts["start_latest"]) & (cuts["end_earliest"] < cuts["last"])]
    ends = {
        "first": pd.concat([runs[["run", "first"]], cuts[["run", "end_earliest"]].set_axis(["run", "first"], axis=1)]),
        "last": pd.concat([runs[["run", "last"]], cuts[["run", "start_latest"]].set_axis(["run", "last"], axis=1)]),
    }
    ends = {name: part.sort_values(["run", name], ignore_index=True) for name, part in ends.items()}
    parts = ends["first"].assign(last=ends["last"]["last"]).merge(runs.drop(columns=["first", "last"]), on="run")
    return parts[parts["first"] <= parts["last"]].drop(columns="run")


def _bars(figure, analysis, rows, runs, styles, words, timezone):
    label = _labels(runs, styles)
    for name, style in styles.items():
        part = runs[label == name]
        if part.empty:
            continue
        start, end = _local(part["first"], timezone), _local(part["last"], timezone)
        figure.add_bar(
            base=start, x=(end - start).dt.total_seconds() * 1000, y=part["label"], orientation="h", name=name,
            marker=_marker(style),
            customdata=np.stack([part["label"], start.astype("str"), end.astype("str")], axis=-1),
            hovertemplate=f"%{{customdata[0]}}<br>{name}<br>%{{customdata[1]}} – %{{customdata[2]}}<extra></extra>",
        )  # fmt: skip


def _raster(figure, analysis, rows, runs, styles, words, timezone, columns=720):
    """Draw the fleet as one image: 0 is silence, n the n-th version."""
    edges = np.linspace(0, analysis.window.seconds, columns + 1)
    number = {name: n for n, name in enumerate(styles, start=1)}
    value = _labels(runs, styles).map(number).to_numpy()
    from_start = (runs["first"] - analysis.window.start).dt.total_seconds().to_numpy()
    to_end = (runs["last"] - analysis.window.start).dt.total_seconds().to_numpy()
    left = np.searchsorted(edges, from_start, side="right") - 1
    right = np.searchsorted(edges, to_end, side="left").clip(left + 1)
    cells = np.zeros((len(rows), columns), dtype="uint8")
    for row, a, b, n in zip(runs["row"], left, right, value, strict=True):
        cells[row, a:b] = n
    starts = np.flatnonzero(~rows["label"].duplicated())
    if len(starts) < len(rows):
        votes = [np.add.reduceat(cells == n, starts, axis=0, dtype="uint16") for n in range(len(styles) + 1)]
        cells = np.argmax(votes, axis=0).astype("uint8")
    shades = ["rgba(128,128,128,0.12)", *(_COLOURS[(n - 1) % len(_COLOURS)] for n in number.values())]
    steps = np.repeat(np.linspace(0, 1, len(shades) + 1), 2)[1:-1]
    moments = _local(analysis.window.start + pd.to_timedelta((edges[:-1] + edges[1:]) / 2, unit="s"), timezone)
    figure.add_heatmap(
        z=cells, x=moments, y=rows["label"].unique(), zmin=-0.5, zmax=len(shades) - 0.5,
        colorscale=[[float(step), shade] for step, shade in zip(steps, np.repeat(shades, 2), strict=True)],
        colorbar={"tickvals": list(range(len(shades))), "thickness": 14,
                  "ticktext": ["0 –", *(f"{n} {name}" for name, n in number.items())]},
        hovertemplate=f"%{{y}}<br>%{{x}}<br>{words['version']} %{{z}}<extra></extra>",
    )  # fmt: skip


def _marker(style):
    return {"color": style["colour"], "pattern": style["pattern"], "line": {"width": 0}}


def _under_title(height):
    """Place the legend under the title where labels stand right above the plot."""
    return {"y": 1 - 40 / height, "yref": "container", "yanchor": "top", "x": 0, "xref": "container"}


def _cause(cause, words):
    return words.get(f"cause {cause}", _told(cause))


def _step(most):
    """Space ticks of whole numbers: ten of them at most."""
    return next(step for n in range(12) for step in (10**n, 2 * 10**n, 5 * 10**n) if most / step <= 10)


def _name(analysis, row):
    fleet = analysis.machines
    called = machine_labels(fleet)[
        (fleet["resource_id"] == row["resource_id"]) & (fleet["computer"] == row["computer"])
    ]
    return _told(called.iloc[0] if len(called) else row["computer"])


def _spans(outages, words):
    """Tell how long outages lasted, with their bounds, in minutes and seconds."""
    ends = outages[["downtime_s", "downtime_low_s", "downtime_high_s"]]
    told = ends.map(lambda s: words["goes on"] if pd.isna(s) else f"{round(s) // 60}:{round(s) % 60:02}")
    bounds = " (" + told["downtime_low_s"] + "–" + told["downtime_high_s"] + ")"
    return told["downtime_s"] + bounds.where(ends["downtime_s"].notna(), "")


def _pairs(outages):
    """Tell the version before and after; one that stayed once."""
    old, new = (outages[name].map(_told) for name in ("from_version", "to_version"))
    return old.where(old == new, old + " → " + new.where(new != "", "–"))


def _view(row, analysis):
    """Give the stretch of time that is worth looking at: the outage and about as much on either side.

    Of an outage that goes on the first hour is shown.
    """
    if pd.isna(row["end_latest"]):
        end = min(pd.Timestamp(analysis.run["horizon"]), row["start_earliest"] + pd.Timedelta(hours=1))
        return row["start_earliest"] - pd.Timedelta(minutes=20), max(end, row["start_latest"])
    beside = max(row["end_latest"] - row["start_earliest"], pd.Timedelta(minutes=5))
    beside = min(beside, pd.Timedelta(minutes=40))  # so far at least are samples read
    return row["start_earliest"] - beside, row["end_latest"] + beside


def _streams(analysis, row, view, words):
    """Give the streams of a machine around an outage, with what each lost."""
    own = analysis.gaps[
        (analysis.gaps["resource_id"] == row["resource_id"]) & (analysis.gaps["computer"] == row["computer"])
        & (analysis.gaps["outage_start"] == row["start_earliest"])
    ]  # fmt: skip
    own = own.assign(slow=own["interval_s"] >= SLOW).sort_values(["slow", "interval_s", "data_type", "stream"])
    labels, told = [], []
    for part in own.itertuples():
        name = " · ".join(filter(None, [part.data_type, re.sub(r"( \\)+ *$", "", part.stream)]))
        label = _told(name, 46)
        if pd.notna(part.interval_s):
            label += f" ({words['every'].format(interval=_interval(part.interval_s, words))})"
        while label in labels:
            label += "\u200b"  # two rows of one name stay two rows
        labels.append(label)
        bounds = "" if part.lost_low == part.lost_high else f" ({part.lost_low:,}–{part.lost_high:,})"
        unseen = part.slow and part.lost_low == 0
        told.append(words["unseen"] if unseen else f"{words['lost']} {part.lost:,}{bounds}")
    return own.assign(label=labels, told=told)


def _interval(seconds, words):
    for size, unit in zip((3600, 60, 0), words["units"], strict=True):
        if round(seconds) >= size:
            return f"{round(seconds / (size or 1), 1):g} {unit}"
    return ""


def _ticks(figure, analysis, row, view, streams, words, timezone):
    """Draw the samples as ticks and those that are missing as crosses."""
    seen = analysis.samples[
        (analysis.samples["resource_id"] == row["resource_id"]) & (analysis.samples["computer"] == row["computer"])
        & analysis.samples["TimeGenerated"].between(*view)
    ].merge(streams[["data_type", "stream", "label"]], on=["data_type", "stream"])  # fmt: skip
    times, labels = [], []
    for part in streams.itertuples():
        if pd.isna(part.interval_s) or not part.lost or pd.isna(part.last_before):
            continue
        step = pd.Timedelta(seconds=part.interval_s)
        first = part.last_before + step * (max(np.ceil((row["start_earliest"] - part.last_before) / step), 1))
        count = min(int(part.lost), int(max((view[1] - first) / step, -1)) + 1)
        times += [first + step * n for n in range(count)]
        labels += [part.label] * count
    for name, symbol, colour, x, y in (
        ("sample", "line-ns", "#0072B2", seen["TimeGenerated"], seen["label"]),
        ("missing", "x-thin", "#D55E00", pd.Series(pd.to_datetime(times, utc=True)), labels),
    ):
        figure.add_scatter(
            x=_local(x, timezone), y=y, mode="markers", name=words[name],
            marker={"symbol": symbol, "size": 13 if name == "sample" else 7, "color": colour,
                    "line": {"width": 1.6, "color": colour}},
            hovertemplate=f"%{{y}}<br>%{{x}}<extra>{words[name]}</extra>",
        )  # fmt: skip


def _marks(figure, row, view, words, timezone):
    """Mark the instants that the evidence names; those too close to be told apart share a number."""
    spots = []
    for n, part in enumerate(evidence(row["evidence"]), start=1):
        for text in re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", part)[:1]:
            at = pd.Timestamp(text, tz="UTC")
            if view[0] <= at <= view[1]:
                spots.append((at, n))
    spots.sort()
    shared = []
    for at, n in spots:
        if shared and at - shared[-1][0] < (view[1] - view[0]) / 25:
            shared[-1][1].append(n)
        else:
            shared.append((at, [n]))
    at = pd.Series(pd.to_datetime([at for at, _ in spots], utc=True))
    named = {at: ", ".join(map(str, sorted(numbers))) for at, numbers in shared}
    figure.add_scatter(
        x=_local(at, timezone), y=[words["evidence"]] * len(spots), mode="markers+text", name=words["evidence"],
        text=[named.pop(at, "") for at, _ in spots], textposition="middle left",
        marker={"symbol": "diamond", "size": 9, "color": "#009E73"}, cliponaxis=False,
        customdata=[n for _, n in spots], hovertemplate="%{customdata}<br>%{x}<extra></extra>",
    )  # fmt: skip


def _shades(figure, row, view, horizon, words, timezone):
    """Shade the brackets and what lies between them, and label both ends."""
    first, sure = row["start_earliest"], row["start_latest"]
    back, last = (view[1] if pd.isna(row[end]) else row[end] for end in ("end_earliest", "end_latest"))
    bands = [("surely", 0.42, sure, back)] if sure < back else []
    bands += [("perhaps", 0.16, first, min(sure, back)), ("perhaps", 0.16, max(sure, back), last)]
    if sure >= back:  # the brackets meet: nowhere surely blind
        bands = [("perhaps", 0.16, first, last)]
    for _, depth, left, right in bands:
        if left < right:
            x0, x1 = _local(pd.Series([left, right]), timezone)
            figure.add_vrect(x0=x0, x1=x1, fillcolor=f"rgba(128,128,128,{depth})", line_width=0, layer="below")
    for name, depth in (("surely", 0.42), ("perhaps", 0.16)):  # a shade has no place in the legend of its own
        figure.add_scatter(x=[None], y=[None], mode="markers", name=words[name],
                           marker={"symbol": "square", "size": 14, "color": f"rgba(128,128,128,{depth})"})  # fmt: skip
    ends = [("began", first, sure, "right", first)]
    if pd.notna(row["end_latest"]):
        ends.append(("ended", back, last, "left", last))
    for name, left, right, side, at in ends:
        left, right, at = _local(pd.Series([left, right, at]), timezone)
        figure.add_annotation(x=at, y=1, yref="paper", yanchor="bottom", xanchor=side, align=side, showarrow=False,
                              text=f"{words[name]}<br>{left:%H:%M:%S} – {right:%H:%M:%S}")  # fmt: skip
    if pd.isna(row["end_latest"]):
        at, horizon = _local(pd.Series([view[1], pd.Timestamp(horizon)]), timezone)
        figure.add_annotation(x=at, y=1, yref="paper", yanchor="bottom", xanchor="right", align="right",
                              showarrow=False, text=f"{words['not back']}<br>{horizon:%m-%d %H:%M}")  # fmt: skip


def _points(figure, analysis, own, words):
    """Draw each upgrade as a point with its bounds, one under the other, pair by pair."""
    place, at, ticks, edges = -0.5, [], {}, []
    for name, part in own.groupby("pair", sort=False):
        lines = place + 1 + np.arange(len(part))
        ticks[f"{name} ({len(part)})"] = lines.mean()
        at.extend(lines)
        place = lines[-1] + 0.8
        edges.append(place + 0.1)
        place += 0.2
    own = own.assign(at=at)
    for os, part in own.groupby("os_type"):
        colour, symbol = _OS_LOOKS.get(os, (_COLOURS[2], "diamond"))
        minutes = part[["downtime_s", "downtime_low_s", "downtime_high_s"]] / 60
        labels = [_name(analysis, row) for _, row in part.iterrows()]
        figure.add_scatter(
            x=minutes["downtime_s"], y=part["at"], mode="markers", name=_told(os),
            marker={"color": colour, "symbol": symbol, "size": 8},
            error_x={"type": "data", "symmetric": False, "array": minutes["downtime_high_s"] - minutes["downtime_s"],
                     "arrayminus": minutes["downtime_s"] - minutes["downtime_low_s"], "color": colour, "thickness": 1.4,
                     "width": 3},
            customdata=np.stack([labels, minutes["downtime_low_s"].map("{:.2f}".format),
                                 minutes["downtime_high_s"].map("{:.2f}".format)], axis=-1),
            hovertemplate=f"%{{customdata[0]}}<br>%{{x:.2f}} {words['minutes']} "
                          "(%{customdata[1]}–%{customdata[2]})<extra></extra>",
        )  # fmt: skip
    for edge in edges[:-1]:
        figure.add_hline(y=edge, line={"color": _GREY, "width": 1})
    figure.update_layout(height=170 + 19 * len(own) + 8 * len(ticks), margin_t=90)
    figure.update_yaxes(tickvals=list(ticks.values()), ticktext=list(ticks), showgrid=False, ticks="",
                        range=[place + 0.5, -0.5])  # fmt: skip


def _boxes(figure, analysis, own, words):
    """Draw each pair as a box from its percentiles; the points themselves stay out of the page."""
    shares = (
        own.groupby(["os_type", "pair"], sort=False)["downtime_s"].quantile([0.05, 0.25, 0.5, 0.75, 0.95]).unstack()
    )
    counts = own["pair"].value_counts()
    shown = set()
    for (os, pair), (lowest, low, middle, high, highest) in zip(shares.index, (shares / 60).to_numpy(), strict=True):
        colour, symbol = _OS_LOOKS.get(os, (_COLOURS[2], "diamond"))
        figure.add_box(
            y=[f"{pair} ({counts[pair]:,})"], q1=[low], median=[middle], q3=[high], lowerfence=[lowest],
            upperfence=[highest], orientation="h", name=_told(os), legendgroup=os, showlegend=os not in shown,
            line={"color": colour}, fillcolor="rgba(0,114,178,0.3)" if symbol == "circle" else "rgba(0,0,0,0)",
            hoverinfo="x+name",
        )  # fmt: skip
        shown.add(os)
    figure.update_layout(height=190 + 34 * len(shares), margin_t=90)
    figure.update_yaxes(autorange="reversed", ticks="")
