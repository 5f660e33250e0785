"""Each machine of a window: its agent's version and state, how much of its time is known, and which data it lacks."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from amakit.fetch.silences import SILENT_AFTER
from amakit.find.unknown import concerned
from amakit.intervals import covered, instant, iso, middles
from amakit.recorded.clocks import behind_at_end, clock_notes
from amakit.schemas import MACHINE, RESULTS, Cause, of_outages, result

if TYPE_CHECKING:
    from amakit.fetch.heartbeats import Fleet
    from amakit.recorded.coverage import Coverage


def table(
    fleet: "Fleet",
    spans: pd.DataFrame,
    runs: pd.DataFrame,
    intervals: pd.DataFrame,
    anew: pd.DataFrame,
    away: pd.DataFrame,
    cover: "Coverage",
    unfetched: list,
    partial: pd.DataFrame,
) -> pd.DataFrame:
    """Summarise each machine that reported in the window or shortly before it.

    Parameters
    ----------
    fleet : amakit.fetch.heartbeats.Fleet
    spans, runs : pandas.DataFrame
        See `amakit.fetch.heartbeats.version_spans` and `amakit.find.versions.runs`.
    intervals : pandas.DataFrame
        See `amakit.fetch.sample_intervals.heartbeat_intervals`.
    anew : pandas.DataFrame
        Machines that were made anew; see `amakit.fetch.identity.made_anew`.
    away : pandas.DataFrame
        The outages.
    cover : amakit.recorded.coverage.Coverage
    unfetched : list of (pandas.Timestamp, pandas.Timestamp)
        Stretches of Heartbeat that could not be fetched.
    partial : pandas.DataFrame
        resource_id and computer of agents of which a part is missing.

    Returns
    -------
    pandas.DataFrame
        The result table ``machines``; its columns are told in `amakit.schemas`.
    """
    asked, behind = fleet.window, behind_at_end(fleet.days)
    machine, horizon, unrecorded = MACHINE, cover.horizon, cover.spans("Heartbeat")
    unknown = [*unfetched, *unrecorded]
    inside = spans[spans["beats"] > 0]
    seen_before = spans.loc[spans["beats"] == 0, machine].drop_duplicates().assign(before=True)
    latest = runs.sort_values("last", kind="stable").groupby(machine).last()[["version", "last", "os_type"]]
    found = latest.rename(columns={"last": "last_seen"}).assign(
        first_seen=inside.groupby(machine)["first"].min(),
        environment=spans[spans["environment"] != ""].groupby(machine)["environment"].last(),
        before=seen_before.set_index(machine)["before"],
        blind=_blind(away, asked, horizon, unrecorded),
    )
    since = found["last_seen"] + behind.reindex(found.index).fillna(pd.Timedelta(0))  # by a right clock
    reporting = since >= horizon - SILENT_AFTER
    found["state"] = reporting.map({True: "reporting", False: "silent"}).astype("str")
    # a machine that reports for the first time may not have existed before
    began = found["first_seen"].where(found["before"].isna(), asked.start)
    between = _between(anew, asked.start, horizon).reindex(found.index).fillna(0.0)
    unseen = pd.Series(
        [
            0.0 if pd.isna(since) else covered(since, horizon, [*unknown, *cover.of_machines.get(key, ())])
            for key, since in began.items()
        ],
        began.index,
        dtype="float64",
    )
    found["known_s"] = ((horizon - began).dt.total_seconds() - unseen - between).clip(lower=0)
    if unfetched:  # who knows whether it reported since
        found.loc[~reporting & (found["last_seen"] < max(end for _, end in unfetched)), "state"] = ""
    if horizon <= asked.start:  # nothing of the window is known
        found["state"] = ""
    found["active_s"] = (found["known_s"] - found["blind"].fillna(0.0)).clip(lower=0.0)
    found.loc[found["first_seen"].isna(), "active_s"] = 0.0
    back = away.loc[away["ongoing"].astype("bool"), machine].itertuples(index=False, name=None)
    halves = pd.MultiIndex.from_frame(partial).difference(pd.MultiIndex.from_tuples(list(back), names=machine))
    found.loc[found.index.isin(halves), "state"] = "partial"
    found["note"] = _notes(fleet, runs, intervals, anew).reindex(found.index).fillna("")
    found.loc[found["first_seen"].isna(), "note"] = "no heartbeat in the window"
    return found.reset_index()


def _notes(fleet, runs, intervals, anew):
    """Say of each machine what else there is to say: several agents, a clock that is wrong."""
    by_version = runs[runs["beats"] > 0].groupby(MACHINE)["line"].nunique()
    agents = pd.concat([by_version, intervals.groupby(MACHINE)["agents"].sum()], axis=1).max(axis=1)
    agents = agents.map(lambda n: f"{n:.0f} agents report at once" if n > 1 else "").astype("str")
    new = anew.groupby(MACHINE)["first"].max().map(lambda t: f"made anew {iso(t.floor('s'))}, another machine before")
    told = pd.concat([agents, clock_notes(fleet.days), new.astype("str")], axis=1).fillna("")
    return pd.Series(["; ".join(filter(None, row)) for row in told.itertuples(index=False)], told.index, "str")


def _between(anew, start, horizon):
    """Seconds of the window between the last beat of a machine and the first of the one that took its name."""
    seconds = anew["first"].clip(start, horizon) - anew["last"].clip(start, horizon)
    return seconds.dt.total_seconds().groupby([anew["resource_id"], anew["computer"]]).sum()


def _blind(away, asked, horizon, unrecorded):
    """Seconds of the window in which each machine's agent delivered nothing, by the middles of the brackets."""
    gone = away[away["cause"] != "disconnected"]
    start, end = middles(gone, horizon)
    start, end = start.clip(lower=asked.start), end.clip(upper=horizon)
    inside = (end - start).dt.total_seconds().clip(lower=0)
    if unrecorded:
        inside -= [covered(a, b, unrecorded) for a, b in zip(start, end, strict=True)]
    return inside.groupby([gone["resource_id"], gone["computer"]]).sum()


