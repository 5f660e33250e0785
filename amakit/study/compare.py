"""Are these upgrades worse than those before: more roll-backs, longer outages, more lost heartbeats?"""

from math import comb
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from amakit.causes.decision import series
from amakit.find.versions import version_key
from amakit.schemas import MACHINE, Cause, of_outages
from amakit.study.groups import FAILED

if TYPE_CHECKING:
    from amakit.analysis import Analysis

#: A difference is told where the chance of it without one is smaller than this, over all that is compared.
LEVEL = 0.05
MEASURES = ("failed", "downtime_s", "heartbeats")
COLUMNS = ["measure", "n_before", "before", "n_now", "now", "p_value", "verdict"]


def upgrades(analysis: "Analysis") -> pd.DataFrame:
    """Give each upgrade with what it cost, and whether an attempt to it had failed.

    Attempts that follow each other are one upgrade to the version that came at last.  Where none came, the version that
    was tried is not known.  An upgrade that crosses an end of the window is left out: its length is not known.

    Parameters
    ----------
    analysis : Analysis

    Returns
    -------
    pandas.DataFrame
        resource_id, computer, os_type, release (the version that came, empty where none did), start (of the first
        attempt), failed (1 where at least one attempt failed, else 0), downtime_s (of the attempt that succeeded, NaN
        where none did), heartbeats (lost by all of its attempts, NaN where the agent is not back).

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10", ["sql-07"])
    >>> len(upgrades(found)) <= len(found.outages)
    True
    """
    outages = analysis.outages
    beats = of_outages(analysis.gaps, outages)
    beats = beats[beats["data_type"] == "Heartbeat"].groupby("outage")["lost"].sum()
    rows = []
    for attempts in series(outages[outages["cause"].isin([Cause.UPGRADE, *FAILED])]):
        own = outages.loc[attempts]
        last = own.iloc[-1]
        came = last["cause"] == Cause.UPGRADE
        if came and not (last["from_version"] and last["to_version"] and pd.notna(last["downtime_s"])):
            continue
        rows.append(
            {
                **own.iloc[0][[*MACHINE, "os_type"]].to_dict(),
                "release": last["to_version"] if came else "",
                "start": own["start_earliest"].iloc[0],
                "failed": int(own["cause"].isin(FAILED).any()),
                "downtime_s": last["downtime_s"] if came else np.nan,
                "heartbeats": np.nan if own["ongoing"].any() else float(beats.reindex(attempts, fill_value=0).sum()),
            }
        )
    return pd.DataFrame(rows, columns=[*MACHINE, "os_type", "release", "start", *MEASURES])


def compared(now: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    """Set upgrades against earlier ones: of another window, of other releases, of other machines.

    Shares are compared by Fisher's exact test, lengths and losses by that of Mann, Whitney and Wilcoxon, two-sided;
    the chances are made to hold for all measures together by Holm's rule [1]_.  Upgrades are taken as independent of
    each other, which those of one batch on one host need not be; the brackets of outages are as wide on both sides, so
    midpoints are compared.

    Parameters
    ----------
    now, before : pandas.DataFrame
        As `upgrades` gives them.

    Returns
    -------
    pandas.DataFrame
        One row a measure: measure (``failed``, ``downtime_s``, ``heartbeats``), n_before and n_now (upgrades that it is
        known of), before and now (the share of those that failed; the median seconds, the mean heartbeats), p_value
        (NaN where there is nothing to compare), verdict (``more``, ``less``, ``no_difference``: none that could not be
        chance, ``too_few``: so few that no difference could be shown).

    References
    ----------
    .. [1] S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979) 65-70.

    Examples
    --------
    >>> few = pd.DataFrame({"failed": [0, 1], "downtime_s": [60.0, 90.0], "heartbeats": [1.0, 2.0]})
    >>> compared(few, few)["verdict"].tolist()
    ['too_few', 'too_few', 'too_few']
    """
    return _with_verdicts(_side_by_side(now, before))


def releases_compared(analysis: "Analysis") -> pd.DataFrame:
    """Set the upgrades to each release against those to earlier releases of its product line.

    Parameters
    ----------
    analysis : Analysis

    Returns
    -------
    pandas.DataFrame
        The rows of `compared` after os_type and release, in the order of these; releases to which nobody came, or no
        earlier one, are left out.  Holm's rule holds over the whole table.

    Examples
    --------
    >>> import amakit
    >>> releases_compared(amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-02T01:00")).empty
    True
    """
    came = upgrades(analysis)
    came = came[came["release"] != ""]
    came = came.assign(order=came["release"].map(version_key))
    tables = []
    for (os_type, order), now in came.groupby(["os_type", "order"], sort=True):
        before = came[(came["os_type"] == os_type) & (came["order"] < order)]
        if len(before):
            tables.append(_side_by_side(now, before).assign(os_type=os_type, release=now["release"].iloc[0]))
    if not tables:
        return pd.DataFrame(columns=["os_type", "release", *COLUMNS])
    return _with_verdicts(pd.concat(tables, ignore_index=True))[["os_type", "release", *COLUMNS]]


def _side_by_side(now, before):
    """Compare each measure, without a verdict."""
    rows = [_measured(measure, now[measure].dropna(), before[measure].dropna()) for measure in MEASURES]
    return pd.DataFrame(rows, columns=[*COLUMNS[:-1], "least"])


def _measured(measure, now, before):
    """Compare one measure: its values, the chance of such a difference, and the least chance that there could be."""
    value = {"failed": pd.Series.mean, "downtime_s": pd.Series.median, "heartbeats": pd.Series.mean}[measure]
    row = [measure, len(before), value(before), len(now), value(now)]
    if not len(now) or not len(before):
        return [*row, np.nan, 1.0]
    from scipy.stats import fisher_exact, mannwhitneyu

    if measure == "failed":
        table = [[int(side.sum()), int(len(side) - side.sum())] for side in (now, before)]
        total = table[0][0] + table[1][0]  # as many failures, as unevenly spread as they can be
        edges = [
            [[k, len(now) - k], [total - k, len(before) - total + k]]
            for k in (max(0, total - len(before)), min(total, len(now)))
        ]
        least = min(fisher_exact(edge)[1] for edge in edges)
        return [*row, float(fisher_exact(table)[1]), float(least)]
    p = mannwhitneyu(now, before, alternative="two-sided").pvalue if now.nunique() + before.nunique() > 2 else 1.0
    return [*row, float(p) if np.isfinite(p) else 1.0, 2 / comb(len(now) + len(before), len(now))]


def _with_verdicts(table):
    """Judge each row by Holm's rule over all rows in which a difference could have been shown."""
    open_ = table["least"] < LEVEL / len(table)
    ranked = table.loc[open_ & table["p_value"].notna(), "p_value"].sort_values(kind="stable")
    limits = LEVEL / (len(ranked) - np.arange(len(ranked)))
    shown = ranked.index[np.cumprod(ranked.to_numpy() < limits).astype("bool")]
    verdict = pd.Series("too_few", table.index, dtype="str").mask(open_, "no_difference")
    up = table["now"] > table["before"]
    # medians and means may agree where the ranks differ: then nobody could read the difference in the table
    apart = table.index.isin(shown) & (table["now"] != table["before"])
    verdict = verdict.mask(apart & up, "more").mask(apart & ~up, "less")
    return table.assign(verdict=verdict)[[c for c in table.columns if c != "least"] + ["verdict"]]
