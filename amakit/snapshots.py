"""Snapshots: what an analysis needs, copied into a folder that outlives retention and reaches a colleague.

Inside the window every row is copied that a packaged query may read, with the columns that their heads name.  What is
read beyond the window depends on what is found, so the analysis is made once, and listened to: the rows of a machine
are copied as far before and behind the window as it was asked about.
"""

import hashlib
import hmac
import json
import math
import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

import pandas as pd

from amakit import __version__, collect
from amakit.analysis import analyze, staged
from amakit.errors import AmakitError, UsageError
from amakit.events import TABLES as LOGS
from amakit.intervals import Window, iso, window
from amakit.local import MANIFEST, PARTIAL, read_manifest, snapshot_files
from amakit.pseudonyms import Pseudonyms, pseudonym
from amakit.queries import Query, literal, packaged, query, render
from amakit.schemas import RECEIVED, tables

#: By which packaged query the rows of a table are told apart; the others are logs.
_KEYS = {"Heartbeat": "heartbeat_rows", "AzureActivity": "activity"}
_KEYS |= {table: f"{name}_rows" for table, name in collect.STREAMS.items()}
_LOG = "event_windows"
#: Queries that look for few rows of a table: the columns that nobody else reads stay empty in the other rows.
_SAYING = {"Event": "system_events", "Syslog": "syslog_boots", "Perf": "perf_uptime"}
#: So many rows make a file, or fewer; a service gives 500,000.
_ROWS = 250_000
_AT_ONCE, _WINDOWS = 4, 500
_TICK = pd.Timedelta(microseconds=1)
_KINDS = {"table": "table", "start": "datetime", "end": "datetime", "machines": "dynamic", "shared": "dynamic",
          "reach": "datatable", "streams": "datatable", "since": "datetime", "until": "datetime"}  # fmt: skip
_DUCKDB = {"datetime": "TIMESTAMP", "real": "DOUBLE", "int": "INTEGER", "long": "BIGINT", "bool": "BOOLEAN"}
#: Columns that hold words of Azure, of the systems and of the kit, and no names.
_READABLE = {
    "Version", "OSType", "ComputerEnvironment", "Category", "OperationNameValue", "ActivityStatusValue",
    "ActivityStatus", "ConfigDataType", "ObjectName", "CounterName", "Namespace", "Name", "EventLog", "Source",
    "ProcessName", "EventRecordId",
}  # fmt: skip
_SAME = {
    "amakit_snapshot": "form", "amakit": "version of amakit", "workspace": "workspace", "start": "start", "end": "end",
    "machines": "machines", "anonymised": "anonymised", "key": "key", "source": "place of the workspace",
}  # fmt: skip


@dataclass(frozen=True)
class _Piece:
    """One file to come: the query that fetches its rows, and the query as the manifest tells it."""

    file: str
    query: Query
    values: dict
    told: str


class _Listener:
    """A workspace that remembers what it was asked."""

    def __init__(self, workspace):
        self._workspace, self.heard = workspace, []

    def __getattr__(self, name):
        return getattr(self._workspace, name)

    def ask(self, name, **values):
        return self.ask_all(name, [values])[0]

    def ask_all(self, name, several):
        several = list(several)
        answers = self._workspace.ask_all(name, several)
        self.heard += zip([name] * len(several), several, answers, strict=True)
        return answers


def snapshot(workspace, folder, start=None, end=None, machines=None, key=None):
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
        From `amakit.pseudonyms.owner_key`: names and ids become pseudonyms.

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
    whole = None if start and end else collect.data_span(workspace)
    asked = window(start or whole.start, end or whole.end)
    if collect.horizon(asked) < asked.end:
        latest = iso(collect.horizon(asked).floor("min"))
        raise UsageError(f"end {iso(asked.end)} is too recent, as rows arrive late; take {latest}, or wait 15 minutes")
    machines = sorted({name.strip().lower() for name in collect.scope(workspace, asked, machines or ())})
    about = _about(workspace, asked, machines, key)
    try:
        before = _before(folder, about)
        if before and "taken" in before and not changed(folder):
            (folder / PARTIAL).unlink(missing_ok=True)
            return before
        listener = _Listener(workspace)
        found = analyze(listener, asked.start, asked.end, machines)
        known = Pseudonyms.of(SimpleNamespace(heard=listener.heard, **vars(found) | {"run": {}}), key) if key else None
        plan = list(_plan(workspace, found, listener.heard, machines, known))
        return _fetch(workspace, folder, about, plan, before, known)
    except OSError as error:
        raise _unwritable(folder, error.strerror or error) from error


