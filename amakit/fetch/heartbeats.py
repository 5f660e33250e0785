"""The first pass: who reported, by day and version."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from amakit.errors import AmakitError, Silent, nearest
from amakit.fetch.identity import with_machines
from amakit.fetch.requests import ask_in_windows, by_slice, overlaps
from amakit.intervals import Window, reached_before
from amakit.recorded.horizon import BEAT, data_span, known_until
from amakit.recorded.horizon import horizon as latest
from amakit.schemas import KQL_MACHINE, MACHINE

if TYPE_CHECKING:
    from amakit.source.workspace import Workspace


#: How far before the window a machine is looked for that is silent in it, and the version it had then.
LOOKBACK = pd.Timedelta(days=14)
#: How far behind the window is looked for machines that were silent at its end and came back.
LOOKAHEAD = pd.Timedelta(hours=1)
#: How far around a stretch samples are read, from the fastest streams to the slowest.
REACHES = [pd.Timedelta(minutes=40), pd.Timedelta(hours=3), pd.Timedelta(hours=30), pd.Timedelta(days=6)]
_SPAN = ["resource_id", "computer", "agent", "version", "first", "last", "beats", "os_type", "environment"]


@dataclass(frozen=True, eq=False)
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
    horizon : pandas.Timestamp
        Up to when heartbeats are known; none of ``days`` lies beyond it.
    everybody : pandas.DataFrame
        resource_id, computer, FirstBeat and LastBeat of every machine, asked for or not, in the window or around it.
    """

    workspace: "Workspace"
    window: Window
    days: pd.DataFrame
    before: pd.DataFrame
    after: pd.DataFrame
    asked: tuple
    horizon: pd.Timestamp
    everybody: pd.DataFrame

    @cached_property
    def of_several_agents(self) -> pd.DataFrame:
        """The machines, by resource_id and computer, of which several agents report at once."""
        agents = self.days.groupby([*MACHINE, "Agent"]).agg(First=("FirstBeat", "min"), Last=("LastBeat", "max"))
        agents = agents.reset_index().sort_values([*MACHINE, "First"], kind="stable", ignore_index=True)
        at_once = agents["First"] <= reached_before(agents, MACHINE, "First", "Last")
        return agents.loc[at_once, MACHINE].drop_duplicates()


