"""Fleets with a known truth, made independently of ``amakit demo``, to score ``amakit analyze`` against.

What the definitions leave open is varied here: whether an agent that returns keeps its phase, jitter, creep,
intervals, which evidence exists at all.  A machine lives a *story* (what happens to its agent: a list of
`Incident`) under some *twists* (how that is observed: a changed collection rule, a stepped clock, rows twice).

The cause in the truth is what the evidence that was written can show, by the definitions in design.md section 3;
what really happened stands beside it.  Instants are seconds since `START` as floats, on the true clock; a machine
whose clock is stepped writes its own.
"""

import json
import uuid
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

START = pd.Timestamp("2026-05-11T00:00:00Z").as_unit("us")
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
AMA = "Azure Monitor Agent"
LADDER = {
    "Windows": ["1.9.3", "1.10.0.0", "1.22.0", "1.29.0.0", "1.34.0"],
    "Linux": ["1.9.2", "1.10.7-2", "1.29.5", "1.33.4", "1.34.5.0"],
}


@dataclass
class Operation:
    """What somebody asked the control plane for; without an outcome its last row never came."""

    name: str
    begins: float
    ends: float
    outcome: str | None = "Success"
    extension: str = ""
    caller: str = "0f6c2a9e-7d51-4b7c-9c33-5a1d6b0e2f44"


#: Arc's service, as its object is called in one tenant, and as its application is called in all of them.
ARC_SERVICE, ARC_APPLICATION = "8e7d1c52-33aa-4f0b-9c6e-5a1d6b0e2f55", "5e5e43d4-54da-4211-86a4-c6e7f3715801"


@dataclass
class Incident:
    """The agent, or only its network, is away in ``[start, end)``.

    `version` reports afterwards; `off` is when the operating system went down and came up, and `how` it did.
    """

    happened: str
    start: float
    end: float
    version: str
    ongoing: bool = False
    off: tuple | None = None
    how: str = ""
    loses_events: bool = False
    operations: list = field(default_factory=list)

    @property
    def down(self):
        return self.happened != "disconnected"


@dataclass
class Stream:
    """Something that is sampled on a clock; `changes` is an instant and the interval from then on."""

    table: str
    key: tuple
    interval: float
    columns: dict
    changes: tuple | None = None
    dead: bool = False  # does not come back with the agent after the last incident


@dataclass
class Machine:
    """One machine: what it is, what happens to it, how it is seen."""

    rng: np.random.Generator
    story: str
    os_type: str
    kind: str
    name: str
    end: float
    since: float = 0.0
    resource_id: str = ""
    computer: str = ""
    version: str = ""
    phase: str = "kept"
    jitter: float = 0.0
    creep: float = 0.0
    lag: float = 0.0
    activity: bool = True
    system_log: bool = True
    announced: bool = True
    uptime: bool = False
    incidents: list = field(default_factory=list)
    streams: list = field(default_factory=list)
    noise: list = field(default_factory=list)  # operations that explain nothing
    step: tuple | None = None
    lost_beats: tuple = ()
    delayed: float | None = None
    dual: bool = False
    doubled: bool = False
    filtered: float = 0.0
    chatter: float = 20.0

    @property
    def known_as(self):
        return {"resource_id": self.resource_id.lower(), "computer": self.computer.lower()}

    def clock(self, times):
        """Tell what the machine's own clock shows."""
        return times if self.step is None else times + self.step[1] * (np.asarray(times) >= self.step[0])

    def near(self, time, margin):
        return any(i.start - margin < time < i.end + margin for i in self.incidents)

    def calm(self, margin=6 * HOUR):
        """Draw an instant well away from every incident, or None."""
        for _ in range(40):
            time = self.rng.uniform(self.since + margin, self.end - margin)
            if not self.near(time, margin):
                return float(time)
        return None


@dataclass
class Truth:
    """What really happened, in frames; times in UTC, machines in lower case."""

    start: pd.Timestamp
    end: pd.Timestamp
    machines: pd.DataFrame
    outages: pd.DataFrame
    transitions: pd.DataFrame
    losses: pd.DataFrame
    events: pd.DataFrame


# -- stories: what happens to an agent ----------------------------------------------------------------------------


def _day(m, spare=0.0):
    """Draw an instant in the middle of the window, leaving room afterwards."""
    return float(m.rng.uniform(m.since + 5 * HOUR, m.end - 5 * HOUR - spare))


def _length(m):
    """Draw how long an extension is replaced: seconds mostly, sometimes most of an hour."""
    return float(
        m.rng.choice([m.rng.uniform(5, 40), m.rng.uniform(40, 400), m.rng.uniform(400, 2400)], p=[0.3, 0.5, 0.2])
    )


def _write(m, start, end, outcome, caller=None, automatic=False):
    """Make the operation of a replaced extension; some hang.  Arc's own service upgrades by an action of its own."""
    r, words = m.rng, ("upgradeExtensions/action", "extensions/write")
    names = {
        "vm": "Microsoft.Compute/virtualMachines/extensions/write",
        "set": "Microsoft.Compute/virtualMachineScaleSets/extensions/write",
        "arc": f"Microsoft.HybridCompute/machines/{words[int(r.integers(2)) * (not automatic)]}",
    }
    if m.kind not in names:
        return []
    own = {"caller": caller} if caller else {}
    if names[m.kind].endswith("action"):
        own = {"caller": ARC_SERVICE}
    outcome = None if r.random() < 0.15 else outcome
    return [
        Operation(
            names[m.kind],
            start - r.uniform(3, 50),
            end + r.uniform(5, 200),
            outcome,
            f"AzureMonitor{m.os_type}Agent",
            **own,
        )
    ]


