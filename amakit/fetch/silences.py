"""Where heartbeats are missing: days first, then hours, then rows."""

import numpy as np
import pandas as pd

from amakit.fetch.heartbeats import Fleet, joined_by_agent
from amakit.fetch.requests import ask_in_windows, coalesced_windows
from amakit.fetch.sample_intervals import LINE, USUAL, heartbeat_intervals, missing
from amakit.recorded.clocks import behind_at_end
from amakit.schemas import KQL_MACHINE, MACHINE

#: A machine whose last heartbeat is older than this at the horizon is called silent.  Five intervals: one
#: missed beat is noise, an upgrade takes minutes.
SILENT_AFTER = pd.Timedelta(minutes=5)
#: A heartbeat that took longer than this was held up.
LATE = pd.Timedelta(minutes=2)


def silences(fleet: Fleet, intervals: pd.DataFrame | None = None) -> pd.DataFrame:
    """Find every stretch in which a machine sent no heartbeat for longer than one and a half of its intervals.

    A whole day is known from its first beat, its last, their number and the sum of their offsets: a missing beat
    changes the number, one that a doubled row makes up for changes the sum.  Days in which either is off are asked
    for once more with doubled rows counted once: then the number alone tells.  Only hours in which it is still off
    are read beat by beat.

    Parameters
    ----------
    fleet : Fleet
    intervals : pandas.DataFrame, optional
        As `amakit.fetch.sample_intervals.heartbeat_intervals` gives them; asked for where they are not given.

    Returns
    -------
    pandas.DataFrame
        resource_id, computer, agent (empty unless several report at once), last and first: the heartbeats
        around the silence; ``first`` is missing where nothing came back before the horizon, at least five
        minutes later.  Sorted by machine and time.

    Examples
    --------
    >>> from amakit import connect
    >>> from amakit.fetch.heartbeats import fleet
    >>> from amakit.intervals import window
    >>> found = silences(fleet(connect("demo"), window("2026-03-09", "2026-03-10")))
    >>> bool(((found["first"] - found["last"]).dropna() > pd.Timedelta(seconds=89)).all())
    True
    """
    lined = [joined_by_agent(frame, fleet) for frame in (fleet.days, fleet.before, fleet.after)]
    days, before, after = lined
    intervals = heartbeat_intervals(fleet) if intervals is None else intervals
    odd_days = _odd_days(days, intervals)
    hours = _fine(fleet, "heartbeat_hours", odd_days, pd.Timedelta(days=1), "Day")
    parts = hours[~hours["Whole"]]
    odd_hours = parts[~_as_many(parts, intervals)]
    rows = _fine(fleet, "heartbeat_rows", odd_hours, pd.Timedelta(hours=1), "Hour")
    spans = pd.concat(
        [
            before.assign(FirstBeat=before["LastBeat"]),
            _without(days, odd_days, ["Day"]),
            _without(hours, odd_hours, ["Hour"]),
            rows.assign(FirstBeat=rows["TimeGenerated"], LastBeat=rows["TimeGenerated"]),
            after.assign(LastBeat=after["FirstBeat"]),
        ]
    )[[*LINE, "FirstBeat", "LastBeat"]].sort_values([*LINE, "FirstBeat", "LastBeat"], ignore_index=True)
    keys = [spans[key] for key in LINE]
    reached = spans.groupby(LINE)["LastBeat"].cummax()
    spans["last"] = reached.groupby(keys).shift()
    interval = _per_row(spans, intervals)["interval"].fillna(USUAL)
    found = spans[(spans["FirstBeat"] - spans["last"]).dt.total_seconds() > 1.5 * interval]
    found = found.rename(columns={"FirstBeat": "first"})[[*LINE, "last", "first"]]
    end = spans.assign(last=reached, interval=interval).groupby(LINE)[["last", "interval"]].last().reset_index()
    latest = end.groupby(MACHINE)["last"].transform("max")  # an agent beside which another goes on was taken away
    patience = pd.to_timedelta(2 * end["interval"], unit="s").clip(lower=SILENT_AFTER)
    behind = end[MACHINE].merge(behind_at_end(fleet.days).rename("behind").reset_index(), how="left", on=MACHINE)[
        "behind"
    ]
    over = end["last"] + behind.fillna(pd.Timedelta(0)) < fleet.horizon - patience
    silent = end[over & (end["last"] == latest)].drop(columns="interval")
    silent = silent.assign(first=pd.Series(pd.NaT, silent.index, dtype=found["first"].dtype))
    found = pd.concat([found, silent])
    inside = (found["last"] < fleet.window.end) & ~(found["first"] <= fleet.window.start)
    return found[inside].rename(columns={"line": "agent"}).sort_values([*MACHINE, "last"], ignore_index=True)


