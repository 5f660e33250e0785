"""The demo as a folder of tables, with the truth beside it."""

import hashlib
import json
import os
import shutil
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from amakit import __version__
from amakit.demo.logs import SPEAK, operation_rows, usage_rows
from amakit.demo.machines import START, fleet, words_of_kinds
from amakit.errors import AmakitError
from amakit.intervals import iso
from amakit.output import cache_homes, is_own, make_own, temporary_folder
from amakit.schemas import RECEIVED, Cause, tables

_TENANT = "5e0c7a31-90ab-4d1e-8f52-c0a7d3b1e964"
_TRUTH = {
    "machines": "resource_id computer os_type environment role phase version_at_end",
    "transitions": "resource_id computer os_type from_version to_version kind last_old first_new cause",
    "outages": "resource_id computer os_type cause from_version to_version start end ongoing",
    "losses": "resource_id computer outage_start data_type stream interval_s lost ongoing",
    "events": "resource_id computer outage_start data_type happened_inside arrived lost",
    "unrecorded": "start end",
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
            yield (
                "transitions",
                machine.known_as
                | {
                    "os_type": machine.os_type,
                    "from_version": old,
                    "to_version": new,
                    "cause": o.cause,
                    "kind": "upgrade" if rises else "downgrade",
                    "last_old": _iso(beats[last - 1]),
                    "first_new": _iso(beats[first]),
                },
            )


def _taken(rows):
    """Say what each outage took from these rows: samples of a stream, or events of a table.

    What an outage took of time of which nothing was recorded nobody can tell.
    """
    outages = rows.machine.outages if rows.due else ()
    for o, due, lost in zip(outages, rows.due, rows.lost, strict=True):
        if o.cause == Cause.NOT_RECORDED:
            continue
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


_DUCKDB = {
    "string": "VARCHAR", "dynamic": "VARCHAR", "datetime": "TIMESTAMP", "real": "DOUBLE", "int": "INTEGER",
    "long": "BIGINT", "bool": "BOOLEAN",
}  # fmt: skip
_FREE = {"AzureActivity", "Operation", "Usage"}
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
        for c in types
        if c in frame
    ]
    if "_BilledSize" in types:  # as Usage counts it; heartbeats, the activity log and Usage itself cost nothing
        cells.append('400::DOUBLE AS "_BilledSize"')
    if "_IsBillable" in types and "_IsBillable" not in frame:
        cells.append(f"'{'false' if table in _FREE else 'true'}' AS \"_IsBillable\"")
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
        return pd.api.types.union_categoricals(
            [
                words_of_kinds(np.zeros(size, "int8"), [part]) if isinstance(part, str) else part
                for part, size in zip(parts, sizes, strict=True)
            ]
        )
    return np.concatenate(parts)


def _fill(folder, planned, days, seed):
    """Write everything into a folder that is there and empty."""
    import duckdb

    truth, usage = [row for machine in planned for row in _planned(machine)], []
    stretches = {machine.unrecorded for machine in planned if machine.unrecorded}
    truth += [("unrecorded", {"start": _iso(start), "end": _iso(end)}) for start, end in stretches]
    # With more threads the dictionaries in a file, and so its bytes, depend on who came first; nor is it faster.
    with duckdb.connect(config={"threads": 1, "preserve_insertion_order": True}) as connection:
        connection.execute("SET enable_progress_bar = false")
        for table, speak in SPEAK.items():
            batches = [rows for machine in planned for rows in speak(machine)]
            if not batches:
                continue
            _store(connection, folder, batches)
            usage.append(usage_rows(table, np.concatenate([rows.times for rows in batches]), days))
            truth += [row for rows in batches for row in _taken(rows)]
            beats = [b for b in batches if b.columns.get("Category") == "Azure Monitor Agent"]
            for machine, own in groupby(beats, key=lambda rows: rows.machine):
                truth += _changed(machine, [rows.times for rows in own])
        _store(connection, folder, [operation_rows(days)])
        _store(connection, folder, usage)
    (folder / "truth").mkdir()
    _write_truth(folder / "truth", truth)
    end = START + pd.Timedelta(days=days)
    about = {"synthetic": True, "seed": seed, "machines": len(planned), "days": days}
    about |= {"start": iso(START), "end": iso(end), "amakit": __version__}
    about["bytes"] = {path.name: path.stat().st_size for path in sorted(folder.glob("*.parquet"))}
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
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     made = write(Path(home) / "small", machines=1, days=1)
    ...     sorted(path.name for path in made.iterdir())[:3]
    ['AMAHealth.parquet', 'AppLog_CL.parquet', 'AzureActivity.parquet']
    """
    import duckdb

    planned = fleet(machines, days, seed)
    folder = Path(folder).expanduser().resolve()
    try:
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise AmakitError(
                f"{folder} holds something already; a demo is written only to a new or an empty folder, "
                "so choose another one or empty it"
            )
        with temporary_folder(folder.parent) as made:
            staging = made / folder.name
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
    code = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    name = f"demo-{hashlib.sha256(code).hexdigest()[:12]}"
    failed: Exception = AmakitError(
        f"{' and '.join(str(path) for path in cache_homes())} belong to somebody else, or everybody may write to them, "
        "so no demo is read from there; name a folder of your own in AMAKIT_CACHE"
    )
    for parent in cache_homes():
        folder = parent / name
        try:
            if not make_own(parent):
                continue
            if folder.exists() and not _is_whole(folder):
                shutil.rmtree(folder)
            return folder if folder.exists() else write(folder)
        except (AmakitError, OSError) as error:
            failed = error
            if _is_whole(folder):  # another process was quicker; both made the same
                return folder
    raise failed


def _is_whole(folder):
    """Tell whether the folder holds the tables that were written to it, at their length."""
    try:
        wanted = json.loads((folder / "_demo.json").read_text(encoding="utf-8"))["bytes"]
        return is_own(folder) and {path.name: path.stat().st_size for path in folder.glob("*.parquet")} == wanted
    except (OSError, ValueError, LookupError, TypeError):
        return False
