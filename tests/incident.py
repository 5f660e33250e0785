"""Incidents made by hand, small enough to be counted on fingers."""

from dataclasses import replace

import pandas as pd
from fleet import at

from amakit.analysis import Analysis
from amakit.intervals import window
from amakit.schemas import RESULTS, frame_of, result

RG = "/subscriptions/0/resourcegroups/rg/providers/microsoft.compute/virtualmachines/"
ARC = "/subscriptions/0/resourcegroups/site/providers/microsoft.hybridcompute/machines/"
SET = "/subscriptions/0/resourcegroups/rg/providers/microsoft.compute/virtualmachinescalesets/web"


def outage(computer, start, end, cause="upgrade", resource=None, slack=10, os_type="Linux", pair=("1.36", "1.38")):
    """One outage; ``start`` and ``end`` are the middles of brackets that reach ``slack`` seconds to either side."""
    half = pd.Timedelta(seconds=slack)
    begin, stop = at(f"2026-03-02 {start}"), at(f"2026-03-02 {end}") if end else pd.NaT
    length = (stop - begin).total_seconds()
    return {
        "resource_id": RG + computer if resource is None else resource,
        "computer": computer,
        "os_type": os_type,
        "cause": cause,
        "from_version": pair[0],
        "to_version": pair[1] if end else "",
        "start_earliest": begin - half,
        "start_latest": begin + half,
        "end_earliest": stop - half,
        "end_latest": stop + half,
        "downtime_s": length,
        "downtime_low_s": length - 2 * slack,
        "downtime_high_s": length + 2 * slack,
        "ongoing": not end,
        "evidence": "",
    }


def gap(of, data_type, last, first, lost, low=None, high=None, stream="", interval=60.0, ongoing=False):
    return {
        "resource_id": of["resource_id"],
        "computer": of["computer"],
        "cause": of["cause"],
        "outage_start": of["start_earliest"],
        "data_type": data_type,
        "stream": stream,
        "interval_s": interval,
        "last_before": at(f"2026-03-02 {last}"),
        "first_after": at(f"2026-03-02 {first}") if first else pd.NaT,
        "lost": lost,
        "lost_low": lost if low is None else low,
        "lost_high": lost if high is None else high,
        "ongoing": ongoing,
    }


def table(name, rows):
    return result(name, pd.DataFrame(rows, columns=list(RESULTS[name])))


def event(of, data_type, verdict, inside=0, expected=0.0, delay=None):
    return {
        "resource_id": of["resource_id"],
        "computer": of["computer"],
        "cause": of["cause"],
        "outage_start": of["start_earliest"],
        "data_type": data_type,
        "rows_inside": inside,
        "expected": expected,
        "max_delay_s": delay,
        "verdict": verdict,
    }


def act(
    of,
    began,
    number,
    operation="microsoft.compute/virtualmachines/extensions/write",
    status="failed",
    role="attempt",
    caller="admin@example.com",
):
    """An operation beside the outage that stands at place ``number`` of the table."""
    when = at(f"2026-03-02 {began}")
    return {
        "operation": operation,
        "target": of["resource_id"] + "/extensions/azuremonitorlinuxagent",
        "base": of["resource_id"],
        "began": when,
        "ended": when + pd.Timedelta(minutes=3),
        "status": status,
        "caller": caller,
        "correlation": f"c-{began}",
        "outage": number,
        "role": role,
    }


def proof(of, *pieces):
    """Rows of evidence beside an outage: instant, kind, operation, status, actor, text."""
    return [
        {
            "resource_id": of["resource_id"],
            "computer": of["computer"],
            "outage_start": of["start_earliest"],
            "time": at(f"2026-03-02 {when}"),
            "data_type": "AzureActivity",
            "kind": kind,
            "operation": operation,
            "status": status,
            "actor": actor,
            "text": text,
        }
        for when, kind, operation, status, actor, text in pieces
    ]


def analysis(outages, gaps=(), samples=(), events=(), activity=(), missing=(), spare=(), evidence=(), inventory=None):
    """An analysis of 2 March with these outages; its machines are those that had one, and some to spare."""
    own = pd.DataFrame(outages, columns=list(RESULTS["outages"]))[["resource_id", "computer", "os_type"]]
    others = pd.DataFrame([{"resource_id": RG + name, "computer": name, "os_type": "Linux"} for name in spare])
    machines = pd.concat([own, others]).drop_duplicates(["resource_id", "computer"])
    blank = {
        name: machines.get(name, pd.Series([None] * len(machines), index=machines.index))
        for name in RESULTS["machines"]
    }
    silent = [row["computer"] for row in outages if row["ongoing"]]
    blank["state"] = ["silent" if name in silent else "reporting" for name in machines["computer"]]
    runs = {
        "resource_id": "string",
        "computer": "string",
        "os_type": "string",
        "line": "long",
        "version": "string",
        "first": "datetime",
        "last": "datetime",
        "beats": "long",
    }
    kinds = {name: runs.get(name, "string") for name in ("resource_id", "computer", "data_type", "stream")}
    kinds["TimeGenerated"] = "datetime"
    seen = {name: [row[n] for row in samples] for n, name in enumerate(kinds)}
    acts = ["operation", "target", "base", "began", "ended", "status", "caller", "correlation", "outage", "role"]
    return Analysis(
        window("2026-03-02", "2026-03-03"),
        machines=frame_of(blank, RESULTS["machines"]),
        transitions=table("transitions", []),
        outages=table("outages", outages),
        gaps=table("gaps", gaps),
        runs=frame_of({name: [] for name in runs}, runs),
        samples=frame_of(seen, kinds),
        inventory=result("inventory", pd.DataFrame(inventory or [], columns=list(RESULTS["inventory"]))),
        run=({} if inventory is None else {"inventory": [{"subscription": "0", "taken": "2026-03-03T06:00:00Z"}]})
        | {
            "amakit": "0",
            "workspace": "w",
            "synthetic": False,
            "start": "2026-03-02T00:00:00Z",
            "end": "2026-03-03T00:00:00Z",
            "horizon": "2026-03-03T00:00:00Z",
            "machines": [],
            "versions": {"python": "3"},
            "missing_tables": list(missing),
            "unknown": [],
            "inputs_sha256": "0" * 64,
            "queries": [],
        },
        events=table("events", events),
        sources=table("sources", ()),
        evidence=table("evidence", evidence),
        activity=pd.DataFrame(list(activity), columns=acts),
    )


