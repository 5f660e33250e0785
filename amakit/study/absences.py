"""How many machines were without an agent at once, hour by hour?"""

import numpy as np
import pandas as pd

from amakit.intervals import Window, middles
from amakit.schemas import MACHINE, Cause
from amakit.study.groups import ATTEMPTS

#: Steps of time, and how many of them at most are looked at.
_STEPS = [pd.Timedelta(hours=h) for h in (1, 2, 6, 12, 24, 48, 168, 336)]
_MOST = 400
#: Why a machine was without its agent; one counts once in a step, for the first of these.
REASONS = ("goes on", "attempts", "others")
#: In these the agent was there, or nothing is known of it.
_THERE = (Cause.DISCONNECTED, Cause.NOT_RECORDED)


def absences(outages: pd.DataFrame, asked: Window, horizon: "pd.Timestamp | pd.Series") -> pd.DataFrame:
    """Count the machines that were without an agent, for each hour of a window, or longer steps of a long one.

    Parameters
    ----------
    outages : pandas.DataFrame
        The result table.
    asked : Window
    horizon : pandas.Timestamp, or pandas.Series of it on the index of ``outages``
        Up to which outages that go on are known.

    Returns
    -------
    pandas.DataFrame
        One row per step: start, step_s, and machines by why (``goes on``, ``attempts`` for upgrades and failed ones,
        ``others``).  An outage lasts from the middle of the bracket of its beginning to that of its end.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")
    >>> counted = absences(found.outages, found.window, pd.Timestamp(found.run["horizon"]))
    >>> len(counted), int(counted["attempts"].max())
    (24, 3)
    """
    step = next((s for s in _STEPS if (asked.end - asked.start) / s <= _MOST), _STEPS[-1])
    starts = pd.date_range(asked.start, asked.end, freq=step, inclusive="left")
    rows = outages[~outages["cause"].isin(_THERE)]
    ongoing = rows["ongoing"].astype("bool")
    begins, ends = middles(rows, horizon)
    reason = np.select([ongoing, rows["cause"].isin(ATTEMPTS)], [0, 1], 2)
    first = ((begins.clip(lower=asked.start) - asked.start) // step).astype("int64")
    last = ((ends.clip(upper=asked.end - pd.Timedelta(microseconds=1)) - asked.start) // step).astype("int64")
    machines = rows.groupby(MACHINE).ngroup()
    spread = [
        pd.DataFrame({"step": np.arange(a, b + 1), "machine": machine, "reason": why})
        for a, b, machine, why in zip(first, last, machines, reason, strict=True)
    ]
    counted = pd.DataFrame(0, index=range(len(starts)), columns=range(len(REASONS)))
    if spread:
        found = pd.concat(spread).groupby(["step", "machine"], as_index=False)["reason"].min()
        counted = counted.add(found.groupby(["step", "reason"]).size().unstack(fill_value=0), fill_value=0)
    counted = counted.loc[: len(starts) - 1].astype("int64").set_axis(list(REASONS), axis=1)
    return pd.DataFrame({"start": starts, "step_s": step.total_seconds(), **counted})


def peak(counted: pd.DataFrame) -> pd.Series | None:
    """Give the step with the most machines without an agent, and how many they were (``machines``); None for none."""
    total = counted[list(REASONS)].sum(axis=1)
    if not total.max():
        return None
    return counted.assign(machines=total).loc[total.idxmax()]
