"""What a write-up rests on: computed once for an analysis, from its result tables, with no word in it.

The pages of `amakit.prose` tell it, pipelines read it as ``facts.json``.
"""

import math
from collections import Counter
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import pandas as pd

from amakit import inventory
from amakit.intervals import iso, isos
from amakit.prose.counts import counts
from amakit.prose.evidence import rendered
from amakit.prose.situation import situation
from amakit.schemas import LOST, MACHINE, Cause, machine_labels, of_outages
from amakit.study import alert_coverage, claims
from amakit.study.alert_coverage import SLOW
from amakit.study.groups import ATTEMPTS, FAILED

if TYPE_CHECKING:
    from amakit.analysis import Analysis

#: Grows when a key changes its meaning or goes away; new keys may come at any time.
SCHEMA = "amakit.facts/2"
#: Machines in the chart of an incident, those first that were down for longest; tables have all of them.
DRAWN = 40
_NUMBERS = ["lost", "lost_low", "lost_high"]


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of one analysis; made by `gather`.

    Attributes
    ----------
    analysis : Analysis
    names : dict of (str, str) to str
        How people call each machine, by resource id and computer.
    outages : pandas.DataFrame
        ``analysis.outages`` with ``machine`` (its name), and lost, lost_low, lost_high (samples of all streams that
        came back with the agent).
    losses : pandas.DataFrame
        See `losses_of_outages`.
    events : pandas.DataFrame
        The rows of ``analysis.events``, and outage (index of the outage) and machine (its name).
    away : pandas.DataFrame
        Rows of ``losses``, one for each stream that did not resume although its agent did, with ``machine``.
    upgrades, attempted, others : dict
        The `summary` of upgrades, of upgrades and failed attempts, and of all other outages.
    silent : pandas.DataFrame
        See `amakit.study.alert_coverage.silences`.
    verdict : dict
        See `verdict`.
    attempts, limits, actions : list of dict
        See the functions of these names.
    inventory : dict or None
        See `amakit.inventory.summary`.
    """

    analysis: "Analysis"
    names: dict[tuple[str, str], str]
    outages: pd.DataFrame
    losses: pd.DataFrame
    events: pd.DataFrame
    away: pd.DataFrame
    upgrades: dict
    attempted: dict
    others: dict
    silent: pd.DataFrame
    verdict: dict
    attempts: list[dict]
    limits: list[dict]
    actions: list[dict]
    inventory: dict | None

    @property
    def horizon(self) -> pd.Timestamp:
        """Up to when data may be taken as complete."""
        return pd.Timestamp(self.analysis.run["horizon"])

    def machines(self, frame: pd.DataFrame) -> list[str]:
        """Name the machines of a frame, each once, in order."""
        return sorted({self.names[machine] for machine in frame[MACHINE].itertuples(index=False, name=None)})


def gather(analysis: "Analysis") -> Facts:
    """Compute what every page tells of an analysis.

    Parameters
    ----------
    analysis : Analysis

    Returns
    -------
    Facts

    Examples
    --------
    >>> import amakit
    >>> known = gather(amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10"))
    >>> known.verdict["upgrades"] == sum(known.outages["cause"] == Cause.UPGRADE)
    True
    """
    fleet, outages = analysis.machines, analysis.outages
    names = dict(zip(fleet[MACHINE].itertuples(index=False, name=None), machine_labels(fleet), strict=True))
    losses = losses_of_outages(analysis)
    totals = losses[~losses["away"]].groupby("outage")[_NUMBERS].sum().reindex(outages.index, fill_value=0)
    outages = pd.concat([outages, totals], axis=1).assign(machine=_named(outages, names))
    events = of_outages(analysis.events, outages)
    events = events.assign(machine=_named(events, names))
    away = losses[losses["away"]].drop_duplicates([*MACHINE, "data_type", "stream"])
    away = away.assign(machine=_named(away, names))
    attempted = outages["cause"].isin(ATTEMPTS)
    known = {
        "analysis": analysis,
        "names": names,
        "outages": outages,
        "losses": losses,
        "events": events,
        "away": away,
        "upgrades": summary(outages[outages["cause"] == Cause.UPGRADE], losses, events),
        "attempted": summary(outages[attempted], losses, events),
        "others": summary(outages[~attempted], losses, events),
        "silent": alert_coverage.silences(outages, analysis.gaps, pd.Timestamp(analysis.run["horizon"])),
    }
    known["verdict"] = verdict(analysis, outages, away, known["attempted"])
    known["attempts"] = attempts(outages, analysis.transitions)
    known["inventory"] = inventory.summary(
        analysis.inventory, analysis.run.get("inventory", []), fleet, pd.Timestamp(analysis.run["horizon"])
    )
    known["limits"] = limits(analysis, known["verdict"], known["inventory"])
    known["actions"] = actions(analysis, outages, away, events, known["attempts"], known["silent"], known["inventory"])
    return Facts(**known)


def record(known: Facts) -> dict:
    """Put together everything that a write-up says, for a program.

    Parameters
    ----------
    known : Facts

    Returns
    -------
    dict
        JSON-serialisable, times as ISO 8601 in UTC, seconds as numbers, None for unknown:

        - ``schema``, ``amakit``, ``workspace``, ``synthetic``, ``window`` (start, end, horizon);
        - ``situation``: what has to be done, see `amakit.prose.situation.situation`;
        - ``counts``: the numbers that limits may be set to, see `amakit.prose.counts.COUNTS`;
        - ``verdict``: upgrades and failed attempts counted, see `verdict`;
        - ``causes``: for each cause outages, machines, blind, lost, events;
        - ``outages``: one for each outage, with its losses by data type, its events, its evidence in parts, and the
          activity-log rows beside it;
        - ``attempts``: failed upgrades with what followed, see `attempts`;
        - ``inventory``: only where there is one, what it tells beside the heartbeats, see `amakit.inventory.summary`;
        - ``limits`` and ``actions``: what cannot be shown and what to do next, each with a ``kind``;
        - ``run``: the record of the run; the texts of its queries are in ``run.json``.

    Examples
    --------
    >>> import amakit
    >>> known = gather(amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10"))
    >>> record(known)["schema"]
    'amakit.facts/2'
    """
    analysis, run = known.analysis, known.analysis.run
    told = {
        "schema": SCHEMA,
        "amakit": run["amakit"],
        "workspace": run["workspace"],
        "synthetic": run["synthetic"],
        "window": {"start": iso(analysis.window.start), "end": iso(analysis.window.end), "horizon": run["horizon"]},
        "situation": situation(known),
        "verdict": known.verdict,
        "causes": {cause: summary(own, known.losses, known.events) for cause, own in known.outages.groupby("cause")},
        "outages": _outages(known),
        "attempts": known.attempts,
        "limits": known.limits,
        "actions": known.actions,
        "run": run | {"queries": [{k: v for k, v in query.items() if k != "text"} for query in run["queries"]]},
    }
    told |= {"inventory": known.inventory} if known.inventory else {}
    return told | {"counts": counts(told)}


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
        f"{name}_s": _number(ended[column].median())
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
        "lost": {name: {column: int(row[column]) for column in _NUMBERS} for name, row in seen.iterrows()},
        "unseen": list(table.index[table["unseen"]]),
        "certain": int(certain.sum()),
        "perhaps": int(perhaps.sum()),
        "spared": int((~certain & ~perhaps).sum()),
        "events": _verdicts(events[events["outage"].isin(outages.index)]),
    }


def verdict(analysis: "Analysis", outages: pd.DataFrame, away: pd.DataFrame, attempted: dict) -> dict:
    """Give the numbers of the verdict.

    Parameters
    ----------
    analysis : Analysis
    outages, away, attempted
        As in `Facts`.

    Returns
    -------
    dict
        machines (in the fleet), upgrades, rolled_back, rollback_failed (outages), touched (machines with one of these),
        the `summary` of these outages, silent (machines that are not back, with the cause), streams_away, others
        (outages by other causes), hidden (versions that changed while the machine was stopped or restarted), seen
        (changes to a newer version, the one count of upgrades on all pages), elsewhere (those of them whose outage has
        a cause that is no attempt), back (whether every agent reported at the horizon with all of its streams).
    """
    changes = claims.upgrades(analysis.transitions, outages)
    own = outages[outages["cause"].isin(ATTEMPTS)]
    counts = outages["cause"].value_counts()
    gone = claims.silent(outages)
    others = outages[~outages["cause"].isin(ATTEMPTS)]
    return {
        **attempted,
        "machines": len(analysis.machines),
        "upgrades": int(counts.get("upgrade", 0)),
        "rolled_back": int(counts.get("rolled_back", 0)),
        "rollback_failed": int(counts.get("rollback_failed", 0)),
        "touched": len(own[MACHINE].drop_duplicates()),
        "silent": [
            {"machine": machine, "cause": cause, "since": _when(since)}
            for machine, cause, since in gone[["machine", "cause", "start_earliest"]].itertuples(index=False)
        ],
        "streams_away": len(away),
        "others": {cause: int(n) for cause, n in others["cause"].value_counts().sort_index().items()},
        "other_machines": len(others[MACHINE].drop_duplicates()),
        "hidden": len(claims.hidden_changes(outages)),
        "seen": changes["seen"],
        "elsewhere": sum(n for cause, n in changes["by_cause"].items() if cause not in ATTEMPTS),
        "back": claims.all_back(outages, analysis.gaps, analysis.machines),
    }


def attempts(outages: pd.DataFrame, transitions: pd.DataFrame) -> list[dict]:
    """Give the upgrades that failed, each with the attempts that followed it.

    Parameters
    ----------
    outages : pandas.DataFrame
        As in `Facts`.
    transitions : pandas.DataFrame
        As the result table.

    Returns
    -------
    list of dict
        One for each row of attempts: machine, and attempts (index of the outage, start, cause, from_version,
        to_version, wait_s since the one before); outcome is the last one's cause,
        or ``upgrade`` where a newer version came later than that.  The link is that of the evidence:
        see `amakit.find.causes.series`.
    """
    from amakit.find.causes import series

    failed = set(outages.index[outages["cause"].isin([Cause.ROLLED_BACK, Cause.ROLLBACK_FAILED])])
    chains = [rows for rows in series(outages) if failed.intersection(rows)]
    known, found = outages.loc[list(chain.from_iterable(chains))].to_dict("index"), []
    newer = transitions[transitions["kind"] == "upgrade"].groupby(MACHINE)["first_new"].max().to_dict()
    for rows in chains:
        own = [known[index] for index in rows]
        came = newer.get((own[0]["resource_id"], own[0]["computer"]))
        outcome = own[-1]["cause"]
        upgraded = came is not None and came > own[-1]["start_earliest"] and outcome in FAILED
        starts = [row["start_earliest"] for row in own]
        waits = [(after - before).total_seconds() for before, after in pairwise(starts)]
        tries = [
            {
                "outage": int(index),
                "start": _when(row["start_earliest"]),
                "cause": row["cause"],
                "from_version": row["from_version"],
                "to_version": row["to_version"],
                "wait_s": wait,
            }
            for index, row, wait in zip(rows, own, [None, *map(_number, waits)], strict=True)
        ]
        found.append(
            {
                "machine": own[0]["machine"],
                "outcome": str(Cause.UPGRADE) if upgraded else outcome,
                "attempts": tries,
            }
        )
    return sorted(found, key=lambda one: one["attempts"][0]["start"])


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
        Each with a ``kind``: brackets, horizon, unknown (start, end, reason), tables (names), refused
        (table, reason), slow (data types), hidden (n), undetermined (n), unexplained (n), inventory (taken, since,
        subscriptions, unlisted), lookback (days).
    """
    from amakit.fetch.heartbeats import LOOKBACK

    run = analysis.run
    slow = sorted(analysis.gaps.loc[analysis.gaps["interval_s"] >= SLOW, "data_type"].unique())
    open_events = int((analysis.events["verdict"] == "undetermined").sum())
    found: list[dict] = [{"kind": "brackets"}]
    found += [{"kind": "unknown", **stretch} for stretch in run.get("unknown", [])]
    found += [{"kind": "tables", "tables": run["missing_tables"]}] if run["missing_tables"] else []
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


def actions(
    analysis: "Analysis",
    outages: pd.DataFrame,
    away: pd.DataFrame,
    events: pd.DataFrame,
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
    chains : list of dict
        As `attempts` gives them.
    listing : dict or None
        As `amakit.inventory.summary` gives it.

    Returns
    -------
    list of dict
        Each with a ``kind`` and the machines it concerns: support (agents that are silent after an attempt, or failed
        twice), silent (nobody ordered the silence, or the machine was started again without its agent), reinstall
        (the agent was removed), rule (streams that did not resume; insights: machines where InsightsMetrics is one),
        events (possible loss), retry (a failed attempt that nothing followed), unexplained; by the inventory of
        ``taken`` provisioning (the last operation on the extension failed) and unheard (no heartbeat of a machine that
        has the extension; off: how many of them were not running; early: whether the inventory is older than the
        horizon); alert (safe: the shortest window in minutes that no upgrade here trips; fires and depends: upgrades
        that trip one of ``windows``), activity (the activity log is not in the workspace), ordered (machines that are
        stopped or removed, and no more than that), or nothing.
    """

    def machines(rows):
        return sorted(set(rows["machine"]))

    ongoing = outages["ongoing"].astype("bool")
    gone, unattended = claims.silent(outages), claims.unattended(outages, analysis.evidence)
    failing = {
        c["machine"]
        for c in chains
        if sum(t["cause"] != Cause.UPGRADE for t in c["attempts"]) > 1 and c["outcome"] != Cause.UPGRADE
    }
    waiting = {*machines(claims.not_tried_again(outages, analysis.transitions))} - failing
    concerned = [
        ("support", sorted({*machines(outages[outages["cause"] == Cause.ROLLBACK_FAILED]), *failing})),
        ("silent", machines(unattended[unattended["cause"] != Cause.ROLLBACK_FAILED])),
        ("reinstall", sorted({*machines(gone[gone["cause"] == Cause.AGENT_REMOVED])} - {*machines(unattended)})),
        ("rule", machines(away)),
        ("events", machines(events[events["verdict"].isin(LOST)])),
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


def _named(frame, names):
    called = [names[machine] for machine in frame[MACHINE].itertuples(index=False, name=None)]
    return pd.Series(called, index=frame.index, dtype="str")


def _outages(known):
    """Give each outage with what belongs to it."""
    by_type = known.losses[~known.losses["away"]].groupby(["outage", "data_type"])
    by_type = pd.concat([by_type[_NUMBERS].sum(), by_type["unseen"].all()], axis=1).reset_index()
    by_type = by_type.sort_values(["outage", "unseen", "data_type"])
    lost = {}
    for index, name, *numbers, unseen in by_type.itertuples(index=False, name=None):
        own = dict(zip(_NUMBERS, map(int, numbers), strict=True)) | {"unseen": bool(unseen)}
        lost.setdefault(index, {})[name] = own
    seen = _records(known.events, ["data_type", "source", "rows_inside", "expected", "max_delay_s", "verdict"])
    acts = _records(
        known.analysis.activity, ["operation", "target", "status", "began", "ended", "caller", "correlation", "role"]
    )
    outages = known.analysis.outages
    told, evidence = _plain_rows(outages.drop(columns="evidence")), rendered(outages, known.analysis.evidence)
    return [
        {
            "machine": machine,
            **own,
            "lost": lost.get(index, {}),
            "events": seen.get(index, []),
            "evidence": statements,
            "activity": acts.get(index, []),
        }
        for index, machine, own, statements in zip(outages.index, known.outages["machine"], told, evidence, strict=True)
    ]


def _verdicts(rows):
    return Counter({name: int(n) for name, n in rows["verdict"].value_counts().sort_index().items()})


def _records(rows, columns):
    """Give the rows of each outage."""
    found = {}
    if len(rows):
        for index, row in zip(rows["outage"], _plain_rows(rows[columns]), strict=True):
            found.setdefault(index, []).append(row)
    return found


def _plain_rows(frame):
    columns = [
        [one or None for one in isos(frame[name])]
        if isinstance(frame[name].dtype, pd.DatetimeTZDtype)
        else map(_plain, frame[name].astype("object"))
        for name in frame
    ]
    return [dict(zip(frame.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def _plain(value):
    """Make a value of a frame one of JSON: missing is None, instants are ISO 8601."""
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return iso(value)
    if isinstance(value, float):
        return round(value, 3)
    return value.item() if hasattr(value, "item") else value


def _number(value):
    return _plain(float(value))


def _when(value):
    return _plain(value)
