"""How the files of one form become what DuckDB reads: one relation for all of them, with their columns as text."""

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from amakit.errors import AmakitError
from amakit.exports.activity_log import rows_of_activity
from amakit.exports.dates import is_iso
from amakit.exports.forms import PARQUET, Recognised
from amakit.exports.heads import Head, open_text
from amakit.exports.table_files import (
    BROKEN_VALUE,
    NOT_WHOLE,
    OTHER_TABLE,
    Source,
    matched_columns,
    plain_table,
    quoted_name,
    quoted_text,
)
from amakit.schemas import tables

#: The column that holds the path of a row's file; no export has one of this name.
FILE = "amakit file"
#: Bytes of the longest JSON document that is read.
_MOST = 1 << 28


def literal(path: str) -> str:
    """Write a path so that DuckDB takes none of its signs for a pattern, which would match other files."""
    return "".join(f"[{sign}]" if sign in "[*?" else sign for sign in path)


def listed(files: "list[str]") -> str:
    """Write a list of paths for DuckDB."""
    return "[" + ", ".join(quoted_text(literal(path)) for path in files) + "]"


def common(files: "list[str]") -> str:
    """Give the file, or the folder that holds all of them."""
    return files[0] if len(files) == 1 else os.path.commonpath(files)


def in_utf8(head: Head, folder: Path) -> str:
    """Give the path of the same text in UTF-8: DuckDB reads JSON in no other encoding."""
    if not head.encoding.startswith("utf-16"):
        return str(head.path)
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / f"{len(list(folder.iterdir()))}-{head.path.name.removesuffix('.gz')}"
    try:
        with open_text(head) as text, copy.open("w", encoding="utf-8", newline="") as out:
            shutil.copyfileobj(text, out)
    except (UnicodeError, OSError, EOFError) as error:
        raise AmakitError(f"{head.path} is not whole UTF-16: {error}; export or copy it again") from error
    return str(copy)


def parquet(run: Callable, files: "list[str]", table: str) -> list[tuple[str, Source]]:
    """Read Parquet in place; without a name the column Type says the table of each file."""
    relation = f"read_parquet({listed(files)}, union_by_name = true, hive_partitioning = false)"
    try:
        described = run(f"DESCRIBE FROM {relation}").fetchall()
    except AmakitError as error:
        bad = next((f for f in files if not _is_parquet(f)), files[0])
        raise AmakitError(f"{bad} is no Parquet file, although its name says so; export it again") from error
    matched = matched_columns(files[0], {name: kind for name, kind, *_ in described})
    # Text without nulls is left as it is: a function over it would cost the scan its dictionaries.
    about = run(
        "SELECT path_in_schema, bool_and(coalesce(stats_null_count = 0, false)) AND sum(num_values) = "
        f"(SELECT sum(num_rows) FROM parquet_file_metadata({listed(files)})), "
        "min(coalesce(stats_min_value, stats_min)), max(coalesce(stats_max_value, stats_max)) "
        f"FROM parquet_metadata({listed(files)}) GROUP BY ALL"
    ).fetchall()
    full = frozenset(name for name, whole, *_ in about if whole)
    source = Source("parquet", common(files), relation, matched, full, tuple(files), PARQUET)
    kind = matched.get("Type", ("", ""))[0]
    ends = next(((low, high) for name, _, low, high in about if name == kind), (None, None))
    types = {ends[0]} if ends[0] is not None and ends[0] == ends[1] else None
    if types is None and kind and not table:
        types = {value for (value,) in run(f"SELECT DISTINCT {quoted_name(kind)} FROM {relation}").fetchall()}
    if table:
        strange = next((end for end in ends if end and table in tables() and not _same(end, table)), None)
        if strange:
            raise AmakitError(
                f"{source.path}: rows of Type {strange!r} under the name {table}; call the file after its table"
            )
        return [(table, source)]
    return _split(source, {str(t or "") for t in types or ()}, kind)


