"""Which stretch of time can be trusted to be there."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from amakit.errors import UsageError, nearest
from amakit.intervals import Window, instant

if TYPE_CHECKING:
    from amakit.source.workspace import Workspace

#: Rows arrive late: what is younger than this proves nothing yet.  Agent tables need 15 minutes, mostly.
LATENCY = pd.Timedelta(minutes=15)


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
