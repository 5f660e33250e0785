"""How many rows the sources of events wrote: by the hour for the whole window, finely only around what stands out."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd

from amakit.fetch.identity import resolved
from amakit.fetch.requests import by_slice
from amakit.intervals import Window
from amakit.kql.catalog import query
from amakit.schemas import MACHINE, no_rows, tables

if TYPE_CHECKING:
    from amakit.source.workspace import Workspace

#: Tables that the agent fills from logs, beside custom ones, and the columns that name a source inside each.
LOGS = {
    "Event": ("EventLog",), "WindowsEvent": ("Channel",), "SecurityEvent": ("Channel",), "Syslog": ("Facility",),
    "CommonSecurityLog": ("DeviceVendor", "DeviceProduct"), "W3CIISLog": ("sSiteName",),
}  # fmt: skip
#: Columns that name a source inside another table, the first that is there.
_CUSTOM = ("FilePath", "Channel", "EventLog", "Facility", "sSiteName")
#: Columns that tell two rows of one instant apart; of other tables the first twenty that are no bookkeeping.
_CONTENT = {
    "Event": ("Source", "EventID", "RenderedDescription", "EventData"),
    "WindowsEvent": ("EventRecordId", "EventID", "Provider", "EventData"),
    "SecurityEvent": ("EventRecordId", "EventID", "Activity", "Account", "EventData"),
    "Syslog": ("HostName", "ProcessName", "ProcessID", "SeverityLevel", "SyslogMessage"),
}  # fmt: skip
_BOOKKEEPING = {"tenantid", "timegenerated", "sourcesystem", "mg", "managementgroupname", "type", "computer"}
#: What a table of log lines has beside a machine and a time, where its name does not tell.
_LINES = {"RawData", "Message", "SyslogMessage", "FilePath", "EventID"}
_PARTS, _REACH = 250, pd.Timedelta(days=15)  # of one query; each part may stand under two keys
WINDOW_COUNTS = {
    "Rows": "sum", "Copies": "sum", "Squares": "sum", "Above": "sum", "MaxDelay": "max", "FirstRow": "min",
    "LastRow": "max",
}  # fmt: skip
RECORD_COUNTS = {"Records": "sum", "Low": "min", "High": "max", "Bins": "sum", "Spans": "sum", "Evenness": "sum"}


def is_log(workspace: "Workspace", table: str) -> bool:
    """Tell whether the agent fills a table from a log, by what it holds.

    The tables of `LOGS` and custom ones (``…_CL``) are; of another that is not known, in files, its columns tell.
    """
    columns = workspace.columns(table)
    if "TimeGenerated" not in columns or not {"Computer", "_ResourceId"} & set(columns):
        return False
    if _usual(table) in LOGS or table.lower().endswith("_cl"):
        return True
    copied = table.upper().endswith(("_SRCH", "_RST"))  # of a search job or a restore: copies of some rows
    if workspace.live or copied or table in tables():
        return False
    return "Computer" in columns and bool(_LINES & set(columns))


def _usual(table):
    return {name.lower(): name for name in LOGS}.get(table.lower(), table)


def log_tables(workspace: "Workspace") -> list[str]:
    """List the tables that are read from logs."""
    named = [t for t in workspace.tables if not workspace.live or _usual(t) in LOGS or t.lower().endswith("_cl")]
    return [table for table in named if is_log(workspace, table)]


def source_columns(workspace: "Workspace", table: str) -> list[str]:
    """Give the columns whose values name a source inside a table."""
    there = workspace.columns(table)
    named = LOGS.get(_usual(table))
    return [c for c in named if c in there] if named else [c for c in _CUSTOM if c in there][:1]


def content_columns(workspace: "Workspace", table: str) -> list[str]:
    """Give the columns that tell two rows of one instant apart."""
    there = workspace.columns(table)
    named = [c for c in _CONTENT.get(_usual(table), ()) if c in there]
    others = [c for c in there if not c.startswith("_") and c.lower() not in _BOOKKEEPING]
    return named or others[:20]


def hours(workspace: "Workspace", table: str, window: Window, shared: list[str], machines: list[str]) -> pd.DataFrame:
    """Count the rows of each source of a table hour by hour: as the packaged query ``event_hours`` gives them."""
    values = {"table": table, "source": source_columns(workspace, table), "shared": shared, "machines": machines}
    return pd.concat(by_slice(workspace, "event_hours", window, **values), ignore_index=True)


def last_row(workspace: "Workspace", table: str, window: Window) -> tuple[pd.Timestamp, int]:
    """Give the last row of a table, whosever, and how many machines have any."""
    seen = pd.concat(by_slice(workspace, "event_machines", window, table=table, shared=[]))
    return seen["LastRow"].max(), seen["Key"].nunique()


def keys_of(machines: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Say under which keys the rows of each machine stand, and which resource ids several computers share.

    A row's key is its resource id; with the computer behind it where several report under the id (a scale set);
    the computer alone where the id is empty, which tells a machine only if no other has that name.

    Parameters
    ----------
    machines : pandas.DataFrame
        resource_id and computer of all machines there are, in lower case; with ResourceId and Computer, the names that
        their rows bear, where a machine has had others.

    Returns
    -------
    tuple of (pandas.DataFrame, list of str)
        resource_id, computer, Key; and the shared ids.

    Examples
    --------
    >>> machines = pd.DataFrame({"resource_id": ["/set", "/set", "/vm/a"], "computer": ["s1", "s2", "a"]})
    >>> keys, shared = keys_of(machines)
    >>> sorted(keys["Key"]), shared
    (['/set s1', '/set s2', '/vm/a', 'a', 's1', 's2'], ['/set'])
    """
    both = machines[MACHINE].drop_duplicates()
    both = both.assign(ResourceId=both["resource_id"], Computer=both["computer"])
    if "ResourceId" in machines:
        both = pd.concat([both, machines[[*MACHINE, "ResourceId", "Computer"]]])
    both = both.drop_duplicates(ignore_index=True)
    resource, computer = both["ResourceId"], both["Computer"]
    owner = both["resource_id"] + "\n" + both["computer"]
    owners = owner.groupby(resource).nunique()
    shared = sorted(set(owners.index[owners > 1]) - {""})
    alone = (resource != "") & (computer.map(owner.groupby(computer).nunique()) == 1)
    first = resource.where(~resource.isin(shared), resource + " " + computer).where(resource != "", computer)
    keys = pd.concat([both.assign(Key=first), both[alone].assign(Key=computer[alone])], ignore_index=True)
    return keys.loc[keys["Key"] != "", [*MACHINE, "Key"]].drop_duplicates(ignore_index=True), shared


