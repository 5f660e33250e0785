"""Chart of an incident: every machine that was hit, on one axis of time."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from amakit.analysis import Analysis
from amakit.charts.style import (
    CAUSE_LOOKS,
    cause_label,
    chart_words,
    downtimes_in_words,
    empty_figure,
    figure_without_data,
    hatch,
    machine_rows,
    time_axis,
    under_title,
    version_changes,
    wall_clock,
)
from amakit.prose import facts
from amakit.schemas import MACHINE


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
    words = chart_words(language)
    own = analysis.outages.merge(machine_rows(analysis)[["resource_id", "computer", "label"]], on=MACHINE)
    if own.empty:
        return figure_without_data(empty_figure(words["incident"], height=240), words)
    horizon = pd.Timestamp(analysis.run["horizon"])
    last = own["end_latest"].fillna(max(horizon, own["start_latest"].max()))
    own = own.assign(last=last, length=(last - own["start_earliest"]).dt.total_seconds())
    longest = own.groupby("label")["length"].max().sort_values(ascending=False, kind="stable")
    own = own[own["label"].isin(longest.index[: facts.DRAWN])]
    rows = own.groupby("label")["start_earliest"].min().sort_values(kind="stable").index
    many = len(longest) > facts.DRAWN
    figure = empty_figure(words["incident more"].format(n=facts.DRAWN) if many else words["incident"], height=240)
    for name, (colour, symbol) in CAUSE_LOOKS.items():
        part = own[own["cause"] == name]
        if part.empty:
            continue
        shown = cause_label(name, words)
        first, last = wall_clock(part["start_earliest"], timezone), wall_clock(part["last"], timezone)
        breaks = pd.Series(pd.NaT, index=first.index)
        figure.add_scatter(
            x=pd.concat([first, last, breaks], axis=1).to_numpy().ravel(), y=np.repeat(part["label"].to_numpy(), 3),
            mode="lines", line={"color": colour, "width": 5}, name=shown, legendgroup=name, showlegend=False,
            hoverinfo="skip",
        )  # fmt: skip
        figure.add_scatter(
            x=first, y=part["label"], mode="markers", name=shown, legendgroup=name, showlegend=True,
            marker={"symbol": symbol, "size": 10, "color": colour, "line": {"width": 1, "color": "white"}},
            customdata=np.stack([part["label"], downtimes_in_words(part, words), version_changes(part)], axis=-1),
            hovertemplate=f"%{{customdata[0]}}<br>{shown}<br>%{{x}}<br>{words['blind']} %{{customdata[1]}}<br>"
                          "%{customdata[2]}<extra></extra>",
        )  # fmt: skip
    hatch(figure, analysis, rows, words, timezone)
    height = 180 + 21 * len(rows)
    figure.update_layout(height=height, margin_t=100, legend=under_title(height))
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=list(rows), ticks="", dtick=1,
                        range=[len(rows) - 0.4, -0.6])  # fmt: skip
    span = wall_clock(pd.Series([analysis.window.start, analysis.window.end]), timezone)
    return time_axis(figure, words, timezone).update_xaxes(range=list(span))
