"""Which row of a file cannot be read, and why: file, line and reason."""

import csv
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from amakit.errors import nearest
from amakit.source.exports import (
    BROKEN_VALUE,
    DUCKDB_TYPES,
    Source,
    form_of,
    layout_of,
    one_line,
    open_text,
    quoted_name,
    quoted_text,
    unreadable_column,
)

#: The portal writes 3/1/2026, 8:21:01.494 AM.
_PORTAL_TIMES = "['%m/%d/%Y, %I:%M:%S.%f %p', '%m/%d/%Y, %I:%M:%S %p', '%m/%d/%Y %I:%M:%S %p']"


def cell_as(source: Source, column: str, kind: str) -> str:
    """Give the SQL that reads one column as its KQL type; KQL has no null string, only an empty one."""
    spelled = next((c for c in source.columns if c.lower() == column.lower()), None)
    if spelled is None:
        return "''" if kind == "string" else f"NULL::{DUCKDB_TYPES[kind]}"
    name, found = source.columns[spelled]
    cell, found = quoted_name(name), str(found).upper()
    if source.form in ("csv", "json"):
        return _from_text(cell, kind, f"concat_ws(chr(31), '', \"amakit file\", {quoted_text(name)}, {cell})")
    if found.startswith("VARCHAR"):
        path = "filename" if source.form == "parquet" else quoted_text(source.path)
        where = f"concat_ws(chr(31), '', {path}, {quoted_text(column)}, {cell})"
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
            raise unreadable_column(source, column, found, "no text")
        return f"coalesce({cell}::VARCHAR, '')" if kind == "string" else f"{cell}::VARCHAR"
    if kind == "dynamic":
        return cell if found == "JSON" else f"to_json({cell})"
    if not found.startswith(fitting[kind]) or found.endswith("[]") or (found == "INTERVAL" != DUCKDB_TYPES[kind]):
        raise unreadable_column(source, column, found, f"not the {kind} that it must be")
    return cell if found == DUCKDB_TYPES[kind] else f"CAST({cell} AS {DUCKDB_TYPES[kind]})"


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
    whole = f"CASE WHEN TRY_CAST({value} AS DOUBLE) % 1 = 0 THEN TRY_CAST({value} AS {DUCKDB_TYPES[kind]}) END"
    read = {
        # TIMESTAMPTZ honours an offset; both drop what is finer than a microsecond
        "datetime": f"CASE WHEN {starts} THEN coalesce(TRY_CAST({value} AS TIMESTAMPTZ)::TIMESTAMP, "
        f"try_strptime({value}, {_PORTAL_TIMES})) END",
        "int": whole,
        "long": whole,
    }.get(kind, f"TRY_CAST({value} AS {DUCKDB_TYPES[kind]})")
    return f"CASE WHEN {value} IS NOT NULL THEN coalesce({read}, error('{BROKEN_VALUE}' || {where})) END"


def explain_error(message: str, known: Mapping[str, Iterable[str]]) -> str:
    """Say in one sentence what DuckDB says in many lines."""
    if BROKEN_VALUE in message:
        _, path, column, value = message[message.index(BROKEN_VALUE) :].split(chr(31), 3)
        value = value.split("\n")[0]
        line = _line_of(path, column, value)
        where = f"{path}, line {line}" if line else f"{path}"
        if not column:
            return f"{where}: {value[:80]!r} is not a row, which is an object in braces; mend or take out that row"
        rule = "a time such as 2026-03-01T08:21:01Z" if "Time" in column else "of its type"
        return f"{where}: {value!r} in column {column!r} is not {rule}; mend or take out that row"
    if csv_error := re.search(r"CSV Error on Line: (\d+)", message):
        record = int(csv_error[1])
        path = re.search(r"\n\s*file = (.+)", message)
        if not path:
            return f"a CSV file is broken at record {record}; mend or take out that row"
        columns = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message)
        reason = f"{columns[2]} fields where the header has {columns[1]}" if columns else "a broken row"
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
    return one_line(re.sub(r"^[A-Z]\w+(?: \w+)? Error: ", "", first))


def _line_of(path, column, value):
    """Find the line on which the first record begins that has this value; only ever done for an error."""
    form = form_of(Path(path))
    if form not in ("csv", "json"):
        return None
    if form == "csv":
        at = layout_of(path, form)[1].index(column)
        return next((n for n, row in _csv_rows(path) if at < len(row) and row[at].split("\n")[0] == value), None)
    with open_text(path) as file:
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
    with open_text(path) as file:
        rows, line = csv.reader(file, delimiter=layout_of(path, "csv")[0]), 1
        for row in rows:
            yield line, row
            line = rows.line_num + 1


def _csv_line(path, record):
    """Give the line of a record, which DuckDB counts, the header being the first."""
    return next((line for n, (line, _) in enumerate(_csv_rows(path), start=1) if n == record), record)


def _broken_json_line(path, line):
    """Give the line that is broken; DuckDB names the line after a record that ends too early."""
    with open_text(path) as file:
        for number, text in enumerate(file, start=1):
            if number > line:
                break
            if text.strip() and not text.lstrip().startswith("["):
                try:
                    json.loads(text.strip().rstrip(",]"))
                except json.JSONDecodeError:
                    return number
    return line
