"""Rollout: how late a fleet follows its releases, who is left behind and why, and whether upgrades caused gaps.

Frames in, frames out.  A lag is known between two heartbeats only, and not at all on a machine that has not followed
yet, so nothing here takes a mean of what happened to be seen: see `curve`.
"""

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from amakit import releases as known_releases
from amakit.transitions import version_key

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from amakit.analysis import Analysis

#: From when lags can be counted.
ORIGINS = ("release", "fleet", "group", "start")
#: Why a machine is behind, the most telling first; `stragglers` says what each means.
REASONS = ("rollback_failed", "silent", "stopped", "retrying", "scale_set", "never_changed", "known_bad", "unsupported",
           "waiting")  # fmt: skip
#: Brackets wider than this share of the mean lag call for the estimate that takes intervals as they are.
_WIDE = 0.1
#: Intervals drawn for a band, at most; but fifty fleets are drawn in any case.
_DRAWN = 400_000
#: Upgrades further apart than this came in different batches.
APART = pd.Timedelta(hours=12)
#: Only versions that came out in the last year are supported.
SUPPORTED = pd.Timedelta(days=365)
_FAILED = ("rolled_back", "rollback_failed")
_MACHINE = ["resource_id", "computer"]
_DAY = pd.Timedelta(days=1)
_HOUR = pd.Timedelta(hours=1)


