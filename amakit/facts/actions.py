"""What is to be done next, and what cannot be shown."""

from typing import TYPE_CHECKING

import pandas as pd

from amakit.fetch.heartbeats import LOOKBACK
from amakit.schemas import LOST, Cause
from amakit.study import alert_coverage, claims
from amakit.study.alert_coverage import SLOW
from amakit.study.groups import FAILED

if TYPE_CHECKING:
    from amakit.analysis import Analysis


def limits(analysis: "Analysis", told: dict, listing: dict | None = None) -> list[dict]:
    """Give what cannot be shown.

    Parameters
    ----------
    analysis : Analysis
    told : dict
        As `verdict` gives it.
    listing : dict or None
        As `amakit.inventory.summary` gives it.

    Returns
    -------
    list of dict
        Each with a ``kind``: brackets, horizon, unknown (start, end, reason), tables (see `lacking_tables`), refused
        (table, reason), slow (data types), hidden (n), undetermined (n), unexplained (n), inventory (taken, since,
        subscriptions, unlisted), lookback (days).
    """
    run = analysis.run
    slow = sorted(analysis.gaps.loc[analysis.gaps["interval_s"] >= SLOW, "data_type"].unique())
    open_events = int((analysis.events["verdict"] == "undetermined").sum())
    found: list[dict] = [{"kind": "brackets"}]
    found += [{"kind": "unknown", **stretch} for stretch in run.get("unknown", [])]
    found += [{"kind": "tables", **one} for one in lacking_tables(run)]
    found += [{"kind": "refused", "table": name, "reason": why} for name, why in (run.get("refused") or {}).items()]
    found += [{"kind": "slow", "data_types": slow}] if slow else []
    found += [{"kind": "hidden", "n": told["hidden"]}] if told["hidden"] else []
    found += [{"kind": "undetermined", "n": open_events}] if open_events else []
    unexplained = told["others"].get("unexplained", 0)
    found += [{"kind": "unexplained", "n": unexplained}] if unexplained else []
    if listing:
        own = {name: listing[name] for name in ("taken", "since", "subscriptions")}
        found += [{"kind": "inventory", **own, "unlisted": [one["machine"] for one in listing["unlisted"]]}]
    return [*found, {"kind": "horizon", "horizon": run["horizon"]}, {"kind": "lookback", "days": LOOKBACK.days}]


def lacking_tables(run: dict) -> list[dict]:
    """Give the tables that are not there, or without a row: ``tables``, and of several the ``workspace``.

    Examples
    --------
    >>> lacking_tables({"missing_tables": ["Perf"]})
    [{'tables': ['Perf']}]
    """
    several = [one for one in run.get("workspaces", []) if one["machines"]]
    told = [{"tables": one["missing_tables"], "workspace": one["workspace"]} for one in several]
    return [one for one in told or [{"tables": run["missing_tables"]}] if one["tables"]]


def actions(
    analysis: "Analysis",
    outages: pd.DataFrame,
    away: pd.DataFrame,
    events: pd.DataFrame,
    quiet: pd.DataFrame,
    chains: list[dict],
    silent: pd.DataFrame,
    listing: dict | None = None,
) -> list[dict]:
    """Give what to do next, the most urgent first.

    Parameters
    ----------
    analysis : Analysis
    outages, away, events, silent
        As in `Facts`.
    quiet : pandas.DataFrame
        As `amakit.facts.silent_sources.stayed_away` gives it, with ``machine``.
    chains : list of dict
        As `attempts` gives them.
    listing : dict or None
        As `amakit.inventory.summary` gives it.

    Returns
    -------
    list of dict
        Each with a ``kind`` and the machines it concerns: support (agents that are silent after an attempt, or failed
        twice), silent (nobody ordered the silence, or the machine was started again without its agent), reinstall
        (the agent was removed), rule (streams that are missing; insights: machines where InsightsMetrics is one),
        events (possible loss), sources (event sources were or are silent while the agent went on), retry (a failed
        attempt that nothing followed), unexplained; by the inventory of ``taken`` provisioning (the last operation on
        the extension failed) and unheard (no heartbeat of a machine that has the extension; off: how many of them were
        not running; early: whether the inventory is older than the horizon); alert (safe: the shortest window in
        minutes that no upgrade here trips; fires and depends: upgrades that trip one of ``windows``), activity (the
        activity log is not in the workspace), ordered (machines that are stopped or removed, and no more than that),
        or nothing.
    """

    def machines(rows):
        return sorted(set(rows["machine"]))

    ongoing = outages["ongoing"].astype("bool")
    gone, unattended = claims.silent(outages), claims.unattended(outages, analysis.evidence)
    failing = {
        c["machine"] for c in chains if sum(t["cause"] in FAILED for t in c["attempts"]) > 1 and c["outcome"] in FAILED
    }
    waiting = {*machines(claims.not_tried_again(outages, analysis.transitions))} - failing
    concerned = [
        ("support", sorted({*machines(outages[outages["cause"] == Cause.ROLLBACK_FAILED]), *failing})),
        ("silent", machines(unattended[unattended["cause"] != Cause.ROLLBACK_FAILED])),
        ("reinstall", sorted({*machines(gone[gone["cause"] == Cause.AGENT_REMOVED])} - {*machines(unattended)})),
        ("rule", machines(away)),
        ("events", machines(events[events["verdict"].isin(LOST)])),
        ("sources", machines(quiet)),
        ("retry", sorted(waiting)),
        ("unexplained", machines(outages[~ongoing & (outages["cause"] == Cause.UNEXPLAINED)])),
    ]
    found = [{"kind": kind, "machines": who} for kind, who in concerned if who]
    for one in found:
        if one["kind"] == "rule":
            one["insights"] = machines(away[away["data_type"] == "InsightsMetrics"])
    found += _by_inventory(listing, analysis.run["horizon"]) if listing else []
    found += _alert(silent, pd.Timestamp(analysis.run["horizon"]))
    found += [{"kind": "activity"}] if "AzureActivity" in analysis.run["missing_tables"] else []
    ordered = machines(gone)
    return found or ([{"kind": "ordered", "machines": ordered}] if ordered else [{"kind": "nothing"}])


def _by_inventory(listing, horizon):
    """Say which extensions are to be looked at, and which machines should report and never did."""
    on = ("", "running", "starting", "connected", "unknown")
    off = sum(one["power_state"] not in on for one in listing["unheard"])
    parts = {"provisioning": ("failed", {}), "unheard": ("unheard", {"off": off, "early": listing["since"] < horizon})}
    return [
        {"kind": kind, "machines": sorted(one["machine"] for one in listing[part]), "taken": listing["taken"], **more}
        for kind, (part, more) in parts.items()
        if listing[part]
    ]


def _alert(silent, horizon):
    """Say whether upgrades trip heartbeat alerts with the usual windows, and which window none of them trips."""
    silent = silent[silent["cause"] == Cause.UPGRADE]
    shortest = min(w for w in alert_coverage.WINDOWS if w >= 5)
    tripped = alert_coverage.verdicts(silent, horizon, [shortest])[f"alert {shortest}"].value_counts()
    fires, depends = int(tripped.get("fires", 0)), int(tripped.get("depends", 0))
    if not fires + depends:
        return []
    return [
        {
            "kind": "alert",
            "window": shortest,
            "fires": fires,
            "depends": depends,
            "safe": alert_coverage.safe_window(silent),
        }
    ]
