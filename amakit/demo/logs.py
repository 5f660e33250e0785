"""What the demo's agents read from logs, and what the control plane writes."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd

from amakit.demo.machines import (
    APPLICATIONS,
    DAY,
    DELETE,
    HEALTH,
    HOUR,
    MINUTE,
    SECOND,
    START,
    WRITE,
    Machine,
    Operation,
    random_guid,
    random_minutes,
    words_of_kinds,
)
from amakit.demo.rows import Rows, health_rows, heartbeat_rows, insights_rows, inventory_rows, perf_rows, received_rows


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
    columns = {name: words_of_kinds(kinds, column) for name, column in zip(log.columns.split(), words, strict=True)}
    columns |= {"EventRecordId": number, "EventTime": times.view("M8[us]")}
    columns |= {"HostName": machine.resource, "CollectorHostName": machine.resource}
    return received_rows(Rows(machine, table, "", 0, times, times, machine.identity | columns, due, lost), rng)


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


def often(*kinds: tuple) -> tuple:
    """Let some kinds of events be ten times as frequent as those that stand beside them once."""
    return kinds * 10


_INFO, _LEDGER, _BACKUP = ("Information", 4), ("CONTOSO\\svc-ledger", "User"), ("CONTOSO\\svc-backup", "User")
_TASKS = ("Microsoft-Windows-TaskScheduler/Operational", "Microsoft-Windows-TaskScheduler")
_AUDIT = ("Security", "Microsoft-Windows-Security-Auditing")
_LOGS = {
    "Event": Log(("Windows",), 20, "EventLog Source EventID EventLevelName EventLevel RenderedDescription", [
        *often(
            ("", "System", "Service Control Manager", 7036, *_INFO, "Contoso Sync entered the running state."),
            ("", "System", "Microsoft-Windows-Time-Service", 37, *_INFO, "The time provider is receiving data."),
            ("", "Application", "ContosoLedger", 1000, *_INFO, "A batch was accepted."),
            ("", "Application", "ContosoLedger", 1001, "Warning", 3, "A batch waits for its predecessor."),
        ),
        ("", "System", "Service Control Manager", 7031, "Error", 2, "Contoso Sync terminated unexpectedly."),
        ("", "Application", "ContosoLedger", 1002, "Error", 2, "A batch was rejected."),
        ("restart -8", "System", "User32", 1074, *_INFO, "Planned maintenance. Shutdown Type: restart"),
        ("stop -8", "System", "User32", 1074, *_INFO, "Planned maintenance. Shutdown Type: power off"),
        ("off -1", "System", "EventLog", 6006, *_INFO, "The Event log service was stopped."),
        ("boot 8", "System", "EventLog", 6005, *_INFO, "The Event log service was started."),
        ("crash 9", "System", "EventLog", 6008, "Error", 2, "The previous system shutdown was unexpected."),
        ("crash 3", "System", "Kernel-Power", 41, "Critical", 1, "The system rebooted without shutting down."),
    ]),
    "WindowsEvent": Log(("Windows",), 12, "Channel Provider EventID EventLevelName EventData", [
        ("", *_TASKS, 200, "Information", '{"TaskName":"ContosoSync"}'),
        ("", *_TASKS, 201, "Information", '{"TaskName":"ContosoSync","ResultCode":"0"}'),
        ("", *_TASKS, 110, "Information", '{"TaskName":"ContosoBackup"}'),
    ]),
    "SecurityEvent": Log(("Windows",), 30, "Channel EventSourceName EventID Activity Account AccountType LogonType "
                         "TargetAccount IpAddress", [
        *often(
            ("", *_AUDIT, 4624, "4624 - An account was successfully logged on.", *_LEDGER, 3, _LEDGER[0], "10.0.0.9"),
            ("", *_AUDIT, 4634, "4634 - An account was logged off.", *_LEDGER, 3, _LEDGER[0], ""),
            ("", *_AUDIT, 4672, "4672 - Special privileges assigned to new logon.", *_BACKUP, 0, "", ""),
            ("", *_AUDIT, 4688, "4688 - A new process has been created.", "CONTOSO\\host$", "Machine", 0, "", ""),
        ),
        ("", *_AUDIT, 4625, "4625 - An account failed to log on.", *_BACKUP, 3, _BACKUP[0], "10.0.0.66"),
        ("", *_AUDIT, 4740, "4740 - A user account was locked out.", *_BACKUP, 0, _BACKUP[0], ""),
        ("", *_AUDIT, 4720, "4720 - A user account was created.", *_LEDGER, 0, "CONTOSO\\svc-new", ""),
        ("", *_AUDIT, 1102, "1102 - The audit log was cleared.", *_LEDGER, 0, "", ""),
    ]),
    "Syslog": Log(("Linux",), 20, "Facility ProcessName ProcessID SeverityLevel SyslogMessage", [
        *often(
            ("", "cron", "CRON", 2201, "info", "(root) CMD (/usr/local/bin/contoso-sync)"),
            ("", "daemon", "contoso-ledger", 1480, "info", "batch accepted"),
            ("", "daemon", "contoso-ledger", 1480, "warning", "batch waits for its predecessor"),
            ("", "auth", "sshd", 990, "info", "Accepted publickey for backup from 10.0.0.9 port 50022"),
            ("", "daemon", "systemd", 1, "info", "Started contoso-sync.service - Contoso Sync."),
            ("", "user", "systemd", 1733, "info", "Reached target shutdown.target - Shutdown."),
        ),
        ("", "daemon", "contoso-ledger", 1480, "err", "batch rejected"),
        ("", "auth", "sshd", 990, "info", "Failed password for invalid user admin from 10.0.0.66 port 50111 ssh2"),
        ("", "authpriv", "sudo", 3077, "notice", "pam_unix(sudo:auth): authentication failure; user=backup"),
        ("restart -8", "auth", "systemd-logind", 612, "notice", "System is rebooting."),
        ("stop -8", "auth", "systemd-logind", 612, "notice", "System is powering down."),
        ("off -1", "daemon", "systemd", 1, "info", "Reached target shutdown.target - System Shutdown."),
        ("boot 1", "kern", "kernel", 0, "notice", "Linux version 6.8.0-1021-azure (buildd@contoso)"),
        ("boot 1.2", "kern", "kernel", 0, "info", "Command line: BOOT_IMAGE=/boot/vmlinuz-6.8.0-1021-azure ro"),
        ("boot 16", "daemon", "systemd", 1, "info", "Startup finished in 4.1s (kernel) + 11.6s (userspace) = 15.7s."),
    ]),
    "AppLog_CL": Log(("Windows", "Linux"), 24, "RawData", [
        ("", "INFO ledger batch accepted"), ("", "INFO sync finished"), ("", "WARN ledger batch waits"),
    ]),
}  # fmt: skip


def _log(table, m):
    log = _LOGS[table]
    if m.os_type in log.os_types and (table != "AppLog_CL" or m.number % 3 == 0):
        yield _logged(m, table, log)


def _changes(m):
    """Tell what change tracking saw: each new agent at the poll after it came, and a few things of no matter."""
    rng = m.rng("ConfigurationChange")
    lives = zip(m.outages, pairwise(m.versions), strict=True)
    seen = [
        (o.end + random_minutes(rng, 3, 30), *pair, "Software", m.extension) for o, pair in lives if len({*pair}) > 1
    ]
    kind = "WindowsServices" if m.os_type == "Windows" else "Daemons"
    for at in rng.integers(*m.window, rng.poisson(3)):
        if not any(o.start <= at < o.end for o in m.outages):
            seen.append((at, "Running", "Stopped", kind, "ContosoSync"))
    if seen:
        times, before, after, kinds, names = zip(*sorted(seen), strict=True)
        columns: dict[str, Sequence] = {"Previous": before, "Current": after, "ConfigChangeType": kinds}
        columns |= {"SoftwareName": [n if k == "Software" else "" for n, k in zip(names, kinds, strict=True)]}
        columns |= {"SvcName": ["" if k == "Software" else n for n, k in zip(names, kinds, strict=True)]}
        columns = m.identity | {c: pd.Categorical(v) for c, v in columns.items()} | {"ChangeCategory": "Modified"}
        times = np.array(times, "int64")
        yield received_rows(Rows(m, "ConfigurationChange", "", 0, times, times, columns), rng)


def _displayed(name):
    """Give the name of an operation as the portal shows it, which the older columns hold."""
    words = {
        WRITE: "Create or Update Virtual Machine Extension",
        "DEALLOCATE": "Deallocate Virtual Machine",
        "RESTART": "Restart Virtual Machine",
        "START": "Start Virtual Machine",
        "INSTALLPATCHES": "Install OS update patches on virtual machine",
        "UPGRADEEXTENSIONS": "Upgrade Extensions of Azure Arc machines",
    }
    return next((shown for word, shown in words.items() if word in name), name)


def _category(name):
    """Give the category of the activity log that an operation stands in."""
    return "ResourceHealth" if name.startswith(HEALTH) else "Autoscale" if "AUTOSCALE" in name else "Administrative"


def _activity(m):
    """Tell operations as the activity log does: several rows each, in one of two spellings, minutes late.

    Events of Resource Health are one row each.
    """
    rng = m.rng("AzureActivity")
    told = [op for o in m.outages for op in o.operations]
    if m.kind in ("vm", "twin"):  # other extensions are written as well
        other = partial(Operation, f"MICROSOFT.COMPUTE/VIRTUALMACHINES{WRITE}", extension=f"DependencyAgent{m.os_type}")
        told += [other(at, at + MINUTE) for at in rng.integers(m.window[0], m.window[1] - HOUR, 2)]
    old_style = {"Start": "Started", "Accept": "Accepted", "Success": "Succeeded", "Failure": "Failed"}
    rows = []
    for op in told:
        target = m.resource_id + (f"/extensions/{op.extension}" if op.name.endswith((WRITE, DELETE)) else "")
        correlation = random_guid(rng)
        steps = [("Start", op.began), ("Accept", op.began + random_minutes(rng, 0.01, 0.05)), (op.outcome, op.ended)]
        steps = steps[-1:] if op.name.startswith(HEALTH) else steps
        rows += [
            {
                "at": at,
                "OperationNameValue": op.name,
                "Caller": op.caller,
                "CategoryValue": _category(op.name),
                "Claims": json.dumps({"appid": APPLICATIONS[op.caller]}) if op.caller in APPLICATIONS else "",
                "ActivityStatusValue": old_style.get(status, status) if m.number % 4 == 1 else status,
                "OperationName": _displayed(op.name),
                "ActivityStatus": old_style.get(status, status),
                "ActivitySubstatusValue": "OK (HTTP Status Code: 200)" if status == "Success" else "",
                "Level": "Error" if status == "Failure" else "Information",
                "CorrelationId": correlation,
                "EventDataId": random_guid(rng),
                "ResourceId": target,
                "_ResourceId": (target if m.number % 2 else m.resource_id).lower(),
                "Properties_d": json.dumps({"entity": target.lower(), "extension": op.extension} | op.properties),
                "ResourceProviderValue": op.name.split("/")[0],
                "ResourceGroup": target.split("/")[4],
                "SubscriptionId": target.split("/")[2],
                "_SubscriptionId": target.split("/")[2],
            }
            for status, at in steps
        ]
    if rows:
        table = pd.DataFrame(rows).sort_values("at", kind="stable")
        times = table.pop("at").to_numpy("int64")
        received = times + rng.integers(3 * MINUTE, 20 * MINUTE, times.size)
        columns = {name: pd.Categorical(table[name]) for name in table}
        columns |= {"EventSubmissionTimestamp": received.view("M8[us]"), "SourceSystem": "Azure"}
        yield Rows(m, "AzureActivity", "", 0, times, received, columns)


def operation_rows(days: int) -> Rows:
    """Give a few messages of the workspace itself."""
    times = int(START.value // 1000) + np.arange(days) * DAY + 7 * HOUR
    about = {
        "OperationCategory": "Ingestion",
        "OperationStatus": "Succeeded",
        "OperationKey": "Daily quota",
        "Detail": "The daily quota was reset.",
        "Solution": "Log Management",
        "SourceSystem": "OpsManager",
    }
    return Rows(None, "Operation", "", 0, times, times + 9 * MINUTE, about)


def usage_rows(table: str, times: np.ndarray, days: int) -> Rows:
    """Give what a table took in each hour, at some 400 bytes a row."""
    start = int(START.value // 1000)
    ends = start + np.arange(1, 24 * days + 1) * HOUR
    rows = np.bincount((times - start) // HOUR, minlength=ends.size)
    about = {
        "DataType": table,
        "Quantity": rows[: ends.size] * 400 / 1e6,
        "QuantityUnit": "MBytes",
        "StartTime": (ends - HOUR).view("M8[us]"),
        "EndTime": ends.view("M8[us]"),
        "Solution": "LogManagement",
        "IsBillable": np.full(ends.size, table != "Heartbeat"),
    }
    return Rows(None, "Usage", "", 0, ends, ends + 15 * MINUTE, about)


SPEAK: dict[str, Callable[[Machine], Iterable[Rows]]] = {
    "Heartbeat": heartbeat_rows,
    "Perf": perf_rows,
    "InsightsMetrics": insights_rows,
    "ConfigurationData": inventory_rows,
    "ConfigurationChange": _changes,
    "AMAHealth": health_rows,
    **{table: partial(_log, table) for table in _LOGS},
    "AzureActivity": _activity,
}
