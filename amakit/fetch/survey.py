"""What a workspace holds, what is missing, and what that costs."""

from typing import TYPE_CHECKING

import pandas as pd

from amakit import schemas
from amakit.errors import AmakitError

if TYPE_CHECKING:
    from amakit.source.workspace import Workspace

#: What it costs when a table is not there.
COSTS = {
    "Heartbeat": "versions cannot be read at all; nothing can be analysed",
    "AzureActivity": "attempts that failed before a heartbeat of the new version are not seen, and a machine that was "
    "stopped is told only by what it says itself",
    "Perf": "brackets are as wide as the interval of heartbeats, and no uptime counter tells of a restart",
    "Event": "what Windows says of stops and starts is missing",
    "Syslog": "what Linux says of stops and starts is missing",
}


def survey(workspace: "Workspace") -> tuple[pd.DataFrame, dict[str, str]]:
    """Look at what a workspace holds.

    Parameters
    ----------
    workspace : Workspace

    Returns
    -------
    tuple of (pandas.DataFrame, dict of str to str)
        One row per table: Table, Rows, First, Last (of TimeGenerated), PerHour; and for each table that the
        analysis would use but that is not there or cannot be read, what its absence costs.

    Notes
    -----
    A live workspace lists hundreds of tables and keeps years: only the tables that the kit knows and custom ones
    are looked at, over the last 15 days, and those without a row are left out.

    Examples
    --------
    >>> from amakit import connect
    >>> found, missing = survey(connect("demo"))
    >>> list(found.columns), missing
    (['Table', 'Rows', 'First', 'Last', 'PerHour'], {})
    """
    columns = ["Table", "Rows", "First", "Last"]
    parts, unread = [], {}
    for table in workspace.tables:
        if workspace.live and not (table in schemas.tables() or table.lower().endswith("_cl")):
            continue
        timed = "TimeGenerated" in workspace.columns(table)
        recent = " | where TimeGenerated >= ago(15d)" if workspace.live and timed else ""
        span = ", First = min(TimeGenerated), Last = max(TimeGenerated)" if timed else ""
        try:
            row = workspace.query(f"['{table}']{recent} | summarize Rows = count(){span}")
        except AmakitError as error:
            if "Basic or Auxiliary" not in str(error):
                raise
            unread[table] = str(error)
            continue
        if row["Rows"].iloc[0] or not workspace.live:
            parts.append(row.assign(Table=table).reindex(columns=columns))
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    hours = (
        pd.to_datetime(found["Last"], utc=True) - pd.to_datetime(found["First"], utc=True)
    ).dt.total_seconds() / 3600
    found["PerHour"] = (found["Rows"].astype("float64") / hours.where(hours > 0)).round(1)
    there = set(found["Table"])
    missing = {table: cost for table, cost in COSTS.items() if table not in there}
    return found, {table: f"{unread[table]}; {cost}" if table in unread else cost for table, cost in missing.items()}