def _replaced(m, start, version, length=None, happened="upgrade", outcome="Success", **more):
    end = start + (_length(m) if length is None else length)
    if happened == "rolled_back" and m.kind == "vm":
        outcome = "Failure"  # Arc calls it a success when the old version is back
    return Incident(
        happened,
        start,
        end,
        version,
        operations=_write(m, start, end, outcome, automatic=happened == "rolled_back"),
        **more,
    )


def _halted(m, start, length, version, how, actions=()):
    """Stop the operating system, and start it again after `length`."""
    off = (start + m.rng.uniform(1, 12), start + length - m.rng.uniform(12, 70))
    verbs = {"deallocate": start - 20, "powerOff": start - 10, "restart": start - 12, "start": off[1] - 25}
    person = "m.okafor@fabrikam.example"
    told = [
        Operation(f"Microsoft.Compute/virtualMachines/{verb}/action", verbs[verb], verbs[verb] + 35, caller=person)
        for verb in actions
    ]
    happened = "machine_stopped" if how == "stop" else "machine_restarted"
    return Incident(happened, start, start + length, version, off=off, how=how, operations=told)


def _upgrade(m, old, new):
    return [_replaced(m, _day(m), new)]


def _upgrade_short(m, old, new):
    return [_replaced(m, _day(m), new, m.rng.uniform(5, 15))]


def _upgrade_long(m, old, new):
    return [_replaced(m, _day(m, 12 * HOUR), new, m.rng.choice([1200, 5000, 30000]) * m.rng.uniform(0.7, 1.4))]


def _there_and_back(m, old, new):
    up = _replaced(m, _day(m), new)
    back = _replaced(m, up.end + m.rng.uniform(3, 40) * MINUTE, old, happened="rolled_back")
    back.operations = []
    return [up, back]


def _double_hop(m, old, new):
    m.version = LADDER[m.os_type][0]
    first = _replaced(m, _day(m), old, m.rng.uniform(15, 150))
    return [first, _replaced(m, first.end + m.rng.uniform(3, 12) * MINUTE, new, m.rng.uniform(15, 150))]


def _retry_arc(m, old, new):
    times = _day(m, 6 * HOUR) + HOUR * np.arange(m.rng.integers(3, 6)) + m.rng.uniform(-90, 90)
    failed = [_replaced(m, float(t), old, m.rng.uniform(90, 500), "rolled_back") for t in times[:-1]]
    return [*failed, _replaced(m, float(times[-1]), new)]


def _retry_vm(m, old, new):
    first = m.rng.uniform(m.since + 5 * HOUR, m.end - DAY - 6 * HOUR)
    return [
        _replaced(m, first, old, m.rng.uniform(90, 700), "rolled_back"),
        _replaced(m, first + DAY + m.rng.uniform(-1, 1) * HOUR, new),
    ]


def _rolled_back(m, old, new):
    return [_replaced(m, _day(m), old, m.rng.uniform(90, 1500), "rolled_back")]


def _rollback_failed(m, old, new):
    start = m.rng.uniform(m.since + DAY, m.end - 4 * HOUR)
    attempt = _write(m, start, start + 20 * MINUTE, m.rng.choice(["Failure", "Success"]))
    return [Incident("rollback_failed", start, m.end, "", ongoing=True, operations=attempt)]


def _failed_then_stopped(m, old, new):
    (only,) = _rollback_failed(m, old, new)
    at = only.start + m.rng.uniform(0.5, 2.5) * HOUR
    stop = Operation("Microsoft.Compute/virtualMachines/deallocate/action", at, at + 40)
    only.happened, only.operations = "failed_then_stopped", [*only.operations, stop]
    return [only]


def _hours(m):
    return float(np.exp(m.rng.uniform(np.log(0.5), np.log(12))) * HOUR)


def _stopped(m, old, new):
    return [_halted(m, _day(m, 13 * HOUR), _hours(m), old, "stop", ("deallocate", "start"))]


def _stopped_upgraded(m, old, new):
    return [_halted(m, _day(m, 13 * HOUR), _hours(m), new, "stop", ("deallocate", "start"))]


def _stopped_by_log(m, old, new):
    m.activity, m.system_log, m.announced, m.chatter = False, True, False, 30.0
    return [_halted(m, _day(m, 13 * HOUR), _hours(m), str(m.rng.choice([old, new])), "stop")]


def _stopped_by_uptime(m, old, new):
    m.activity, m.system_log, m.uptime = False, False, True
    return [_halted(m, _day(m, 13 * HOUR), _hours(m), str(m.rng.choice([old, new])), "stop")]


def _stopped_for_good(m, old, new):
    only = _halted(m, m.rng.uniform(m.since + DAY, m.end - 4 * HOUR), 2 * DAY, "", "stop", ("deallocate",))
    only.off, only.end, only.ongoing = (only.off[0], m.end + 1), m.end, True
    return [only]


def _restarted(m, old, new):
    return [_halted(m, _day(m), m.rng.uniform(75, 420), old, "restart", ("restart",) if m.rng.random() < 0.5 else ())]


def _crashed(m, old, new):
    m.system_log, m.uptime = True, True
    return [_halted(m, _day(m), m.rng.uniform(75, 420), old, "crash")]


def _unexplained(m, old, new):
    length = float(np.exp(m.rng.uniform(np.log(45), np.log(12 * HOUR))))
    start = _day(m, 13 * HOUR)
    # another extension was written just then: it explains nothing
    m.noise += _others(m, start - 20)
    return [Incident("unexplained", start, start + length, old)]


