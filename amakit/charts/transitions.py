"""Charts of a fleet: which versions it runs, and who changed when."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from amakit.analysis import Analysis
from amakit.charts.style import (
    CAUSE_LOOKS,
    GREY,
    MOST_ROWS,
    cause_label,
    chart_words,
    downtimes_in_words,
    empty_figure,
    escaped,
    figure_without_data,
    hatch,
    machine_rows,
    time_axis,
    under_title,
    version_changes,
    wall_clock,
)
from amakit.charts.versions import draw_versions, marker_of, runs_in_window, version_labels, version_styles
from amakit.schemas import MACHINE

#: Up to here each machine gets bars and a name of its own; beyond, the fleet is one raster.
_MOST_BARS = 120
#: Lines of a raster in a page, which has fewer pixels; of a larger fleet several machines share a line.
_MOST_LINES = 1000
#: Marks in a map of a fleet; those of the longest outages are drawn.
_MOST_MARKS = 1000


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
    words, styles = chart_words(language), version_styles(analysis)
    label = version_labels(analysis.machines, styles)
    counts = label.value_counts()
    figure = empty_figure(words["inventory"], height=160 + 30 * len(counts))
    for name, style in styles.items():
        if name in counts:
            figure.add_bar(
                x=[int(counts[name])],
                y=[name],
                orientation="h",
                name=name,
                marker=marker_of(style),
                showlegend=False,
                text=[f"{counts[name]}"],
                textposition="outside",
                cliponaxis=False,
                hovertemplate=f"{name}<br>%{{x}} {words['machines']}<extra></extra>",
            )
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
    words, rows = chart_words(language), _shared(machine_rows(analysis))
    many = len(rows) > _MOST_BARS
    figure = empty_figure(words["timeline"], height=900 if many else 220 + 19 * len(rows))
    if draw_versions(figure, analysis, rows, many, words, timezone).empty:
        return figure_without_data(figure, words)
    changes = analysis.transitions.merge(rows, on=MACHINE)
    for kind, symbol in (("upgrade", "triangle-right"), ("downgrade", "triangle-left")):
        part = changes[changes["kind"] == kind]
        if part.empty or (many and kind == "upgrade"):  # in a raster an upgrade shows as an edge of colour
            continue
        span = part["from_version"].map(escaped) + " → " + part["to_version"].map(escaped)
        figure.add_scatter(
            x=wall_clock(part["first_new"], timezone),
            y=part["label"],
            mode="markers",
            name=words[kind],
            marker={"symbol": symbol, "size": 9, "color": "white", "line": {"color": "black", "width": 1.4}},
            customdata=np.stack([part["name"], span, wall_clock(part["last_old"], timezone).astype("str")], axis=-1),
            hovertemplate=f"%{{customdata[0]}}<br>%{{customdata[1]}}<br>{words['last old']} %{{customdata[2]}}"
            f"<br>{words['first new']} %{{x}}<extra></extra>",
        )
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
    words, rows = chart_words(language), machine_rows(analysis)
    if machines is not None:
        rows = rows.merge(machines[MACHINE], on=MACHINE)
        rows = rows.assign(row=range(len(rows)))
    many = len(rows) > MOST_ROWS
    figure = empty_figure(words["fleet"], height=640 if many else 190 + 15 * max(len(rows), 4))
    if draw_versions(figure, analysis, rows, many, words, timezone).empty:
        return figure_without_data(figure, words)
    own = (analysis.outages if outages is None else outages).rename_axis("outage").reset_index()
    own = own.merge(rows, on=MACHINE)
    length = own["downtime_s"].fillna(np.inf)
    own = own[length.rank(method="first", ascending=False) <= _MOST_MARKS]
    for name, (colour, symbol) in CAUSE_LOOKS.items():
        part = own[own["cause"] == name]
        if len(part):
            figure.add_scatter(
                x=wall_clock(part["start_earliest"], timezone),
                y=part["label"],
                mode="markers",
                name=cause_label(name, words),
                marker={
                    "symbol": symbol,
                    "size": 6 if many else 10,
                    "color": colour,
                    "line": {"width": 0.5 if many else 1.2, "color": "white"},
                },
                customdata=np.stack(
                    [
                        part["label"],
                        downtimes_in_words(part, words),
                        version_changes(part),
                        part["outage"].astype("str"),
                    ],
                    axis=-1,
                ),
                hovertemplate=f"%{{customdata[0]}}<br>{cause_label(name, words)}<br>%{{x}}<br>{words['blind']} "
                "%{customdata[1]}<br>%{customdata[2]}<extra></extra>",
            )
    _rowed(figure, analysis, rows, many, words, timezone)
    # hung on the title, the legend may wrap as the page is narrow and never reaches the rows
    top = 60 + 21 * -(-sum(trace.type != "heatmap" for trace in figure.data) // 4)
    height = 640 if many else 80 + top + 15 * max(len(rows), 4)
    figure.update_layout(height=height, margin_t=top, legend=under_title(height))
    figure.update_xaxes(
        showspikes=True,
        spikemode="across",
        spikesnap="cursor",
        spikethickness=1,
        spikecolor="#8C8C8C",
        spikedash="solid",
    )
    figure.update_yaxes(tickfont={"size": 11})
    return figure


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
    words, styles = chart_words(language), version_styles(analysis)
    runs = runs_in_window(analysis)
    runs = runs[runs["line"] == 0]
    figure = empty_figure(words["adoption"], height=460)
    figure.update_layout(margin_t=110)
    if runs.empty:
        return figure_without_data(figure, words)
    following = runs.groupby(MACHINE)["first"].shift(-1)
    until = following.fillna(runs["last"])
    moments = pd.date_range(analysis.window.start, analysis.window.end, periods=points, unit="us")
    label = version_labels(runs, styles)
    for name, style in styles.items():
        on, off = (np.sort(wall_clock(times[label == name], "UTC").to_numpy()) for times in (runs["first"], until))
        at = wall_clock(moments, "UTC").to_numpy()
        count = np.searchsorted(on, at, side="right") - np.searchsorted(off, at, side="left")
        if count.any():
            figure.add_scatter(
                x=wall_clock(moments, timezone),
                y=count,
                name=name,
                stackgroup="all",
                line={"shape": "hv", "width": 1, "color": style["colour"]},
                fillcolor=style["colour"],
                hovertemplate=f"{name}: %{{y}}<extra></extra>",
            )
    hatch(figure, analysis, [], words, timezone)
    figure.update_layout(hovermode="x unified")
    figure.update_yaxes(title=words["machines"], rangemode="tozero")
    time_axis(figure, words, timezone)
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
    words = chart_words(language)
    seen = analysis.transitions.query("kind == 'upgrade'")["first_new"].dt.tz_convert(timezone)
    counts = np.zeros((7, 24), dtype="uint16")
    np.add.at(counts, (seen.dt.day_of_week, seen.dt.hour), 1)
    figure = empty_figure(words["clock"], height=330)
    figure.add_heatmap(
        z=counts,
        x=list(range(24)),
        y=words["days"],
        xgap=2,
        ygap=2,
        showscale=False,
        text=np.where(counts > 0, counts.astype("str"), ""),
        texttemplate="%{text}",
        colorscale=[[0, GREY], [1e-9, "#D6ECFA"], [1, "#56B4E9"]],
        zmin=0,
        zmax=max(int(counts.max()), 1),
        textfont={"color": "#1f2328"},
        hovertemplate=f"%{{y}} %{{x}}:00–%{{x}}:59<br>%{{z}} {words['upgrades']}<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(title=words["hour"].format(zone=timezone), dtick=2, showgrid=False)
    return figure


def _shared(rows):
    """Let neighbours share a label, and with it a line, where there are more machines than lines; keep their names."""
    line = rows["row"] // max(-(-len(rows) // _MOST_LINES), 1)
    ends = rows["label"].groupby(line).agg(["first", "last"])
    label = ends["first"].where(ends["first"] == ends["last"], ends["first"] + " – " + ends["last"])
    return rows.assign(name=rows["label"], label=line.map(label))


def _rowed(figure, analysis, rows, many, words, timezone):
    """Lay the rows of machines and the time axis under what was drawn."""
    lines = rows["label"].unique()
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=lines,
        range=[len(lines) - 0.5, -0.5],
        showticklabels=not many,
        ticks="",
        dtick=1,
        showgrid=False,
        title=_counted(rows, lines, words) if many else None,
    )
    hatch(figure, analysis, [] if many else rows["label"], words, timezone)
    span = wall_clock(pd.Series([analysis.window.start, analysis.window.end]), timezone)
    return time_axis(figure, words, timezone).update_xaxes(range=list(span))


def _counted(rows, lines, words):
    told = f"{len(rows):,} {words['machines']}"
    if len(lines) == len(rows):
        return told
    return words["in each row"].format(machines=told, n=int((rows["label"] == lines[0]).sum()))
