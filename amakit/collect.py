"""The coarse-to-fine plan: which packaged query, over which slice, inside which windows.

Days first; hours only of days in which the versions of an agent overlap; single heartbeats only of hours in
which they still do.  What crosses the wire is a few rows for each machine and day, however large the fleet.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from amakit.errors import AmakitError, UsageError, nearest
from amakit.intervals import Window, instant, iso
from amakit.queries import query
from amakit.schemas import frame_of

if TYPE_CHECKING:
    from amakit.workspace import Workspace

#: How far before the window a machine is looked for that is silent in it, and the version it had then.
LOOKBACK = pd.Timedelta(days=14)
#: A machine whose last heartbeat is older than this at the horizon is called silent.  Five intervals: one
#: missed beat is noise, an upgrade takes minutes.
SILENT_AFTER = pd.Timedelta(minutes=5)
#: Rows arrive late: what is younger than this proves nothing yet.  Agent tables need 15 minutes, mostly.
LATENCY = pd.Timedelta(minutes=15)
#: How far behind the window is looked for machines that were silent at its end and came back.
LOOKAHEAD = pd.Timedelta(hours=1)
#: A heartbeat that took longer than this was held up.
LATE = pd.Timedelta(minutes=2)
#: Windows that one query carries as a datatable; more make the text, not the scan, the cost.
_WINDOWS_PER_QUERY = 500

_KEYS = ["ResourceId", "Computer"]
_MACHINE = ["resource_id", "computer"]
_LINE = [*_MACHINE, "line"]
#: Tables that are sampled on a clock beside Heartbeat, and how their packaged queries begin.
STREAMS = {"Perf": "perf", "InsightsMetrics": "insights", "ConfigurationData": "inventory", "AMAHealth": "health"}
_LISTED = [*_MACHINE, "data_type", "stream", "First", "Last", "Samples"]
#: How far around a stretch samples are read, from the fastest streams to the slowest.
_REACHES = [pd.Timedelta(minutes=40), pd.Timedelta(hours=3), pd.Timedelta(hours=30), pd.Timedelta(days=6)]
_NEAR = _REACHES[0]
#: So far from a stretch a sample may still tell something about it.
REACH = _REACHES[-1]
#: The interval of a heartbeat where too few of them tell.
_USUAL = 60.0
_SPAN = ["resource_id", "computer", "agent", "version", "first", "last", "beats", "os_type", "environment"]


def horizon(window: Window) -> pd.Timestamp:
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


def data_span(workspace: "Workspace") -> Window:
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
    if workspace.taken:
        return Window(instant(workspace.taken["start"]), instant(workspace.taken["end"]))
    if workspace.kind == "kusto":
        raise UsageError(f"{workspace.name} is a live workspace; say which window is meant with start and end")
    first, last, beats = workspace.ask("heartbeat_span").iloc[0]
    if not beats:
        raise UsageError(f"{workspace.name} holds no heartbeat of the Azure Monitor Agent; export more of Heartbeat")
    return Window(first, last + pd.Timedelta(microseconds=1))


def scope(workspace: "Workspace", window: Window, machines: Iterable[str] = ()) -> tuple[str, ...]:
    """Hold a question to what a snapshot holds: beyond it everything would look like an outage.

    Parameters
    ----------
    workspace : Workspace
    window : Window
    machines : iterable of str

    Returns
    -------
    tuple of str
        The machines; those of the snapshot where none are named.

    Raises
    ------
    UsageError
        When the window or a machine is not in the snapshot.

    Examples
    --------
    >>> from amakit import connect
    >>> from amakit.intervals import window
    >>> scope(connect("demo"), window("2026-03-02", "2026-03-04"), ["web-01"])
    ('web-01',)
    """
    taken, machines = workspace.taken, tuple(machines)
    if not taken:
        return machines
    if window.start < instant(taken["start"]) or window.end > instant(taken["end"]):
        raise UsageError(
            f"{workspace.name} is a snapshot of {taken['start']} to {taken['end']}, and {window} reaches beyond that; "
            "ask for less, or take a longer snapshot"
        )
    held = taken["machines"]
    for name in machines:
        if held and name.strip().lower() not in held:
            raise UsageError(
                f"{workspace.name} is a snapshot of some machines, and {name!r} is none of them; {nearest(name, held)}"
            )
    return machines or tuple(held)


def plan(window: Window, silences: int = 1000) -> pd.DataFrame:
    """List what an analysis of a live workspace asks, before anything is asked.

    Parameters
    ----------
    window : Window
    silences : int
        How many stretches are assumed to need a closer look.

    Returns
    -------
    pandas.DataFrame
        Query, Table, Start, End, Asked (when), Least (requests where nothing is silent) and Most (where so many
        machines fall silent for minutes; one that is silent for weeks adds one for every 15 days).

    Notes
    -----
    A request covers at most 15 days and carries at most 500 windows, so that requests grow with the length of the
    window and the number of silences, not with the number of machines.  One whose answer is too large for the
    service is asked again in halves, which no plan can foresee.

    Examples
    --------
    >>> from amakit.intervals import window
    >>> found = plan(window("2026-03-01", "2026-04-01"))
    >>> found.loc[found["Query"] == "heartbeat_days", ["Least", "Most"]].values.tolist()
    [[3, 3]]
    """
    before, after = Window(window.start - LOOKBACK, window.start), Window(window.end, window.end + LOOKAHEAD)
    wide = Window(before.end - pd.Timedelta(days=1), after.end)
    always, there, finer = "always", "where there is such a table", "around what looks like a silence"
    each = "for each table of events that is there"
    once = (0, 0)  # for the finer ones: how often windows are asked for, and how many there are for each silence
    steps: list[tuple[str, Window, str, tuple[int, int]]] = [
        ("heartbeat_machines", before, always, once), ("heartbeat_machines", after, always, once),
        ("heartbeat_days", window, always, once),
        ("heartbeat_hours", window, finer, (2, 1)), ("heartbeat_rows", window, finer, (3, 1)),
        ("heartbeat_late", window, "in days with a heartbeat that came late", (1, 1)),
        *((f"{name}_streams", window, there, once) for name in STREAMS.values()),
        *((f"{name}_rows", window, f"{finer}, {there}", (len(_REACHES), 1)) for name in STREAMS.values()),
        ("perf_uptime", window, f"{finer}, {there}", (1, 1)),
        ("activity", wide, there, once), ("system_events", wide, there, once), ("syslog_boots", wide, there, once),
        ("event_machines", window, f"{each}, after an outage", once),
        ("event_windows", window, f"{each}, around each outage", (2, 8)),
        ("event_records", window, f"{each} and has record numbers, around each outage", (1, 6)),
    ]  # fmt: skip
    rows = []
    for name, over, asked, (rounds, windows) in steps:
        slices = len(over.slices())
        most = rounds * slices + -(-silences * windows // _WINDOWS_PER_QUERY) if rounds else slices
        rows.append({
            "Query": name, "Table": "events" if name.startswith("event_") else ", ".join(query(name).reads),
            "Start": iso(over.start), "End": iso(over.end), "Asked": asked,
            "Least": slices if asked in (always, there) else 0, "Most": most if silences or not rounds else 0,
        })  # fmt: skip
    return pd.DataFrame(rows)


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
    asked : tuple of str
        The machines that were asked for; empty for all.
    """

    workspace: "Workspace"
    window: Window
    days: pd.DataFrame
    before: pd.DataFrame
    after: pd.DataFrame
    asked: tuple


