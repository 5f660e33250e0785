"""Blindness: what alerts and availability figures would have made of each outage, and who was blind together.

An alert looks at heartbeats, so it sees a *silence*: from the last heartbeat before an outage to the first after.
That is longer than the outage by up to one interval on either side.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from amakit.schemas import MACHINE, Cause, of_outages

_HOUR = pd.Timedelta(hours=1)
#: Seconds between samples from which on a stream cannot show an outage of minutes.
SLOW = 3600.0
#: Windows of heartbeat alerts in minutes; the last is that of the Azure Monitor baseline alerts.
WINDOWS = (2, 5, 10, 15)
#: Windows in minutes that a log alert of Azure Monitor can have.
OFFERED = (1, 5, 10, 15, 30, 45, 60)
#: Seconds that rows usually take to arrive, at most.
DELAY = 180


#: A log search alert that counts the machines whose newest heartbeat is older than its window; see "Create or edit a
#: log search alert rule" and "Microsoft.Insights scheduledQueryRules" at learn.microsoft.com.
_QUERY = """\
Heartbeat
| where Category == "Azure Monitor Agent"
| summarize LastBeat = max(TimeGenerated) by Computer, _ResourceId
| where LastBeat < ago({window}m)"""

_BICEP = """\
param workspaceId string
param actionGroupIds array = []
param location string = resourceGroup().location

