"""Charts of a rollout: how a release spreads, and who is behind."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from amakit.analysis import Analysis
from amakit.charts.style import (
    GREY,
    chart_words,
    empty_figure,
    escaped,
    figure_without_data,
    hatch,
    tick_step,
    time_axis,
    under_title,
    wall_clock,
)
from amakit.charts.versions import runs_in_window, version_styles
from amakit.find.versions import version_key
from amakit.schemas import MACHINE
from amakit.study.rollout import releases as known_releases
from amakit.study.rollout.lags import lags
from amakit.study.rollout.stragglers import standing
from amakit.study.rollout.survival import curve

#: Versions whose curves can be told apart in one picture; those with the most upgrades are drawn.
_MOST_CURVES = 6
#: Steps of one curve; a page has fewer pixels.
_MOST_STEPS = 1000
#: Releases behind: up to which number, colour and pattern.
_BEHIND = [(0, "#009E73", ""), (1, "#56B4E9", "."), (2, "#E69F00", "/"), (5, "#D55E00", "x"), (np.inf, "#8A3C00", "-")]
#: Rows of places; the smallest are left out of the chart, never of a table.
_MOST_PLACES = 30


def rollout(
    analysis: Analysis, releases: pd.DataFrame | None = None, language: str = "en", timezone: str = "UTC"
) -> go.Figure:
    """Show how versions spread: the share of each product line's machines that had reached a version or a newer one.

    A step is an upgrade; around it lies the band of 95 %, see `amakit.study.rollout.survival.curve`.  A machine that
    fell silent counts up to then.  Where more than six versions came, those with the most upgrades are drawn.

    Parameters
    ----------
    analysis : Analysis
    releases : pandas.DataFrame, optional
        As `amakit.study.rollout.releases.known` gives it, which is the default.  A release inside the window is shaded.
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
    words, styles = chart_words(language), version_styles(analysis)
    releases = known_releases.known() if releases is None else releases
    table = lags(analysis, releases, "start")
    came = table[table["state"] == "upgraded"].groupby(["os_type", "version"]).size().sort_values(ascending=False)
    came = (came[came > 1] if (came > 1).any() else came).head(_MOST_CURVES)
    figure = empty_figure(words["rollout"], height=470)
    if came.empty:
        return figure_without_data(figure.update_layout(height=240), words)
    steps = curve(table)
    marked = releases.assign(key=[version_key(v) for v in releases["version"]])
    height = figure.layout.height
    for os_type, version in sorted(came.index, key=lambda pair: (pair[0], version_key(pair[1]))):
        own = steps[(steps["os_type"] == os_type) & (steps["version"] == version)]
        name = escaped(f"{os_type} {version}")
        colour = next(s["colour"] for s in styles.values() if s["key"] == (os_type, version_key(version)))
        end = (pd.Timestamp(analysis.run["horizon"]) - analysis.window.start) / pd.Timedelta(days=1)
        if len(own) > _MOST_STEPS:  # of those that one pixel would hold, the last
            own = own[~(own["day"].clip(0, end) * _MOST_STEPS // end).duplicated(keep="last")]
        days = np.concatenate([[0.0], own["day"].clip(0, end), [end]])
        share, low, high = (np.concatenate([[0.0], own[c], own[c].iloc[-1:]]) * 100 for c in ("share", "low", "high"))
        at = wall_clock(analysis.window.start + pd.to_timedelta(pd.Series(days), unit="D"), timezone)
        for values, fill in ((low, "rgba(0,0,0,0)"), (high - low, _faded(colour))):
            figure.add_scatter(
                x=at,
                y=values,
                stackgroup=name,
                line={"shape": "hv", "width": 0, "color": "rgba(0,0,0,0)"},
                fillcolor=fill,
                showlegend=False,
                hoverinfo="skip",
                mode="lines",
                legendgroup=name,
                name=f"{name} band",
            )
        figure.add_scatter(  # a rim, on which a dark line shows on dark paper too
            x=np.repeat(at, 2)[1:],
            y=np.repeat(share, 2)[:-1],
            mode="lines",
            name=name,
            legendgroup=name,
            line={"color": "rgba(160,160,160,0.7)", "width": 4.5},
            showlegend=False,
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=np.repeat(at, 2)[1:],
            y=np.repeat(share, 2)[:-1],
            mode="lines",
            name=name,
            legendgroup=name,
            line={"color": colour, "width": 2.5},
            customdata=np.repeat(np.stack([low, high], axis=-1), 2, axis=0)[:-1],
            hovertemplate=f"{name}: %{{y:.0f}} % (%{{customdata[0]:.0f}}–%{{customdata[1]:.0f}} %)<br>%{{x}}"
            "<extra></extra>",
        )
        out = marked[(marked["os_type"] == os_type) & (marked["key"] == version_key(version))]
        for row in out.itertuples():
            if row.released_latest > analysis.window.start and row.released_earliest < analysis.window.end:
                ends = pd.Series([row.released_earliest, row.released_latest])
                x0, x1 = wall_clock(ends.clip(analysis.window.start, analysis.window.end), timezone)
                figure.add_vrect(x0=x0, x1=x1, fillcolor=GREY, line_width=0, layer="below")
                figure.add_annotation(
                    x=x0,
                    y=1,
                    yref="paper",
                    yanchor="bottom",
                    xanchor="left",
                    showarrow=False,
                    text=words["released"].format(version=name),
                )
    hatch(figure, analysis, [], words, timezone)
    figure.update_layout(margin_t=100, legend=under_title(height))
    figure.update_yaxes(title=words["share"], range=[-1, 102])
    span = wall_clock(pd.Series([analysis.window.start, analysis.window.end]), timezone)
    return time_axis(figure, words, timezone).update_xaxes(range=list(span))


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
        As `amakit.study.rollout.releases.known` gives it, which is the default.
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
    words = chart_words(language)
    releases = known_releases.known() if releases is None else releases
    horizon = pd.Timestamp(analysis.run["horizon"])
    since = horizon - pd.Timedelta(days=365)
    lines = set(analysis.machines["os_type"])
    rows = {}
    for row in releases[releases["os_type"].isin(lines)].itertuples():
        if row.released_latest > since and row.released_earliest < horizon:
            rows[row.os_type, version_key(row.version)] = [row.version, row.released_earliest, row.released_latest]
    taken, runs = {}, runs_in_window(analysis)
    listed = {(os_type, version_key(v)) for os_type, v in releases[["os_type", "version"]].itertuples(index=False)}
    for os_type, version, first in runs[["os_type", "version", "first"]].itertuples(index=False):
        taken.setdefault((os_type, version_key(version)), []).append(first)
        if (os_type, version_key(version)) not in listed:
            rows.setdefault((os_type, version_key(version)), [version, pd.NaT, pd.NaT])
    figure = empty_figure(words["arrivals"], height=240)
    if not rows:
        return figure_without_data(figure, words)
    order = sorted(rows, reverse=True)
    names = {key: escaped(f"{key[0]} {rows[key][0]}") for key in order}
    out = [key for key in order if pd.notna(rows[key][1])]
    here = [key for key in order if key in taken]
    for word, keys, spans, colour in (
        ("came out", out, [rows[key][1:] for key in out], "#8FA3AD"),
        ("taken up", here, [(min(taken[key]), max(taken[key])) for key in here], "#0072B2"),
    ):
        ends = [wall_clock(pd.Series(pd.to_datetime([span[n] for span in spans], utc=True)), timezone) for n in (0, 1)]
        figure.add_bar(
            base=ends[0],
            x=((ends[1] - ends[0]).dt.total_seconds() * 1000).clip(lower=0.0),
            y=[names[key] for key in keys],
            orientation="h",
            name=words[word],
            showlegend=True,
            marker={"color": colour, "line": {"width": 0}},
            customdata=ends[1].astype("str"),
            hovertemplate=f"%{{y}}<br>{words[word]}: %{{base}} – %{{customdata}}<extra></extra>",
        )
    began = runs.sort_values("first", kind="stable").drop_duplicates(MACHINE)
    began = began[began["first"] <= analysis.window.start + pd.Timedelta(days=1)]
    there = {(os, version_key(version)) for os, version in began[["os_type", "version"]].itertuples(index=False)}
    for word, symbol, keys in (
        ("first seen", "diamond", [key for key in here if key not in there]),
        ("there before", "triangle-left", [key for key in here if key in there]),
    ):
        first = wall_clock(pd.Series(pd.to_datetime([min(taken[key]) for key in keys], utc=True)), timezone)
        if keys:
            figure.add_scatter(
                x=first,
                y=[names[key] for key in keys],
                mode="markers",
                name=words[word],
                showlegend=True,
                marker={"symbol": symbol, "size": 11, "color": "#D55E00", "line": {"width": 1, "color": "white"}},
                hovertemplate=f"%{{y}}<br>{words[word]}: %{{x}}<extra></extra>",
            )
    height = 170 + 27 * len(order)
    figure.update_layout(height=height, margin_t=100, legend=under_title(height))
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=[names[key] for key in order],
        ticks="",
        range=[len(order) - 0.4, -0.6],
        dtick=1,
    )
    return time_axis(figure, words, timezone)


def behind(analysis: Analysis, releases: pd.DataFrame | None = None, language: str = "en") -> go.Figure:
    """Show how many releases the machines of each product line and place are behind.

    Parameters
    ----------
    analysis : Analysis
    releases : pandas.DataFrame, optional
        As `amakit.study.rollout.releases.known` gives it, which is the default.
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
    words = chart_words(language)
    table = standing(analysis, known_releases.known() if releases is None else releases)
    figure = empty_figure(words["behind"], height=240)
    if table.empty:
        return figure_without_data(figure, words)
    short = table["place"].str.rsplit("/", n=1).str[-1]
    twins = table.assign(short=short).groupby("short")["place"].nunique()
    whole = table["place"].str.replace(
        r"^/subscriptions/[^/]*?([^/]{1,8})/resourcegroups/(.*)$", r"\2 (…\1)", regex=True
    )
    place = short.where(short.map(twins) <= 1, whole).where(table["place"] != "", words["no place"])
    label = pd.Series([escaped(f"{os} · {where}", 60) for os, where in zip(table["os_type"], place, strict=True)])
    sizes = label.value_counts()
    names = sorted(sizes.index[:_MOST_PLACES])
    levels = np.searchsorted([most for most, *_ in _BEHIND], table["behind"])
    silent = (table["state"] == "silent").to_numpy()
    unreadable = table["behind"].isna().to_numpy() & ~silent
    parts = [
        (words["level"][n], (levels == n) & ~silent & ~unreadable, colour, pattern)
        for n, (_, colour, pattern) in enumerate(_BEHIND)
    ]
    parts += [(words["level"][-2], silent, "#4D4D4D", "|"), (words["level"][-1], unreadable, "#B0B0B0", "\\")]
    most = int(sizes.max())
    for name, rows, colour, pattern in parts:
        if not rows.any():
            continue
        numbers = label[rows].value_counts().reindex(names, fill_value=0).tolist()
        figure.add_bar(
            x=numbers,
            y=names,
            orientation="h",
            name=name,
            showlegend=True,
            marker={
                "color": colour,
                "line": {"width": 0},
                "pattern": {"shape": pattern, "fgcolor": "white", "fgopacity": 0.35, "size": 8, "fillmode": "overlay"},
            },
            text=[f"<b>{n:,}</b>" if n > most * 0.015 * len(f"{n:,}") else "" for n in numbers],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            constraintext="none",
            textfont={"color": "#1f2328" if colour not in ("#4D4D4D", "#8A3C00") else "#ffffff"},
            hovertemplate=f"%{{y}}<br>{name}: %{{x}} {words['machines']}<extra></extra>",
        )
    height = 190 + 32 * len(names)
    figure.update_layout(barmode="stack", height=height, margin_t=100, legend=under_title(height))
    figure.update_xaxes(title=words["machines"], range=[0, most * 1.02], dtick=tick_step(most), tickformat=",d")
    return figure.update_yaxes(autorange="reversed", showgrid=False, ticks="")


def _faded(colour, share=0.18):
    """Give a colour of the palette, so faint that others show through."""
    red, green, blue = (int(colour[n : n + 2], 16) for n in (1, 3, 5))
    return f"rgba({red},{green},{blue},{share})"
