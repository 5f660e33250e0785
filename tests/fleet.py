"""Small fleets with a known answer, and the slow obvious way to find version changes."""

import duckdb
import numpy as np
import pandas as pd

AMA = "Azure Monitor Agent"


def at(text):
    return pd.Timestamp(text, tz="UTC").as_unit("us")


def beats(computer, stretches, interval=60.0, resource=None, os_type="Windows", source="s", category=AMA):
    """Heartbeats of one agent: for each (version, start, end) one beat every interval, the end left out."""
    parts = []
    for version, start, end in stretches:
        seconds = np.arange(0, (at(end) - at(start)).total_seconds(), interval)
        times = at(start) + pd.to_timedelta(seconds, unit="s").as_unit("us")
        parts.append(pd.DataFrame({"TimeGenerated": times, "Version": version}))
    return pd.concat(parts, ignore_index=True).assign(
        Computer=computer,
        _ResourceId=f"/subscriptions/0/resourceGroups/rg/VM/{computer}" if resource is None else resource,
        OSType=os_type,
        ComputerEnvironment="Azure",
        Category=category,
        SourceComputerId=source,
    )


def write(folder, **tables):
    """Write frames as Parquet files named after their tables."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in tables.items():
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            plain = frame.assign(TimeGenerated=frame["TimeGenerated"].dt.tz_localize(None))
            connection.register("rows", plain)
            connection.sql("FROM rows").write_parquet(str(folder / f"{name}.parquet"))
    return folder


def numbers(version):
    """Compare versions the long way: split, take four numbers, fill with zeros."""
    parts = [int(p) for p in version.split("-")[0].split(".")]
    return parts + [0] * (4 - len(parts))


def changes_by_walking(heartbeat):
    """Walk over the beats of each machine in time and note where the version differs from the beat before."""
    found = []
    frame = heartbeat[heartbeat["Category"] == AMA].sort_values("TimeGenerated", kind="stable")
    for (resource, computer), rows in frame.groupby([frame["_ResourceId"].str.lower(), frame["Computer"].str.lower()]):
        previous = None
        for row in rows.itertuples():
            if previous is not None and numbers(previous.Version) != numbers(row.Version):
                kind = "upgrade" if numbers(row.Version) > numbers(previous.Version) else "downgrade"
                found.append(
                    (resource, computer, previous.Version, row.Version, kind, previous.TimeGenerated, row.TimeGenerated)
                )
            previous = row
    return sorted(found, key=lambda change: (change[1], change[0], change[5]))


def every(interval, start, end, without=(), phase=0.0, jitter=0.0, seed=0):
    """Sample times each `interval` seconds in [start, end) but for those in the stretches `without`."""
    start, end = at(start), at(end)
    seconds = np.arange(phase, (end - start).total_seconds(), interval)
    if jitter:
        seconds = seconds + np.random.default_rng(seed).normal(0, jitter, len(seconds))
    times = pd.Series(start + pd.to_timedelta(np.round(seconds * 1e6), unit="us").as_unit("us"))
    for low, high in without:
        times = times[(times < at(low)) | (times >= at(high))]
    return times.reset_index(drop=True)


def heartbeats(computer, times, version="1.38.0", **columns):
    """Heartbeats of one agent at given times; other columns replace the usual ones."""
    usual = {
        "Computer": computer,
        "Version": version,
        "OSType": "Windows",
        "ComputerEnvironment": "Azure",
        "Category": AMA,
        "_ResourceId": f"/subscriptions/0/resourceGroups/rg/VM/{computer}",
        "SourceComputerId": f"agent-{computer}",
        "VMUUID": f"vm-{computer}",
    }
    return pd.DataFrame({"TimeGenerated": pd.Series(times).reset_index(drop=True)}).assign(**(usual | columns))


def counters(computer, times, name="% Processor Time", **columns):
    """Samples of one performance counter at given times; other columns replace the usual ones."""
    usual = {
        "Computer": computer,
        "ObjectName": "Processor",
        "CounterName": name,
        "InstanceName": "_Total",
        "CounterValue": 1.0,
        "_ResourceId": f"/subscriptions/0/resourceGroups/rg/VM/{computer}",
    }
    return pd.DataFrame({"TimeGenerated": pd.Series(times).reset_index(drop=True)}).assign(**(usual | columns))


def received(rows, delay):
    """Give rows the time at which the service received them: a delay in seconds, one for all or one for each row."""
    return rows.assign(_TimeReceived=(rows["TimeGenerated"] + pd.to_timedelta(delay, unit="s")).dt.tz_localize(None))


def analyzed(folder, start, end, machines=None, **tables):
    """Write tables, some of them lists of frames, and analyse them with what the folder has already."""
    import amakit

    frames = {
        name: pd.concat(rows, ignore_index=True) if isinstance(rows, list) else rows for name, rows in tables.items()
    }
    with amakit.connect(write(folder, **frames)) as workspace:
        return amakit.analyze(workspace, start, end, machines)
