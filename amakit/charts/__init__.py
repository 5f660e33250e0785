"""Plotly figures of an analysis: version transitions, gaps, the incident, the rollout.

>>> from amakit import analyze, charts, connect
>>> figure = charts.timeline(analyze(connect("demo"), "2026-03-09", "2026-03-10"))
>>> type(figure).__name__
'Figure'
"""

from amakit.charts.gaps import alerts, causes, downtimes
from amakit.charts.incident import absent, durations, incident
from amakit.charts.outage import around
from amakit.charts.rollout import arrivals, behind, rollout
from amakit.charts.style import live, redraw, row_names, theme
from amakit.charts.transitions import adoption, clock, fleet, inventory, timeline

__all__ = [
    "absent", "adoption", "alerts", "around", "arrivals", "behind", "causes", "clock", "downtimes", "durations",
    "fleet", "incident", "inventory", "live", "redraw", "rollout", "row_names", "theme", "timeline",
]  # fmt: skip
