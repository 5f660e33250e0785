"""Facts: what a write-up rests on, from the result tables to one structure that is told and saved.

Nothing here is in words: `amakit.prose.incident` makes sentences of it, pipelines read it as ``facts.json``.
"""

import math
from itertools import chain, pairwise

import pandas as pd

from amakit.analysis import Analysis
from amakit.intervals import iso, isos
from amakit.prose.evidence import rendered
from amakit.schemas import MACHINE, Cause, machine_labels, of_outages
from amakit.study import alert_coverage
from amakit.study.alert_coverage import SLOW

#: Grows when a key changes its meaning or goes away; new keys may come at any time.
SCHEMA = "amakit.facts/1"
#: Causes in which somebody laid hands on the agent.
ATTEMPTS = (Cause.UPGRADE, Cause.ROLLED_BACK, Cause.ROLLBACK_FAILED)
#: Machines in the chart of an incident, those first that were blind for longest; tables have all of them.
DRAWN = 40
_NUMBERS = ["lost", "lost_low", "lost_high"]


def facts(analysis: Analysis) -> dict:
    """Put together everything that a write-up says.

    Parameters
    ----------
    analysis : Analysis

    Returns
    -------
    dict
        JSON-serialisable, times as ISO 8601 in UTC, seconds as numbers, None for unknown:

        - ``schema``, ``amakit``, ``workspace``, ``synthetic``, ``window`` (start, end, horizon);
        - ``verdict``: the numbers of the first two sentences, see `verdict`;
        - ``causes``: for each cause outages, machines, blind, lost, events;
        - ``outages``: one for each outage, with its losses by data type, its events, its evidence in parts, and the
          activity-log rows beside it;
        - ``attempts``: failed upgrades with what followed, see `attempts`;
        - ``limits`` and ``actions``: what cannot be shown and what to do next, each with a ``kind``;
        - ``run``: the record of the run; the texts of its queries are in ``run.json``.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")
    >>> told = facts(found)
    >>> told["schema"], told["verdict"]["upgrades"] == sum(found.outages["cause"] == "upgrade")
    ('amakit.facts/1', True)
    """
    run, away = analysis.run, analysis.outages
    return {
        "schema": SCHEMA, "amakit": run["amakit"], "workspace": run["workspace"], "synthetic": run["synthetic"],
        "window": {"start": iso(analysis.window.start), "end": iso(analysis.window.end), "horizon": run["horizon"]},
        "verdict": verdict(analysis),
        "causes": {cause: summary(analysis, own) for cause, own in away.groupby("cause")},
        "outages": _outages(analysis),
        "attempts": attempts(analysis),
        "limits": limits(analysis),
        "actions": actions(analysis),
        "run": run | {"queries": [{k: v for k, v in query.items() if k != "text"} for query in run["queries"]]},
    }  # fmt: skip


def names(analysis: Analysis) -> dict[tuple[str, str], str]:
    """Give the name that people call each machine by.

    Returns
    -------
    dict of (str, str) to str
        By resource id and computer.
    """
    fleet = analysis.machines
    return dict(zip(fleet[MACHINE].itertuples(index=False, name=None), machine_labels(fleet), strict=True))


def losses(analysis: Analysis, outages: pd.DataFrame) -> pd.DataFrame:
    """Give the rows of gaps that belong to some outages.

    Parameters
    ----------
    analysis : Analysis
    outages : pandas.DataFrame
        Rows of ``analysis.outages``.

    Returns
    -------
    pandas.DataFrame
        The rows of ``analysis.gaps``, and outage (index of the outage), away (the stream did not resume although the
        agent did), unseen (samples an hour or more apart, none of which surely is missing: minutes do not show).
    """
    own = of_outages(analysis.gaps, outages)
    back = own["outage"].map(~analysis.outages["ongoing"].astype("bool")).astype("bool")
    return own.assign(
        away=own["ongoing"].astype("bool") & back, unseen=(own["interval_s"] >= SLOW) & (own["lost_low"] == 0)
    )