def with_short_names(keys: pd.DataFrame, borne: pd.Series, machines: pd.DataFrame) -> pd.DataFrame:
    """Add to the keys of machines those rows' that lack an id and name the computer in another form, long or short."""
    unknown = borne[~borne.isin(keys["Key"]) & ~borne.str.contains("/")].drop_duplicates()
    if unknown.empty:
        return keys
    told = resolved(pd.DataFrame({"ResourceId": "", "Computer": unknown}), machines)
    return pd.concat([keys, told.rename(columns={"Computer": "Key"})[[*MACHINE, "Key"]]], ignore_index=True)


def in_windows(
    workspace: "Workspace",
    name: str,
    table: str,
    shared: list[str],
    parts: pd.DataFrame,
    combine: dict[str, str],
    by: tuple[str, ...] = (),
) -> pd.DataFrame:
    """Ask a query that takes windows, so many at a time, the neighbours in time together.

    Parameters
    ----------
    workspace : Workspace
    name : {'event_windows', 'event_records'}
    table : str
    shared : list of str
    parts : pandas.DataFrame
        item (what the window is of), side, Start, End, and the other columns of the query's ``windows``; a part may
        stand in several rows, one for each key.
    combine : dict of str to str
        How the answers of one item and side are put together.
    by : tuple of str
        Columns of the answer that are kept apart.

    Returns
    -------
    pandas.DataFrame
        item, side, ``by`` and the columns of ``combine``; an item without any row has none here.
    """
    wanted = query(name)
    own = {"table": table, "shared": shared}
    own |= {"source": source_columns(workspace, table)} if "source" in wanted.parameters else {}
    own |= {"content": content_columns(workspace, table)} if "content" in wanted.parameters else {}
    calls = []
    for group in _groups(parts[parts["End"] > parts["Start"]].sort_values(["Start", "item", "side", "Key"])):
        windows = group.assign(Window=32 * group["item"] + group["side"])
        windows = windows[[c for c in ("Key", "Source", "Window", "Start", "End", "Width", "Few") if c in windows]]
        windows = windows.drop(columns=[] if "source" in own else ["Source"], errors="ignore")
        calls.append(own | {"start": group["Start"].min(), "end": group["End"].max(), "windows": windows})
    nothing = no_rows(wanted.returns)
    answer = pd.concat([nothing, *workspace.ask_all(name, calls)])
    answer = answer.astype(dict.fromkeys([c for c in combine if wanted.returns[c] != "datetime"], "float64"))
    item, side = divmod(answer["Window"].astype("int64"), 32)
    return answer.assign(item=item, side=side).groupby(["item", "side", *by]).agg(combine).reset_index()


def _groups(parts: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Cut sorted parts into what one query can carry: so many of them, over so long a time."""
    while len(parts):
        near = parts["End"].iloc[:_PARTS] <= parts["Start"].iloc[0] + _REACH
        size = max(1, int(near.cummin().sum()))  # one that is longer than that is asked alone
        yield parts.iloc[:size]
        parts = parts.iloc[size:]
