"""The chart of one outage: the streams of its machine around it, what is missing of each, and the evidence."""

import html
import re
import textwrap

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from amakit.analysis import Analysis
from amakit.charts.style import (
    cause_label,
    chart_words,
    empty_figure,
    escaped,
    figure_without_data,
    machine_name,
    time_axis,
    under_title,
    wall_clock,
)
from amakit.facts.summary import worst
from amakit.prose.evidence import timed
from amakit.prose.language import visible
from amakit.schemas import of_outages
from amakit.several.parts import known_until
from amakit.study.alert_coverage import SLOW


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
    title = words["around"].format(machine=machine_name(analysis, row), cause=cause_label(row["cause"], words))
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
    own = of_outages(analysis.gaps, analysis.outages.loc[[row.name]])
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