def fleet(workspace: "Workspace", window: Window, machines: Iterable[str] = ()) -> Fleet:
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
    >>> found = fleet(connect("demo"), window("2026-03-02", "2026-03-04"))
    >>> len(found.days[["resource_id", "computer"]].drop_duplicates())
    40
    """
    asked = sorted({m.strip().lower() for m in machines})
    before = _inventory(workspace, Window(window.start - LOOKBACK, window.start))
    after = _inventory(workspace, Window(window.end, window.end + LOOKAHEAD))
    days = pd.concat(_by_slice(workspace, "heartbeat_days", window, machines=asked), ignore_index=True)
    if asked:
        _refuse_unknown(workspace, window, asked, days, before)
        before, after = (f[f["Computer"].isin(asked) | f["ResourceId"].isin(asked)] for f in (before, after))
    if days.empty and before.empty and workspace.unknown:
        raise AmakitError(
            f"nothing of {window} could be fetched from {workspace.name}: {workspace.unknown[0]['reason']}; try again "
            "later"
        )
    if days.empty and before.empty:
        raise UsageError(
            f"{workspace.name} has no heartbeat of the Azure Monitor Agent in {window}; {_what_there_is(workspace)}"
        )
    named = _whole_ids(pd.concat([days, before, after], keys=["days", "before", "after"], names=["part", None]))
    parts = [
        named[named.index.get_level_values("part") == part].droplevel("part") for part in ("days", "before", "after")
    ]
    return Fleet(workspace, window, *parts, tuple(asked))


def everybody(fleet: Fleet) -> pd.DataFrame:
    """List the machines that reported in the window or around it.

    When only some machines were asked for, the others are asked for here: a name that two machines share must not
    be taken for one of them.

    Parameters
    ----------
    fleet : Fleet

    Returns
    -------
    pandas.DataFrame
        resource_id and computer.
    """
    rows = pd.concat([fleet.days, fleet.before, fleet.after])
    if fleet.asked:
        rows = _whole_ids(pd.concat([rows, _inventory(fleet.workspace, fleet.window)], ignore_index=True))
    return rows[_MACHINE].drop_duplicates(ignore_index=True)


def version_spans(fleet: Fleet) -> pd.DataFrame:
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
    spans = fleet.days.drop(columns=["Day", "Offset", "Delay"])
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


def silences(fleet: Fleet) -> pd.DataFrame:
    """Find every stretch in which a machine sent no heartbeat for longer than one and a half of its intervals.

    A whole day is known from its first beat, its last, their number and the sum of their offsets: a missing beat
    changes the number, one that a doubled row makes up for changes the sum.  Days in which either is off are asked
    for once more with doubled rows counted once: then the number alone tells.  Only hours in which it is still off
    are read beat by beat.

    Parameters
    ----------
    fleet : Fleet

    Returns
    -------
    pandas.DataFrame
        resource_id, computer, agent (empty unless several report at once), last and first: the heartbeats
        around the silence; ``first`` is missing where nothing came back before the horizon, at least five
        minutes later.  Sorted by machine and time.

    Examples
    --------
    >>> from amakit import connect
    >>> from amakit.intervals import window
    >>> found = silences(fleet(connect("demo"), window("2026-03-09", "2026-03-10")))
    >>> bool(((found["first"] - found["last"]).dropna() > pd.Timedelta(seconds=89)).all())
    True
    """
    lined = [_by_line(frame, fleet) for frame in (fleet.days, fleet.before, fleet.after)]
    days, before, after = lined
    interval = _intervals(days)
    odd_days = _odd_days(days, interval)
    hours = _fine(fleet, "heartbeat_hours", odd_days, pd.Timedelta(days=1), "Day")
    parts = hours[~hours["Whole"]]
    interval = _hourly(parts).combine_first(interval)  # where every row comes twice, days look twice as fast
    odd_hours = parts[~_as_many(parts, _per_row(parts, interval))]
    rows = _fine(fleet, "heartbeat_rows", odd_hours, pd.Timedelta(hours=1), "Hour")
    spans = pd.concat([
        before.assign(FirstBeat=before["LastBeat"]),
        _without(days, odd_days, ["Day"]),
        _without(hours, odd_hours, ["Hour"]),
        rows.assign(FirstBeat=rows["TimeGenerated"], LastBeat=rows["TimeGenerated"]),
        after.assign(LastBeat=after["FirstBeat"]),
    ])[[*_LINE, "FirstBeat", "LastBeat"]].sort_values([*_LINE, "FirstBeat", "LastBeat"], ignore_index=True)  # fmt: skip
    keys = [spans[key] for key in _LINE]
    reached = spans.groupby(_LINE)["LastBeat"].cummax()
    spans["last"] = reached.groupby(keys).shift()
    interval = _spacing(rows).combine_first(interval)
    limit = 1.5 * spans.merge(interval.rename("T").reset_index(), how="left", on=_LINE)["T"].fillna(_USUAL)
    found = spans[(spans["FirstBeat"] - spans["last"]).dt.total_seconds() > limit]
    found = found.rename(columns={"FirstBeat": "first"})[[*_LINE, "last", "first"]]
    end = spans.assign(reached=reached).groupby(_LINE)["reached"].last().reset_index(name="last")
    silent = end[end["last"] < horizon(fleet.window) - SILENT_AFTER]
    silent = silent.assign(first=pd.Series(pd.NaT, silent.index, dtype=found["first"].dtype))
    found = pd.concat([found, silent])
    inside = (found["last"] < fleet.window.end) & ~(found["first"] <= fleet.window.start)
    return found[inside].rename(columns={"line": "agent"}).sort_values([*_MACHINE, "last"], ignore_index=True)


def samples(fleet: Fleet, around: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fetch the samples of every periodic stream around given stretches.

    Parameters
    ----------
    fleet : Fleet
    around : pandas.DataFrame
        resource_id, computer, last and first, as `silences` gives them; ``first`` may be missing.

    Returns
    -------
    tuple of (pandas.DataFrame, pandas.DataFrame)
        The samples: resource_id, computer, data_type, stream, TimeGenerated, each once; and the streams:
        resource_id, computer, data_type, stream, First, Last, Samples over the whole window.

    Notes
    -----
    A stream is read as far around a stretch as thirty of its intervals reach, at least forty minutes and at
    most six days, so that its interval can be told on both sides.
    """
    heartbeats = _rows_around(fleet, "heartbeat_rows", around, _NEAR)
    heartbeats = _by_line(heartbeats, fleet).rename(columns={"line": "stream"}).assign(data_type="Heartbeat")
    parts, streams = [heartbeats], []
    for table, name in STREAMS.items():
        if table not in fleet.workspace.tables:
            continue
        found = _streams(fleet, table, name)
        streams.append(found)
        pad = 30 * (found["Last"] - found["First"]) / (found["Samples"] - 1).clip(lower=1)
        tier = pad.map(lambda p: next((reach for reach in _REACHES if p <= reach), _REACHES[-1]))
        for reach, part in found.groupby(tier):
            rows = _rows_around(fleet, f"{name}_rows", around, reach, streams=sorted(set(part["stream"])))
            rows = rows.rename(columns={"Stream": "stream"}).assign(data_type=table)
            own = part[[*_MACHINE, "stream"]]  # a stream of this name may be a fast one on another machine
            parts.append(rows.merge(own, on=[*_MACHINE, "stream"]))
    columns = [*_MACHINE, "data_type", "stream", "TimeGenerated"]
    whole = pd.concat(parts, ignore_index=True)[columns].drop_duplicates()
    listed = pd.concat(streams, ignore_index=True) if streams else pd.DataFrame(columns=_LISTED)
    return whole.sort_values(columns, ignore_index=True), listed


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
    columns = query("activity").returns
    if "AzureActivity" not in fleet.workspace.tables:
        return frame_of({column: [] for column in columns}, columns)
    return pd.concat(_by_slice(fleet.workspace, "activity", _wide(fleet)), ignore_index=True)


