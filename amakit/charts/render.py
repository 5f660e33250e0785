"""The chart that a query asks for with ``| render``, as a figure or as one file."""

import json
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from amakit.charts.style import empty_figure, escaped
from amakit.errors import AmakitError, UsageError, nearest
from amakit.kql.rendering import Drawing
from amakit.output import staged

#: More series than this are no chart that anybody reads.
_MOST = 100


def render(frame: pd.DataFrame, drawing: Drawing, height: int = 420) -> go.Figure:
    """Draw the answer of a query as its ``render`` asks for.

    The columns are chosen as in Log Analytics: x is the first column with times (``timechart``) or the first column
    (all others), y are all columns of numbers, and text columns tell the series apart.  Series of ``make-series`` are
    drawn point by point.

    Parameters
    ----------
    frame : pandas.DataFrame
        The answer.
    drawing : amakit.kql.rendering.Drawing
        As `amakit.kql.rendering.drawing_of` reads it.
    height : int
        Of the figure, in pixels.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    AmakitError
        When the kind is not drawn, a column is not there, or the answer holds nothing that can be drawn.

    Examples
    --------
    >>> answer = pd.DataFrame({"os": ["Windows", "Linux"], "machines": [3, 4]})
    >>> render(answer, Drawing("piechart")).data[0].values.tolist()
    [3, 4]
    """
    wanted = drawing.properties
    if not drawing.drawn:
        raise AmakitError(f"render {drawing.kind} is not drawn; the rows are as they are, and a timechart is drawn")
    figure = empty_figure(escaped(str(wanted.get("title", "")), 120), height)
    x, ys, series = _columns(frame, drawing)
    frame = _points(frame, x, ys, series)
    if drawing.kind == "piechart":
        totals = frame.groupby(x, sort=False, observed=True)[ys[0]].sum() if len(frame) else pd.Series(dtype="float64")
        return figure.add_pie(labels=totals.index.astype(str), values=totals.to_numpy(), sort=False)
    groups = _series(frame, x, ys, series)
    if len(groups) > _MOST:
        raise AmakitError(
            f"render {drawing.kind} would draw {len(groups)} series; summarize by less, or keep the top {_MOST}"
        )
    for name, xs, values in groups:
        _trace(figure, drawing, name, xs, values)
    kind = wanted.get("kind", "default")
    mode = {"stacked": "stack", "stacked100": "relative", "unstacked": "group"}.get(kind, "stack")
    figure.update_layout(
        barmode=mode,
        barnorm="percent" if kind == "stacked100" else "",
        showlegend=len(groups) > 1 and wanted.get("legend") != "hidden",
    )
    across, up = ("yaxis", "xaxis") if drawing.kind == "barchart" else ("xaxis", "yaxis")
    figure.update_layout(
        {
            across: {"title": wanted.get("xtitle", x), "type": _scale(wanted.get("xaxis"))},
            up: {"title": wanted.get("ytitle", ys[0] if len(ys) == 1 else ""), "type": _scale(wanted.get("yaxis"))},
        }
    )
    if "ymin" in wanted and "ymax" in wanted:
        figure.update_layout({up: {"range": [float(wanted["ymin"]), float(wanted["ymax"])]}})
    if drawing.kind == "barchart":
        figure.update_yaxes(autorange="reversed")
    return figure


def save_drawing(frame: pd.DataFrame, drawing: Drawing, target: str | Path, synthetic: bool = False) -> None:
    """Draw the answer of a query into a file, whole or not at all.

    Parameters
    ----------
    frame : pandas.DataFrame
    drawing : amakit.kql.rendering.Drawing
    target : path-like
        ``.html``, a page that asks nothing of the network, or ``.png``.
    synthetic : bool
        Whether the data is made up, which the title then says.

    Raises
    ------
    UsageError
        When the name ends otherwise.
    AmakitError
        When the answer cannot be drawn, or the file not be written.
    """
    target = Path(target)
    form = target.suffix.lower()
    if form not in (".html", ".png"):
        raise UsageError(f"{target} must end in .html or .png, which says what to draw")
    figure = render(frame, drawing)
    if synthetic:
        title = figure.layout.title.text or ""
        figure.update_layout(title_text=f"{title} (synthetic data)".strip())
    if form == ".html":
        figure.update_layout(paper_bgcolor="#FFFFFF", plot_bgcolor="#FFFFFF")
        page = figure.to_html(include_plotlyjs=True, full_html=True, config={"displaylogo": False}).encode()
    else:
        if drawing.kind == "piechart":
            raise UsageError(f"{target}: a piechart is drawn as .html only; write barchart, or .html")
        from amakit.charts.stills import picture

        page = picture(json.loads(figure.to_json()), "png")
    with staged(target.parent) as stage:
        (stage / target.name).write_bytes(page)


