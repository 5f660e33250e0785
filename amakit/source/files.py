"""KQL over a folder of exported tables, or a DuckDB file, in the embedded engine."""

import json
import os
import re
import tempfile
import uuid
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from amakit.errors import AmakitError, UsageError
from amakit.kql.literals import Held
from amakit.schemas import RECEIVED, frame_of, table_name, tables
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
    one_line,
    quoted_name,
    quoted_text,
)
from amakit.source.manifest import read_manifest

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd


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

    def extent(self, table: str, most: int = 20_000_000) -> "tuple[int | None, datetime | None, datetime | None]":
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
            reason = re.sub(r" expecting \{.*", "", one_line(error))  # what could stand there are 100 words
            raise AmakitError(f"the query cannot be parsed: {reason}; mend it there or just before") from error
        except KqlError as error:
            raise AmakitError(f"the embedded engine cannot run the query: {one_line(error)}") from error
        finally:
            while self._held:
                self._run(f"DROP TABLE {quoted_name(self._held.pop().name)}")

    counted = run  # nothing can get lost on the way

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

    def _fetch(self, sql, parameters):
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


def _is_parquet(path):
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read(4) == b"PAR1"


def _list(values):
    return "[" + ", ".join(quoted_text(v) for v in values) + "]"


def _common(files):
    return files[0] if len(files) == 1 else os.path.commonpath(files)
