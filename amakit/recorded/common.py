"""Where a table begins, ends or has a hole for nearly every machine at once: there it was not recorded."""

from itertools import pairwise

import numpy as np
import pandas as pd

from amakit.schemas import MACHINE

#: So many machines, and this share of those that report on both sides, make a stretch common.
MOST, SHARE = 5, 0.8
#: Ends lie together that are no further apart than so many intervals.
TOGETHER = 2.0
#: A hole in the record of fewer machines than `MOST` must be this long to be told from an upgrade of all of them.
_LONG = pd.Timedelta(minutes=10)
#: A schedule went on through a hole if the next sample is off by less than this share of an interval.
_ON_PHASE = 0.1
#: What comes back at equal distances at least so often is a timetable of the machines, no hole in the record.
_REGULAR = 3
#: Whole days that are missing are no timetable.
_DAY = pd.Timedelta(hours=23)


def near_by(interval: float) -> pd.Timedelta:
    """Give how far apart ends may be that lie together, from the seconds between samples."""
    return pd.Timedelta(microseconds=round(TOGETHER * interval * 1e6)).as_unit("us")


def common_end(last: pd.Series, interval: float) -> pd.Timestamp:
    """Find the instant at which the rows of nearly every machine that still reported end.

    Rows of few machines beyond it come from a clock that is ahead, or from the future: they move no end.

    Parameters
    ----------
    last : pandas.Series of pandas.Timestamp
        The last sample of each machine.
    interval : float
        Seconds between samples; ends that lie within two of them lie together.

    Returns
    -------
    pandas.Timestamp
        The newest of the last samples that at least five machines, and four fifths of those that still reported, have
        together; NaT if there is none.

    Examples
    --------
    >>> last = pd.to_datetime(["2026-03-02 23:59"] * 11 + ["2026-03-03 00:07"], utc=True)
    >>> common_end(pd.Series(last), 60)
    Timestamp('2026-03-02 23:59:00+0000', tz='UTC')
    """
    last = last.sort_values(ignore_index=True)
    together = np.arange(1, len(last) + 1) - last.searchsorted(last - near_by(interval))
    beyond = len(last) - last.searchsorted(last, "right")
    shared = np.flatnonzero((together >= MOST) & (together >= SHARE * (together + beyond)))
    return last[shared[-1]] if len(shared) else pd.NaT


def common_holes(silences: pd.DataFrame, spans: pd.DataFrame, intervals: pd.Series, interval: float) -> pd.DataFrame:
    """Find the stretches that nearly every machine lacks at once.

    Parameters
    ----------
    silences : pandas.DataFrame
        resource_id, computer, last and first: the samples around each silence; one without ``first`` has no end.
    spans : pandas.DataFrame
        One row per machine: resource_id, computer, first and last sample.
    intervals : pandas.Series of float
        Seconds between samples of each machine, by resource_id and computer; NaN where it is not known.
    interval : float
        Seconds between samples, as it usually is.

    Returns
    -------
    pandas.DataFrame
        start and end (the last of the last samples before, the first of the first ones afterwards) and machines.

    Notes
    -----
    At least five machines and four fifths of those that report on both sides must lack it, the ends within two
    intervals of each other.  Machines that were all restarted together look the same, but for two things: an agent
    that was restarted takes its samples in another phase, and a timetable comes back at equal distances.  Either is
    no hole in the record.  Two to four machines must lack it all of them, for ten minutes, and with their phases kept.
    """
    ended = silences.dropna(subset=["first"]).sort_values("last", ignore_index=True)
    least = MOST if len(spans) >= MOST else len(spans)
    nothing = pd.DataFrame({"start": spans["last"].iloc[:0], "end": spans["last"].iloc[:0], "machines": []})
    if least < 2 or len(ended) < least:
        return nothing
    near = near_by(interval)
    found, reached = [], None
    ends = _Ends(ended, spans, near)
    upto = ends.last.searchsorted(ends.last + ends.near, "right")
    for at in np.flatnonzero(upto - np.arange(len(ended)) >= least):  # of many machines there are as many of these
        if reached is not None and ends.last[at] < reached:
            continue
        rows = ends.together(at, upto[at])
        if len(rows) < least:
            continue
        start, end = ends.last[rows].max(), ends.first[rows].min()
        both = ends.on_both_sides(start, end)
        needed = SHARE * both if len(spans) >= MOST else both
        if end > start and len(rows) >= needed:
            lacking = ended.iloc[rows]
            start, end, reached = lacking["last"].max(), lacking["first"].min(), end
            kept = _phases_kept(lacking, intervals)
            few = len(spans) < MOST and not (kept.all() and kept.notna().all() and end - start >= _LONG)
            if not few and (kept.isna().all() or kept.dropna().mean() > 0.5):
                found.append((start, end, len(lacking)))
    holes = pd.DataFrame(found, columns=list(nothing)) if found else nothing
    return without_timetables(holes, near)


