"""Samples of every stream, and evidence, around each silence."""

import pandas as pd

from amakit.fetch.heartbeats import LOOKAHEAD, REACHES, Fleet, joined_by_agent
from amakit.fetch.identity import short_name
from amakit.fetch.requests import (
    ask_in_slices,
    ask_in_windows,
    by_slice,
    coalesced_windows,
    machines_of,
    spelled_names,
)
from amakit.fetch.silences import LATE
from amakit.intervals import Window
from amakit.kql.catalog import query, table_parts
from amakit.recorded.clocks import clock_offsets
from amakit.schemas import KQL_MACHINE, MACHINE, no_rows

#: Tables that are sampled on a clock beside Heartbeat, and how their packaged queries begin.
STREAMS = {table: parts["queries"] for table, parts in table_parts().items() if "queries" in parts}
_LISTED = dict.fromkeys([*MACHINE, "data_type", "stream"], "string") | {
    "First": "datetime",
    "Last": "datetime",
    "Samples": "long",
}
_NEAR = REACHES[0]
#: When after the last heartbeat of one agent another kind of agent is looked for.
_OTHER_SINCE, _OTHER_UNTIL = pd.Timedelta(minutes=2), pd.Timedelta(hours=1)
#: So many other machines show whether the service lags, in so many stretches.
_OTHERS, _LATE_STRETCHES = 100, 10
#: So far from a stretch a sample may still tell something about it.
REACH = REACHES[-1]