def evidence(fleet: Fleet, around: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Fetch what machines themselves tell of stops, starts and delays; a table that is not there tells nothing.

    Parameters
    ----------
    fleet : Fleet
    around : pandas.DataFrame
        resource_id, computer, last and first of the stretches in question.

    Returns
    -------
    dict of str to pandas.DataFrame
        ``system`` (what Windows and Linux said: resource_id, computer, TimeGenerated, Said), ``uptime``
        (resource_id, computer, TimeGenerated, Uptime in seconds) and ``late`` (resource_id, computer,
        TimeGenerated, Received).
    """
    ws = fleet.workspace
    said = []
    if "Event" in ws.tables:
        events = _sliced(fleet, "system_events", _wide(fleet))
        number = events["EventID"].astype("str")
        said.append(events.assign(Said="Windows event " + number + " (" + events["Message"] + ")"))
    if "Syslog" in ws.tables:
        lines = _sliced(fleet, "syslog_boots", _wide(fleet))
        said.append(lines.assign(Said="Syslog: " + lines["Message"]))
    system, uptime = _nothing("TimeGenerated", "Said"), _nothing("TimeGenerated", "Uptime")
    if said:
        system = pd.concat(said)[list(system.columns)]
    if "Perf" in ws.tables:
        uptime = _rows_around(fleet, "perf_uptime", around, _NEAR).sort_values([*_MACHINE, "TimeGenerated"])
    slow = fleet.days[fleet.days["Delay"] > LATE.total_seconds()]
    held_up = slow[_KEYS].assign(
        Start=slow["Day"].clip(lower=fleet.window.start),
        End=(slow["Day"] + pd.Timedelta(days=1)).clip(upper=fleet.window.end),
    )
    late = _in_windows(ws, "heartbeat_late", _merged(held_up), delay=LATE).merge(_raw_names(fleet), on=_KEYS)
    return {"system": system, "uptime": uptime, "late": late}


def _nothing(*columns):
    return pd.DataFrame(columns=[*_MACHINE, *columns])


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


def _by_slice(workspace, name, window, **values):
    """Ask a query over a window, at most 15 days at a time."""
    return workspace.ask_all(name, [{"start": w.start, "end": w.end, **values} for w in window.slices()])


def _sliced(fleet, name, window, **values):
    parts = pd.concat(_by_slice(fleet.workspace, name, window, **values))
    return parts.merge(_raw_names(fleet), on=_KEYS)


def overlaps(spans: pd.DataFrame) -> pd.DataFrame:
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
    keys = [*_KEYS, "Agent"]
    parts = pd.concat(_by_slice(workspace, "heartbeat_machines", window)).sort_values("LastBeat", kind="stable")
    first = parts.groupby(keys)["FirstBeat"].transform("min")
    return parts.assign(FirstBeat=first).drop_duplicates(keys, keep="last")


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


def _in_windows(workspace, name, windows, **values):
    """Ask a query that takes windows, so many at a time, the neighbours in time together."""
    columns = query(name).returns
    calls = []
    windows = windows.sort_values("Start", ignore_index=True)
    for at in range(0, len(windows), _WINDOWS_PER_QUERY):
        part = windows.iloc[at : at + _WINDOWS_PER_QUERY]
        whole = Window(part["Start"].min(), part["End"].max())
        for cut in whole.slices():
            inside = part[(part["Start"] < cut.end) & (part["End"] > cut.start)]
            if inside.empty:
                continue
            table = inside[[c for c in (*_KEYS, "Start", "End", "Interval") if c in inside]].drop_duplicates()
            calls.append({"start": cut.start, "end": cut.end, "windows": table, **values})
    nothing = frame_of({column: [] for column in columns}, columns)  # no window is no row
    return pd.concat([nothing, *workspace.ask_all(name, calls)]).drop_duplicates(ignore_index=True)


def _hours(fleet, windows):
    hours = _in_windows(fleet.workspace, "heartbeat_hours", windows.assign(Interval=np.nan))
    return _of_agents(hours.drop(columns=["Hour", "Whole"]), windows)


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


def _by_line(rows, fleet):
    """Name the agent of each row where several agents of its machine report at once; elsewhere they are one."""
    spans = fleet.days.sort_values([*_MACHINE, "FirstBeat"])
    agents = spans.groupby([*_MACHINE, "Agent"])[["FirstBeat", "LastBeat"]].agg({"FirstBeat": "min", "LastBeat": "max"})
    agents = agents.reset_index().sort_values([*_MACHINE, "FirstBeat"], ignore_index=True)
    reached = agents.groupby(_MACHINE)["LastBeat"].cummax().groupby([agents[k] for k in _MACHINE]).shift()
    several = agents.loc[agents["FirstBeat"] <= reached, _MACHINE].drop_duplicates().assign(several=True)
    marked = rows.merge(several, how="left", on=_MACHINE)["several"].notna().to_numpy()
    return rows.assign(line=rows["Agent"].where(marked, ""))


def _intervals(days):
    """Estimate the interval of each line, in seconds, from its days.

    Of the two fifths of its days whose beats lie most evenly around the middle: a missing beat and a doubled row both
    pull the sum to one side.  Fewer than four days prove nothing, and give none.
    """
    many = days[days["Beats"] >= 10]
    told = many[_LINE].assign(each=_each(many), skew=np.abs(_skew(many)))
    rank = told.groupby(_LINE)["skew"].rank(method="first", pct=True)
    most = told.groupby(_LINE)["skew"].transform("size")
    return told[(most >= 4) & (rank <= 0.4)].groupby(_LINE)["each"].median()


def _hourly(hours):
    """Estimate the interval of each line, in seconds, from hours without doubled rows: those with holes look slower."""
    many = hours[hours["Beats"] >= 10]
    grouped = _each(many).groupby([many[key] for key in _LINE])
    return grouped.quantile(0.25)[grouped.size() >= 4]


def _each(spans):
    """Give the mean spacing of the beats of each day or hour, in seconds."""
    return (spans["LastBeat"] - spans["FirstBeat"]).dt.total_seconds() / (spans["Beats"] - 1)


def _skew(days):
    """Give by how many seconds the offsets of a day's beats add up to more than they would around its middle."""
    length = (days["LastBeat"] - days["FirstBeat"]).dt.total_seconds()
    middle = (days["FirstBeat"] - days["FirstBeat"].dt.floor("D")).dt.total_seconds() + length / 2
    return days["Offset"] - days["Beats"] * middle


def _spacing(rows):
    """Give the median spacing of the beats of each line, in seconds; repeated times count once."""
    times = rows[[*_LINE, "TimeGenerated"]].drop_duplicates().sort_values([*_LINE, "TimeGenerated"])
    keys = [times[key] for key in _LINE]
    spacing = times.groupby(keys)["TimeGenerated"].diff().dt.total_seconds()
    return spacing.groupby(keys).median().dropna()


def _per_row(spans, interval):
    """Give the interval of each row's line; missing where none is known."""
    return spans[_LINE].merge(interval.rename("T").reset_index(), how="left", on=_LINE)["T"].to_numpy("float64")


def _as_many(spans, interval):
    """Mark days or hours that have one beat for each interval between the first and the last."""
    length = (spans["LastBeat"] - spans["FirstBeat"]).dt.total_seconds().to_numpy()
    return spans["Beats"].to_numpy() == np.round(length / interval) + 1  # where no interval is known, nothing is whole


def _odd_days(days, interval):
    """Give the days that may lack a beat, each with the interval of its line.

    A day that has as many beats as it should is whole if none is doubled.  Two things show that, either suffices:
    its beats lie evenly around the middle between the first and the last; or, where jitter hides that, the middles
    of two neighbouring days are as far apart as all the intervals between them.
    """
    days = days.sort_values([*_LINE, "FirstBeat", "Version"], ignore_index=True)
    own = _per_row(days, interval)
    many, even = _as_many(days, own), np.abs(_skew(days).to_numpy()) < own / 2
    beats = days["Beats"].to_numpy("float64")
    centre = (days["Day"] - days["Day"].min()).dt.total_seconds().to_numpy() + days["Offset"].to_numpy() / beats
    same = (days[_LINE] == days[_LINE].shift()).all(axis=1).to_numpy()
    between = np.diff(centre, prepend=np.nan)
    steps = (beats + np.r_[np.nan, beats[:-1]]) / 2
    linked = same & many & np.r_[False, many[:-1]]
    fine = pd.Series(np.where(linked, between / steps, np.nan)).groupby([days[key] for key in _LINE])
    precise = fine.transform("median").to_numpy()
    # one beat moved by one place shifts the middle by an interval over the number of beats
    linked &= np.abs(between - precise * steps) < precise / (2 * beats)
    linked &= fine.transform("count").to_numpy() >= 3
    even |= linked | np.r_[linked[1:], False]
    return days[~(many & even)].assign(Interval=own[~(many & even)])


def _fine(fleet, name, odd, length, unit):
    """Ask for the parts of odd days or hours, of their own agents only."""
    windows = odd[_KEYS].assign(Start=odd[unit], End=odd[unit] + length, **odd.get(["Interval"], {}))
    rows = _in_windows(fleet.workspace, name, _merged(windows))
    rows = rows.merge(odd[[*_KEYS, "Agent", "Version", *_LINE]].drop_duplicates(), on=[*_KEYS, "Agent", "Version"])
    inside = odd[[*_KEYS, "Agent", "Version", unit]].drop_duplicates()
    time = "TimeGenerated" if "TimeGenerated" in rows else "FirstBeat"
    rows[unit] = rows[time].dt.floor("D" if unit == "Day" else "h")
    return rows.merge(inside, on=[*_KEYS, "Agent", "Version", unit])


def _without(spans, odd, unit):
    keys = [*_KEYS, "Agent", "Version", *unit]
    marked = spans[keys].merge(odd[keys].drop_duplicates().assign(odd=True), how="left", on=keys)["odd"].notna()
    return spans[~marked.to_numpy()]


def _raw_names(fleet):
    """Give the ids and names under which each machine's rows come, also those that lack the id.

    They stand in the order in which machines are heard: where one of several under an id is taken, it is the first,
    in whatever order an engine answers.
    """
    rows = pd.concat([
        fleet.days.assign(Heard=fleet.days["FirstBeat"]), fleet.before.assign(Heard=fleet.before["LastBeat"]),
        fleet.after.assign(Heard=fleet.after["FirstBeat"]),
    ]).sort_values(["Heard", *_MACHINE])  # fmt: skip
    return rows[[*_MACHINE, *_KEYS]].drop_duplicates()


def _rows_around(fleet, name, around, pad, **values):
    """Ask for rows around stretches, and name the machine of each."""
    names = _raw_names(fleet)
    if name.startswith("health"):  # AMAHealth names no computer
        names = names.assign(Computer="").drop_duplicates([*_KEYS])
    ends = around["first"].fillna(around["last"])  # what comes long after the last heartbeat, other streams list
    windows = around[_MACHINE].assign(Start=around["last"] - pad, End=ends + pad).merge(names, on=_MACHINE)
    rows = _in_windows(fleet.workspace, name, _merged(windows), **values)
    return rows.merge(names, on=_KEYS)


def _merged(windows):
    """Join the windows of a machine that touch."""
    windows = windows.sort_values([*_KEYS, "Start"], ignore_index=True)
    keys = [windows[key] for key in _KEYS]
    reached = windows.groupby(_KEYS)["End"].cummax().groupby(keys).shift()
    number = (~(windows["Start"] <= reached)).cumsum()
    kept = {k: (k, "first") for k in (*_KEYS, "Interval") if k in windows}
    return windows.groupby(number).agg(**kept, Start=("Start", "min"), End=("End", "max"))


def _streams(fleet, table, name):
    """List the streams of a table over the whole window."""
    names = _raw_names(fleet)
    asked = sorted(set(names[_KEYS].to_numpy().ravel()) - {""}) if fleet.asked else []
    parts = _by_slice(fleet.workspace, f"{name}_streams", fleet.window, machines=asked)
    if name == "health":
        names = names.assign(Computer="").drop_duplicates([*_KEYS])
    rows = pd.concat(parts).merge(names, on=_KEYS).rename(columns={"Stream": "stream"}).assign(data_type=table)
    grouped = rows.groupby([*_MACHINE, "data_type", "stream"])
    return grouped.agg(First=("First", "min"), Last=("Last", "max"), Samples=("Samples", "sum")).reset_index()


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
