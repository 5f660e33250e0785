"""Fleets for the benchmarks: folder workspaces of Parquet files, made once.

Heartbeats are sent every 60.003 s, with jitter; at each upgrade an agent is away for half a minute to ten
minutes and comes back on a phase of its own, under the next version.  Rows lie in the order of their arrival.
"""

from pathlib import Path

import duckdb

START = "2026-03-01"
#: What each fleet holds: machines, days, upgrades per machine, and how many machines have ten counters in Perf.
FLEETS = {
    "machines-100": (100, 30, 1, 0),
    "machines-1000": (1_000, 30, 1, 0),
    "machines-1000-calm": (1_000, 30, 0, 0),
    "machines-1000-busy": (1_000, 30, 4, 0),
    "machines-10000": (10_000, 30, 1, 0),
    "perf-50": (50, 30, 1, 50),
    "year-100": (100, 365, 12, 0),
}

_MACHINES = """
CREATE TABLE machine AS
SELECT m, format('vm-{:05d}', m) AS computer, format('rg-{:02d}', m % 40) AS rg,
       CASE WHEN m % 5 < 3 THEN 'Linux' ELSE 'Windows' END AS os,
       md5(format('agent {}', m))::UUID::VARCHAR AS agent, md5(format('vm {}', m))::UUID::VARCHAR AS vm
FROM range(?) t(m)
"""
# a machine's history between upgrades; random() would depend on the number of threads, hashes do not
_SEGMENTS = """
CREATE TABLE segment AS
WITH change AS (
    SELECT m, k, (k + 0.02 + 0.96 * (hash(m, k, 'at') % 1000000 / 1e6)) * ? * 86400 / greatest(?, 1) AS since,
           exp(ln(30) + (hash(m, k, 'down') % 1000000 / 1e6) * ln(20)) AS down
    FROM machine, range(?) t(k)
), beginning AS (
    SELECT m, -1 AS k, 60.0 * (hash(m, 'phase') % 1000000 / 1e6) AS since FROM machine
    UNION ALL SELECT m, k, since + down FROM change
)
SELECT b.m, b.k, b.since, coalesce(c.since, ? * 86400) AS until, format('1.{}.0', 30 + b.k + 1) AS version
FROM beginning b LEFT JOIN change c ON c.m = b.m AND c.k = b.k + 1
"""
_BEATS = """
WITH beat AS (
    SELECT m, version, unnest(range(greatest(0, ceil(({day} * 86400 - since) / 60.003))::BIGINT,
                                    ceil((least(until, {day} * 86400 + 86400) - since) / 60.003)::BIGINT)) AS n, since
    FROM segment WHERE since < {day} * 86400 + 86400 AND until > {day} * 86400
)
SELECT TIMESTAMP '{start}' + to_microseconds(((since + 60.003 * n) * 1e6)::BIGINT + (hash(m, n) % {jitter})::BIGINT)
           AS TimeGenerated, *
FROM beat
"""
_HEARTBEAT = """
SELECT TimeGenerated, 'Azure Monitor Agent' AS Category, computer AS Computer, 'Azure' AS ComputerEnvironment,
       os AS OSType, agent AS SourceComputerId, vm AS VMUUID, version AS Version, 'Heartbeat' AS Type,
       '5e0c7a31-90ab-4d1e-8f52-c0a7d3b1e964' AS TenantId, rg AS ResourceGroup,
       '/subscriptions/0b1e2d3c-4a5f-4687-9a0b-c0de00000001/resourcegroups/' || rg
           || '/providers/microsoft.compute/virtualmachines/' || computer AS _ResourceId,
       TimeGenerated + to_microseconds(8000000 + (hash(m, n, 'late') % 20000000)::BIGINT) AS _TimeReceived
FROM ({beats}) JOIN machine USING (m), range(2) copy(c)
WHERE c = 0 OR hash(m, n, 'twice') % 1000000 < {doubled}
ORDER BY _TimeReceived
"""
_PERF = """
SELECT TimeGenerated + to_microseconds(1000000 * c) AS TimeGenerated, computer AS Computer,
       CASE WHEN c % 10 < 5 THEN 'Processor' ELSE 'LogicalDisk' END AS ObjectName,
       format('Counter {{}}', c) AS CounterName, '_Total' AS InstanceName,
       (hash(m, n, c) % 10000) / 100.0 AS CounterValue,
       '/subscriptions/0b1e2d3c-4a5f-4687-9a0b-c0de00000001/resourcegroups/' || rg
           || '/providers/microsoft.compute/virtualmachines/' || computer AS _ResourceId,
       TimeGenerated + to_microseconds(1000000 * c + 8000000 + (hash(m, n, 'late') % 20000000)::BIGINT) AS _TimeReceived
FROM ({beats}) JOIN machine USING (m), range({counters}) t(c) WHERE m < {sampled} ORDER BY _TimeReceived
"""
_EVENT = """
SELECT TimeGenerated + to_microseconds((hash(m, n, e) % 60000000)::BIGINT) AS TimeGenerated, computer AS Computer,
       format('Source {{}}', e % 5) AS Source, CASE WHEN e % 3 = 0 THEN 'System' ELSE 'Application' END AS EventLog,
       (hash(m, n, e, 'id') % 9000)::INTEGER AS EventID, 'Information' AS EventLevelName,
       '/subscriptions/0b1e2d3c-4a5f-4687-9a0b-c0de00000001/resourcegroups/' || rg
           || '/providers/microsoft.compute/virtualmachines/' || computer AS _ResourceId,
       TimeGenerated + to_microseconds(70000000 + (hash(m, n, 'late') % 20000000)::BIGINT) AS _TimeReceived
FROM ({beats}) JOIN machine USING (m), range({events}) t(e) ORDER BY _TimeReceived
"""


def make(folder, name):
    """Write a fleet of `FLEETS` into a folder, unless it is there."""
    target = Path(folder) / name
    if not (target / "_whole").exists():
        write(target, *FLEETS[name])
        (target / "_whole").touch()
    return target


def write(target, machines, days, upgrades, sampled=0, jitter=0.05, doubled=0.0, counters=10, events=0):
    """Write a fleet, a file for each table and day.

    Parameters
    ----------
    target : pathlib.Path
    machines, days, upgrades, sampled : int
        As in `FLEETS`.
    jitter : float
        Heartbeats come up to so many seconds late.
    doubled : float
        Share of the heartbeats that are there twice.
    counters : int
        In Perf, of each machine that is sampled.
    events : int
        Rows of Event for each machine and minute.
    """
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        db.execute(_MACHINES, [machines])
        db.execute(_SEGMENTS, [days, upgrades, upgrades, days])
        for day in range(days):
            beats = _BEATS.format(day=day, start=START, jitter=round(jitter * 1e6))
            tables = {"Heartbeat": _HEARTBEAT.format(beats=beats, doubled=round(doubled * 1e6))}
            if sampled:
                tables["Perf"] = _PERF.format(beats=beats, sampled=sampled, counters=counters)
            if events:
                tables["Event"] = _EVENT.format(beats=beats, events=events)
            for table, rows in tables.items():
                path = target / table / f"{day:03d}.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                db.execute(f"COPY ({rows}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