def by_type(lost: pd.DataFrame) -> pd.DataFrame:
    """Sum losses by data type; streams that stayed away from an agent that came back are left out.

    Parameters
    ----------
    lost : pandas.DataFrame
        As `losses` gives them.

    Returns
    -------
    pandas.DataFrame
        By data type: lost, lost_low, lost_high, streams (kinds of them), interval_s (the middle one), unseen (nothing
        of it can be seen).
    """
    own = lost[~lost["away"]]
    table = own.groupby("data_type").agg(
        lost=("lost", "sum"), lost_low=("lost_low", "sum"), lost_high=("lost_high", "sum"),
        streams=("stream", "nunique"), interval_s=("interval_s", "median"), unseen=("unseen", "all"),
    )  # fmt: skip
    return table.sort_values(["unseen", "data_type"])


def away(analysis: Analysis) -> pd.DataFrame:
    """Give the streams that did not resume although their agent did.

    Returns
    -------
    pandas.DataFrame
        Rows of `losses`, one for each stream.
    """
    lost = losses(analysis, analysis.outages)
    return lost[lost["away"]].drop_duplicates([*MACHINE, "data_type", "stream"])


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
    middle = {f"{name}_s": _number(ended[column].median()) for name, column in (
        ("median", "downtime_s"), ("low", "downtime_low_s"), ("high", "downtime_high_s"))}  # fmt: skip
    return {"known": len(ended), **middle, "longest": int(ended["downtime_s"].idxmax()) if len(ended) else None}


def worst(analysis: Analysis) -> int | None:
    """Give the index of the longest upgrade, or of the longest outage where there is none, or None.

    Parameters
    ----------
    analysis : Analysis

    Returns
    -------
    int or None

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-03", ["web-37.corp.contoso.example"])
    >>> found.outages.loc[worst(found), "cause"]
    'upgrade'
    """
    own = analysis.outages[analysis.outages["cause"] == Cause.UPGRADE]
    own = own if len(own) else analysis.outages
    return None if own.empty else int(own["downtime_s"].fillna(math.inf).idxmax())


def summary(analysis: Analysis, outages: pd.DataFrame) -> dict:
    """Count what some outages were and cost.

    Returns
    -------
    dict
        outages, machines, ongoing, blind, lost (by data type), unseen (types of which nothing can be seen), certain,
        perhaps, spared (outages that surely, perhaps, and surely not lost samples), events (by verdict).
    """
    lost = losses(analysis, outages)
    table = by_type(lost)
    own = lost.groupby("outage")[["lost_low", "lost_high"]].sum().reindex(outages.index, fill_value=0)
    certain, perhaps = own["lost_low"] > 0, (own["lost_low"] == 0) & (own["lost_high"] > 0)
    seen = table[~table["unseen"]]
    return {
        "outages": len(outages), "machines": len(outages[MACHINE].drop_duplicates()),
        "ongoing": int(outages["ongoing"].sum()), "blind": blind(outages),
        "lost": {name: {column: int(row[column]) for column in _NUMBERS} for name, row in seen.iterrows()},
        "unseen": list(table.index[table["unseen"]]),
        "certain": int(certain.sum()), "perhaps": int(perhaps.sum()), "spared": int((~certain & ~perhaps).sum()),
        "events": _verdicts(events(analysis, outages)),
    }  # fmt: skip


def events(analysis: Analysis, outages: pd.DataFrame) -> pd.DataFrame:
    """Give the rows of events that belong to some outages, with the index of the outage in ``outage``."""
    return of_outages(analysis.events, outages)


def verdict(analysis: Analysis) -> dict:
    """Give the numbers of the verdict.

    Returns
    -------
    dict
        machines (in the fleet), upgrades, rolled_back, rollback_failed (outages), touched (machines with one of these),
        the `summary` of these outages, silent (machines that are not back, with the cause), streams_away, others
        (outages by other causes), hidden (versions that changed while the machine was stopped or restarted).
    """
    outages, called = analysis.outages, names(analysis)
    own = outages[outages["cause"].isin(ATTEMPTS)]
    counts = outages["cause"].value_counts()
    gone = outages[outages["ongoing"].astype("bool")].drop_duplicates(MACHINE)
    others = outages[~outages["cause"].isin(ATTEMPTS)]
    changed = (others["from_version"] != others["to_version"]) & (others["to_version"] != "")
    return {
        **summary(analysis, own), "machines": len(analysis.machines),
        "upgrades": int(counts.get("upgrade", 0)), "rolled_back": int(counts.get("rolled_back", 0)),
        "rollback_failed": int(counts.get("rollback_failed", 0)),
        "touched": len(own[MACHINE].drop_duplicates()),
        "silent": [{"machine": called[r, c], "cause": cause, "since": _when(since)} for r, c, cause, since in
                   gone[[*MACHINE, "cause", "start_earliest"]].itertuples(index=False)],
        "streams_away": len(away(analysis)),
        "others": {cause: int(n) for cause, n in others["cause"].value_counts().sort_index().items()},
        "other_machines": len(others[MACHINE].drop_duplicates()), "hidden": int(changed.sum()),
    }  # fmt: skip


