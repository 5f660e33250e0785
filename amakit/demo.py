"""Seeded fleets: a synthetic Log Analytics workspace, and beside it the truth about what happened.

First a fleet is planned: `fleet` draws each machine and what its agent will go through (`Outage`).  Then each
table lets each machine speak: what is sampled on a clock follows a schedule that an outage cuts (`_sampled`),
what is read from a log goes on happening and is delivered afterwards (`_logged`).  Both give `Rows`, which
know what every outage took from them, so the truth is counted where the rows are made.

Every machine has, for every table, a random generator of its own, spawned from the seed by its number and the
table's name: a fleet can be repeated, and one more machine changes no other.  Instants are int64 microseconds
since 1970 in UTC.
"""

import hashlib
import json
import os
import shutil
import tempfile
import uuid
import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from amakit import __version__
from amakit.errors import AmakitError, UsageError
from amakit.intervals import instant, iso
from amakit.schemas import RECEIVED, tables

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86400 * SECOND
START = instant("2026-03-02")  # a Monday
#: A table is put together in memory, at some 0.7 MB for each machine and day.
MACHINE_DAYS = 6000

#: Forty machines, over and over: kind, operating system, role.  Further twists follow from the number alone.
_FLEET = """
vm Windows upgrade; vm Linux upgrade; set Linux upgrade; set Linux upgrade; arc Windows upgrade;
vm Windows rolled_back; vm Linux rolled_back_seen; arc Linux retried; vm Windows rollback_failed;
vm Linux unexplained; vm Windows stopped; vm Linux stopped_upgraded; vm Windows restarted;
vm Linux restarted; vm Windows disconnected; vm Linux double_hop; vm Windows downgraded; vm Linux partial;
vm Windows straggler; vm Windows dual_homed; vm Linux two_agents; vm Windows event_loss;
twin Windows upgrade; twin Linux upgrade; bare Linux upgrade; set Linux upgrade; vm Windows crashed;
arc Windows powered_off; vm Windows upgraded_twice; arc Linux upgrade; vm Windows number_trap;
vm Linux disconnected; vm Windows upgrade; vm Linux upgrade; vm Windows upgrade; arc Linux straggler;
vm Windows upgrade; vm Linux upgrade; vm Windows upgrade; vm Linux upgrade
"""
_CAST = [part.split() for part in _FLEET.split(";")]
_RELEASES = {"Windows": ("1.37.0.0", "1.38.1.0", "1.39.0.0"), "Linux": ("1.35.9", "1.36.1", "1.38.1")}
_TENANT = "5e0c7a31-90ab-4d1e-8f52-c0a7d3b1e964"
_SUBSCRIPTIONS = ("0b1e2d3c-4a5f-4687-9a0b-c0de00000001", "0b1e2d3c-4a5f-4687-9a0b-c0de00000002")
_PLATFORM, _PERSON = "7f3b9c54-1d20-4e8a-b6c1-c0de000000aa", "ines.kovac@contoso.example"
_ARC_SERVICE = "Azure Regional Service Manager"
_WRITE, _ARC_UPGRADE = "/EXTENSIONS/WRITE", "MICROSOFT.HYBRIDCOMPUTE/MACHINES/UPGRADEEXTENSIONS/ACTION"


# -- machines and what happens to them ----------------------------------------------------------------------


@dataclass(frozen=True)
class Operation:
    """One control-plane operation, which the activity log tells in several rows; without an outcome it hangs."""

    name: str
    began: int
    ended: int
    outcome: str = "Success"
    caller: str = _PLATFORM
    extension: str = ""


@dataclass(frozen=True)
class Outage:
    """A planned incident: the agent, or only its network, is away in ``[start, end)``.

    Attributes
    ----------
    cause : str
        One of the causes in the contract.
    start, end : int
        True instants; an outage that is `ongoing` ends with the window.
    version : str
        What the agent reports afterwards.
    off, boot : int
        When the operating system stopped and started; 0 where it kept running.
    ongoing, crashed, loses_events : bool
        Never came back; stopped without a shutdown; the logs written meanwhile are not read afterwards.
    operations : tuple of Operation
        What the activity log has to say.
    """

    cause: str
    start: int
    end: int
    version: str
    off: int = 0
    boot: int = 0
    ongoing: bool = False
    crashed: bool = False
    loses_events: bool = False
    operations: tuple = ()

    @property
    def silent(self) -> bool:
        """Whether the agent itself was down; a network failure only delays."""
        return self.cause != "disconnected"


@dataclass(frozen=True)
class Machine:
    """One machine of the fleet.

    Attributes
    ----------
    number, seed : int
        Place in the fleet, and the fleet's seed; together they fix everything that is drawn.
    kind, role : str
        ``vm``, ``set`` (scale-set instance), ``arc``, ``twin`` or ``bare`` (no resource id); what happens to it.
    resource_id, resource, computer, os_type : str
        The id as Azure Resource Manager spells it, in mixed case; the bare name; the name that it reports.
    window : tuple of int
        Start and end of all data.
    version : str
        What the agent reports at first.
    outages : tuple of Outage
        In order of time.
    """

    number: int
    seed: int
    kind: str
    role: str
    os_type: str
    resource_id: str
    resource: str
    computer: str
    window: tuple
    version: str = ""
    outages: tuple = ()

    def rng(self, purpose: str) -> np.random.Generator:
        """Give the generator of this machine for one purpose."""
        key = (self.number, zlib.crc32(purpose.encode()))
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=key)))

    def guid(self, purpose: str) -> str:
        """Give an identifier that is this machine's own."""
        return _guid(self.rng(purpose))

    @property
    def keeps_phase(self) -> bool:
        """Whether the agent samples on the same seconds of the minute after a restart as before."""
        return self.number % 3 == 2

    @property
    def environment(self) -> str:
        """What Heartbeat calls the environment."""
        return "Non-Azure" if self.kind in ("arc", "bare") else "Azure"

    @property
    def versions(self) -> tuple[str, ...]:
        """The version of each life of the agent: before the first outage, after it, and so on."""
        return (self.version, *(o.version for o in self.outages))

    @property
    def extension(self) -> str:
        """Name of the agent's extension resource."""
        return f"AzureMonitor{self.os_type}Agent"

    @property
    def identity(self) -> dict[str, str]:
        """The columns that every table of the agent has; ids are in lower case on most machines only."""
        return {
            "Computer": self.computer,
            "_ResourceId": self.resource_id if self.number % 6 == 2 else self.resource_id.lower(),
            "_SubscriptionId": self.resource_id.split("/")[2] if self.resource_id else "",
            "SourceSystem": "OpsManager" if self.os_type == "Windows" else "Linux",
        }

    @property
    def known_as(self) -> dict[str, str]:
        """The machine's key in the truth."""
        return {"resource_id": self.resource_id.lower(), "computer": self.computer.lower()}


