"""What the pages say of an analysis, computed once more from the result tables, slowly and without the kit's own sums."""

from collections import Counter, defaultdict
from itertools import pairwise
from statistics import median

import pandas as pd

from amakit.schemas import LOST, RESULTS, Cause, machine_labels
from amakit.study.absences import absences

FAILED, OFF = ("rolled_back", "rollback_failed"), ("machine_stopped", "machine_removed")
ATTEMPTS = ("upgrade", *FAILED)
HOUR, REPLAY = 3600, pd.Timedelta(minutes=5)


def higher(values, share):
    """The value that at least this share of the values does not exceed, of those there are."""
    values = sorted(values)
    return values[min(int(-(-(len(values) - 1) * share // 1)), len(values) - 1)] if values else float("nan")


def two_digits(number):
    return int(float(f"{number:.2g}"))


class Tables:
    """The result tables as lists of dictionaries, and what follows from them."""

    def __init__(self, analysis):
        for name in RESULTS:
            setattr(self, name, getattr(analysis, name).to_dict("records"))
        self.run, self.window, self.runs = analysis.run, analysis.window, analysis.runs.to_dict("records")
        self.horizon = pd.Timestamp(analysis.run["horizon"])
        labels = machine_labels(analysis.machines)
        self.names = {(m["resource_id"], m["computer"]): n for m, n in zip(self.machines, labels, strict=True)}
        self.activity, self.analysis = analysis.activity.to_dict("records"), analysis
        last = {}
        for o in sorted(self.outages, key=lambda o: o["start_earliest"]):
            last[self.key(o)] = o
        self.gone = {key: o for key, o in last.items() if o["ongoing"]}
        open_streams = {}
        for g in self.gaps:
            if g["ongoing"] and self.key(g) not in self.gone:
                open_streams.setdefault((*self.key(g), g["data_type"], g["stream"]), g)
        self.half = list(open_streams.values())
        self.newer = [t for t in self.transitions if t["kind"] == "upgrade"]

    def key(self, row):
        return row["resource_id"], row["computer"]

    def name(self, row):
        return self.names[self.key(row)]

    def group(self, row):
        parts = row["resource_id"].split("/")
        return parts[parts.index("resourcegroups") + 1] if "resourcegroups" in parts else ""

    def machines_of(self, rows):
        return len({self.key(row) for row in rows})

    def gaps_of(self, outage):
        own = [g for g in self.gaps if self.key(g) == self.key(outage)]
        return [g for g in own if g["outage_start"] == outage["start_earliest"]]

    def lost_in(self, outage):
        """The gaps of streams that came back with the agent, or have not for as long as it has not."""
        return [g for g in self.gaps_of(outage) if outage["ongoing"] or not g["ongoing"]]

    def of(self, outage):
        own = [e for e in self.events if self.key(e) == self.key(outage)]
        return [e for e in own if e["outage_start"] == outage["start_earliest"]]

    def unseen(self, gap):
        return gap["interval_s"] >= HOUR and gap["lost_low"] == 0

    def span(self, outage):
        return {"value": outage["downtime_s"], "low": outage["downtime_low_s"], "high": outage["downtime_high_s"]}

    def longest(self, outages):
        ended = [o for o in outages if pd.notna(o["downtime_s"])]
        worst = max(ended, key=lambda o: o["downtime_s"], default=None)
        return worst and {"machine": self.name(worst), "span": self.span(worst)}

    def sums(self, gaps):
        return {name: sum(g[name] for g in gaps) for name in ("lost", "lost_low", "lost_high")}

    def by_type(self, gaps):
        types = defaultdict(list)
        for g in gaps:
            types[g["data_type"]].append(g)
        seen = {t: self.sums(own) for t, own in types.items() if not all(map(self.unseen, own))}
        return seen, sorted(set(types) - set(seen))

    def summary(self, outages):
        """What some outages cost."""
        each = [self.sums(self.gaps_of(o)) for o in outages]  # a stream that has not come back was not spared
        lost, unseen = self.by_type([g for o in outages for g in self.lost_in(o)])
        ended = [o for o in outages if pd.notna(o["downtime_s"])]
        middle = {
            f"{name}_s": median(o[column] for o in ended) if ended else None
            for name, column in (("median", "downtime_s"), ("low", "downtime_low_s"), ("high", "downtime_high_s"))
        }
        certain = sum(one["lost_low"] > 0 for one in each)
        spared = sum(one["lost_high"] == 0 for one in each)
        return {
            "outages": len(outages),
            "machines": self.machines_of(outages),
            "blind": middle,
            "certain": certain,
            "spared": spared,
            "perhaps": len(outages) - certain - spared,
            "lost": lost,
            "unseen": unseen,
            "events": Counter(e["verdict"] for o in outages for e in self.of(o)),
            "total": self.sums([g for o in outages for g in self.lost_in(o) if g["data_type"] in lost])
            | {"types": [t for t, own in sorted(lost.items()) if own["lost_high"]]},
        }

    def with_cause(self, *causes):
        return [o for o in self.outages if o["cause"] in causes]

    def silences(self):
        """Silences of event sources that no outage of the agent explains, the worst first."""
        found = []
        sources = defaultdict(set)
        for row in self.events + self.sources:
            sources[(*self.key(row), row["data_type"])].add(row["source"])
        for s in self.sources:
            own = [o for o in self.outages if self.key(o) == self.key(s) and o["start_earliest"] == s["outage_start"]]
            if own and (own[0]["ongoing"] or s["silent_to"] <= own[0]["end_latest"] + REPLAY):
                continue
            alone = len(sources[(*self.key(s), s["data_type"])]) <= 1
            found.append(s | {"source": "" if alone else s["source"], "of": s["source"]})
        return sorted(found, key=lambda s: (not s["ongoing"], -s["expected"]))


def destinations(t):
    """Which of several workspaces received nothing of a machine while another did."""
    rows = [d | {"until": None if d["ongoing"] else d["silent_to"]} for d in t.analysis.destinations.to_dict("records")]
    rows.sort(key=lambda d: (d["until"] is not None, d["silent_from"] - (d["until"] or t.horizon)))
    return [
        {"machine": t.name(d), "silent": d["workspace"], "received_by": d["received_by"]}
        | {"since": d["silent_from"], "until": d["until"]}
        for d in rows
    ]


def common(t, zone):
    closely = [o for o in t.outages if o["ongoing"] and o["cause"] == "rollback_failed"]
    closely = closely or [o for o in t.outages if o["ongoing"] and o["cause"] == "unexplained"]
    first = min(closely, key=lambda o: o["start_earliest"], default=None)
    pool = t.with_cause("upgrade") or t.outages
    long = lambda o: float("inf") if pd.isna(o["downtime_s"]) else o["downtime_s"]  # noqa: E731
    first = first or max(pool, key=long, default=None)
    ended = [o for o in t.with_cause("upgrade") if pd.notna(o["downtime_s"])]
    lines = sorted({o["os_type"] for o in ended})
    lasted = {os: [o["downtime_s"] for o in ended if o["os_type"] == os] for os in lines}
    at = [c["first_new"].tz_convert(zone) for c in t.newer]
    weekly = Counter((when.day_of_week, when.hour) for when in at)
    busiest = min(weekly, key=lambda cell: (-weekly[cell], cell), default=None)
    silent = t.silences()
    kinds = {
        s["start"] + s["table"]: {**s, "start": pd.Timestamp(s["start"]), "end": pd.Timestamp(s["end"])}
        for s in t.run["unknown"]
    }
    return {
        "heartbeats": sum(run["beats"] for run in t.runs),
        "machines": len(t.machines),
        "start": t.window.start,
        "end": t.window.end,
        "horizon": t.horizon,
        "zone": zone,
        "synthetic": t.run["synthetic"],
        "lookback": 14,
        "run": {
            "missing_tables": t.run["missing_tables"],
            "lacking": [{"tables": t.run["missing_tables"]}] if t.run["missing_tables"] else [],
            "refused": t.run.get("refused"),
            "unknown": list(kinds.values()),
        },
        "destinations": destinations(t),
        "silent_sources": {
            "worst": [
                {
                    "source": f"{s['data_type']} ({s['source']})" if s["source"] else s["data_type"],
                    "machine": t.name(s),
                    "since": s["silent_from"],
                    "until": None if s["ongoing"] else s["silent_to"],
                    "rows": two_digits(s["expected"]),
                }
                for s in silent[:3]
            ],
            "more": max(0, len(silent) - 3),
        },
        "around": first
        and {
            "machine": t.name(first),
            "cause": first["cause"],
            "ongoing": first["ongoing"],
            "span": t.span(first),
            "types": len({g["data_type"] for g in t.lost_in(first) if g["lost_high"] > 0}),
            "lost": t.sums(t.lost_in(first)),
        },
        "downtimes": {
            "n": len(ended),
            "median": higher([o["downtime_s"] for o in ended], 0.5),
            "most": higher([o["downtime_s"] for o in ended], 0.9),
            "lines": [{"os": os, "n": len(own), "median": median(own)} for os, own in lasted.items()],
        }
        if ended
        else None,
        "hours": {
            "day": busiest[0],
            "hour": busiest[1],
            "most": weekly[busiest],
            "upgrades": len(t.newer),
            "outside": sum(not (when.day_of_week < 5 and 8 <= when.hour <= 17) for when in at),
        }
        if at
        else None,
    }


def away(t):
    return [
        {
            "stream": f"{g['data_type']} {g['stream'].rstrip(' ' + chr(92))}".strip(),
            "machine": t.name(g),
            "lost": g["lost"],
        }
        for g in t.half
    ]


def verdict(t):
    """The counts of upgrades, and what reconciles them; who is back."""
    placed = Counter(change["cause"] for change in t.newer)
    back = all(m["state"] in ("reporting", "partial") for m in t.machines) and not t.gone
    open_ones = [o for o in t.with_cause("upgrade") if not o["to_version"]]
    return t.summary(t.with_cause(*ATTEMPTS)) | {
        "seen": len(t.newer),
        "elsewhere": sum(n for cause, n in placed.items() if cause not in ("", *ATTEMPTS)),
        "unplaced": placed[""],
        "open": len(open_ones),
        "touched": t.machines_of(t.with_cause(*ATTEMPTS)),
        "silent": [{"machine": t.name(o)} for o in sorted(t.gone.values(), key=t.outages.index)],
        "reporting": back,
        "back": back and not t.half and all(m["state"] == "reporting" for m in t.machines),
    }


def transitions(t):
    here = [m for m in t.machines if m["state"] in ("reporting", "partial")]
    versions = Counter(f"{m['os_type']} {m['version']}" for m in here)
    most = max(versions.values(), default=0)
    by_machine = defaultdict(list)
    for change in t.transitions:
        by_machine[t.key(change)].append(change)
    undone = set()
    for key, own in by_machine.items():
        left = set()
        for change in own:
            if change["kind"] == "downgrade" and change["to_version"] in left:
                undone.add(t.names[key])
            if change["kind"] == "upgrade":
                left.add(change["from_version"])
    widths = {n: (c["first_new"] - c["last_old"]).total_seconds() for n, c in enumerate(t.transitions)}
    widest = max(widths, key=widths.get, default=None)
    ends = defaultdict(list)
    for run in sorted(t.runs, key=lambda run: run["last"]):
        if run["line"] == 0:
            ends[t.key(run)].append(f"{run['os_type']} {run['version']}")
    before, after = (Counter(own[n] for own in ends.values()) for n in (0, -1))
    gained = {version: after[version] - before[version] for version in {*before, *after}}
    top = max(sorted(gained), key=gained.get, default=None)
    return {
        "inventory": {
            "reporting": len(here),
            "versions": len(versions),
            "most": most,
            "common": min((v for v, n in versions.items() if n == most), default=None),
            "silent": sorted(t.name(m) for m in t.machines if m["state"] == "silent"),
        },
        "changes": {
            "machines": len(by_machine),
            "upgrades": len(t.newer),
            "downgrades": len(t.transitions) - len(t.newer),
            "median": higher(widths.values(), 0.5),
            "widest": widths[widest],
            "machine": t.name(t.transitions[widest]),
        }
        if t.transitions
        else None,
        "adoption": {"version": top, "before": before[top], "after": after[top]} if top and gained[top] > 0 else None,
        "undone": sorted(undone),
        "often": sorted(t.names[key] for key, own in by_machine.items() if len(own) >= 3),
    }


def gaps(t):
    upgrades = t.with_cause("upgrade")
    others = [o for o in t.outages if o["cause"] != "upgrade"]
    events = [e for o in upgrades for e in t.of(o)]
    losing = [e for e in events if e["verdict"] in LOST]
    pairs = list(dict.fromkeys((e["data_type"], t.name(e)) for e in losing))
    return {
        "upgrades": t.summary(upgrades) | {"longest": t.longest(upgrades)},
        "back": verdict(t),
        "away": away(t),
        "events": {
            "n": len(events),
            "loss": len(losing),
            "verdicts": Counter(e["verdict"] for e in events),
            "lost": [{"data_type": data_type, "machine": name} for data_type, name in pairs],
        },
        "others": {
            "outages": len(others),
            "machines": t.machines_of(others),
            "causes": Counter(o["cause"] for o in others),
        },
        "slow": sorted({g["data_type"] for g in t.gaps if g["interval_s"] >= HOUR}),
    }


def situation(t):
    """What has to be done, the most urgent first."""

    def since(row, when):
        return {"machine": t.name(row), "since": when, "lasted_s": round((t.horizon - when).total_seconds())}

    ended = [o for o in t.outages if not o["ongoing"]]
    tried = [o for o in ended if o["cause"] in ATTEMPTS]
    started = {t.key(o) for o in t.gone.values() if _started_again(t, o)}
    down = [o for key, o in t.gone.items() if o["cause"] not in OFF or key in started]
    down, off = (
        sorted(part, key=lambda o: o["start_earliest"])
        for part in (down, [o for o in t.gone.values() if all(o is not other for other in down)])
    )
    tables = defaultdict(list)
    for g in t.half:
        tables[(*t.key(g), g["data_type"])].append(g)
    partial = [
        since(own[0], min(g["last_before"] for g in own))
        | {"data_type": data_type, "streams": sorted(g["stream"].rstrip(" \\") for g in own)}
        for (*_, data_type), own in sorted(tables.items())
    ]
    silences = [
        since(s, s["silent_from"])
        | {
            "data_type": s["data_type"],
            "source": s["source"],
            "expected": two_digits(s["expected"]),
            "until": None if s["ongoing"] else s["silent_to"],
        }
        for s in t.silences()
    ]
    told = {(*t.key(s), s["data_type"], s["of"]) for s in t.silences()}
    doubtful = []
    for o in ended:
        lost = [e for e in t.of(o) if e["verdict"] in LOST]
        lost = [
            e
            for e in lost
            if e["verdict"] not in ("stopped", "returned_late") or (*t.key(e), e["data_type"], e["source"]) not in told
        ]
        if lost:
            doubtful.append(
                since(o, o["start_earliest"])
                | {
                    "data_types": sorted({e["data_type"] for e in lost}),
                    "expected": round(sum(e["expected"] for e in lost)),
                    "inside": int(sum(e["rows_inside"] for e in lost)),
                }
            )
    lasting = [o for o in tried if pd.notna(o["downtime_s"])]
    longest = max(lasting, key=lambda o: o["downtime_s"], default=None)
    beats = {
        cause: sum(
            g["lost"] for o in tried if o["cause"] in cause for g in t.lost_in(o) if g["data_type"] == "Heartbeat"
        )
        for cause in (ATTEMPTS, ("upgrade",))
    }
    return {
        "down": [since(o, o["start_earliest"]) | {"cause": o["cause"]} for o in down],
        "off": [since(o, o["start_earliest"]) for o in off],
        "partial": sorted(partial, key=lambda one: -one["lasted_s"]),
        "stopped_sources": [s for s in silences if s["until"] is None],
        "silences": [s for s in silences if s["until"] is not None],
        "doubtful": sorted(doubtful, key=lambda one: -one["expected"]),
        "recovered": {
            "upgrades": sum(o["cause"] == "upgrade" for o in tried),
            "rolled_back": sum(o["cause"] != "upgrade" for o in tried),
            "open": sum(o["cause"] == "upgrade" and not o["to_version"] for o in tried),
            "machines": t.machines_of(tried),
            "median_s": median(o["downtime_s"] for o in lasting) if lasting else None,
            "longest_s": longest and longest["downtime_s"],
            "longest_machine": longest and t.name(longest),
            "heartbeats": beats[ATTEMPTS],
            "of_upgrades": beats["upgrade",],
        },
        "destinations": destinations(t),
        "other": {str(c): n for c in Cause if (n := sum(o["cause"] == c for o in ended)) and c not in ATTEMPTS},
        "undecided": sum(e["verdict"] == "undetermined" for o in t.outages for e in t.of(o)),
        "unknown": len(t.run["unknown"]),
    }


def _started_again(t, outage):
    own = [e for e in t.evidence if t.key(e) == t.key(outage) and e["outage_start"] == outage["start_earliest"]]
    power = [e for e in own if e["kind"] in ("machine_stop", "machine_start") and e["status"] == "succeeded"]
    return bool(power) and max(power, key=lambda e: e["time"])["kind"] == "machine_start"


def actions(t):
    """Who is concerned by each kind of action that names machines."""
    now, chains = situation(t), defaultdict(list)
    for o in sorted(t.outages, key=lambda o: o["start_earliest"]):
        if o["cause"] in ATTEMPTS or (o["to_version"] and o["to_version"] != o["from_version"]):
            chains[t.key(o)].append(o)
    failing, waiting = set(), set()
    for key, own in chains.items():
        good = [c["first_new"] for c in t.newer if t.key(c) == key]
        good = max([*good, *(o["start_earliest"] for o in own if o["cause"] == "upgrade")], default=t.window.start)
        for before, after in pairwise(own):  # all of them on one day, so they follow each other
            if {before["cause"], after["cause"]} <= set(FAILED) and good < after["start_earliest"]:
                failing.add(t.names[key])
        if own[-1]["cause"] == "rolled_back" and key not in t.gone:
            waiting.add(t.names[key])
    unordered = ("rollback_failed", "unexplained", "machine_restarted")
    looked_at = {key for key, o in t.gone.items() if o["cause"] in unordered or _started_again(t, o)}
    removed = {key for key, o in t.gone.items() if o["cause"] == "agent_removed"}
    named = lambda keys: sorted(t.names[key] for key in keys)  # noqa: E731
    return {
        "support": sorted({t.name(o) for o in t.with_cause("rollback_failed")} | failing),
        "silent": named(key for key in looked_at if t.gone[key]["cause"] != "rollback_failed"),
        "reinstall": named(removed - looked_at),
        "rule": sorted({t.name(g) for g in t.half}),
        "events": sorted({t.name(e) for o in t.outages for e in t.of(o) if e["verdict"] in LOST}),
        "sources": sorted({t.name(s) for s in t.silences()}),
        "retry": sorted(waiting - failing),
        "unexplained": sorted({t.name(o) for o in t.with_cause("unexplained") if not o["ongoing"]}),
        "ordered": named(t.gone),
    } | {"now": now}


def failed_beside(t):
    """How many outages of other causes an operation on the agent failed beside."""
    failed = [e for e in t.evidence if e["kind"].startswith("agent_") and e["status"] == "failed"]
    beside = {(*t.key(e), e["outage_start"]) for e in failed}
    return sum((*t.key(o), o["start_earliest"]) in beside for o in t.outages if o["cause"] not in FAILED)


def outcomes(t):
    """What became of each machine of which an upgrade failed."""
    found = Counter()
    for key in {t.key(o) for o in t.with_cause(*FAILED)}:
        own = [o for o in t.with_cause(*ATTEMPTS) if t.key(o) == key]
        last = max((o for o in own if o["cause"] in FAILED), key=lambda o: o["start_earliest"])
        if any(c["first_new"] > last["start_earliest"] for c in t.newer if t.key(c) == key):
            found["upgrade"] += 1
        elif later := [o for o in own if o["start_earliest"] > last["start_earliest"]]:
            found["upgrade" if any(o["to_version"] for o in later) else "underway"] += 1
        else:
            found[last["cause"]] += 1
    return found


def incident(t):
    now, tried = situation(t), t.with_cause(*ATTEMPTS)
    others = [o for o in t.outages if o["cause"] not in ATTEMPTS]
    urgent = {one["machine"] for one in now["down"]}
    look = {one["machine"] for key in ("partial", "stopped_sources", "silences", "doubtful") for one in now[key]}
    per_hour = absences(t.analysis.outages, t.window, t.horizon)  # held against a slow count in tests/study
    count = per_hour.drop(columns=["start", "step_s"]).sum(axis=1)
    at = int(count.idxmax()) if len(count) and count.max() else None
    attempted, rest = t.summary(tried), t.summary(others)
    verdicts = Counter(e["verdict"] for e in t.events)
    hidden = [
        o
        for o in t.with_cause("machine_stopped", "machine_restarted")
        if o["to_version"] and o["to_version"] != o["from_version"]
    ]
    limited = {
        "undetermined": verdicts["undetermined"],
        "unexplained": len(t.with_cause("unexplained")),
        "hidden": len(hidden),
    }
    return {
        "now": now,
        "urgent": {"down": len(urgent), "look": len(look - urgent)},
        "verdict": verdict(t),
        "peak": None
        if at is None
        else {"machines": count[at], "start": per_hour["start"][at], "step_s": per_hour["step_s"][at]},
        "outages": {
            "n": len(t.outages),
            "machines": t.machines_of(t.outages),
            "causes": Counter(o["cause"] for o in t.outages),
            "longest": t.longest(t.outages),
        },
        "attempted": attempted,
        "others": rest,
        "unseen": sorted({*attempted["unseen"], *rest["unseen"]} - {*attempted["lost"], *rest["lost"]}),
        "away": away(t),
        "attempts": {
            "machines": t.machines_of(t.with_cause(*FAILED)),
            "outcomes": outcomes(t),
            "beside": failed_beside(t),
        },
        "acts": len({act["outage"] for act in t.activity}),
        "unexplained": limited["unexplained"],
        "limited": limited,
    }


def expected(t, page, zone="UTC"):
    """Give what a page should say of some `Tables`, in the shape of its facts."""
    own = {"transitions": transitions, "gaps": gaps, "incident": incident}.get(page)
    told = own(t) if own else {"seen": len(t.newer)}
    return common(t, zone) | told