def changed(folder):
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
        "amakit_snapshot": 1, "amakit": __version__, "synthetic": bool(workspace.synthetic),
        "workspace": pseudonym(key, "workspace", shown) if key else shown, "source": mark(whole),
        "start": iso(asked.start), "end": iso(asked.end), "machines": sorted(_alias(name, key) for name in machines),
        "anonymised": key is not None, "key": mark("key") if key else "",
    }  # fmt: skip


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
    foreign = sorted(snapshot_files(folder).keys() - {e["file"] for e in before["files"]}) if before else []
    foreign = [file for file in foreign if not file.endswith(".parquet")]  # one may have come just before the end
    if foreign:
        raise UsageError(f"{folder} holds {foreign[0]}, which is no part of the snapshot; take it out")
    return before


def _kept(folder, before, plan):
    """Give the entries of the files that need not be fetched again, and take the others away."""
    told = {piece.file: piece.told for piece in plan}
    entries = {entry["file"]: entry for entry in before["files"]} if before else {}
    kept = {}
    for file in snapshot_files(folder):
        entry = entries.get(file)
        if entry and told.get(file) == entry["query"] and _digest(folder / file) == entry["sha256"]:
            kept[file] = entry
        else:
            (folder / file).unlink()
    return kept


# -- what is to be copied ----------------------------------------------------------------------------------------


def _plan(workspace, found, heard, machines, known):
    """Give every piece: inside the window for all rows, beyond it for what the analysis asked about."""
    span = found.window
    beyond = _beyond(heard, span, set(found.machines["computer"]) if machines else None)
    names = sorted({*machines, *found.machines["resource_id"], *found.machines["computer"]} - {""}) if machines else []
    sets = {name.partition("/virtualmachines/")[0] for name in names if "scalesets/" in name}
    wide = Window(span.start - pd.Timedelta(days=1), span.end + collect.LOOKAHEAD)
    for table in _tables(workspace):
        shared = next((v["shared"] for _, v, _ in heard if v.get("table") == table and "shared" in v), [])
        given = {"table": table, "shared": shared, "machines": sorted({*names, *sets})}
        given |= {"since": wide.start, "until": wide.end}
        ask = lambda stem, made, cut, table=table, given=given, **more: _piece(  # noqa: E731
            f"{table}/{stem}.parquet", made, given | more | {"start": cut.start, "end": cut.end}, known
        )
        rows = _copy(workspace, table, bool(names))
        for cut in _cuts(workspace, table, span, given, bool(names)):
            yield ask(_stem(cut.start), rows, cut)
        if table in ("AzureActivity", "Event", "Syslog"):
            said = _copy(workspace, table, bool(names), "only")
            yield ask("before-said", said, Window(wide.start, span.start))
            yield ask("after-said", said, Window(span.end, wide.end))
        if names and table not in _KEYS:
            for cut in span.slices():
                yield ask(f"edges-{_stem(cut.start)}", _edges(workspace, table), cut)
        reach, streams = beyond.get(table, (None, None))
        if reach is not None:
            far = _copy(workspace, table, False, "not" if table in _SAYING and table != "Perf" else "", list(reach))
            for side, first, last in (("before", None, span.start), ("after", span.end, None)):
                since, until = reach["Since"].clip(lower=first), reach["Until"].clip(upper=last)
                own = reach.assign(Since=since, Until=until)[since < until].sort_values(list(reach), ignore_index=True)
                for at in range(0, len(own), _WINDOWS):
                    part = own.iloc[at : at + _WINDOWS]
                    for cut in Window(part["Since"].min(), part["Until"].max()).slices():
                        near = part[(part["Since"] < cut.end) & (part["Until"] > cut.start)]
                        stem = f"{side}-{at // _WINDOWS}-{_stem(cut.start)}"
                        yield ask(stem, far, cut, reach=near, streams=streams)


def _tables(workspace):
    wanted = [t for t in workspace.tables if t in _KEYS or t in LOGS or t.lower().endswith("_cl")]
    return [table for table in wanted if "TimeGenerated" in workspace.columns(table)]


def _stem(when):
    return when.strftime("%Y%m%dT%H%M%S.%fZ" if when.microsecond else "%Y%m%dT%H%M%SZ").replace(".", "_")