def attempts(analysis: Analysis) -> list[dict]:
    """Give the upgrades that failed, each with the attempts that followed it.

    Returns
    -------
    list of dict
        One for each row of attempts: machine, and attempts (index of the outage, start, cause, from_version,
        to_version, wait_s since the one before); outcome is the last one's cause.  The link is that of the evidence:
        see `amakit.find.causes.series`.
    """
    from amakit.find.causes import series

    called, outages = names(analysis), analysis.outages
    failed = set(outages.index[outages["cause"].isin([Cause.ROLLED_BACK, Cause.ROLLBACK_FAILED])])
    chains = [rows for rows in series(outages) if failed.intersection(rows)]
    known, found = outages.loc[list(chain.from_iterable(chains))].to_dict("index"), []
    for rows in chains:
        own = [known[index] for index in rows]
        starts = [row["start_earliest"] for row in own]
        waits = [(after - before).total_seconds() for before, after in pairwise(starts)]
        tries = [
            {"outage": int(index), "start": _when(row["start_earliest"]), "cause": row["cause"],
             "from_version": row["from_version"], "to_version": row["to_version"], "wait_s": wait}
            for index, row, wait in zip(rows, own, [None, *map(_number, waits)], strict=True)
        ]  # fmt: skip
        machine = called[own[0]["resource_id"], own[0]["computer"]]
        found.append({"machine": machine, "outcome": own[-1]["cause"], "attempts": tries})
    return sorted(found, key=lambda one: one["attempts"][0]["start"])


def limits(analysis: Analysis) -> list[dict]:
    """Give what cannot be shown.

    Returns
    -------
    list of dict
        Each with a ``kind``: brackets, horizon, unknown (start, end, reason), tables (names), slow (data types), hidden
        (n), undetermined (n), unexplained (n), lookback (days).
    """
    from amakit.fetch.heartbeats import LOOKBACK

    run, told = analysis.run, verdict(analysis)
    slow = sorted(analysis.gaps.loc[analysis.gaps["interval_s"] >= SLOW, "data_type"].unique())
    open_events = int((analysis.events["verdict"] == "undetermined").sum())
    found = [{"kind": "brackets"}]
    found += [{"kind": "unknown", **stretch} for stretch in run.get("unknown", [])]
    found += [{"kind": "tables", "tables": run["missing_tables"]}] if run["missing_tables"] else []
    found += [{"kind": "slow", "data_types": slow}] if slow else []
    found += [{"kind": "hidden", "n": told["hidden"]}] if told["hidden"] else []
    found += [{"kind": "undetermined", "n": open_events}] if open_events else []
    unexplained = told["others"].get("unexplained", 0)
    found += [{"kind": "unexplained", "n": unexplained}] if unexplained else []
    return [*found, {"kind": "horizon", "horizon": run["horizon"]}, {"kind": "lookback", "days": LOOKBACK.days}]


