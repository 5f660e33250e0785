"""Which machines are left behind, and why?"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from amakit import inventory
from amakit.find.versions import version_key
from amakit.schemas import MACHINE, Cause
from amakit.study.groups import DAY, FAILED, first_agent_runs, in_days, with_places
from amakit.study.rollout import releases as known_releases

if TYPE_CHECKING:
    from amakit.analysis import Analysis


#: Why a machine is behind, the most telling first; `stragglers` says what each means.
REASONS = ("rollback_failed", "silent", "stopped", "retrying", "opted_out", "scale_set", "never_changed", "known_bad",
           "unsupported", "waiting")  # fmt: skip
#: Upgrades further apart than this came in different batches.
APART = pd.Timedelta(hours=12)


def standing(analysis: "Analysis", releases: pd.DataFrame) -> pd.DataFrame:
    """Say where each machine stands among the releases.

    Parameters
    ----------
    analysis : Analysis
    releases : pandas.DataFrame
        As `amakit.study.rollout.releases.known` gives it; those that may have come out after the horizon do not count.

    Returns
    -------
    pandas.DataFrame
        One row per machine: resource_id, computer, os_type, version, state, place, resource_type, behind (releases of
        its line that it has not got, as `amakit.study.rollout.releases.seen` counts them, and versions that are newer
        than all those listed but report in this fleet; NaN where the version cannot be read), newest (empty then), age
        (days since the release, the fewest that they can be; NaN where it is not listed), unsupported (certainly older
        than a year), known_bad.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")
    >>> standing(found, known_releases.known())["behind"].max() > 5
    np.True_
    """
    horizon = pd.Timestamp(analysis.run["horizon"])
    releases = releases[releases["released_latest"] <= horizon]
    fleet = with_places(analysis)
    told = known_releases.seen(fleet, releases)
    line = ["os_type", "version"]
    table = fleet.merge(
        told[[*line, "standing", "known_bad", "released_latest", "behind", "newest"]], how="left", on=line
    )
    newest = {}
    for os_type, version, where in told[[*line, "standing"]].itertuples(index=False):
        if where == "newer":
            newest.setdefault(os_type, {})[version_key(version)] = version
    aged = {}  # releases of each line that are certainly too old
    for os_type, version, latest in releases[[*line, "released_latest"]].itertuples(index=False):
        if latest + SUPPORTED < horizon:
            aged.setdefault(os_type, []).append(version_key(version))
    keys = [(os_type, version_key(version)) for os_type, version in table[line].itertuples(index=False)]
    beyond = [sum(key < other for other in newest.get(os_type, ())) for os_type, key in keys]
    table["behind"] = table["behind"].astype("Float64").to_numpy("float64", na_value=np.nan) + np.array(beyond)
    table["newest"] = [
        newest[os_type][max(newest[os_type])] if os_type in newest else old
        for (os_type, _), old in zip(keys, table["newest"], strict=True)
    ]
    table["newest"] = table["newest"].astype("str").fillna("")  # of a machine that never said its version
    table["age"] = in_days(horizon - table["released_latest"]).clip(lower=0)
    table["unsupported"] = [bool(key) and any(key <= old for old in aged.get(os_type, ())) for os_type, key in keys]
    table["known_bad"] = table["known_bad"].fillna(False).astype("bool")
    return table[
        [*MACHINE, *line, "state", "place", "resource_type", "behind", "newest", "age", "unsupported", "known_bad"]
    ]


def stragglers(analysis: "Analysis", releases: pd.DataFrame, least: int = 1) -> pd.DataFrame:
    """Name the machines that are behind, and why, as far as the data tell.

    ===================  ==============================================================================================
    reason               shown by
    ===================  ==============================================================================================
    ``rollback_failed``  an upgrade was attempted, and the agent has been silent since
    ``silent``           no heartbeat at the horizon, and nothing says that the machine was stopped
    ``stopped``          stopped at the horizon, or for more than half of the time that it was watched: nothing
                         upgrades a stopped machine, and it is taken up after it starts
    ``retrying``         an upgrade was rolled back and none has succeeded since
    ``opted_out``        automatic upgrade is off by the inventory
    ``scale_set``        an instance of a scale set that did not change: with a manual upgrade policy an instance waits
                         until the latest model is applied to it; not where an inventory tells another policy
    ``never_changed``    never changed its version in the window although others of its system and place came to a newer
                         one: perhaps automatic upgrade is off
    ``known_bad``        reports a version that is not to be used
    ``unsupported``      reports a version that certainly came out over a year ago
    ``waiting``          none of these: its turn may not have come
    ===================  ==============================================================================================

    Parameters
    ----------
    analysis : Analysis
    releases : pandas.DataFrame
        As `amakit.study.rollout.releases.known` gives it.
    least : int
        Name machines that are so many releases behind, and behind another one of their line in this fleet; those that
        are silent, or on a version that is bad or too old, in any case.

    Returns
    -------
    pandas.DataFrame
        One row per machine: resource_id, computer, os_type, version, place, resource_type, behind, newest, age (days),
        since (first heartbeat on this version, or the beginning of what was watched), attempts (that failed), spacing_s
        (the middle time between them), automatic (whether automatic upgrade is on, where an inventory tells),
        reasons (tuple, in the order of `REASONS`; the first says the most).  Those
        furthest behind first.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")
    >>> set(stragglers(found, known_releases.known())["reasons"].str[0]) <= set(REASONS)
    True
    """
    table = standing(analysis, releases)
    runs, outages, horizon = first_agent_runs(analysis), analysis.outages, pd.Timestamp(analysis.run["horizon"])
    own = runs.groupby(MACHINE)
    known = pd.DataFrame({"since": own["first"].last(), "kept": own["key"].nunique() == 1})
    stops = outages[outages["cause"] == Cause.MACHINE_STOPPED]
    known["off_now"] = stops.groupby(MACHINE)["ongoing"].any()
    known["off"] = (
        (stops["end_latest"].fillna(horizon) - stops["start_earliest"])
        .dt.total_seconds()
        .groupby([stops[k] for k in MACHINE])
        .sum()
    )
    known["watched"] = analysis.machines.set_index(MACHINE)["known_s"]
    tries = outages[outages["cause"].isin(["upgrade", *FAILED])].sort_values("start_earliest", kind="stable")
    failed = tries[tries["cause"].isin(FAILED)].groupby(MACHINE)["start_earliest"]
    known["attempts"], known["spacing_s"] = failed.size(), failed.agg(lambda t: t.diff().dt.total_seconds().median())
    known["last_try"] = tries.groupby(MACHINE)["cause"].last()
    table = table.merge(known, how="left", left_on=MACHINE, right_index=True)
    of_machine = pd.MultiIndex.from_frame(table[MACHINE])
    table["automatic"] = pd.array(inventory.automatic(analysis.inventory).reindex(of_machine), dtype="boolean")
    other_policy = analysis.inventory[~analysis.inventory["upgrade_policy"].isin(["", "Manual"])]
    moves_on = of_machine.isin(pd.MultiIndex.from_frame(other_policy[MACHINE]))
    kept = table["kept"].fillna(True).astype("bool")
    stopped = table["off_now"].fillna(False).astype("bool") | (table["off"].fillna(0) > table["watched"].fillna(0) / 2)
    scale = (table["resource_type"] == "scale_set") & kept & ~moves_on
    dead = table["last_try"] == "rollback_failed"
    marks = {
        "rollback_failed": dead,
        "silent": (table["state"] == "silent") & ~stopped & ~dead,
        "stopped": stopped,
        "retrying": table["last_try"] == "rolled_back",
        "opted_out": table["automatic"].eq(False).fillna(False),
        "scale_set": scale,
        "never_changed": kept & _passed(table, analysis) & ~scale & ~dead,
        "known_bad": table["known_bad"],
        "unsupported": table["unsupported"],
    }
    marks = pd.DataFrame(marks).astype("bool")
    marks["waiting"] = ~marks.drop(columns=["known_bad", "unsupported"]).any(axis=1)
    table["reasons"] = [
        tuple(name for name, on in zip(marks, row, strict=True) if on)
        for row in marks[list(REASONS)].itertuples(index=False)
    ]
    table["attempts"] = table["attempts"].fillna(0).astype("int64")
    columns = [
        *MACHINE,
        "os_type",
        "version",
        "place",
        "resource_type",
        "behind",
        "newest",
        "age",
        "since",
        "attempts",
        "spacing_s",
        "automatic",
        "reasons",
    ]
    keys = pd.Series([version_key(v) for v in table["version"]], table.index, dtype="object")
    best = keys.groupby(table["os_type"]).transform("max")
    overtaken = pd.Series([own < other for own, other in zip(keys, best, strict=True)], table.index, dtype="bool")
    kept = overtaken | marks[["rollback_failed", "silent", "known_bad", "unsupported"]].any(axis=1)
    behind = table[((table["behind"] >= least) & kept) | table["known_bad"]]
    return behind.sort_values(["behind", "computer", "resource_id"], ascending=[False, True, True], kind="stable")[
        columns
    ].reset_index(drop=True)


def after_start(analysis: "Analysis", within: pd.Timedelta = DAY) -> pd.DataFrame:
    """Give the upgrades that came after their machine had been stopped and started again.

    Parameters
    ----------
    analysis : Analysis
    within : pandas.Timedelta
        So long after the start at most.

    Returns
    -------
    pandas.DataFrame
        Rows of ``analysis.transitions``.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-10", "2026-03-11")
    >>> after_start(found)["computer"].tolist()
    ['batch-12']
    """
    stops = analysis.outages[analysis.outages["cause"] == Cause.MACHINE_STOPPED]
    stops = stops.loc[stops["end_latest"].notna(), [*MACHINE, "end_earliest", "end_latest"]]
    changes = analysis.transitions[analysis.transitions["kind"] == "upgrade"]
    pairs = changes[[*MACHINE, "first_new"]].rename_axis("row").reset_index().merge(stops, on=MACHINE)
    near = pairs["first_new"].between(pairs["end_earliest"], pairs["end_latest"] + within)
    return changes.loc[sorted(set(pairs.loc[near, "row"]))]


def _passed(table, analysis):
    """Mark the machines that another of their system and place overtook."""
    changes = analysis.transitions[analysis.transitions["kind"] == "upgrade"]
    went = changes[[*MACHINE, "os_type", "to_version"]].merge(table[[*MACHINE, "place"]], on=MACHINE)
    best = {}
    for os_type, place, version in went[["os_type", "place", "to_version"]].itertuples(index=False):
        best[os_type, place] = max(best.get((os_type, place), ()), version_key(version))
    own = table[["os_type", "place", "version"]].itertuples(index=False)
    return pd.Series([place != "" and version_key(v) < best.get((os, place), ()) for os, place, v in own], table.index)


#: Only versions that came out in the last year are supported.
SUPPORTED = pd.Timedelta(days=365)
