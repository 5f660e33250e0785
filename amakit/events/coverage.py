"""Where a table of events was not recorded: machines that write there all the time lack its rows together."""

from typing import TYPE_CHECKING

import pandas as pd

from amakit.intervals import Window
from amakit.recorded.common import MOST, SHARE
from amakit.schemas import KQL_MACHINE, MACHINE

if TYPE_CHECKING:
    from amakit.source.workspace import Workspace

#: So many rows in the same hours of other days show that a machine should have written some.
_USUAL = 3.0
#: Of the silences that are in question, so many are held against the other machines, the longest first.
_QUESTIONS = 20
_HOUR, _DAY = pd.Timedelta(hours=1), pd.Timedelta(days=1)


def unrecorded(
    workspace: "Workspace",
    table: str,
    suspects: pd.DataFrame,
    window: Window,
    keys: pd.DataFrame,
    names: pd.DataFrame,
    shared: list[str],
    hours: pd.DataFrame,
    machines: int,
) -> list[tuple[pd.Timestamp, pd.Timestamp, int]]:
    """Find which silences of event sources are common to nearly all machines.

    A silence is held against every machine that sent heartbeats in its middle half and wrote rows of the table at the
    same time of other days, or just beside it in a window too short for that.  Where at least five do, and four fifths
    of them have no row there, the table was not recorded, and nothing can be told of any source.  A machine whose agent
    was away at the time, such as all of those that are upgraded together, says nothing of the table.

    Parameters
    ----------
    workspace : Workspace
    table : str
    suspects : pandas.DataFrame
        since and until of the silences in question.
    window : Window
    keys : pandas.DataFrame
        resource_id, computer, Key of all machines; see `amakit.events.counts.keys_of`.
    names : pandas.DataFrame
        resource_id, computer, and ResourceId and Computer, under which their heartbeats come.
    shared : list of str
        Resource ids under which several computers report.
    hours : pandas.DataFrame
        Key and Hour of rows that are known to be there: what they can answer is not asked.
    machines : int
        How many machines have rows in the table.

    Returns
    -------
    list of (pandas.Timestamp, pandas.Timestamp, int)
        From the last row before to the first afterwards, and how many machines lack it.
    """
    if machines < MOST or "Heartbeat" not in workspace.tables:
        return []
    names = names[[*MACHINE, *KQL_MACHINE]].drop_duplicates()
    asked = suspects.assign(length=suspects["until"] - suspects["since"]).nlargest(_QUESTIONS, "length")
    asked = asked.assign(a=asked["since"].dt.floor("5min"), b=asked["until"].dt.floor("5min"))
    found: list[tuple[pd.Timestamp, pd.Timestamp, int]] = []
    for since, until in asked.drop_duplicates(["a", "b"])[["since", "until"]].itertuples(index=False):
        if any(low <= since + (until - since) / 2 <= high for low, high, _ in found):
            continue
        middle = (since + (until - since) / 4, until - (until - since) / 4)
        own = {"table": table, "shared": shared}
        writing = hours.loc[hours["Hour"].between(middle[0], middle[1] - _HOUR), "Key"].nunique()
        if writing > (1 - SHARE) * machines:
            continue
        (inside,) = workspace.ask_all("event_machines", [own | {"start": middle[0], "end": middle[1]}])
        if len(inside) > (1 - SHARE) * machines:
            continue
        beats = workspace.ask("heartbeat_machines", start=middle[0], end=middle[1]).merge(names, on=KQL_MACHINE)
        there = set(beats.merge(keys, on=MACHINE)["Key"])
        if len(there) < MOST:
            continue
        others = _usual(*middle, since, until, window)
        beside = max(_HOUR, until - since)
        sides = [(max(since - beside, window.start), middle[0]), (middle[1], min(until + beside, window.end))]
        windows = [part for part in (*others, *sides) if part[0] < part[1]]
        parts = [own | {"start": start, "end": end} for start, end in windows]
        answers = dict(zip(windows, workspace.ask_all("event_machines", parts), strict=True))
        usual = (
            pd.concat([answers[part].set_index("Key")["Rows"] for part in others], axis=1).astype("float64").fillna(0)
        )
        usual = usual[(usual.mean(axis=1) >= _USUAL) & (usual.min(axis=1) > 0) & usual.index.isin(there)]
        lacking = set(usual.index) - set(inside["Key"])
        if len(usual) >= MOST and len(lacking) >= SHARE * len(usual):
            before, after = (_rows_of(lacking, answers.get(side)) for side in sides)
            low = before["LastRow"].max() if len(before) else since
            high = after["FirstRow"].min() if len(after) else until
            found.append((low, high, len(lacking)))
    return found


def _usual(low, high, since, until, window):
    """Give the stretches that show what is usual: the same time of the days and weeks around, or what lies beside."""
    days = -(-(until - since) // _DAY)
    shifts = [n * _DAY for n in sorted({days, 7 * -(-days // 7)})]
    others = [(low + sign * shift, high + sign * shift) for shift in shifts for sign in (-1, 1)]
    inside = [(a, b) for a, b in others if a >= window.start and b <= window.end]
    beside = [(max(since - (high - low), window.start), since), (until, min(until + (high - low), window.end))]
    return inside or [(a, b) for a, b in beside if a < b]


def _rows_of(keys, rows):
    """Keep the rows of some machines; there is no answer where the window leaves nothing to ask."""
    return pd.DataFrame() if rows is None else rows[rows["Key"].isin(list(keys))]
