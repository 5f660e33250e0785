"""What an analysis would ask, before anything is asked."""

import pandas as pd

from amakit.fetch.heartbeats import LOOKAHEAD, LOOKBACK, REACHES
from amakit.fetch.requests import WINDOWS_PER_QUERY
from amakit.fetch.samples import STREAMS
from amakit.intervals import Window, iso
from amakit.kql.catalog import query


def plan(window: Window, silences: int = 1000) -> pd.DataFrame:
    """List what an analysis of a live workspace asks, before anything is asked.

    Parameters
    ----------
    window : Window
    silences : int
        How many stretches are assumed to need a closer look.

    Returns
    -------
    pandas.DataFrame
        Query, Table, Start, End, Asked (when), Least (requests where nothing is silent) and Most (where so many
        machines fall silent for minutes; one that is silent for weeks adds one for every 15 days).

    Notes
    -----
    A request covers at most 15 days and carries at most 500 windows, so that requests grow with the length of the
    window and the number of silences, not with the number of machines.  One whose answer is too large for the
    service is asked again in halves, which no plan can foresee.

    Examples
    --------
    >>> from amakit.intervals import window
    >>> found = plan(window("2026-03-01", "2026-04-01"))
    >>> found.loc[found["Query"] == "heartbeat_days", ["Least", "Most"]].values.tolist()
    [[3, 3]]
    """
    before, after = Window(window.start - LOOKBACK, window.start), Window(window.end, window.end + LOOKAHEAD)
    wide = Window(before.end - pd.Timedelta(days=1), after.end)
    always, there, finer = "always", "where there is such a table", "around what looks like a silence"
    each = "for each table of events that is there"
    once = (0, 0)  # for the finer ones: how often windows are asked for, and how many there are for each silence
    steps: list[tuple[str, Window, str, tuple[int, int]]] = [
        ("heartbeat_machines", before, always, once),
        ("heartbeat_machines", after, always, once),
        ("heartbeat_days", window, always, once),
        ("heartbeat_hours", window, finer, (2, 1)),
        ("heartbeat_rows", window, finer, (3, 1)),
        ("heartbeat_others", window, "where an agent falls silent for good and other tables go on", (1, 1)),
        ("heartbeat_late", window, "in days with a heartbeat that came late", (1, 1)),
        *((f"{name}_streams", window, there, once) for name in STREAMS.values()),
        *((f"{name}_rows", window, f"{finer}, {there}", (len(REACHES), 1)) for name in STREAMS.values()),
        ("perf_uptime", window, f"{finer}, {there}", (1, 1)),
        ("activity", wide, there, once),
        ("system_events", wide, there, once),
        ("syslog_boots", wide, there, once),
        ("event_hours", window, each, once),
        ("event_machines", window, f"{each}, where machines are named", once),
        # inside and after each outage; in hours of the same rate; before and after a loss within an hour
        ("event_windows", window, f"{each}, around each outage of each source", (3, 12)),
        ("event_records", window, f"{each} and has record numbers, around each outage", (1, 6)),
    ]
    rows = []
    for name, over, asked, (rounds, windows) in steps:
        slices = len(over.slices())
        most = rounds * slices + -(-silences * windows // WINDOWS_PER_QUERY) if rounds else slices
        rows.append(
            {
                "Query": name,
                "Table": "events" if name.startswith("event_") else ", ".join(query(name).reads),
                "Start": iso(over.start),
                "End": iso(over.end),
                "Asked": asked,
                "Least": slices if asked in (always, there) else 0,
                "Most": most if silences or not rounds else 0,
            }
        )
    return pd.DataFrame(rows)