def samples_around(fleet: Fleet, around: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Fetch the samples of every periodic stream around given stretches.

    Parameters
    ----------
    fleet : Fleet
    around : pandas.DataFrame
        resource_id, computer, last and first, as `silences` gives them; ``first`` may be missing.

    Returns
    -------
    tuple of (pandas.DataFrame, pandas.DataFrame, pandas.DataFrame)
        The samples: resource_id, computer, data_type, stream, TimeGenerated, each once; the streams: resource_id,
        computer, data_type, stream, First, Last, Samples over the whole window; and the heartbeats among the samples
        with the time at which they were Received.

    Notes
    -----
    A stream is read as far around a stretch as thirty of its intervals reach, at least forty minutes and at
    most six days, so that its interval can be told on both sides.
    """
    heartbeats = _rows_around(fleet, "heartbeat_rows", around, _NEAR)
    heartbeats = joined_by_agent(heartbeats, fleet).rename(columns={"line": "stream"}).assign(data_type="Heartbeat")
    parts, streams = [heartbeats], []
    for table, name in STREAMS.items():
        if table not in fleet.workspace.tables:
            continue
        found, names = list_streams(fleet, table, name)
        streams.append(found)
        pad = 30 * (found["Last"] - found["First"]) / (found["Samples"] - 1).clip(lower=1)
        tier = pad.map(lambda p: next((reach for reach in REACHES if p <= reach), REACHES[-1]))
        for reach, part in found.groupby(tier):
            rows = _rows_around(fleet, f"{name}_rows", around, reach, names, streams=sorted(set(part["stream"])))
            rows = rows.rename(columns={"Stream": "stream"}).assign(data_type=table)
            own = part[[*MACHINE, "stream"]]  # a stream of this name may be a fast one on another machine
            parts.append(rows.merge(own, on=[*MACHINE, "stream"]))
    columns = [*MACHINE, "data_type", "stream", "TimeGenerated"]
    whole = pd.concat(parts, ignore_index=True)[columns].drop_duplicates()
    listed = pd.concat([no_rows(_LISTED), *streams], ignore_index=True)
    return whole.sort_values(columns, ignore_index=True), listed, heartbeats[[*MACHINE, "TimeGenerated", "Received"]]


def activity(fleet: Fleet) -> pd.DataFrame:
    """Fetch what the control plane did, from a day before the window to an hour after it.

    Parameters
    ----------
    fleet : Fleet

    Returns
    -------
    pandas.DataFrame
        As the packaged query ``activity`` gives it; empty where the workspace has no AzureActivity.
    """
    return _of_whole_workspace(fleet, "activity", "AzureActivity")


def evidence_around(fleet: Fleet, around: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Fetch what machines themselves tell of stops, starts and delays; a table that is not there tells nothing.

    Parameters
    ----------
    fleet : Fleet
    around : pandas.DataFrame
        resource_id, computer, last and first of the stretches in question.

    Returns
    -------
    dict of str to pandas.DataFrame
        ``system`` (what Windows and Linux said: resource_id, computer, TimeGenerated, data_type, Source, Number,
        Message), ``uptime`` (resource_id, computer, TimeGenerated, Uptime in seconds), ``late`` (resource_id,
        computer, TimeGenerated, Received; also of `machines_beside`, at the same times) and ``messages`` (what the
        workspace said of agents: TimeGenerated, Computer, Key, Status, Detail).
    """
    ws = fleet.workspace
    said = []
    if "Event" in ws.tables:
        events = ask_in_slices(fleet, "system_events", _wide(fleet))
        said.append(events.assign(data_type="Event", Number=events["EventID"].astype("str")))
    if "Syslog" in ws.tables:
        lines = ask_in_slices(fleet, "syslog_boots", _wide(fleet))
        said.append(lines.assign(data_type="Syslog", Number=""))
    system = _nothing("TimeGenerated", "data_type", "Source", "Number", "Message")
    uptime = _nothing("TimeGenerated", "Uptime")
    if said:
        system = pd.concat(said)[list(system.columns)]
    if "Perf" in ws.tables:
        uptime = _rows_around(fleet, "perf_uptime", around, _NEAR).sort_values([*MACHINE, "TimeGenerated"])
    usual = clock_offsets(fleet.days)
    slow = fleet.days.assign(Usual=usual)[fleet.days["Delay"] - usual > LATE.total_seconds()]
    held_up = slow.groupby([*KQL_MACHINE, "Day"], as_index=False)["Usual"].min()
    held_up = held_up.assign(
        Start=held_up["Day"].clip(lower=fleet.window.start),
        End=(held_up["Day"] + pd.Timedelta(days=1)).clip(upper=fleet.window.end),
        Usual=pd.to_timedelta(held_up["Usual"], unit="s"),
    )
    late = ask_in_windows(ws, "heartbeat_late", held_up, delay=LATE).merge(spelled_names(fleet), on=KQL_MACHINE)
    late = pd.concat([late, _late_beside(fleet, late)], ignore_index=True)
    messages = _of_whole_workspace(fleet, "agent_messages", "Operation")
    return {"system": system, "uptime": uptime, "late": late, "messages": messages}


def machines_beside(fleet: Fleet) -> pd.DataFrame:
    """Name the machines that those which were asked for are compared with; of many, evenly chosen ones.

    Parameters
    ----------
    fleet : Fleet

    Returns
    -------
    pandas.DataFrame
        resource_id, computer, ResourceId and Computer; none where the whole fleet is under analysis.
    """
    names = fleet.everybody[[*MACHINE, *KQL_MACHINE]].drop_duplicates()
    own = pd.MultiIndex.from_frame(fleet.days[MACHINE].drop_duplicates())
    others = names[~pd.MultiIndex.from_frame(names[MACHINE]).isin(own)].sort_values([*MACHINE, *KQL_MACHINE])
    return others.iloc[:: max(1, -(-len(others) // _OTHERS))] if fleet.asked else others.iloc[:0]


def _late_beside(fleet, late):
    """Fetch what of other machines came late while those that were asked for were late."""
    names = machines_beside(fleet)
    if late.empty or names.empty:
        return late.iloc[:0]
    times = late["TimeGenerated"].sort_values()
    stretches = times.groupby((times.diff() > LATE).cumsum()).agg(Start="min", End="max")
    stretches = stretches.assign(Length=stretches["End"] - stretches["Start"]).nlargest(_LATE_STRETCHES, "Length")
    stretches = stretches.assign(End=stretches["End"] + pd.Timedelta(microseconds=1), Usual=pd.Timedelta(0))
    windows = names[KQL_MACHINE].merge(stretches.drop(columns="Length"), how="cross")
    return ask_in_windows(fleet.workspace, "heartbeat_late", windows, delay=LATE).merge(names, on=KQL_MACHINE)


def _of_whole_workspace(fleet, name, table):
    columns = query(name).returns
    if table not in fleet.workspace.tables:
        return no_rows(columns)
    return pd.concat(by_slice(fleet.workspace, name, _wide(fleet)), ignore_index=True)


def other_agents(fleet: Fleet, since: pd.DataFrame) -> pd.DataFrame:
    """Find the agents of another kind that went on beside an Azure Monitor Agent which fell silent for good.

    The Log Analytics agent writes the same tables: its rows prove nothing of the other one.

    Parameters
    ----------
    fleet : Fleet
    since : pandas.DataFrame
        resource_id, computer and last heartbeat.

    Returns
    -------
    pandas.DataFrame
        resource_id and computer of the machines where another agent sent heartbeats within the hour after ``last``.
    """
    names = spelled_names(fleet)
    names = pd.concat([names, names.assign(ResourceId="")]).drop_duplicates()
    windows = since[MACHINE].assign(Start=since["last"] + _OTHER_SINCE, End=since["last"] + _OTHER_UNTIL)
    windows = windows.merge(names, on=MACHINE)
    rows = ask_in_windows(fleet.workspace, "heartbeat_others", coalesced_windows(windows)).merge(names, on=KQL_MACHINE)
    return rows[MACHINE].drop_duplicates(ignore_index=True)


def _nothing(*columns):
    kinds = {"TimeGenerated": "datetime", "Uptime": "real"}
    types = {column: kinds.get(column, "string") for column in (*MACHINE, *columns)}
    return no_rows(types)


def wide(window: Window) -> Window:
    """Give the time in which causes of outages are looked for: the window, a day before it and an hour after it.

    Examples
    --------
    >>> from amakit.intervals import window
    >>> print(wide(window("2026-03-02", "2026-03-03")))
    2026-03-01T00:00:00Z to 2026-03-03T01:00:00Z
    """
    return Window(window.start - pd.Timedelta(days=1), window.end + LOOKAHEAD)


def _wide(fleet):
    return wide(fleet.window)


def _rows_around(fleet, name, around, pad, names=None, **values):
    """Ask for rows around stretches, and name the machine of each."""
    if names is None:  # other tables may lack the domain
        names = spelled_names(fleet)
        names = pd.concat([names, names.assign(Computer=short_name(names["Computer"]))]).drop_duplicates()
    ends = around["first"].fillna(around["last"])  # what comes long after the last heartbeat, other streams list
    windows = around[MACHINE].assign(Start=around["last"] - pad, End=ends + pad).merge(names, on=MACHINE)
    rows = ask_in_windows(fleet.workspace, name, coalesced_windows(windows), **values)
    return rows.merge(names, on=KQL_MACHINE)


def list_streams(fleet: Fleet, table: str, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List the streams of a table over the whole window, and the names under which it has each machine."""
    names = spelled_names(fleet)
    asked = {*names["ResourceId"], *names["Computer"], *short_name(names["Computer"])} if fleet.asked else {""}
    parts = by_slice(fleet.workspace, f"{name}_streams", fleet.window, machines=sorted(asked - {""}))
    listed = pd.concat(parts)
    names = machines_of(fleet, listed)  # rows without a computer under the id of a scale set are nobody's
    rows = listed.merge(names, on=KQL_MACHINE).rename(columns={"Stream": "stream"}).assign(data_type=table)
    grouped = rows.groupby([*MACHINE, "data_type", "stream"])
    return grouped.agg(First=("First", "min"), Last=("Last", "max"), Samples=("Samples", "sum")).reset_index(), names
