"""Where heartbeats are missing: days first, then hours, then rows."""

import numpy as np
import pandas as pd

from amakit.fetch.heartbeats import Fleet, joined_by_agent
from amakit.fetch.requests import KQL_MACHINE, ask_in_windows, coalesced_windows
from amakit.schemas import MACHINE

#: A machine whose last heartbeat is older than this at the horizon is called silent.  Five intervals: one
#: missed beat is noise, an upgrade takes minutes.
SILENT_AFTER = pd.Timedelta(minutes=5)
#: A heartbeat that took longer than this was held up.
LATE = pd.Timedelta(minutes=2)
_LINE = [*MACHINE, "line"]
#: The interval of a heartbeat where too few of them tell.
_USUAL = 60.0


def silences(fleet: Fleet) -> pd.DataFrame:
    """Find every stretch in which a machine sent no heartbeat for longer than one and a half of its intervals.

    A whole day is known from its first beat, its last, their number and the sum of their offsets: a missing beat
    changes the number, one that a doubled row makes up for changes the sum.  Days in which either is off are asked
    for once more with doubled rows counted once: then the number alone tells.  Only hours in which it is still off
    are read beat by beat.

    Parameters
    ----------
    fleet : Fleet

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
    interval = _intervals(days)
    odd_days = _odd_days(days, interval)
    hours = _fine(fleet, "heartbeat_hours", odd_days, pd.Timedelta(days=1), "Day")
    parts = hours[~hours["Whole"]]
    interval = _hourly(parts).combine_first(interval)  # where every row comes twice, days look twice as fast
    odd_hours = parts[~_as_many(parts, _per_row(parts, interval))]
    rows = _fine(fleet, "heartbeat_rows", odd_hours, pd.Timedelta(hours=1), "Hour")
    spans = pd.concat([
        before.assign(FirstBeat=before["LastBeat"]),
        _without(days, odd_days, ["Day"]),
        _without(hours, odd_hours, ["Hour"]),
        rows.assign(FirstBeat=rows["TimeGenerated"], LastBeat=rows["TimeGenerated"]),
        after.assign(LastBeat=after["FirstBeat"]),
    ])[[*_LINE, "FirstBeat", "LastBeat"]].sort_values([*_LINE, "FirstBeat", "LastBeat"], ignore_index=True)  # fmt: skip
    keys = [spans[key] for key in _LINE]
    reached = spans.groupby(_LINE)["LastBeat"].cummax()
    spans["last"] = reached.groupby(keys).shift()
    interval = _spacing(rows).combine_first(interval)
    limit = 1.5 * spans.merge(interval.rename("T").reset_index(), how="left", on=_LINE)["T"].fillna(_USUAL)
    found = spans[(spans["FirstBeat"] - spans["last"]).dt.total_seconds() > limit]
    found = found.rename(columns={"FirstBeat": "first"})[[*_LINE, "last", "first"]]
    end = spans.assign(reached=reached).groupby(_LINE)["reached"].last().reset_index(name="last")
    silent = end[end["last"] < fleet.horizon - SILENT_AFTER]
    silent = silent.assign(first=pd.Series(pd.NaT, silent.index, dtype=found["first"].dtype))
    found = pd.concat([found, silent])
    inside = (found["last"] < fleet.window.end) & ~(found["first"] <= fleet.window.start)
    return found[inside].rename(columns={"line": "agent"}).sort_values([*MACHINE, "last"], ignore_index=True)


def _intervals(days):
    """Estimate the interval of each line, in seconds, from its days.

    Of the two fifths of its days whose beats lie most evenly around the middle: a missing beat and a doubled row both
    pull the sum to one side.  Fewer than four days prove nothing, and give none.
    """
    many = days[days["Beats"] >= 10]
    told = many[_LINE].assign(each=_each(many), skew=np.abs(_skew(many)))
    rank = told.groupby(_LINE)["skew"].rank(method="first", pct=True)
    most = told.groupby(_LINE)["skew"].transform("size")
    return told[(most >= 4) & (rank <= 0.4)].groupby(_LINE)["each"].median()


def _hourly(hours):
    """Estimate the interval of each line, in seconds, from hours without doubled rows: those with holes look slower."""
    many = hours[hours["Beats"] >= 10]
    grouped = _each(many).groupby([many[key] for key in _LINE])
    return grouped.quantile(0.25)[grouped.size() >= 4]


def _each(spans):
    """Give the mean spacing of the beats of each day or hour, in seconds."""
    return (spans["LastBeat"] - spans["FirstBeat"]).dt.total_seconds() / (spans["Beats"] - 1)


def _skew(days):
    """Give by how many seconds the offsets of a day's beats add up to more than they would around its middle."""
    length = (days["LastBeat"] - days["FirstBeat"]).dt.total_seconds()
    middle = (days["FirstBeat"] - days["FirstBeat"].dt.floor("D")).dt.total_seconds() + length / 2
    return days["Offset"] - days["Beats"] * middle