def _skew(days):
    """Give by how many seconds the offsets of a day's beats add up to more than they would around its middle."""
    length = (days["LastBeat"] - days["FirstBeat"]).dt.total_seconds()
    middle = (days["FirstBeat"] - days["FirstBeat"].dt.floor("D")).dt.total_seconds() + length / 2
    return days["Offset"] - days["Beats"] * middle


def _per_row(spans, intervals):
    """Give the interval of each row's line and the number of its agents."""
    return spans[LINE].merge(intervals, how="left", on=LINE).set_axis(spans.index)


def _as_many(spans, intervals):
    """Mark days or hours that have one beat of each agent for each interval between the first and the last.

    Between two agents that send in turns, one beat more or less depends on whose are the first and the last.
    """
    of_row = _per_row(spans, intervals)
    lacking = missing(spans, of_row["interval"] / of_row["agents"])
    return (lacking.abs() < np.where(of_row["agents"] > 1, 1.0, 0.5)).to_numpy()


def _odd_days(days, intervals):
    """Give the days that may lack a beat, each with the interval of its line.

    A day that has as many beats as it should is whole if none is doubled.  Two things show that, either suffices:
    its beats lie evenly around the middle between the first and the last; or, where jitter hides that, the middles
    of two neighbouring days are as far apart as all the intervals between them.
    """
    days = days.sort_values([*LINE, "FirstBeat", "Version"], ignore_index=True)
    of_row = _per_row(days, intervals)
    own = of_row["interval"].to_numpy()
    many = _as_many(days, intervals) & (of_row["agents"] == 1).to_numpy()  # beats in turns never lie evenly
    even = np.abs(_skew(days).to_numpy()) < own / 2
    beats = days["Beats"].to_numpy("float64")
    centre = (days["Day"] - days["Day"].min()).dt.total_seconds().to_numpy() + days["Offset"].to_numpy() / beats
    same = (days[LINE] == days[LINE].shift()).all(axis=1).to_numpy()
    between = np.diff(centre, prepend=np.nan)
    steps = (beats + np.r_[np.nan, beats[:-1]]) / 2
    linked = same & many & np.r_[False, many[:-1]]
    fine = pd.Series(np.where(linked, between / steps, np.nan)).groupby([days[key] for key in LINE])
    precise = fine.transform("median").to_numpy()
    # one beat moved by one place shifts the middle by an interval over the number of beats
    linked &= np.abs(between - precise * steps) < precise / (2 * beats)
    linked &= fine.transform("count").to_numpy() >= 3
    even |= linked | np.r_[linked[1:], False]
    step = own / of_row["agents"].to_numpy()
    return days[~(many & even)].assign(Interval=step[~(many & even)])


def _fine(fleet, name, odd, length, unit):
    """Ask for the parts of odd days or hours, of their own agents only."""
    windows = odd[KQL_MACHINE].assign(Start=odd[unit], End=odd[unit] + length, **odd.get(["Interval"], {}))
    rows = ask_in_windows(fleet.workspace, name, coalesced_windows(windows))
    rows = rows.merge(
        odd[[*KQL_MACHINE, "Agent", "Version", *LINE]].drop_duplicates(), on=[*KQL_MACHINE, "Agent", "Version"]
    )
    inside = odd[[*KQL_MACHINE, "Agent", "Version", unit]].drop_duplicates()
    time = "TimeGenerated" if "TimeGenerated" in rows else "FirstBeat"
    rows[unit] = rows[time].dt.floor("D" if unit == "Day" else "h")
    return rows.merge(inside, on=[*KQL_MACHINE, "Agent", "Version", unit])


def _without(spans, odd, unit):
    keys = [*KQL_MACHINE, "Agent", "Version", *unit]
    marked = spans[keys].merge(odd[keys].drop_duplicates().assign(odd=True), how="left", on=keys)["odd"].notna()
    return spans[~marked.to_numpy()]
