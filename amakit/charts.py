"""Charts: the only door to plotly.  Functions take an analysis and give a figure.

A version has the same colour and pattern in every chart of an analysis.  The colours are those of Okabe and
Ito, which colour-blind readers can tell apart; a pattern or a number stands beside each, never colour alone.
"""

import html

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from amakit.analysis import machine_labels
from amakit.transitions import version_key

_COLOURS = [
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A900", "#7F7F7F",
    "#004A75", "#8F6200", "#00614A", "#8A4A6F", "#2A77A3", "#8A3C00", "#6E6600", "#4D4D4D",
]  # fmt: skip
_PATTERNS = ["", "/", ".", "x", "-", "|", "\\", "+"]
_GREY = "rgba(128,128,128,0.25)"
#: Up to here each machine gets bars and a name of its own; beyond, the fleet is one raster.
_MOST_BARS = 120
_WORDS = {
    "en": {
        "inventory": "Machines by the version that they report at the end",
        "timeline": "Version of each machine over time",
        "adoption": "Machines on each version over time",
        "clock": "Upgrades by weekday and hour",
        "machines": "machines", "machine": "machine", "upgrade": "upgrade", "downgrade": "downgrade",
        "rolled back": "rolled back", "time": "time ({zone})", "hour": "hour of the day ({zone})",
        "days": ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"], "upgrades": "upgrades", "nothing": "nothing to show",
        "version": "version", "last old": "last old", "first new": "first new",
    },
    "ja": {
        "inventory": "期間終了時に報告しているバージョン別のマシン数",
        "timeline": "マシンごとのバージョンの推移",
        "adoption": "バージョン別マシン数の推移",
        "clock": "アップグレードの曜日と時刻",
        "machines": "台数", "machine": "マシン", "upgrade": "アップグレード", "downgrade": "ダウングレード",
        "rolled back": "ロールバック", "time": "時刻 ({zone})", "hour": "時 ({zone})",
        "days": ["月", "火", "水", "木", "金", "土", "日"], "upgrades": "件数", "nothing": "該当なし",
        "version": "バージョン", "last old": "旧版の最後", "first new": "新版の最初",
    },
}  # fmt: skip


def inventory(analysis, language="en"):
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
    words, styles = _WORDS[language], _styles(analysis)
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


def timeline(analysis, language="en", timezone="UTC"):
    """Show the version of each machine over time, one row per machine.

    Up to 120 machines are drawn as bars with their names; more become one raster, in which a cell holds the
    version that a machine reported at that moment.  Rows are sorted by product line and by the first change.

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
    words, styles = _WORDS[language], _styles(analysis)
    rows = _rows(analysis)
    runs = _clipped(analysis).merge(rows, on=["resource_id", "computer"])
    many = len(rows) > _MOST_BARS
    figure = _figure(words["timeline"], height=900 if many else 220 + 19 * len(rows))
    figure.update_layout(margin_t=50 if many else 110)
    if runs.empty:
        return _empty(figure, words)
    (_raster if many else _bars)(figure, analysis, rows, runs, styles, words, timezone)
    changes = analysis.transitions.merge(rows, on=["resource_id", "computer"])
    for kind, symbol in (("upgrade", "triangle-right"), ("downgrade", "triangle-left")):
        part = changes[changes["kind"] == kind]
        if part.empty or (many and kind == "upgrade"):  # in a raster an upgrade shows as an edge of colour
            continue
        span = part["from_version"].map(html.escape) + " → " + part["to_version"].map(html.escape)
        figure.add_scatter(
            x=_local(part["first_new"], timezone), y=part["label"], mode="markers", name=words[kind],
            marker={"symbol": symbol, "size": 9, "color": "white", "line": {"color": "black", "width": 1.4}},
            customdata=np.stack([part["label"], span, _local(part["last_old"], timezone).astype("str")], axis=-1),
            hovertemplate=f"%{{customdata[0]}}<br>%{{customdata[1]}}<br>{words['last old']} %{{customdata[2]}}"
                          f"<br>{words['first new']} %{{x}}<extra></extra>",
        )  # fmt: skip
    figure.update_yaxes(
        type="category", categoryorder="array", categoryarray=rows["label"], range=[len(rows) - 0.5, -0.5],
        showticklabels=not many, ticks="", dtick=1, showgrid=False,
        title=f"{len(rows):,} {words['machines']}" if many else None,
    )  # fmt: skip
    span = _local(pd.Series([analysis.window.start, analysis.window.end]), timezone)
    _time_axis(figure, words, timezone).update_xaxes(range=list(span))
    return figure


def adoption(analysis, language="en", timezone="UTC", points=400):
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
    words, styles = _WORDS[language], _styles(analysis)
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
    figure.update_layout(hovermode="x unified")
    figure.update_yaxes(title=words["machines"], rangemode="tozero")
    _time_axis(figure, words, timezone)
    return figure


def clock(analysis, language="en", timezone="UTC"):
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
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-16")
    >>> bool(clock(found).data[0].z.sum() == sum(found.transitions["kind"] == "upgrade"))
    True
    """
    words = _WORDS[language]
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


