"""What the demo's agents sample on a clock: Heartbeat, Perf, InsightsMetrics, ConfigurationData, AMAHealth."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from amakit.demo.machines import DAY, MINUTE, SECOND, Machine, words_of_kinds


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

    machine: Machine | None
    table: str
    stream: str
    period: int
    times: np.ndarray
    received: np.ndarray
    columns: dict
    due: Sequence[int] = ()
    lost: Sequence[int] = ()
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
    return received_rows(Rows(machine, table, stream, period, times, times, columns, due, due, dead), rng)


def received_rows(rows: Rows, rng: np.random.Generator) -> Rows:
    """Bring rows to the workspace after some seconds, a few late, a few twice; some it does not record."""
    times, count = rows.times, rows.times.size
    received = times + ((3 + rng.lognormal(np.log(14), 0.45, count)) * SECOND).astype("int64")
    late = rng.integers(0, max(count, 1), count // 500)
    received[late] += (rng.exponential(4, late.size) * MINUTE).astype("int64")
    for outage in rows.machine.outages if rows.machine else ():
        if outage.silent:  # what a log holds is read in a burst once the agent is back
            held = np.arange(*np.searchsorted(times, [outage.start, outage.end]))
        else:
            held = np.flatnonzero((received >= outage.start) & (received < outage.end))
        received[held] = outage.end + rng.integers(2 * SECOND, 70 * SECOND, held.size)
    again = rng.integers(0, max(count, 1), count // 2000)
    pick = np.concatenate([np.arange(count), again])
    received = received[pick]
    received[count:] += rng.integers(SECOND, MINUTE, again.size)
    if rows.machine and rows.machine.unrecorded:
        since, until = rows.machine.unrecorded
        kept = (times[pick] < since) | (times[pick] >= until)
        pick, received = pick[kept], received[kept]
    columns = {c: v if isinstance(v, str) else v[pick] for c, v in rows.columns.items()}
    return replace(rows, times=times[pick], received=received, columns=columns)


def _version(m, t, life, rng):
    return words_of_kinds(life, m.versions)


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


def heartbeat_rows(m: Machine) -> Iterator[Rows]:
    """Give the heartbeats of each agent of a machine."""
    _, _, subscription, _, group, _, provider, kind, name = (m.resource_id or "/" * 8).split("/")
    windows = m.os_type == "Windows"
    about = {
        "Category": "Azure Monitor Agent",
        "ComputerEnvironment": m.environment,
        "OSType": m.os_type,
        "OSName": "Windows Server 2022 Datacenter" if windows else "Ubuntu",
        "OSMajorVersion": "10" if windows else "24",
        "OSMinorVersion": "0" if windows else "04",
        "ComputerIP": f"203.0.113.{m.number % 250}",
        "RemoteIPCountry": "Netherlands",
        "SCAgentChannel": "Direct",
        "ComputerPrivateIPs": f'["10.{m.number // 200}.{m.number % 200}.{4 + m.number % 7}"]',
        "Resource": name,
        "ResourceGroup": group,
        "ResourceId": m.resource_id,
        "ResourceProvider": provider,
        "ResourceType": kind,
        "SubscriptionId": subscription,
        "_ResourceId": m.resource_id.lower(),
        "Solutions": '"changeTracking", "azureResources"',
        "_IsBillable": "false",
        "SourceComputerId": m.guid("agent"),
        "VMUUID": m.guid("machine"),
    }
    second = about | {"SourceComputerId": m.guid("agent 2")}
    yield _sampled(m, "Heartbeat", "", 60, about, Version=_version)
    if m.role == "two_agents":
        yield _sampled(m, "Heartbeat", "", 60, second, "2", Version=_version)
    if m.role == "dual_homed":  # the older agent goes its own way: nothing that happens to the new one stops it
        older = second | {"Category": "Direct Agent", "Version": "10.20.18053.0"}
        yield _sampled(replace(m, outages=()), "Heartbeat", "", 60, older, "2")


def _room_in_mb(m, t, life, rng):
    return _room(m, t, life, rng) * _DISK_MB / 100


def _used(m, t, life, rng):
    """Per cent of the memory that is in use: what is left of it is `_free`."""
    return np.round(100 - rng.normal(6200, 300, t.size) / _MEMORY_MB * 100, 1)


def _latency(m, t, life, rng):
    return np.round(rng.gamma(2, 1.5, t.size), 1)


def _bytes(m, t, life, rng):
    return np.round(rng.gamma(2, 40_000, t.size), -2)


#: What each machine has; insights tell it in their tags.
_MEMORY_MB, _DISK_MB = 16_384, 130_000
_COUNTERS = [
    ("Processor", "% Processor Time", "_Total", 60, _busy),
    ("Memory", "Available MBytes", "", 60, _free),
    ("System", "System Up Time", "", 60, _uptime),
    ("Processor", "% Privileged Time", "_Total", 10, _busy),  # on every fifth machine
]
#: What published queries ask for, sampled every five minutes as collection rules for disks often are.
_MORE_COUNTERS = {
    "Windows": [
        ("LogicalDisk", "% Free Space", "C:", 300, _room),
        ("LogicalDisk", "Free Megabytes", "C:", 300, _room_in_mb),
        ("Memory", "% Committed Bytes In Use", "", 300, _used),
        ("Process", "% Processor Time", "ledger", 300, _busy),
    ],
    "Linux": [
        ("Logical Disk", "% Free Space", "/", 300, _room),
        ("Logical Disk", "Free Megabytes", "/", 300, _room_in_mb),
        ("Memory", "% Used Memory", "", 300, _used),
        ("Process", "Pct User Time", "ledger", 300, _busy),
    ],
}


def perf_rows(m: Machine) -> Iterator[Rows]:
    """Give the samples of each performance counter of a machine."""
    more = _MORE_COUNTERS[m.os_type] if m.number % 4 == 0 else []
    for thing, counter, instance, period, value in [*_COUNTERS[: 3 + (m.number % 5 == 0)], *more]:
        path = f"\\\\{m.computer}\\{thing}{instance and f'({instance})'}\\{counter}"
        key = {"ObjectName": thing, "CounterName": counter, "InstanceName": instance, "CounterPath": path}
        dead = m.role == "partial" and thing == "Memory"
        yield _sampled(m, "Perf", _key(thing, counter, instance), period, key, dead=dead, CounterValue=value)


def insights_rows(m: Machine) -> Iterator[Rows]:
    """Give the samples of VM insights, which one machine in three has."""
    disk = "C:" if m.os_type == "Windows" else "/"
    of_disk = {"vm.azm.ms/mountId": disk, "vm.azm.ms/diskSizeMB": _DISK_MB}
    of_memory, of_cpu = {"vm.azm.ms/memorySizeMB": _MEMORY_MB}, {"vm.azm.ms/totalCpus": 4}
    of_network = {"vm.azm.ms/networkDeviceId": "eth0"}
    metrics: list[tuple[str, str, dict, int, Callable]] = [
        ("Computer", "Heartbeat", {}, 60, _alive),
        ("Memory", "AvailableMB", of_memory, 60, _free),
        ("LogicalDisk", "FreeSpacePercentage", of_disk, 60, _room),
    ]
    if m.number % 2 == 0:
        metrics += [
            ("Processor", "UtilizationPercentage", of_cpu, 300, _busy),
            ("LogicalDisk", "FreeSpaceMB", of_disk, 300, _room_in_mb),
            ("LogicalDisk", "ReadLatencyMs", of_disk, 300, _latency),
            ("LogicalDisk", "WriteLatencyMs", of_disk, 300, _latency),
            ("Network", "ReadBytesPerSecond", of_network, 300, _bytes),
            ("Network", "WriteBytesPerSecond", of_network, 300, _bytes),
        ]
    for space, name, tags, period, value in metrics if m.number // 5 % 3 == 0 else ():
        about = {"Origin": "vm.azm.ms", "Namespace": space, "Name": name, "AgentId": m.guid("agent")}
        tag = tags.get("vm.azm.ms/mountId") or tags.get("vm.azm.ms/networkDeviceId", "")
        stream = _key(space, name, tag)
        yield _sampled(m, "InsightsMetrics", stream, period, about | {"Tags": json.dumps(tags)}, Val=value)


def inventory_rows(m: Machine) -> Iterator[Rows]:
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
        item = words_of_kinds(np.tile(np.arange(len(names)), rows.times.size), names)
        times, received = rows.times[each], rows.received[each]
        yield replace(rows, times=times, received=received, columns=rows.columns | {column: item})


def health_rows(m: Machine) -> Iterator[Rows]:
    """Give the states of the health monitors of a machine, which one in three has."""
    if m.resource_id and m.number // 3 % 3 == 0:
        resource = f"{m.resource_id}/extensions/{m.extension}".lower()
        about = {"AgentType": m.extension, "VMUUID": m.guid("machine"), "_ResourceId": resource}
        fine = {name: lambda m, t, *_: np.zeros(t.size, "int32") for name in ("AgentHealth", "DroppedEventsStatus")}
        yield _sampled(
            m,
            "AMAHealth",
            "",
            900,
            about,
            AgentVersion=_version,
            **fine,
            StartTime=lambda m, t, *_: (t - 900 * SECOND).view("M8[us]"),
            EndTime=lambda m, t, *_: t.view("M8[us]"),
        )


def _key(*parts):
    return " \\ ".join(parts)
