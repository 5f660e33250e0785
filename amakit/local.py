"""The embedded engine: exported tables on disk as DuckDB views, and KQL on them through duckdb-kql."""

import csv
import gzip
import io
import json
import os
import re
import tempfile
import uuid
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from amakit.errors import AmakitError, UsageError, nearest
from amakit.queries import Held
from amakit.schemas import RECEIVED, frame_of, table_name, tables

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd

_FORMS = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json"}
_DUCKDB = {
    "string": "VARCHAR", "guid": "VARCHAR", "datetime": "TIMESTAMP", "timespan": "INTERVAL", "int": "INTEGER",
    "long": "BIGINT", "real": "DOUBLE", "decimal": "DOUBLE", "bool": "BOOLEAN", "dynamic": "JSON",
}  # fmt: skip
#: What a failed conversion inside DuckDB says, so that it can be found again in the error that comes out.
_BROKEN = "amakit-broken-value"
#: The portal writes 3/1/2026, 8:21:01.494 AM.
_PORTAL_TIMES = "['%m/%d/%Y, %I:%M:%S.%f %p', '%m/%d/%Y, %I:%M:%S %p', '%m/%d/%Y %I:%M:%S %p']"


#: What a snapshot says of itself, whole and while it is being taken.
MANIFEST, PARTIAL = "manifest.json", "manifest.partial.json"


@dataclass(frozen=True)
class _Source:
    """Some files of one table that can be read together: the same form and the same columns."""

    form: str
    path: str  # the file, or the folder that holds all of them
    relation: str  # what DuckDB reads, with the columns as the files spell them
    columns: dict  # the usual name of each column -> (its name in the files, its DuckDB type)
    full: frozenset = frozenset()  # names of columns, as the files spell them, that surely hold no null