def places(machines: pd.DataFrame) -> pd.DataFrame:
    """Say where machines are and what they are, as far as their ids tell.

    Parameters
    ----------
    machines : pandas.DataFrame
        Has resource_id; also region, where the caller knows it.

    Returns
    -------
    pandas.DataFrame
        On the index of ``machines``: place (the region where one is given, else the resource group with its
        subscription, empty where there is neither) and resource_type (``scale_set``, ``virtual_machine``, ``arc`` or
        ``other``).

    Examples
    --------
    >>> places(pd.DataFrame({"resource_id": ["/subscriptions/0/resourcegroups/r/providers/microsoft.compute/"
    ...     "virtualmachines/a", ""]})).values.tolist()
    [['/subscriptions/0/resourcegroups/r', 'virtual_machine'], ['', 'other']]
    """
    ids = machines["resource_id"].fillna("").str.lower()
    group = ids.str.extract(r"^(.*/resourcegroups/[^/]+)", expand=False).fillna("")
    region = machines.get("region", pd.Series("", index=machines.index)).fillna("")
    kinds = {"arc": "/microsoft.hybridcompute/", "virtual_machine": "/virtualmachines/",
             "scale_set": "/virtualmachinescalesets/"}  # fmt: skip
    kind = pd.Series("other", index=machines.index, dtype="str")
    for name, part in kinds.items():  # an instance of a set may be a machine of its own below it
        kind = kind.mask(ids.str.contains(part, regex=False), name)
    return pd.DataFrame({"place": region.where(region != "", group).astype("str"), "resource_type": kind})


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
        As `amakit.releases.known` gives it.
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
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")
    >>> lags(found, known_releases.known())["state"].isin(["upgraded", "before", "waiting"]).all()
    np.True_
    """
    if origin not in ORIGINS:
        raise ValueError(f"origin {origin!r} is not known; it is {', '.join(ORIGINS[:-1])} or {ORIGINS[-1]}")
    fleet, runs = _fleet(analysis), _runs(analysis)
    seen = analysis.transitions[analysis.transitions["kind"] == "upgrade"]
    spelled = {}
    for os_type, version in seen[["os_type", "to_version"]].itertuples(index=False):
        if os_type and version_key(version):
            spelled.setdefault((os_type, version_key(version)), version)
    tables = [
        _towards(key, os_type, fleet[fleet["os_type"] == os_type], runs, analysis).assign(version=spelled[os_type, key])
        for os_type, key in sorted(spelled)
    ]
    columns = [*_MACHINE, "os_type", "version", "place", "resource_type", "state", "left_out", "origin_earliest",
               "origin_latest", "last_old", "first_new", "low", "high", "stopped", "silent", "never_changed",
               "undone"]  # fmt: skip
    if not tables:
        return pd.DataFrame(columns=columns).astype(dict.fromkeys(("low", "high", "stopped"), "float64"))
    table = _with_origin(pd.concat(tables, ignore_index=True), releases, origin, analysis.window.start)
    table["left_out"] = _left_out(table, analysis.window.start)
    middle = table["origin_earliest"] + (table["origin_latest"] - table["origin_earliest"]) / 2
    half = _days(table["origin_latest"] - table["origin_earliest"]) / 2
    until = table["first_new"].fillna(table["until"])
    off_low, off = (_stopped(table, middle, end, analysis) for end in (table["last_old"].fillna(until), until))
    low = _days(table["last_old"].fillna(table["until"]) - middle) - off_low - half
    high = _days(table["first_new"] - middle) - off + half
    if origin == "start":
        low, high, off = low + off_low, high + off, off * 0
    if origin != "release":  # nothing comes before the first
        low, high = low.clip(lower=0), high.clip(lower=0)
    before = -np.inf if origin == "release" else 0.0
    table["low"] = low.where(table["state"] != "before", before).where(middle.notna())
    high = high.where((table["state"] != "before") | (origin == "release"), 0.0)
    table["high"] = high.where(table["state"] != "waiting", np.inf).where(middle.notna())
    return table.assign(stopped=off.where(middle.notna(), 0.0))[columns]


def curve(lags: pd.DataFrame, level: float = 0.95, draws: int = 200) -> pd.DataFrame:
    """Estimate the share of machines that had upgraded, by lag, with a confidence band.

    Where brackets are narrow against the lags, upgrades are taken in the middle of theirs and the estimate is that of
    Kaplan and Meier [1]_, from `scipy.stats.ecdf`, whose band (log-log, from Greenwood's formula) is pointwise.
    Elsewhere, and where machines had upgraded before they were watched, it is the nonparametric maximum-likelihood
    estimate for interval-censored data, see `turnbull`, with a pointwise percentile band over resampled machines.  Half
    the width of the origin's interval is one shift for all machines, not noise of each, so the band is moved by it to
    both sides.

    Machines are taken as independent of each other.  Those of one batch are not quite, and the band is then too narrow.

    Parameters
    ----------
    lags : pandas.DataFrame
        As `lags` gives them; rows with a reason in ``left_out`` take no part.
    level : float
        Of the confidence band.
    draws : int
        Resamples for the band of the interval-censored estimate; the seed is fixed.

    Returns
    -------
    pandas.DataFrame
        By os_type and version, one row per step: day, share, low, high (from that day on), method (``kaplan_meier`` or
        ``turnbull``).  The first day is minus infinity where some had upgraded before they were watched.

    References
    ----------
    .. [1] E. L. Kaplan and P. Meier, "Nonparametric estimation from incomplete observations", J. Am. Stat. Assoc. 53
       (1958) 457-481.

    Examples
    --------
    >>> own = pd.DataFrame({"os_type": "Linux", "version": "1.38", "left_out": "", "low": [1.0, 2.0, 3.0, 4.0],
    ...     "high": [1.0, 2.0, np.inf, 4.0], "origin_earliest": 0, "origin_latest": 0})
    >>> curve(own)[["day", "share"]].values.tolist()
    [[1.0, 0.25], [2.0, 0.5], [3.0, 0.5], [4.0, 1.0]]
    """
    parts = [steps.assign(os_type=os_type, version=version, method=method)
             for (os_type, version), _, steps, method in _curves(lags, [], level, draws)]  # fmt: skip
    columns = ["os_type", "version", "day", "share", "low", "high", "method"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def summary(lags: pd.DataFrame, by: Iterable[str] = (), level: float = 0.95, draws: int = 200) -> pd.DataFrame:
    """Give the median lag and the time until 90 % had upgraded, each with its confidence interval.

    The interval holds the days at which the band of `curve` holds the share, after Brookmeyer and Crowley [1]_.

    Parameters
    ----------
    lags : pandas.DataFrame
        As `lags` gives them.
    by : iterable of {'place', 'resource_type'}
        Split further by these.
    level, draws
        See `curve`.

    Returns
    -------
    pandas.DataFrame
        By os_type, version and ``by``: machines (that take part), upgraded, before, waiting, never_changed, undone,
        left_out; median, median_low, median_high, ninety, ninety_low, ninety_high (days; infinite where the data do not
        reach that far, NaN where no machine takes part), method.

    References
    ----------
    .. [1] R. Brookmeyer and J. Crowley, "A confidence interval for the median survival time", Biometrics 38 (1982)
       29-41.

    Examples
    --------
    >>> own = pd.DataFrame({"os_type": "Linux", "version": "1.38", "left_out": "", "low": [1.0, 2.0, 3.0, 4.0],
    ...     "high": [1.0, 2.0, np.inf, 4.0], "origin_earliest": 0, "origin_latest": 0, "state": "", "undone": False,
    ...     "never_changed": False})
    >>> summary(own)[["machines", "median", "ninety"]].values.tolist()
    [[4.0, 2.0, 4.0]]
    """
    rows = []
    for key, own, steps, method in _curves(lags, list(by), level, draws):
        used = own[own["left_out"] == ""]
        counts = {state: int((used["state"] == state).sum()) for state in ("upgraded", "before", "waiting")}
        marks = {name: int(used[name].sum()) for name in ("never_changed", "undone")}
        times = {
            f"{name}{end}": _crossing(steps["day"], steps[column], share) if len(used) else np.nan
            for name, share in (("median", 0.5), ("ninety", 0.9))
            for end, column in (("", "share"), ("_low", "high"), ("_high", "low"))
        }
        rows.append(dict(zip(["os_type", "version", *by], key, strict=True)) | {"machines": len(used)} | counts | marks
                    | {"left_out": len(own) - len(used)} | times | {"method": method})  # fmt: skip
    ends = [f"{name}{end}" for name in ("median", "ninety") for end in ("", "_low", "_high")]
    counts = ["machines", "upgraded", "before", "waiting", "never_changed", "undone", "left_out"]
    return pd.DataFrame(rows, columns=["os_type", "version", *by, *counts, *ends, "method"])


def turnbull(
    low: "ArrayLike", high: "ArrayLike", weights: "ArrayLike | None" = None, tolerance: float = 1e-7, most: int = 5000
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimate a distribution from intervals, of each of which is known only that it holds the value.

    The nonparametric maximum-likelihood estimate puts mass on certain innermost intervals only, and where within them
    does not matter to it; the mass is found by self-consistency, which is an EM algorithm [1]_.  Each observation holds
    a contiguous stretch of innermost intervals, so a step costs as much as there are observations.

    Parameters
    ----------
    low, high : array-like of float
        Each value lies in ``(low, high]``; equal ends are an exact value; ends may be infinite.
    weights : array-like of float, optional
        How often each interval counts; two-dimensional for several estimates at once, one a row.
    tolerance : float
        Stop when the distribution changes nowhere by more.
    most : int
        Stop after so many steps.

    Returns
    -------
    tuple of numpy.ndarray
        Left and right ends of the innermost intervals, and their mass, with a row for each row of ``weights``.

    References
    ----------
    .. [1] B. W. Turnbull, "The empirical distribution function with arbitrarily grouped, censored and truncated data",
       J. R. Stat. Soc. B 38 (1976) 290-295.

    Examples
    --------
    >>> left, right, mass = turnbull([0, 1, 3], [2, 4, np.inf])
    >>> left.tolist(), right.tolist(), mass.round(3).tolist()
    ([1.0, 3.0], [2.0, 4.0], [0.5, 0.5])
    """
    from scipy.sparse import csr_array

    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    if len(low) == 0 or np.isnan(low).any() or np.isnan(high).any() or (low > high).any():
        raise ValueError("intervals are needed that do not end before they begin")
    count = len(low)
    weights = np.ones((1, count)) if weights is None else np.atleast_2d(np.asarray(weights, dtype=float))
    # at one value come first the exact, then ends that belong to their interval, then beginnings that do not
    kind = np.concatenate([np.where(low == high, 0, 2), np.ones(count)])
    order = np.lexsort([kind, np.concatenate([low, high])])
    rank = np.empty(2 * count, dtype=np.int64)
    rank[order] = np.arange(2 * count)
    begins = order < count
    inner = np.flatnonzero(begins[:-1] & ~begins[1:])
    left, right = np.concatenate([low, high])[order[inner]], np.concatenate([low, high])[order[inner + 1]]
    first = np.searchsorted(inner, rank[:count])
    after = np.searchsorted(inner + 1, rank[count:], side="right")
    stretches, same = np.unique(np.stack([first, after], axis=1), axis=0, return_inverse=True)
    first, after = stretches.T
    put = csr_array((np.ones(count), (np.arange(count), same.ravel())), shape=(count, len(stretches)))
    weights = weights @ put
    rows = np.arange(len(first))
    ends = csr_array((np.repeat([1.0, -1.0], len(rows)), (np.tile(rows, 2), np.concatenate([first, after]))),
                     shape=(len(rows), len(inner) + 1))  # fmt: skip
    total = weights.sum(axis=1, keepdims=True)
    mass = np.full((len(weights), len(inner)), 1 / len(inner))
    for _ in range(most):
        summed = np.pad(np.cumsum(mass, axis=1), ((0, 0), (1, 0)))
        held = summed[:, after] - summed[:, first]
        share = np.divide(weights, held, out=np.zeros_like(held), where=held > 0)
        new = mass * np.cumsum(share @ ends, axis=1)[:, :-1].clip(0) / total
        moved = np.abs(np.cumsum(new - mass, axis=1)).max()
        mass = new
        if moved < tolerance:
            break
    return left, right, mass[0] if len(mass) == 1 else mass


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
    )  # fmt: skip
    found = found.reset_index("batch", drop=True).join(all_of).reset_index()
    found["share"] = found["machines"] / found["all"].astype("float64")
    return found[[*line, "start", "end", "machines", "share", "places"]]


