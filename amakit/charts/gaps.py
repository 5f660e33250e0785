"""Charts of outages: the incident, one outage closely, downtimes, causes, alerts."""

import html
import re
import textwrap
from collections.abc import Iterable

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from amakit.analysis import Analysis
from amakit.charts.colours import COLOURS
from amakit.charts.style import (
    CAUSE_LOOKS,
    GREY,
    PATTERNS,
    cause_label,
    chart_words,
    empty_figure,
    escaped,
    figure_without_data,
    marker_of,
    tick_step,
    time_axis,
    under_title,
    wall_clock,
)
from amakit.facts.summary import worst
from amakit.prose.evidence import timed
from amakit.prose.language import visible
from amakit.schemas import Cause, machine_labels
from amakit.several.parts import known_until
from amakit.study import alert_coverage
from amakit.study.alert_coverage import SLOW

#: Up to here each outage is a point with its bounds; beyond, a version pair is a box.
_MOST_POINTS = 80
#: More version pairs than this cannot be read; the rarest are left out of a chart, never of a table.
_MOST_PAIRS = 30
_LOOKS = {"fires": ("#D55E00", ""), "depends": ("#E69F00", "/"), "misses": ("#56B4E9", ".")}
_OS_LOOKS = {"Windows": ("#0072B2", "circle"), "Linux": ("#D55E00", "square")}


