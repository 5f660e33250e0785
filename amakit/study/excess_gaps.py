"""Do upgrades cause gaps, measured against the same machines at other times?"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from amakit.find.unknown import concerned
from amakit.schemas import MACHINE, Cause
from amakit.study.groups import FAILED

if TYPE_CHECKING:
    from amakit.analysis import Analysis


_HOUR = pd.Timedelta(hours=1)


def self_controlled(analysis: "Analysis", shifts: int = 7) -> dict:
    """Ask whether upgrades caused gaps: each machine's hour of upgrade against the same hour of its other days.

    Every upgrade takes the clock hour (UTC) in which the middle of its bracket lies.  The hour shows a gap if at least
    one heartbeat was certainly lost in it, whatever the reason.  Without an effect, the upgrade might as well have come
    in the same hour of any other day on which the machine was watched: given that an hour shows gaps on g of n days,
    the number of gaps in k upgrades follows a hypergeometric law.  The sum over machines and hours is exact by
    convolution; it is a permutation test in a time-stratified case-crossover design [1]_, [2]_.  Each machine is its
    own control, so a restless machine counts for little.

    It is assumed that days may be exchanged but for the upgrade (no other work was done in the same hour because of
    it), and that gaps of different machines are independent.  A disturbance of the whole fleet at the moment of a batch
    breaks the second, so ``beside`` tells how many gaps machines showed in the same hours that were not upgraded then.
    Hours in which the machine was stopped, or another attempt was made, are left out on both sides, and so are upgrades
    while the machine was stopped: there is nothing that would tell theirs from that.

    Parameters
    ----------
    analysis : Analysis
    shifts : int
        Placebo times: the same hour up to so many days earlier and later.

    Returns
    -------
    dict
        upgrades (n that could be compared), gaps (k of them that show a gap), expected (m that would by chance),
        p_value (of k or more; None where nothing can be compared), placebo (for each shift in days: upgrades,
        gaps, expected, p_value), beside (expected gaps from other machines in the same hours; None without any),
        left_out (upgrades that could not be compared).

    References
    ----------
    .. [1] M. Maclure, "The case-crossover design", Am. J. Epidemiol. 133 (1991) 144-153.
    .. [2] H. Janes, L. Sheppard and T. Lumley, "Case-crossover analyses of air pollution exposure data: referent
       selection strategies and their implications for bias", Epidemiology 16 (2005) 717-726.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-12")
    >>> told = self_controlled(found)
    >>> told["gaps"] > told["expected"], told["p_value"] < 0.001
    (True, True)
    """
    cases, every = _cases(analysis)
    hours = _Hours(analysis)
    counted, used = _counted(cases, hours, cases)
    found = _tested(counted) | {"left_out": every - used}
    placebo = {}
    for days in [d for d in range(-shifts, shifts + 1) if d]:
        moved, _ = _counted(cases.assign(hour=cases["hour"] + 24 * days), hours, cases)
        if len(moved):
            placebo[days] = _tested(moved)
    return found | {"placebo": placebo, "beside": hours.beside(cases)}


def _hour(times):
    """Count the clock hours since the epoch."""
    return (times - pd.Timestamp(0, tz="UTC")) // _HOUR


def _cases(analysis):
    """Give the hour of each upgrade that was not hidden by a stop, and how many upgrades there were."""
    changes = analysis.transitions[analysis.transitions["kind"] == "upgrade"]
    middle = changes["last_old"] + (changes["first_new"] - changes["last_old"]) / 2
    cases = changes[MACHINE].assign(hour=_hour(middle), cause=changes["cause"])
    return cases[cases["cause"] != Cause.MACHINE_STOPPED].drop_duplicates([*MACHINE, "hour"]), len(cases)


class _Hours:
    """Which clock hours of each machine were watched, and which show a gap: a row per machine, a column per hour.

    Columns are counted from ``start``, which begins a day, so that a time of day is every 24th column.
    """

    def __init__(self, analysis: "Analysis") -> None:
        machines, horizon = analysis.machines.drop_duplicates(MACHINE, keep="last"), analysis.run["horizon"]
        horizon = pd.Timestamp(horizon)
        self.machines = pd.MultiIndex.from_frame(machines[MACHINE])
        first = (_hour(machines["first_seen"].fillna(horizon)) + 1).to_numpy("int64")[:, None]
        after = _hour(machines["last_seen"].clip(upper=horizon)).fillna(0).to_numpy("int64")[:, None]
        self.start = int(first.min(initial=int(_hour(horizon)))) // 24 * 24
        self.days = -(-max(int(after.max(initial=0)) - self.start, 0) // 24)
        at = self.start + np.arange(24 * self.days)
        self.watched = (first <= at) & (at < after)
        for stretch in analysis.run.get("unknown", []):
            if stretch["table"] == "Heartbeat":
                begin, end = (int(_hour(pd.Timestamp(stretch[side]))) for side in ("start", "end"))
                own = concerned(machines, stretch).to_numpy()
                self.watched[np.ix_(own, (begin <= at) & (at <= end))] = False
        barred = analysis.outages[analysis.outages["cause"].isin([Cause.MACHINE_STOPPED, *FAILED])]
        self.watched &= ~self._covered(barred.assign(end=barred["end_latest"].fillna(horizon)), "start_earliest", "end")
        lost = analysis.gaps[(analysis.gaps["data_type"] == "Heartbeat") & (analysis.gaps["lost_low"] > 0)]
        apart = lost["cause"].isin([Cause.MACHINE_STOPPED, Cause.DISCONNECTED, *FAILED]) | lost["first_after"].isna()
        self.gaps = self.watched & self._covered(lost[~apart], "last_before", "first_after")

    def places(self, cases):
        """Give the row and the column of each case; those outside are left out."""
        row, column = self.machines.get_indexer(pd.MultiIndex.from_frame(cases[MACHINE])), cases["hour"] - self.start
        inside = (row >= 0) & column.between(0, 24 * self.days - 1).to_numpy()
        return row[inside], column.to_numpy("int64")[inside]

    def beside(self, cases):
        """Sum over upgrades the share of other machines with a gap in the same hour."""
        column = cases["hour"].to_numpy("int64") - self.start
        if not len(cases) or column.min() < 0 or column.max() >= 24 * self.days:
            return None
        others = self.watched.copy()
        others[self.places(cases)] = False
        counts = others.sum(axis=0)[column]
        return float(((self.gaps & others).sum(axis=0)[column] / counts).sum()) if counts.all() else None

    def _covered(self, stretches, begin, end):
        """Mark the clock hours that stretches touch."""
        rows = self.machines.get_indexer(pd.MultiIndex.from_frame(stretches[MACHINE]))
        ends = (_hour(stretches[begin]), _hour(stretches[end]) + 1)
        columns = [(hour - self.start).clip(0, 24 * self.days).to_numpy("int64") for hour in ends]
        covered = np.zeros((len(self.machines), 24 * self.days), dtype="bool")
        for row, first, after in zip(rows, *columns, strict=True):
            if row >= 0:
                covered[row, first:after] = True
        return covered


def _counted(cases, hours, real):
    """Give for each machine and time of day the days, those with a gap, the upgrades, and those with a gap.

    The hours of real upgrades are left out where placebo times are counted.
    """
    watched = hours.watched
    if cases is not real:
        watched = watched.copy()
        watched[hours.places(real)] = False
    row, column = hours.places(cases)
    of_day, own = np.unique(np.stack([row, column % 24], axis=1), axis=0, return_inverse=True)
    at = watched[row, column]
    days, gaps = (
        cells.reshape(len(cells), hours.days, 24).sum(axis=1)[tuple(of_day.T)]
        for cells in (watched, watched & hours.gaps)
    )
    upgrades, shown = (
        np.bincount(own.ravel(), weights=seen, minlength=len(of_day)).astype("int64")
        for seen in (at, at & hours.gaps[row, column])
    )
    rows = np.stack([days, gaps, upgrades, shown], axis=1)[(upgrades > 0) & (days > upgrades)]
    return rows, int(rows[:, 2].sum())


def _tested(rows):
    """Sum hypergeometric laws exactly; each comes as often as there are machines to which it applies."""
    from scipy.stats import hypergeom

    law = np.ones(1)
    for (days, gaps, upgrades), times in zip(*np.unique(rows[:, :3], axis=0, return_counts=True), strict=True):
        power = hypergeom.pmf(np.arange(upgrades + 1), days, gaps, upgrades)
        while times:
            law = _summed(law, power) if times % 2 else law
            power, times = _summed(power, power), times // 2
    seen, drawn = int(rows[:, 3].sum()), int(rows[:, 2].sum())
    expected = float(law @ np.arange(len(law)))
    p = float(min(law[seen:].sum(), 1.0)) if len(rows) else None
    return {"upgrades": drawn, "gaps": seen, "expected": expected, "p_value": p}


def _summed(one, other):
    """Give the law of the sum of two numbers from theirs."""
    law = np.convolve(one, other)
    return law / law.sum()