def standing(analysis: "Analysis", releases: pd.DataFrame) -> pd.DataFrame:
    """Say where each machine stands among the releases.

    Parameters
    ----------
    analysis : Analysis
    releases : pandas.DataFrame
        As `amakit.releases.known` gives it; those that may have come out after the horizon do not count.

    Returns
    -------
    pandas.DataFrame
        One row per machine: resource_id, computer, os_type, version, state, place, resource_type, behind (releases of
        its line that it has not got, as `amakit.releases.seen` counts them, and versions that are newer than all those
        listed but report in this fleet; NaN where the version cannot be read), newest, age (days since the release,
        the fewest that they can be; NaN where it is not listed), unsupported (certainly older than a year), known_bad.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")
    >>> standing(found, known_releases.known())["behind"].max() > 5
    np.True_
    """
    horizon = pd.Timestamp(analysis.run["horizon"])
    releases = releases[releases["released_latest"] <= horizon]
    fleet = _fleet(analysis)
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
    table["newest"] = [newest[os_type][max(newest[os_type])] if os_type in newest else old
                       for (os_type, _), old in zip(keys, table["newest"], strict=True)]  # fmt: skip
    table["age"] = _days(horizon - table["released_latest"]).clip(lower=0)
    table["unsupported"] = [bool(key) and any(key <= old for old in aged.get(os_type, ())) for os_type, key in keys]
    table["known_bad"] = table["known_bad"].fillna(False).astype("bool")
    return table[[*_MACHINE, *line, "state", "place", "resource_type", "behind", "newest", "age", "unsupported",
                  "known_bad"]]  # fmt: skip


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
    ``scale_set``        an instance of a scale set that did not change: with a manual upgrade policy an instance waits
                         until the latest model is applied to it
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
        As `amakit.releases.known` gives it.
    least : int
        Name machines that are so many releases behind, and behind another one of their line in this fleet; those that
        are silent, or on a version that is bad or too old, in any case.

    Returns
    -------
    pandas.DataFrame
        One row per machine: resource_id, computer, os_type, version, place, resource_type, behind, newest, age (days),
        since (first heartbeat on this version, or the beginning of what was watched), attempts (that failed), spacing_s
        (the middle time between them), reasons (tuple, in the order of `REASONS`; the first says the most).  Those
        furthest behind first.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")
    >>> set(stragglers(found, known_releases.known())["reasons"].str[0]) <= set(REASONS)
    True
    """
    table = standing(analysis, releases)
    runs, outages, horizon = _runs(analysis), analysis.outages, pd.Timestamp(analysis.run["horizon"])
    own = runs.groupby(_MACHINE)
    known = pd.DataFrame({"since": own["first"].last(), "kept": own["key"].nunique() == 1})
    stops = outages[outages["cause"] == "machine_stopped"]
    known["off_now"] = stops.groupby(_MACHINE)["ongoing"].any()
    known["off"] = (stops["end_latest"].fillna(horizon) - stops["start_earliest"]).dt.total_seconds().groupby(
        [stops[k] for k in _MACHINE]).sum()  # fmt: skip
    known["watched"] = analysis.machines.set_index(_MACHINE)["known_s"]
    tries = outages[outages["cause"].isin(["upgrade", *_FAILED])].sort_values("start_earliest", kind="stable")
    failed = tries[tries["cause"].isin(_FAILED)].groupby(_MACHINE)["start_earliest"]
    known["attempts"], known["spacing_s"] = failed.size(), failed.agg(lambda t: t.diff().dt.total_seconds().median())
    known["last_try"] = tries.groupby(_MACHINE)["cause"].last()
    table = table.merge(known, how="left", left_on=_MACHINE, right_index=True)
    kept = table["kept"].fillna(True).astype("bool")
    stopped = table["off_now"].fillna(False).astype("bool") | (table["off"].fillna(0) > table["watched"].fillna(0) / 2)
    scale = (table["resource_type"] == "scale_set") & kept
    dead = table["last_try"] == "rollback_failed"
    marks = {
        "rollback_failed": dead, "silent": (table["state"] == "silent") & ~stopped & ~dead, "stopped": stopped,
        "retrying": table["last_try"] == "rolled_back", "scale_set": scale,
        "never_changed": kept & _passed(table, analysis) & ~scale & ~dead,
        "known_bad": table["known_bad"], "unsupported": table["unsupported"],
    }  # fmt: skip
    marks = pd.DataFrame(marks).astype("bool")
    marks["waiting"] = ~marks.drop(columns=["known_bad", "unsupported"]).any(axis=1)
    table["reasons"] = [tuple(name for name, on in zip(marks, row, strict=True) if on)
                        for row in marks[list(REASONS)].itertuples(index=False)]  # fmt: skip
    table["attempts"] = table["attempts"].fillna(0).astype("int64")
    columns = [*_MACHINE, "os_type", "version", "place", "resource_type", "behind", "newest", "age", "since",
               "attempts", "spacing_s", "reasons"]  # fmt: skip
    keys = pd.Series([version_key(v) for v in table["version"]], table.index, dtype="object")
    best = keys.groupby(table["os_type"]).transform("max")
    overtaken = pd.Series([own < other for own, other in zip(keys, best, strict=True)], table.index, dtype="bool")
    kept = overtaken | marks[["rollback_failed", "silent", "known_bad", "unsupported"]].any(axis=1)
    behind = table[((table["behind"] >= least) & kept) | table["known_bad"]]
    return behind.sort_values(["behind", "computer", "resource_id"], ascending=[False, True, True], kind="stable")[
        columns].reset_index(drop=True)  # fmt: skip


def after_start(analysis: "Analysis", within: pd.Timedelta = _DAY) -> pd.DataFrame:
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
    stops = analysis.outages[analysis.outages["cause"] == "machine_stopped"]
    stops = stops.loc[stops["end_latest"].notna(), [*_MACHINE, "end_earliest", "end_latest"]]
    changes = analysis.transitions[analysis.transitions["kind"] == "upgrade"]
    pairs = changes[[*_MACHINE, "first_new"]].rename_axis("row").reset_index().merge(stops, on=_MACHINE)
    near = pairs["first_new"].between(pairs["end_earliest"], pairs["end_latest"] + within)
    return changes.loc[sorted(set(pairs.loc[near, "row"]))]


def self_controlled(analysis: "Analysis", shifts: int = 7) -> dict:
    """Ask whether upgrades caused gaps: each machine's hour of upgrade against the same hour of its other days.

    Every upgrade takes the clock hour (UTC) in which the middle of its bracket lies.  The hour shows a gap if at least
    one heartbeat was certainly lost in it, whatever the reason.  Without an effect, the upgrade might as well have come
    in the same hour of any other day on which the machine was watched: given that an hour shows gaps on g of n days,
    the number of gaps in k upgrades follows a hypergeometric law.  The sum over machines and hours is exact by
    convolution; it is a permutation test in a time-stratified case-crossover design [1]_, [2]_.  Each machine is its
    own control, so a restless machine counts for little.

    It is assumed that days may be exchanged but for the upgrade (no other work was done in the same hour because of
    it), and that gaps of different machines are independent.  A disturbance of the whole fleet at the moment of a batch
    breaks the second, so ``beside`` tells how many gaps machines showed in the same hours that were not upgraded then.
    Hours in which the machine was stopped, or another attempt was made, are left out on both sides, and so are upgrades
    while the machine was stopped: there is nothing that would tell theirs from that.

    Parameters
    ----------
    analysis : Analysis
    shifts : int
        Placebo times: the same hour up to so many days earlier and later.

    Returns
    -------
    dict
        upgrades (n that could be compared), gaps (k of them that show a gap), expected (m that would by chance),
        p_value (of k or more; None where nothing can be compared), placebo (for each shift in days: upgrades,
        gaps, expected, p_value), beside (expected gaps from other machines in the same hours; None without any),
        left_out (upgrades that could not be compared).

    References
    ----------
    .. [1] M. Maclure, "The case-crossover design", Am. J. Epidemiol. 133 (1991) 144-153.
    .. [2] H. Janes, L. Sheppard and T. Lumley, "Case-crossover analyses of air pollution exposure data: referent
       selection strategies and their implications for bias", Epidemiology 16 (2005) 717-726.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-12")
    >>> told = self_controlled(found)
    >>> told["gaps"] > told["expected"], told["p_value"] < 0.001
    (True, True)
    """
    cases, every = _cases(analysis)
    hours = _Hours(analysis)
    counted, used = _counted(cases, hours, cases)
    found = _tested(counted) | {"left_out": every - used}
    placebo = {}
    for days in [d for d in range(-shifts, shifts + 1) if d]:
        moved, _ = _counted(cases.assign(hour=cases["hour"] + 24 * days), hours, cases)
        if len(moved):
            placebo[days] = _tested(moved)
    return found | {"placebo": placebo, "beside": hours.beside(cases)}


# -- parts: lags ------------------------------------------------------------------------------------------------


def _fleet(analysis):
    fleet = analysis.machines
    return pd.concat([fleet, places(fleet)], axis=1)


def _runs(analysis):
    """Give the runs of the first agent of each machine, with what versions are compared by."""
    runs = analysis.runs[analysis.runs["line"] == 0].sort_values([*_MACHINE, "first"], kind="stable")
    return runs.assign(key=pd.Series([version_key(v) for v in runs["version"]], index=runs.index, dtype="object"))


def _towards(key, os_type, fleet, runs, analysis):
    """Say when each machine of a line came to a version, or how long it has not."""
    horizon = pd.Timestamp(analysis.run["horizon"])
    runs = runs.merge(fleet[_MACHINE], on=_MACHINE)
    runs["there"] = [own >= key for own in runs["key"]]
    own = runs.groupby(_MACHINE)
    first_new = runs[runs["there"]].groupby(_MACHINE)["first"].min()
    old = runs.merge(first_new.rename("first_new"), how="left", left_on=_MACHINE, right_index=True)
    known = pd.DataFrame({
        "began": own["first"].min(), "last": own["last"].max(), "first_new": first_new, "now": own["there"].last(),
        "kept": own["key"].nunique() == 1,
        "last_old": old[old["first"] < old["first_new"]].groupby(_MACHINE)["last"].max(),
    })  # fmt: skip
    table = fleet.merge(known, left_on=_MACHINE, right_index=True)
    reached = table["first_new"].notna()
    table["state"] = np.where(~reached, "waiting", np.where(table["last_old"].notna(), "upgraded", "before"))
    silent = fleet["state"].reindex(table.index) != "reporting"
    table["until"] = table["last"].where(silent, horizon)
    places_reached = set(table.loc[table["state"] == "upgraded", "place"]) - {""}
    return table.assign(
        silent=silent & ~reached, undone=reached & ~table["now"].astype("bool"),
        never_changed=~reached & table["kept"] & table["place"].isin(places_reached), os_type=os_type,
    )  # fmt: skip


def _with_origin(table, releases, origin, start):
    if origin == "release":
        dated = {(row.os_type, version_key(row.version)): (row.released_earliest, row.released_latest)
                 for row in releases.itertuples(index=False)}  # fmt: skip
        none = (pd.NaT, pd.NaT)
        spans = [dated.get((os_type, version_key(version)), none)
                 for os_type, version in table[["os_type", "version"]].itertuples(index=False)]  # fmt: skip
        ends = pd.DataFrame(spans, index=table.index, columns=["origin_earliest", "origin_latest"])
        return table.assign(**{name: pd.to_datetime(ends[name], utc=True) for name in ends})
    if origin == "start":
        return table.assign(origin_earliest=start, origin_latest=start)
    group = ["os_type", "version"] + (["place"] if origin == "group" else [])
    first = table.groupby(group)["first_new"].transform("min")
    there = (table["state"] == "before") & (table["began"] <= start + _DAY)
    first = first.mask(there.groupby([table[k] for k in group]).transform("any"))
    first = first.mask(table["place"] == "") if origin == "group" else first
    return table.assign(origin_earliest=first, origin_latest=first)


def _left_out(table, start):
    came = table["origin_latest"].clip(lower=start + _DAY)
    late = table["began"] > came.where(table["state"] != "before", start + _DAY)
    dead = (table["state"] == "waiting") & (table["until"] < table["origin_earliest"])
    why = np.select([table["origin_latest"].isna(), late, dead], ["no origin", "new", "silent"], "")
    return pd.Series(why, index=table.index, dtype="str")


def _stopped(table, since, until, analysis):
    """Give the days in which each machine was stopped between two instants."""
    horizon = pd.Timestamp(analysis.run["horizon"])
    stops = analysis.outages[analysis.outages["cause"] == "machine_stopped"]
    begin = stops["start_earliest"] + (stops["start_latest"] - stops["start_earliest"]) / 2
    end = (stops["end_earliest"] + (stops["end_latest"] - stops["end_earliest"]) / 2).fillna(horizon)
    spans = table[_MACHINE].assign(since=since, until=until, row=table.index).merge(
        stops[_MACHINE].assign(begin=begin, end=end), on=_MACHINE)  # fmt: skip
    inside = spans[["end", "until"]].min(axis=1) - spans[["begin", "since"]].max(axis=1)
    return _days(inside).clip(lower=0).groupby(spans["row"]).sum().reindex(table.index, fill_value=0.0)


def _days(span):
    return span / _DAY


def _passed(table, analysis):
    """Mark the machines that another of their system and place overtook."""
    changes = analysis.transitions[analysis.transitions["kind"] == "upgrade"]
    went = changes[[*_MACHINE, "os_type", "to_version"]].merge(table[[*_MACHINE, "place"]], on=_MACHINE)
    best = {}
    for os_type, place, version in went[["os_type", "place", "to_version"]].itertuples(index=False):
        best[os_type, place] = max(best.get((os_type, place), ()), version_key(version))
    own = table[["os_type", "place", "version"]].itertuples(index=False)
    return pd.Series([place != "" and version_key(v) < best.get((os, place), ()) for os, place, v in own], table.index)


# -- parts: curves ----------------------------------------------------------------------------------------------


def _curves(lags, by, level, draws):
    """Give for each version, and whatever else is asked for, its rows, the steps of its curve, and the method."""
    for key, own in lags.groupby(["os_type", "version", *by], sort=False):
        used = own[own["left_out"] == ""]
        width = (used["origin_latest"] - used["origin_earliest"]).max() if len(used) else 0
        half = _days(width) / 2 if isinstance(width, pd.Timedelta) else 0.0
        low, high = used["low"].to_numpy("float64") + half, used["high"].to_numpy("float64") - half
        method = _method(low, high)
        estimate = {"kaplan_meier": _kaplan_meier, "turnbull": _interval_censored}[method]
        steps = estimate(low, high, level, draws) if len(used) else [np.empty(0)] * 4
        yield key, own, _widened(*steps, half), method


def _method(low, high):
    event = np.isfinite(high)
    if not event.any() or np.isneginf(low).all():
        return "kaplan_meier" if not np.isneginf(low).any() else "turnbull"
    exact = event & np.isfinite(low)
    if (event & ~exact).any():
        return "turnbull"
    wide = np.quantile((high - low)[exact], 0.9) > _WIDE * np.abs((high + low)[exact] / 2).mean()
    return "turnbull" if wide and (high > low).any() else "kaplan_meier"


def _kaplan_meier(low, high, level, draws):
    from scipy import stats

    event = np.isfinite(high)
    if not event.any():
        return [np.unique(low), *[np.zeros(len(np.unique(low)))] * 2, np.zeros(len(np.unique(low)))]
    sample = stats.CensoredData(uncensored=(low[event] + high[event]) / 2, right=low[~event])
    found = stats.ecdf(sample).cdf
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        band = found.confidence_interval(level, method="log-log")
    share = found.probabilities
    inner = (share > 0) & (share < 1)  # beyond, the formula has no value
    lower = pd.Series(band.low.probabilities).where(inner).ffill().fillna(0.0).to_numpy()
    upper = np.where(inner, band.high.probabilities, share)
    return found.quantiles, share, lower, upper


def _interval_censored(low, high, level, draws):
    left, right, mass = turnbull(low, high)
    draws = max(min(draws, _DRAWN // len(low)), 50)
    counts = np.random.default_rng(0).multinomial(len(low), np.full(len(low), 1 / len(low)), size=draws)
    # a first row holds the estimate itself, so that there are two rows at least
    *_, drawn = turnbull(low, high, np.vstack([np.ones(len(low)), counts]), tolerance=1e-4, most=500)
    reached = np.isfinite(right)
    day = np.where(np.isfinite(left), (left + right) / 2, right)[reached]
    summed = np.cumsum(drawn[1:], axis=1)[:, reached]
    tail = (1 - level) / 2
    steps = [day, np.cumsum(mass)[reached], np.quantile(summed, tail, axis=0), np.quantile(summed, 1 - tail, axis=0)]
    if np.isneginf(left[0]):  # how long before the first end is not known: the band is open there
        steps = [np.concatenate([[begin], own]) for begin, own in zip([-np.inf, 0, 0, steps[3][0]], steps, strict=True)]
    return steps


def _widened(day, share, low, high, half):
    """Move the band by half the width of the origin's interval: its lower edge later, its upper edge earlier."""
    if not half or not len(day):
        return pd.DataFrame({"day": day, "share": share, "low": low, "high": high})
    at = np.unique(np.concatenate([day, day + half, day - half]))
    return pd.DataFrame({"day": at, "share": _step(at, day, share), "low": _step(at, day + half, low),
                         "high": _step(at, day - half, high)})  # fmt: skip