def segments(
    outages: pd.DataFrame,
    gaps: pd.DataFrame,
    sources: pd.DataFrame,
    machines: pd.DataFrame,
    unknown: Iterable[Mapping],
) -> pd.DataFrame:
    """Give the stretches without data of each machine.

    Parameters
    ----------
    outages, gaps, sources, machines : pandas.DataFrame
        The result tables.
    unknown : iterable of mapping
        Stretches of which nothing is known: start, end, table.

    Returns
    -------
    pandas.DataFrame
        The result table ``segments``.  An outage by a network that was away is not among them: its rows came late.
    """
    away = outages[outages["cause"] != Cause.DISCONNECTED]
    sure = ~(away["start_latest"] >= away["end_earliest"])  # also where it has no end
    lost = of_outages(gaps.drop(columns="cause"), outages[outages["ongoing"].astype("bool")], how="left")
    alone = lost[(lost["ongoing"].astype("bool") & lost["outage"].isna()) | lost["outage_start"].isna()]
    whole = machines[[*MACHINE, *(["workspace"] if "workspace" in machines else [])]].assign(ongoing=False)
    parts = [
        _stretches(away.assign(kind="outage"), "start_earliest", "end_latest").assign(
            sure_start=away["start_latest"].where(sure), sure_end=away["end_earliest"].where(sure)
        ),
        _stretches(alone.assign(kind="stream", source=alone["stream"]), "last_before", "first_after"),
        # a rhythm is never sure
        _stretches(sources.assign(kind="source"), "silent_from", "silent_to", sure=sources["silent_from"].isna()),
        *(
            _stretches(
                whole[concerned(machines, stretch)].assign(
                    kind="unknown",
                    data_type=stretch["table"],
                    since=instant(stretch["start"]),
                    until=instant(stretch["end"]),
                ),
                "since",
                "until",
            )
            for stretch in unknown
        ),
    ]
    return result("segments", pd.concat([result("segments", part) for part in parts], ignore_index=True))


def _stretches(rows, since, until, sure=None):
    """Give stretches from row to row, both of which were there, the columns of the result table."""
    sure = rows[since].notna() if sure is None else sure
    ends = {
        "start": rows[since],
        "end": rows[until],
        "sure_start": rows[since].where(sure),
        "sure_end": rows[until].where(sure),
    }
    last = ["workspace"] if "workspace" in rows else []
    return rows.assign(**ends).reindex(columns=[*RESULTS["segments"], *last])
