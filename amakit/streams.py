"""Sample interval, phase and jitter of a stream, from its own samples.

Times are seconds on any common origin, as NumPy arrays.
"""

from dataclasses import dataclass

import numpy as np

#: A stretch counts as one schedule while its spacings stay below this many intervals.
_BROKEN = 1.5
#: How many standard deviations of jitter a sample may be off and still be on schedule.
_WIDE = 4.0
#: Clocks are read to the millisecond at best, and a schedule is no finer than that.
_GRAIN = 0.005


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

    def tolerance(self, intervals=1):
        """Give how far off a sample may be after so many intervals, in seconds; never over a quarter of one."""
        off = _WIDE * np.hypot(self.jitter * np.sqrt(2), self.error * intervals) + _GRAIN
        return float(min(off, self.interval / 4))


def schedule(times, most=60):
    """Estimate the schedule of a stream from samples beside a stretch of interest.

    The interval is the median spacing, then refined by a straight line through the longest run of samples
    without a hole.  Repeated times count once.

    Parameters
    ----------
    times : array of float
        Seconds, in any order.
    most : int
        How many samples at the end of the array to look at, since a collection rule may have changed earlier.

    Returns
    -------
    Schedule or None
        None for fewer than three samples, which tell nothing.

    Examples
    --------
    >>> found = schedule(np.array([0.0, 60.01, 120.0, 300.0, 360.0, 420.01, 480.0]))
    >>> round(found.interval, 2), found.jitter < 0.01
    (60.0, True)
    >>> schedule(np.array([0.0, 60.0])) is None
    True
    """
    times = np.unique(times)[-most:]
    if len(times) < 3:
        return None
    spacing = np.diff(times)
    median = float(np.median(spacing))
    cuts = np.flatnonzero(spacing > _BROKEN * median)
    runs = np.split(times, cuts + 1)
    run = max(runs, key=len)
    if len(run) < 3:
        return Schedule(median, float(np.std(spacing[spacing <= _BROKEN * median], ddof=0)) / np.sqrt(2), median * 0.01)
    steps = np.round((run - run[0]) / median)
    steps = np.maximum.accumulate(steps)
    slope, origin = np.polyfit(steps, run, 1)
    residual = run - (origin + slope * steps)
    jitter = float(np.sqrt(np.sum(residual**2) / max(len(run) - 2, 1)))
    spread = float(np.sqrt(np.sum((steps - steps.mean()) ** 2)))
    return Schedule(float(slope), jitter, max(jitter, _GRAIN / 5) / max(spread, 1.0))


def on_phase(last, first, plan):
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