def mixed():
    """An upgrade; one that was rolled back and came the hour after; one that could not be rolled back; a stop."""
    a = outage("a", "10:00:30", "10:04:30")
    b = outage("b", "11:00:00", "11:02:00", "rolled_back", pair=("1.36", "1.36"))
    c = outage("b", "12:00:00", "12:01:00")
    d = outage("d", "20:00:00", "", "rollback_failed", os_type="Windows")
    e = outage("e", "01:00:00", "03:00:00", "machine_stopped", pair=("1.36", "1.38"))
    gaps = [
        gap(a, "Heartbeat", "10:00:00", "10:05:00", 4),
        gap(a, "Perf", "10:00:25", "10:04:40", 24, 23, 25, "x", 10.0),
        gap(b, "Heartbeat", "10:59:50", "11:02:50", 2),
        gap(c, "Heartbeat", "11:59:50", "12:01:50", 1),
        gap(c, "Perf", "11:59:50", "", 700, stream="y \\ ", ongoing=True),
        gap(d, "Heartbeat", "19:59:55", "", 240, ongoing=True),
        gap(e, "Heartbeat", "00:59:50", "03:00:10", 120),
    ]
    events = [
        event(a, "Syslog", "recovered", 3, 2.5, 240.0),
        event(b, "Syslog", "none_expected"),
        event(c, "Syslog", "possible_loss", 0, 12.0),
        event(d, "Event", "undetermined", 0, 80.0),
        event(e, "Syslog", "recovered", 9, 9.0, 7200.0),
    ]
    # the table is sorted by computer: a, b, c (computer b), d, e
    acts = [act(b, "10:59:30", 1), act(c, "11:59:30", 2, status="succeeded"), act(d, "19:59:00", 3)]
    written = proof(b, ("10:59:30", "agent_write", "extensions/write", "failed", "admin@example.com", ""))
    return analysis([a, b, c, d, e], gaps, events=events, activity=acts, spare=["f", "g"], evidence=written)


def blind():
    """Each kind of stretch without data, and an outage in which nothing was lost."""
    long = outage("a", "10:00:30", "10:04:30")
    brief = outage("b", "11:00:00", "11:00:10")  # its brackets overlap: perhaps nothing was lost
    dead = outage("d", "20:00:00", "", "rollback_failed")
    late = outage("e", "01:00:00", "03:00:00", "disconnected")
    gaps = [
        gap(long, "Heartbeat", "10:00:00", "10:05:00", 4),
        gap(dead, "Heartbeat", "19:59:55", "", 240, ongoing=True),
        gap(long, "Perf", "10:00:00", "", 700, stream="y \\ ", ongoing=True),
        gap(long, "Heartbeat", "12:00:00", "12:03:00", 2) | {"outage_start": pd.NaT, "cause": ""},
    ]
    silence = {
        "resource_id": RG + "b",
        "computer": "b",
        "data_type": "Syslog",
        "source": "cron",
        "silent_from": at("2026-03-02 13:00"),
        "silent_to": pd.NaT,
        "expected": 9.0,
        "ongoing": True,
        "outage_start": pd.NaT,
    }
    hole = {"start": "2026-03-02T05:00:00Z", "end": "2026-03-02T06:00:00Z", "table": "Perf", "reason": "cut"}
    given = analysis([long, brief, dead, late], gaps)
    return replace(given, sources=table("sources", [silence]), run=given.run | {"unknown": [hole]})


def page_of(given, name, language="en", timezone="UTC", releases=None):
    """One page of an analysis; that of a rollout needs versions that machines report."""
    from amakit.prose.gaps import gaps
    from amakit.prose.incident import incident
    from amakit.prose.rollout import rollout
    from amakit.prose.transitions import transitions

    if name == "rollout":
        return rollout(given, language, timezone, releases)
    return {"transitions": transitions, "gaps": gaps, "incident": incident}[name](given, language, timezone)


def pages(given, language="en", timezone="UTC", releases=None, names=("transitions", "gaps", "incident")):
    """The pages of an analysis by their names, with that of a rollout where machines report versions."""
    names = names if given.runs.empty else [*names, "rollout"]
    return {name: page_of(given, name, language, timezone, releases) for name in names}
