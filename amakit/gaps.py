"""What an outage cost each periodic stream: samples that its schedule would have produced."""

import numpy as np
import pandas as pd

from amakit.outages import instant_of, phase_kept


def lost(track, hole, horizon, kept):
    """Count the samples of one stream that fell into an outage.

    They are those that its schedule before the outage would have produced between the beginning and the end.
    Where the stream resumed on its old schedule the number is exact.  Elsewhere it depends on when within its
    bracket the outage ended: the bounds cover the whole bracket, the number itself holds on most of it.

    Parameters
    ----------
    track : amakit.outages.Track
    hole : amakit.outages.Hole
    horizon : float
        Where an outage that goes on is counted to, seconds since 1970.
    kept : bool
        Whether the agent as a whole kept its schedule.

    Returns
    -------
    tuple of (int, int, int)
        lost_low, lost, lost_high.

    Examples
    --------
    >>> from amakit.outages import Hole, Track
    >>> from amakit.streams import Schedule
    >>> plan = Schedule(60.0, 0.0, 0.0)
    >>> lost(Track("Heartbeat", "", 0.0, 300.0, plan, True), Hole(0, 60, 240, 300, ()), 1e9, True)
    (4, 4, 4)
    >>> lost(Track("Heartbeat", "", 0.0, 317.0, plan, False), Hole(0, 60, 257, 317, ()), 1e9, False)
    (4, 4, 5)
    """
    first_due = _due(track, hole.start_earliest)  # of a slow stream an earlier outage may have taken samples
    if hole.ongoing or stays_away(track, hole, horizon):
        number = _due(track, horizon) - first_due
        return number, number, number
    if kept and track.kept:
        number = max(_due(track, hole.end_latest - track.plan.tolerance()) - first_due, 0)
        return number, number, number
    tolerance = track.plan.tolerance((hole.end_latest - track.last) / track.plan.interval)
    low = max(_due(track, hole.end_earliest - tolerance), first_due)
    high = max(_due(track, hole.end_latest + tolerance), low)
    numbers = np.arange(low, high + 1)
    edges = np.clip(track.last + np.arange(low, high + 2) * track.plan.interval, hole.end_earliest, hole.end_latest)
    most = int(numbers[int(np.argmax(np.diff(edges)))])
    return low - first_due, most - first_due, high - first_due


def stays_away(track, hole, horizon):
    """Say whether a stream never came back although its agent did.

    Three of its samples must have been due since: one or two late ones prove nothing.
    """
    return bool(np.isnan(track.first)) and horizon - max(track.last, hole.end_latest) > 3 * track.plan.interval


def _due(track, until):
    """Count the samples due after the last one and before an instant."""
    return max(int(np.ceil((until - track.last) / track.plan.interval)) - 1, 0)


def gaps(outages, holes, horizon):
    """Make the table of gaps: one row for each stream and outage.

    Parameters
    ----------
    outages : pandas.DataFrame
        The result table; its index says which hole is meant.
    holes : dict of int to amakit.outages.Hole
    horizon : pandas.Timestamp

    Returns
    -------
    pandas.DataFrame
        Columns of the result table ``gaps``.
    """
    rows = []
    columns = ["resource_id", "computer", "cause", "start_earliest"]
    for index, resource, computer, cause, start in outages[columns].itertuples():
        if index not in holes:
            continue
        hole = holes[index]
        kept = phase_kept(hole)
        for track in hole.tracks:
            low, number, high = lost(track, hole, horizon.timestamp(), kept)
            stays = hole.ongoing or stays_away(track, hole, horizon.timestamp())
            rows.append((resource, computer, cause, start, track.data_type, track.stream, track.plan.interval,
                         instant_of(track.last), instant_of(track.first), number, low, high, stays))  # fmt: skip
    names = ["resource_id", "computer", "cause", "outage_start", "data_type", "stream", "interval_s", "last_before",
             "first_after", "lost", "lost_low", "lost_high", "ongoing"]  # fmt: skip
    return pd.DataFrame(rows, columns=names)


def unharmed(cut_off, streams):
    """Make the rows of outages that cost nothing: every stream of the machine, with no sample lost.

    Parameters
    ----------
    cut_off : pandas.DataFrame
        Outages in which only the network was away.
    streams : pandas.DataFrame
        As `amakit.collect.samples` gives them.

    Returns
    -------
    pandas.DataFrame
        Columns of the result table ``gaps``.
    """
    beats = cut_off[["resource_id", "computer"]].drop_duplicates().assign(data_type="Heartbeat", stream="")
    listed = pd.concat([beats, streams], ignore_index=True)
    rows = cut_off[["resource_id", "computer", "cause", "start_earliest"]].merge(listed, on=["resource_id", "computer"])
    return rows.rename(columns={"start_earliest": "outage_start"}).assign(
        interval_s=np.nan, last_before=pd.NaT, first_after=pd.NaT, lost=0, lost_low=0, lost_high=0, ongoing=False
    )
