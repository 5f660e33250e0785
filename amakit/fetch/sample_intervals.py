"""How often each agent sends a heartbeat, told from single spacings and never from days that may have holes."""

import numpy as np
import pandas as pd

from amakit.fetch.heartbeats import Fleet, joined_by_agent
from amakit.fetch.requests import ask_in_windows, coalesced_windows
from amakit.schemas import KQL_MACHINE, MACHINE

#: Seconds between two heartbeats of the Azure Monitor Agent, unless the beats say otherwise.
USUAL = 60.0
#: What is asked for where hours leave the interval open: the beats of so long a stretch.
_SAMPLE = pd.Timedelta(hours=3)
#: A day with fewer beats proves nothing.
_PROOF = 10
#: More agents under one identity are not told apart.
_MOST_AGENTS = 4
LINE = [*MACHINE, "line"]


def heartbeat_intervals(fleet: Fleet) -> pd.DataFrame:
    """Tell the interval of the heartbeats of each agent, and how many agents send them under one identity.

    A day that has a beat for each minute between its first and its last is proof of the usual interval.  Where hardly
    a day of an agent has, because of a creeping clock or because each day has an outage of its own, and where a day
    has far more rows than minutes, the hours of its fullest day are asked for: over an hour a clock cannot creep as
    far as one missing beat.  Where hours do not fit the usual interval either, three hours of single beats tell.

    Parameters
    ----------
    fleet : Fleet

    Returns
    -------
    pandas.DataFrame
        One row per line (resource_id, computer, line; see `joined_by_agent`): interval in seconds, and agents: how
        many send at that interval.

    Examples
    --------
    >>> from amakit import connect
    >>> from amakit.fetch.heartbeats import fleet
    >>> from amakit.intervals import window
    >>> heartbeat_intervals(fleet(connect("demo"), window("2026-03-09", "2026-03-10")))["agents"].max()
    np.int64(1)
    """
    days = joined_by_agent(fleet.days, fleet)
    told = days[LINE].drop_duplicates().assign(interval=USUAL, agents=1).set_index(LINE)
    lacking = missing(days, USUAL)
    keys = [days[key] for key in LINE]
    share = ((lacking.abs() < 0.25) & (days["Beats"] >= _PROOF)).groupby(keys).mean()
    more = (lacking < -0.3 * days["Beats"].astype("float64")).groupby(keys).any()
    open_lines = share.index[(share < 0.1) | more]
    fullest = days[days.set_index(LINE).index.isin(open_lines)]
    fullest = fullest.sort_values(["Beats", "FirstBeat"], ascending=[False, True]).drop_duplicates(LINE)
    if fullest.empty:
        return told.reset_index()
    hours = _parts(fleet, "heartbeat_hours", fullest, fullest["Day"], pd.Timedelta(days=1))
    by_hours = {line: _by_hours(rows) for line, rows in hours.groupby(LINE)}
    busiest = hours.sort_values(["Beats", "Hour"], ascending=[False, True]).drop_duplicates(LINE)
    busiest = busiest[[np.isnan(by_hours[line]) for line in busiest[LINE].itertuples(index=False, name=None)]]
    rows = _parts(fleet, "heartbeat_rows", busiest, busiest["Hour"], _SAMPLE)
    found = {line: (interval, 1) for line, interval in by_hours.items() if not np.isnan(interval)}
    found |= {line: by_spacings(part["TimeGenerated"]) for line, part in rows.groupby(LINE)}
    update = pd.DataFrame(found.values(), index=pd.MultiIndex.from_tuples(found, names=LINE), columns=told.columns)
    told.loc[update.index] = update
    return told.reset_index()


def missing(spans: pd.DataFrame, interval: "float | np.ndarray") -> pd.Series:
    """Give how many beats each day or hour lacks between its first and its last; more than there should be count less.

    It is no whole number, because the clock creeps and beats jitter.
    """
    return (spans["LastBeat"] - spans["FirstBeat"]).dt.total_seconds() / interval + 1 - spans["Beats"].astype("float64")


def by_spacings(times: pd.Series) -> tuple[float, int]:
    """Tell the interval from the spacings of single beats, and how many agents send at it in turns.

    Parameters
    ----------
    times : pandas.Series of datetime
        In any order; repeated times count once.

    Returns
    -------
    tuple of (float, int)
        Seconds, and 1 unless the beats are those of several agents whose every second, third or fourth beat is the
        usual interval apart.

    Examples
    --------
    >>> beat = pd.Series(pd.date_range("2026-03-02", periods=60, freq="30s", tz="UTC"))
    >>> by_spacings(beat)
    (30.0, 1)
    >>> minute = pd.Series(pd.date_range("2026-03-02", periods=60, freq="60s", tz="UTC"))
    >>> by_spacings(pd.concat([minute, minute + pd.Timedelta(seconds=9)]))
    (60.0, 2)
    """
    seconds = np.unique(pd.DatetimeIndex(times).as_unit("us").asi8) / 1e6
    for agents in range(1, _MOST_AGENTS + 1):
        apart = seconds[agents:] - seconds[:-agents]
        usual = apart[np.abs(apart - USUAL) < USUAL / 10]
        if len(usual) and 2 * len(usual) >= len(apart) and (agents == 1 or not _steady(np.diff(seconds))):
            return float(np.median(usual)), agents
    return (_mode(np.diff(seconds)) if len(seconds) > 1 else USUAL), 1


def _by_hours(hours):
    """Tell the interval from hours in which it is near the usual one; NaN where most hours do not fit it."""
    long = hours[(hours["LastBeat"] - hours["FirstBeat"]).dt.total_seconds() >= 10 * USUAL]
    holes = missing(long, USUAL).round()
    length = (long["LastBeat"] - long["FirstBeat"]).dt.total_seconds()
    beats = long["Beats"].astype("float64")
    if not len(long) or ((holes < 0) | (holes > beats / 2)).mean() > 0.5:
        return np.nan
    whole = length / (beats - 1)
    whole = whole[(holes == 0) & ((whole - USUAL).abs() < USUAL / 300)]
    return float(whole.median()) if len(whole) >= 4 else USUAL


def _steady(spacings):
    """Say whether most spacings are the same."""
    mode = _mode(spacings)
    return bool(np.mean(np.abs(spacings - mode) < mode / 10) > 0.6)


def _mode(spacings):
    """Give the middle of the narrowest range that holds half of the spacings."""
    ordered = np.sort(spacings)
    half = (len(ordered) + 1) // 2
    at = int(np.argmin(ordered[half - 1 :] - ordered[: len(ordered) - half + 1]))
    return float(np.median(ordered[at : at + half]))


def _parts(fleet, name, lines, start, length):
    """Ask for hours or beats of one stretch of each line."""
    windows = lines[KQL_MACHINE].assign(Start=start, End=start + length)
    if name == "heartbeat_hours":
        windows["Interval"] = np.nan
    rows = ask_in_windows(fleet.workspace, name, coalesced_windows(windows))
    return rows.merge(lines[[*KQL_MACHINE, "Agent", *LINE]], on=[*KQL_MACHINE, "Agent"])
