"""How long did a release take to reach each machine?"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from amakit.find.versions import version_key
from amakit.intervals import middles
from amakit.schemas import MACHINE, Cause
from amakit.study.groups import DAY, first_agent_runs, in_days, with_places
from amakit.study.rollout.stragglers import APART

if TYPE_CHECKING:
    from amakit.analysis import Analysis


#: From when lags can be counted.
ORIGINS = ("release", "fleet", "group", "start")


def lags(analysis: "Analysis", releases: pd.DataFrame, origin: str = "fleet") -> pd.DataFrame:
    """Give how long after an origin each machine first reported a version, or a newer one of its product line.

    Targets are the versions to which at least one upgrade was seen.  The lag is an interval: the upgrade lies after the
    last heartbeat of the older version and not after the first of the newer one, and the origin may itself be an
    interval.  Time in which the machine was stopped (outages by ``machine_stopped``) is taken out, for nothing upgrades
    a stopped machine; what it was before the window is not known and not taken out.

    Parameters
    ----------
    analysis : Analysis
    releases : pandas.DataFrame
        As `amakit.study.rollout.releases.known` gives it.
    origin : {'release', 'fleet', 'group', 'start'}
        ``release``: the interval in which the version came out; ``fleet``: when the first machine of the fleet reported
        it; ``group``: when the first machine of the same system and place did, see `places`; ``start``: the beginning
        of the window, for curves along the calendar, where stopped time stays and what was there already counts as
        day 0.

    Returns
    -------
    pandas.DataFrame
        One row per machine and target: resource_id, computer, os_type, version, place, resource_type, state, left_out,
        origin_earliest, origin_latest, last_old, first_new, low, high (days; below 0 is before the origin), stopped
        (days), silent, never_changed, undone.

        ``state`` is ``upgraded``; ``before`` (there from the beginning and on the target already: ``low`` is minus
        infinity); or ``waiting`` (``high`` is infinity, ``low`` is counted to the horizon, or to the last heartbeat of
        an agent that is silent since, which then says nothing of the time after).  ``left_out`` is empty, or why the
        row takes no part in an estimate: ``no origin`` (a release that is not listed, a version that was in the fleet
        or the place before the window, or no place), ``new`` (the machine came later), ``silent`` (silent before the
        origin: deleted or dead).  ``never_changed`` marks a machine that waits and never changed any version although
        others of its place came to the target: it may be opted out.  ``undone`` marks one that came to it and now
        reports an older version.

    Raises
    ------
    ValueError
        When the origin is not one of these.

    Examples
    --------
    >>> import amakit
    >>> from amakit.study.rollout import releases
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")
    >>> lags(found, releases.known())["state"].isin(["upgraded", "before", "waiting"]).all()
    np.True_
    """
    if origin not in ORIGINS:
        raise ValueError(f"origin {origin!r} is not known; it is {', '.join(ORIGINS[:-1])} or {ORIGINS[-1]}")
    fleet, runs = with_places(analysis), first_agent_runs(analysis)
    seen = analysis.transitions[analysis.transitions["kind"] == "upgrade"]
    spelled = {}
    for os_type, version in seen[["os_type", "to_version"]].itertuples(index=False):
        if os_type and version_key(version):
            spelled.setdefault((os_type, version_key(version)), version)
    tables = [
        _towards(key, os_type, fleet[fleet["os_type"] == os_type], runs, analysis).assign(version=spelled[os_type, key])
        for os_type, key in sorted(spelled)
    ]
    columns = [
        *MACHINE,
        "os_type",
        "version",
        "place",
        "resource_type",
        "state",
        "left_out",
        "origin_earliest",
        "origin_latest",
        "last_old",
        "first_new",
        "low",
        "high",
        "stopped",
        "silent",
        "never_changed",
        "undone",
    ]
    if not tables:
        return pd.DataFrame(columns=columns).astype(dict.fromkeys(("low", "high", "stopped"), "float64"))
    table = _with_origin(pd.concat(tables, ignore_index=True), releases, origin, analysis.window.start)
    table["left_out"] = _left_out(table, analysis.window.start)
    middle = table["origin_earliest"] + (table["origin_latest"] - table["origin_earliest"]) / 2
    half = in_days(table["origin_latest"] - table["origin_earliest"]) / 2
    until = table["first_new"].fillna(table["until"])
    off_low, off = (_stopped(table, middle, end, analysis) for end in (table["last_old"].fillna(until), until))
    low = in_days(table["last_old"].fillna(table["until"]) - middle) - off_low - half
    high = in_days(table["first_new"] - middle) - off + half
    if origin == "start":
        low, high, off = low + off_low, high + off, off * 0
    if origin != "release":  # nothing comes before the first
        low, high = low.clip(lower=0), high.clip(lower=0)
    before = -np.inf if origin == "release" else 0.0
    table["low"] = low.where(table["state"] != "before", before).where(middle.notna())
    high = high.where((table["state"] != "before") | (origin == "release"), 0.0)
    table["high"] = high.where(table["state"] != "waiting", np.inf).where(middle.notna())
    return table.assign(stopped=off.where(middle.notna(), 0.0))[columns]


def batches(lags: pd.DataFrame, apart: pd.Timedelta = APART) -> pd.DataFrame:
    """Group the upgrades to each version as they came: in batches with pauses between them.

    Parameters
    ----------
    lags : pandas.DataFrame
        As `lags` gives them.
    apart : pandas.Timedelta
        Upgrades further apart than this came in different batches.

    Returns
    -------
    pandas.DataFrame
        By os_type, version and time: start, end (first heartbeats on the version), machines, share (of the machines
        that take part), places.

    Examples
    --------
    >>> own = pd.DataFrame({"os_type": "Linux", "version": "1.38", "left_out": "", "state": "upgraded", "place": "x",
    ...     "first_new": pd.to_datetime(["2026-03-02 10:00", "2026-03-02 11:00", "2026-03-04 10:00"], utc=True)})
    >>> batches(own)["machines"].tolist()
    [2, 1]
    """
    used = lags[lags["left_out"] == ""]
    line = ["os_type", "version"]
    all_of = used.groupby(line).size().rename("all")
    came = used[used["state"] == "upgraded"].sort_values([*line, "first_new"], kind="stable")
    new = (came["first_new"].diff() > apart) | (came[line] != came[line].shift()).any(axis=1)
    found = came.groupby([*line, new.cumsum().rename("batch")]).agg(
        start=("first_new", "min"), end=("first_new", "max"), machines=("place", "size"), places=("place", "nunique")
    )
    found = found.reset_index("batch", drop=True).join(all_of).reset_index()
    found["share"] = found["machines"] / found["all"].astype("float64")
    return found[[*line, "start", "end", "machines", "share", "places"]]


def _towards(key, os_type, fleet, runs, analysis):
    """Say when each machine of a line came to a version, or how long it has not."""
    horizon = pd.Timestamp(analysis.run["horizon"])
    runs = runs.merge(fleet[MACHINE], on=MACHINE)
    runs["there"] = [own >= key for own in runs["key"]]
    own = runs.groupby(MACHINE)
    first_new = runs[runs["there"]].groupby(MACHINE)["first"].min()
    old = runs.merge(first_new.rename("first_new"), how="left", left_on=MACHINE, right_index=True)
    known = pd.DataFrame(
        {
            "began": own["first"].min(),
            "last": own["last"].max(),
            "first_new": first_new,
            "now": own["there"].last(),
            "kept": own["key"].nunique() == 1,
            "last_old": old[old["first"] < old["first_new"]].groupby(MACHINE)["last"].max(),
        }
    )
    table = fleet.merge(known, left_on=MACHINE, right_index=True)
    reached = table["first_new"].notna()
    table["state"] = np.where(~reached, "waiting", np.where(table["last_old"].notna(), "upgraded", "before"))
    silent = fleet["state"].reindex(table.index) != "reporting"
    table["until"] = table["last"].where(silent, horizon)
    places_reached = set(table.loc[table["state"] == "upgraded", "place"]) - {""}
    return table.assign(
        silent=silent & ~reached,
        undone=reached & ~table["now"].astype("bool"),
        never_changed=~reached & table["kept"] & table["place"].isin(places_reached),
        os_type=os_type,
    )


def _with_origin(table, releases, origin, start):
    if origin == "release":
        dated = {
            (row.os_type, version_key(row.version)): (row.released_earliest, row.released_latest)
            for row in releases.itertuples(index=False)
        }
        none = (pd.NaT, pd.NaT)
        spans = [
            dated.get((os_type, version_key(version)), none)
            for os_type, version in table[["os_type", "version"]].itertuples(index=False)
        ]
        ends = pd.DataFrame(spans, index=table.index, columns=["origin_earliest", "origin_latest"])
        return table.assign(**{name: pd.to_datetime(ends[name], utc=True) for name in ends})
    if origin == "start":
        return table.assign(origin_earliest=start, origin_latest=start)
    group = ["os_type", "version"] + (["place"] if origin == "group" else [])
    first = table.groupby(group)["first_new"].transform("min")
    there = (table["state"] == "before") & (table["began"] <= start + DAY)
    first = first.mask(there.groupby([table[k] for k in group]).transform("any"))
    first = first.mask(table["place"] == "") if origin == "group" else first
    return table.assign(origin_earliest=first, origin_latest=first)


def _left_out(table, start):
    came = table["origin_latest"].clip(lower=start + DAY)
    late = table["began"] > came.where(table["state"] != "before", start + DAY)
    dead = (table["state"] == "waiting") & (table["until"] < table["origin_earliest"])
    why = np.select([table["origin_latest"].isna(), late, dead], ["no origin", "new", "silent"], "")
    return pd.Series(why, index=table.index, dtype="str")


def _stopped(table, since, until, analysis):
    """Give the days in which each machine was stopped between two instants."""
    horizon = pd.Timestamp(analysis.run["horizon"])
    stops = analysis.outages[analysis.outages["cause"] == Cause.MACHINE_STOPPED]
    begin, end = middles(stops, horizon)
    spans = (
        table[MACHINE]
        .assign(since=since, until=until, row=table.index)
        .merge(stops[MACHINE].assign(begin=begin, end=end), on=MACHINE)
    )
    inside = spans[["end", "until"]].min(axis=1) - spans[["begin", "since"]].max(axis=1)
    return in_days(inside).clip(lower=0).groupby(spans["row"]).sum().reindex(table.index, fill_value=0.0)
