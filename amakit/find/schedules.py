"""Sample interval, phase and jitter of a stream, from its own samples.

Times are seconds on any common origin, as NumPy arrays.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

#: A stretch counts as one schedule while its spacings stay below this many intervals.
_BROKEN = 1.5
#: How many standard deviations of jitter a sample may be off and still be on schedule.
_WIDE = 4.0
#: Clocks are read to the millisecond at best, and a schedule is no finer than that.
_GRAIN = 0.005
#: How many spacings say what the interval is now; how far back, in intervals and in seconds, samples refine it.  No
#: more than is surely fetched, so that windows of any length give the same schedule.
_NEWEST, _BACK, _SPAN = 9, 25, 2160.0
#: Collection rules that feed one stream: more schedules, or more samples in their common period, are not told apart.
_MOST_PARTS = 8
#: Samples in turns are so many times further off an even spacing than off their common period.
_IN_TURNS = 3.0


@dataclass(frozen=True)
class Schedule:
    """When a stream takes its samples.

    Attributes
    ----------
    interval : float
        Seconds from one sample to the next.
    jitter : float
        Standard deviation of a sample from the schedule, seconds.
    error : float
        Standard error of the interval, seconds: over many intervals even a good estimate drifts away.
    """

    interval: float
    jitter: float
    error: float

    def tolerance(self, intervals: float = 1) -> float:
        """Give how far off a sample may be after so many intervals, in seconds; never over a quarter of one."""
        return float(min(self.spread(intervals), self.interval / 4))

    def spread(self, intervals: float) -> float:
        """Give how far the schedule may have drifted after so many intervals, in seconds."""
        return float(_WIDE * np.hypot(self.jitter * np.sqrt(2), self.error * intervals) + _GRAIN)


def schedule(times: "ArrayLike") -> Schedule | None:
    """Estimate the schedule of a stream from samples before a stretch of interest.

    The newest spacings say what the interval is: a collection rule may have changed it before.  Then a straight
    line through the last samples that follow each other without a hole refines it.

    Parameters
    ----------
    times : array of float
        Seconds, in any order; repeated times count once.

    Returns
    -------
    Schedule or None
        None for fewer than three samples, which tell nothing.

    Examples
    --------
    >>> found = schedule(np.array([0.0, 60.01, 120.0, 300.0, 360.0, 420.01, 480.0]))
    >>> round(found.interval, 2), found.jitter < 0.01
    (60.0, True)
    >>> rule_changed = np.r_[np.arange(0, 3600, 60), np.arange(3600, 3900, 30)]
    >>> round(schedule(rule_changed).interval, 2)
    30.0
    >>> schedule(np.array([0.0, 60.0])) is None
    True
    """
    times = np.unique(times)
    if len(times) < 3:
        return None
    spacing = times[1:] - times[:-1]
    usual = _median(spacing[-_NEWEST:])
    oldest = int(np.searchsorted(times, times[-1] - max(_BACK * usual, _SPAN)))
    times, spacing = times[oldest:], spacing[oldest:]
    cuts = np.flatnonzero((spacing > _BROKEN * usual) | (spacing < usual / _BROKEN))
    runs = [times[first:end] for first, end in pairwise([0, *(cuts + 1).tolist(), len(times)])]
    run = next((r for r in reversed(runs) if len(r) >= _NEWEST), max(runs, key=len))
    if len(run) < 3:
        return Schedule(usual, 0.01 * usual, 0.01 * usual)
    # least squares, with both means taken away first: times are large numbers
    steps, apart = np.arange(len(run)) - (len(run) - 1) / 2, run - run[0]
    leverage = float(steps @ steps)
    slope = float(steps @ apart) / leverage
    residual = apart - apart.sum() / len(run) - slope * steps
    jitter = float(np.sqrt(residual @ residual / max(len(run) - 2, 1)))
    return Schedule(slope, jitter, max(jitter, _GRAIN / 5) / leverage**0.5)


def _median(values):
    """As `numpy.median`, which takes five times as long for a few values."""
    ordered, middle = np.sort(values), len(values) // 2
    return float(ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2)


def split(before: np.ndarray, after: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Part the samples of a stream into the schedules that feed it, before a hole and after it.

    Two collection rules that collect the same counter, or two agents under one identity, sample in turns: then every
    second, third or later sample lies one period apart, and its neighbours do not.

    Parameters
    ----------
    before, after : array of float
        Samples on either side of the hole, seconds, sorted.

    Returns
    -------
    list of tuple of (array of float, array of float)
        Before and after the hole, for each schedule; mostly one.  A schedule that was there before and has no
        counterpart afterwards has an empty second part.

    Examples
    --------
    >>> rule, other = np.arange(0.0, 3600, 60), np.arange(20.0, 3600, 60)
    >>> [(len(old), len(new)) for old, new in split(np.sort(np.r_[rule, other]), rule + 4000)]
    [(60, 60), (60, 0)]
    >>> len(split(rule, rule + 4000))
    1
    """
    old, period = _in_turns(before)
    if len(old) == 1:
        return [(before, after)]
    new, _ = _in_turns(after)
    pairs, free = [], list(range(len(new)))
    for samples in old:  # a schedule that kept its phase goes on as itself
        steps = [
            abs((new[n][0] - samples[-1] + period / 2) % period - period / 2) if len(new[n]) else np.inf for n in free
        ]
        pairs.append(free.pop(int(np.argmin(steps))) if steps and min(steps) < period / 60 else None)
    rest = iter(free)
    pairs = [next(rest, None) if n is None else n for n in pairs]
    return [(samples, new[n] if n is not None else after[:0]) for samples, n in zip(old, pairs, strict=True)]


def _in_turns(times):
    """Part samples by their place in the period after which their spacings repeat; with the period."""
    newest = times[-30 * _MOST_PARTS :]
    for parts in range(1, _MOST_PARTS + 1):
        apart = newest[parts:] - newest[:-parts]
        if len(apart) < max(2 * parts, 4):
            break
        period = _median(apart)
        off = np.abs(apart - period)
        if np.count_nonzero(off < 0.02 * period) < 0.7 * len(off):
            continue
        if parts == 1:
            break
        uneven = np.abs(np.diff(newest) - period / parts).clip(max=period / parts)
        if uneven.mean() < _IN_TURNS * _median(off):
            continue  # one schedule with jitter: a longer period only looks steadier
        end = int(np.flatnonzero(off < 0.02 * period)[-1]) + parts  # the newest turn that is whole
        turn = newest[end - parts + 1 : end + 1]
        nearest = np.abs((times[:, None] - turn + period / 2) % period - period / 2)
        which = nearest.argmin(axis=1)
        # in a turn of uneven samples two may be nearest to the same place
        return [times[which == n] for n in range(parts) if (which == n).any()], period
    return [times], np.nan


def on_phase(last: float, first: float, plan: Schedule) -> bool | None:
    """Say whether a stream resumed on its old schedule.

    Parameters
    ----------
    last, first : float
        The samples around the hole, seconds.
    plan : Schedule
        From before the hole.

    Returns
    -------
    bool or None
        None where the hole is so long that the schedule could be anywhere.

    Examples
    --------
    >>> plan = Schedule(60.0, 0.02, 0.0001)
    >>> on_phase(0.0, 300.05, plan), on_phase(0.0, 317.0, plan)
    (True, False)
    """
    steps = max(round((first - last) / plan.interval), 1)
    tolerance = plan.tolerance(steps)
    if tolerance >= plan.interval / 4:
        return None
    return bool(abs(first - last - steps * plan.interval) <= tolerance)
