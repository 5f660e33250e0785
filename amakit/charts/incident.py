"""Charts of an incident: how long agents were away, how many at once, and every machine that was hit."""

import html
import unicodedata

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from amakit.analysis import Analysis
from amakit.charts.colours import COLOURS, STILL_DOWN
from amakit.charts.style import (
    CAUSE_LOOKS,
    cause_label,
    chart_words,
    downtimes_in_words,
    empty_figure,
    figure_without_data,
    hatch,
    machine_rows,
    tick_step,
    time_axis,
    under_title,
    version_changes,
    wall_clock,
)
from amakit.facts.summary import by_severity
from amakit.prose.language import Language
from amakit.schemas import MACHINE, Cause
from amakit.study.absences import REASONS, absences, peak
from amakit.study.groups import ATTEMPTS

#: Ticks of an axis of durations, in seconds; their words are ``durations ticks``.
_TICKS = (1, 10, 60, 600, 3600, 36_000, 86_400, 864_000)
#: Outages in the list that takes the place of a chart where there is no room for one.
_LISTED = 12
#: Machines in the chart of an incident, those first that were down for longest; tables have all of them.
_DRAWN = 40
#: Hours in such a list.
_HOURS = 5


def durations(analysis: Analysis, language: str = "en") -> go.Figure:
    """Show how long agents were away, by cause, on an axis on which each step is many times the one before.

    The longest outage of each cause is named.  What goes on is red, and as long as it has lasted so far.  Where nothing
    was recorded of any machine, nothing shows how long an agent was away: such an outage stands at what it may have
    lasted at most, and says so.

    Parameters
    ----------
    analysis : Analysis
    language : {'en', 'ja'}

    Returns
    -------
    plotly.graph_objects.Figure
        Its title says how many agents are still away and how long upgrades took; ``layout.meta`` lists the worst.

    Examples
    --------
    >>> import amakit
    >>> durations(amakit.analyze(amakit.connect("demo"), "2026-03-13", "2026-03-14")).layout.title.text
    '3 machines are still silent · upgrades: 57 s at the median, 1 min 30 s at most'
    """
    words, tongue = chart_words(language), Language(language)
    own = analysis.outages.merge(machine_rows(analysis)[["resource_id", "computer", "label"]], on=MACHINE)
    if own.empty:
        return figure_without_data(empty_figure(words["durations"], height=200), words)
    going = own["ongoing"].astype("bool")
    so_far = (analysis.known_until(own) - own["start_latest"]).dt.total_seconds()
    unseen = own["cause"] == Cause.NOT_RECORDED
    length = own["downtime_s"].where(~unseen, own["downtime_high_s"]).fillna(so_far)
    own = own.assign(going=going, length=length.clip(lower=1))
    causes = [cause for cause in Cause if (own["cause"] == cause).any()]
    rank = own.groupby("cause")["length"].rank(method="first")
    row = own["cause"].map({cause: n for n, cause in enumerate(causes)}).astype("float64")
    own = own.assign(x=np.log10(own["length"]), y=row + ((rank * 0.618) % 1 - 0.5) * 0.5)
    lengths = own["length"].map(tongue.duration)
    told = lengths.mask(going, lengths.map(lambda length: words["so far"].format(length=length)))
    told = told.mask(unseen, lengths.map(lambda length: words["at most"].format(length=length)))
    figure = empty_figure(_finding(own, words, tongue), height=110 + 44 * len(causes))
    for name, part in own.assign(told=told).groupby(own["going"].map({True: "ongoing", False: "ended"})):
        for cause in dict.fromkeys(part["cause"]):
            of = part[part["cause"] == cause]
            colour, symbol = CAUSE_LOOKS[cause] if name == "ended" else (STILL_DOWN, "x")
            figure.add_scatter(
                x=of["x"],
                y=of["y"],
                mode="markers",
                name=cause_label(cause, words),
                showlegend=False,
                marker={"symbol": symbol, "size": 10, "color": colour, "line": {"width": 1, "color": "white"}},
                customdata=np.stack([of["label"], of["told"]], axis=-1),
                hovertemplate=f"%{{customdata[0]}}<br>{cause_label(cause, words)}<br>%{{customdata[1]}}<extra></extra>",
            )
    named = own.assign(told=told, text=own["label"] + ", " + told).sort_values("length").groupby("cause").tail(1)
    for one in named.itertuples():
        figure.add_annotation(
            x=one.x, y=one.y, text=one.text, showarrow=False, xanchor="left", xshift=10, font={"size": 12}
        )
    # as far to the right as every name needs that stands behind its mark, taken that a plot is as wide as 140 letters
    share = 1 - named["text"].map(lambda text: _width(html.unescape(text))).clip(upper=80) / 140
    most = max(own["x"].max() + 0.3, np.log10(60), ((named["x"] + 0.15) / share - 0.15).max())
    shown = [tick for tick in _TICKS if np.log10(tick) <= most]
    figure.update_xaxes(
        tickvals=list(np.log10(shown)), ticktext=words["durations ticks"][: len(shown)], range=[-0.15, most]
    )
    figure.update_yaxes(
        tickvals=list(range(len(causes))),
        ticktext=[cause_label(cause, words) for cause in causes],
        range=[len(causes) - 0.45, -0.55],
    )
    worst = by_severity(own.assign(told=told)).head(_LISTED)
    lines = [f"{r.label}: {cause_label(r.cause, words)}, {r.told}" for r in worst.itertuples()]
    return figure.update_layout(meta={"list": lines})


