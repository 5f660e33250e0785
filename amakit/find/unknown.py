"""What rests on unknown time is not claimed."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from amakit.fetch import samples
from amakit.find import outages
from amakit.intervals import covered, instant
from amakit.schemas import MACHINE, Cause, of_outages, result

if TYPE_CHECKING:
    from amakit.recorded.coverage import Coverage

_NO_TIME = pd.Timedelta(0)


def unknown_spans(unknown: Iterable[Mapping], table: str) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    """Give the unknown intervals of a table."""
    return [(instant(u["start"]), instant(u["end"])) for u in unknown if u["table"] == table]


def concerned(machines: pd.DataFrame, stretch: Mapping) -> pd.Series:
    """Mark the machines of which an unknown stretch tells: of several workspaces those that report where it is.

    Parameters
    ----------
    machines : pandas.DataFrame
        The result table ``machines``.
    stretch : mapping
        One of ``unknown`` in the record of the run.

    Returns
    -------
    pandas.Series of bool

    Examples
    --------
    >>> concerned(pd.DataFrame({"workspace": ["east", "east, west"]}), {"workspace": "east"}).tolist()
    [True, False]
    """
    if "workspace" in stretch and "workspace" in machines:
        return machines["workspace"] == stretch["workspace"]
    return pd.Series(True, machines.index)


def touches_none(
    start: pd.Series, end: pd.Series, spans: list[tuple], reach: pd.Timedelta | pd.Series = _NO_TIME
) -> pd.Series:
    """Mark the stretches that touch no unknown interval."""
    apart = pd.Series(True, start.index)
    for since, until in spans:
        apart &= (start - reach > until) | (end + reach < since)
    return apart


# -- what was not recorded ---------------------------------------------------------------------------------------


def not_recorded(found: pd.DataFrame, cover: "Coverage") -> pd.Series:
    """Mark the silences that are nothing but a stretch in which heartbeats were not recorded."""
    near, within = cover.near("Heartbeat"), pd.Series(False, found.index)
    end = found["first"].fillna(cover.horizon)
    for since, until in cover.spans("Heartbeat"):
        within |= (found["last"] >= since - near) & (end <= until + near)
    for (resource, computer), spans in cover.of_machines.items():
        own = (found["resource_id"] == resource) & (found["computer"] == computer)
        for since, until in spans:
            within |= own & (found["last"] >= since - near) & (end <= until + near)
    return within


def without_unrecorded_tables(rows: pd.DataFrame, found: pd.DataFrame, cover: "Coverage") -> pd.DataFrame:
    """Take a table out for the machines one end of whose outage lies where it was not recorded.

    A stretch in the midst of an outage is not that: samples before it and after it tell where the outage ends.
    """
    for table in cover.extents.keys() - {"Heartbeat"}:
        near, at_edge = cover.near(table), pd.Series(False, found.index)
        for since, until in cover.spans(table):
            for edge in (found["last"], found["first"]):
                at_edge |= (edge >= since - near) & (edge <= until + near)
        machines = found.loc[at_edge, MACHINE].drop_duplicates().assign(taken=True)
        taken = rows[MACHINE].merge(machines, how="left", on=MACHINE)["taken"].notna().to_numpy()
        rows = rows[~(taken & rows["data_type"].eq(table).to_numpy())].reset_index(drop=True)
    return rows


def widened(hole: outages.Hole, cover: "Coverage") -> outages.Hole:
    """Widen the brackets of an outage one end of which lies where heartbeats were not recorded.

    It may have begun, or have been over, at any time of that stretch.
    """
    near = cover.near("Heartbeat").total_seconds()
    for since, until in ((a.timestamp(), b.timestamp()) for a, b in cover.spans("Heartbeat")):
        if since - near <= hole.start_earliest <= until:
            hole = replace(hole, start_latest=np.fmin(max(hole.start_latest, until), hole.end_latest))
        if since <= hole.end_latest <= until + near:
            hole = replace(hole, end_earliest=max(min(hole.end_earliest, since), hole.start_earliest))
    return hole


def without_unrecorded_samples(lost: pd.DataFrame, cover: "Coverage") -> pd.DataFrame:
    """Take from the samples lost in outages those that were due where their table was not recorded."""
    lost = lost.copy()
    end = lost["first_after"].fillna(cover.horizon)
    for table in set(lost["data_type"]):
        if not (spans := cover.spans(table)):
            continue
        own = lost["data_type"].eq(table)
        seconds = [covered(a, b, spans) for a, b in zip(lost.loc[own, "last_before"], end[own], strict=True)]
        due = np.array(seconds) / lost.loc[own, "interval_s"].to_numpy()
        due = np.nan_to_num(due)
        for column, rounded in (("lost_low", np.ceil), ("lost", np.round), ("lost_high", np.floor)):
            left = lost.loc[own, column].astype("float64") - rounded(due)
            lost.loc[own, column] = left.clip(lower=0).astype("int64").array
    return lost


# -- what could not be fetched -----------------------------------------------------------------------------------


def without_unknown_tables(
    rows: pd.DataFrame, found: pd.DataFrame, unknown: Collection[Mapping], horizon: pd.Timestamp
) -> pd.DataFrame:
    """Take a table out for the machines near one of whose outages it is unknown, as if they did not have it.

    A stream that only seems to pause would move the brackets of the outage, and count samples as lost.
    """
    for table in {u["table"] for u in unknown} - {"Heartbeat"}:
        near = ~touches_none(
            found["last"], found["first"].fillna(horizon), unknown_spans(unknown, table), samples.REACH
        )
        machines = set(found.loc[near, MACHINE].itertuples(index=False, name=None))
        keys = rows[MACHINE].itertuples(index=False, name=None)
        taken = rows["data_type"].eq(table) & pd.Series([key in machines for key in keys], rows.index, dtype=bool)
        rows = rows[~taken].reset_index(drop=True)
    return rows


def only_known(
    away: pd.DataFrame,
    lost: pd.DataFrame,
    verdicts: pd.DataFrame,
    unknown: Collection[Mapping],
    horizon: pd.Timestamp,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Keep the outages, gaps and verdicts that rest on nothing unknown."""
    if not unknown:
        return away, lost, verdicts
    lost = result("gaps", lost)
    away = away[
        touches_none(away["start_earliest"], away["end_latest"].fillna(horizon), unknown_spans(unknown, "Heartbeat"))
    ]
    ends, kept = away.drop_duplicates([*MACHINE, "start_earliest"]), []
    for frame, reach in ((lost, samples.REACH), (verdicts, pd.Timedelta(days=1))):
        rows = of_outages(frame, ends).join(ends["end_latest"], on="outage")
        start, end = rows["outage_start"], rows["end_latest"].fillna(horizon)
        # events are measured against the day around the outage, or 24 times its length
        reaches = (24 * (end - start)).clip(lower=reach) if frame is verdicts else reach
        sure = pd.Series(True, rows.index)
        for table in {u["table"] for u in unknown} - {"Heartbeat"}:
            sure &= touches_none(start, end, unknown_spans(unknown, table), reaches) | (rows["data_type"] != table)
        kept.append(rows[sure][list(frame.columns)])
    return away, *kept


def unrecorded_changes(found: pd.DataFrame, runs: pd.DataFrame, changed: set[tuple]) -> pd.DataFrame:
    """Lay out the changes of version of which nothing but the time around them was recorded."""
    keys = pd.MultiIndex.from_frame(found[[*MACHINE, "last"]])
    found = found[keys.isin(list(changed))].reset_index(drop=True)
    ends = [(row.last.timestamp(), row.first.timestamp()) for row in found.itertuples()]
    holes = {n: outages.Hole(last, first, last, first, (), seen=False) for n, (last, first) in enumerate(ends)}
    return outages.table(found, holes, runs).assign(cause=Cause.NOT_RECORDED, evidence="")
