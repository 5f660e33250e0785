"""One contender on one fleet, in a process of its own: ``python contenders.py NAME FOLDER``; prints what it finds."""

import sys
import tempfile

#: More than this between two heartbeats counts as a gap for those that look at spacings.
_GAP = 90
_END = {"year-100": "2027-03-01"}


def _lag(folder, key):
    import duckdb

    return duckdb.sql(f"""
        SELECT count(*) FROM (
            SELECT TimeGenerated - lag(TimeGenerated) OVER (PARTITION BY {key} ORDER BY TimeGenerated) AS spacing
            FROM read_parquet('{folder}/Heartbeat/*.parquet')
        ) WHERE spacing > INTERVAL {_GAP} SECOND""").fetchall()[0][0]


def scan(folder):
    """Read the columns that a first pass needs, and nothing else."""
    import duckdb

    return duckdb.sql(f"""
        SELECT count(*), min(TimeGenerated), max(_TimeReceived), max(Version), max(_ResourceId), max(SourceComputerId)
        FROM read_parquet('{folder}/Heartbeat/*.parquet')""").fetchall()[0][0]


def lag_by_computer(folder):
    """Number of gaps from one window function over short names."""
    return _lag(folder, "Computer")


def lag_by_id(folder):
    """Number of gaps from one window function over resource ids, which tell machines of one name apart."""
    return _lag(folder, "_ResourceId")


def polars_diff(folder):
    """Number of gaps from a difference within each machine, in polars."""
    import polars as pl

    frame = pl.scan_parquet(f"{folder}/Heartbeat/*.parquet").select("Computer", "TimeGenerated")
    spacing = pl.col("TimeGenerated").sort().diff().over("Computer", mapping_strategy="explode")
    return frame.select((spacing > pl.duration(seconds=_GAP)).sum()).collect().item()


def pandas_diff(folder):
    """Number of gaps from a difference within each machine, in pandas."""
    import pandas as pd
    from duckdb import sql

    frame = sql(f"SELECT Computer, TimeGenerated FROM read_parquet('{folder}/Heartbeat/*.parquet')").df()
    frame = frame.sort_values(["Computer", "TimeGenerated"])
    return int((frame.groupby("Computer")["TimeGenerated"].diff() > pd.Timedelta(seconds=_GAP)).sum())


def hourly_availability(folder):
    """Machines with an hour in which no heartbeat came, by the availability query that Microsoft publishes."""
    import amakit

    with amakit.connect(folder) as workspace:
        hours = workspace.query("""
            Heartbeat
            | summarize Beats = count() by bin(TimeGenerated, 1h), Computer
            | summarize Available = countif(Beats > 0), First = min(TimeGenerated),
                        Last = max(TimeGenerated) by Computer
            | extend Share = Available * 100.0 / ((Last - First) / 1h + 1)""")
    return int((hours["Share"] < 100).sum())


def first_pass(folder):
    """Ask the packaged query that every analysis begins with; number of rows that come back."""
    import amakit

    with amakit.connect(folder) as workspace:
        span = {"start": "2026-03-01", "end": _end(folder)}
        span = {key: amakit.intervals.instant(value) for key, value in span.items()}
        return len(workspace.ask("heartbeat_days", **span, machines=[]))


def amakit_analyze(folder):
    """Run the whole command, from the start of the process to the tables on disk; number of outages found."""
    return _analyze(folder, "--no-cache")


def amakit_again(folder):
    """Run the whole command on files that it has read before; number of outages found."""
    return _analyze(folder)


def _analyze(folder, *options):
    import csv
    from pathlib import Path

    from amakit.cli import main

    with tempfile.TemporaryDirectory() as out:
        main(
            ["analyze", folder, "--start", "2026-03-01", "--end", _end(folder), "--out", out, *options],
            standalone_mode=False,
        )
        with (Path(out) / "outages.csv").open(encoding="utf-8") as file:
            return sum(1 for _ in csv.reader(file)) - 1


def _end(folder):
    return _END.get(folder.rstrip("/").rpartition("/")[2], "2026-03-31")


if __name__ == "__main__":
    contender, where = sys.argv[1:]
    print(globals()[contender](where))
