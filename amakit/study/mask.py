"""Which rows of one's own frames lie in time in which an agent was away?"""

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from amakit.errors import UsageError
from amakit.schemas import MACHINE

if TYPE_CHECKING:
    from amakit.analysis import Analysis

#: In which columns frames of KQL and of this kit have the resource id, the computer name and the time.
_IDS, _NAMES, _TIMES = ("_resourceid", "resourceid", "resource_id"), ("computer",), ("timegenerated", "time")
#: Later than any row.
_NEVER = pd.Timestamp("2200-01-01", tz="UTC")


def mask(
    frame: pd.DataFrame, analysis: "Analysis", table: str = "", span: str = "0s", surely: bool = False
) -> pd.Series:
    """Mark the rows of a frame in whose time the machine's agent delivered nothing.

    Parameters
    ----------
    frame : pandas.DataFrame
        Any rows of machines: with ``TimeGenerated`` (or ``time``, or an index of times), and ``_ResourceId`` or
        ``Computer`` (or ``resource_id``, ``computer``), in any case.
    analysis : Analysis
        Of a window in which the rows lie.
    table : str
        The table that the rows are of: then streams and sources of it that stayed away alone count too, and time of
        which nothing is known of it.  By default only what concerns the agent as a whole does.
    span : str
        How long a row stands for, as in ``bin(TimeGenerated, 5m)``: ``5min``.
    surely : bool
        Mark only what surely lies inside; by default all that may.

    Returns
    -------
    pandas.Series of bool
        On the index of the frame; rows of machines that the analysis does not know are not marked.

    Raises
    ------
    UsageError
        When the frame does not say when or of which machine a row is.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-03", ["web-37.corp.contoso.example"])
    >>> times = pd.date_range("2026-03-02T13:30Z", periods=5, freq="5min")
    >>> mine = pd.DataFrame({"TimeGenerated": times, "Computer": "WEB-37.corp.contoso.example", "cpu": 1.0})
    >>> mask(mine, found).tolist()
    [False, True, False, False, False]
    """
    times, ids, names = _column(frame, _TIMES), _column(frame, _IDS), _column(frame, _NAMES)
    times = frame.index.to_series() if times is None and isinstance(frame.index, pd.DatetimeIndex) else times
    if times is None or (ids is None and names is None):
        raise UsageError(
            f"the columns {', '.join(map(str, frame))} do not say when a row was made and by which machine; "
            "give the frame TimeGenerated, and _ResourceId or Computer"
        )
    begins = pd.Series(pd.to_datetime(times, utc=True)).to_numpy("datetime64[us]")
    ends = begins + pd.Timedelta(span).to_timedelta64()
    rows = analysis.segments
    own = rows["data_type"].eq(table) if table else rows["kind"].eq("unknown") & rows["data_type"].eq("Heartbeat")
    rows = rows[rows["data_type"].eq("") | own]
    since, until = (rows[f"{'sure_' * surely}{end}"] for end in ("start", "end"))
    rows = rows.assign(since=since, until=until.fillna(_NEVER))[since.notna()]
    marked, places = np.zeros(len(frame), dtype=bool), _places(analysis.machines, ids, names)
    for machine, stretches in rows.groupby(MACHINE):
        here = places.get(machine, [])
        for start, stop in stretches[["since", "until"]].to_numpy("datetime64[us]"):
            marked[here] |= (begins[here] < stop) & (ends[here] > start)
    return pd.Series(marked, index=frame.index)


def _column(frame, names):
    """Give the column that bears the first of some names, in any case, or None."""
    found = {str(column).lower(): column for column in frame}
    return next((frame[found[name]] for name in names if name in found), None)


def _places(machines, ids, names):
    """Give for each machine of an analysis where its rows stand: by id, and by name where they have no id."""
    given = next(column for column in (ids, names) if column is not None)
    asked = pd.DataFrame({"id": ids, "name": names}, index=given.index, dtype="str").fillna("")
    asked = asked.apply(lambda column: column.str.lower()).reset_index(drop=True)
    with_id, with_name = defaultdict(list), defaultdict(list)
    for machine in machines[MACHINE].itertuples(index=False, name=None):
        with_id[machine[0]].append(machine)
        with_name[machine[1]].append(machine)
    found = {}
    for (resource, name), rows in asked.groupby(["id", "name"]).indices.items():
        fits = with_id[resource] if resource else with_name[name]
        fits = [machine for machine in fits if name in ("", machine[1])] or fits
        if len(fits) > 1:
            raise UsageError(f"{name or resource!r} is {len(fits)} machines; give the frame _ResourceId and Computer")
        for machine in fits:
            found[machine] = np.concatenate([found.get(machine, np.array([], dtype="int64")), rows])
    return found