def around(analysis: Analysis, outage: int | None = None, language: str = "en", timezone: str = "UTC") -> go.Figure:
    """Show one machine around one outage: every stream a row, every sample a tick.

    Shaded darkly is where the agent surely was blind, lightly the bracket of each end, in which it may have been.
    A cross marks a sample that the stream's schedule would have produced.

    Parameters
    ----------
    analysis : Analysis
    outage : int, optional
        Index of a row of ``analysis.outages``; by default the worst, see `amakit.facts.summary.worst`
        where there is no upgrade.
    language : {'en', 'ja'}
    timezone : str
        Zone of the axis and of the evidence below.

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
    words = chart_words(language)
    outage = worst(analysis.outages) if outage is None else outage
    if outage is None:
        return figure_without_data(empty_figure(words["around none"], height=240), words)
    row = analysis.outages.loc[outage]
    view = _view(row, analysis)
    streams = _streams(analysis, row, view, words)
    ((told, times),) = timed(analysis.outages.loc[[outage]], analysis.evidence, language, timezone)
    lines = [
        line
        for n, part in enumerate(told, start=1)
        for line in textwrap.wrap(f"{n}. {visible(part, 1000)}", 100, subsequent_indent="    ")
    ]
    title = words["around"].format(machine=_name(analysis, row), cause=cause_label(row["cause"], words))
    figure = empty_figure(title, height=300)
    names = [*streams["label"], words["evidence"]]
    _ticks(figure, analysis, row, view, streams, words, timezone)
    _marks(figure, times, view, words, timezone)
    _shades(figure, row, view, known_until(analysis.run, row.get("workspace", "")), words, timezone)
    for label, lost in zip(streams["label"], streams["told"], strict=True):
        figure.add_annotation(x=1, xref="paper", xanchor="left", xshift=8, y=label, text=lost, showarrow=False)
    text = "<br>".join([words["evidence text"], *map(html.escape, lines or [words["none"]])])
    figure.add_annotation(
        text=text,
        x=0,
        xref="paper",
        xanchor="left",
        y=0,
        yref="paper",
        yanchor="top",
        align="left",
        showarrow=False,
        font={"size": 12},
        yshift=-66,
    )
    below = 80 + 17 * (len(lines) + 1)
    height = 150 + 27 * len(names) + below
    figure.update_layout(height=height, margin={"t": 130, "b": below, "r": 110}, legend=under_title(height))
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=names,
        range=[len(names) - 0.5, -0.7],
        showgrid=False,
        ticks="",
        dtick=1,
    )
    return time_axis(figure, words, timezone).update_xaxes(range=[*wall_clock(pd.Series(view), timezone)])


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
    words = chart_words(language)
    own = analysis.outages[(analysis.outages["cause"] == Cause.UPGRADE) & analysis.outages["downtime_s"].notna()]
    figure = empty_figure(words["downtimes"], height=240)
    if own.empty:
        return figure_without_data(figure, words)
    pair = own["os_type"] + " " + own["from_version"] + " → " + own["to_version"]
    own = own.assign(pair=pair.map(escaped))
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
    words = chart_words(language)
    counts = analysis.outages["cause"].value_counts().drop(Cause.UPGRADE, errors="ignore")
    figure = empty_figure(words["causes"], height=150 + 32 * len(counts))
    if counts.empty:
        return figure_without_data(figure.update_layout(height=200), words)
    for n, (name, (colour, _)) in enumerate(CAUSE_LOOKS.items()):
        if name not in counts:
            continue
        look = {
            "colour": colour,
            "pattern": {
                "shape": PATTERNS[n % len(PATTERNS)],
                "fgcolor": "white",
                "fgopacity": 0.45,
                "size": 8,
                "fillmode": "overlay",
            },
        }
        figure.add_bar(
            x=[int(counts[name])],
            y=[cause_label(name, words)],
            orientation="h",
            marker=marker_of(look),
            showlegend=False,
            text=[f"{counts[name]:,}"],
            textposition="outside",
            cliponaxis=False,
            name=cause_label(name, words),
            hovertemplate=f"%{{y}}: %{{x}} {words['outages']}<extra></extra>",
        )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure.update_xaxes(
        title=words["outages"], rangemode="tozero", dtick=tick_step(counts.max()), tickformat=",d"
    )


def alerts(
    analysis: Analysis, language: str = "en", windows: Iterable[int] = alert_coverage.WINDOWS, frequency: float = 1
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
        On the left upgrades, on the right all other outages; see `amakit.study.alert_coverage.verdicts` for the three
        verdicts.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-03", ["web-37.corp.contoso.example"])
    >>> [(bar.name, bar.x[0]) for bar in alerts(found).data if bar.xaxis == "x"]
    [('surely', 1), ('depends on timing', 0), ('never', 0)]
    """
    words = chart_words(language)
    horizon = pd.Timestamp(analysis.run["horizon"])
    silent = alert_coverage.silences(analysis.outages, analysis.gaps, analysis.known_until(analysis.outages))
    found = alert_coverage.verdicts(silent, horizon, windows, frequency)
    figure = empty_figure(words["alerts"], height=190 + 34 * len(found.columns))
    if found.empty:
        return figure_without_data(figure.update_layout(height=200), words)
    names = [words["alert"].format(n=c.split()[1]) if c.startswith("alert ") else words[c] for c in found.columns]
    upgrade = silent["cause"] == Cause.UPGRADE
    for axis, part, shown in (("x", found[upgrade], True), ("x2", found[~upgrade], False)):
        for verdict, (colour, pattern) in _LOOKS.items():
            numbers = (part == verdict).sum().astype("int64").tolist()
            figure.add_bar(
                x=numbers,
                y=names,
                orientation="h",
                name=words[verdict],
                legendgroup=verdict,
                showlegend=shown,
                xaxis=axis,
                marker={
                    "color": colour,
                    "line": {"width": 0},
                    "pattern": {
                        "shape": pattern,
                        "fgcolor": "white",
                        "fgopacity": 0.45,
                        "size": 8,
                        "fillmode": "overlay",
                    },
                },
                text=[f"<b>{n:,}</b>" if n > len(part) * 0.02 * len(f"{n:,}") else "" for n in numbers],
                textposition="inside",
                insidetextanchor="middle",
                textfont={"color": "#1f2328"},
                textangle=0,
                constraintext="none",
                hovertemplate=f"%{{y}}<br>{words[verdict]}: %{{x}} {words['outages']}<extra></extra>",
            )
    for axis, part, at in (("x domain", upgrade, "all upgrades"), ("x2 domain", ~upgrade, "others")):
        figure.add_annotation(
            text=f"<b>{words[at]}: {part.sum():,}</b>",
            xref=axis,
            x=0,
            xanchor="left",
            yref="paper",
            y=1,
            yanchor="bottom",
            showarrow=False,
        )
    figure.update_layout(
        barmode="stack",
        margin_t=120,
        xaxis={"domain": [0, 0.48]},
        legend=under_title(figure.layout.height),
        xaxis2={"domain": [0.52, 1], "anchor": "y"},
    )
    for axis, part in (("xaxis", upgrade), ("xaxis2", ~upgrade)):
        most = max(int(part.sum()), 1)
        figure.layout[axis].update(
            title=words["outages"], range=[0, most * 1.02], dtick=tick_step(most), tickformat=",d"
        )
    return figure.update_yaxes(autorange="reversed", showgrid=False)


