"""Whether nearly every other machine was silent too: asked only around the silences that are in question."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import pandas as pd

from amakit.recorded.common import MOST, common_holes, near_by, without_timetables
from amakit.schemas import KQL_MACHINE, MACHINE

if TYPE_CHECKING:
    from amakit.source.workspace import Workspace

#: Shorter silences are single lost samples; of more than so many, the longest are asked about.
_LONG, _QUESTIONS = pd.Timedelta(seconds=150), 100
#: How far around a silence of a few machines the others are looked at, and how far where a table has a hole.
_BESIDE, _BESIDE_TABLE = pd.Timedelta(hours=1), pd.Timedelta(days=3)
#: Tables with slower samples have too few of them for a hole to be told.
_FAST = 900.0
#: Samples of a table may come back so much later than the heartbeat after an outage.
_LATER = pd.Timedelta(minutes=5)


def heartbeat_holes(
    workspace: "Workspace", everybody: pd.DataFrame, silences: pd.DataFrame, intervals: pd.Series, interval: float
) -> pd.DataFrame:
    """Find which silences of the machines that were asked for are common to nearly all machines.

    ``everybody`` names the machine (resource_id, computer) of each ResourceId and Computer; the other parameters and
    the result are those of `amakit.recorded.common.common_holes`.
    """
    near = near_by(interval)
    long = silences.dropna(subset=["first"])
    long = long.assign(length=long["first"] - long["last"]).query("length >= @_LONG").nlargest(_QUESTIONS, "length")
    # machines that are silent together ask the same question
    long = long.assign(a=long["last"].dt.floor("5min"), b=long["first"].dt.floor("5min")).drop_duplicates(["a", "b"])
    bounds = []
    for last, first in long[["last", "first"]].itertuples(index=False):
        inside = {at for at in (last + near, last + (first - last) / 2, first - near) if last < at < first}
        bounds.append([last - _BESIDE, *sorted(inside), first + _BESIDE])
    names = everybody[[*MACHINE, *KQL_MACHINE]].drop_duplicates()

    def ask(windows):
        answers = workspace.ask_all("heartbeat_machines", windows)
        return [rows.merge(names, on=KQL_MACHINE)[[*MACHINE, "FirstBeat", "LastBeat"]] for rows in answers]

    machines = pd.MultiIndex.from_frame(names[MACHINE].drop_duplicates())
    each = intervals.reindex(machines).fillna(intervals.median())
    return _holes(ask, bounds, each, interval)


def table_holes(
    workspace: "Workspace",
    table: str,
    interval: float,
    samples: pd.DataFrame,
    around: pd.DataFrame,
    shared: Sequence[str] = (),
) -> pd.DataFrame:
    """Find where nearly every machine lacks a table that is silent for longer than the heartbeats beside it.

    Parameters
    ----------
    workspace : Workspace
    table : str
    interval : float
        Seconds between its samples.
    samples : pandas.DataFrame
        resource_id, computer, TimeGenerated of the table around the silences.
    around : pandas.DataFrame
        resource_id, computer, last and first of the silences.
    shared : sequence of str
        Resource ids in lower case under which several computers report.

    Returns
    -------
    pandas.DataFrame
        As `amakit.recorded.common.common_holes` gives them; of at least five machines only.
    """
    if interval > _FAST:
        return common_holes(around.iloc[:0], _spans([]), pd.Series(dtype="float64"), interval)
    near = near_by(interval)
    times = {key: rows.sort_values() for key, rows in samples.groupby(MACHINE)["TimeGenerated"]}
    nothing = pd.Series(dtype="datetime64[us, UTC]")
    instants = set()
    for row in around.itertuples():
        own = times.get((row.resource_id, row.computer), nothing)
        before = own[own <= row.last + near].max()
        if not row.last - before <= near + _LATER:  # also where there is none
            instants.add((row.last - near).floor("min"))
        if pd.notna(row.first) and not own[own >= row.first - near].min() - row.first <= near + _LATER:
            instants.add((row.first + near).ceil("min"))
    bounds = [[at - _BESIDE_TABLE, at, at + _BESIDE_TABLE] for at in sorted(instants)[:_QUESTIONS]]

    def ask(windows):
        own = {"table": table, "shared": list(shared)}
        answers = workspace.ask_all("event_machines", [own | window for window in windows])
        columns = {"Key": "resource_id", "FirstRow": "FirstBeat", "LastRow": "LastBeat"}
        return [rows.rename(columns=columns).assign(computer="") for rows in answers]

    found = _holes(ask, bounds, pd.Series(dtype="float64"), interval)
    return found[found["machines"] >= MOST].reset_index(drop=True)


def _holes(ask: Callable, bounds: Iterable[list[pd.Timestamp]], intervals: pd.Series, interval: float) -> pd.DataFrame:
    """Ask who reported between neighbouring bounds, and find the holes that nearly all have in the midst of them."""
    bounds = list(bounds)
    windows = [{"start": start, "end": end} for one in bounds for start, end in pairwise(one)]
    answers = iter(ask(windows) if windows else [])
    intervals.index = intervals.index if len(intervals) else pd.MultiIndex.from_tuples([], names=MACHINE)
    find = partial(common_holes, intervals=intervals, interval=interval)
    found = [find(*_silences([next(answers) for _ in pairwise(one)], interval)) for one in bounds]
    nothing = find(*_silences([], interval))
    holes = pd.concat([nothing, *(one for one in found if len(one))]).drop_duplicates(["start", "end"])
    return without_timetables(holes.sort_values("start", ignore_index=True), near_by(interval))


def _spans(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Give the first and the last sample of each machine in each part."""
    times = dict.fromkeys(["first", "last"], "datetime64[us, UTC]")
    rows = pd.concat([pd.DataFrame(columns=[*MACHINE, "FirstBeat", "LastBeat"], dtype="object"), *parts])
    rows = rows.rename(columns={"FirstBeat": "first", "LastBeat": "last"})[[*MACHINE, "first", "last"]].astype(times)
    return rows.sort_values([*MACHINE, "first"], ignore_index=True)


def _silences(parts: list[pd.DataFrame], interval: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give the silences across the bounds of the parts, and from when to when each machine reported."""
    spans = _spans(parts)
    reached = spans.groupby(MACHINE)["last"].cummax().groupby([spans[key] for key in MACHINE]).shift()
    silent = spans.assign(last=reached.astype("datetime64[us, UTC]"))
    silent = silent[silent["first"] - silent["last"] > pd.Timedelta(seconds=1.5 * interval)]
    whole = spans.groupby(MACHINE, as_index=False).agg(first=("first", "min"), last=("last", "max"))
    return silent[[*MACHINE, "last", "first"]], whole