def actions(analysis: Analysis) -> list[dict]:
    """Give what to do next, the most urgent first.

    Returns
    -------
    list of dict
        Each with a ``kind`` and the machines it concerns: support (agents that are silent after an attempt, or failed
        twice), silent (silent for no known reason), rule (streams that did not resume), events (possible loss), retry
        (a failed attempt that nothing followed), unexplained, alert (safe: the shortest window in minutes that no
        upgrade here trips; fires and depends: upgrades that trip one of ``windows``), activity (the activity log is not
        in the workspace), or nothing.
    """
    outages, called = analysis.outages, names(analysis)

    def machines(rows):
        return sorted({called[machine] for machine in rows[MACHINE].itertuples(index=False, name=None)})

    ongoing = outages["ongoing"].astype("bool")
    chains = attempts(analysis)
    failing = {c["machine"] for c in chains if sum(t["cause"] != Cause.UPGRADE for t in c["attempts"]) > 1
               and c["outcome"] != "upgrade"}  # fmt: skip
    waiting = {c["machine"] for c in chains if c["outcome"] == "rolled_back"} - failing
    concerned = [
        ("support", sorted({*machines(outages[outages["cause"] == Cause.ROLLBACK_FAILED]), *failing})),
        ("silent", machines(outages[ongoing & (outages["cause"] == Cause.UNEXPLAINED)])),
        ("rule", machines(away(analysis))),
        ("events", machines(analysis.events[analysis.events["verdict"] == "possible_loss"])),
        ("retry", sorted(waiting)),
        ("unexplained", machines(outages[~ongoing & (outages["cause"] == Cause.UNEXPLAINED)])),
    ]
    found = [{"kind": kind, "machines": who} for kind, who in concerned if who]
    found += _alert(analysis)
    found += [{"kind": "activity"}] if "AzureActivity" in analysis.run["missing_tables"] else []
    return found or [{"kind": "nothing"}]


def _alert(analysis):
    """Say whether upgrades trip heartbeat alerts with the usual windows, and which window none of them trips."""
    horizon = pd.Timestamp(analysis.run["horizon"])
    silent = alert_coverage.silences(analysis.outages, analysis.gaps, horizon)
    silent = silent[silent["cause"] == Cause.UPGRADE]
    shortest = min(w for w in alert_coverage.WINDOWS if w >= 5)
    tripped = alert_coverage.verdicts(silent, horizon, [shortest])[f"alert {shortest}"].value_counts()
    fires, depends = int(tripped.get("fires", 0)), int(tripped.get("depends", 0))
    if not fires + depends:
        return []
    return [{"kind": "alert", "window": shortest, "fires": fires, "depends": depends,
             "safe": alert_coverage.safe_window(silent)}]  # fmt: skip


def _outages(analysis):
    """Give each outage with what belongs to it."""
    outages, called = analysis.outages, names(analysis)
    every = losses(analysis, outages)
    every = every[~every["away"]].groupby(["outage", "data_type"])
    every = pd.concat([every[_NUMBERS].sum(), every["unseen"].all()], axis=1).reset_index()
    every = every.sort_values(["outage", "unseen", "data_type"])
    lost = {}
    for index, name, *numbers, unseen in every.itertuples(index=False, name=None):
        own = dict(zip(_NUMBERS, map(int, numbers), strict=True)) | {"unseen": bool(unseen)}
        lost.setdefault(index, {})[name] = own
    seen = _records(events(analysis, outages), ["data_type", "rows_inside", "expected", "max_delay_s", "verdict"])
    acts = _records(analysis.activity, ["operation", "target", "status", "began", "ended", "caller", "correlation",
                                        "role"])  # fmt: skip
    told = _plain_rows(outages.drop(columns="evidence"))
    return [
        {
            "machine": called[own["resource_id"], own["computer"]], **own, "lost": lost.get(index, {}),
            "events": seen.get(index, []), "evidence": said, "activity": acts.get(index, []),
        }
        for index, own, said in zip(outages.index, told, rendered(outages, analysis.evidence), strict=True)
    ]  # fmt: skip


def _verdicts(rows):
    return {name: int(n) for name, n in rows["verdict"].value_counts().sort_index().items()}


def _records(rows, columns):
    """Give the rows of each outage."""
    found = {}
    if len(rows):
        for index, row in zip(rows["outage"], _plain_rows(rows[columns]), strict=True):
            found.setdefault(index, []).append(row)
    return found


def _plain_rows(frame):
    columns = [[one or None for one in isos(frame[name])] if isinstance(frame[name].dtype, pd.DatetimeTZDtype)
               else map(_plain, frame[name].astype("object")) for name in frame]  # fmt: skip
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