def fleet(
    workspace: "Workspace", window: Window, machines: Iterable[str] = (), until: pd.Timestamp | None = None
) -> Fleet:
    """Make the first pass over Heartbeat.

    Parameters
    ----------
    workspace : Workspace
    window : Window
    machines : iterable of str
        Computer names or resource ids in any case; none means all.
    until : pandas.Timestamp, optional
        Up to when heartbeats are known, where that is settled; found out otherwise.

    Returns
    -------
    Fleet

    Raises
    ------
    Silent
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
    before, after = _around(workspace, window)
    names = asked
    if asked:
        inventory = _inventory(workspace, window)
        everybody = with_machines(pd.concat([before, inventory, after], ignore_index=True))
        chosen = named(everybody, asked)[MACHINE].drop_duplicates()
        # with what they were called before
        names = sorted({*asked, *everybody.merge(chosen, on=MACHINE)["Computer"]} - {""})
    days = pd.concat(by_slice(workspace, "heartbeat_days", window, machines=names), ignore_index=True)
    parts = {"days": days, "before": before, "after": after}
    if asked:
        refuse_unknown(workspace.name, asked, pd.concat([days, before, after, inventory]))
        before, parts["others"] = named(before, names), inventory
    if days.empty and before.empty and workspace.unknown:
        raise AmakitError(
            f"nothing of {window} could be fetched from {workspace.name}: {workspace.unknown[0]['reason']}; try again "
            "later"
        )
    if days.empty and before.empty:
        raise Silent(
            f"{workspace.name} has no heartbeat of the Azure Monitor Agent in {window}; {_what_there_is(workspace)}"
        )
    everybody = with_machines(pd.concat(parts, names=["part", None]))
    own = everybody.reset_index("part").merge(chosen, on=MACHINE) if asked else everybody.reset_index("part")
    days, before, after = (own[own["part"] == part].drop(columns="part") for part in ("days", "before", "after"))
    horizon = known_until(workspace, window, everybody) if until is None else until
    if until is None and horizon < latest(window):
        days, after = _not_later(workspace, days, horizon), after.iloc[:0]
        # the last beat before one from the future is a machine's own end
        ends = pd.concat([days["LastBeat"], everybody["LastBeat"]])  # also of machines that were not asked for
        horizon = ends[ends <= horizon + pd.Timedelta(seconds=BEAT)].max()
    return Fleet(workspace, window, days, before, after, tuple(asked), horizon, everybody)


def beats(fleet: Fleet) -> pd.DataFrame:
    """List when the machines that were asked for reported: the days, and the ends of the time around the window.

    Parameters
    ----------
    fleet : Fleet

    Returns
    -------
    pandas.DataFrame
        resource_id, computer, FirstBeat, LastBeat, Beats (missing where only the ends are known).
    """
    return pd.concat([fleet.before, fleet.days, fleet.after])[[*MACHINE, "FirstBeat", "LastBeat", "Beats"]]


def everybody(fleet: Fleet) -> pd.DataFrame:
    """List the machines that reported in the window or around it, also those that were not asked for.

    A name that two machines share must not be taken for one of them.

    Parameters
    ----------
    fleet : Fleet

    Returns
    -------
    pandas.DataFrame
        resource_id and computer, and ResourceId and Computer: each pair of names that its rows bear.
    """
    return fleet.everybody[[*MACHINE, *KQL_MACHINE]].drop_duplicates(ignore_index=True)


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
    spans = fleet.days.drop(columns=["Day", "Offset", "Delay", "Least", "Vm"])
    for step in (heartbeat_hours, single_heartbeats):
        windows = overlaps(spans)
        if windows.empty:
            break
        spans = pd.concat([_outside(spans, windows), step(fleet, windows)])
    spans = pd.concat([fleet.before.assign(Beats=0, FirstBeat=fleet.before["LastBeat"]), spans], ignore_index=True)
    spans = spans.rename(
        columns={
            "Agent": "agent",
            "Version": "version",
            "FirstBeat": "first",
            "LastBeat": "last",
            "Beats": "beats",
            "OSType": "os_type",
            "Environment": "environment",
        }
    )
    spans[["os_type", "environment"]] = spans[["os_type", "environment"]].fillna("")
    return spans[_SPAN].sort_values(["computer", "resource_id", "first", "last"], ignore_index=True)


def _inventory(workspace, window):
    keys = [*KQL_MACHINE, "Agent"]
    parts = pd.concat(by_slice(workspace, "heartbeat_machines", window)).sort_values("LastBeat", kind="stable")
    first = parts.groupby(keys)["FirstBeat"].transform("min")
    return parts.assign(FirstBeat=first).drop_duplicates(keys, keep="last")


def _not_later(workspace, days, horizon):
    """Take out what lies beyond the horizon: days, and the beats of days that reach beyond it."""
    limit = horizon + pd.Timedelta(seconds=2 * BEAT)  # clocks that are ahead go on for a while
    odd = days[(days["FirstBeat"] <= limit) & (days["LastBeat"] > limit)]
    kept = days[days["LastBeat"] <= limit]
    if odd.empty:
        return kept
    names = sorted(set(odd[KQL_MACHINE].to_numpy().ravel()) - {""})
    cut = workspace.ask("heartbeat_days", start=limit.floor("D"), end=limit, machines=names)
    keys = [*KQL_MACHINE, "Agent", "Version", "Day"]
    return pd.concat([kept, cut.merge(odd[[*keys, *MACHINE]], on=keys)], ignore_index=True)


def heard(workspace: "Workspace", window: Window) -> pd.DataFrame:
    """List the agents that reported in a window or around it: ``heartbeat_machines``, one row each."""
    before, after = _around(workspace, window)
    return pd.concat([before, _inventory(workspace, window), after], ignore_index=True)


def _around(workspace, window):
    before, after = Window(window.start - LOOKBACK, window.start), Window(window.end, window.end + LOOKAHEAD)
    return _inventory(workspace, before), _inventory(workspace, after)


def named(rows: pd.DataFrame, asked: Iterable[str]) -> pd.DataFrame:
    """Give the rows that bear one of some names or ids, in lower case."""
    asked = list(asked)
    return rows[rows["Computer"].isin(asked) | rows["ResourceId"].isin(asked)]


def refuse_unknown(workspace: str, asked: Iterable[str], rows: pd.DataFrame) -> None:
    """Refuse names that no row bears."""
    seen = {name for key in KQL_MACHINE for name in rows[key].dropna()}
    for name in asked:
        if name not in seen:
            close = nearest(name, sorted(set(rows["Computer"].dropna()) - {""}))
            raise Silent(f"no machine {name!r} has reported to {workspace}; {close}")


def _what_there_is(workspace):
    if workspace.kind == "kusto":
        return "widen the window"
    return f"its heartbeats reach from {data_span(workspace)}"


def with_agents(spans: pd.DataFrame, windows: pd.DataFrame) -> pd.DataFrame:
    """Keep the agents whose windows these are: another agent of the machine has its days already."""
    keys = [*KQL_MACHINE, "Agent"]
    return spans.merge(windows[[*keys, *MACHINE]].drop_duplicates(), on=keys)


def _outside(spans, windows):
    """Take out the stretches that lie in a window: finer ones take their place."""
    keys = [*KQL_MACHINE, "Agent"]
    spans = spans.reset_index(drop=True)
    pairs = spans.reset_index()[["index", *keys, "FirstBeat"]].merge(windows, on=keys)
    inside = pairs[(pairs["FirstBeat"] >= pairs["Start"]) & (pairs["FirstBeat"] < pairs["End"])]
    return spans.drop(index=inside["index"].unique())


def joined_by_agent(rows: pd.DataFrame, fleet: Fleet) -> pd.DataFrame:
    """Name the agent of each row where several agents of its machine report at once; elsewhere they are one."""
    marked = (
        rows.merge(fleet.of_several_agents.assign(several=True), how="left", on=MACHINE)["several"].notna().to_numpy()
    )
    return rows.assign(line=rows["Agent"].where(marked, ""))


def heartbeat_hours(fleet: Fleet, windows: pd.DataFrame) -> pd.DataFrame:
    """Fetch the heartbeats in some windows by agent, version and hour."""
    hours = ask_in_windows(fleet.workspace, "heartbeat_hours", windows.assign(Interval=np.nan))
    return with_agents(hours.drop(columns=["Hour", "Whole"]), windows)


def single_heartbeats(fleet: Fleet, windows: pd.DataFrame) -> pd.DataFrame:
    """Fetch the single heartbeats and join those of one version that follow each other without a missing one.

    Where version B stands between two beats of A that are one sample interval apart, A never stopped: then two
    agents report under one identity, and their stretches do overlap.
    """
    beats = ask_in_windows(fleet.workspace, "heartbeat_rows", windows)
    keys = [*KQL_MACHINE, "Agent", "Version"]
    beats = beats.sort_values([*keys, "TimeGenerated"], ignore_index=True)
    spacing = beats.groupby(keys)["TimeGenerated"].diff()
    interval = spacing[spacing > pd.Timedelta(0)].median()
    stretch = (~(spacing <= 1.5 * interval)).cumsum()
    spans = beats.groupby([*keys, stretch])["TimeGenerated"].agg(FirstBeat="min", LastBeat="max", Beats="count")
    return with_agents(spans.reset_index(keys), windows)
