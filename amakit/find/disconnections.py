"""Disconnections: stretches whose heartbeats were sent in time and received late, in a burst."""

import pandas as pd

from amakit.find.outages import downtime
from amakit.schemas import MACHINE, Cause

#: An agent hands over what it has every half minute to two minutes.
_UPLOAD = pd.Timedelta(minutes=2)
#: Rows that come in a burst are all received within this share of the time in which they were sent.
_BURST = 0.5
#: What happens to so many machines at once, and to this share of all, did not happen to each of them.
_MANY, _NEARLY_ALL = 5, 0.8


def disconnections(
    late: pd.DataFrame, outages: pd.DataFrame, machines: int = 0, interval: float = 60.0
) -> pd.DataFrame:
    """Find stretches whose heartbeats all arrived at once, long after they were sent: the network was away.

    Nothing is missing there, so nothing was lost.  Single late rows are no such stretch: at least three beats in a
    row must have come in a burst, after two minutes or more.  Beats that all took the same long time are none either:
    the clock is slow, or the service lags.  Nor is it the machine's network when nearly every machine (four fifths of
    at least five) was late at once.

    Parameters
    ----------
    late : pandas.DataFrame
        resource_id, computer, TimeGenerated, Received of late heartbeats.
    outages : pandas.DataFrame
        Where a hole explains the delay, there is no disconnection.
    machines : int
        How many machines report.
    interval : float
        Seconds between heartbeats.

    Returns
    -------
    pandas.DataFrame
        Rows as `amakit.find.outages.table` gives them, with cause ``disconnected``, sent (the first of these
        heartbeats) and beats (how many came).
    """
    late = late.drop_duplicates().sort_values([*MACHINE, "TimeGenerated"], ignore_index=True)
    same = (late[MACHINE] == late[MACHINE].shift()).all(axis=1)
    close = late["TimeGenerated"].diff().dt.total_seconds() <= 2.5 * interval
    together = late["Received"].diff().dt.total_seconds().abs() <= 2.5 * interval
    late["stretch"] = (~(same & close & together)).cumsum()
    found = late.groupby("stretch").agg(
        **{key: (key, "first") for key in MACHINE},
        first=("TimeGenerated", "first"),
        last=("TimeGenerated", "last"),
        received=("Received", "min"),
        all_received=("Received", "max"),
        beats=("Received", "size"),
    )
    burst = found["all_received"] - found["received"] <= _BURST * (found["last"] - found["first"])
    found = found[(found["beats"] >= 3) & burst].reset_index()
    found = found[~_at_once(found, machines)]
    pairs = found.merge(outages, on=MACHINE)
    covered = (pairs["start_earliest"] <= pairs["all_received"]) & ~(pairs["end_latest"] < pairs["first"])
    found = found[~found["stretch"].isin(pairs.loc[covered, "stretch"])]
    rows = []
    for part in found.itertuples():
        taken = min(part.first + _UPLOAD, part.last)  # what was sent just before may have waited for its upload
        ends = [part.first - pd.Timedelta(seconds=interval), taken, part.last, max(part.received, part.last)]
        seconds = (float(v) for v in downtime(*(end.timestamp() for end in ends)))
        rows.append(
            (part.resource_id, part.computer, *ends, *seconds, False, Cause.DISCONNECTED, part.first, part.beats)
        )
    columns = [
        *MACHINE,
        "start_earliest",
        "start_latest",
        "end_earliest",
        "end_latest",
        "downtime_s",
        "downtime_low_s",
        "downtime_high_s",
        "ongoing",
        "cause",
        "sent",
        "beats",
    ]
    return pd.DataFrame(rows, columns=columns)


def _at_once(late, machines):
    """Mark the late stretches in which nearly every machine was late."""
    marks = pd.Series(False, late.index)
    if machines < _MANY:
        return marks
    for at, first, received in late[["first", "received"]].itertuples():
        same = late[(late["first"] < received) & (late["received"] > first)]
        marks[at] = len(same[MACHINE].drop_duplicates()) >= _NEARLY_ALL * machines
    return marks


def with_versions(cut_off: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Name the version that a machine kept while only its network was away."""
    last = runs.sort_values("last").merge(cut_off[["resource_id", "computer", "start_latest"]], on=MACHINE)
    last = last[last["first"] <= last["start_latest"]].groupby(["resource_id", "computer", "start_latest"]).last()
    named = last[["version", "os_type"]].reset_index()
    merged = cut_off.merge(named, how="left", on=["resource_id", "computer", "start_latest"])
    return merged.assign(from_version=merged["version"], to_version=merged["version"]).drop(columns="version")
