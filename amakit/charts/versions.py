"""Versions over time: their colours and names, as bars of each machine or as one image of the fleet."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from amakit.analysis import Analysis
from amakit.charts.colours import DARK, ramp
from amakit.charts.style import escaped, on_dark, wall_clock
from amakit.find.versions import version_key
from amakit.schemas import MACHINE, Cause


def version_styles(analysis: Analysis) -> dict[str, dict]:
    """Give each product line and version its colour, the same in every chart: the newer, the more it stands out."""
    pairs = pd.concat([analysis.runs, analysis.machines])[["os_type", "version"]].drop_duplicates()
    keys = sorted({(os, version_key(version)) for os, version in pairs.itertuples(index=False)})
    spelled = {(os, version_key(v)): v for os, v in sorted(pairs.itertuples(index=False, name=None), reverse=True)}
    lines = list(dict.fromkeys(os for os, _ in keys))
    shades = [shade for line in lines for shade in ramp(line, sum(os == line for os, _ in keys))]
    return {
        escaped(f"{key[0]} {spelled[key]}".strip()): {"key": key, "colour": DARK[shade] if on_dark() else shade}
        for key, shade in zip(keys, shades, strict=True)
    }


def version_labels(frame: pd.DataFrame, styles: dict[str, dict]) -> pd.Series:
    """Name the version of each row as the legend does."""
    by_key = {style["key"]: name for name, style in styles.items()}
    pairs = zip(frame["os_type"], frame["version"], strict=True)
    return pd.Series([by_key[os, version_key(v)] for os, v in pairs], index=frame.index, dtype="str")


def runs_in_window(analysis: Analysis) -> pd.DataFrame:
    """Give the runs as far as they lie in the window."""
    runs = analysis.runs[analysis.runs["beats"] > 0]
    return runs.assign(first=runs["first"].clip(lower=analysis.window.start))


def draw_versions(
    figure: go.Figure, analysis: Analysis, rows: pd.DataFrame, many: bool, words: dict, timezone: str
) -> pd.DataFrame:
    """Draw the versions of some machines over time; give the stretches that were drawn."""
    figure.update_layout(margin_t=50 if many else 110)
    runs = _broken(runs_in_window(analysis), analysis).merge(rows, on=MACHINE)
    if len(runs):
        (_raster if many else _bars)(figure, analysis, rows, runs, version_styles(analysis), words, timezone)
    return runs


def _broken(runs, analysis):
    """Break runs where the agent surely delivered nothing although its version stayed."""
    away = analysis.outages[analysis.outages["cause"] != Cause.DISCONNECTED]
    away = away[[*MACHINE, "start_latest", "end_earliest"]].dropna()
    runs = runs.rename_axis("run").reset_index()
    cuts = runs[["run", *MACHINE, "first", "last"]].merge(away, on=MACHINE)
    cuts = cuts[(cuts["first"] < cuts["start_latest"]) & (cuts["end_earliest"] < cuts["last"])]
    ends = {
        "first": pd.concat([runs[["run", "first"]], cuts[["run", "end_earliest"]].set_axis(["run", "first"], axis=1)]),
        "last": pd.concat([runs[["run", "last"]], cuts[["run", "start_latest"]].set_axis(["run", "last"], axis=1)]),
    }
    ends = {name: part.sort_values(["run", name], ignore_index=True) for name, part in ends.items()}
    parts = ends["first"].assign(last=ends["last"]["last"]).merge(runs.drop(columns=["first", "last"]), on="run")
    return parts[parts["first"] <= parts["last"]].drop(columns="run")


def _bars(figure, analysis, rows, runs, styles, words, timezone):
    label = version_labels(runs, styles)
    for name, style in styles.items():
        part = runs[label == name]
        if part.empty:
            continue
        start, end = wall_clock(part["first"], timezone), wall_clock(part["last"], timezone)
        figure.add_bar(
            base=start,
            x=(end - start).dt.total_seconds() * 1000,
            y=part["label"],
            orientation="h",
            name=name,
            marker=marker_of(style),
            customdata=np.stack([part["label"], start.astype("str"), end.astype("str")], axis=-1),
            hovertemplate=f"%{{customdata[0]}}<br>{name}<br>%{{customdata[1]}} – %{{customdata[2]}}<extra></extra>",
        )


def _raster(figure, analysis, rows, runs, styles, words, timezone, columns=720):
    """Draw the fleet as one image: 0 is silence, n the n-th version."""
    edges = np.linspace(0, analysis.window.seconds, columns + 1)
    number = {name: n for n, name in enumerate(styles, start=1)}
    value = version_labels(runs, styles).map(number).to_numpy()
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
    shades = ["rgba(128,128,128,0.12)", *(style["colour"] for style in styles.values())]
    steps = np.repeat(np.linspace(0, 1, len(shades) + 1), 2)[1:-1]
    moments = wall_clock(analysis.window.start + pd.to_timedelta((edges[:-1] + edges[1:]) / 2, unit="s"), timezone)
    figure.add_heatmap(
        z=cells,
        x=moments,
        y=rows["label"].unique(),
        zmin=-0.5,
        zmax=len(shades) - 0.5,
        colorscale=[[float(step), shade] for step, shade in zip(steps, np.repeat(shades, 2), strict=True)],
        colorbar={
            "tickvals": list(range(len(shades))),
            "thickness": 14,
            "ticktext": ["0 –", *(f"{n} {name}" for name, n in number.items())],
        },
        hovertemplate=f"%{{y}}<br>%{{x}}<br>{words['version']} %{{z}}<extra></extra>",
    )


def marker_of(style: dict) -> dict:
    """Give the marker of a bar that shows a version."""
    return {"color": style["colour"], "pattern": style.get("pattern"), "line": {"width": 0}}
