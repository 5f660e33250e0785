"""Snapshots: what an analysis needs, copied into a folder that outlives retention and reaches a colleague.

Each piece is fetched whole, written whole, and noted in the manifest with its hash, so that an interruption costs only
the piece at hand, and a change shows.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterable
from datetime import datetime
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pandas as pd

from amakit import __version__
from amakit.analysis import analyze
from amakit.errors import AmakitError, UsageError
from amakit.events.counts import LOGS
from amakit.exports.manifest import read_manifest, snapshot_files
from amakit.exports.table_files import MANIFEST, PARTIAL
from amakit.intervals import iso, window
from amakit.output import check_writable, staged
from amakit.recorded.horizon import data_span, horizon, scope
from amakit.share.pieces import KNOWN, Listener, alias, plan
from amakit.share.pseudonyms import Pseudonyms, pseudonym

if TYPE_CHECKING:
    from amakit.source.workspace import Workspace

_AT_ONCE = 4  # slices, whose rows are held in memory meanwhile
_DUCKDB = {"datetime": "TIMESTAMP", "real": "DOUBLE", "int": "INTEGER", "long": "BIGINT", "bool": "BOOLEAN"}
#: Columns that hold words of Azure, of the systems and of the kit, and no names.
_READABLE = {
    "Version", "OSType", "ComputerEnvironment", "Category", "OperationNameValue", "ActivityStatusValue",
    "ActivityStatus", "ConfigDataType", "ObjectName", "CounterName", "Namespace", "Name", "EventLog", "Source",
    "ProcessName", "EventRecordId", "Kind", "Location", "PowerState", "UpgradePolicy", "TypeHandlerVersion",
    "ProvisioningState",
}  # fmt: skip
_SAME = {
    "amakit_snapshot": "form", "amakit": "version of amakit", "workspace": "workspace", "start": "start", "end": "end",
    "machines": "machines", "anonymised": "anonymised", "key": "key", "source": "place of the workspace",
}  # fmt: skip


def snapshot(
    workspace: "Workspace",
    folder: str | Path,
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    machines: Iterable[str] | None = None,
    key: bytes | None = None,
) -> dict:
    """Copy what an analysis needs into a folder, which then is a workspace of its own.

    An interruption leaves what is finished and ``manifest.partial.json``; the same call again fetches the rest.

    Parameters
    ----------
    workspace : Workspace
    folder : path-like
        New, empty, or begun by the same call before.
    start, end, machines
        As for `amakit.analyze`.
    key : bytes, optional
        From `amakit.share.key.owner_key`: names and ids become pseudonyms.

    Returns
    -------
    dict
        The manifest: what was copied, and for each file its table, slice, rows, bytes, SHA-256 and query.

    Raises
    ------
    UsageError
        When the window is too recent or holds nothing, a machine is not known, or the folder holds something else.
    AmakitError
        When something cannot be fetched or written.

    Examples
    --------
    >>> import tempfile
    >>> from amakit import connect
    >>> folder = Path(tempfile.mkdtemp()) / "taken"
    >>> about = snapshot(connect("demo"), folder, "2026-03-09", "2026-03-10", ["sql-07"])
    >>> connect(folder).synthetic, changed(folder)
    (True, [])
    """
    folder = Path(folder).expanduser()
    whole = None if start and end else data_span(workspace)
    asked = window(start or whole.start, end or whole.end)  # type: ignore[union-attr]
    if horizon(asked) < asked.end:
        latest = iso(horizon(asked).floor("min"))
        raise UsageError(f"end {iso(asked.end)} is too recent, as rows arrive late; take {latest}, or wait 15 minutes")
    machines = sorted({name.strip().lower() for name in scope(workspace, asked, machines or ())})
    about = _about(workspace, asked, machines, key)
    if workspace.kind == "folder" and Path(workspace.name).expanduser().resolve() in folder.resolve().parents:
        raise UsageError(f"{folder} lies in the workspace itself, which would hold rows twice; name another folder")
    try:
        before = _before(folder, about)
        if before and "taken" in before and not changed(folder):
            (folder / PARTIAL).unlink(missing_ok=True)
            return before
        check_writable(folder)
        listener = Listener(workspace)
        found = analyze(listener, asked.start, asked.end, machines, cache=False)  # type: ignore[arg-type]
        known = Pseudonyms.of(SimpleNamespace(heard=listener.heard, **vars(found) | {"run": {}}), key) if key else None  # type: ignore[arg-type]
        with workspace.leaving_out(False):  # a table that is refused has no rows
            pieces = list(plan(workspace, found, listener.heard, machines, known))
            return _fetch(workspace, folder, about, pieces, before, known)
    except OSError as error:
        raise _unwritable(folder, error.strerror or error) from error


def changed(folder: str | Path) -> list[str]:
    """List what in a finished snapshot is not as it was taken.

    Parameters
    ----------
    folder : path-like
        Anything else than such a folder is not changed.

    Returns
    -------
    list of str
        A line for each file that is missing, changed or additional.
    """
    manifest = read_manifest(Path(folder).expanduser())
    if manifest is None:
        return []
    wanted, held = {entry["file"]: entry for entry in manifest["files"]}, snapshot_files(folder)
    lines = {file: f"{file} is missing" for file in wanted.keys() - held.keys()}
    lines |= {file: f"{file} is additional" for file in held.keys() - wanted.keys()}
    for file in wanted.keys() & held.keys():
        if _digest(Path(folder) / file) != wanted[file]["sha256"]:
            lines[file] = f"{file} is changed"
    return [lines[file] for file in sorted(lines)]


# -- what it is of, and what is there already --------------------------------------------------------------------


def _about(workspace, asked, machines, key):
    """Say what the snapshot is of, without a secret or a path of the user's."""
    shown = whole = re.sub(r"(?<=//)[^/@]*@|[?#].*$", "", workspace.name)
    if workspace.kind in ("folder", "duckdb"):
        whole = str(Path(workspace.name).expanduser().resolve())
        shown = Path(whole).name
    mark = lambda text: hmac.new(key or b"amakit", text.encode("utf-8", "surrogateescape"), "sha256").hexdigest()[:16]  # noqa: E731
    return {
        "amakit_snapshot": 1,
        "amakit": __version__,
        "synthetic": bool(workspace.synthetic),
        "workspace": pseudonym(key, "workspace", shown) if key else shown,
        "source": mark(whole),
        "start": iso(asked.start),
        "end": iso(asked.end),
        "machines": sorted(alias(name, key) for name in machines),
        "anonymised": key is not None,
        "key": mark("key") if key else "",
    }


