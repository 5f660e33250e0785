"""What an outage cost each periodic stream: samples that its schedule would have produced."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from amakit.find.outages import FAST, Hole, Track, instants, phase_kept
from amakit.schemas import MACHINE


def lost(
    track: Track, hole: Hole, horizon: float, kept: bool, at_once: bool = False, stale: bool = False
) -> tuple[int, int, int]:
    """Count the samples of one stream that fell into an outage.

    They are those that its schedule before the outage would have produced between the beginning and the end.
    Where the stream resumed on its old schedule the number is exact.  Elsewhere it depends on when within its
    bracket the outage ended: the bounds cover the whole bracket, the number itself holds on most of it.

    Parameters
    ----------
    track : amakit.find.outages.Track
    hole : amakit.find.outages.Hole
    horizon : float
        Where an outage that goes on is counted to, seconds since 1970.
    kept : bool
        Whether the agent as a whole kept its schedule.
    at_once : bool
        Whether the agent's streams begin as soon as it is back, so that the end lies late in its bracket.
    stale : bool
        Whether the stream has not been seen since an earlier outage, so that its schedule is not known.

    Returns
    -------
    tuple of (int, int, int)
        lost_low, lost, lost_high.

    Examples
    --------
    >>> from amakit.find.outages import Hole, Track
    >>> from amakit.find.schedules import Schedule
    >>> plan = Schedule(60.0, 0.0, 0.0)
    >>> lost(Track("Heartbeat", "", 0.0, 300.0, plan, True), Hole(0, 60, 240, 300, ()), 1e9, True)
    (4, 4, 4)
    >>> lost(Track("Heartbeat", "", 0.0, 317.0, plan, False), Hole(0, 60, 257, 317, ()), 1e9, False)
    (4, 4, 5)
    """
    if not hole.seen:
        return 0, 0, 0
    first_due = _due(track, hole.start_earliest)  # of a slow stream an earlier outage may have taken samples
    if hole.ongoing or stays_away(track, hole, horizon):
        number = _due(track, horizon) - first_due
        return number, number, number
    if stale:
        shortest, longest = hole.end_earliest - hole.start_latest, hole.end_latest - hole.start_earliest
        numbers = [max(length, 0.0) / track.plan.interval for length in (shortest, (shortest + longest) / 2, longest)]
        return int(numbers[0]), round(numbers[1]), int(np.ceil(numbers[2]))
    if kept and track.kept:
        due = track.last + track.plan.interval * np.arange(1, round((track.first - track.last) / track.plan.interval))
        slack = track.plan.tolerance()
        number = int(np.sum((due > hole.start_earliest - slack) & (due < hole.end_latest + slack)))
        return number, number, number
    spread = track.plan.spread((hole.end_latest - track.last) / track.plan.interval)
    low = max(_due(track, hole.end_earliest - spread), first_due)
    high = max(_due(track, hole.end_latest + spread), low)
    if at_once:
        return low - first_due, max(_due(track, hole.end_latest), first_due) - first_due, high - first_due
    numbers = np.arange(low, high + 1)
    edges = np.clip(track.last + np.arange(low, high + 2) * track.plan.interval, hole.end_earliest, hole.end_latest)
    most = int(numbers[int(np.argmax(np.diff(edges)))])
    return low - first_due, most - first_due, high - first_due


def begins_at_once(hole: Hole) -> bool | None:
    """Say whether the streams of an agent that restarted took their first samples together.

    Streams whose phases were drawn anew would hardly do so within a tenth of their interval.

    Parameters
    ----------
    hole : amakit.find.outages.Hole

    Returns
    -------
    bool or None
        None where fewer than two streams tell.
    """
    fast = [t for t in hole.tracks if not t.kept and not np.isnan(t.first) and t.plan.interval <= FAST]
    firsts = [t.first for t in fast]
    if len(firsts) < 2:
        return None
    return bool(max(firsts) - min(firsts) <= max(0.1 * max(t.plan.interval for t in fast), 1.0))


def stays_away(track: Track, hole: Hole, horizon: float) -> bool:
    """Say whether a stream never came back although its agent did.

    Three of its samples must have been due since: one or two late ones prove nothing.
    """
    return bool(np.isnan(track.first)) and horizon - max(track.last, hole.end_latest) > 3 * track.plan.interval


def _due(track, until):
    """Count the samples due after the last one and before an instant."""
    return max(int(np.ceil((until - track.last) / track.plan.interval)) - 1, 0)


def gaps(outages: pd.DataFrame, holes: Mapping[int, Hole], horizon: pd.Timestamp) -> pd.DataFrame:
    """Make the table of gaps: one row for each stream and outage.

    A stream that had ended before the outage has none.  One that several schedules feed has one, with what all of
    them lost.

    Parameters
    ----------
    outages : pandas.DataFrame
        The result table; its index says which hole is meant.
    holes : dict of int to amakit.find.outages.Hole
    horizon : pandas.Timestamp

    Returns
    -------
    pandas.DataFrame
        Columns of the result table ``gaps``.
    """
    rows = []
    columns = ["resource_id", "computer", "cause", "start_earliest"]
    before, ordered = {}, outages.sort_values("start_earliest")
    follows = ordered.groupby(["resource_id", "computer"])["start_earliest"].shift(-1).fillna(horizon)
    for index, resource, computer, cause, start in ordered[columns].itertuples():
        hole = holes[index]
        kept, at_once = phase_kept(hole), begins_at_once(hole)
        previous = before.get((resource, computer), -np.inf)
        if not kept:
            before[resource, computer] = hole.end_latest
        for track in hole.tracks:
            # what a stream failed to send before the next outage tells whether it came back; the rest is that one's
            next_start = min(follows[index], horizon).timestamp()
            stays = hole.ongoing or stays_away(track, hole, next_start)
            until = horizon.timestamp() if stays else next_start
            low, number, high = lost(track, hole, until, kept, bool(at_once), track.last < previous)
            rows.append(
                (
                    resource,
                    computer,
                    cause,
                    start,
                    track.data_type,
                    track.stream,
                    track.plan.interval,
                    track.last,
                    track.first,
                    number,
                    low,
                    high,
                    stays,
                )
            )
    names = [
        "resource_id",
        "computer",
        "cause",
        "outage_start",
        "data_type",
        "stream",
        "interval_s",
        "last_before",
        "first_after",
        "lost",
        "lost_low",
        "lost_high",
        "ongoing",
    ]
    found = _one_a_stream(pd.DataFrame(rows, columns=names))
    return found.assign(last_before=instants(found["last_before"]), first_after=instants(found["first_after"]))


def _one_a_stream(rows):
    """Add up what the schedules lost that feed one stream."""
    keys = ["resource_id", "computer", "cause", "outage_start", "data_type", "stream"]
    if not rows.duplicated(keys).any():
        return rows
    how = {"interval_s": "first", "last_before": "max", "first_after": "min", "ongoing": "any"}
    how |= dict.fromkeys(("lost", "lost_low", "lost_high"), "sum")
    return rows.groupby(keys, sort=False, dropna=False).agg(how).reset_index()[list(rows.columns)]


def unharmed(cut_off: pd.DataFrame, streams: pd.DataFrame) -> pd.DataFrame:
    """Make the rows of outages that cost nothing: every stream of the machine, with no sample lost.

    Parameters
    ----------
    cut_off : pandas.DataFrame
        Outages in which only the network was away.
    streams : pandas.DataFrame
        As `amakit.fetch.samples.samples_around` gives them.

    Returns
    -------
    pandas.DataFrame
        Columns of the result table ``gaps``.
    """
    beats = cut_off[MACHINE].drop_duplicates().assign(data_type="Heartbeat", stream="")
    listed = pd.concat([beats, streams], ignore_index=True)
    rows = cut_off[["resource_id", "computer", "cause", "start_earliest"]].merge(listed, on=MACHINE)
    return rows.rename(columns={"start_earliest": "outage_start"}).assign(
        interval_s=np.nan, last_before=pd.NaT, first_after=pd.NaT, lost=0, lost_low=0, lost_high=0, ongoing=False
    )
