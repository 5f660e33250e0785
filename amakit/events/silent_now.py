"""Which sources of events have fallen silent while their agent reports?  Asked of files without an analysis."""

from typing import TYPE_CHECKING

import pandas as pd

from amakit.errors import UsageError
from amakit.events.counts import log_tables
from amakit.events.tables import check
from amakit.intervals import Window, iso
from amakit.recorded.horizon import data_span
from amakit.schemas import MACHINE, RESULTS, result

if TYPE_CHECKING:
    from amakit.source.workspace import Workspace

#: So much of the newest past is looked at: two weeks show what is usual.
_LOOKS_BACK = pd.Timedelta(days=15)
#: A machine reports whose last heartbeat is no older.
_FRESH = pd.Timedelta(hours=1)
#: So many sources are named.
_NAMED = 10


def silent_now(workspace: "Workspace") -> pd.DataFrame:
    """Find the sources that are silent at the end of the files although the agent of their machine reports.

    Parameters
    ----------
    workspace : Workspace
        Of files; a live one is asked with a window, by `amakit.analyze`.

    Returns
    -------
    pandas.DataFrame
        Rows of the result table ``sources``, those with the most missing rows first.

    Examples
    --------
    >>> from amakit import connect
    >>> silent_now(connect("demo")).empty
    True
    """
    nothing, no_outages = (result(name, pd.DataFrame(columns=list(RESULTS[name]))) for name in ("sources", "outages"))
    if "Heartbeat" not in workspace.tables or not log_tables(workspace):
        return nothing
    try:
        whole = data_span(workspace)
    except UsageError:  # no heartbeat tells which agents report
        return nothing
    window = Window(max(whole.start, whole.end - _LOOKS_BACK), whole.end)
    agents = workspace.ask("heartbeat_machines", start=window.start, end=window.end)
    agents = agents.rename(columns=dict(zip(["ResourceId", "Computer"], MACHINE, strict=True)))
    _, silent, _ = check(workspace, no_outages, window, agents[MACHINE].drop_duplicates())
    fresh = agents.loc[agents["LastBeat"] >= window.end - _FRESH, MACHINE].drop_duplicates()
    now = silent[silent["ongoing"].astype("bool")].merge(fresh, on=MACHINE)
    return now.sort_values("expected", ascending=False, ignore_index=True) if len(now) else nothing


def silences(workspace: "Workspace") -> list[str]:
    """Tell which sources are silent now: a sentence for each, the most missing rows first."""
    silent = silent_now(workspace)
    lines = [
        f"{' '.join(filter(None, (one.data_type, one.source)))} of {one.computer or one.resource_id} has been silent "
        f"since {iso(one.silent_from.floor('s'))}, about {one.expected:,.0f} rows were to be expected"
        for one in silent.head(_NAMED).itertuples()
    ]
    more = len(silent) - len(lines)
    return lines + [f"and {more:,} more sources; `amakit analyze` lists all in sources.csv"] * (more > 0)