def _width(text):
    """Count the letters of a text; those of East Asia are twice as wide."""
    return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)


def _finding(own, words, tongue):
    """Say how many agents are still away, and how long upgrades and failed ones took that ended."""
    ended = own.loc[~own["going"] & own["cause"].isin(ATTEMPTS), "downtime_s"].dropna()
    away = len(own.loc[own["going"], MACHINE].drop_duplicates())
    parts = [tongue.count(away, "silent")] if away else []
    if len(ended):
        parts.append(
            words["durations upgrades"].format(
                median=tongue.duration(ended.median()), longest=tongue.duration(ended.max())
            )
        )
    return " · ".join(parts) or words["durations"]


def absent(analysis: Analysis, language: str = "en", timezone: str = "UTC") -> go.Figure:
    """Show how many machines were without an agent in each hour of the window, and why.

    Parameters
    ----------
    analysis : Analysis
    language : {'en', 'ja'}
    timezone : str
        Zone of the axis.

    Returns
    -------
    plotly.graph_objects.Figure
        Its title names the worst hour; ``layout.meta`` lists the worst.

    Examples
    --------
    >>> import amakit
    >>> absent(amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")).layout.title.text
    'At most 4 of 40 machines were without an agent in 1 hour: that from 2026-03-09 10:00'
    """
    words, tongue = chart_words(language), Language(language, timezone)
    counted = absences(analysis.outages, analysis.window, analysis.known_until(analysis.outages))
    worst = peak(counted)
    if worst is None:
        return figure_without_data(empty_figure(words["absent"], height=200), words)
    figure = empty_figure(
        words["absent most"].format(
            n=tongue.number(int(worst["machines"])),
            all=tongue.count(len(analysis.machines), "machine"),
            step=tongue.interval(worst["step_s"]),
            when=tongue.time(worst["start"]),
        ),
        height=280,
    )
    ends = pd.concat([counted["start"], pd.Series([analysis.window.end])], ignore_index=True)
    for reason, colour in zip(REASONS, (STILL_DOWN, COLOURS[0], COLOURS[7]), strict=True):
        if counted[reason].any():
            figure.add_scatter(
                x=wall_clock(ends, timezone),
                y=[*counted[reason], counted[reason].iloc[-1]],
                stackgroup="all",
                mode="lines",
                line={"width": 0, "shape": "hv"},
                fillcolor=colour,
                name=words[f"absent {reason}"],
                showlegend=True,
                hovertemplate=f"%{{x}}<br>{words[f'absent {reason}']} %{{y}}<extra></extra>",
            )
    hatch(figure, analysis, [], words, timezone)
    total = counted[list(REASONS)].sum(axis=1)
    most = total[total > 0].sort_values(ascending=False, kind="stable").head(_HOURS)
    lines = [f"{tongue.time(counted['start'][step])}: {tongue.count(int(n), 'machine')}" for step, n in most.items()]
    figure.update_layout(margin_t=80, legend=under_title(280), meta={"list": lines})
    figure.update_yaxes(
        title=words["machines"], rangemode="tozero", tickformat=",d", dtick=tick_step(int(worst["machines"]))
    )
    return time_axis(figure, words, timezone)


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
    last = own["end_latest"].fillna(analysis.known_until(own).clip(lower=own["start_latest"]))
    own = own.assign(last=last, length=(last - own["start_earliest"]).dt.total_seconds())
    longest = own.groupby("label")["length"].max().sort_values(ascending=False, kind="stable")
    own = own[own["label"].isin(longest.index[:_DRAWN])]
    rows = own.groupby("label")["start_earliest"].min().sort_values(kind="stable").index
    many = len(longest) > _DRAWN
    figure = empty_figure(words["incident more"].format(n=_DRAWN) if many else words["incident"], height=240)
    for name, (colour, symbol) in CAUSE_LOOKS.items():
        part = own[own["cause"] == name]
        if part.empty:
            continue
        shown = cause_label(name, words)
        first, last = wall_clock(part["start_earliest"], timezone), wall_clock(part["last"], timezone)
        breaks = pd.Series(pd.NaT, index=first.index)
        figure.add_scatter(
            x=pd.concat([first, last, breaks], axis=1).to_numpy().ravel(),
            y=np.repeat(part["label"].to_numpy(), 3),
            mode="lines",
            line={"color": colour, "width": 5},
            name=shown,
            legendgroup=name,
            showlegend=False,
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=first,
            y=part["label"],
            mode="markers",
            name=shown,
            legendgroup=name,
            showlegend=True,
            marker={"symbol": symbol, "size": 10, "color": colour, "line": {"width": 1, "color": "white"}},
            customdata=np.stack([part["label"], downtimes_in_words(part, words), version_changes(part)], axis=-1),
            hovertemplate=f"%{{customdata[0]}}<br>{shown}<br>%{{x}}<br>{words['blind']} %{{customdata[1]}}<br>"
            "%{customdata[2]}<extra></extra>",
        )
    hatch(figure, analysis, rows, words, timezone)
    height = 180 + 21 * len(rows)
    figure.update_layout(height=height, margin_t=100, legend=under_title(height))
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=list(rows),
        ticks="",
        dtick=1,
        range=[len(rows) - 0.4, -0.6],
    )
    span = wall_clock(pd.Series([analysis.window.start, analysis.window.end]), timezone)
    return time_axis(figure, words, timezone).update_xaxes(range=list(span))