def _beyond(heard, span, computers):
    """Say for each table how far its rows were asked for, for each machine and, where there are any, stream.

    A machine is read from the first instant before the window that was asked about to the last behind it.  A stream
    that is asked for with several reaches has the widest.
    """
    asked = {}
    for name, values, answer in heard:
        table = values.get("table") or next(iter(query(name).reads))
        groups = asked.setdefault(table, {})
        if "windows" in values:
            streams = ("",) if name == "perf_uptime" else tuple(values.get("streams", ()))
            groups.setdefault(streams, []).append(values["windows"])
        elif name == "heartbeat_machines":
            beat = answer["LastBeat" if values["start"] < span.start else "FirstBeat"]
            one = answer[["ResourceId", "Computer"]].assign(Start=beat, End=beat + _TICK)
            groups.setdefault((), []).append(one if computers is None else one[one["Computer"].isin(computers)])
    found = {}
    for table, groups in ((table, groups) for table, groups in asked.items() if groups):
        frames = {streams: pd.concat(parts, ignore_index=True) for streams, parts in groups.items()}
        wide = sorted(frames, key=lambda streams: ((frames[streams]["End"] - frames[streams]["Start"]).sum(), streams))
        tier = {stream: number for number, streams in enumerate(wide) for stream in streams}
        whole = pd.concat([frame.assign(Tier=wide.index(streams)) for streams, frame in frames.items()])
        if table == "Perf":
            tier[""] = len(wide) - 1  # every uptime counter
        keys = [c for c in ("ResourceId", "Computer", "Key", "Tier") if c in whole and (c != "Tier" or tier)]
        reach = whole.groupby(keys).agg(Since=("Start", "min"), Until=("End", "max")).reset_index()
        reach = reach[(reach["Since"] < span.start) | (reach["Until"] > span.end)]
        if len(reach):
            found[table] = reach, pd.DataFrame(sorted(tier.items()), columns=["Stream", "Tier"])
    return found


def _cuts(workspace, table, span, given, some):
    """Cut the window into days, and days with many rows into parts of the same length."""
    text = "\n| ".join([*_lines(table, some), "summarize Rows = count() by Day = startofday(TimeGenerated)"])
    counting = _made(table, text, _reads(workspace, table)[0], {"Day": "datetime", "Rows": "long"}, ("days",))
    calls = [given | {"start": cut.start, "end": cut.end} for cut in span.slices()]
    days = pd.concat(workspace.ask_all(counting, [_fitting(counting, call) for call in calls]))
    many = days.set_index("Day")["Rows"].to_dict()
    for day in span.slices(1):
        parts = 2 ** max(0, math.ceil(math.log2(max(1, many.get(day.start.normalize(), 0)) / _ROWS)))
        length = (day.end - day.start) / parts
        edges = [(day.start + n * length).floor("us") for n in range(parts)] + [day.end]
        yield from map(Window, edges, edges[1:])


# -- the queries -------------------------------------------------------------------------------------------------


def _reads(workspace, table):
    """Give the columns that packaged queries read of a table, the type of those that are there, and the rare ones."""
    reads = {}
    for name, packed in packaged().items():
        stands = any(kind == "table" for kind, _ in packed.parameters.values())
        first = next(iter(packed.reads.values()))
        reads[name] = (first if table not in _KEYS else ()) if stands else packed.reads.get(table, ())
    there = workspace.columns(table) | (RECEIVED if workspace.live else {})
    usual = tables()[table if table in tables() else "WindowsEvent"]
    wanted = [c for c in dict.fromkeys(c for columns in reads.values() for c in columns) if c in there or c in usual]
    rare = set(reads.pop(_SAYING.get(table), ())) - {c for columns in reads.values() for c in columns}
    return wanted, {column: there[column] for column in wanted if column in there}, rare


def _statements(name):
    """Give what a packaged query puts into new columns, and its own conditions."""
    lines = query(name).text.split("\n| ")[1:]
    conditions = [line[6:] for line in lines if line.startswith("where ")]
    own = [f"({text})" for text in conditions if "TimeGenerated" not in text and "{" not in text]
    return [line for line in lines if line.startswith("extend ")], " and ".join(own)


def _lines(table, some):
    """Begin a query over a table as the packaged ones do; ``some`` machines or all."""
    new, condition = _statements(_KEYS.get(table, _LOG))
    lines = ["{table}", "where TimeGenerated >= {start} and TimeGenerated < {end}", *new]
    lines += [f"where {condition}"] if condition else []
    if some and table == "AzureActivity":
        ids = (f'tostring(split(tolower({column}), "/extensions/")[0])' for column in ("_ResourceId", "ResourceId"))
        lines.append("where " + " or ".join(f"{one} in ({{machines}})" for one in ids))
    elif some:
        lines.append("where ResourceId in ({machines}) or Computer in ({machines})")
    return lines