def csv(run: Callable, head: Head, files: "list[str]", what: Recognised, table: str) -> list[tuple[str, Source]]:
    """Read CSV with its header, all as text; without a name the column Type says the table of each row."""
    path, header = files[0], list(head.header)
    line = head.skip + 1
    if not any(name.strip() for name in header) or any(map(is_iso, header)):  # as az leaves it out of --output tsv
        raise AmakitError(f"{path}, line {line}: there is no header with column names; export it again with one")
    if header[0].strip() in ("", "Unnamed: 0"):  # the index of a frame
        header[0] = "amakit index"
        if not all(row[:1] and row[0].isdecimal() for row in head.rows):
            raise AmakitError(f"{path}, line {line}: the first column has no name and is no index; rename it")
    names = [name.lower() for name in header]
    if len(set(header)) < len(header) or not all(name.strip() for name in header) or FILE in names:
        raise AmakitError(f"{path}, line {line}: two columns have the same name, or one has none; rename them")
    columns = ", ".join(f"{quoted_text(name)}: 'VARCHAR'" for name in header)
    packed = ", compression = 'gzip'" if head.packed and files[0] == str(head.path) else ""
    relation = (
        f"read_csv({listed(files)}, columns = {{{columns}}}, header = true, auto_detect = false, skip = {head.skip}, "
        f"delim = {quoted_text(head.delimiter)}, quote = '\"', escape = '\"', hive_partitioning = false, "
        f"filename = '{FILE}'{packed})"
    )
    found = dict.fromkeys((name for name in header if name != "amakit index"), "VARCHAR")
    if what.columns:
        spelled = {name.strip().lower(): name for name in matched_columns(path, found)}
        spelled = {plain: matched_columns(path, found)[name][0] for plain, name in spelled.items()}
        cells = {}
        for column, places in what.columns.items():
            there = [
                f"nullif({quoted_name(spelled[place.lower()])}, '')" for place in places if place.lower() in spelled
            ]
            if there:
                cells[column] = f"coalesce({', '.join(there)})"
        relation, kept = rows_of_activity(cells, relation)
        found = dict.fromkeys(kept, "VARCHAR")
    source = Source(
        "csv",
        common(files),
        relation,
        matched_columns(path, found),
        files=tuple(files),
        about=what.form,
        delimiter=head.delimiter,
    )
    kind = source.columns.get("Type", ("", ""))[0]
    if table or not kind:
        return [(table, source)]
    types = run(f"SELECT DISTINCT {quoted_name(kind)} FROM {relation}").fetchall()
    return _split(source, {t or "" for (t,) in types}, kind)


