"""What may be said of a finished analysis: each claim that a reader acts on, as a function of the result tables."""

import pandas as pd

from amakit.causes.decision import series
from amakit.schemas import MACHINE, Cause, of_outages

#: Silences that nobody ordered: somebody has to look at the machine.
_UNORDERED = (Cause.ROLLBACK_FAILED, Cause.UNEXPLAINED, Cause.MACHINE_RESTARTED)


def silent(outages: pd.DataFrame) -> pd.DataFrame:
    """Give the machines whose agent is not back: the last outage of each, if it goes on.

    Parameters
    ----------
    outages : pandas.DataFrame
        As the result table.

    Returns
    -------
    pandas.DataFrame
        Rows of ``outages``.

    Examples
    --------
    >>> t = pd.to_datetime(["2026-03-02", "2026-03-03"], utc=True)
    >>> silent(pd.DataFrame({"resource_id": "", "computer": ["a", "b"], "start_earliest": t,
    ...     "ongoing": [True, False]}))["computer"].tolist()
    ['a']
    """
    latest = outages.sort_values("start_earliest", kind="stable").drop_duplicates(MACHINE, keep="last")
    return latest[latest["ongoing"].astype("bool")].sort_index()


def half_back(outages: pd.DataFrame, gaps: pd.DataFrame) -> pd.DataFrame:
    """Give the streams that had not resumed at the horizon although their agent was back, or never went away."""
    open_gaps = gaps[gaps["ongoing"].astype("bool")]
    gone = silent(outages)[MACHINE].assign(gone=True)
    own = open_gaps.merge(gone, how="left", on=MACHINE)
    return open_gaps[own["gone"].isna().to_numpy()].drop_duplicates([*MACHINE, "data_type", "stream"])


def all_reporting(outages: pd.DataFrame, machines: pd.DataFrame) -> bool:
    """Say whether every agent reported at the horizon, if perhaps not with all of its streams.

    A machine whose state is not known, which is neither reporting nor silent, is not known to be back.
    """
    return bool(machines["state"].isin(["reporting", "partial"]).all()) and silent(outages).empty


def all_back(outages: pd.DataFrame, gaps: pd.DataFrame, machines: pd.DataFrame) -> bool:
    """Say whether every agent reported at the horizon, with all of its streams."""
    whole = all_reporting(outages, machines) and (machines["state"] == "reporting").all()
    return bool(whole) and half_back(outages, gaps).empty


def upgrades(transitions: pd.DataFrame, outages: pd.DataFrame) -> dict:
    """Count upgrades: the one number of all pages, and what reconciles it with the outages of cause upgrade.

    Parameters
    ----------
    transitions, outages : pandas.DataFrame
        As the result tables.

    Returns
    -------
    dict
        seen (changes to a newer version), by_cause (those among them whose outage has another cause, by that cause; an
        empty cause where no outage holds the change), open (outages of cause upgrade after which no version is known
        yet), outages (those of cause upgrade).  ``outages - open + sum(by_cause.values()) == seen`` where every change
        has an outage of its own.

    Examples
    --------
    >>> changes = pd.DataFrame({"kind": ["upgrade", "upgrade", "downgrade"],
    ...     "cause": ["upgrade", "machine_stopped", "rolled_back"]})
    >>> upgrades(changes, pd.DataFrame({"cause": ["upgrade"], "to_version": ["1.38"]}))
    {'seen': 2, 'by_cause': {'machine_stopped': 1}, 'open': 0, 'outages': 1}
    """
    newer = transitions[transitions["kind"] == "upgrade"]
    others = newer.loc[newer["cause"] != Cause.UPGRADE, "cause"].value_counts().sort_index()
    own = outages[outages["cause"] == Cause.UPGRADE]
    return {
        "seen": len(newer),
        "by_cause": {cause: int(n) for cause, n in others.items()},
        "open": int((own["to_version"] == "").sum()),
        "outages": len(own),
    }


def hidden_changes(outages: pd.DataFrame) -> pd.DataFrame:
    """Give the outages in which the version changed while the machine itself was stopped or restarted.

    What the upgrade took of that time cannot be seen.
    """
    down = outages["cause"].isin([Cause.MACHINE_STOPPED, Cause.MACHINE_RESTARTED])
    return outages[down & (outages["to_version"] != "") & (outages["to_version"] != outages["from_version"])]


def no_upgrade_seen(transitions: pd.DataFrame, outages: pd.DataFrame) -> bool:
    """Say whether no machine changed to a newer version, and none may have begun to."""
    counts = upgrades(transitions, outages)
    return not counts["seen"] and not counts["outages"]


def not_tried_again(outages: pd.DataFrame, transitions: pd.DataFrame) -> pd.DataFrame:
    """Give the last attempt of each machine that was rolled back and has changed to no newer version since.

    Parameters
    ----------
    outages, transitions : pandas.DataFrame
        As the result tables.

    Returns
    -------
    pandas.DataFrame
        Rows of ``outages``.  A machine that is silent, or was upgraded or attempted later, whenever that was, is not
        among them.
    """
    last = [rows[-1] for rows in series(outages)]
    tries = outages.loc[last].sort_values("start_earliest", kind="stable").drop_duplicates(MACHINE, keep="last")
    tries = tries[tries["cause"] == Cause.ROLLED_BACK]
    newer = transitions[transitions["kind"] == "upgrade"].groupby(MACHINE)["first_new"].max().rename("newer")
    own = tries.join(newer, on=MACHINE)
    gone = pd.MultiIndex.from_frame(silent(outages)[MACHINE])
    free = ~pd.MultiIndex.from_frame(tries[MACHINE]).isin(gone)
    return tries[(~(own["newer"] > own["start_earliest"])).to_numpy() & free].sort_index()


def unattended(outages: pd.DataFrame, evidence: pd.DataFrame) -> pd.DataFrame:
    """Give the silent machines that somebody has to look at, because nobody ordered their silence.

    That is also a machine that was stopped and started again, and whose agent did not come back with it.
    """
    gone = silent(outages)
    acts = of_outages(evidence[evidence["status"] == "succeeded"], gone)
    last = acts[acts["kind"].isin(["machine_stop", "machine_start"])].sort_values("time", kind="stable")
    last = last.drop_duplicates("outage", keep="last")
    started = last.loc[last["kind"] == "machine_start", "outage"]
    return gone[gone["cause"].isin(_UNORDERED) | gone.index.isin(started)]