def _name(analysis, row):
    fleet = analysis.machines
    called = machine_labels(fleet)[
        (fleet["resource_id"] == row["resource_id"]) & (fleet["computer"] == row["computer"])
    ]
    return escaped(called.iloc[0] if len(called) else row["computer"])


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
        (analysis.gaps["resource_id"] == row["resource_id"])
        & (analysis.gaps["computer"] == row["computer"])
        & (analysis.gaps["outage_start"] == row["start_earliest"])
    ]
    own = own.assign(slow=own["interval_s"] >= SLOW).sort_values(["slow", "interval_s", "data_type", "stream"])
    labels, told = [], []
    for part in own.itertuples():
        name = " · ".join(filter(None, [part.data_type, re.sub(r"( \\)+ *$", "", part.stream)]))
        label = escaped(name, 46)
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
        (analysis.samples["resource_id"] == row["resource_id"])
        & (analysis.samples["computer"] == row["computer"])
        & analysis.samples["TimeGenerated"].between(*view)
    ].merge(streams[["data_type", "stream", "label"]], on=["data_type", "stream"])
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
            x=wall_clock(x, timezone),
            y=y,
            mode="markers",
            name=words[name],
            marker={
                "symbol": symbol,
                "size": 13 if name == "sample" else 7,
                "color": colour,
                "line": {"width": 1.6, "color": colour},
            },
            hovertemplate=f"%{{y}}<br>%{{x}}<extra>{words[name]}</extra>",
        )


