"""The coarse-to-fine plan: which packaged query, over which slice, inside which windows.

Days first; hours only of days in which the versions of an agent overlap; single heartbeats only of hours in
which they still do.  What crosses the wire is a few rows for each machine and day, however large the fleet.
"""

from dataclasses import dataclass

import pandas as pd

from amakit.errors import UsageError, nearest
from amakit.intervals import Window

#: How far before the window a machine is looked for that is silent in it, and the version it had then.
LOOKBACK = pd.Timedelta(days=14)
#: Rows arrive late: what is younger than this proves nothing yet.  Agent tables need 15 minutes, mostly.
LATENCY = pd.Timedelta(minutes=15)
#: How far behind the window is looked for machines that were silent at its end and came back.
LOOKAHEAD = pd.Timedelta(hours=1)
#: Windows that one query carries as a datatable; more make the text, not the scan, the cost.
_WINDOWS_PER_QUERY = 500

_KEYS = ["ResourceId", "Computer"]
_MACHINE = ["resource_id", "computer"]
_SPAN = ["resource_id", "computer", "agent", "version", "first", "last", "beats", "os_type", "environment"]


def horizon(window):
    """Give the instant up to which data may be taken as complete.

    Parameters
    ----------
    window : Window

    Returns
    -------
    pandas.Timestamp
        The window's end, or 15 minutes before now where that is earlier.

    Examples
    --------
    >>> from amakit.intervals import window
    >>> horizon(window("2026-03-01", "2026-03-02"))
    Timestamp('2026-03-02 00:00:00+0000', tz='UTC')
    """
    return min(window.end, (pd.Timestamp.now("UTC") - LATENCY).as_unit("us"))


def data_span(workspace):
    """Give the window that holds every heartbeat of a workspace.

    Parameters
    ----------
    workspace : Workspace

    Returns
    -------
    Window
        From the first heartbeat to just after the last.

    Raises
    ------
    UsageError
        For a live workspace, whose whole past is too much to ask for, or one without any heartbeat.

    Examples
    --------
    >>> from amakit import connect
    >>> data_span(connect("demo")).start.date()
    datetime.date(2026, 3, 2)
    """
    if workspace.kind == "kusto":
        raise UsageError(f"{workspace.name} is a live workspace; say which window is meant with start and end")
    first, last, beats = workspace.ask("heartbeat_span").iloc[0]
    if not beats:
        raise UsageError(f"{workspace.name} holds no heartbeat of the Azure Monitor Agent; export more of Heartbeat")
    return Window(first, last + pd.Timedelta(microseconds=1))


@dataclass(frozen=True)
class Fleet:
    """The first pass over Heartbeat, from which everything finer is asked.

    Attributes
    ----------
    workspace : Workspace
    window : Window
    days : pandas.DataFrame
        One row per agent, version and day, as ``heartbeat_days`` gives them, and the machine that it belongs
        to: resource_id and computer in lower case.
    before, after : pandas.DataFrame
        One row per agent that reported in the 14 days before the window, or within the hour after it.
    """

    workspace: object
    window: Window
    days: pd.DataFrame
    before: pd.DataFrame
    after: pd.DataFrame