def _many(m, old, new):
    """Stop for no reason once in most days, for anything between seconds and hours."""
    starts = np.arange(m.since + 6 * HOUR, m.end - 20 * HOUR, 0.9 * DAY) + m.rng.uniform(0, 4 * HOUR)
    lengths = np.exp(m.rng.uniform(np.log(5), np.log(12 * HOUR), starts.size))
    return [Incident("unexplained", float(s), float(s + n), old) for s, n in zip(starts, lengths, strict=True)]


def _disconnected(m, old, new):
    start = _day(m, 4 * HOUR)
    return [Incident("disconnected", start, start + m.rng.uniform(12 * MINUTE, 3 * HOUR), old)]


def _downgraded(m, old, new):
    m.version, lower = new, LADDER[m.os_type][0]
    start = _day(m)
    end = start + _length(m)
    return [
        Incident(
            "downgraded", start, end, lower, operations=_write(m, start, end, "Success", "t.ruiz@fabrikam.example")
        )
    ]


def _event_loss(m, old, new):
    m.chatter = 90.0
    return [_replaced(m, _day(m), new, m.rng.uniform(500, 3000), loses_events=True)]


def _newcomer(m, old, new):
    m.since = float(m.rng.uniform(0.3, 0.5) * m.end)
    return []


def _quiet(m, old, new):
    return []


#: Story to what it tells and to what it needs: a kind of machine, ``perf`` where a counter tells it.
STORIES = {
    "upgrade": (_upgrade, ""), "upgrade_short": (_upgrade_short, ""), "upgrade_long": (_upgrade_long, ""),
    "there_and_back": (_there_and_back, ""), "double_hop": (_double_hop, ""), "retry_arc": (_retry_arc, "arc"),
    "retry_vm": (_retry_vm, "vm"), "rolled_back": (_rolled_back, ""), "rollback_failed": (_rollback_failed, ""),
    "failed_then_stopped": (_failed_then_stopped, "vm"), "stopped": (_stopped, "vm"),
    "stopped_upgraded": (_stopped_upgraded, "vm"), "stopped_by_log": (_stopped_by_log, ""),
    "stopped_by_uptime": (_stopped_by_uptime, "perf"), "stopped_for_good": (_stopped_for_good, "vm"),
    "restarted": (_restarted, "vm"), "crashed": (_crashed, "perf"), "unexplained": (_unexplained, ""),
    "many": (_many, ""), "disconnected": (_disconnected, ""), "partial": (_upgrade, "perf"),
    "downgraded": (_downgraded, ""), "event_loss": (_event_loss, ""), "newcomer": (_newcomer, ""),
    "quiet": (_quiet, ""),
}  # fmt: skip
#: Instances of one scale set share its id, so that only what the machine itself says can be told apart.
_IN_SET = ("upgrade", "upgrade_short", "upgrade_long", "double_hop", "partial", "quiet")


# -- the fleet ------------------------------------------------------------------------------------------------------


def fleet(seed, machines, days, phase=None, jitter=None, creep=None, activity=True, perf=True, twists=True):
    """Draw the machines of a fleet and what happens to each."""
    rng = np.random.default_rng([seed, 77])
    order = rng.permutation(list(STORIES)).tolist()
    told = [order[n % len(order)] for n in range(machines)]
    drawn = [_machine(n, story, r, days) for n, (story, r) in enumerate(zip(told, rng.spawn(machines), strict=True))]
    for m in drawn:
        given = {"phase": phase, "jitter": jitter, "creep": creep}
        for name in (name for name, value in given.items() if value is not None):
            setattr(m, name, given[name])
        _live(m, perf)
        m.activity = m.activity and activity and m.kind != "bare"
    _name(drawn, rng)
    if twists:
        _twist(drawn, rng)
    return drawn


def _machine(number, story, rng, days):
    needs = STORIES[story][1]
    kind = str(rng.choice(["vm", "arc", "bare"], p=[0.65, 0.22, 0.13]))
    if story in _IN_SET and rng.random() < 0.7:
        kind = "set"
    m = Machine(
        rng,
        story,
        os_type=str(rng.choice(["Windows", "Linux"])),
        kind=needs if needs in ("vm", "arc") else kind,
        name=f"{rng.choice(['pay', 'hub', 'etl', 'dc'])}{number:03d}",
        end=days * DAY,
        phase=str(rng.choice(["kept", "at_once", "anywhere"])),
        jitter=float(rng.choice([0, 0.02, 0.1, 0.5])),
        creep=float(rng.uniform(0, 0.010)),
        lag=float(rng.uniform(0.1, 8)),
        activity=rng.random() < 0.8,
        system_log=rng.random() < 0.7,
        announced=rng.random() < 0.7,
        uptime=rng.random() < 0.35,
        chatter=float(np.exp(rng.uniform(np.log(2), np.log(90)))),
        filtered=float(rng.choice([0, 0, 0.3])),
    )
    old = int(rng.integers(1, len(LADDER[m.os_type]) - 1))
    m.version = LADDER[m.os_type][old]
    return m


def _live(m, perf):
    """Let a machine live its story."""
    rungs = LADDER[m.os_type]
    tell, needs = STORIES[m.story]
    m.incidents = tell(m, m.version, rungs[rungs.index(m.version) + 1])
    m.noise += _others(m, float(m.rng.uniform(m.since, m.end)))
    m.streams = _streams(m, perf, alone=needs != "perf" and not m.uptime and m.rng.random() < 0.18)
    if m.story == "partial" and len(m.streams) > 1:
        m.streams[-1].dead = True


def _others(m, at):
    """Give an operation on another extension."""
    if m.kind != "vm":
        return []
    extension = str(m.rng.choice(["DependencyAgentWindows", "ChangeTracking-Linux", "MDE.Windows", "CustomScript"]))
    outcome = str(m.rng.choice(["Success", "Failure"]))
    return [Operation("Microsoft.Compute/virtualMachines/extensions/write", at, at + 70, outcome, extension)]