def _copy(workspace, table, some, saying="", reach=()):
    """Make the query for rows of a table: all, ``only`` or ``not`` those that say something, or within a reach."""
    wanted, there, rare = _reads(workspace, table)
    lines = _lines(table, some)
    if "Computer" in there:
        lines.insert(2, "extend Spelled = Computer")  # before it becomes lower case
    condition = _statements(_SAYING[table])[1] if table in _SAYING else ""
    if table == "Perf":
        lines.append(f'extend Stream = iff({condition}, "", Stream)')
    if saying and condition:
        own = f"{condition} and TimeGenerated >= {{since}} and TimeGenerated < {{until}}"
        lines.append(f"where {own}" if saying == "only" else f"where not({own})")
    head = ""
    if reach:
        head = "let Reach = {reach};\n"
        if "Tier" in reach:
            head += "let Streams = {streams};\n"
            lines.append("join kind=inner Streams on Stream")
        lines.append(f"join kind=inner Reach on {', '.join(c for c in reach if c not in ('Since', 'Until'))}")
        lines.append("where TimeGenerated >= Since and TimeGenerated < Until")
    cells = {c: f"{c} = Spelled" if c == "Computer" else c for c in there}
    cells |= {c: f"{c} = iff({condition}, {c}, {literal(None, there[c])})" for c in there if c in rare}
    text = head + "\n| ".join([*lines, f"project {', '.join(cells.values())}"])
    strings = [column for column, kind in there.items() if kind in ("string", "guid")]
    return _made(table, text, wanted, there, ("instants", "TimeGenerated", *strings))


def _edges(workspace, table):
    """Make the query for the first and last row of each day, whosever: between them a table of events is trusted."""
    ends = ", ".join(f"(Times | summarize TimeGenerated = {end}(TimeGenerated) by Day)" for end in ("min", "max"))
    text = "let Times = materialize({table}\n| where TimeGenerated >= {start} and TimeGenerated < {end}\n"
    text += "| project TimeGenerated, Day = startofday(TimeGenerated));\n" + f"union {ends}\n| distinct TimeGenerated"
    return _made(table, text, ["TimeGenerated"], {"TimeGenerated": "datetime"}, ("days",))


def _made(table, text, wanted, returns, parts):
    usual = table if table in tables() else "WindowsEvent"
    places = dict.fromkeys(re.findall(r"\{(\w+)\}", text))
    parameters = {place: (_KINDS[place], "of the snapshot") for place in places}
    return Query(f"snapshot of {table}", "", {usual: tuple(wanted)}, parameters, returns, "", parts, text, text)


def _fitting(made, values):
    return {key: values[key] for key in made.parameters}


def _piece(file, made, values, known):
    values = _fitting(made, values)
    told = values if known is None else {key: _veiled(value, known) for key, value in values.items()}
    return _Piece(file, made, values, render(made, **told))


# -- pseudonyms --------------------------------------------------------------------------------------------------


def _alias(name, key):
    """Give the pseudonym of a machine's name or id, or of both as events are told apart by them."""
    if key is None:
        return name
    if not name.startswith("/"):
        return pseudonym(key, "machine", name)
    resource, space, computer = name.partition(" ")
    return pseudonym(key, "resource", resource) + (space + pseudonym(key, "machine", computer) if space else "")


def _veiled(value, known):
    """Replace names in a value of a query."""
    if isinstance(value, list):
        return sorted(_alias(name, known.key) for name in value)
    if not isinstance(value, pd.DataFrame):
        return value
    named = [column for column in ("ResourceId", "Computer", "Key") if column in value]
    mapped = {column: value[column].map(lambda name: _alias(name, known.key)) for column in named}
    mapped |= {"Stream": value["Stream"].map(known.text)} if "Stream" in value else {}
    return value.assign(**mapped).sort_values(list(value), ignore_index=True)


# -- files -------------------------------------------------------------------------------------------------------


def _fetch(workspace, folder, about, plan, before, known):
    """Fetch the pieces that are not there yet, and note each in the manifest as soon as it is."""
    done = _kept(folder, before, plan)
    _note(folder, PARTIAL, about | {"planned": len(plan), "files": list(done.values())})
    for _, group in groupby((p for p in plan if p.file not in done), key=lambda piece: id(piece.query)):
        pieces = list(group)
        for at in range(0, len(pieces), _AT_ONCE):
            part = pieces[at : at + _AT_ONCE]
            answers = workspace.ask_all(part[0].query, [piece.values for piece in part])
            for piece, rows in zip(part, answers, strict=True):
                done[piece.file] = _stored(folder, piece, rows, known)
                _note(folder, PARTIAL, about | {"planned": len(plan), "files": list(done.values())})
    missing = sorted({*_KEYS, *LOGS} - set(workspace.tables))
    taken = iso(pd.Timestamp.now("UTC").floor("s"))
    manifest = about | {"taken": taken, "missing_tables": missing, "files": [done[piece.file] for piece in plan]}
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
                connection.register("rows", rows)
                select = f"SELECT {', '.join(cells)} FROM rows"
                connection.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
        except duckdb.Error as error:
            raise _unwritable(folder, str(error).splitlines()[0]) from error
    path, start, end = folder / piece.file, piece.values["start"], piece.values["end"]
    return {
        "file": piece.file, "table": table, "start": iso(start), "end": iso(end), "rows": len(rows),
        "bytes": path.stat().st_size, "sha256": _digest(path), "query": piece.told,
    }  # fmt: skip


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
