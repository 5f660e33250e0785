"""Charts and sentences against the tables that they are made from."""

from dataclasses import replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from fleet import at, beats, write

import amakit
from amakit import charts
from amakit.charts import style
from amakit.charts.versions import version_styles
from amakit.prose.transitions import transitions


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    rows = pd.concat(
        [
            beats("web", [("1.37", "2026-03-02", "2026-03-03 10:00"), ("1.38", "2026-03-03 10:04", "2026-03-05")]),
            beats("app", [("1.37", "2026-03-02", "2026-03-05")], source="t"),
            beats("gone", [("1.9", "2026-03-02", "2026-03-03")], source="u", os_type="Linux"),
        ]
    )
    return amakit.analyze(
        amakit.connect(write(tmp_path_factory.mktemp("s"), Heartbeat=rows)), "2026-03-02", "2026-03-05"
    )


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Four hundred machines, every second of which upgrades at noon of its own day."""
    rows = [
        beats(
            f"m{n:03}",
            [
                ("1.37", "2026-03-02", f"2026-03-0{3 + n % 3} 12:00"),
                ("1.38" if n % 2 else "1.37", f"2026-03-0{3 + n % 3} 12:03", "2026-03-06"),
            ],
            interval=600,
            source=str(n),
        )
        for n in range(400)
    ]
    return amakit.analyze(
        amakit.connect(write(tmp_path_factory.mktemp("l"), Heartbeat=pd.concat(rows))), "2026-03-02", "2026-03-06"
    )


def test_inventory_counts_every_machine_once(small):
    bars = {bar.y[0]: bar.x[0] for bar in charts.inventory(small).data}
    assert bars == {"Windows 1.37": 1, "Windows 1.38": 1, "Linux 1.9": 1}


def test_a_version_looks_the_same_in_every_chart(small):
    looks = {}
    for figure in (charts.inventory(small), charts.timeline(small)):
        for bar in (trace for trace in figure.data if trace.type == "bar"):
            looks.setdefault(bar.name, set()).add((bar.marker.color, bar.marker.pattern.shape))
    areas = {trace.name: trace.fillcolor for trace in charts.adoption(small).data}
    assert all(len(look) == 1 for look in looks.values())
    assert areas == {name: next(iter(look))[0] for name, look in looks.items()}


def test_of_a_hundred_versions_the_newest_look_unlike_each_other(small):
    runs = pd.concat([small.runs.iloc[[0]].assign(version=f"1.{n}") for n in range(100)])
    styles = version_styles(replace(small, machines=small.machines.iloc[:0], runs=runs))
    colours = [one["colour"] for one in sorted(styles.values(), key=lambda one: one["key"])]
    assert len(set(colours[-12:])) == 12
    assert set(colours[:-12]) == {colours[0]}


def test_timeline_bars_are_the_runs(small):
    figure = charts.timeline(small, timezone="Asia/Tokyo")
    (bar,) = [t for t in figure.data if t.name == "Windows 1.38"]
    assert pd.Timestamp(bar.base[0]) == pd.Timestamp("2026-03-03 19:04")  # 10:04 UTC
    assert bar.x[0] == (at("2026-03-04 23:59") - at("2026-03-03 10:04")).total_seconds() * 1000
    (mark,) = [t for t in figure.data if t.name == "upgrade"]
    assert list(mark.y) == ["web"]


def test_a_large_fleet_is_one_raster_that_agrees_with_the_runs(large):
    figure = charts.timeline(large)
    (raster,) = figure.data
    assert (raster.type, raster.z.shape, raster.z.dtype) == ("heatmap", (400, 720), np.dtype("uint8"))
    assert set(np.unique(raster.z)) <= {0, 1, 2}
    last = dict(zip(raster.y, raster.z[:, -5], strict=True))
    versions = large.machines.set_index("computer")["version"]
    assert all(last[name] == {"1.37": 1, "1.38": 2}[versions[name]] for name in versions.index)
    assert len(figure.to_json()) < 1_000_000


def test_adoption_adds_up_to_the_machines_that_report(large):
    areas = charts.adoption(large, points=97).data
    total = np.sum([area.y for area in areas], axis=0)
    assert set(total[1:-1]) == {400}
    newest = next(area for area in areas if area.name == "Windows 1.38")
    assert (newest.y[0], newest.y[-2]) == (0, 200)


def test_the_clock_counts_in_the_zone_that_is_asked_for(small):
    utc, tokyo = charts.clock(small).data[0], charts.clock(small, "ja", "Asia/Tokyo").data[0]
    assert utc.z[1][10] == utc.z.sum() == 1  # Tuesday 10:04 UTC …
    assert tokyo.z[1][19] == tokyo.z.sum() == 1  # … is 19:04 in Tokyo


def test_charts_of_nothing_say_so(small):
    nothing = replace(
        small, machines=small.machines.iloc[:0], transitions=small.transitions.iloc[:0], runs=small.runs.iloc[:0]
    )
    for chart in (charts.timeline, charts.adoption):
        assert chart(nothing).layout.annotations[0].text == "nothing to show"


def test_facts_of_versions_count_as_the_tables_do(small):
    told = transitions(small).facts
    assert told["changes"] | {"median": 0} == {
        "machines": 1,
        "upgrades": 1,
        "downgrades": 0,
        "median": 0,
        "widest": 300.0,
        "machine": "web",
    }  # from 09:59 to 10:04
    assert told["inventory"] == {"reporting": 2, "versions": 2, "silent": ["gone"], "common": "Windows 1.37", "most": 1}
    assert told["hours"] == {"day": 1, "hour": 10, "most": 1, "upgrades": 1, "outside": 0}
    assert (told["undone"], told["often"]) == ([], [])


def test_a_widget_leaves_the_figure_as_it_was():
    """The raster of a large fleet becomes an image in the widget, and stays a raster in the figure."""
    figure = go.Figure(
        go.Heatmap(
            z=np.zeros((2, 720), "uint8"),
            x=pd.date_range("2026-03-02", periods=720, freq="min"),
            colorscale=[[0, "#0072B2"], [1, "#0072B2"]],
            zmin=0,
            zmax=1,
            colorbar={},
        )
    )
    before = figure.to_json()
    widget = style.live(figure)
    assert figure.to_json() == before
    style.redraw(widget, figure)
    assert figure.to_json() == before
    assert len(widget.layout.images) == 1