def fleet(workspace, window, machines=()):
    """Make the first pass over Heartbeat.

    Parameters
    ----------
    workspace : Workspace
    window : Window
    machines : iterable of str
        Computer names or resource ids in any case; none means all.

    Returns
    -------
    Fleet

    Raises
    ------
    UsageError
        When a machine that was asked for is not in the workspace, or there is nothing in the window.

    Examples
    --------
    >>> from amakit import connect
    >>> from amakit.intervals import window
    >>> len(fleet(connect("demo"), window("2026-03-02", "2026-03-04")).days.drop_duplicates(["resource_id", "computer"]))
    40
    """
    asked = sorted({m.strip().lower() for m in machines})
    before = _inventory(workspace, Window(window.start - LOOKBACK, window.start))
    after = _inventory(workspace, Window(window.end, window.end + LOOKAHEAD))
    days = pd.concat(
        (workspace.ask("heartbeat_days", start=w.start, end=w.end, machines=asked) for w in window.slices()),
        ignore_index=True,
    )
    if asked:
        _refuse_unknown(workspace, window, asked, days, before)
        before, after = (f[f["Computer"].isin(asked) | f["ResourceId"].isin(asked)] for f in (before, after))
    if days.empty and before.empty:
        raise UsageError(
            f"{workspace.name} has no heartbeat of the Azure Monitor Agent in {window}; {_what_there_is(workspace)}"
        )
    named = _whole_ids(pd.concat([days, before, after], keys=["days", "before", "after"]))
    return Fleet(workspace, window, *(named.loc[part] if part in named.index else frame.assign(resource_id="", computer="")
                                      for part, frame in (("days", days), ("before", before), ("after", after))))  # fmt: skip


def version_spans(fleet):
    """Find when each agent reported which version, as finely as their order needs.

    Parameters
    ----------
    fleet : Fleet

    Returns
    -------
    pandas.DataFrame
        One row per stretch in which an agent reported one version: resource_id, computer, agent (its
        SourceComputerId), version, first and last heartbeat (both in it), beats, os_type, environment.
        Stretches of one agent do not overlap, except where two agents cannot be told apart.  What was
        reported last before the window is a row with ``beats`` 0.

    Examples
    --------
    >>> from amakit import connect
    >>> from amakit.intervals import window
    >>> spans = version_spans(fleet(connect("demo"), window("2026-03-02", "2026-03-04")))
    >>> bool((spans["first"] <= spans["last"]).all())
    True
    """
    spans = fleet.days.drop(columns=["Day", "Offset"])
    for step in (_hours, _beats):
        windows = overlaps(spans)
        if windows.empty:
            break
        spans = pd.concat([_outside(spans, windows), step(fleet, windows)])
    spans = pd.concat([fleet.before.assign(Beats=0, FirstBeat=fleet.before["LastBeat"]), spans], ignore_index=True)
    spans = spans.rename(columns={
        "Agent": "agent", "Version": "version", "FirstBeat": "first", "LastBeat": "last", "Beats": "beats",
        "OSType": "os_type", "Environment": "environment",
    })  # fmt: skip
    spans[["os_type", "environment"]] = spans[["os_type", "environment"]].fillna("")
    return spans[_SPAN].sort_values(["computer", "resource_id", "first", "last"], ignore_index=True)


def overlaps(spans):
    """Find where the stretches of different versions of one agent overlap, so that their order is not known.

    Parameters
    ----------
    spans : pandas.DataFrame
        Has ResourceId, Computer, Agent, Version, FirstBeat and LastBeat.

    Returns
    -------
    pandas.DataFrame
        ResourceId, Computer, Agent, Start, End: half-open windows, each around stretches that touch.
    """
    keys = [*_KEYS, "Agent"]
    spans = spans.sort_values([*keys, "FirstBeat", "LastBeat"], ignore_index=True)
    reached = spans.groupby(keys)["LastBeat"].cummax().groupby([spans[k] for k in keys]).shift()
    cluster = (~(spans["FirstBeat"] <= reached)).cumsum()
    found = spans.groupby(cluster).agg(
        **{key: (key, "first") for key in [*keys, *_MACHINE] if key in spans},
        Start=("FirstBeat", "min"), End=("LastBeat", "max"), Versions=("Version", "nunique"),
    )  # fmt: skip
    found["End"] += pd.Timedelta(microseconds=1)
    return found[found["Versions"] > 1].drop(columns="Versions").reset_index(drop=True)


def _inventory(workspace, window):
    parts = [workspace.ask("heartbeat_machines", start=w.start, end=w.end) for w in window.slices()]
    return pd.concat(parts).sort_values("LastBeat").drop_duplicates([*_KEYS, "Agent"], keep="last")