def without_timetables(holes: pd.DataFrame, near: pd.Timedelta) -> pd.DataFrame:
    """Take out the holes of one length that follow each other at equal distances: machines are shut down so."""
    return holes[~_on_a_timetable(holes, near)].reset_index(drop=True)


class _Ends:
    """Silences and what each machine spans, as numbers: microseconds, and a number for each machine."""

    def __init__(self, silences: pd.DataFrame, spans: pd.DataFrame, near: pd.Timedelta) -> None:
        self.near = near.value // 1000
        self.last, self.first = _microseconds(silences)
        self.reports = _microseconds(spans)
        keys = pd.concat([spans[MACHINE], silences[MACHINE]], ignore_index=True)
        codes = keys.groupby(MACHINE, sort=False).ngroup().to_numpy()
        self.spanned, self.silent, self.machines = codes[: len(spans)], codes[len(spans) :], codes.max() + 1

    def together(self, begin, stop):
        """Give the rows of the largest part of some silences whose ends lie together too, one a machine."""
        order = begin + np.argsort(self.first[begin:stop], kind="stable")
        first = self.first[order]
        count = first.searchsorted(first + self.near, "right") - np.arange(len(first))
        at = int(np.argmax(count))
        rows = order[at : at + count[at]]
        return rows[np.sort(np.unique(self.silent[rows], return_index=True)[1])]

    def on_both_sides(self, start, end):
        """Count the machines that reported just before a stretch and just after it."""
        last, first = self.reports
        there = np.zeros(self.machines, dtype=bool)
        there[self.spanned[(first <= start) & (last >= end)]] = True
        apart = (self.last < end) & (self.first > start)
        apart &= (self.last < start - self.near) | (self.first > end + self.near)
        there[self.silent[apart]] = False
        return int(there.sum())


def _microseconds(frame):
    return tuple(frame[name].dt.as_unit("us").astype("int64").to_numpy() for name in ("last", "first"))


def _phases_kept(lacking, intervals):
    """Say of each machine whether its samples go on in their old phase; missing where that is not known."""
    own = lacking[MACHINE].merge(intervals.rename("T").reset_index(), how="left", on=MACHINE)["T"].to_numpy()
    steps = (lacking["first"] - lacking["last"]).dt.total_seconds().to_numpy() / own
    kept = pd.Series(np.abs(steps - np.round(steps)) <= _ON_PHASE, dtype="object")
    return kept.mask(np.isnan(steps), None)


def _on_a_timetable(holes, near):
    """Mark holes of one length that follow each other at equal distances, as a nightly shutdown does."""
    marks = np.zeros(len(holes), dtype=bool)
    long = (holes["end"] - holes["start"]).to_numpy()
    start = holes["start"].to_numpy()
    for first in range(len(holes) - _REGULAR + 1):
        part = slice(first, first + _REGULAR)
        even = all(abs(b - a) <= near for a, b in pairwise(np.diff(start[part])))
        alike = np.ptp(long[part]) <= near and long[first] < _DAY
        marks[part] |= even and alike
    return marks