def _spacing(rows):
    """Give the median spacing of the beats of each line, in seconds; repeated times count once."""
    times = rows[[*_LINE, "TimeGenerated"]].drop_duplicates().sort_values([*_LINE, "TimeGenerated"])
    keys = [times[key] for key in _LINE]
    spacing = times.groupby(keys)["TimeGenerated"].diff().dt.total_seconds()
    return spacing.groupby(keys).median().dropna()


def _per_row(spans, interval):
    """Give the interval of each row's line; missing where none is known."""
    return spans[_LINE].merge(interval.rename("T").reset_index(), how="left", on=_LINE)["T"].to_numpy("float64")


def _as_many(spans, interval):
    """Mark days or hours that have one beat for each interval between the first and the last."""
    length = (spans["LastBeat"] - spans["FirstBeat"]).dt.total_seconds().to_numpy()
    return spans["Beats"].to_numpy() == np.round(length / interval) + 1  # where no interval is known, nothing is whole


def _odd_days(days, interval):
    """Give the days that may lack a beat, each with the interval of its line.

    A day that has as many beats as it should is whole if none is doubled.  Two things show that, either suffices:
    its beats lie evenly around the middle between the first and the last; or, where jitter hides that, the middles
    of two neighbouring days are as far apart as all the intervals between them.
    """
    days = days.sort_values([*_LINE, "FirstBeat", "Version"], ignore_index=True)
    own = _per_row(days, interval)
    many, even = _as_many(days, own), np.abs(_skew(days).to_numpy()) < own / 2
    beats = days["Beats"].to_numpy("float64")
    centre = (days["Day"] - days["Day"].min()).dt.total_seconds().to_numpy() + days["Offset"].to_numpy() / beats
    same = (days[_LINE] == days[_LINE].shift()).all(axis=1).to_numpy()
    between = np.diff(centre, prepend=np.nan)
    steps = (beats + np.r_[np.nan, beats[:-1]]) / 2
    linked = same & many & np.r_[False, many[:-1]]
    fine = pd.Series(np.where(linked, between / steps, np.nan)).groupby([days[key] for key in _LINE])
    precise = fine.transform("median").to_numpy()
    # one beat moved by one place shifts the middle by an interval over the number of beats
    linked &= np.abs(between - precise * steps) < precise / (2 * beats)
    linked &= fine.transform("count").to_numpy() >= 3
    even |= linked | np.r_[linked[1:], False]
    return days[~(many & even)].assign(Interval=own[~(many & even)])


def _fine(fleet, name, odd, length, unit):
    """Ask for the parts of odd days or hours, of their own agents only."""
    windows = odd[KQL_MACHINE].assign(Start=odd[unit], End=odd[unit] + length, **odd.get(["Interval"], {}))
    rows = ask_in_windows(fleet.workspace, name, coalesced_windows(windows))
    rows = rows.merge(
        odd[[*KQL_MACHINE, "Agent", "Version", *_LINE]].drop_duplicates(), on=[*KQL_MACHINE, "Agent", "Version"]
    )
    inside = odd[[*KQL_MACHINE, "Agent", "Version", unit]].drop_duplicates()
    time = "TimeGenerated" if "TimeGenerated" in rows else "FirstBeat"
    rows[unit] = rows[time].dt.floor("D" if unit == "Day" else "h")
    return rows.merge(inside, on=[*KQL_MACHINE, "Agent", "Version", unit])


def _without(spans, odd, unit):
    keys = [*KQL_MACHINE, "Agent", "Version", *unit]
    marked = spans[keys].merge(odd[keys].drop_duplicates().assign(odd=True), how="left", on=keys)["odd"].notna()
    return spans[~marked.to_numpy()]