def _before(folder, about):
    """Give the manifest of an earlier call; refuse a folder that holds anything else."""
    before = read_manifest(folder, PARTIAL) or read_manifest(folder)
    if before is None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} holds something else already; name a new or an empty folder for the snapshot")
    for part, word in _SAME.items():
        if before and before.get(part) != about[part]:
            raise UsageError(
                f"{folder} holds a snapshot already, of another {word}: {before.get(part)}, not {about[part]}; name "
                "another folder, or ask as before"
            )
    return before


def _kept(folder, before, pieces):
    """Give the entries of the files that need not be fetched again, and take the others away."""
    told = {piece.file: piece.told for piece in pieces}
    entries = {entry["file"]: entry for entry in before["files"]} if before else {}
    kept = {}
    for file in snapshot_files(folder):
        entry = entries.get(file)
        if entry and told.get(file) == entry["query"] and _digest(folder / file) == entry["sha256"]:
            kept[file] = entry
        elif file in entries or file in told:
            (folder / file).unlink()
        else:
            raise UsageError(f"{folder} holds {file}, which is no part of the snapshot; take it out")
    return kept


# -- files -------------------------------------------------------------------------------------------------------


def _fetch(workspace, folder, about, pieces, before, known):
    """Fetch the pieces that are not there yet, and note each in the manifest as soon as it is."""
    done = _kept(folder, before, pieces)
    _note(folder, PARTIAL, about | {"planned": len(pieces), "files": list(done.values())})
    for _, group in groupby((p for p in pieces if p.file not in done), key=lambda piece: id(piece.query)):
        alike = list(group)
        for at in range(0, len(alike), _AT_ONCE):
            part = alike[at : at + _AT_ONCE]
            answers = workspace.ask_all(part[0].query, [piece.values for piece in part])
            for piece, rows in zip(part, answers, strict=True):
                done[piece.file] = _stored(folder, piece, rows, known)
                _note(folder, PARTIAL, about | {"planned": len(pieces), "files": list(done.values())})
    missing = sorted(({*KNOWN, *LOGS} - set(workspace.tables)) | set(workspace.hidden or ()))
    taken = iso(pd.Timestamp.now("UTC").floor("s"))
    manifest = about | {"taken": taken, "missing_tables": missing, "files": [done[piece.file] for piece in pieces]}
    _note(folder, MANIFEST, manifest)
    (folder / PARTIAL).unlink()
    return manifest


def _stored(folder, piece, rows, known):
    """Write one file, the rows sorted so that the same rows make the same bytes; give its entry in the manifest."""
    import duckdb

    kinds = piece.query.returns
    for column in (c for c in rows if rows[c].dtype == "object"):
        rows[column] = [v if v is None or isinstance(v, str) else json.dumps(v, sort_keys=True) for v in rows[column]]
    rows = known.frame(rows, _READABLE) if known else rows
    rows = rows.sort_values(list(rows), ignore_index=True)
    rows = rows.assign(**{c: rows[c].dt.tz_localize(None) for c in rows.select_dtypes("datetimetz")})
    cells = (f'CAST("{column}" AS {_DUCKDB.get(kind, "VARCHAR")}) AS "{column}"' for column, kind in kinds.items())
    table, _, name = piece.file.rpartition("/")
    with staged(folder / table) as stage:
        path = str(stage / name).replace("'", "''")
        try:
            with duckdb.connect(config={"threads": 1}) as connection:
                connection.execute("SET enable_progress_bar = false")
                connection.register("rows", rows)
                select = f"SELECT {', '.join(cells)} FROM rows"
                connection.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
        except duckdb.Error as error:
            raise _unwritable(folder, str(error).splitlines()[0]) from error
    path, start, end = folder / piece.file, piece.values["start"], piece.values["end"]
    return {
        "file": piece.file,
        "table": table,
        "start": iso(start),
        "end": iso(end),
        "rows": len(rows),
        "bytes": path.stat().st_size,
        "sha256": _digest(path),
        "query": piece.told,
    }


def _note(folder, name, manifest):
    with staged(folder) as stage:
        text = json.dumps(manifest, indent=1, ensure_ascii=False)
        (stage / name).write_text(text + "\n", encoding="utf-8", errors="surrogateescape", newline="\n")


def _digest(path):
    with open(path, "rb") as file:  # noqa: PTH123
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unwritable(folder, reason):
    return AmakitError(
        f"{folder} cannot be written: {reason}; make room there and give the same command again, or name another folder"
    )