def _marks(figure, times, view, words, timezone):
    """Mark the instants of evidence by the numbers of its statements; those too close to be told apart share one."""
    spots = sorted((at, n) for n, at in enumerate(times, start=1) if pd.notna(at) and view[0] <= at <= view[1])
    shared = []
    for at, n in spots:
        if shared and at - shared[-1][0] < (view[1] - view[0]) / 25:
            shared[-1][1].append(n)
        else:
            shared.append((at, [n]))
    at = pd.Series(pd.to_datetime([at for at, _ in spots], utc=True))
    named = {at: ", ".join(map(str, sorted(numbers))) for at, numbers in shared}
    figure.add_scatter(
        x=wall_clock(at, timezone),
        y=[words["evidence"]] * len(spots),
        mode="markers+text",
        name=words["evidence"],
        text=[named.pop(at, "") for at, _ in spots],
        textposition="middle left",
        marker={"symbol": "diamond", "size": 9, "color": "#009E73"},
        cliponaxis=False,
        customdata=[n for _, n in spots],
        hovertemplate="%{customdata}<br>%{x}<extra></extra>",
    )


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
            x0, x1 = wall_clock(pd.Series([left, right]), timezone)
            figure.add_vrect(x0=x0, x1=x1, fillcolor=f"rgba(128,128,128,{depth})", line_width=0, layer="below")
    for name, depth in (("surely", 0.42), ("perhaps", 0.16)):  # a shade has no place in the legend of its own
        figure.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            name=words[name],
            marker={"symbol": "square", "size": 14, "color": f"rgba(128,128,128,{depth})"},
        )
    ends = [("began", first, sure, "right", first)]
    if pd.notna(row["end_latest"]):
        ends.append(("ended", back, last, "left", last))
    for name, left, right, side, at in ends:
        left, right, at = wall_clock(pd.Series([left, right, at]), timezone)
        figure.add_annotation(
            x=at,
            y=1,
            yref="paper",
            yanchor="bottom",
            xanchor=side,
            align=side,
            showarrow=False,
            text=f"{words[name]}<br>{left:%H:%M:%S} – {right:%H:%M:%S}",
        )
    if pd.isna(row["end_latest"]):
        at, horizon = wall_clock(pd.Series([view[1], pd.Timestamp(horizon)]), timezone)
        figure.add_annotation(
            x=at,
            y=1,
            yref="paper",
            yanchor="bottom",
            xanchor="right",
            align="right",
            showarrow=False,
            text=f"{words['not back']}<br>{horizon:%m-%d %H:%M}",
        )


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
        colour, symbol = _OS_LOOKS.get(os, (COLOURS[2], "diamond"))
        minutes = part[["downtime_s", "downtime_low_s", "downtime_high_s"]] / 60
        labels = [_name(analysis, row) for _, row in part.iterrows()]
        figure.add_scatter(
            x=minutes["downtime_s"],
            y=part["at"],
            mode="markers",
            name=escaped(os),
            marker={"color": colour, "symbol": symbol, "size": 8},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": minutes["downtime_high_s"] - minutes["downtime_s"],
                "arrayminus": minutes["downtime_s"] - minutes["downtime_low_s"],
                "color": colour,
                "thickness": 1.4,
                "width": 3,
            },
            customdata=np.stack(
                [
                    labels,
                    minutes["downtime_low_s"].map("{:.2f}".format),
                    minutes["downtime_high_s"].map("{:.2f}".format),
                ],
                axis=-1,
            ),
            hovertemplate=f"%{{customdata[0]}}<br>%{{x:.2f}} {words['minutes']} "
            "(%{customdata[1]}–%{customdata[2]})<extra></extra>",
        )
    for edge in edges[:-1]:
        figure.add_hline(y=edge, line={"color": GREY, "width": 1})
    figure.update_layout(height=170 + 19 * len(own) + 8 * len(ticks), margin_t=90)
    figure.update_yaxes(
        tickvals=list(ticks.values()), ticktext=list(ticks), showgrid=False, ticks="", range=[place + 0.5, -0.5]
    )


def _boxes(figure, analysis, own, words):
    """Draw each pair as a box from its percentiles; the points themselves stay out of the page."""
    shares = (
        own.groupby(["os_type", "pair"], sort=False)["downtime_s"].quantile([0.05, 0.25, 0.5, 0.75, 0.95]).unstack()
    )
    counts = own["pair"].value_counts()
    shown = set()
    for (os, pair), (lowest, low, middle, high, highest) in zip(shares.index, (shares / 60).to_numpy(), strict=True):
        colour, symbol = _OS_LOOKS.get(os, (COLOURS[2], "diamond"))
        figure.add_box(
            y=[f"{pair} ({counts[pair]:,})"],
            q1=[low],
            median=[middle],
            q3=[high],
            lowerfence=[lowest],
            upperfence=[highest],
            orientation="h",
            name=escaped(os),
            legendgroup=os,
            showlegend=os not in shown,
            line={"color": colour},
            fillcolor="rgba(0,114,178,0.3)" if symbol == "circle" else "rgba(0,0,0,0)",
            hoverinfo="x+name",
        )
        shown.add(os)
    figure.update_layout(height=190 + 34 * len(shares), margin_t=90)
    figure.update_yaxes(autorange="reversed", ticks="")