def _step(at, day, value):
    return np.concatenate([[0.0], value])[np.searchsorted(day, at, side="right")]


def _crossing(day, value, share):
    """Give the first day from which on a curve has reached a share."""
    there = np.flatnonzero(np.asarray(value) >= share - 1e-9)
    return float(day.iloc[there[0]]) if len(there) else np.inf


# -- parts: gaps around upgrades --------------------------------------------------------------------------------


def _hour(times):
    """Count the clock hours since the epoch."""
    return (times - pd.Timestamp(0, tz="UTC")) // _HOUR


def _cases(analysis):
    """Give the hour of each upgrade that was not hidden by a stop, and how many upgrades there were."""
    changes = analysis.transitions[analysis.transitions["kind"] == "upgrade"]
    middle = changes["last_old"] + (changes["first_new"] - changes["last_old"]) / 2
    cases = changes[_MACHINE].assign(hour=_hour(middle), cause=changes["cause"])
    return cases[cases["cause"] != "machine_stopped"].drop_duplicates([*_MACHINE, "hour"]), len(cases)


class _Hours:
    """Which clock hours of each machine were watched, and which show a gap: a row per machine, a column per hour.

    Columns are counted from ``start``, which begins a day, so that a time of day is every 24th column.
    """

    def __init__(self, analysis: "Analysis") -> None:
        machines, horizon = analysis.machines.drop_duplicates(_MACHINE, keep="last"), analysis.run["horizon"]
        horizon = pd.Timestamp(horizon)
        self.machines = pd.MultiIndex.from_frame(machines[_MACHINE])
        first = (_hour(machines["first_seen"].fillna(horizon)) + 1).to_numpy("int64")[:, None]
        after = _hour(machines["last_seen"].clip(upper=horizon)).fillna(0).to_numpy("int64")[:, None]
        self.start = int(first.min(initial=int(_hour(horizon)))) // 24 * 24
        self.days = -(-max(int(after.max(initial=0)) - self.start, 0) // 24)
        at = self.start + np.arange(24 * self.days)
        self.watched = (first <= at) & (at < after)
        for stretch in analysis.run.get("unknown", []):
            if stretch["table"] == "Heartbeat":
                begin, end = (int(_hour(pd.Timestamp(stretch[side]))) for side in ("start", "end"))
                self.watched[:, (begin <= at) & (at <= end)] = False
        barred = analysis.outages[analysis.outages["cause"].isin(["machine_stopped", *_FAILED])]
        self.watched &= ~self._covered(barred.assign(end=barred["end_latest"].fillna(horizon)), "start_earliest", "end")
        lost = analysis.gaps[(analysis.gaps["data_type"] == "Heartbeat") & (analysis.gaps["lost_low"] > 0)]
        apart = lost["cause"].isin(["machine_stopped", "disconnected", *_FAILED]) | lost["first_after"].isna()
        self.gaps = self.watched & self._covered(lost[~apart], "last_before", "first_after")

    def places(self, cases):
        """Give the row and the column of each case; those outside are left out."""
        row, column = self.machines.get_indexer(pd.MultiIndex.from_frame(cases[_MACHINE])), cases["hour"] - self.start
        inside = (row >= 0) & column.between(0, 24 * self.days - 1).to_numpy()
        return row[inside], column.to_numpy("int64")[inside]

    def beside(self, cases):
        """Sum over upgrades the share of other machines with a gap in the same hour."""
        column = cases["hour"].to_numpy("int64") - self.start
        if not len(cases) or column.min() < 0 or column.max() >= 24 * self.days:
            return None
        others = self.watched.copy()
        others[self.places(cases)] = False
        counts = others.sum(axis=0)[column]
        return float(((self.gaps & others).sum(axis=0)[column] / counts).sum()) if counts.all() else None

    def _covered(self, stretches, begin, end):
        """Mark the clock hours that stretches touch."""
        row = self.machines.get_indexer(pd.MultiIndex.from_frame(stretches[_MACHINE]))
        steps = np.zeros((len(self.machines), 24 * self.days + 1), dtype="int32")
        for ends, step in ((_hour(stretches[begin]), 1), (_hour(stretches[end]) + 1, -1)):
            column = (ends - self.start).clip(0, 24 * self.days).to_numpy("int64")
            np.add.at(steps, (row[row >= 0], column[row >= 0]), step)
        return np.cumsum(steps, axis=1)[:, :-1] > 0


def _counted(cases, hours, real):
    """Give for each machine and time of day the days, those with a gap, the upgrades, and those with a gap.

    The hours of real upgrades are left out where placebo times are counted.
    """
    watched = hours.watched
    if cases is not real:
        watched = watched.copy()
        watched[hours.places(real)] = False
    row, column = hours.places(cases)
    of_day, own = np.unique(np.stack([row, column % 24], axis=1), axis=0, return_inverse=True)
    at = watched[row, column]
    days, gaps = (
        cells.reshape(len(cells), hours.days, 24).sum(axis=1)[tuple(of_day.T)]
        for cells in (watched, watched & hours.gaps)
    )
    upgrades, shown = (
        np.bincount(own.ravel(), weights=seen, minlength=len(of_day)).astype("int64")
        for seen in (at, at & hours.gaps[row, column])
    )
    rows = np.stack([days, gaps, upgrades, shown], axis=1)[(upgrades > 0) & (days > upgrades)]
    return rows, int(rows[:, 2].sum())


def _tested(rows):
    """Sum hypergeometric laws exactly; each comes as often as there are machines to which it applies."""
    from scipy.stats import hypergeom

    law = np.ones(1)
    for (days, gaps, upgrades), times in zip(*np.unique(rows[:, :3], axis=0, return_counts=True), strict=True):
        power = hypergeom.pmf(np.arange(upgrades + 1), days, gaps, upgrades)
        while times:
            law = _summed(law, power) if times % 2 else law
            power, times = _summed(power, power), times // 2
    seen, drawn = int(rows[:, 3].sum()), int(rows[:, 2].sum())
    expected = float(law @ np.arange(len(law)))
    p = float(min(law[seen:].sum(), 1.0)) if len(rows) else None
    return {"upgrades": drawn, "gaps": seen, "expected": expected, "p_value": p}


def _summed(one, other):
    """Give the law of the sum of two numbers from theirs."""
    law = np.convolve(one, other)
    return law / law.sum()