_COUNTERS = [
    ("LogicalDisk", "% Free Space", "C:"), ("LogicalDisk", "% Free Space", "D:"), ("Processor", "% Processor Time", "0"),
    ("Processor", "% Processor Time", "_Total"), ("Memory", "% Used Memory", ""), ("Network", "Total Bytes", "eth0"),
]  # fmt: skip


def _streams(m, perf, alone):
    """Choose what a machine samples; `alone` is the heartbeat only."""
    r = m.rng
    streams = [Stream("Heartbeat", (), 60.0, {})]
    if alone or not perf:
        return streams
    if m.uptime:
        counter = ("System", "System Up Time" if m.os_type == "Windows" else "Uptime", "")
        streams.append(_counter(counter, r.choice([60, 60, 30, 300])))
    if r.random() < 0.35:
        for space, name, tags in [
            ("Computer", "Heartbeat", {}),
            ("LogicalDisk", "ReadsPerSecond", {"vm.azm.ms/mountId": "D:"}),
            ("Network", "WriteBytesPerSecond", {"vm.azm.ms/networkDeviceId": "eth0"}),
        ]:
            columns = {"Namespace": space, "Name": name, "Tags": json.dumps(tags), "Origin": "vm.azm.ms"}
            streams.append(Stream("InsightsMetrics", (space, name, *tags.values()), 60.0, columns))
    if r.random() < 0.3:
        for kind in ("Software", "WindowsServices" if m.os_type == "Windows" else "Daemons"):
            streams.append(
                Stream("ConfigurationData", (kind,), float(r.choice([3600, 36000])), {"ConfigDataType": kind})
            )
    if m.kind in ("vm", "arc") and r.random() < 0.2:
        streams.append(Stream("AMAHealth", (), 900.0, {"AgentType": f"AzureMonitor{m.os_type}Agent"}))
    for n in r.permutation(len(_COUNTERS))[: r.integers(1, 5)]:
        interval = r.choice([10, 15, 30, 60, 300, 3600], p=[0.14, 0.1, 0.15, 0.38, 0.13, 0.1])
        streams.append(_counter(_COUNTERS[n], interval))
    return streams


def _counter(key, interval):
    return Stream(
        "Perf", key, float(interval), dict(zip(("ObjectName", "CounterName", "InstanceName"), key, strict=True))
    )


def _name(fleet, rng):
    """Give each machine its resource id and computer name; two share a name."""
    subscription = uuid.UUID(bytes=rng.bytes(16))
    for m in fleet:
        group = f"/subscriptions/{subscription}/resourceGroups/RG-{m.name[:3]}/providers/"
        m.resource_id = {
            "vm": group + f"Microsoft.Compute/virtualMachines/{m.name}",
            "arc": group + f"Microsoft.HybridCompute/machines/{m.name}",
            "set": f"/subscriptions/{subscription}/resourceGroups/RG-set/providers/Microsoft.Compute/virtualMachineScaleSets/pool",
            "bare": "",
        }[m.kind]
        m.computer = m.name + str(m.rng.choice(["", ".fabrikam.example"]))
    twins = [m for m in fleet if m.kind in ("vm", "arc")][:2]
    for m in twins:
        m.computer = twins[0].computer


