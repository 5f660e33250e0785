"""How far the clocks of machines are off, told from when their heartbeats were received."""

import numpy as np
import pandas as pd

from amakit.schemas import MACHINE

#: A clock that is off by less is not worth a word, and a delay that is shorter is usual.
_OFF = 60.0
#: Within a day of a wrong clock all heartbeats take about the same time; seconds.
_CONSTANT = 120.0
#: No clock is further off, in seconds (a hundred years): then it is the other time that is wrong.
EVER = 3e9
#: So many machines show what the region's own delay is.
_FLEET = 3
#: The beats on either side of a step that show the clock before and after it, and how far their delays may differ.
_BESIDE, _EVEN = 3, 30.0


def clock_offsets(days: pd.DataFrame) -> pd.Series:
    """Tell by how many seconds the clock of a machine was behind on each day, 0 where it was about right.

    The least delay of a day is that of the clock, of the way to the service, and of the service.  What most machines
    have in common is not their clocks.  A delay that varies over the day is not the clock's either: then the machine
    sent late.  A negative delay can only be a clock that is ahead.

    Parameters
    ----------
    days : pandas.DataFrame
        As ``heartbeat_days`` gives them: Day, Delay and Least in seconds, and the machine.

    Returns
    -------
    pandas.Series of float
        On the index of ``days``; negative for a clock that is ahead.

    Examples
    --------
    >>> days = pd.DataFrame({"resource_id": "", "computer": ["a", "b"], "Day": pd.Timestamp("2026-03-02", tz="UTC"),
    ...     "Least": [184.0, -478.0], "Delay": [190.0, -460.0]})
    >>> clock_offsets(days).tolist()
    [184.0, -478.0]
    """
    least = days["Least"].astype("float64")
    of_machine = least.groupby([days["Day"], *(days[key] for key in MACHINE)]).min().groupby("Day")
    common = of_machine.median().where(of_machine.size() >= _FLEET, 0.0).clip(lower=0.0)
    off = least - days["Day"].map(common).fillna(0.0).to_numpy()
    constant = days["Delay"].astype("float64") - least < _CONSTANT
    return off.where(((off < -_OFF) | ((off > _OFF) & constant)) & (off.abs() < EVER), 0.0).fillna(0.0)


def behind_at_end(days: pd.DataFrame) -> pd.Series:
    """Give how far each machine's clock was behind on its last day: its newest heartbeat is so much younger.

    Parameters
    ----------
    days : pandas.DataFrame
        See `clock_offsets`.

    Returns
    -------
    pandas.Series of timedelta
        By resource_id and computer, 0 where the clock is right or ahead.
    """
    told = days[[*MACHINE, "Day", "Least", "Delay"]].assign(offset=clock_offsets(days))
    last = told[told["Day"] == told.groupby(MACHINE)["Day"].transform("max")]
    return pd.to_timedelta(last.groupby(MACHINE)["offset"].max().clip(lower=0.0), unit="s")


def clock_notes(days: pd.DataFrame) -> pd.Series:
    """Say of each machine whose clock is off by more than a minute how far it is at most.

    Parameters
    ----------
    days : pandas.DataFrame
        See `clock_offsets`.

    Returns
    -------
    pandas.Series of str
        By resource_id and computer.
    """
    told = days[MACHINE].assign(offset=clock_offsets(days))
    told = told[told["offset"] != 0]
    worst = told.loc[told.groupby(MACHINE)["offset"].apply(lambda one: one.abs().idxmax()), [*MACHINE, "offset"]]
    return worst.set_index(MACHINE)["offset"].map(_note).astype("str")


def clock_steps(around: pd.DataFrame, beats: pd.DataFrame) -> pd.Series:
    """Mark the stretches without heartbeats in which only the clock was set forward.

    The service received the beats on either side no further apart than usual, and those before them all took one
    time, those after them all took another.

    Parameters
    ----------
    around : pandas.DataFrame
        resource_id, computer, last and first heartbeat.
    beats : pandas.DataFrame
        resource_id, computer, TimeGenerated and Received of the heartbeats around them.

    Returns
    -------
    pandas.Series of bool
        On the index of ``around``.
    """
    marks = np.zeros(len(around), bool)
    beats = beats.dropna(subset=["Received"]).sort_values([*MACHINE, "TimeGenerated"])
    sent, received = (_microseconds(beats[name]) for name in ("TimeGenerated", "Received"))
    last, first = (_microseconds(around[name]) for name in ("last", "first"))
    ended = np.flatnonzero(around["first"].notna())
    of_machine = beats.groupby(MACHINE).indices
    for machine, places in around.iloc[ended].groupby(MACHINE).indices.items():
        own, at = of_machine.get(machine, np.array([], int)), ended[places]
        to = np.searchsorted(sent[own], last[at], side="right")
        since = np.searchsorted(sent[own], first[at], side="left")
        enough = (to >= _BESIDE) & (since + _BESIDE <= len(own))
        at, to, since = at[enough], to[enough], since[enough]
        before, after = own[to[:, None] + np.arange(-_BESIDE, 0)], own[since[:, None] + np.arange(_BESIDE)]
        waits = [(received[side] - sent[side]) / 1e6 for side in (before, after)]
        usual = np.diff(sent[before]).min(axis=1) / 1e6
        even = np.all([np.ptp(wait, axis=1) < _EVEN for wait in waits], axis=0)
        apart = (received[after[:, 0]] - received[before[:, -1]]) / 1e6
        step = np.median(waits[0], axis=1) - np.median(waits[1], axis=1)
        marks[at] = even & (apart < 1.5 * usual) & (step > 0.25 * usual)
    return pd.Series(marks, around.index)


def _microseconds(times):
    return times.dt.as_unit("us").astype("int64").to_numpy()


def _note(offset):
    minutes = abs(offset) / 60
    size = f"{minutes / 60:.0f} h" if minutes >= 119.5 else f"{minutes:.0f} min"
    return f"clock {size} {'slow' if offset > 0 else 'fast'}"