def _refuse_unknown(workspace, window, asked, days, before):
    seen = {name for frame in (days, before) for key in _KEYS for name in frame[key].dropna()}
    for name in asked:
        if name not in seen:
            everybody = pd.concat([before, _inventory(workspace, window)])
            close = nearest(name, sorted(set(everybody["Computer"].dropna()) - {""}))
            raise UsageError(f"no machine {name!r} has reported to {workspace.name}; {close}")


def _what_there_is(workspace):
    if workspace.kind == "kusto":
        return "widen the window"
    return f"its heartbeats reach from {data_span(workspace)}"


def _in_windows(workspace, query, windows, **values):
    """Ask a query that takes windows, so many at a time, the neighbours in time together."""
    windows = windows.sort_values("Start", ignore_index=True)
    parts = []
    for at in range(0, len(windows), _WINDOWS_PER_QUERY):
        part = windows.iloc[at : at + _WINDOWS_PER_QUERY]
        whole = Window(part["Start"].min(), part["End"].max())
        for cut in whole.slices():
            inside = part[(part["Start"] < cut.end) & (part["End"] > cut.start)]
            table = inside[[*_KEYS, "Start", "End"]].drop_duplicates()
            parts.append(workspace.ask(query, start=cut.start, end=cut.end, windows=table, **values))
    return pd.concat(parts).drop_duplicates(ignore_index=True)


def _hours(fleet, windows):
    hours = _in_windows(fleet.workspace, "heartbeat_hours", windows)
    return _of_agents(hours.drop(columns=["Hour", "Offset"]), windows)


def _beats(fleet, windows):
    """Fetch the single heartbeats and join those of one version that follow each other without a missing one.

    Where version B stands between two beats of A that are one sample interval apart, A never stopped: then two
    agents report under one identity, and their stretches do overlap.
    """
    beats = _in_windows(fleet.workspace, "heartbeat_rows", windows)
    keys = [*_KEYS, "Agent", "Version"]
    beats = beats.sort_values([*keys, "TimeGenerated"], ignore_index=True)
    spacing = beats.groupby(keys)["TimeGenerated"].diff()
    interval = spacing[spacing > pd.Timedelta(0)].median()
    stretch = (~(spacing <= 1.5 * interval)).cumsum()
    spans = beats.groupby([*keys, stretch])["TimeGenerated"].agg(FirstBeat="min", LastBeat="max", Beats="count")
    return _of_agents(spans.reset_index(keys), windows)


def _of_agents(spans, windows):
    """Keep the agents whose windows these are: another agent of the machine has its days already."""
    keys = [*_KEYS, "Agent"]
    return spans.merge(windows[[*keys, *_MACHINE]].drop_duplicates(), on=keys)


def _outside(spans, windows):
    """Take out the stretches that lie in a window: finer ones take their place."""
    keys = [*_KEYS, "Agent"]
    spans = spans.reset_index(drop=True)
    pairs = spans.reset_index()[["index", *keys, "FirstBeat"]].merge(windows, on=keys)
    inside = pairs[(pairs["FirstBeat"] >= pairs["Start"]) & (pairs["FirstBeat"] < pairs["End"])]
    return spans.drop(index=inside["index"].unique())


def _whole_ids(rows):
    """Name the machine of each row; one without a resource id belongs to the machine that has its computer name.

    Some builds leave the id empty just after they start.  Where several machines share the name, or none has
    an id, the name alone stands.
    """
    known = rows.loc[rows["ResourceId"] != ""].groupby("Computer")["ResourceId"].agg(["first", "nunique"])
    only = known.loc[known["nunique"] == 1, "first"].to_dict()
    found = rows["Computer"].map(lambda name: only.get(name, "")).astype("str")
    whole = rows["ResourceId"].where(rows["ResourceId"] != "", found)
    return rows.assign(resource_id=whole.astype("str"), computer=rows["Computer"])