def json(run: Callable, head: Head, files: "list[str]", what: Recognised, table: str) -> list[tuple[str, Source]]:  # noqa: C901 - one branch for each kind of wrapping
    """Read JSON, whatever its rows are wrapped in, all as text; records of several tables are split by their Type."""
    path = files[0]
    packed = ", compression = 'gzip'" if head.packed and files[0] == str(head.path) else ""
    options = (
        f"{listed(files)}, format = '{head.framing}', maximum_object_size = {_MOST}, hive_partitioning = false, "
        f"filename = '{FILE}'{packed}"
    )
    objects = f"read_json_objects({options})"
    if what.rows:  # a page of several, or an answer that says that it is part of one, would be half a table
        several = "CASE WHEN json_array_length(json, '$.tables') > 1 THEN 'several tables' END"
        code = f"coalesce(json->>'$.error.code', {several})"
        partly = (
            f"coalesce(json->>'$.nextLink', json->>'$.\"@odata.nextLink\"', {code}, '') = '' OR "
            f"error('{NOT_WHOLE}' || concat_ws(chr(31), '', \"{FILE}\", {code}))"
        )
        rows = f"unnest(json_extract(json, {quoted_text(what.rows)}))"
        objects = f'(SELECT {rows} AS json, "{FILE}" FROM {objects} WHERE {partly})'
    if what.form.names:
        names = list(what.names)
        if not names:  # behind the rows, perhaps
            inner = f"[*].{what.form.cells}" if what.form.cells else "[*]"
            asked = f"SELECT json_extract_string(json, {quoted_text(what.form.names + inner)})"
            names = (run(f"{asked} FROM read_json_objects({options}) LIMIT 1").fetchall() or [[[]]])[0][0]
        if not names:
            raise AmakitError(f"{path} is an answer with no columns; mend the query and export again")
        found = dict.fromkeys(names, "VARCHAR")
        if len(found) < len(names):
            raise AmakitError(f"{path}: two columns have the same name; rename one in the query and export again")
        cells = ", ".join(f"json->>{n} AS {quoted_name(name)}" for n, name in enumerate(names))
        relation = f'(SELECT {cells}, "{FILE}" FROM {objects})'
        return [(table, _json_source(files, what, relation, found))]
    if what.columns:
        cells = {c: _place(places) for c, places in what.columns.items()}
        kind = "coalesce(json->>'$.Type', 'another kind')"  # rows that have no time where events have theirs
        other = f"error('{OTHER_TABLE}' || concat_ws(chr(31), '', \"{FILE}\", 'Type', {kind}, '{what.table}'))"
        cells["TimeGenerated"] = f"coalesce({cells['TimeGenerated']}, {other})"
        relation, kept = rows_of_activity(cells, objects)
        return [(table, _json_source(files, what, relation, dict.fromkeys(kept, "VARCHAR")))]
    broken = f"[error('{BROKEN_VALUE}' || concat_ws(chr(31), '', \"{FILE}\", '', json))]"
    kinds = "coalesce(nullif(json->>'$._OriginalType', ''), json->>'$.Type', json->>'$.type', '')"
    pairs = run(
        f"SELECT DISTINCT unnest(CASE json_type(json) WHEN 'OBJECT' THEN json_keys(json) ELSE {broken} END) AS key, "
        f"{kinds} FROM {objects} ORDER BY ALL"
    ).fetchall()
    keys = defaultdict(dict)
    for key, kind in pairs:
        if not key or key.lower() == FILE:
            raise AmakitError(f"{path}: a row has a column without a name, or one called {FILE!r}; rename it")
        keys[plain_table(kind) if kind else ""][key] = "VARCHAR"
    everything = {key: "VARCHAR" for part in keys.values() for key in part}
    if what.rows:
        cells = ", ".join(f"json->>{quoted_text(_pointer(key))} AS {quoted_name(key)}" for key in sorted(everything))
        relation = f'(SELECT {cells or "NULL AS nothing"}, "{FILE}" FROM {objects})'
    else:
        columns = ", ".join(f"{quoted_text(key)}: 'VARCHAR'" for key in sorted(everything))
        relation = f"read_json({options}, columns = {{{columns}}})"
    source = _json_source(files, what, relation, dict(sorted(everything.items())))
    mixed = len(keys.keys() - {""}) > 1 and what.rows
    if table and not (mixed and table in keys):
        return [(table, source)]
    kind = source.columns.get("Type", ("type" if "type" in everything else "",))[0]
    parts = _split(source, set(keys), kind)
    return [
        (t, replace(s, columns={c: at for c, at in s.columns.items() if not t or at[0] in keys[t]})) for t, s in parts
    ]


def _json_source(files, what, relation, found):
    return Source(
        "json", common(files), relation, matched_columns(files[0], found), files=tuple(files), about=what.form
    )


def _place(places):
    """Give the SQL of the first of several places in a JSON object that holds something."""
    parts = []
    for place in places:
        pointer = quoted_text(f"/{place}")
        inner = any(other.startswith(f"{place}/") for other in places)
        text = f"nullif(json->>{pointer}, '')"
        parts.append(f"CASE WHEN json_type(json, {pointer}) = 'VARCHAR' THEN {text} END" if inner else text)
    return f"coalesce({', '.join(parts)})" if len(parts) > 1 else parts[0]


def _pointer(key):
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _split(source, kinds, kind):
    """Give one source for each table that rows name by their Type; one without a name where they name none."""
    kinds = {plain_table(name) for name in kinds}
    if "TimeGenerated" not in source.columns or not all(re.fullmatch(r"[A-Za-z]\w+|", name) for name in kinds):
        return [("", source)]
    if len(kinds) == 1:
        return [(next(iter(kinds)), source)]
    if "" in kinds or not kinds:
        if kinds:
            raise AmakitError(f"{source.path}: some rows name their table in the column Type, others do not; mend them")
        return [("", source)]
    text = f"regexp_replace(lower({quoted_name(kind)}), '_(srch|rst)$', '')"
    return [
        (name, replace(source, relation=f"(FROM {source.relation} WHERE {text} = {quoted_text(name.lower())})"))
        for name in sorted(kinds)
    ]


def _same(kind, table):
    return plain_table(str(kind)).lower() == table.lower()


def _is_parquet(path):
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read(4) == b"PAR1"
    except OSError as error:
        raise AmakitError(
            f"{path} cannot be read: {error.strerror}; ask for the right to read it, or copy it again"
        ) from error
