"""What a workspace holds, what is missing, and what that costs."""

from collections import defaultdict
from typing import TYPE_CHECKING

import pandas as pd

from amakit import schemas
from amakit.errors import Refused
from amakit.exports.table_files import LIMITS, is_table, limit_of
from amakit.intervals import iso
from amakit.kql import catalog

if TYPE_CHECKING:
    from amakit.source.workspace import Workspace

#: Hours between the ends of tables that mean nothing, and rows that must have been due to tell of more.
_SLACK, _DUE = 1.0, 20.0
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

    Of files it tells the form that was recognised and how many there are; see also `remarks`.

    Parameters
    ----------
    workspace : Workspace

    Returns
    -------
    tuple of (pandas.DataFrame, dict of str to str)
        One row per table: Table, Rows, First, Last (of TimeGenerated), PerHour, and of a folder Files and Form; and
        for each table that the analysis would use but that is not there or cannot be read, what its absence costs; of a
        service also why any other table is refused.

    Notes
    -----
    A live workspace lists hundreds of tables and keeps years: only the tables that the kit knows and custom ones
    are looked at, over the last 15 days, and those without a row are left out.

    Examples
    --------
    >>> from amakit import connect
    >>> found, missing = survey(connect("demo"))
    >>> list(found.columns), missing
    (['Table', 'Rows', 'First', 'Last', 'PerHour', 'Files', 'Form'], {})
    """
    columns = ["Table", "Rows", "First", "Last"]
    parts, unread = [], dict(workspace.refused)
    for table in workspace.tables:
        if workspace.live and not (table in schemas.tables() or table.lower().endswith("_cl")):
            continue
        try:
            holder = workspace.holder(table)
            timed = "TimeGenerated" in holder.columns(table)
            recent = " | where TimeGenerated >= ago(15d)" if holder.live and timed else ""
            span = ", First = min(TimeGenerated), Last = max(TimeGenerated)" if timed else ""
            row = holder.query(f"['{table}']{recent} | summarize Rows = count(){span}")
        except Refused as error:
            unread[table] = str(error)
            continue
        if row["Rows"].iloc[0] or not workspace.live:
            parts.append(row.assign(Table=table).reindex(columns=columns))
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    hours = (
        pd.to_datetime(found["Last"], utc=True) - pd.to_datetime(found["First"], utc=True)
    ).dt.total_seconds() / 3600
    found["PerHour"] = (found["Rows"].astype("float64") / hours.where(hours > 0)).round(1)
    if workspace.kind in ("folder", "demo"):
        files = {table: workspace.files(table) for table in found["Table"]}
        found["Files"] = [len(files[table]) for table in found["Table"]]
        found["Form"] = [", ".join(sorted({form for _, form in files[table]})) for table in found["Table"]]
    there = set(found["Table"])
    missing = {table: cost for table, cost in COSTS.items() if table not in there}
    told = {table: f"{unread[table]}; {cost}" if table in unread else cost for table, cost in missing.items()}
    return found, told | ({t: why for t, why in unread.items() if t not in told} if workspace.kind == "kusto" else {})


def remarks(workspace: "Workspace", found: pd.DataFrame) -> list[str]:
    """Tell what is odd about the files of a workspace.

    Parameters
    ----------
    workspace : Workspace
    found : pandas.DataFrame
        As `survey` gives it.

    Returns
    -------
    list of str
        A sentence for each number of rows at which a way of exporting stops, for columns that the analysis reads and
        no file has, for tables that begin after the heartbeats or end before them although rows were due, for
        machines that another table calls otherwise, and for each file that is not read. Of a service none: what it
        answers is counted there.
    """
    if workspace.kind == "kusto":
        return []
    lines = []
    rows = dict(zip(found["Table"], found["Rows"], strict=True))
    for table, total in rows.items():
        counts = workspace.rows_by_file(table) if total >= min(LIMITS) else {}
        for path, n in counts.items():
            if limit := limit_of(n):
                lines.append(f"{table}: {path} has exactly {n:,} rows, {limit}; count them at the source for the rest")
    for table in rows:
        if not is_table(table):
            lines.append(
                f"{table}: no table of Log Analytics that is known; a file is called after its table, or its "
                "rows name it in a column Type"
            )
    for table, columns in _read_columns().items():
        lacking = sorted(columns - workspace.given(table)) if table in rows else []
        if lacking:
            columns = f"column{'s' * (len(lacking) > 1)} {', '.join(lacking)}"
            lines.append(f"{table}: no file has the {columns}, which the analysis reads")
    lines += _ends_that_differ(found)
    lines += _names_that_differ(workspace, list(rows))
    lines += [f"{table}: {reason}" for table, reason in workspace.refused.items() if table not in COSTS]
    lines += [f"not read: {reason}" for reason in workspace.unread.values()]
    return lines


def _read_columns():
    """Give the columns of each table that packaged queries read."""
    read = defaultdict(set)
    for query in catalog.packaged().values():
        for table, columns in query.reads.items():
            read[table] |= set(columns)
    return read


def _ends_that_differ(found):
    """Tell which tables begin after the heartbeats, or end before them, by more than chance leaves out."""
    spans = found.dropna(subset=["First", "Last"]).set_index("Table")
    if "Heartbeat" not in spans.index:
        return []
    beats, lines = spans.loc["Heartbeat"], []
    for table, row in spans.drop(index="Heartbeat").iterrows():
        for name, early, late, said in (("First", beats, row, "begin"), ("Last", row, beats, "end")):
            hours = (late[name] - early[name]).total_seconds() / 3600
            if hours > _SLACK and hours * row["PerHour"] >= _DUE:
                side = "after" if said == "begin" else "before"
                lines.append(
                    f"{table}: its rows {said} at {iso(row[name].floor('s'))}, {hours:,.0f} hours {side} those of "
                    f"Heartbeat; of that time nothing is said"
                )
    return lines


def _names_that_differ(workspace, names):
    """Compare the names of machines in each table with those of their heartbeats: by id, by short name without one."""
    called = {}
    for table in names:
        if {"Computer", "_ResourceId"} <= workspace.columns(table).keys() and "Computer" in workspace.given(table):
            pairs = workspace.query(f"['{table}'] | distinct _ResourceId, Computer").apply(
                lambda column: column.str.lower()
            )
            called[table] = pairs[pairs["Computer"] != ""].drop_duplicates()
    if "Heartbeat" not in called:
        return []
    beats, lines = called.pop("Heartbeat"), []
    known = set(beats["Computer"])
    for table, pairs in called.items():
        others = pairs[~pairs["Computer"].isin(known)]
        others = others.assign(short=others["Computer"].str.replace(r"\..*", "", regex=True))
        by_id = others[others["_ResourceId"] != ""].merge(beats, on="_ResourceId", suffixes=("", "_beats"))
        plain = beats.assign(short=beats["Computer"].str.replace(r"\..*", "", regex=True))
        by_name = others[others["_ResourceId"] == ""].merge(plain, on="short", suffixes=("", "_beats"))
        both = pd.concat([by_id, by_name])[["Computer", "Computer_beats"]].drop_duplicates()
        if len(both):
            some = ", ".join(f"{name} for {beat}" for name, beat in both.head(3).itertuples(index=False))
            more = f" and {len(both) - 3} more" if len(both) > 3 else ""
            lines.append(f"{table}: machines are called otherwise than in Heartbeat: {some}{more}")
    return lines