class LocalEngine:
    """KQL over a folder of exported tables, or over a DuckDB file.

    Parquet files are read in place.  Text forms are turned into tables when a query first mentions them,
    whole or not at all: the first value that cannot be read stops the query.

    Parameters
    ----------
    path : path-like
        The folder or the ``.duckdb`` file.

    Raises
    ------
    AmakitError
        When nothing in it can be read, or a file is not what its name says.
    """

    at_once, log_analytics = 1, False

    def __init__(self, path: str | Path) -> None:
        import duckdb
        import duckdb_kql
        from duckdb_kql.engine import schema

        self._kql, self._errors = duckdb_kql, duckdb.Error
        self._path = Path(path).resolve()
        self._connection = duckdb.connect(config={"preserve_insertion_order": True})
        self._run("SET TimeZone = 'UTC'")
        # DuckDB may always reach its temporary directory: one of its own, which it makes when it needs to
        spill = Path(tempfile.gettempdir()) / f"amakit-{uuid.uuid4().hex}"
        self._run(f"SET temp_directory = {_text(str(spill))}")
        self._text_tables, self._columns, self._held = set(), {}, []
        marker = self._path / "_demo.json"  # a made-up fleet has a made-up today, so that ago() finds it
        taken = read_manifest(self._path)  # and what was copied of the past is as it was then
        about = json.loads(marker.read_text(encoding="utf-8")) if marker.is_file() else taken or {}
        self._now = about.get("end")
        if self._path.is_dir():
            self._run(f"SET allowed_directories = [{_text(str(self._path))}]")
            found = self._folder()
        else:
            found = self._database()
        self._run("SET enable_external_access = false")
        self._run("SET lock_configuration = true")
        self._columns = {name: self._view(name, sources) for name, sources in sorted(found.items())}
        self._schema = schema(self._connection)

    # -- what there is ------------------------------------------------------------------------------------

    def tables(self) -> list[str]:
        """Give the names of the tables."""
        return list(self._columns)

    def columns(self, table: str) -> dict[str, str]:
        """Give the KQL type of each column of a table."""
        return self._columns[table]

    def known(self) -> dict[str, dict[str, str]]:
        """Give the KQL type of each column of each table."""
        return self._columns

    def extent(self, table: str, most: int = 20_000_000) -> "tuple[int | None, datetime | None, datetime | None]":
        """Give rows, first and last instant of a table; None where text or more rows would have to be read."""
        if table in self._text_tables:
            return None, None, None
        (rows,) = self._run(f"SELECT count(*) FROM {_name(table)}").fetchone()
        if rows > most or self._columns[table].get("TimeGenerated") != "datetime":
            return rows, None, None
        ends = self._run(f'SELECT min("TimeGenerated"), max("TimeGenerated") FROM {_name(table)}').fetchone()
        return rows, *ends

    def close(self) -> None:
        """Let go of the files."""
        self._connection.close()

    def run(self, kql: str) -> "pd.DataFrame":
        """Run KQL and give the result as a frame.

        Raises
        ------
        AmakitError
            When the text is no KQL that the embedded engine knows, names what is not there, or meets a value
            that cannot be read.
        """
        from duckdb_kql.errors import KqlError, KqlSyntaxError

        try:
            held = {table.name: list(table.columns) for table in self._held}
            sql = self._kql.to_sql(kql, schema=self._schema | held, allow_write=False, query_now=self._now)
            if sql.unbound:
                raise UsageError(f"the query declares parameters without values: {', '.join(sql.unbound)}")
            self._load_text_tables(str(sql))
            return self._fetch(str(sql), dict(sql.parameters))
        except KqlSyntaxError as error:
            reason = re.sub(r" expecting \{.*", "", _one_line(error))  # what could stand there are 100 words
            raise AmakitError(f"the query cannot be parsed: {reason}; mend it there or just before") from error
        except KqlError as error:
            raise AmakitError(f"the embedded engine cannot run the query: {_one_line(error)}") from error
        finally:
            while self._held:
                self._run(f"DROP TABLE {_name(self._held.pop().name)}")

    counted = run  # nothing can get lost on the way

    def held(self, frame: "pd.DataFrame") -> Held:
        """Hold a frame as a table until the next query has run.

        Returns
        -------
        amakit.queries.Held
        """
        table = Held(f"held {len(self._held)}", tuple(frame.columns))
        times = {c: frame[c].dt.tz_convert(None) for c in frame.select_dtypes("datetimetz")}
        cells = ", ".join(
            f"nullif({_name(c)}, 'nan') AS {_name(c)}" if frame[c].dtype.kind == "f" else _name(c) for c in frame
        )
        self._connection.register("given", frame.assign(**times))
        self._run(f"CREATE TABLE {_name(table.name)} AS SELECT {cells} FROM given")
        self._connection.unregister("given")
        self._held.append(table)
        return table

    def _fetch(self, sql, parameters):
        from duckdb_kql.types import kusto_type

        cursor = self._run(sql, parameters)
        types = {name: kusto_type(kind) for name, kind, *_ in cursor.description}
        return frame_of(cursor.fetchnumpy(), types)

    def _load_text_tables(self, sql):
        """Replace the views over text that a query mentions by tables, so that text is read once."""
        for name in [n for n in self._text_tables if _name(n).lower() in sql.lower()]:
            self._run(f"CREATE TABLE {_name(name + ' loaded')} AS FROM {_name(name)}")
            self._run(f"DROP VIEW {_name(name)}")
            self._run(f"ALTER TABLE {_name(name + ' loaded')} RENAME TO {_name(name)}")
            self._text_tables.discard(name)

    # -- making the views ---------------------------------------------------------------------------------

    def _folder(self):
        files = _files_by_table(self._path)
        if not any(files.values()):
            raise AmakitError(
                f"{self._path} holds no table that can be read; put files such as Heartbeat.parquet, "
                "Heartbeat.csv or Heartbeat.json into it, or folders of such files named after their table"
            )
        return {table: self._sources(paths) for table, paths in files.items()}

    def _sources(self, paths):
        groups = defaultdict(list)
        for path in paths:
            if path.stat().st_size == 0:
                raise AmakitError(f"{path} is empty; export it again, or take it out of the folder")
            form = _form(path)
            groups[form, None if form == "parquet" else _layout(path, form)].append(str(path))
        return [
            getattr(self, f"_{form}")(files, layout)
            for (form, layout), files in sorted(groups.items(), key=lambda group: group[1])
        ]

    def _parquet(self, files, _):
        relation = f"read_parquet({_list(files)}, union_by_name = true)"
        try:
            described = self._run(f"DESCRIBE FROM {relation}").fetchall()
        except AmakitError as error:
            bad = next((f for f in files if not _is_parquet(f)), files[0])
            raise AmakitError(f"{bad} is no Parquet file, although its name says so; export it again") from error
        matched = _match(files[0], {name: kind for name, kind, *_ in described})
        # Text without nulls is left as it is: a function over it would cost the scan its dictionaries.
        full = self._run(
            f"SELECT path_in_schema FROM parquet_metadata({_list(files)}) GROUP BY ALL "
            "HAVING bool_and(coalesce(stats_null_count = 0, false)) AND sum(num_values) = "
            f"(SELECT sum(num_rows) FROM parquet_file_metadata({_list(files)}))"
        ).fetchall()
        return _Source("parquet", _common(files), relation, matched, frozenset(name for (name,) in full))

    def _csv(self, files, layout):
        delimiter, header = layout
        matched = _match(files[0], dict.fromkeys(header, "VARCHAR"))
        if len(set(header)) < len(header) or not all(header):
            raise AmakitError(f"{files[0]}, line 1: two columns have the same name, or one has none; rename them")
        columns = ", ".join(f"{_text(name)}: 'VARCHAR'" for name in header)
        relation = (
            f"read_csv({_list(files)}, columns = {{{columns}}}, header = true, auto_detect = false, "
            f"delim = {_text(delimiter)}, quote = '\"', escape = '\"', filename = 'amakit file')"
        )
        return _Source("csv", _common(files), relation, matched)

    def _json(self, files, layout):
        common = f"{_list(files)}, format = {_text(layout)}, maximum_object_size = 268435456, filename = 'amakit file'"
        broken = f"[error('{_BROKEN}' || concat_ws(chr(31), '', \"amakit file\", '', json))]"
        keys = self._run(
            f"SELECT DISTINCT unnest(CASE json_type(json) WHEN 'OBJECT' THEN json_keys(json) ELSE {broken} END) "
            f"FROM read_json_objects({common}) ORDER BY 1"
        ).fetchall()
        columns = ", ".join(f"{_text(key)}: 'VARCHAR'" for (key,) in keys)
        relation = f"read_json({common}, columns = {{{columns}}})"
        return _Source("json", _common(files), relation, _match(files[0], {key: "VARCHAR" for (key,) in keys}))

    def _database(self):
        try:
            self._run(f"ATTACH {_text(str(self._path))} AS source (READ_ONLY)")
        except AmakitError as error:
            raise AmakitError(
                f"{self._path} cannot be opened as a DuckDB database: {error}; check that it is one, and that no "
                "other program is writing to it"
            ) from error
        rows = self._run(
            "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() "
            "WHERE database_name = 'source' AND NOT internal ORDER BY ALL"
        ).fetchall()
        found = defaultdict(dict)
        for schema, table, column, kind in rows:
            found[schema, table][column] = kind
        if not found:
            raise AmakitError(f"{self._path} holds no table; load at least Heartbeat into it")
        names = [table_name(table).lower() for _, table in found]
        for (_, table), name in zip(found, names, strict=True):
            if names.count(name) > 1:
                raise AmakitError(f"{self._path} holds several tables {table!r} (without case); rename all but one")
        return {
            table_name(table): [
                _Source(
                    "duckdb",
                    str(self._path),
                    f"source.{_name(schema)}.{_name(table)}",
                    _match(self._path, columns),
                )
            ]
            for (schema, table), columns in found.items()
        }

    def _view(self, table, sources):
        """Lay one view over all files of a table; give the KQL type of each of its columns."""
        types = dict(tables().get(table, RECEIVED))
        usual = {column.lower(): column for column in types}
        for source in sources:
            if table in tables() and source.columns and "TimeGenerated" not in source.columns:
                raise AmakitError(
                    f"{source.path} has no column TimeGenerated, which every row of {table} needs; export it again"
                )
            for column, (_, kind) in source.columns.items():
                if usual.setdefault(column.lower(), column) not in types:
                    types[column] = _kql_type(column, kind, source)
        selects = []
        for source in sources:
            if not source.columns:  # an empty JSON array has no columns, and so no rows
                continue
            cells = (f"{_cell(source, column, kind)} AS {_name(column)}" for column, kind in types.items())
            selects.append(f"SELECT {', '.join(cells)} FROM {source.relation}")
        if not selects:
            nulls = (f"NULL::{_DUCKDB[kind]} AS {_name(column)}" for column, kind in types.items())
            selects = [f"SELECT {', '.join(nulls)} WHERE false"]
        self._run(f"CREATE VIEW {_name(table)} AS {' UNION ALL '.join(selects)}")
        if any(source.form in ("csv", "json") for source in sources):
            self._text_tables.add(table)
        return types

    def _run(self, sql, parameters=None):
        try:
            return self._connection.execute(sql, parameters or None)
        except self._errors as error:
            raise AmakitError(_explain(str(error), self._columns)) from error


