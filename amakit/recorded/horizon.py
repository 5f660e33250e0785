"""From when, up to when, and of which machines the heartbeats of a workspace are known."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from amakit.errors import UsageError, nearest
from amakit.intervals import Window, instant
from amakit.recorded.clocks import EVER
from amakit.recorded.common import common_end, near_by
from amakit.schemas import MACHINE

if TYPE_CHECKING:
    from amakit.source.workspace import Workspace

#: Rows arrive late: what is younger than this proves nothing yet.  Agent tables need 15 minutes, mostly.
LATENCY = pd.Timedelta(minutes=15)
#: Seconds between heartbeats.
BEAT = 60.0
_NEAR = near_by(BEAT)
#: So many beats beyond the other machines' show that heartbeats were recorded: more than clocks are usually ahead.
STEADY = 30
#: Machines whose last beats are looked at one by one.
_LOOKED_AT = 20
#: Further than this nobody looks for machines that go on: one slice of what a service may be asked at once.
_LATER = pd.Timedelta(days=15)
ALL = Window(instant("1970-01-01"), instant("2200-01-01"))


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
        From the first heartbeat to just after the last; one from the future, or of a clock that is ahead, is not it.

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
    beats = workspace.ask("heartbeat_machines", start=ALL.start, end=ALL.end)
    if beats.empty:
        raise UsageError(f"{workspace.name} holds no heartbeat of the Azure Monitor Agent; export more of Heartbeat")
    past = beats[beats["LastBeat"] <= pd.Timestamp.now("UTC")]
    beats = beats if past.empty else past
    ends = beats.groupby(["ResourceId", "Computer"])["LastBeat"].max()
    last = common_end(ends, BEAT)
    last = _newest(workspace, ends) if pd.isna(last) else last
    if last < ends.max():  # the last beats before those that come later
        own = workspace.ask("heartbeat_machines", start=last, end=last + pd.Timedelta(seconds=BEAT))
        last = own["LastBeat"].max()
    return Window(beats["FirstBeat"].min(), last + pd.Timedelta(microseconds=1))


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


def known_until(workspace: "Workspace", window: Window, beats: pd.DataFrame) -> pd.Timestamp:
    """Give the instant up to which heartbeats are known.

    Parameters
    ----------
    workspace : Workspace
    window : Window
    beats : pandas.DataFrame
        Of all machines, also after the window: resource_id, computer, FirstBeat, LastBeat, and where it is known
        Beats (their number) and Delay (seconds to their arrival).

    Returns
    -------
    pandas.Timestamp
        As `horizon` says; of files not later than their own rows end, as most machines show; of a service not later
        than the rows of nearly every machine end.
    """
    limit = horizon(window)
    delay = beats["Delay"] if "Delay" in beats else pd.Series(0.0, beats.index)
    ahead = pd.to_timedelta(delay.where(delay.between(-EVER, 0.0), 0.0), unit="s")
    ends = (beats["LastBeat"] + ahead).dt.as_unit("us").groupby([beats[key] for key in MACHINE]).max()
    end = common_end(ends, BEAT)
    if pd.isna(end) and not workspace.live and not workspace.taken:
        end = _newest(workspace, ends)
        if end < limit - _NEAR and _goes_on(workspace, window.end):
            return limit
    return limit if pd.isna(end) or end >= limit - _NEAR else max(end, window.start)


def _newest(workspace, ends):
    """Give the newest of the last beats that another machine shares, or to which its own machine reports steadily."""
    ends = ends.sort_values(ascending=False)
    for at in range(min(len(ends) - 1, _LOOKED_AT)):
        last, before = ends.iloc[at], ends.iloc[at + 1]
        if last - before <= _NEAR:
            return last
        names = sorted(set(ends.index[at]) - {""})
        days = workspace.ask("heartbeat_days", start=before + _NEAR, end=last + _NEAR, machines=names)
        if days["Beats"].sum() >= STEADY:
            return last
    return ends.iloc[-1]


def _goes_on(workspace, end):
    """Say whether a machine reports steadily after an instant, so that the rows of the files do not end there."""
    later = workspace.ask("heartbeat_machines", start=end, end=end + _LATER)
    long = later["LastBeat"] - later["FirstBeat"] >= pd.Timedelta(seconds=STEADY * BEAT)
    return bool((long & (later["FirstBeat"] <= pd.Timestamp.now("UTC"))).any())