def _scale(word):
    return "log" if word == "log" else None


def _columns(frame, drawing):
    """Choose the columns of x, y and the series."""
    wanted = drawing.properties
    for name in [wanted.get("xcolumn"), *wanted.get("ycolumns", []), *wanted.get("series", [])]:
        if name is not None and name not in frame.columns:
            raise UsageError(
                f"render names the column {name!r}, which the answer does not have; {nearest(name, frame.columns)}"
            )
    listed = [c for c in frame if frame[c].map(lambda v: isinstance(v, list)).any()]
    times = [c for c in frame if str(frame[c].dtype).startswith("datetime")]
    times += [c for c in listed if _of_times(frame[c])]
    first = times[0] if drawing.kind == "timechart" and times else frame.columns[0]
    if listed and first not in times and drawing.kind != "piechart":
        first = times[0] if times else first
    x = wanted.get("xcolumn", first)
    numbers = [
        c for c in frame if c != x and (frame[c].dtype.kind in "iufm" or (c in listed and not _of_times(frame[c])))
    ]
    series = wanted.get("series") or [
        c
        for c in frame
        if c != x
        and c not in numbers
        and c not in listed
        and frame[c].dtype.kind not in "M"
        and not str(frame[c].dtype).startswith("datetime")
    ]
    ys = wanted.get("ycolumns") or [c for c in numbers if c not in series]
    if not ys:
        raise AmakitError(f"render {drawing.kind} needs a column of numbers, which the answer does not have")
    if drawing.kind == "timechart" and not times and "xcolumn" not in wanted:
        raise AmakitError("render timechart needs a column of times, which the answer does not have")
    return x, ys, series if drawing.kind != "piechart" else []


def _of_times(column):
    first = next((v[0] for v in column if isinstance(v, list) and v), None)
    return isinstance(first, str) and len(first) > 9 and first[:4].isdigit() and first[4] == "-"


def _points(frame, x, ys, series):
    """Take series of make-series apart, a row for each point."""
    lists = [c for c in (x, *ys) if frame[c].map(lambda v: isinstance(v, list)).any()]
    if not lists:
        return frame
    frame = frame[[x, *ys, *series]].explode(lists, ignore_index=True)
    if x in lists and isinstance(next(iter(frame[x].dropna()), None), str):
        frame[x] = pd.to_datetime(frame[x], utc=True, format="ISO8601")
    return frame.assign(**{y: pd.to_numeric(frame[y]) for y in ys})


def _series(frame, x, ys, series):
    """Give name, x and y of each line or set of bars."""
    groups = frame.groupby(series, sort=False, observed=True, dropna=False) if series else [((), frame)]
    found = []
    for key, part in groups:
        part = part.sort_values(x, kind="stable") if str(part[x].dtype).startswith("datetime") else part
        for y in ys:
            names = [str(word) for word in key] + ([y] if len(ys) > 1 or not series else [])
            values = part[y].dt.total_seconds() if part[y].dtype.kind == "m" else part[y].astype("float64")
            found.append((escaped(", ".join(names), 60), part[x], values))
    return found


def _trace(figure, drawing, name, xs, values):
    stacked = drawing.properties.get("kind") in ("stacked", "stacked100") or drawing.kind == "stackedareachart"
    if drawing.properties.get("accumulate") == "true":
        values = values.cumsum()
    match drawing.kind:
        case "barchart":
            figure.add_bar(y=xs.astype(str), x=values, name=name, orientation="h")
        case "columnchart":
            figure.add_bar(x=xs, y=values, name=name)
        case "scatterchart":
            figure.add_scatter(x=xs, y=values, name=name, mode="markers")
        case "areachart" | "stackedareachart":
            stack = {"stackgroup": "all"} if stacked else {"fill": "tozeroy"}
            if drawing.properties.get("kind") == "stacked100":
                stack["groupnorm"] = "percent"
            figure.add_scatter(x=xs, y=values, name=name, mode="lines", **stack)
        case _:
            figure.add_scatter(x=xs, y=values, name=name, mode="lines")