# -- snapshots --------------------------------------------------------------------------------------------


def read_manifest(folder: str | Path, name: str = MANIFEST) -> dict | None:
    """Read the manifest of a snapshot; None where there is none.

    Raises
    ------
    AmakitError
        When it is there, and broken.
    """
    path = Path(folder) / name
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError) as error:
        reason = _one_line(error)
        raise AmakitError(f"{path} cannot be read: {reason}; copy the snapshot again, or take it anew") from error
    return found if isinstance(found, dict) and "amakit_snapshot" in found else None


def snapshot_files(folder: str | Path) -> dict[str, int]:
    """Give the size of each file in the folder of a snapshot beside its manifest; hidden ones are nobody's."""
    paths = {p.relative_to(folder): p for p in Path(folder).rglob("*") if p.is_file()}
    held = {at.as_posix(): p for at, p in paths.items() if not any(part.startswith(".") for part in at.parts)}
    return {at: path.stat().st_size for at, path in held.items() if at not in (MANIFEST, PARTIAL)}


def whole_snapshot(folder: str | Path) -> dict | None:
    """Give the manifest of a snapshot with all its files; None for any other folder.

    Raises
    ------
    AmakitError
        When it is not finished, or its files are not those of the manifest: a part that is missing would look like
        an outage.
    """
    begun, taken = read_manifest(folder, PARTIAL), read_manifest(folder)
    if begun is not None:
        done = len(begun["files"])
        raise AmakitError(
            f"{folder} is a snapshot that was not finished ({done} of {begun['planned']} files, {begun['start']} to "
            f"{begun['end']} of {begun['workspace']}); run the same `amakit snapshot` again, it fetches what is missing"
        )
    if taken is None:
        return None
    wanted, held = {file["file"]: file["bytes"] for file in taken["files"]}, snapshot_files(folder)
    odd = sorted(wanted.items() ^ held.items())
    if odd:
        raise AmakitError(
            f"{folder} is not as the snapshot was taken: {odd[0][0]} is missing, changed or additional; `amakit check` "
            "lists all such files, and the same `amakit snapshot` again mends them"
        )
    return taken