def _guid(rng):
    return str(uuid.UUID(bytes=rng.bytes(16), version=4))


def fleet(machines: int = 40, days: int = 14, seed: int = 1) -> list[Machine]:
    """Plan a fleet.

    Parameters
    ----------
    machines, days : int
        How many machines, and for how many days from 2026-03-02T00:00:00Z.
    seed : int
        The same seed gives the same fleet; its first machines do not depend on how many follow.

    Returns
    -------
    list of Machine

    Raises
    ------
    UsageError
        When a number is out of range.

    Examples
    --------
    >>> [(m.role, len(m.outages)) for m in fleet()[6:9]]
    [('rolled_back_seen', 3), ('retried', 4), ('rollback_failed', 1)]
    >>> fleet(machines=0)
    Traceback (most recent call last):
    amakit.errors.UsageError: machines is 0; a demo needs at least 1
    """
    for name, value, least in (("machines", machines, 1), ("days", days, 1), ("seed", seed, 0)):
        if value < least:
            raise UsageError(f"{name} is {value}; a demo needs at least {least}")
    if machines * days > MACHINE_DAYS:
        raise UsageError(
            f"{machines} machines for {days} days are {machines * days} machine days; a demo is made in memory "
            f"and has at most {MACHINE_DAYS}, so take fewer machines or days"
        )
    start = int(START.value // 1000)
    return [_plan(_machine(number, seed, (start, start + days * DAY))) for number in range(machines)]


def _machine(number, seed, window):
    kind, os_type, role = _CAST[number % len(_CAST)]
    tier = ("web", "sql", "batch")[number // 4 % 3]
    first_twin = number - (kind == "twin" and number % 2)
    resource = "vmss-api" if kind == "set" else f"{tier}-{first_twin + 1:02d}"
    provider = {
        "set": "Microsoft.Compute/virtualMachineScaleSets",
        "arc": "Microsoft.HybridCompute/machines",
    }.get(kind, "Microsoft.Compute/virtualMachines")
    group = f"rg-{tier}-{'east' if number % 2 else 'west'}" if kind == "twin" else f"rg-{tier}"
    group = "rg-api" if kind == "set" else group
    subscription = _SUBSCRIPTIONS[kind == "arc"]
    computer = f"vmssapi{number:06d}" if kind == "set" else resource
    return Machine(
        number=number,
        seed=seed,
        kind=kind,
        role=role,
        os_type=os_type,
        resource_id=""
        if kind == "bare"
        else f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{provider}/{resource}",
        resource=resource,
        computer=f"{computer}.corp.contoso.example" if number % 4 == 0 and kind != "set" else computer,
        window=window,
    )


def _plan(machine):
    """Give a machine its versions and, by its role, its outages."""
    m, rng = machine, machine.rng("plan")
    oldest, old, new = _RELEASES[m.os_type]
    if m.os_type == "Windows" and m.number % 10 == 4:
        old, new = "1.36", "1.38.1.0"
    if m.role == "number_trap":
        old, new = "1.9.0", "1.10.0.0"
    next_day = m.role in ("rolled_back", "rolled_back_seen", "upgraded_twice")
    at = _working_hour(m, rng, spare=1 if next_day else 0)
    tomorrow = at + DAY + _minutes(rng, -50, 50)
    version, hop, halt = old, partial(_hop, m, rng), partial(_halt, m, rng)
    match m.role:
        case "straggler":
            outages = []
        case "rolled_back":
            outages = [hop(at, old, "rolled_back"), hop(tomorrow, new)]
        case "rolled_back_seen":
            seen = hop(at, new)
            back = hop(seen.end + _minutes(rng, 6, 15), old, "rolled_back")
            failed = replace(seen.operations[0], ended=back.end + 40 * SECOND, outcome="Failure")
            outages = [replace(seen, operations=(failed,)), replace(back, operations=()), hop(tomorrow, new)]
        case "retried":
            hours = [at + k * HOUR + _minutes(rng, -2, 2) for k in range(int(rng.integers(4, 6)))]
            outages = [hop(t, old, "rolled_back") for t in hours[:-1]] + [hop(hours[-1], new)]
        case "rollback_failed":
            outages = [replace(hop(at, old, m.role), end=m.window[1], ongoing=True)]
        case "stopped":
            outages = [halt(at, old, "machine_stopped", _minutes(rng, 40, 300), "DEALLOCATE START")]
        case "stopped_upgraded":
            outages = [halt(at, new, "machine_stopped", _minutes(rng, 40, 300), "DEALLOCATE START")]
        case "powered_off":
            outages = [halt(at, old, "machine_stopped", _minutes(rng, 20, 90))]
        case "restarted":
            asked = "RESTART" if m.os_type == "Windows" else ""
            outages = [halt(at, old, "machine_restarted", _minutes(rng, 2, 5), asked)]
        case "crashed":
            outages = [replace(halt(at, old, "machine_restarted", _minutes(rng, 2, 5)), crashed=True)]
        case "disconnected":
            outages = [Outage("disconnected", at, at + _minutes(rng, 20, 60), old)]
        case "unexplained":
            outages = [Outage("unexplained", at, at + _minutes(rng, 5, 20), old)]
        case "double_hop":
            version = oldest
            outages = [hop(at, old, lasts=_minutes(rng, 0.7, 1.5))]
            outages.append(hop(outages[0].end + 9 * MINUTE, new, lasts=_minutes(rng, 0.7, 1.5)))
        case "upgraded_twice":
            version = oldest
            days_apart = max(1, (m.window[1] - at) // DAY // 2)
            outages = [hop(at, old), hop(tomorrow + (days_apart - 1) * DAY, new)]
        case "downgraded":
            version, taken = new, hop(at, old)
            outages = [replace(taken, operations=(replace(taken.operations[0], caller=_PERSON),))]
        case "event_loss":
            outages = [replace(hop(at, new, lasts=_minutes(rng, 6, 8)), loses_events=True)]
        case _:
            outages = [hop(at, new)]
    in_time = tuple(o for o in outages if o.ongoing or o.end < m.window[1] - HOUR)
    return replace(m, version=version, outages=in_time)


def _minutes(rng, least, most):
    return int(rng.uniform(least, most) * MINUTE)


def _working_hour(machine, rng, spare):
    """Draw when a machine's turn comes: a few canaries, then batches, in the hours when people are at work."""
    start, end = machine.window
    last = max((end - start) // DAY - 1 - spare, 0)
    wave = rng.choice([0.05, 0.2, 0.4, 0.6, 0.8], p=[0.1, 0.15, 0.25, 0.25, 0.25])
    week, day = divmod(min(int(wave * (end - start) / DAY), last), 7)
    if day > 4:  # the week end waits for Monday, or is brought forward to Friday
        week, day = (week + 1, 0) if (week + 1) * 7 <= last else (week, 4)
    return start + (week * 7 + day) * DAY + 9 * HOUR + _minutes(rng, 0, 300)


def _hop(machine, rng, at, version, cause="upgrade", lasts=None):
    """Replace the agent's extension; what reports afterwards is `version`."""
    if lasts is None and cause == "rolled_back":
        lasts = _minutes(rng, 2, 6)  # one removal and two installations
    elif lasts is None:
        lasts = int((np.clip(rng.lognormal(np.log(80), 0.8), 20, 470) + rng.uniform(0, 10)) * SECOND)
    began, ended = at - _minutes(rng, 0.1, 0.7), at + lasts + _minutes(rng, 0.3, 2)
    if machine.kind == "arc":  # Azure Arc calls it a success when the last known good version is back
        told = (Operation(_ARC_UPGRADE, began, ended, caller=_ARC_SERVICE, extension=machine.extension),)
    else:
        kind = "VIRTUALMACHINESCALESETS" if machine.kind == "set" else "VIRTUALMACHINES"
        outcome = "Success" if cause == "upgrade" else "Failure"
        name = f"MICROSOFT.COMPUTE/{kind}{_WRITE}"
        told = (Operation(name, began, ended, outcome, extension=machine.extension),)
    untold = machine.kind == "bare" or (machine.role == "upgrade" and machine.number % 9 == 1)
    return Outage(cause, at, at + lasts, version, operations=() if untold else told)


def _halt(machine, rng, at, version, cause, lasts, asked=""):
    """Stop the operating system and start it again; `asked` names the requests in the activity log."""
    off, boot = at + 6 * SECOND, at + lasts - _minutes(rng, 0.4, 1)
    begun = {"START": boot - 20 * SECOND}
    operations = tuple(
        Operation(f"MICROSOFT.COMPUTE/VIRTUALMACHINES/{verb}/ACTION", t, t + 40 * SECOND, caller=_PERSON)
        for verb in asked.split()
        for t in [begun.get(verb, at - 15 * SECOND)]
    )
    return Outage(cause, at, at + lasts, version, off, boot, operations=operations)


# -- rows of one machine ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rows:
    """Rows of one stream of one machine, and what each of its outages took from them.

    Attributes
    ----------
    stream : str
        The parts of its key; empty where the table has none.
    period : int
        Seconds between samples; 0 for what is read from a log.
    times, received : numpy.ndarray
        ``TimeGenerated`` and ``_TimeReceived``.
    columns : dict
        By name: one text for all rows, or an array.  Those that the table does not have are not stored.
    due, lost : sequence of int
        For each outage: the samples scheduled, or events that happened, inside it; and how many never came.
    dead : bool
        The stream did not come back after the last outage, although the agent did.
    """

    machine: Machine
    table: str
    stream: str
    period: int
    times: np.ndarray
    received: np.ndarray
    columns: dict
    due: tuple = ()
    lost: tuple = ()
    dead: bool = False


def _sampled(machine, table, stream, period, fixed, agent="", dead=False, **values):
    """Sample one stream on its clock, but not while the agent is down.

    The schedule of one life of the agent runs on until the next begins: what it puts into the outage is lost.
    Each of `values` is given the machine, the instants, the life that each falls into, and a generator.
    """
    rng = machine.rng(f"{table} {stream} {agent}")
    start, end = machine.window
    step = period * SECOND * (1 + rng.uniform(0.002, 0.006) / 60)  # 60.002 to 60.006 s, as real agents creep
    lives = [start, *(o.end for o in machine.outages if o.silent and not machine.keeps_phase), end]
    parts = []
    for since, until in pairwise(lives):
        first = since + rng.uniform(0, step)
        exact = first + step * np.arange(max(0, np.ceil((until - first) / step)))
        parts.append(np.clip(exact + rng.normal(0, 0.02 * SECOND, exact.size), since, until - 1))
    times = np.concatenate(parts).astype("int64")

    kept, due = np.ones(times.size, bool), []
    for outage in machine.outages:
        until = end if dead else outage.end
        gone = slice(*np.searchsorted(times, [outage.start, until if outage.silent else outage.start]))
        kept[gone] = False
        due.append(gone.stop - gone.start)
    times = times[kept]
    life = np.searchsorted([o.end for o in machine.outages], times, side="right")
    columns = machine.identity | fixed | {name: value(machine, times, life, rng) for name, value in values.items()}
    return _delivered(Rows(machine, table, stream, period, times, times, columns, due, due, dead), rng)


def _logged(machine, table, log):
    """Let events happen whenever the machine runs; an agent that was down reads them when it is back."""
    rng = machine.rng(table)
    start, end = machine.window
    hourly = log.hourly * (9 if machine.role == "event_loss" else 1)  # so that it shows when something is missing
    times = np.sort(rng.integers(start, end, rng.poisson(hourly * (end - start) / HOUR)))
    for outage in machine.outages:
        times = times[(times < outage.off) | (times >= outage.boot)]
    marks = log.marks(machine)
    usual = sum(not when for when, *_ in log.kinds)
    kinds = np.concatenate([rng.integers(0, usual, times.size), [kind for _, kind in marks]]).astype("int64")
    times = np.concatenate([times, [at for at, _ in marks]]).astype("int64")
    order = np.argsort(times, kind="stable")
    times, kinds = times[order], kinds[order]

    kept, due, lost = np.ones(times.size, bool), [], []
    for outage in machine.outages:
        inside = slice(*np.searchsorted(times, [outage.start, outage.end]))
        kept[inside] = not (outage.ongoing or outage.loses_events)
        due.append(inside.stop - inside.start)
        lost.append(int(np.sum(~kept[inside])))
    number = int(rng.integers(10_000, 900_000)) + np.arange(times.size)  # given by the system, lost or not
    times, kinds, number = times[kept], kinds[kept], number[kept]
    words = zip(*(words for _, *words in log.kinds), strict=True)
    columns = {name: _pick(kinds, column) for name, column in zip(log.columns.split(), words, strict=True)}
    columns |= {"EventRecordId": number, "EventTime": times.view("M8[us]")}
    columns |= {"HostName": machine.resource, "CollectorHostName": machine.resource}
    return _delivered(Rows(machine, table, "", 0, times, times, machine.identity | columns, due, lost), rng)


def _delivered(rows, rng):
    """Bring rows to the workspace: after some seconds, a few late, a few twice."""
    times, count = rows.times, rows.times.size
    received = times + ((3 + rng.lognormal(np.log(14), 0.45, count)) * SECOND).astype("int64")
    late = rng.integers(0, max(count, 1), count // 500)
    received[late] += (rng.exponential(4, late.size) * MINUTE).astype("int64")
    for outage in rows.machine.outages:
        if outage.silent:  # what a log holds is read in a burst once the agent is back
            held = np.arange(*np.searchsorted(times, [outage.start, outage.end]))
        else:
            held = np.flatnonzero((received >= outage.start) & (received < outage.end))
        received[held] = outage.end + rng.integers(2 * SECOND, 70 * SECOND, held.size)
    again = rng.integers(0, max(count, 1), count // 2000)
    pick = np.concatenate([np.arange(count), again])
    received = received[pick]
    received[count:] += rng.integers(SECOND, MINUTE, again.size)
    columns = {c: v if isinstance(v, str) else v[pick] for c, v in rows.columns.items()}
    return replace(rows, times=times[pick], received=received, columns=columns)


def _pick(kinds, words):
    """Give the word of each kind; texts as a categorical, so that none is held per row."""
    if not isinstance(words[0], str):
        return np.array(words)[kinds]
    unique = list(dict.fromkeys(words))
    return pd.Categorical.from_codes(np.array([unique.index(w) for w in words], "int16")[kinds], unique)


# -- tables on a clock --------------------------------------------------------------------------------------


# Values are functions of the machine, the instants, the life of the agent that each falls into, and a generator.


def _version(m, t, life, rng):
    return _pick(life, m.versions)


def _busy(m, t, life, rng):
    """Per cent, with more to do by day."""
    load = 22 - 12 * np.cos((t % DAY) * (2 * np.pi / DAY)) + rng.normal(0, 5, t.size)
    return np.round(np.clip(load, 0.1, 100), 2)


def _free(m, t, life, rng):
    return np.round(rng.normal(6200, 300, t.size))


def _uptime(m, t, life, rng):
    first = m.window[0] - int(m.rng("boot").uniform(2, 40) * DAY)
    boots = np.array([first, *(o.boot for o in m.outages if o.boot)])
    return ((t - boots[np.searchsorted(boots, t, side="right") - 1]) // SECOND).astype("float64")


def _alive(m, t, life, rng):
    return np.ones(t.size)


def _room(m, t, life, rng):
    return 61.5 - (t - m.window[0]) // DAY / 4


def _heartbeat(m):
    _, _, subscription, _, group, _, provider, kind, name = (m.resource_id or "/" * 8).split("/")
    windows = m.os_type == "Windows"
    about = {
        "Category": "Azure Monitor Agent", "ComputerEnvironment": m.environment, "OSType": m.os_type,
        "OSName": "Windows Server 2022 Datacenter" if windows else "Ubuntu",
        "OSMajorVersion": "10" if windows else "24", "OSMinorVersion": "0" if windows else "04",
        "ComputerIP": f"203.0.113.{m.number % 250}", "RemoteIPCountry": "Netherlands", "SCAgentChannel": "Direct",
        "ComputerPrivateIPs": f'["10.{m.number // 200}.{m.number % 200}.{4 + m.number % 7}"]',
        "Resource": name, "ResourceGroup": group, "ResourceId": m.resource_id, "ResourceProvider": provider,
        "ResourceType": kind, "SubscriptionId": subscription, "_ResourceId": m.resource_id.lower(),
        "Solutions": '"changeTracking", "azureResources"', "_IsBillable": "false",
        "SourceComputerId": m.guid("agent"), "VMUUID": m.guid("machine"),
    }  # fmt: skip
    second = about | {"SourceComputerId": m.guid("agent 2")}
    yield _sampled(m, "Heartbeat", "", 60, about, Version=_version)
    if m.role == "two_agents":
        yield _sampled(m, "Heartbeat", "", 60, second, "2", Version=_version)
    if m.role == "dual_homed":  # the older agent goes its own way: nothing that happens to the new one stops it
        older = second | {"Category": "Direct Agent", "Version": "10.20.18053.0"}
        yield _sampled(replace(m, outages=()), "Heartbeat", "", 60, older, "2")


_COUNTERS = [
    ("Processor", "% Processor Time", "_Total", 60, _busy),
    ("Memory", "Available MBytes", "", 60, _free),
    ("System", "System Up Time", "", 60, _uptime),
    ("Processor", "% Privileged Time", "_Total", 10, _busy),  # on every fifth machine
]


def _perf(m):
    for thing, counter, instance, period, value in _COUNTERS[: 3 + (m.number % 5 == 0)]:
        path = f"\\\\{m.computer}\\{thing}{instance and f'({instance})'}\\{counter}"
        key = {"ObjectName": thing, "CounterName": counter, "InstanceName": instance, "CounterPath": path}
        dead = m.role == "partial" and thing == "Memory"
        yield _sampled(m, "Perf", _key(thing, counter, instance), period, key, dead=dead, CounterValue=value)


def _insights(m):
    disk = "C:" if m.os_type == "Windows" else "/"
    metrics = [
        ("Computer", "Heartbeat", "", _alive),
        ("Memory", "AvailableMB", "", _free),
        ("LogicalDisk", "FreeSpacePercentage", disk, _room),
    ]
    for space, name, tag, value in metrics if m.number // 5 % 3 == 0 else ():
        tags = json.dumps({"vm.azm.ms/mountId": tag} if tag else {})
        about = {"Origin": "vm.azm.ms", "Namespace": space, "Name": name, "Tags": tags, "AgentId": m.guid("agent")}
        yield _sampled(m, "InsightsMetrics", _key(space, name, tag), 60, about, Val=value)


def _inventory(m):
    """Give a snapshot of a few things every ten hours; one snapshot of one type is one sample."""
    things = {
        "Software": ("SoftwareName", ("Contoso Ledger", "Contoso Sync", "Contoso Backup")),
        "WindowsServices" if m.os_type == "Windows" else "Daemons": ("SvcName", ("ContosoLedger", "ContosoSync")),
        "Files": ("FileSystemPath", ("/etc/contoso/ledger.conf", "/etc/contoso/sync.conf")),
    }
    for kind, (column, names) in things.items():
        about = {"ConfigDataType": kind, "SourceComputerId": m.guid("agent"), "VMUUID": m.guid("machine")}
        rows = _sampled(m, "ConfigurationData", kind, 36000, about)
        each = np.repeat(np.arange(rows.times.size), len(names))
        item = _pick(np.tile(np.arange(len(names)), rows.times.size), names)
        times, received = rows.times[each], rows.received[each]
        yield replace(rows, times=times, received=received, columns=rows.columns | {column: item})


def _health(m):
    if m.resource_id and m.number // 3 % 3 == 0:
        resource = f"{m.resource_id}/extensions/{m.extension}".lower()
        about = {"AgentType": m.extension, "VMUUID": m.guid("machine"), "_ResourceId": resource}
        fine = {name: lambda m, t, *_: np.zeros(t.size, "int32") for name in ("AgentHealth", "DroppedEventsStatus")}
        yield _sampled(
            m, "AMAHealth", "", 900, about, AgentVersion=_version, **fine,
            StartTime=lambda m, t, *_: (t - 900 * SECOND).view("M8[us]"), EndTime=lambda m, t, *_: t.view("M8[us]"),
        )  # fmt: skip


def _key(*parts):
    return " \\ ".join(parts)


# -- tables that are read from logs -------------------------------------------------------------------------


@dataclass(frozen=True)
class Log:
    """What a log can hold: where, how often, and the kinds of events with their columns.

    The first word of a kind is empty for what happens at any time; else it is a moment as the system goes down
    (``restart``, ``stop``, or ``off`` for both; none in a crash) or comes up (``boot``; ``crash`` only after one),
    and the seconds from it.
    """

    os_types: tuple
    hourly: int
    columns: str
    kinds: list

    def marks(self, machine: Machine) -> list[tuple[int, int]]:
        """Say what the log holds of each restart, as pairs of instant and kind."""
        moments = [(kind, *when.split()) for kind, (when, *_) in enumerate(self.kinds) if when]
        marks = []
        for o in (o for o in machine.outages if o.boot):
            down = {"off", "stop" if o.cause == "machine_stopped" else "restart"}
            edges = {"boot": o.boot} | ({"crash": o.boot} if o.crashed else dict.fromkeys(down, o.off))
            marks += [(edges[edge] + int(float(s) * SECOND), kind) for kind, edge, s in moments if edge in edges]
        return marks


_TASKS = ("Microsoft-Windows-TaskScheduler/Operational", "Microsoft-Windows-TaskScheduler")
_AUDIT = ("Security", "Microsoft-Windows-Security-Auditing")
_LOGS = {
    "Event": Log(("Windows",), 20, "EventLog Source EventID EventLevelName RenderedDescription", [
        ("", "System", "Service Control Manager", 7036, "Information", "Contoso Sync entered the running state."),
        ("", "System", "Microsoft-Windows-Time-Service", 37, "Information", "The time provider is receiving data."),
        ("", "Application", "ContosoLedger", 1000, "Information", "A batch was accepted."),
        ("", "Application", "ContosoLedger", 1001, "Warning", "A batch waits for its predecessor."),
        ("restart -8", "System", "User32", 1074, "Information", "Planned maintenance. Shutdown Type: restart"),
        ("stop -8", "System", "User32", 1074, "Information", "Planned maintenance. Shutdown Type: power off"),
        ("off -1", "System", "EventLog", 6006, "Information", "The Event log service was stopped."),
        ("boot 8", "System", "EventLog", 6005, "Information", "The Event log service was started."),
        ("crash 9", "System", "EventLog", 6008, "Error", "The previous system shutdown was unexpected."),
        ("crash 3", "System", "Kernel-Power", 41, "Critical", "The system rebooted without shutting down."),
    ]),
    "WindowsEvent": Log(("Windows",), 12, "Channel Provider EventID EventLevelName EventData", [
        ("", *_TASKS, 200, "Information", '{"TaskName":"ContosoSync"}'),
        ("", *_TASKS, 201, "Information", '{"TaskName":"ContosoSync","ResultCode":"0"}'),
        ("", *_TASKS, 110, "Information", '{"TaskName":"ContosoBackup"}'),
    ]),
    "SecurityEvent": Log(("Windows",), 30, "Channel EventSourceName EventID Activity Account AccountType", [
        ("", *_AUDIT, 4624, "4624 - An account was successfully logged on.", "CONTOSO\\svc-ledger", "User"),
        ("", *_AUDIT, 4634, "4634 - An account was logged off.", "CONTOSO\\svc-ledger", "User"),
        ("", *_AUDIT, 4672, "4672 - Special privileges assigned to new logon.", "CONTOSO\\svc-backup", "User"),
        ("", *_AUDIT, 4688, "4688 - A new process has been created.", "CONTOSO\\host$", "Machine"),
    ]),
    "Syslog": Log(("Linux",), 20, "Facility ProcessName SeverityLevel SyslogMessage", [
        ("", "cron", "CRON", "info", "(root) CMD (/usr/local/bin/contoso-sync)"),
        ("", "daemon", "contoso-ledger", "info", "batch accepted"),
        ("", "daemon", "contoso-ledger", "warning", "batch waits for its predecessor"),
        ("", "auth", "sshd", "info", "Accepted publickey for backup from 10.0.0.9 port 50022"),
        ("", "daemon", "systemd", "info", "Started contoso-sync.service - Contoso Sync."),
        ("restart -8", "auth", "systemd-logind", "notice", "System is rebooting."),
        ("stop -8", "auth", "systemd-logind", "notice", "System is powering down."),
        ("off -1", "daemon", "systemd", "info", "Reached target shutdown.target - System Shutdown."),
        ("boot 1", "kern", "kernel", "notice", "Linux version 6.8.0-1021-azure (buildd@contoso)"),
        ("boot 1.2", "kern", "kernel", "info", "Command line: BOOT_IMAGE=/boot/vmlinuz-6.8.0-1021-azure ro"),
        ("boot 16", "daemon", "systemd", "info", "Startup finished in 4.1s (kernel) + 11.6s (userspace) = 15.7s."),
    ]),
    "AppLog_CL": Log(("Windows", "Linux"), 24, "RawData", [
        ("", "INFO ledger batch accepted"), ("", "INFO sync finished"), ("", "WARN ledger batch waits"),
    ]),
}  # fmt: skip


def _log(table, m):
    log = _LOGS[table]
    if m.os_type in log.os_types and (table != "AppLog_CL" or m.number % 3 == 0):
        yield _logged(m, table, log)


# -- tables with a row now and then -------------------------------------------------------------------------


def _changes(m):
    """Tell what change tracking saw: each new agent at the poll after it came, and a few things of no matter."""
    rng = m.rng("ConfigurationChange")
    lives = zip(m.outages, pairwise(m.versions), strict=True)
    seen = [(o.end + _minutes(rng, 3, 30), *pair, "Software", m.extension) for o, pair in lives if len({*pair}) > 1]
    kind = "WindowsServices" if m.os_type == "Windows" else "Daemons"
    for at in rng.integers(*m.window, rng.poisson(3)):
        if not any(o.start <= at < o.end for o in m.outages):
            seen.append((at, "Running", "Stopped", kind, "ContosoSync"))
    if seen:
        times, before, after, kinds, names = zip(*sorted(seen), strict=True)
        columns = {"Previous": before, "Current": after, "ConfigChangeType": kinds}
        columns |= {"SoftwareName": [n if k == "Software" else "" for n, k in zip(names, kinds, strict=True)]}
        columns |= {"SvcName": ["" if k == "Software" else n for n, k in zip(names, kinds, strict=True)]}
        columns = m.identity | {c: pd.Categorical(v) for c, v in columns.items()} | {"ChangeCategory": "Modified"}
        times = np.array(times, "int64")
        yield _delivered(Rows(m, "ConfigurationChange", "", 0, times, times, columns), rng)


def _activity(m):
    """Tell operations as the activity log does: several rows each, in one of two spellings, minutes late."""
    rng = m.rng("AzureActivity")
    told = [op for o in m.outages for op in o.operations]
    if m.kind in ("vm", "twin"):  # other extensions are written as well
        other = partial(
            Operation, f"MICROSOFT.COMPUTE/VIRTUALMACHINES{_WRITE}", extension=f"DependencyAgent{m.os_type}"
        )
        told += [other(at, at + MINUTE) for at in rng.integers(m.window[0], m.window[1] - HOUR, 2)]
    old_style = {"Start": "Started", "Accept": "Accepted", "Success": "Succeeded", "Failure": "Failed"}
    rows = []
    for op in told:
        target = f"{m.resource_id}/extensions/{op.extension}" if _WRITE in op.name else m.resource_id
        correlation = _guid(rng)
        steps = [("Start", op.began), ("Accept", op.began + _minutes(rng, 0.01, 0.05)), (op.outcome, op.ended)]
        rows += [{
            "at": at, "OperationNameValue": op.name, "Caller": op.caller, "CategoryValue": "Administrative",
            "ActivityStatusValue": old_style[status] if m.number % 4 == 1 else status,
            "ActivitySubstatusValue": "OK (HTTP Status Code: 200)" if status == "Success" else "",
            "Level": "Error" if status == "Failure" else "Information",
            "CorrelationId": correlation, "EventDataId": _guid(rng), "ResourceId": target,
            "_ResourceId": (target if m.number % 2 else m.resource_id).lower(),
            "Properties_d": json.dumps({"entity": target.lower(), "extension": op.extension}),
            "ResourceProviderValue": op.name.split("/")[0], "ResourceGroup": target.split("/")[4],
            "SubscriptionId": target.split("/")[2], "_SubscriptionId": target.split("/")[2],
        } for status, at in steps]  # fmt: skip
    if rows:
        table = pd.DataFrame(rows).sort_values("at", kind="stable")
        times = table.pop("at").to_numpy("int64")
        received = times + rng.integers(3 * MINUTE, 20 * MINUTE, times.size)
        columns = {name: pd.Categorical(table[name]) for name in table}
        columns |= {"EventSubmissionTimestamp": received.view("M8[us]"), "SourceSystem": "Azure"}
        yield Rows(m, "AzureActivity", "", 0, times, received, columns)


def _operation(days):
    """Give a few messages of the workspace itself."""
    times = int(START.value // 1000) + np.arange(days) * DAY + 7 * HOUR
    about = {
        "OperationCategory": "Ingestion", "OperationStatus": "Succeeded", "OperationKey": "Daily quota",
        "Detail": "The daily quota was reset.", "Solution": "Log Management", "SourceSystem": "OpsManager",
    }  # fmt: skip
    return Rows(None, "Operation", "", 0, times, times + 9 * MINUTE, about)


def _usage(table, times, days):
    """Give what a table took in each hour, at some 400 bytes a row."""
    start = int(START.value // 1000)
    ends = start + np.arange(1, 24 * days + 1) * HOUR
    rows = np.bincount((times - start) // HOUR, minlength=ends.size)
    about = {
        "DataType": table, "Quantity": rows[: ends.size] * 400 / 1e6, "QuantityUnit": "MBytes",
        "StartTime": (ends - HOUR).view("M8[us]"), "EndTime": ends.view("M8[us]"), "Solution": "LogManagement",
        "IsBillable": np.full(ends.size, table != "Heartbeat"),
    }  # fmt: skip
    return Rows(None, "Usage", "", 0, ends, ends + 15 * MINUTE, about)


_SPEAK = {
    "Heartbeat": _heartbeat,
    "Perf": _perf,
    "InsightsMetrics": _insights,
    "ConfigurationData": _inventory,
    "ConfigurationChange": _changes,
    "AMAHealth": _health,
    **{table: partial(_log, table) for table in _LOGS},
    "AzureActivity": _activity,
}


# -- the truth ----------------------------------------------------------------------------------------------

_TRUTH = {
    "machines": "resource_id computer os_type environment role phase version_at_end",
    "transitions": "resource_id computer os_type from_version to_version kind last_old first_new cause",
    "outages": "resource_id computer os_type cause from_version to_version start end ongoing",
    "losses": "resource_id computer outage_start data_type stream interval_s lost ongoing",
    "events": "resource_id computer outage_start data_type happened_inside arrived lost",
}


def _lives(machine):
    """Pair each outage with the versions before and after it."""
    return zip(machine.outages, pairwise(machine.versions), strict=True)


def _planned(machine):
    """Give the machine's row and the rows of its outages."""
    about = machine.known_as | {"os_type": machine.os_type}
    phase = "kept" if machine.keeps_phase else "restarted"
    row = {"environment": machine.environment, "role": machine.role, "phase": phase}
    yield "machines", about | row | {"version_at_end": machine.versions[-1]}
    for o, (old, new) in _lives(machine):
        back = {} if o.ongoing else {"to_version": new, "end": _iso(o.end)}
        row = {"cause": o.cause, "from_version": old, "start": _iso(o.start), "ongoing": o.ongoing}
        yield "outages", about | row | back


def _changed(machine, beats):
    """Say between which heartbeats of the Azure Monitor Agent each version changed."""
    beats = np.sort(np.concatenate(beats))
    for o, (old, new) in _lives(machine):
        if old != new:
            rises = [int(part) for part in new.split(".")] > [int(part) for part in old.split(".")]
            last, first = np.searchsorted(beats, [o.start, o.end])
            yield "transitions", machine.known_as | {
                "os_type": machine.os_type, "from_version": old, "to_version": new, "cause": o.cause,
                "kind": "upgrade" if rises else "downgrade",
                "last_old": _iso(beats[last - 1]), "first_new": _iso(beats[first]),
            }  # fmt: skip


def _taken(rows):
    """Say what each outage took from these rows: samples of a stream, or events of a table."""
    outages = rows.machine.outages if rows.due else ()
    for o, due, lost in zip(outages, rows.due, rows.lost, strict=True):
        row = rows.machine.known_as | {"outage_start": _iso(o.start), "data_type": rows.table, "lost": lost}
        if rows.period:
            ongoing = o.ongoing or rows.dead
            yield "losses", row | {"stream": rows.stream, "interval_s": rows.period, "ongoing": ongoing}
        else:
            yield "events", row | {"happened_inside": due, "arrived": due - lost}


def _iso(micros):
    return f"{np.datetime64(int(micros), 'us')}Z"


def _write_truth(folder, records):
    for name, columns in _TRUTH.items():
        frame = pd.DataFrame([row for table, row in records if table == name], columns=columns.split())
        if name == "losses":  # two agents on one machine have two schedules of one stream
            keys = [c for c in frame if c != "lost"]
            frame["lost"] = frame.groupby(keys)["lost"].transform("sum")
            frame = frame.drop_duplicates()
        for column in frame.columns.intersection(["ongoing"]):
            frame[column] = frame[column].map({True: "true", False: "false"})
        frame.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")


# -- files --------------------------------------------------------------------------------------------------

_DUCKDB = {
    "string": "VARCHAR", "dynamic": "VARCHAR", "datetime": "TIMESTAMP", "real": "DOUBLE", "int": "INTEGER",
    "long": "BIGINT", "bool": "BOOLEAN",
}  # fmt: skip
_APP_LOG = {"TimeGenerated": "datetime", "Computer": "string", "RawData": "string", "_ResourceId": "string"}


def _store(connection, folder, batches):
    """Write rows of many streams as one Parquet file, in the order of their arrival and the types of the table."""
    table = batches[0].table
    types = tables().get(table, _APP_LOG | RECEIVED)
    sizes = [rows.times.size for rows in batches]
    received = np.concatenate([rows.received for rows in batches])
    order = np.argsort(received, kind="stable")  # stable, so that ties fall alike on every processor
    times = np.concatenate([rows.times for rows in batches])
    frame = {"TimeGenerated": times[order].view("M8[us]"), "_TimeReceived": received[order].view("M8[us]")}
    for name in types:
        if any(name in rows.columns for rows in batches):
            frame[name] = _column([rows.columns.get(name, "") for rows in batches], sizes)[order]
    # Categoricals arrive as ENUM, which Parquet holds as plain text; a cast would undo the dictionary first.
    cells = [
        f'"{c}"' if isinstance(frame[c], pd.Categorical) else f'CAST("{c}" AS {_DUCKDB[types[c]]}) AS "{c}"'
        for c in types if c in frame
    ]  # fmt: skip
    cells += [f"'{_TENANT}' AS \"TenantId\"", f"'{table}' AS \"Type\""]
    path = str(folder / f"{table}.parquet").replace("'", "''")
    connection.register("rows", pd.DataFrame(frame, copy=False))
    connection.execute(f"COPY (SELECT {', '.join(cells)} FROM rows) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
    connection.unregister("rows")


def _column(parts, sizes):
    """Join the parts of one column; a text that stands for a whole part costs one small number a row."""
    if all(isinstance(part, str) for part in parts):
        words = list(dict.fromkeys(parts))
        codes = np.array([words.index(part) for part in parts], "int16")
        return pd.Categorical.from_codes(np.repeat(codes, sizes), words)
    if any(isinstance(part, pd.Categorical) for part in parts):
        return pd.api.types.union_categoricals([
            _pick(np.zeros(size, "int8"), [part]) if isinstance(part, str) else part
            for part, size in zip(parts, sizes, strict=True)
        ])  # fmt: skip
    return np.concatenate(parts)


def _fill(folder, planned, days, seed):
    """Write everything into a folder that is there and empty."""
    import duckdb

    truth, usage = [row for machine in planned for row in _planned(machine)], []
    # With more threads the dictionaries in a file, and so its bytes, depend on who came first; nor is it faster.
    with duckdb.connect(config={"threads": 1, "preserve_insertion_order": True}) as connection:
        for table, speak in _SPEAK.items():
            batches = [rows for machine in planned for rows in speak(machine)]
            if not batches:
                continue
            _store(connection, folder, batches)
            usage.append(_usage(table, np.concatenate([rows.times for rows in batches]), days))
            truth += [row for rows in batches for row in _taken(rows)]
            beats = [b for b in batches if b.columns.get("Category") == "Azure Monitor Agent"]
            for machine, own in groupby(beats, key=lambda rows: rows.machine):
                truth += _changed(machine, [rows.times for rows in own])
        _store(connection, folder, [_operation(days)])
        _store(connection, folder, usage)
    (folder / "truth").mkdir()
    _write_truth(folder / "truth", truth)
    end = START + pd.Timedelta(days=days)
    about = {"synthetic": True, "seed": seed, "machines": len(planned), "days": days}
    about |= {"start": iso(START), "end": iso(end), "amakit": __version__}
    (folder / "_demo.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def write(folder: str | Path, machines: int = 40, days: int = 14, seed: int = 1) -> Path:
    """Write a synthetic workspace: a Parquet file for each table, ``_demo.json``, and the truth in ``truth/``.

    Parameters
    ----------
    folder : path-like
        Must not exist yet, or be empty.  It appears whole or not at all.
    machines, days, seed : int
        See `fleet`.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    UsageError
        When a number is out of range.
    AmakitError
        When the folder holds something, or cannot be written.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as home:
    ...     made = write(Path(home) / "small", machines=1, days=1)
    ...     sorted(path.name for path in made.iterdir())[:3]
    ['AMAHealth.parquet', 'AppLog_CL.parquet', 'AzureActivity.parquet']
    """
    import duckdb

    planned = fleet(machines, days, seed)
    folder = Path(folder).expanduser().resolve()
    staging = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:12]}")
    try:
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise AmakitError(
                f"{folder} holds something already; a demo is written only to a new or an empty folder, "
                "so choose another one or empty it"
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging.mkdir()
        _fill(staging, planned, days, seed)
        if folder.exists() and os.name == "nt":
            folder.rmdir()  # elsewhere a folder is renamed onto an empty one in one step
        staging.rename(folder)
    except (OSError, duckdb.Error) as error:
        reason = str(error).splitlines()[0]
        raise AmakitError(
            f"{folder} cannot be written: {reason}; a demo needs a folder that can be made and has room, "
            "so choose another place"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder


def cached() -> Path:
    """Give the default fleet from the cache, made now if it is not there yet.

    The cache is the user's (or ``AMAKIT_CACHE``); where that cannot be written, the temporary directory.  The
    folder's name holds a digest of this module, so that a changed generator makes a new one.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    AmakitError
        When neither place can be written.

    Examples
    --------
    >>> json.loads((cached() / "_demo.json").read_text())["machines"]
    40
    """
    from platformdirs import user_cache_dir

    name = f"demo-{hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]}"
    home = Path(os.environ.get("AMAKIT_CACHE") or user_cache_dir("amakit"))
    spare = Path(tempfile.gettempdir()) / f"amakit-{getattr(os, 'getuid', int)()}"  # never a stranger's
    for folder in (home / name, spare / name):
        try:
            return folder if (folder / "_demo.json").exists() else write(folder)
        except (AmakitError, OSError) as error:
            failed = error
            with suppress(OSError):
                if (folder / "_demo.json").exists():  # another process was quicker; both made the same
                    return folder
    raise failed
