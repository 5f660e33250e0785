"""What is missing while an agent goes on: single heartbeats, all heartbeats, or a table that ended."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from amakit.find.outages import Hole
from amakit.schemas import MACHINE, RESULTS, frame_of

#: A table of one machine has ended when so many of its slowest samples are due, and no sooner than after so long.
_INTERVALS, _WAIT = 10, pd.Timedelta(minutes=30)


def lost_heartbeats(
    found: pd.DataFrame, holes: Mapping[int, Hole], intervals: pd.DataFrame, horizon: pd.Timestamp
) -> pd.DataFrame:
    """Make the rows of gaps for heartbeats that are missing while other streams show that the agent went on.

    Parameters
    ----------
    found : pandas.DataFrame
        Stretches without a heartbeat: resource_id, computer, last, first; ``first`` is missing where no heartbeat
        came back.
    holes : dict of int to amakit.find.outages.Hole
        The outages among them, by the index of ``found``.
    intervals : pandas.DataFrame
        As `amakit.fetch.sample_intervals.heartbeat_intervals` gives them.
    horizon : pandas.Timestamp

    Returns
    -------
    pandas.DataFrame
        Columns of the result table ``gaps``, without cause and outage.

    Examples
    --------
    >>> t = pd.to_datetime(["2026-03-02 10:00:20", "2026-03-02 10:03:20"], utc=True)
    >>> silent = pd.DataFrame({"resource_id": "", "computer": "a", "last": t[:1], "first": t[1:]})
    >>> every = pd.DataFrame({"resource_id": "", "computer": ["a"], "line": "", "interval": 60.0, "agents": 1})
    >>> lost_heartbeats(silent, {}, every, t[1])[["lost", "ongoing"]].values.tolist()
    [[2, False]]
    """
    rows = found.drop(index=list(holes))
    every = intervals.groupby(MACHINE)["interval"].min().rename("interval_s")
    rows = rows.merge(every.reset_index(), how="left", on=MACHINE)
    until = rows["first"].fillna(horizon)
    due = (until - rows["last"]).dt.total_seconds() / rows["interval_s"]
    # the beat at the end came; where there is none, that at the horizon is not due yet
    number = np.where(rows["first"].isna(), np.ceil(due), due.round()) - 1
    # told by these beats themselves: what the whole window says is finer on one machine than on another
    rows["interval_s"] = ((rows["first"] - rows["last"]).dt.total_seconds() / (number + 1)).fillna(rows["interval_s"])
    return _gaps(
        rows.assign(
            data_type="Heartbeat",
            stream="",
            last_before=rows["last"],
            first_after=rows["first"],
            lost=number,
            lost_low=number,
            lost_high=number,
            ongoing=rows["first"].isna(),
        )[number > 0]
    )


def ended_tables(streams: pd.DataFrame, seen: pd.DataFrame, horizon: pd.Timestamp) -> pd.DataFrame:
    """Find the tables of which a machine sends nothing any more, although its heartbeats come and others send theirs.

    Parameters
    ----------
    streams : pandas.DataFrame
        resource_id, computer, data_type, stream, First, Last, Samples.
    seen : pandas.DataFrame
        resource_id, computer and last_seen, the last heartbeat.
    horizon : pandas.Timestamp

    Returns
    -------
    pandas.DataFrame
        Columns of the result table ``gaps`` for each stream that was there when the table ended.  Whether its samples
        were due since then nobody knows, because its collection rule may have been taken away: ``lost_low`` is 0.
    """
    table = [*MACHINE, "data_type"]
    rows = streams[streams["Samples"] > 1].merge(seen, on=MACHINE)
    rows["interval_s"] = (rows["Last"] - rows["First"]).dt.total_seconds() / (rows["Samples"] - 1)
    last = rows.groupby(table)["Last"].transform("max")
    wait = pd.to_timedelta(_INTERVALS * rows.groupby(table)["interval_s"].transform("min"), unit="s").clip(lower=_WAIT)
    until = np.minimum(rows.groupby("data_type")["Last"].transform("max"), rows["last_seen"]).clip(upper=horizon)
    alive = last - rows["Last"] <= pd.to_timedelta(2.5 * rows["interval_s"], unit="s")
    rows = rows[(last + wait < until) & alive]
    due = np.floor((horizon - rows["Last"]).dt.total_seconds() / rows["interval_s"])
    return _gaps(rows.assign(last_before=rows["Last"], lost=due, lost_low=0, lost_high=due, ongoing=True))


def partial_machines(lost: pd.DataFrame) -> pd.DataFrame:
    """List the machines whose agent goes on, but some of whose streams stay away.

    Parameters
    ----------
    lost : pandas.DataFrame
        The result table ``gaps``.

    Returns
    -------
    pandas.DataFrame
        resource_id and computer.
    """
    return lost.loc[lost["ongoing"] & lost["outage_start"].isna(), MACHINE].drop_duplicates(ignore_index=True)


def _gaps(rows):
    """Bring rows into the form of the result table; they belong to no outage."""
    nothing = {"cause": [""] * len(rows)} | {c: [pd.NaT] * len(rows) for c in ("outage_start", "first_after")}
    types = RESULTS["gaps"]
    return frame_of({column: rows[column] if column in rows else nothing[column] for column in types}, types)
