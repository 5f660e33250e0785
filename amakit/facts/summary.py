"""What outages were and what they cost: lengths, losses by table, and which one matters most."""

import math
from collections import Counter
from typing import TYPE_CHECKING

import pandas as pd

from amakit.schemas import MACHINE, Cause, of_outages
from amakit.study.alert_coverage import SLOW

if TYPE_CHECKING:
    from amakit.analysis import Analysis

#: Columns of samples that are lost.
LOSSES = ["lost", "lost_low", "lost_high"]


def losses_of_outages(analysis: "Analysis") -> pd.DataFrame:
    """Give the rows of gaps with the outages that they belong to.

    Parameters
    ----------
    analysis : Analysis

    Returns
    -------
    pandas.DataFrame
        The rows of ``analysis.gaps``, and outage (index of the outage), away (the stream did not resume although the
        agent did), unseen (samples an hour or more apart, none of which surely is missing: minutes do not show).
    """
    lost = of_outages(analysis.gaps, analysis.outages)
    back = lost["outage"].map(~analysis.outages["ongoing"].astype("bool")).astype("bool")
    return lost.assign(
        away=lost["ongoing"].astype("bool") & back, unseen=(lost["interval_s"] >= SLOW) & (lost["lost_low"] == 0)
    )


def by_type(lost: pd.DataFrame) -> pd.DataFrame:
    """Sum losses by data type; streams that stayed away from an agent that came back are left out.

    Parameters
    ----------
    lost : pandas.DataFrame
        As `losses_of_outages` gives them.

    Returns
    -------
    pandas.DataFrame
        By data type: lost, lost_low, lost_high, streams (kinds of them), interval_s (the middle one), unseen (nothing
        of it can be seen).
    """
    own = lost[~lost["away"]]
    table = own.groupby("data_type").agg(
        lost=("lost", "sum"),
        lost_low=("lost_low", "sum"),
        lost_high=("lost_high", "sum"),
        streams=("stream", "nunique"),
        interval_s=("interval_s", "median"),
        unseen=("unseen", "all"),
    )
    return table.sort_values(["unseen", "data_type"])


def blind(outages: pd.DataFrame) -> dict:
    """Say how long agents were blind.

    Parameters
    ----------
    outages : pandas.DataFrame
        Rows of ``analysis.outages``.

    Returns
    -------
    dict
        known (outages with a known end), and of these median_s with low_s and high_s (the medians of the bounds), and
        longest, the index of the longest; None where there is none.
    """
    ended = outages[outages["downtime_s"].notna()]
    middle = {
        f"{name}_s": round(float(ended[column].median()), 3) if len(ended) else None
        for name, column in (("median", "downtime_s"), ("low", "downtime_low_s"), ("high", "downtime_high_s"))
    }
    return {"known": len(ended), **middle, "longest": int(ended["downtime_s"].idxmax()) if len(ended) else None}


def worst(outages: pd.DataFrame) -> int | None:
    """Give the index of the outage to look at first, or None.

    That is an agent that has not come back after an upgrade that failed, the one that is away for longest; else one of
    which nobody knows why it is away; else the longest upgrade, else the longest outage.

    Parameters
    ----------
    outages : pandas.DataFrame
        Rows of ``analysis.outages``.

    Returns
    -------
    int or None

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-03", ["web-37.corp.contoso.example"])
    >>> found.outages.loc[worst(found.outages), "cause"]
    'upgrade'
    """
    cause, away = outages["cause"], outages["ongoing"].astype("bool")
    for part in (away & (cause == Cause.ROLLBACK_FAILED), away & (cause == Cause.UNEXPLAINED)):
        if part.any():
            return int(outages.loc[part, "start_earliest"].idxmin())
    upgrades = outages[cause == Cause.UPGRADE]
    outages = upgrades if len(upgrades) else outages
    return None if outages.empty else int(outages["downtime_s"].fillna(math.inf).idxmax())


def by_severity(outages: pd.DataFrame) -> pd.DataFrame:
    """Put outages in the order in which they matter: those that go on, then the longest."""
    order = outages.assign(ended=~outages["ongoing"].astype("bool"))
    order = order.sort_values(["ended", "downtime_s", "start_earliest"], ascending=[True, False, True], kind="stable")
    return order.drop(columns="ended")


def summary(outages: pd.DataFrame, losses: pd.DataFrame, events: pd.DataFrame) -> dict:
    """Count what some outages were and cost.

    Parameters
    ----------
    outages : pandas.DataFrame
        Some rows of `Facts.outages`.
    losses, events : pandas.DataFrame
        Those of all outages, as in `Facts`.

    Returns
    -------
    dict
        outages, machines, ongoing, blind, lost (by data type), unseen (types of which nothing can be seen), certain,
        perhaps, spared (outages that surely, perhaps, and surely not lost samples), events (by verdict).
    """
    lost = losses[losses["outage"].isin(outages.index)]
    table = by_type(lost)
    own = lost.groupby("outage")[["lost_low", "lost_high"]].sum().reindex(outages.index, fill_value=0)
    certain, perhaps = own["lost_low"] > 0, (own["lost_low"] == 0) & (own["lost_high"] > 0)
    seen = table[~table["unseen"]]
    return {
        "outages": len(outages),
        "machines": len(outages[MACHINE].drop_duplicates()),
        "ongoing": int(outages["ongoing"].sum()),
        "blind": blind(outages),
        "lost": {name: {column: int(row[column]) for column in LOSSES} for name, row in seen.iterrows()},
        "unseen": list(table.index[table["unseen"]]),
        "certain": int(certain.sum()),
        "perhaps": int(perhaps.sum()),
        "spared": int((~certain & ~perhaps).sum()),
        "events": _verdicts(events[events["outage"].isin(outages.index)]),
    }


def _verdicts(rows):
    return Counter({name: int(n) for name, n in rows["verdict"].value_counts().sort_index().items()})
