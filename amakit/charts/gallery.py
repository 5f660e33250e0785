"""Every chart of an analysis with its caption: what a page of examples, or a deck of slides, is made from."""

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from amakit import charts
from amakit.prose.gaps import gaps
from amakit.prose.incident import incident
from amakit.prose.rollout import rollout
from amakit.prose.transitions import transitions
from amakit.study.rollout import releases

if TYPE_CHECKING:
    from amakit.analysis import Analysis


def gallery(analysis: "Analysis", language: str = "en", timezone: str = "UTC") -> list[tuple[str, go.Figure, str]]:
    """Draw every chart of an analysis, each with the sentence that says what it shows.

    Parameters
    ----------
    analysis : Analysis
    language : {'en', 'ja'}
    timezone : str
        Zone in which times are told.

    Returns
    -------
    list of (str, plotly.graph_objects.Figure, str)
        The name of the function in `amakit.charts`, its figure, and a caption in Markdown.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")
    >>> [name for name, _, _ in gallery(found)][:4]
    ['inventory', 'timeline', 'adoption', 'clock']
    """
    known, zone = releases.known(), (language, timezone)
    versions, losses, writeup = (page(analysis, *zone) for page in (transitions, gaps, incident))
    releases_page = rollout(analysis, *zone, known)
    return [
        ("inventory", charts.inventory(analysis, language), versions["inventory"]),
        ("timeline", charts.timeline(analysis, *zone), versions["changes"]),
        ("adoption", charts.adoption(analysis, *zone), versions["adoption"]),
        ("clock", charts.clock(analysis, *zone), versions["timing"]),
        ("durations", charts.durations(analysis, language), writeup["timeline"]),
        ("absent", charts.absent(analysis, *zone), writeup["absent"]),
        ("incident", charts.incident(analysis, *zone), writeup["timeline"]),
        ("fleet", charts.fleet(analysis, None, None, *zone), writeup["timeline"]),
        ("around", charts.around(analysis, None, *zone), losses["around"]),
        ("downtimes", charts.downtimes(analysis, language), losses["downtimes"]),
        ("causes", charts.causes(analysis, language), losses["others"]),
        ("alerts", charts.alerts(analysis, language), losses["alerts"]),
        ("rollout", charts.rollout(analysis, known, *zone), releases_page["spread"]),
        ("arrivals", charts.arrivals(analysis, known, *zone), releases_page["arrived"]),
        ("behind", charts.behind(analysis, known, language), releases_page["standing"]),
    ]
