"""Fleets whose rollout is known, made of the frames that an analysis would give."""

import numpy as np
import pandas as pd

from amakit.analysis import Analysis
from amakit.find import versions
from amakit.intervals import window
from amakit.schemas import RESULTS, no_rows, result

ROOT = "/subscriptions/0/resourcegroups/"
START = pd.Timestamp("2026-01-01", tz="UTC").as_unit("us")
DAY = pd.Timedelta(days=1)


def days(number):
    return START + pd.to_timedelta(number, unit="D").round("us")


def vm(name, group="rg"):
    return f"{ROOT}{group}/providers/microsoft.compute/virtualmachines/{name}"


def release(version, earliest, latest=None, os_type="Linux", bad=False):
    first = pd.Timestamp(earliest, tz="UTC")
    latest = first if latest is None else pd.Timestamp(latest, tz="UTC")
    return {
        "os_type": os_type,
        "version": version,
        "released_earliest": first,
        "released_latest": latest,
        "known_bad": bad,
        "note": "",
        "source": "",
    }


def releases(*rows):
    columns = ["os_type", "version", "released_earliest", "released_latest", "known_bad", "note", "source"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype({"known_bad": "boolean"})


def run(computer, version, first, last, resource=None, os_type="Linux"):
    """One version of one machine; ends are days after the start."""
    return {
        "resource_id": vm(computer) if resource is None else resource,
        "computer": computer,
        "os_type": os_type,
        "line": 0,
        "version": version,
        "spelled_first": version,
        "first": days(first),
        "last": days(last),
        "beats": 10,
    }


def stop(computer, begin, end, cause="machine_stopped", resource=None, os_type="Linux", pair=("1", "1")):
    """An outage; ``end`` is None where it goes on."""
    begin, end = days(begin), pd.NaT if end is None else days(end)
    length = (end - begin).total_seconds()
    return {
        "resource_id": vm(computer) if resource is None else resource,
        "computer": computer,
        "os_type": os_type,
        "cause": cause,
        "from_version": pair[0],
        "to_version": pair[1],
        "start_earliest": begin,
        "start_latest": begin,
        "end_earliest": end,
        "end_latest": end,
        "downtime_s": length,
        "downtime_low_s": length,
        "downtime_high_s": length,
        "ongoing": pd.isna(end),
        "evidence": "",
    }


def gap(computer, begin, end, cause="unexplained", lost=3):
    return {
        "resource_id": vm(computer),
        "computer": computer,
        "cause": cause,
        "outage_start": days(begin),
        "data_type": "Heartbeat",
        "stream": "",
        "interval_s": 60.0,
        "last_before": days(begin),
        "first_after": days(end),
        "lost": lost,
        "lost_low": lost,
        "lost_high": lost,
        "ongoing": False,
    }


def analysis(runs, outages=(), gaps=(), length=40.0, silent=()):
    """An analysis of so many days; machines whose computer is in ``silent`` do not report at its end."""
    runs = pd.DataFrame(runs).sort_values(["computer", "resource_id", "first"], ignore_index=True, kind="stable")
    own = runs.groupby(["resource_id", "computer"])
    machines = own.agg(
        os_type=("os_type", "last"), version=("version", "last"), first_seen=("first", "min"), last_seen=("last", "max")
    ).reset_index()
    machines["state"] = np.where(machines["computer"].isin(list(silent)), "silent", "reporting")
    machines["known_s"] = (days(length) - machines["first_seen"]).dt.total_seconds()
    machines = machines.assign(environment="Azure", active_s=machines["known_s"], note="")
    changes = versions.transitions(runs).assign(cause="upgrade")
    table = {
        "machines": machines,
        "transitions": changes,
        "outages": pd.DataFrame(list(outages), columns=list(RESULTS["outages"])),
        "gaps": pd.DataFrame(list(gaps), columns=list(RESULTS["gaps"])),
        **{name: pd.DataFrame(columns=list(RESULTS[name])) for name in ("events", "sources", "evidence")},
    }
    horizon = days(length).isoformat().replace("+00:00", "Z")
    record = {
        "amakit": "0",
        "workspace": "w",
        "synthetic": False,
        "start": "2026-01-01T00:00:00Z",
        "end": horizon,
        "horizon": horizon,
        "machines": [],
        "versions": {"python": "3"},
        "missing_tables": [],
        "unknown": [],
        "inputs_sha256": "0" * 64,
        "queries": [],
    }
    return Analysis(
        window(START, days(length)),
        **{name: result(name, frame) for name, frame in table.items()},
        runs=runs,
        samples=pd.DataFrame(),
        activity=pd.DataFrame(),
        inventory=no_rows(RESULTS["inventory"]),
        run=record,
    )


def fleet(seed, machines=60, median=15.0, spread=0.6, length=25.0, bracket=0.02, stops=0.3, released=0.0):
    """A fleet that follows one release after log-normal lags of running time; returns the analysis and true lags.

    Parameters
    ----------
    bracket : float
        Mean days between the heartbeats around a change.
    stops : float
        Share of machines that are stopped once, for some days.
    released : float
        Day of the release; below 0 is before the window, so that some machines have upgraded when it begins.
    """
    draw = np.random.default_rng(seed)
    lags = np.exp(np.log(median) + spread * draw.standard_normal(machines))
    runs, outages = [], []
    for n, lag in enumerate(lags):
        name, off, held = f"m{n:03}", None, 0.0
        if draw.random() < stops:
            off = draw.uniform(max(released, 0) + 0.1, length * 0.8)
            held = draw.uniform(1, 6)
        at = released + lag
        at += held if off is not None and at > off else 0.0
        before, after = draw.exponential(bracket / 2, 2)
        if off is not None and off < length:
            outages.append(stop(name, off, off + held if off + held < length else None))
        alive = length if off is None or off + held < length else off
        if at + after >= alive:
            runs.append(run(name, "1.1", -1, alive))
        else:
            if at - before > -1:
                runs.append(run(name, "1.1", -1, at - before))
            if at - before > 0:
                runs.append(run(name, "1.2", at + after, alive))
            else:  # came before the window, which begins with it
                runs[-1:] = [] if runs and runs[-1]["computer"] == name else runs[-1:]
                runs.append(run(name, "1.2", 0, alive))
    gone = [o["computer"] for o in outages if o["ongoing"]]
    given = releases(release("1.1", "2025-06-01"), release("1.2", days(released).tz_localize(None)))
    return analysis(runs, outages, length=length, silent=gone), given, lags