# -- files ------------------------------------------------------------------------------------------------


def _files_by_table(folder):
    """Find the data files of each table, by the rules of a folder of exported tables."""
    found, spelled = defaultdict(list), {}
    demo = (folder / "_demo.json").exists()  # then truth/ holds what really happened, which no query may see
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        parts = path.relative_to(folder).parts
        if parts[0] in (MANIFEST, PARTIAL) or any(part.startswith((".", "_")) for part in parts):
            continue
        if demo and parts[0] == "truth":
            continue
        stems = [*parts[:-1], parts[-1].split(".")[0]]
        exported = (s for s, below in pairwise(stems) if below.startswith("WorkspaceResourceId="))
        known = (s for s in stems if table_name(s) in tables())
        name = table_name(next(exported, None) or next(known, stems[0]))
        if _form(path) is None:
            if name in tables() and table_name(stems[-1]) == name:
                raise AmakitError(f"{path} is in a form that cannot be read; export it as CSV, JSON or Parquet")
            continue
        found[spelled.setdefault(name.lower(), name)].append(path)
    return found


def _form(path):
    name = path.name.lower().removesuffix(".gz")
    return _FORMS.get(Path(name).suffix)


def _open(path):
    """Open a text file, packed or not, in UTF-8 with or without a byte order mark."""
    raw = gzip.open(path) if str(path).lower().endswith(".gz") else open(path, "rb")  # noqa: SIM115, PTH123
    return io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")