def _twist(fleet, rng):
    """Lay each twist on some machines that can bear it."""
    some = max(1, len(fleet) // 8)

    def chosen(fits=lambda m: True):
        return [m for m in rng.permutation(np.array(fleet, dtype=object)) if fits(m)][:some]

    for m in chosen(lambda m: any(s.table == "Perf" and not s.dead and s.interval == 60 for s in m.streams)):
        stream = next(s for s in m.streams if s.table == "Perf" and not s.dead and s.interval == 60)
        at = m.calm()
        stream.changes = at and (at, float(m.rng.choice([30, 30, 15, 300])))
    for m in chosen():
        at = m.calm()
        m.step = at and (at, float(m.rng.choice([-1, 1]) * m.rng.uniform(1.5, 6)))
    for m in chosen(lambda m: sum(s.interval <= 60 for s in m.streams if not s.dead) > 1):
        m.lost_beats = tuple(filter(None, (m.calm(2 * HOUR) for _ in range(3))))
    for m in chosen(lambda m: any(s.table == "Perf" for s in m.streams)):
        m.delayed = m.calm()
    for m in chosen():
        m.dual = True
    for m in chosen():
        m.doubled = True
    for m in chosen(lambda m: m.kind in ("vm", "arc")):  # settings were written, or could not be: no outage
        at = m.calm()
        if at is not None:
            m.noise += [
                o for o in _write(m, at, at + 60, str(rng.choice(["Success", "Failure"]))) if o.name.endswith("/write")
            ]


# -- rows ------------------------------------------------------------------------------------------------------------


@dataclass
class Chunk:
    """Rows of one stream or log of one machine.

    A column is one text, an array of numbers, or a pair of an array of codes and the texts that they stand for.
    """

    times: np.ndarray
    received: np.ndarray
    columns: dict


def _schedule(m, stream):
    """Give the instants a stream is due, outages or not: each life's own clock runs until the next begins."""
    ends = [i.end for i in m.incidents if i.down and not i.ongoing] if m.phase != "kept" else []
    lives = sorted(
        [(m.since, "new"), *((e, "back") for e in ends), *([(stream.changes[0], "rule")] if stream.changes else [])]
    )
    parts = []
    for (since, why), (until, _) in pairwise([*lives, (m.end, "")]):
        interval = stream.changes[1] if stream.changes and since >= stream.changes[0] else stream.interval
        at_once = why == "back" and m.phase == "at_once"
        first = since + (m.lag + m.rng.uniform(0, 0.3) if at_once else m.rng.uniform(0, interval))
        exact = first + (interval + m.creep) * np.arange(max(0, np.ceil((until - first) / interval)))
        times = np.maximum(exact + m.rng.normal(0, m.jitter, exact.size) if m.jitter else exact, since)
        parts.append(times[times < until])
    return np.sort(np.concatenate(parts))


def _sampled(m, stream):
    """Give the instants at which a stream was sampled, and what each incident took from it."""
    times = _schedule(m, stream)
    gone, lost = np.zeros(times.size, bool), []
    for n, incident in enumerate(m.incidents):
        until = m.end if stream.dead and n == len(m.incidents) - 1 else incident.end
        inside = (times >= incident.start) & (times < until) & incident.down
        lost.append(int(inside.sum()))
        gone |= inside
    if stream.table == "Heartbeat":
        for at in m.lost_beats:
            gone[np.searchsorted(times, at)] = True
    return times[~gone], lost


def _received(m, times, table):
    """Say when rows got to the workspace: seconds later, some minutes, and after a broken network all at once."""
    r = m.rng
    received = times + 4 + r.gamma(3, 6, times.size)
    late = r.random(times.size) < 0.003
    received[late] += r.exponential(4 * MINUTE, late.sum())
    if table == "Perf" and m.delayed is not None:
        received[(times >= m.delayed) & (times < m.delayed + HOUR)] += 10 * MINUTE
    for i in m.incidents:
        held = (received >= i.start) & (times < i.end)
        if i.down:  # what happened meanwhile is read when the agent is back
            held = (times >= i.start) & (times < i.end)
        received[held] = i.end + r.uniform(2, 80, held.sum())
    return received


def _spelled(m, table):
    """Spell a machine as one table does."""
    resource = [m.resource_id, m.resource_id.lower(), m.resource_id.upper()][m.rng.choice(3, p=[0.3, 0.6, 0.1])]
    computer = m.computer.upper() if m.rng.random() < 0.1 else m.computer
    if table == "AMAHealth":
        return {"_ResourceId": f"{resource}/extensions/AzureMonitor{m.os_type}Agent"}
    return {"_ResourceId": resource, "Computer": computer}


def _values(m, stream, times):
    """Give the columns that change from sample to sample."""
    if stream.table == "Perf" and stream.key[0] == "System":
        boots = np.array([-9.7 * DAY, *(i.off[1] for i in m.incidents if i.off)])
        return {"CounterValue": times - boots[np.searchsorted(boots, times, side="right") - 1]}
    if stream.table == "Perf":
        return {"CounterValue": np.full(times.size, 41.5)}
    if stream.table == "InsightsMetrics":
        return {"Val": np.full(times.size, 3.25)}
    versions = [m.version, *(i.version for i in m.incidents)]
    life = np.searchsorted([i.end for i in m.incidents if not i.ongoing], times, side="right")
    if stream.table == "AMAHealth":
        return {"AgentVersion": (life, versions), "AgentHealth": np.zeros(times.size, "int32")}
    if stream.table == "Heartbeat":
        environment = "Azure" if m.kind in ("vm", "set") else "Non-Azure"
        about = {"OSType": m.os_type, "ComputerEnvironment": environment, "SourceComputerId": f"src-{m.name}"}
        return {"Version": (life, versions), "Category": AMA} | about
    return {}


def _periodic(m, tables):
    """Make all sampled rows of one machine; give per stream what was lost, and its heartbeats."""
    losses, beats = [], None
    for stream in m.streams:
        times, lost = _sampled(m, stream)
        spelled = _spelled(m, stream.table)
        columns = spelled | stream.columns | _values(m, stream, times)
        if stream.table == "Heartbeat":
            beats = times
        losses.append((stream, lost))
        rows = [Chunk(times, _received(m, times, stream.table), columns)]
        if stream.table == "ConfigurationData":  # one snapshot is several rows
            rows = [Chunk(rows[0].times, rows[0].received, columns | {"SoftwareName": name}) for name in "abc"]
        if m.doubled and stream.table in ("Perf", "Heartbeat"):
            rows *= 2
        tables.setdefault(stream.table, []).extend(_stepped(m, c) for c in rows)
        if stream.table == "Heartbeat" and m.dual:
            tables["Heartbeat"].append(_stepped(m, _second_agent(m, columns)))
    return losses, beats


def _second_agent(m, columns):
    """Give the beats of the old agent beside it, which is down only when the machine is."""
    times = m.since + m.rng.uniform(0, 60) + 60.0 * np.arange(int((m.end - m.since) // 60) - 1)
    for start, end in (i.off for i in m.incidents if i.off):
        times = times[(times < start) | (times >= end)]
    return Chunk(times, times + 9, columns | {"Version": "10.20.18069.0", "Category": "Direct Agent"})


def _stepped(m, chunk):
    return chunk if m.step is None else Chunk(m.clock(chunk.times), chunk.received, chunk.columns)


_MARKS = {  # edge of the time that the system was off, seconds from it, who says it, number, text
    "Windows": {
        "stop": [("said", -6, "User32", 1074, "The process msiexec.exe has initiated the power off of computer. Shutdown Type: power off"),
                 ("off", 0, "EventLog", 6006, "The Event log service was stopped."),
                 ("boot", 4, "EventLog", 6005, "The Event log service was started.")],
        "restart": [("said", -6, "User32", 1074, "The process svchost.exe has initiated the restart of computer. Shutdown Type: restart"),
                    ("off", 0, "EventLog", 6006, "The Event log service was stopped."),
                    ("boot", 4, "EventLog", 6005, "The Event log service was started.")],
        "crash": [("boot", 2, "Microsoft-Windows-Kernel-Power", 41, "The system has rebooted without cleanly shutting down first."),
                  ("boot", 5, "EventLog", 6008, "The previous system shutdown at 3:12:07 AM was unexpected."),
                  ("boot", 5, "EventLog", 6005, "The Event log service was started.")],
    },
    "Linux": {
        "stop": [("said", -6, "systemd-logind", 0, "System is powering down."),
                 ("off", 0, "systemd", 0, "Reached target Power-Off."),
                 ("boot", 1, "kernel", 0, "Linux version 5.15.0-1064-azure (buildd@lcy02) #73-Ubuntu SMP")],
        "restart": [("said", -6, "systemd-logind", 0, "System is rebooting."),
                    ("off", 0, "systemd", 0, "Reached target Reboot."),
                    ("boot", 1, "kernel", 0, "Linux version 5.15.0-1064-azure (buildd@lcy02) #73-Ubuntu SMP")],
        "crash": [("boot", 1, "kernel", 0, "Linux version 5.15.0-1064-azure (buildd@lcy02) #73-Ubuntu SMP"),
                  ("boot", 9, "systemd", 0, "Startup finished in 2.911s (kernel) + 9.402s (userspace) = 12.313s.")],
    },
}  # fmt: skip


def _marks(m):
    """Say what the system's own log holds of the times it went down: (instant, source, number, text)."""
    rows = []
    for i in (i for i in m.incidents if i.off and m.system_log):
        edges = {"said": i.start, "off": i.off[0], "boot": i.off[1]}
        rows += [
            (edges[edge] + late, source, number, text)
            for edge, late, source, number, text in _MARKS[m.os_type][i.how]
            if edge != "said" or m.announced
        ]
    return [row for row in rows if row[0] < m.end]


def _happening(m, hourly):
    """Draw when things happen: at any time that the machine is on."""
    times = np.sort(m.rng.uniform(m.since, m.end, m.rng.poisson(hourly * (m.end - m.since) / HOUR)))
    for start, end in (i.off for i in m.incidents if i.off):
        times = times[(times < start) | (times >= end)]
    return times


def _logged(m, tables):
    """Make all rows of one machine that are read from logs; give what each incident took from each table."""
    names = {"Windows": ["Event", "WindowsEvent", "SecurityEvent"], "Linux": ["Syslog"]}[m.os_type]
    names = [n for n in names if n in ("Event", "Syslog") or m.rng.random() < 0.6]
    if m.kind != "set" and m.rng.random() < 0.5:
        names.append("Ledger_CL")
    return [row for table in names for row in _log(m, table, tables)]


def _log(m, table, tables):
    times = _happening(m, m.chatter * m.rng.uniform(0.5, 1.5))
    texts = [("app", "Ledger", 1000, "A batch was accepted.")]
    marks = _marks(m) if table in ("Event", "Syslog") else []
    texts += [("System", *mark[1:]) for mark in marks]
    codes = np.concatenate([np.zeros(times.size, int), 1 + np.arange(len(marks))])
    times = np.concatenate([times, [mark[0] for mark in marks]])
    order = np.argsort(times, kind="stable")
    times, codes = times[order], codes[order]
    kept, report = _survivors(m, table, times)
    numbers = int(m.rng.integers(1e3, 1e7)) + np.arange(times.size)
    kept &= (m.rng.random(times.size) >= m.filtered) | (table not in ("WindowsEvent", "SecurityEvent"))
    times, codes, numbers = times[kept], codes[kept], numbers[kept]
    columns = _spelled(m, table) | _words(table, codes, texts)
    if table in ("WindowsEvent", "SecurityEvent"):
        columns["EventRecordId"] = numbers
    if table.endswith("_CL") and m.kind in ("vm", "arc") and m.rng.random() < 0.4:
        columns["Computer"] = ""  # custom logs often do not say
    tables.setdefault(table, []).append(_stepped(m, Chunk(times, _received(m, times, table), columns)))
    return report


def _survivors(m, table, times):
    """Say which events ever arrive, and count for each incident."""
    kept, report = np.ones(times.size, bool), []
    for n, i in enumerate(m.incidents):
        inside = (times >= i.start) & (times < i.end)
        lost = inside & (i.ongoing or i.loses_events) & i.down
        kept &= ~lost
        share = 1 - m.filtered if table in ("WindowsEvent", "SecurityEvent") else 1
        report.append(
            (n, table, int(inside.sum() * share), int((inside & ~lost).sum() * share), int(lost.sum() * share))
        )
    return kept, report


def _words(table, codes, texts):
    channel, source, number, text = ([t[k] for t in texts] for k in range(4))
    if table == "Syslog":
        levels = ["kern" if s == "kernel" else "daemon" for s in source]
        return {
            "Facility": (codes, levels),
            "ProcessName": (codes, source),
            "ProcessID": np.array([{"kernel": 0, "systemd": 1}.get(s, 700) for s in source], "int32")[codes],
            "SyslogMessage": (codes, text),
            "SeverityLevel": "info",
        }
    if table == "Event":
        channel = ["Application" if c == "app" else c for c in channel]
        return {
            "EventLog": (codes, channel),
            "Source": (codes, source),
            "RenderedDescription": (codes, text),
            "EventID": np.array(number, "int32")[codes],
            "EventLevelName": "Information",
        }
    if table == "WindowsEvent":
        return {"Channel": "Contoso/Operational", "Provider": "Ledger", "EventID": np.full(codes.size, 200, "int32")}
    if table == "SecurityEvent":
        return {"Channel": "Security", "EventSourceName": "Auditing", "EventID": np.full(codes.size, 4624, "int32")}
    return {"RawData": "a line"}


# -- the activity log -------------------------------------------------------------------------------------------------

_STATUS = [
    {"Start": "Start", "Accept": "Accept", "Success": "Success", "Failure": "Failure"},
    {"Start": "Started", "Accept": "Accepted", "Success": "Succeeded", "Failure": "Failed"},
]


def _activity(m):
    """Tell the operations on one machine, several rows each."""
    rows, status = [], _STATUS[m.rng.integers(2)]
    for op in [*(o for i in m.incidents for o in i.operations), *m.noise]:
        target = m.resource_id + (f"/extensions/{op.extension}" if op.name.endswith("extensions/write") else "")
        said = {}
        if op.name.endswith("upgradeExtensions/action") and m.rng.random() < 0.7:
            said = {"requestbody": json.dumps({"extensionTargets": {f"Microsoft.Azure.Monitor.{op.extension}": {}}})}
        spell = [str.upper, str.upper, str.lower, str][m.rng.integers(4)]
        steps = [("Start", op.begins), ("Accept", op.begins + m.rng.uniform(-0.5, 3)), (op.outcome, op.ends)]
        shared = {
            "OperationNameValue": spell(op.name),
            "Caller": op.caller,
            "CategoryValue": "Administrative",
            "Claims": json.dumps({"appid": ARC_APPLICATION}) if op.caller == ARC_SERVICE else "",
            "CorrelationId": str(uuid.UUID(bytes=m.rng.bytes(16))),
            "ResourceId": target,
            "_ResourceId": [target, target.lower(), m.resource_id.lower()][m.rng.integers(3)],
            "Properties_d": json.dumps(said | {"entity": target}),
            "ResourceProviderValue": op.name.split("/")[0].upper(),
        }
        shout = m.rng.random() < 0.15
        for word, at in steps:
            if word is None or at >= m.end:
                continue
            value = status[word].upper() if shout else status[word]
            rows.append(
                shared
                | {"at": at, "ActivityStatusValue": value, "Level": "Error" if word == "Failure" else "Information"}
            )
    return rows


# -- the truth ----------------------------------------------------------------------------------------------------------


def _evident(m, incident, version, seen, logs):
    """Name the cause that the evidence can show, and one more where it cannot decide between two."""
    changed = not incident.ongoing and incident.version != version
    plain = "upgrade" if changed else "unexplained"
    told = m.activity and bool(incident.operations)
    match incident.happened:
        case "downgraded":
            return "downgrade", "rolled_back"
        case "rolled_back":  # a write that never said how it ended may have been one of settings
            shown = told and any(op.outcome == "Failure" or op.name.endswith("action") for op in incident.operations)
            return ("rolled_back" if shown or seen else "unexplained"), ""
        case "rollback_failed":
            return ("rollback_failed" if told else "unexplained"), ""
        case "failed_then_stopped":
            return ("rollback_failed" if told else "unexplained"), ""  # what was done hours later is a note
        case "machine_stopped" | "machine_restarted":
            log = logs and m.system_log and (m.announced or not incident.ongoing)
            counter = not incident.ongoing and any(s.key[:1] == ("System",) for s in m.streams)
            if not (told or log or counter):
                return plain, ""
            # a counter alone says that the machine booted, not whether it was meant to; so does a crash
            sure = incident.happened == "machine_stopped" or (
                incident.how == "restart" and (told or (log and m.announced))
            )
            return incident.happened, "" if sure else "machine_stopped"
        case "upgrade" | "disconnected":
            return (plain if incident.happened == "upgrade" else "disconnected"), ""
    return "unexplained", ""


def _findable(m, n, changed, losses):
    """Say whether anything in the rows shows this incident; a beat that is missing once may just have got lost."""
    taken = [lost[n] for s, lost in losses if s.interval <= 60]
    if changed or not m.incidents[n].down:
        return True
    if sum(taken) == 0:
        return False
    return m.phase != "kept" or sum(taken) > 1 or sum(s.interval <= 60 for s, _ in losses) == 1


def _instant(m, seconds):
    return START + pd.Timedelta(microseconds=round(float(m.clock(seconds)) * 1e6))


def _truth_of(m, losses, events, beats, logs):
    """Give the rows of one machine for each frame of the truth."""
    rows = {"machines": [], "outages": [], "transitions": [], "losses": [], "events": []}
    who, version = m.known_as, m.version
    highest = LADDER[m.os_type].index(version)
    for n, i in enumerate(m.incidents):
        cause, also = _evident(m, i, version, highest > LADDER[m.os_type].index(i.version or version), logs)
        changed = not i.ongoing and i.version != version
        start, end = _instant(m, i.start), pd.NaT if i.ongoing else _instant(m, i.end)
        rows["outages"].append(
            who
            | {
                "os_type": m.os_type,
                "cause": cause,
                "cause_also": also,
                "happened": i.happened,
                "from_version": version,
                "to_version": i.version,
                "start": start,
                "end": end,
                "ongoing": i.ongoing,
                "machine_off": i.off is not None,
                "findable": _findable(m, n, changed, losses),
                "phase": m.phase,
                "story": m.story,
            }
        )
        last = n == len(m.incidents) - 1
        rows["losses"] += [
            who
            | {
                "outage_start": start,
                "data_type": s.table,
                "stream": " \\ ".join(s.key),
                "interval_s": _interval(s, i),
                "lost": lost[n],
                "ongoing": i.ongoing or (s.dead and last),
            }
            for s, lost in losses
        ]
        rows["events"] += [
            who
            | {"outage_start": start, "data_type": table, "happened_inside": happened, "arrived": arrived, "lost": lost}
            for k, table, happened, arrived, lost in events
            if k == n
        ]
        if changed:
            rungs = LADDER[m.os_type]
            kind = "upgrade" if rungs.index(i.version) > rungs.index(version) else "downgrade"
            at = np.searchsorted(beats, i.end)
            rows["transitions"].append(
                who
                | {
                    "os_type": m.os_type,
                    "from_version": version,
                    "to_version": i.version,
                    "kind": kind,
                    "cause": cause,
                    "last_old": _instant(m, beats[at - 1]),
                    "first_new": _instant(m, beats[at]),
                }
            )
        version = i.version or version
        highest = max(highest, LADDER[m.os_type].index(version))
    rows["machines"].append(
        who
        | {
            "os_type": m.os_type,
            "version": version,
            "story": m.story,
            "phase": m.phase,
            "jitter": m.jitter,
            "activity": m.activity,
            "missed": [_instant(m, at) for at in m.lost_beats],
        }
    )
    return rows


def _interval(stream, incident):
    return stream.changes[1] if stream.changes and incident.start >= stream.changes[0] else stream.interval


_FRAMES = {
    "machines": "resource_id computer os_type version story phase jitter activity missed",
    "outages": "resource_id computer os_type cause cause_also happened from_version to_version start end ongoing "
               "machine_off findable phase story",
    "transitions": "resource_id computer os_type from_version to_version kind last_old first_new cause",
    "losses": "resource_id computer outage_start data_type stream interval_s lost ongoing",
    "events": "resource_id computer outage_start data_type happened_inside arrived lost",
}  # fmt: skip


# -- all together -------------------------------------------------------------------------------------------------------


def simulate(folder, seed, machines=25, days=5, **options):
    """Write a folder of exported tables, and give the truth.

    Parameters
    ----------
    folder : path-like
        Made if it is not there.  None writes nothing: the truth alone.
    seed, machines, days : int
        The same give the same rows.
    **options
        ``activity``, ``perf`` (every stream but the heartbeat), ``events``, ``twists``, ``shuffle``: False to leave
        out.  ``phase`` (kept, at_once, anywhere), ``jitter``, ``creep``: the same on all machines.

    Returns
    -------
    Truth
    """
    logs, shuffle = options.pop("events", True), options.pop("shuffle", True)
    drawn = fleet(seed, machines, days, **options)
    tables, activity, rows = {}, [], {name: [] for name in _FRAMES}
    for m in drawn:
        losses, beats = _periodic(m, tables)
        events = _logged(m, tables) if logs else []
        activity += _activity(m) if m.activity else []
        for name, more in _truth_of(m, losses, events, beats, logs).items():
            rows[name] += more
    if folder is not None:
        _store(Path(folder), tables, activity, np.random.default_rng([seed, 78]), shuffle)
    frames = {name: pd.DataFrame(rows[name], columns=columns.split()) for name, columns in _FRAMES.items()}
    for frame in frames.values():
        for column in ("start", "end", "outage_start", "last_old", "first_new"):
            if column in frame:
                frame[column] = pd.to_datetime(frame[column], utc=True).astype("datetime64[us, UTC]")
    return Truth(START, START + pd.Timedelta(days=days), **frames)


def _micros(seconds):
    return START.to_datetime64().astype("M8[us]") + np.round(seconds * 1e6).astype("m8[us]")


def _column(chunks, name):
    """Join one column of all chunks: numbers as they are, texts as codes."""
    given = [c.columns.get(name, "") for c in chunks]
    if any(isinstance(g, np.ndarray) for g in given):
        parts = [g if isinstance(g, np.ndarray) else np.zeros(c.times.size) for g, c in zip(given, chunks, strict=True)]
        return np.concatenate(parts)
    words, codes = {}, []
    for g, c in zip(given, chunks, strict=True):
        own, texts = g if isinstance(g, tuple) else (np.zeros(c.times.size, int), [g])
        known = np.array([words.setdefault(text, len(words)) for text in texts], "int32")
        codes.append(known[own])
    return pd.Categorical.from_codes(np.concatenate(codes), list(words))


def _frame(chunks, rng, shuffle):
    """Make the frame of one table: some rows twice, all in any order."""
    names = list(dict.fromkeys(name for c in chunks for name in c.columns))
    columns = {
        "TimeGenerated": _micros(np.concatenate([c.times for c in chunks])),
        "_TimeReceived": _micros(np.concatenate([c.received for c in chunks])),
    }
    columns |= {name: _column(chunks, name) for name in names}
    count = columns["TimeGenerated"].size
    pick = np.concatenate([np.arange(count), rng.integers(0, max(count, 1), count // 1000)])
    pick = rng.permutation(pick) if shuffle else pick
    if "EventRecordId" in columns:
        columns["EventRecordId"] = columns["EventRecordId"].astype(str)
    return pd.DataFrame({name: values[pick] for name, values in columns.items()})


def _store(folder, tables, activity, rng, shuffle):
    folder.mkdir(parents=True, exist_ok=True)
    frames = {name: _frame(chunks, rng, shuffle) for name, chunks in tables.items()}
    if activity:
        told = pd.DataFrame(activity)
        at = told.pop("at").to_numpy()
        late = rng.uniform(3 * MINUTE, 20 * MINUTE, at.size)
        frames["AzureActivity"] = told.assign(
            TimeGenerated=_micros(at), EventSubmissionTimestamp=_micros(at + late), _TimeReceived=_micros(at + late)
        ).sample(frac=1, random_state=1)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, frame in frames.items():
            connection.register("rows", frame)
            connection.sql("FROM rows").write_parquet(str(folder / f"{name}.parquet"))
