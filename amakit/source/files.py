"""KQL over a folder of exported tables, or a DuckDB file, in the embedded engine."""

import hashlib
import json
import re
import threading
import weakref
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import pandas as pd

from amakit.errors import AmakitError
from amakit.exports.broken_rows import cell_as, check_whole, explain_error
from amakit.exports.dates import checked
from amakit.exports.folder import Folder, read_folder, settle_dates
from amakit.exports.manifest import made_up, read_manifest
from amakit.exports.relations import FILE, listed, literal
from amakit.exports.table_files import DUCKDB_TYPES, Source, kql_type_of, matched_columns, quoted_name, quoted_text
from amakit.kql.literals import Held
from amakit.output import temporary_folder
from amakit.schemas import RECEIVED, frame_of, table_name, tables

#: Seconds after which Log Analytics gives a query up, and so does the embedded engine.
LONGEST = 600
#: Bytes at the beginning and at the end of a file that tell whether it has changed.
_ENDS = 4096


class LocalEngine:
    """KQL over a folder of exported tables, or over a DuckDB file.

    Parquet files are read in place.  Text forms are turned into tables when a query first mentions them,
    whole or not at all: the first value that cannot be read stops the query.

    Parameters
    ----------
    path : path-like
        The folder or the ``.duckdb`` file.
    date_format : str
        ``day-first`` or ``month-first``, for dates of which nothing else shows it.

    Raises
    ------
    AmakitError
        When nothing in it can be read.
    """

    at_once, log_analytics = 1, False

    def __init__(self, path: str | Path, date_format: str = "") -> None:
        import duckdb
        from duckdb_kql.engine import schema

        self._errors, self._python = duckdb.Error, set()
        self._path, self._date_format = Path(path).resolve(), checked(date_format)
        # what a file is called or holds must never fetch or load code
        off = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
        self._connection = duckdb.connect(config={"preserve_insertion_order": True, **off})
        held = ExitStack()
        self._closing = weakref.finalize(self, held.close)  # also where a script ends without it
        # DuckDB may always reach its temporary directory: one of its own
        self._spill = held.enter_context(temporary_folder())
        held.callback(self._connection.close)
        self._run("SET enable_progress_bar = false")  # before all else: a notebook would keep its widget
        self._run("SET TimeZone = 'UTC'")
        self._run(f"SET temp_directory = {quoted_text(str(self._spill))}")
        self._text_tables, self._columns, self._held, self._files = set(), {}, {}, Folder()
        # a made-up fleet has a made-up today, so that ago() finds it; what was copied of the past is as it was then
        self._now = (made_up(self._path) or read_manifest(self._path) or {}).get("end")
        if self._path.is_dir():
            inside = {str(self._path), literal(str(self._path))}
            self._run(f"SET allowed_directories = [{', '.join(quoted_text(path) for path in sorted(inside))}]")
            self._files = read_folder(self._run, self._path, self._spill / "utf-8", self._date_format)
        else:
            self._database()
        self._run("SET enable_external_access = false")
        self._run("SET lock_configuration = true")
        system = {name for (name,) in self._run("SELECT view_name FROM duckdb_views() WHERE internal").fetchall()}
        for name, sources in sorted(self._files.sources.items()):
            try:
                self._columns[name] = self._view(name, sources, system)
            except AmakitError as error:
                self._files.refused[name] = str(error)
        if not self._columns:
            self._nothing()
        self._schema = schema(self._connection)
        kinds = [kind for columns in self._columns.values() for kind in columns.items()]
        self._texts = frozenset(name for name, _ in kinds) - {name for name, kind in kinds if kind != "string"}

    def _nothing(self):
        """Say why nothing can be read."""
        reasons = [*self._files.refused.values(), *self._files.unread.values()]
        useful = [reason for reason in reasons if not reason.endswith("it is left alone")]
        if useful:
            raise AmakitError(useful[0])
        raise AmakitError(
            f"{self._path} holds no table that can be read; put files such as Heartbeat.parquet, "
            "Heartbeat.csv or Heartbeat.json into it, or folders of such files named after their table"
        )

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
        (rows,) = self._run(f"SELECT count(*) FROM {quoted_name(table)}").fetchall()[0]
        if rows > most or self._columns[table].get("TimeGenerated") != "datetime":
            return rows, None, None
        ends = self._run(f'SELECT min("TimeGenerated"), max("TimeGenerated") FROM {quoted_name(table)}').fetchall()[0]
        return rows, *ends

    def refused(self) -> dict[str, str]:
        """Give the tables that cannot be read, and why."""
        return self._files.refused

    def unread(self) -> dict[str, str]:
        """Give the files that make no table, and why."""
        return self._files.unread

    def files(self, table: str) -> "list[tuple[str, str]]":
        """Give the files of a table, each with the form that was recognised."""
        sources = self._files.sources[table]
        return [(self._files.copies.get(f, f), s.about.name if s.about else s.form) for s in sources for f in s.files]

    def given(self, table: str) -> set[str]:
        """Give the columns that at least one file of a table has."""
        return {column for source in self._files.sources[table] for column in source.columns}

    def rows_by_file(self, table: str) -> dict[str, int]:
        """Count the rows of each file of a table; of Parquet without reading them."""
        counts: dict[str, int] = {}
        for source in self._files.sources[table]:
            if source.form == "parquet":
                sql = f"SELECT file_name, num_rows FROM parquet_file_metadata({listed(list(source.files))})"
            elif source.form == "duckdb":
                sql = f"SELECT {quoted_text(source.path)}, count(*) FROM {source.relation}"
            else:
                sql = f'SELECT "{FILE}", count(*) FROM {source.relation} GROUP BY ALL'
            for path, rows in self._run(sql).fetchall():
                path = self._files.copies.get(path, path)
                counts[path] = counts.get(path, 0) + rows
        return counts

    def state(self) -> str:
        """Give a digest of which files there are, and of their size, time, first and last bytes."""
        settled = [self._date_format, self._now, self._files.refused, self._files.unread, self._columns]
        digest = hashlib.sha256(json.dumps(settled, default=str).encode())
        files = {Path(path) for table in self._files.sources for path, _ in self.files(table)}
        database = [] if self._path.is_dir() else [self._path, self._path.with_name(f"{self._path.name}.wal")]
        for path in sorted([*files, *filter(Path.exists, database)]):
            about = path.stat()
            digest.update(json.dumps([str(path), about.st_size, about.st_mtime_ns]).encode())
            with path.open("rb") as file:
                digest.update(file.read(_ENDS))
                file.seek(max(0, about.st_size - _ENDS))
                digest.update(file.read(_ENDS))
        return digest.hexdigest()

    def close(self) -> None:
        """Let go of the files."""
        self._closing()

    def run(self, kql: str) -> pd.DataFrame:
        """Run KQL of a user's own and give the result as a frame.

        Raises
        ------
        AmakitError
            When the text is no KQL that the embedded engine knows, names what is not there, or meets a value
            that cannot be read.
        """
        from amakit.embedded.operators.steps import Steps
        from amakit.embedded.translate import TOO_DEEP, check_names, located
        from amakit.kql.text import without_comments

        if kql.lstrip().startswith("."):  # a command, such as .show tables
            return self.counted(kql)
        text = without_comments(kql)
        steps = Steps(lambda sql: self._run(self._ready(sql)), self._sql_with_values, self._columns)
        try:
            with self._naming_refused(), self._in_time():
                check_names(text, self._columns)
                return self._fetch(self._ready(steps.whole(text)))
        except RecursionError:
            raise AmakitError(TOO_DEEP) from None
        except AmakitError as error:
            raise located(error, text) from error.__cause__
        finally:
            steps.drop()

    def counted(self, kql: str) -> pd.DataFrame:
        """Run a packaged query, which keeps to what duckdb-kql has; nothing can get lost on the way."""
        from amakit.source.translations import translated, with_values

        try:
            with self._naming_refused():
                tables = {n: value for n, value in self._held.items() if isinstance(value, Held)}
                values = {n: value for n, value in self._held.items() if n not in tables}
                held = {table.name: list(table.columns) for table in tables.values()}
                sql, parameters = translated(kql, self._schema | held, self._texts, self._now)
                sql = with_values(sql, values)
                self._load_text_tables(sql)
                return self._fetch(sql, parameters)
        finally:
            while self._held:
                _, value = self._held.popitem()
                if isinstance(value, Held):
                    self._run(f"DROP TABLE {quoted_name(value.name)}")

    @contextmanager
    def _naming_refused(self):
        """Say of a table that is not there why, where there are files of it."""
        try:
            yield
        except AmakitError as error:
            name = re.match(r"there is no table '(.+?)'", str(error))
            reason = next((r for t, r in self._files.refused.items() if name and t.lower() == name[1].lower()), "")
            if reason:
                raise AmakitError(reason) from error
            raise

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

        def end():
            late.set()
            self._connection.interrupt()

        timer = threading.Timer(LONGEST, end)
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

    def held(self, value: object) -> object:
        """Hold a value until the next query has run: a frame as a table, others to put them into the SQL.

        Returns
        -------
        amakit.kql.literals.Held or object
            What the text of the query names instead.
        """
        from amakit.source.translations import stand_in

        number = len(self._held)
        if not isinstance(value, pd.DataFrame):
            named = stand_in(value, number)
            if named is not value:
                self._held[number] = value
            return named
        frame, table = value, Held(f"held {number}", tuple(value.columns))
        # a table may have a column of text under the name of such a time or number
        self._texts -= {c for c in frame if frame[c].dtype.kind in "Mmiufb"}
        times = {c: frame[c].dt.tz_convert(None) for c in frame.select_dtypes("datetimetz")}
        cells = ", ".join(
            f"nullif({quoted_name(c)}, 'nan') AS {quoted_name(c)}" if frame[c].dtype.kind == "f" else quoted_name(c)
            for c in frame
        )
        self._connection.register("given", frame.assign(**times))
        self._run(f"CREATE TABLE {quoted_name(table.name)} AS SELECT {cells} FROM given")
        self._connection.unregister("given")
        self._held[number] = table
        return table

    def _fetch(self, sql, parameters=None):
        from duckdb_kql.types import kusto_type

        cursor = self._run(sql, parameters)
        types = {name: kusto_type(kind) for name, kind, *_ in cursor.description}
        return frame_of(cursor.fetchnumpy(), types)

    def _load_text_tables(self, sql):
        """Replace the views over text that a query mentions by tables, so that text is read once."""
        for name in [n for n in self._text_tables if quoted_name(n).lower() in sql.lower()]:
            for path, _ in self.files(name):
                if head := self._files.heads.get(path):
                    check_whole(head)
            self._run(f"CREATE TABLE {quoted_name(name + ' loaded')} AS FROM {quoted_name(name)}", table=name)
            self._run(f"DROP VIEW {quoted_name(name)}")
            self._run(f"ALTER TABLE {quoted_name(name + ' loaded')} RENAME TO {quoted_name(name)}")
            self._text_tables.discard(name)

    # -- making the views ---------------------------------------------------------------------------------

    def _database(self):
        try:
            self._run(f"ATTACH {quoted_text(str(self._path))} AS source (TYPE duckdb, READ_ONLY)")
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
        for (schema, table), columns in found.items():
            relation = f"source.{quoted_name(schema)}.{quoted_name(table)}"
            matched = matched_columns(self._path, columns)
            self._files.sources[table_name(table)].append(Source("duckdb", str(self._path), relation, matched))
        settle_dates(self._files, self._run, self._date_format)

    def _view(self, table, sources, system):
        """Lay one view over all files of a table; give the KQL type of each of its columns."""
        if table.lower() in system:
            raise AmakitError(f"{sources[0].path}: {table!r} is a name of the engine's own; call the file otherwise")
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

    def _run(self, sql, parameters=None, table=""):
        try:
            return self._connection.execute(sql, parameters or None)
        except (self._errors, UnicodeDecodeError) as error:
            # DuckDB cuts the values that it quotes, perhaps in the middle of a letter
            text = error.object.decode("utf-8", "replace") if isinstance(error, UnicodeDecodeError) else str(error)
            for copy, path in self._files.copies.items():
                text = text.replace(copy, path)
            quoted = [text.replace("''", "'") for text in re.findall(r"'((?:[^']|'')*)'", sql)]
            paths = [path for path, _ in self.files(table)] if table else []
            paths = paths or [path for path in quoted if path.startswith(str(self._path))]
            named = [name for name in self._columns if quoted_name(name) in sql]
            raise AmakitError(explain_error(text, self._columns, paths, named)) from error


def _sql_value(value):
    if value is None or isinstance(value, bool | int | float):
        return "NULL" if value is None else str(value)
    return quoted_text(str(value)) + "::TIMESTAMP" * isinstance(value, datetime)