def _layout(path, form):
    """Give what decides how a text file is read: for CSV its delimiter and header, for JSON its framing."""
    try:
        with _open(path) as file:
            if form == "json":
                first = next((c for c in iter(lambda: file.read(1), "") if not c.isspace()), "")
                if not first:
                    raise AmakitError(f"{path} is empty; export it again, or take it out of the folder")
                return "array" if first == "[" else "newline_delimited"
            line = file.readline()
            delimiter = max(",;\t|", key=line.count)
            file.seek(0)
            header = tuple(next(csv.reader(file, delimiter=delimiter), ()))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise AmakitError(f"{path} cannot be read as text: {error}; export it again as UTF-8") from error
    if not any(name.strip() for name in header):
        raise AmakitError(f"{path}, line 1: there is no header with column names; export it again with one")
    return delimiter, header


def _is_parquet(path):
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read(4) == b"PAR1"


# -- columns ----------------------------------------------------------------------------------------------


def _match(path, columns):
    """Pair the columns of a file with their usual names, which are compared without case."""
    usual = {name.lower(): name for table in tables().values() for name in table}
    matched = {}
    for name, kind in columns.items():
        plain, bracket, zone = name.strip().partition(" [")
        if bracket and zone.rstrip("]").upper() != "UTC":
            raise AmakitError(
                f"{path}: column {name!r} is in another time zone than UTC; set the portal to UTC and export again"
            )
        plain = usual.get(plain.lower(), plain)
        clash = next((other for other in matched if other.lower() == plain.lower()), None)
        if clash is not None:
            raise AmakitError(
                f"{path}: columns {matched[clash][0]!r} and {name!r} have the same name without case; rename one"
            )
        matched[plain] = (name, kind)
    return matched


def _kql_type(column, duckdb_type, source):
    """Give the KQL type of a column that the table reference does not list."""
    from duckdb_kql.types import kusto_type

    if source.form in ("csv", "json"):  # text says nothing of its type; only the time is sure
        return "datetime" if column == "TimeGenerated" else "string"
    upper = str(duckdb_type).upper()
    kind = "string" if upper.startswith("ENUM") else kusto_type(upper)
    if upper in ("BLOB", "BIT", "TIME", "TIME WITH TIME ZONE") or (
        kind == "string" and not upper.startswith(("VARCHAR", "ENUM"))
    ):
        raise _unreadable(source, column, duckdb_type, "no type of KQL")
    return kind


def _unreadable(source, column, duckdb_type, wanted):
    return AmakitError(
        f"{source.path}: column {column!r} has the type {duckdb_type}, which is {wanted}; "
        "convert the column, or leave it out of the export"
    )


