"""KQL over a folder of exported tables, or a DuckDB file, in the embedded engine."""

import json
import os
import re
import tempfile
import threading
import uuid
from collections import defaultdict
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from amakit.errors import AmakitError
from amakit.kql.literals import Held
from amakit.schemas import RECEIVED, frame_of, table_name, tables

if TYPE_CHECKING:
    import pandas as pd
from amakit.source.broken_rows import cell_as, explain_error
from amakit.source.exports import (
    BROKEN_VALUE,
    DUCKDB_TYPES,
    Source,
    files_by_table,
    form_of,
    kql_type_of,
    layout_of,
    matched_columns,
    quoted_name,
    quoted_text,
)
from amakit.source.manifest import read_manifest

#: Seconds after which Log Analytics gives a query up, and so does the embedded engine.
LONGEST = 600


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
        from duckdb_kql.engine import schema

        self._errors, self._python = duckdb.Error, set()
        self._path = Path(path).resolve()
        self._connection = duckdb.connect(config={"preserve_insertion_order": True})
        self._run("SET TimeZone = 'UTC'")
        # DuckDB may always reach its temporary directory: one of its own, which it makes when it needs to
        spill = Path(tempfile.gettempdir()) / f"amakit-{uuid.uuid4().hex}"
        self._run(f"SET temp_directory = {quoted_text(str(spill))}")
        self._text_tables, self._columns, self._held = set(), {}, []
        marker = self._path / "_demo.json"  # a made-up fleet has a made-up today, so that ago() finds it
        taken = read_manifest(self._path)  # and what was copied of the past is as it was then
        about = json.loads(marker.read_text(encoding="utf-8")) if marker.is_file() else taken or {}
        self._now = about.get("end")
        if self._path.is_dir():
            self._run(f"SET allowed_directories = [{quoted_text(str(self._path))}]")
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

    def extent(self, table: str, most: int = 20_000_000) -> tuple[int | None, datetime | None, datetime | None]:
        """Give rows, first and last instant of a table; None where text or more rows would have to be read."""
        if table in self._text_tables:
            return None, None, None
        (rows,) = self._run(f"SELECT count(*) FROM {quoted_name(table)}").fetchone()
        if rows > most or self._columns[table].get("TimeGenerated") != "datetime":
            return rows, None, None
        ends = self._run(f'SELECT min("TimeGenerated"), max("TimeGenerated") FROM {quoted_name(table)}').fetchone()
        return rows, *ends

    def close(self) -> None:
        """Let go of the files."""
        self._connection.close()

    def run(self, kql: str) -> "pd.DataFrame":
        """Run KQL of a user's own and give the result as a frame.

        Raises
        ------
        AmakitError
            When the text is no KQL that the embedded engine knows, names what is not there, or meets a value
            that cannot be read.
        """
        from amakit.embedded.steps import Steps
        from amakit.embedded.translate import TOO_DEEP, check_names
        from amakit.kql.text import without_comments

        if kql.lstrip().startswith("."):  # a command, such as .show tables
            return self.counted(kql)
        text = without_comments(kql)
        check_names(text, self._columns)
        steps = Steps(lambda sql: self._run(self._ready(sql)), self._sql_with_values, self._columns)
        try:
            with self._in_time():
                return self._fetch(self._ready(steps.whole(text)))
        except RecursionError:
            raise AmakitError(TOO_DEEP) from None
        finally:
            steps.drop()

    def counted(self, kql: str) -> "pd.DataFrame":
        """Run a packaged query, which keeps to what duckdb-kql has; nothing can get lost on the way."""
        from amakit.embedded.translate import to_sql

        try:
            held = {table.name: list(table.columns) for table in self._held}
            sql = to_sql(kql, self._schema | held, self._now)
            self._load_text_tables(str(sql))
            return self._fetch(str(sql), dict(sql.parameters))
        finally:
            while self._held:
                self._run(f"DROP TABLE {quoted_name(self._held.pop().name)}")

    def _sql_with_values(self, kql, columns):
        """Translate KQL to SQL without parameters, as a view must be."""
        from amakit.embedded.translate import to_sql

        sql = to_sql(kql, columns, self._now)
        values = {name: _sql_value(value) for name, value in sql.parameters.items()}
        return re.sub(r"\$(\w+)", lambda place: values.get(place[1], place[0]), str(sql)) if values else str(sql)

    def _ready(self, sql):
        """Load the text tables that SQL names, and give DuckDB the functions of it that are Python."""
        from amakit.embedded.library import python_functions, register_python

        for name, n in python_functions(sql) - self._python:
            register_python(self._connection, name, n)
            self._python.add((name, n))
        self._load_text_tables(sql)
        return sql

    @contextmanager
    def _in_time(self):
        """Stop what runs longer than Log Analytics would let it run, such as a join of all rows with all rows."""
        late = threading.Event()
        timer = threading.Timer(LONGEST, lambda: (late.set(), self._connection.interrupt()))
        timer.daemon = True
        timer.start()
        try:
            yield
        except AmakitError as error:
            if late.is_set():
                raise AmakitError(
                    f"the query ran for {LONGEST // 60} minutes, as long as Log Analytics lets one run, and was "
                    "stopped; ask for less, or summarize before a join"
                ) from error
            raise
        finally:
            timer.cancel()

    def held(self, frame: "pd.DataFrame") -> Held:
        """Hold a frame as a table until the next query has run.

        Returns
        -------
        amakit.kql.literals.Held
        """
        table = Held(f"held {len(self._held)}", tuple(frame.columns))
        times = {c: frame[c].dt.tz_convert(None) for c in frame.select_dtypes("datetimetz")}
        cells = ", ".join(
            f"nullif({quoted_name(c)}, 'nan') AS {quoted_name(c)}" if frame[c].dtype.kind == "f" else quoted_name(c)
            for c in frame
        )
        self._connection.register("given", frame.assign(**times))
        self._run(f"CREATE TABLE {quoted_name(table.name)} AS SELECT {cells} FROM given")
        self._connection.unregister("given")
        self._held.append(table)
        return table

    def _fetch(self, sql, parameters=None):
        from duckdb_kql.types import kusto_type

        cursor = self._run(sql, parameters)
        types = {name: kusto_type(kind) for name, kind, *_ in cursor.description}
        return frame_of(cursor.fetchnumpy(), types)

    def _load_text_tables(self, sql):
        """Replace the views over text that a query mentions by tables, so that text is read once."""
        for name in [n for n in self._text_tables if quoted_name(n).lower() in sql.lower()]:
            self._run(f"CREATE TABLE {quoted_name(name + ' loaded')} AS FROM {quoted_name(name)}")
            self._run(f"DROP VIEW {quoted_name(name)}")
            self._run(f"ALTER TABLE {quoted_name(name + ' loaded')} RENAME TO {quoted_name(name)}")
            self._text_tables.discard(name)

    # -- making the views ---------------------------------------------------------------------------------

    def _folder(self):
        files = files_by_table(self._path)
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
            form = form_of(path)
            groups[form, None if form == "parquet" else layout_of(path, form)].append(str(path))
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
        matched = matched_columns(files[0], {name: kind for name, kind, *_ in described})
        # Text without nulls is left as it is: a function over it would cost the scan its dictionaries.
        full = self._run(
            f"SELECT path_in_schema FROM parquet_metadata({_list(files)}) GROUP BY ALL "
            "HAVING bool_and(coalesce(stats_null_count = 0, false)) AND sum(num_values) = "
            f"(SELECT sum(num_rows) FROM parquet_file_metadata({_list(files)}))"
        ).fetchall()
        return Source("parquet", _common(files), relation, matched, frozenset(name for (name,) in full))

    def _csv(self, files, layout):
        delimiter, header = layout
        matched = matched_columns(files[0], dict.fromkeys(header, "VARCHAR"))
        if len(set(header)) < len(header) or not all(header):
            raise AmakitError(f"{files[0]}, line 1: two columns have the same name, or one has none; rename them")
        columns = ", ".join(f"{quoted_text(name)}: 'VARCHAR'" for name in header)
        relation = (
            f"read_csv({_list(files)}, columns = {{{columns}}}, header = true, auto_detect = false, "
            f"delim = {quoted_text(delimiter)}, quote = '\"', escape = '\"', filename = 'amakit file')"
        )
        return Source("csv", _common(files), relation, matched)

    def _json(self, files, layout):
        common = (
            f"{_list(files)}, format = {quoted_text(layout)}, maximum_object_size = 268435456, filename = 'amakit file'"
        )
        broken = f"[error('{BROKEN_VALUE}' || concat_ws(chr(31), '', \"amakit file\", '', json))]"
        keys = self._run(
            f"SELECT DISTINCT unnest(CASE json_type(json) WHEN 'OBJECT' THEN json_keys(json) ELSE {broken} END) "
            f"FROM read_json_objects({common}) ORDER BY 1"
        ).fetchall()
        columns = ", ".join(f"{quoted_text(key)}: 'VARCHAR'" for (key,) in keys)
        relation = f"read_json({common}, columns = {{{columns}}})"
        return Source("json", _common(files), relation, matched_columns(files[0], {key: "VARCHAR" for (key,) in keys}))

    def _database(self):
        try:
            self._run(f"ATTACH {quoted_text(str(self._path))} AS source (READ_ONLY)")
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
                Source(
                    "duckdb",
                    str(self._path),
                    f"source.{quoted_name(schema)}.{quoted_name(table)}",
                    matched_columns(self._path, columns),
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
                    types[column] = kql_type_of(column, kind, source)
        selects = []
        for source in sources:
            if not source.columns:  # an empty JSON array has no columns, and so no rows
                continue
            cells = (f"{cell_as(source, column, kind)} AS {quoted_name(column)}" for column, kind in types.items())
            selects.append(f"SELECT {', '.join(cells)} FROM {source.relation}")
        if not selects:
            nulls = (f"NULL::{DUCKDB_TYPES[kind]} AS {quoted_name(column)}" for column, kind in types.items())
            selects = [f"SELECT {', '.join(nulls)} WHERE false"]
        self._run(f"CREATE VIEW {quoted_name(table)} AS {' UNION ALL '.join(selects)}")
        if any(source.form in ("csv", "json") for source in sources):
            self._text_tables.add(table)
        return types

    def _run(self, sql, parameters=None):
        try:
            return self._connection.execute(sql, parameters or None)
        except self._errors as error:
            raise AmakitError(explain_error(str(error), self._columns)) from error


def _sql_value(value):
    if value is None or isinstance(value, bool | int | float):
        return "NULL" if value is None else str(value)
    return quoted_text(str(value)) + "::TIMESTAMP" * isinstance(value, datetime)


def _is_parquet(path):
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read(4) == b"PAR1"


def _list(values):
    return "[" + ", ".join(quoted_text(v) for v in values) + "]"


def _common(files):
    return files[0] if len(files) == 1 else os.path.commonpath(files)