resource agentSilent 'Microsoft.Insights/scheduledQueryRules@2021-08-01' = {{
  name: 'azure-monitor-agent-silent'
  location: location
  properties: {{
    displayName: 'Azure Monitor Agent silent for {window} minutes'
    severity: 2
    enabled: true
    scopes: [ workspaceId ]
    evaluationFrequency: 'PT{frequency}M'
    windowSize: 'PT{window}M'
    overrideQueryTimeRange: 'P2D' // the most: a machine that is silent for longer drops out
    criteria: {{
      allOf: [
        {{
          query: '''
{query}
'''
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          resourceIdColumn: '_ResourceId'
          dimensions: [ {{ name: 'Computer', operator: 'Include', values: [ '*' ] }} ]
          failingPeriods: {{ numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }}
        }}
      ]
    }}
    autoMitigate: true
    actions: {{ actionGroups: actionGroupIds }}
  }}
}}"""


def silences(outages: pd.DataFrame, gaps: pd.DataFrame, horizon: "pd.Timestamp | pd.Series") -> pd.DataFrame:
    """Give for each outage how long no heartbeat was to be had.

    Where an alert could see heartbeats of several agents on one machine, any of them ends its silence.  Where the
    network was away, heartbeats arrived late: an alert saw none meanwhile, although none is missing now.

    Parameters
    ----------
    outages, gaps : pandas.DataFrame
        The result tables.
    horizon : pandas.Timestamp, or pandas.Series of it on the index of ``outages``
        Up to when data may be taken as complete.

    Returns
    -------
    pandas.DataFrame
        On the index of ``outages``: resource_id, computer, cause, last_before, first_after (none where the
        heartbeat did not return, or none is missing), silence_low_s, silence_high_s (equal where both heartbeats are
        known, infinite where none came back), interval_s, lost_low, lost_high (of heartbeats).

    Examples
    --------
    >>> t = pd.to_datetime(["2026-03-02 10:00", "2026-03-02 10:05"], utc=True)
    >>> out = pd.DataFrame({"resource_id": "", "computer": "a", "cause": "upgrade", "start_earliest": t[:1],
    ...     "start_latest": t[:1], "downtime_low_s": 200.0, "downtime_high_s": 300.0, "ongoing": False})
    >>> gap = pd.DataFrame({"resource_id": "", "computer": "a", "outage_start": t[:1], "data_type": "Heartbeat",
    ...     "interval_s": 60.0, "last_before": t[:1], "first_after": t[1:], "lost_low": 4, "lost_high": 4})
    >>> silences(out, gap, t[1])["silence_high_s"].tolist()
    [300.0]
    """
    beats = gaps[(gaps["data_type"] == "Heartbeat") & gaps["last_before"].notna()]
    by_outage = of_outages(beats, outages).groupby("outage")
    own = by_outage.agg(
        last_before=("last_before", "max"),
        first_after=("first_after", "min"),
        interval_s=("interval_s", "min"),
        lost_low=("lost_low", "min"),
        lost_high=("lost_high", "max"),
    )
    columns = [*MACHINE, "cause", "start_latest", "downtime_low_s", "downtime_high_s", "ongoing"]
    found = outages[columns].join(own)
    away = found["cause"] == Cause.DISCONNECTED
    ongoing = found["ongoing"].astype("bool")
    seen = found["last_before"].notna() & ~away
    open_end = seen & found["first_after"].isna()
    length = (found["first_after"].fillna(horizon) - found["last_before"]).dt.total_seconds().clip(lower=0.0)
    least = (horizon - found["start_latest"]).dt.total_seconds().clip(lower=0.0)
    low = length.where(seen, found["downtime_low_s"].where(~ongoing, least))
    high = length.where(seen & ~open_end, np.inf).where(~away | ongoing, found["downtime_high_s"])
    return found.assign(
        silence_low_s=low.astype("float64").fillna(0.0), silence_high_s=high.astype("float64").fillna(np.inf)
    )[
        [
            *MACHINE,
            "cause",
            "last_before",
            "first_after",
            "silence_low_s",
            "silence_high_s",
            "interval_s",
            "lost_low",
            "lost_high",
        ]
    ]


def verdicts(
    silent: pd.DataFrame, horizon: pd.Timestamp, windows: Iterable[int] = WINDOWS, frequency: float = 1
) -> pd.DataFrame:
    """Say which alerts and which availability figures would have noticed each outage.

    An alert with a window of W minutes fires when a moment at which it is evaluated has no heartbeat in the W minutes
    before it.  Evaluated every F minutes it fires surely on a silence of ``W + F`` or more and never on one shorter
    than W; in between it depends on when it was evaluated.  Delay of arrival is not counted: it makes silences longer.

    The hourly share counts clock hours (UTC) with at least one heartbeat: only a whole hour without any shows.  The
    hourly count compares heartbeats with 60: two missing in one hour show; a single one does not stand out, as
    heartbeats come a little more than a minute apart and an hour now and then holds 59.

    Parameters
    ----------
    silent : pandas.DataFrame
        As `silences` gives them.
    horizon : pandas.Timestamp
    windows : iterable of int
        In minutes.
    frequency : float
        Minutes between evaluations of an alert; 1 is the shortest that Azure Monitor offers.

    Returns
    -------
    pandas.DataFrame
        On the index of ``silent``: a column ``alert W`` for each window, ``hourly share`` and ``hourly count``, with
        ``fires``, ``depends`` or ``misses``.

    Examples
    --------
    >>> t = pd.to_datetime(["2026-03-02 10:00", "2026-03-02 10:05"], utc=True)
    >>> silent = pd.DataFrame({"cause": "upgrade", "last_before": t[:1], "first_after": t[1:], "interval_s": 60.0,
    ...     "silence_low_s": 300.0, "silence_high_s": 300.0, "lost_low": 4, "lost_high": 4})
    >>> verdicts(silent, t[1]).iloc[0].tolist()
    ['fires', 'depends', 'misses', 'misses', 'misses', 'fires']
    """
    low, high = silent["silence_low_s"], silent["silence_high_s"]
    found = {f"alert {w}": _three(low >= (w + frequency) * 60, high < w * 60, silent) for w in windows}
    away = silent["cause"] == Cause.DISCONNECTED  # nothing is missing in the end
    known = silent["last_before"].notna()
    until = silent["first_after"].fillna(horizon).dt.floor("h")
    whole = (until - silent["last_before"].dt.floor("h")) / _HOUR - 1
    found["hourly share"] = _three(known & ~away & (whole >= 1), away | (known & (whole < 1)), silent)
    least = [
        _most_in_an_hour(*row) for row in silent[["last_before", "interval_s", "lost_low"]].itertuples(index=False)
    ]
    none = known & (silent["lost_high"].fillna(1) == 0)
    found["hourly count"] = _three(~away & (np.array(least, dtype="int64") >= 2), away | none, silent)
    return pd.DataFrame(found, index=silent.index, columns=[*found])


def _three(fires, misses, silent):
    words = np.where(
        fires.to_numpy(dtype="bool"), "fires", np.where(misses.to_numpy(dtype="bool"), "misses", "depends")
    )
    return pd.Series(words, index=silent.index, dtype="str")


def _most_in_an_hour(last, interval, lost):
    """Count the missing heartbeats in that clock hour which misses the most."""
    if pd.isna(last) or pd.isna(interval) or pd.isna(lost) or lost < 1:
        return 0
    due = last.timestamp() + interval * np.arange(1, int(lost) + 1)
    return int(np.unique(due // 3600, return_counts=True)[1].max())


def safe_window(silent: pd.DataFrame) -> int | None:
    """Give the shortest window, in minutes, that a heartbeat alert can have and that none of these silences would trip.

    A log alert of Azure Monitor takes certain windows only; rows arrive up to three minutes after they were sent, which
    lengthens what an alert sees of a silence.

    Parameters
    ----------
    silent : pandas.DataFrame
        As `silences` gives them, of the outages that must not trip it.

    Returns
    -------
    int or None
        None where there is no silence, one has no end, or no window is long enough.

    Examples
    --------
    >>> safe_window(pd.DataFrame({"silence_high_s": [130.0, 300.0]}))
    10
    """
    longest = silent["silence_high_s"].max() + DELAY
    return next((window for window in OFFERED if longest < window * 60), None)


def rule(window: int, frequency: int = 5) -> dict[str, str]:
    """Write the alert rule that fires where an agent sent no heartbeat for so long.

    Parameters
    ----------
    window : int
        Minutes; see `safe_window`.
    frequency : int
        Minutes between evaluations.

    Returns
    -------
    dict of str to str
        ``kql``, the query, and ``bicep``, a file that deploys the rule with it.

    Examples
    --------
    >>> print(rule(15)["kql"])
    Heartbeat
    | where Category == "Azure Monitor Agent"
    | summarize LastBeat = max(TimeGenerated) by Computer, _ResourceId
    | where LastBeat < ago(15m)
    """
    query = _QUERY.format(window=window)
    return {"kql": query, "bicep": _BICEP.format(window=window, frequency=frequency, query=query)}


def fired(silent: pd.DataFrame, horizon: pd.Timestamp, window: int, frequency: float = 1) -> pd.DataFrame:
    """Say for each outage whether a heartbeat alert fired, and when.

    Parameters
    ----------
    silent : pandas.DataFrame
        As `silences` gives it.
    horizon : pandas.Timestamp
    window, frequency : float
        Of the alert, in minutes.

    Returns
    -------
    pandas.DataFrame
        On the index of ``silent``: verdict (``fires``, ``depends``, ``misses``), earliest and latest, between which the
        alert fired; none where it missed, or where no heartbeat before the outage is known.

    Examples
    --------
    >>> t = pd.to_datetime(["2026-03-02 10:00", "2026-03-02 10:20"], utc=True)
    >>> silent = pd.DataFrame({"cause": "upgrade", "last_before": t[:1], "first_after": t[1:], "interval_s": 60.0,
    ...     "silence_low_s": 1200.0, "silence_high_s": 1200.0, "lost_low": 19, "lost_high": 19})
    >>> one = fired(silent, t[1], 15).iloc[0]
    >>> one["verdict"], f"{one['earliest']:%H:%M}", f"{one['latest']:%H:%M}"
    ('fires', '10:15', '10:16')
    """
    verdict = verdicts(silent, horizon, [window], frequency)[f"alert {window}"]
    earliest = (silent["last_before"] + pd.Timedelta(minutes=window)).where(verdict != "misses")
    latest = earliest + pd.Timedelta(minutes=frequency)
    ended = silent["first_after"].where(verdict == "depends")
    return pd.DataFrame({"verdict": verdict, "earliest": earliest, "latest": latest.where(ended.isna(), ended)})


def groups(machines: pd.DataFrame) -> pd.DataFrame:
    """Say which machines belong together: to one scale set, one resource group, or one resource group of Arc.

    Parameters
    ----------
    machines : pandas.DataFrame
        Has resource_id and computer; a machine without a resource id belongs to no group.

    Returns
    -------
    pandas.DataFrame
        resource_id, computer, kind (``scale_set``, ``resource_group``, ``arc_group``), group (its resource id); an
        instance of a scale set has two rows.

    Examples
    --------
    >>> rg = "/subscriptions/0/resourcegroups/r"
    >>> groups(pd.DataFrame({"computer": ["a", "b"], "resource_id": [f"{rg}/p/virtualmachinescalesets/s", ""]}))[
    ...     ["computer", "kind"]].values.tolist()
    [['a', 'scale_set'], ['a', 'resource_group']]
    """
    own = machines[MACHINE].drop_duplicates()
    ids = own["resource_id"].fillna("").str.lower()
    shared = ids.where(ids.duplicated(keep=False) & (ids != ""))
    sets = ids.str.extract(r"^(.*/virtualmachinescalesets/[^/]+)", expand=False).fillna(shared)
    resource_group = ids.str.extract(r"^(.*/resourcegroups/[^/]+)", expand=False)
    arc = ids.str.contains("/microsoft.hybridcompute/", regex=False)
    kinds = arc.map({True: "arc_group", False: "resource_group"}).astype("str")
    both = pd.concat([own.assign(kind="scale_set", group=sets), own.assign(kind=kinds, group=resource_group)])
    return both[both["group"].notna()].reset_index(drop=True)


def together(outages: pd.DataFrame, machines: pd.DataFrame, horizon: pd.Timestamp) -> pd.DataFrame:
    """Find the stretches in which two machines or more of one group were blind at once.

    Both ends of an outage are brackets, so an overlap is certain between the latest start and the earliest end, and
    possible between the earliest start and the latest end.  Outages in which only the network was away do not count:
    nothing was lost.

    Parameters
    ----------
    outages, machines : pandas.DataFrame
        The result tables.
    horizon : pandas.Timestamp
        An outage that goes on is counted up to here.

    Returns
    -------
    pandas.DataFrame
        One row per stretch: kind, group, members (machines in the group), start, end (of the possible overlap),
        certain_s, possible_s (during which at least two were blind), at_once, at_once_high (machines blind at the
        worst moment), rows (the outages concerned, by their index).  Those first in which a whole group was blind,
        then the longest.

    Examples
    --------
    >>> t = pd.to_datetime([f"2026-03-02 10:0{n}" for n in range(5)], utc=True)
    >>> ids = [f"/subscriptions/0/resourcegroups/r/{n}" for n in "ab"]
    >>> out = pd.DataFrame({"resource_id": ids, "computer": ["a", "b"], "cause": "upgrade", "start_earliest": t[[0, 1]],
    ...     "start_latest": t[[1, 2]], "end_earliest": t[[3, 3]], "end_latest": t[[4, 4]]})
    >>> together(out, out, t[4])[["members", "certain_s", "possible_s", "at_once"]].to_dict("records")
    [{'members': 2, 'certain_s': 60.0, 'possible_s': 180.0, 'at_once': 2}]
    """
    own = groups(machines)
    members = own.groupby(["kind", "group"]).size()
    blind = outages[outages["cause"] != Cause.DISCONNECTED].rename_axis("row").reset_index().merge(own, on=MACHINE)
    found = []
    for (kind, group), part in blind.groupby(["kind", "group"], sort=True):
        for stretch in _overlaps(part, horizon):
            found.append((kind, group, int(members[kind, group]), *stretch))
    columns = ["kind", "group", "members", "start", "end", "certain_s", "possible_s", "at_once", "at_once_high", "rows"]
    table = pd.DataFrame(found, columns=columns)
    within_set = set(table.loc[table["kind"] == "scale_set", "rows"])
    table = table[(table["kind"] == "scale_set") | ~table["rows"].isin(within_set)]
    whole = (table["at_once"] == table["members"]).rename("whole")
    order = table.assign(whole=whole).sort_values(
        ["whole", "certain_s", "possible_s", "start"], ascending=[False, False, False, True], kind="stable"
    )
    return order.drop(columns="whole").reset_index(drop=True)


def _overlaps(outages, horizon):
    """Sweep over the brackets of one group; give each stretch in which two machines may have been blind."""
    ends = []
    columns = ["row", *MACHINE, "start_earliest", "start_latest", "end_earliest", "end_latest"]
    for row, resource, computer, *times in outages[columns].itertuples(index=False):
        first, sure, back, last = (horizon if pd.isna(time) else time for time in times)
        for sort, begin, end in (("possible", first, last), ("certain", sure, back)):
            if begin < end:
                ends += [(begin, 1, sort, row, (resource, computer)), (end, 0, sort, row, (resource, computer))]
    now = {"possible": {}, "certain": {}}
    begun, before, certain, most, rows = None, None, 0.0, 0, set()
    high = 0
    for at, starts, sort, row, machine in sorted(ends, key=lambda e: e[:2]):
        if begun is not None and len(set(now["certain"].values())) >= 2:
            certain += (at - before).total_seconds()
        before = at
        if starts:
            now[sort][row] = machine
        else:
            del now[sort][row]
        possible = len(set(now["possible"].values()))
        if possible >= 2:
            begun = at if begun is None else begun
            rows |= set(now["possible"])
            high, most = max(high, possible), max(most, len(set(now["certain"].values())))
        elif begun is not None:
            yield begun, at, certain, (at - begun).total_seconds(), most if most >= 2 else 0, high, tuple(sorted(rows))
            begun, certain, most, high, rows = None, 0.0, 0, 0, set()
