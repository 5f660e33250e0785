"""The heartbeat alert with a window of one's choice, ready to paste: as KQL, and as Bicep.

The rule is a log search alert that counts the machines whose newest heartbeat is older than the window, and alerts for
each of them on its own; see "Create or edit a log search alert rule" at learn.microsoft.com.
"""

import pandas as pd

from amakit.study.alert_coverage import verdicts

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


def rule(window: int, frequency: int = 5) -> dict[str, str]:
    """Write the alert rule that fires where an agent sent no heartbeat for so long.

    Parameters
    ----------
    window : int
        Minutes; see `amakit.study.alert_coverage.safe_window`.
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
        As `amakit.study.alert_coverage.silences` gives it.
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
