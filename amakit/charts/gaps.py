"""Charts of outages: downtimes, causes, alerts."""

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
    machine_name,
    tick_step,
    under_title,
)
from amakit.charts.versions import marker_of
from amakit.schemas import Cause
from amakit.study import alert_coverage

#: Up to here each outage is a point with its bounds; beyond, a version pair is a box.
_MOST_POINTS = 80
#: More version pairs than this cannot be read; the rarest are left out of a chart, never of a table.
_MOST_PAIRS = 30
_LOOKS = {"fires": ("#D55E00", ""), "depends": ("#E69F00", "/"), "misses": ("#56B4E9", ".")}
_OS_LOOKS = {"Windows": ("#0072B2", "circle"), "Linux": ("#D55E00", "square")}


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
        labels = [machine_name(analysis, row) for _, row in part.iterrows()]
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