# -- parts --------------------------------------------------------------------------------------------------


def _figure(title, height):
    """Make an empty figure in the one style of the kit, which holds on white and on black paper."""
    figure = go.Figure()
    figure.update_layout(
        template="none", height=height, title={"text": title, "x": 0, "xref": "paper", "font": {"size": 16}, "y": 1,
                                               "yref": "container", "yanchor": "top", "pad": {"t": 12}},
        font={"family": "system-ui, sans-serif", "size": 13, "color": "#595959"},
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", barmode="overlay", bargap=0.15,
        margin={"l": 20, "r": 20, "t": 50, "b": 50},
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": "#8c8c8c", "activecolor": "#0072B2",
                 "remove": ["select2d", "lasso2d"]},
    )  # fmt: skip
    figure.update_xaxes(gridcolor=_GREY, zeroline=False, automargin=True)
    figure.update_yaxes(gridcolor=_GREY, zeroline=False, automargin=True)
    return figure


def _empty(figure, words):
    figure.add_annotation(text=words["nothing"], showarrow=False, font={"size": 16}, xref="paper", yref="paper",
                          x=0.5, y=0.5)  # fmt: skip
    return figure


def _time_axis(figure, words, timezone):
    day, finer = "%m-%d\n%Y", "%H:%M\n%m-%d"
    stops = [{"dtickrange": [None, 86_399_999], "value": finer}, {"dtickrange": [86_400_000, None], "value": day}]
    return figure.update_xaxes(title=words["time"].format(zone=timezone), type="date", tickformatstops=stops)


def _styles(analysis):
    """Give each product line and version its colour and pattern, the same in every chart."""
    pairs = pd.concat([analysis.runs, analysis.machines])[["os_type", "version"]].drop_duplicates()
    keys = sorted({(os, version_key(version)) for os, version in pairs.itertuples(index=False)})
    spelled = {(os, version_key(v)): v for os, v in sorted(pairs.itertuples(index=False, name=None), reverse=True)}
    return {
        html.escape(_short(f"{key[0]} {spelled[key]}".strip())): {
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
    label = machine_labels(machines).map(_short).map(html.escape)
    again = label.groupby(label).cumcount()  # shortened names may meet; a row needs one of its own
    label = label.where(again == 0, label + " (" + (again + 1).astype("str") + ")")
    return machines.assign(label=label, row=range(len(machines))).drop(columns=["os_type", "changed"])


def _short(text, limit=40):
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _clipped(analysis):
    """Give the runs as far as they lie in the window."""
    runs = analysis.runs[analysis.runs["beats"] > 0]
    return runs.assign(first=runs["first"].clip(lower=analysis.window.start))


def _local(times, timezone):
    """Turn instants into the wall clock of a zone: plotly draws what it is given and knows no zones."""
    if isinstance(times, pd.Series):
        return times.dt.tz_convert(timezone).dt.tz_localize(None)
    return times.tz_convert(timezone).tz_localize(None)


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
    shades = ["rgba(128,128,128,0.12)", *(_COLOURS[(n - 1) % len(_COLOURS)] for n in number.values())]
    steps = np.repeat(np.linspace(0, 1, len(shades) + 1), 2)[1:-1]
    moments = _local(analysis.window.start + pd.to_timedelta((edges[:-1] + edges[1:]) / 2, unit="s"), timezone)
    figure.add_heatmap(
        z=cells, x=moments, y=rows["label"], zmin=-0.5, zmax=len(shades) - 0.5,
        colorscale=[[float(step), shade] for step, shade in zip(steps, np.repeat(shades, 2), strict=True)],
        colorbar={"tickvals": list(range(len(shades))), "thickness": 14,
                  "ticktext": ["0 –", *(f"{n} {name}" for name, n in number.items())]},
        hovertemplate=f"%{{y}}<br>%{{x}}<br>{words['version']} %{{z}}<extra></extra>",
    )  # fmt: skip


def _marker(style):
    return {"color": style["colour"], "pattern": style["pattern"], "line": {"width": 0}}