def _cell(source, column, kind):
    """Give the SQL that reads one column as its KQL type; KQL has no null string, only an empty one."""
    spelled = next((c for c in source.columns if c.lower() == column.lower()), None)
    if spelled is None:
        return "''" if kind == "string" else f"NULL::{_DUCKDB[kind]}"
    name, found = source.columns[spelled]
    cell, found = _name(name), str(found).upper()
    if source.form in ("csv", "json"):
        return _from_text(cell, kind, f"concat_ws(chr(31), '', \"amakit file\", {_text(name)}, {cell})")
    if found.startswith("VARCHAR"):
        path = "filename" if source.form == "parquet" else _text(source.path)
        where = f"concat_ws(chr(31), '', {path}, {_text(column)}, {cell})"
        if kind == "string":
            return cell if name in source.full else f"coalesce({cell}, '')"
        return _from_text(cell, kind, where)
    fitting = {
        "datetime": ("TIMESTAMP", "DATE"),
        "timespan": ("INTERVAL",),
        "int": ("INT", "UINT", "TINY", "UTINY", "SMALL", "USMALL", "BIG", "UBIG", "HUGE", "FLOAT", "DOUBLE", "DECIMAL"),
        "bool": ("BOOL", "INT", "TINY", "BIG"),
        "dynamic": ("JSON", "STRUCT", "MAP", "LIST", "UNION"),
    }  # fmt: skip
    fitting["long"] = fitting["real"] = fitting["decimal"] = fitting["int"]
    if kind in ("string", "guid"):
        if found.startswith(("BLOB", "BIT")):
            raise _unreadable(source, column, found, "no text")
        return f"coalesce({cell}::VARCHAR, '')" if kind == "string" else f"{cell}::VARCHAR"
    if kind == "dynamic":
        return cell if found == "JSON" else f"to_json({cell})"
    if not found.startswith(fitting[kind]) or found.endswith("[]") or (found == "INTERVAL" != _DUCKDB[kind]):
        raise _unreadable(source, column, found, f"not the {kind} that it must be")
    return cell if found == _DUCKDB[kind] else f"CAST({cell} AS {_DUCKDB[kind]})"


def _from_text(cell, kind, where):
    """Give the SQL that reads text as a KQL type, and stops with a mark where it cannot."""
    value = f"nullif({cell}, '')"
    if kind == "string":
        return f"coalesce({cell}, '')"
    if kind == "guid":
        return value
    if kind == "dynamic":
        return f"CASE WHEN json_valid({value}) THEN {value}::JSON ELSE to_json({value}) END"
    starts = f"ltrim({value}) >= '0' AND ltrim({value}) < ':'"  # DuckDB would take 'epoch' and 'infinity', too
    whole = f"CASE WHEN TRY_CAST({value} AS DOUBLE) % 1 = 0 THEN TRY_CAST({value} AS {_DUCKDB[kind]}) END"
    read = {
        # TIMESTAMPTZ honours an offset; both drop what is finer than a microsecond
        "datetime": f"CASE WHEN {starts} THEN coalesce(TRY_CAST({value} AS TIMESTAMPTZ)::TIMESTAMP, "
        f"try_strptime({value}, {_PORTAL_TIMES})) END",
        "int": whole,
        "long": whole,
    }.get(kind, f"TRY_CAST({value} AS {_DUCKDB[kind]})")
    return f"CASE WHEN {value} IS NOT NULL THEN coalesce({read}, error('{_BROKEN}' || {where})) END"


# -- words ------------------------------------------------------------------------------------------------


def _text(value):
    return "'" + value.replace("'", "''") + "'"


def _name(value):
    return '"' + value.replace('"', '""') + '"'


def _list(values):
    return "[" + ", ".join(_text(v) for v in values) + "]"


def _common(files):
    return files[0] if len(files) == 1 else os.path.commonpath(files)


def _one_line(error):
    return " ".join(str(error).split())


def _explain(message, known):
    """Say in one sentence what DuckDB says in many lines."""
    if _BROKEN in message:
        _, path, column, value = message[message.index(_BROKEN) :].split(chr(31), 3)
        value = value.split("\n")[0]
        line = _line_of(path, column, value)
        where = f"{path}, line {line}" if line else f"{path}"
        if not column:
            return f"{where}: {value[:80]!r} is not a row, which is an object in braces; mend or take out that row"
        rule = "a time such as 2026-03-01T08:21:01Z" if "Time" in column else "of its type"
        return f"{where}: {value!r} in column {column!r} is not {rule}; mend or take out that row"
    if "CSV Error on Line" in message:
        record = int(re.search(r"CSV Error on Line: (\d+)", message)[1])
        path = re.search(r"\n\s*file = (.+)", message)
        if not path:
            return f"a CSV file is broken at record {record}; mend or take out that row"
        reason = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message)
        reason = f"{reason[2]} fields where the header has {reason[1]}" if reason else "a broken row"
        if "unterminated quote" in message.lower():
            reason = "a quote that is not closed"
        return f"{path[1]}, line {_csv_line(path[1], record)}: {reason}; mend or take out that row"
    broken = re.search(r'in file "(.+)",(?: at byte \d+)? in (?:line|record/value) (\d+): (.+)', message)
    if broken:
        line = _broken_json_line(broken[1], int(broken[2]))
        return f"{broken[1]}, line {line}: broken JSON ({broken[3].strip(' .')}); mend or take out that row"
    damaged = re.search(r'GZIP stream: (.+)|Failed to read file "(.+?)"', message)
    if damaged:
        return f"{damaged[1] or damaged[2]} is damaged or was not copied whole; export or copy it again"
    table = re.search(r'Table with name "?(.+?)"? does not exist', message)
    if table:
        return f"there is no table {table[1]!r}; {nearest(table[1], known)}"
    column = re.search(r'[Cc]olumn "(.+?)" (?:not found|referenced)', message)
    if column:
        close = nearest(column[1], {c for columns in known.values() for c in columns})
        return f"there is no column {column[1]!r} where the query names it; {close}"
    first = message.split("\n")[0]
    return _one_line(re.sub(r"^[A-Z]\w+(?: \w+)? Error: ", "", first))


def _line_of(path, column, value):
    """Find the line on which the first record begins that has this value; only ever done for an error."""
    form = _form(Path(path))
    if form not in ("csv", "json"):
        return None
    if form == "csv":
        at = _layout(path, form)[1].index(column)
        return next((n for n, row in _csv_rows(path) if at < len(row) and row[at].split("\n")[0] == value), None)
    with _open(path) as file:
        holding = [(number, line) for number, line in enumerate(file, start=1) if value in line]
    for number, line in holding:
        text = line.strip().rstrip(",")
        try:
            row = json.loads(text)
        except json.JSONDecodeError:  # a record over several lines: its key must do
            row = {column: value} if json.dumps(column) in line else None
        if (isinstance(row, dict) and str(row.get(column)) == value) if column else text == value:
            return number
    return holding[0][0] if holding else None


def _csv_rows(path):
    """Give each record with the line on which it begins; quotes may hold line ends, and a blank line counts as one."""
    csv.field_size_limit(2**31 - 1)  # DuckDB has read longer fields than the module takes by itself
    with _open(path) as file:
        rows, line = csv.reader(file, delimiter=_layout(path, "csv")[0]), 1
        for row in rows:
            yield line, row
            line = rows.line_num + 1


def _csv_line(path, record):
    """Give the line of a record, which DuckDB counts, the header being the first."""
    return next((line for n, (line, _) in enumerate(_csv_rows(path), start=1) if n == record), record)


def _broken_json_line(path, line):
    """Give the line that is broken; DuckDB names the line after a record that ends too early."""
    with _open(path) as file:
        for number, text in enumerate(file, start=1):
            if number > line:
                break
            if text.strip() and not text.lstrip().startswith("["):
                try:
                    json.loads(text.strip().rstrip(",]"))
                except json.JSONDecodeError:
                    return number
    return line
