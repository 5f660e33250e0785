"""Which row of a file cannot be read, and why: file, line and reason."""

import contextlib
import csv
import gzip
import json
import re
import zlib
from pathlib import Path

from amakit.errors import AmakitError, nearest
from amakit.exports.dates import ISO, read_as, why_not
from amakit.exports.folder import filled
from amakit.exports.heads import Head, head_of, open_text
from amakit.exports.table_files import (
    BROKEN_VALUE,
    DUCKDB_TYPES,
    NOT_WHOLE,
    OTHER_TABLE,
    Source,
    one_line,
    quoted_name,
    quoted_text,
    unreadable_column,
)

#: Bytes of the longest line that DuckDB reads, and signs of a value that a sentence holds.
_LONGEST, _SHOWN = 32_000_000, 80
#: Excel writes truth in its own language.
_TRUE, _FALSE = "'WAHR', 'VRAI', 'VERDADERO', 'VERO', 'WAAR'", "'FALSCH', 'FAUX', 'FALSO', 'ONWAAR'"


def cell_as(source: Source, column: str, kind: str) -> str:
    """Give the SQL that reads one column as its KQL type; KQL has no null string, only an empty one."""
    spelled = next((c for c in source.columns if c.lower() == column.lower()), None)
    if spelled is None:
        return "''" if kind == "string" else f"NULL::{DUCKDB_TYPES[kind]}"
    name, found = source.columns[spelled]
    cell, found = quoted_name(name), str(found).upper()
    if source.form in ("csv", "json"):
        place = f"chr(31), '', \"amakit file\", {quoted_text(name)}, coalesce({cell}, '')"
        if column == "Type" and source.only:
            same = f"regexp_replace(lower({cell}), '_(srch|rst)$', '') IN ('', {quoted_text(source.only.lower())})"
            other = f"error('{OTHER_TABLE}' || concat_ws({place}, {quoted_text(source.only)}))"
            return f"CASE WHEN {cell} IS NULL THEN '' WHEN {same} THEN {cell} ELSE {other} END"
        return _from_text(cell, kind, f"concat_ws({place})", source, column)
    if found.startswith("VARCHAR"):
        path = "filename" if source.form == "parquet" else quoted_text(source.path)
        where = f"concat_ws(chr(31), '', {path}, {quoted_text(column)}, {cell})"
        if kind == "string":
            return cell if name in source.full else f"coalesce({cell}, '')"
        return _from_text(cell, kind, where, source, column)
    fitting = {
        "datetime": ("TIMESTAMP", "DATE"),
        "timespan": ("INTERVAL",),
        "int": ("INT", "UINT", "TINY", "UTINY", "SMALL", "USMALL", "BIG", "UBIG", "HUGE", "FLOAT", "DOUBLE", "DECIMAL"),
        "bool": ("BOOL", "INT", "TINY", "BIG"),
        "dynamic": ("JSON", "STRUCT", "MAP", "LIST", "UNION"),
    }
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


def _from_text(cell, kind, where, source, column):
    """Give the SQL that reads text as a KQL type, and stops with a mark where it cannot."""
    if kind == "string":
        return f"coalesce({cell}, '')"
    value = filled(cell)
    if kind == "guid":
        return value
    if kind == "dynamic":
        return f"CASE WHEN json_valid({value}) THEN {value}::JSON ELSE to_json({value}) END"
    comma = f"CASE WHEN {value} NOT LIKE '%.%' THEN TRY_CAST(replace({value}, ',', '.') AS DOUBLE) END"
    whole = f"CASE WHEN TRY_CAST({value} AS DOUBLE) % 1 = 0 THEN TRY_CAST({value} AS {DUCKDB_TYPES[kind]}) END"
    words = f"CASE WHEN upper({value}) IN ({_TRUE}) THEN true WHEN upper({value}) IN ({_FALSE}) THEN false END"
    words = f"coalesce(TRY_CAST({value} AS BOOLEAN), {words})"
    read = {
        "datetime": read_as(source.dates.get(column, ISO), value) if kind == "datetime" else "",
        "int": whole,
        "long": whole,
        "bool": words,
    }.get(kind) or (comma if column in source.commas else f"TRY_CAST({value} AS {DUCKDB_TYPES[kind]})")
    stop = f"error('{BROKEN_VALUE}' || {where})"
    if column == "TimeGenerated" and source.only:  # a row without a time would be in no window
        return f"coalesce({read}, {stop})"
    return f"CASE WHEN {value} IS NOT NULL THEN coalesce({read}, {stop}) END"


#: What DuckDB calls the types of KQL.
_KINDS = {
    "VARCHAR": "string", "STRING_LITERAL": "string", "BIGINT": "long", "INTEGER": "int", "INTEGER_LITERAL": "long",
    "DOUBLE": "real", "DECIMAL": "decimal", "BOOLEAN": "bool", "TIMESTAMP": "datetime", "INTERVAL": "timespan",
    "JSON": "dynamic", "VARCHAR[]": "dynamic",
}  # fmt: skip


def explain_error(  # noqa: C901 - one branch for each message of DuckDB
    message: str, known: dict, paths: "list[str] | tuple" = (), named: "list[str] | tuple" = ()
) -> str:
    """Say in one sentence what DuckDB says in many lines; it was reading these paths, for a query of these tables."""
    if OTHER_TABLE in message:
        _, path, column, value, table = message[message.index(OTHER_TABLE) :].split(chr(31), 4)
        line, table = _line_of(path, column, value), table.split("\n")[0]
        where = f"{path}, line {line}" if line else path
        rule = "call the file after its table, or take out that row"
        return f"{where}: a row of {_shown(value)} under the name {table}; {rule}"
    if NOT_WHOLE in message:
        _, path, *code = message[message.index(NOT_WHOLE) :].split("\n")[0].split(chr(31))
        if code == ["several tables"]:
            return f"{path} holds several tables in one answer; ask one query at a time and export again"
        if any(code):
            return f"{path} is part of an answer ({code[0]}): the service stopped; ask for less and export again"
        return f"{path} is one page of several, its nextLink tells the next; export all of them, as az does by itself"
    if BROKEN_VALUE in message:
        _, path, column, value = message[message.index(BROKEN_VALUE) :].split(chr(31), 3)
        value = value.split("\n")[0]
        line = _line_of(path, column, value)
        where = f"{path}, line {line}" if line else f"{path}"
        if not column:
            return f"{where}: {_shown(value)!r} is not a row, which is an object in braces; mend or take out that row"
        if value.strip() == column:
            return f"{where}: the header stands here again; take out that line"
        if "Time" in column and (reason := why_not(value)):
            return f"{where}: {_shown(value)!r} in column {column!r} {reason}"
        rule = "a time such as 2026-03-01T08:21:01Z" if "Time" in column else "of its type"
        return f"{where}: {_shown(value)!r} in column {column!r} is not {rule}; mend or take out that row"
    if csv_error := re.search(r"CSV Error on Line: (\d+)", message):
        record = int(csv_error[1])
        path = re.search(r"\n\s*file = (.+)", message)
        if not path:
            return f"a CSV file is broken at record {record}; mend or take out that row"
        if "nvalid unicode" in message:
            return f"{path[1]}, line {_csv_line(path[1], record)}: not text in UTF-8; save or export it again as UTF-8"
        columns = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message)
        reason = f"{columns[2]} fields where the header has {columns[1]}" if columns else "a broken row"
        if "unterminated quote" in message.lower():
            reason = "a quote that is not closed"
        return f"{path[1]}, line {_csv_line(path[1], record)}: {reason}; mend or take out that row"
    broken = re.search(r'in file "(.+)",(?: at byte \d+)? in (?:line|record/value) (\d+): (.+)', message)
    if broken:
        line = _broken_json_line(broken[1], int(broken[2]))
        return f"{broken[1]}, line {line}: broken JSON ({broken[3].strip(' .')}); mend or take out that row"
    cut = re.search(r'Missing closing brace .* in file "(.+)"', message)
    if cut:
        return f"{cut[1]} ends within its list of rows; export or copy it again"
    damaged = re.search(r'GZIP stream: (.+)|Failed to read file "(.+?)"', message)
    if damaged:
        return f"{damaged[1] or damaged[2]} is damaged or was not copied whole; export or copy it again"
    table = re.search(r'Table with name "?(.+?)"? does not exist', message)
    if table:
        return f"there is no table {table[1]!r}; {nearest(table[1], known)}"
    column = re.search(r'[Cc]olumn "(.+?)" (?:not found|referenced)', message)
    if column:
        close = nearest(column[1], {c for table in named or known for c in known[table]})
        return f"there is no column {column[1]!r} where the query names it; {close}"
    if "invalid state" in message:
        for path in paths:
            if line := _other_line_end(path):
                return f"{path}, line {line}: lines end otherwise here than before; save it with one kind of line ends"
    if "nicode" in message or "UTF-8" in message:
        for path in paths:
            if line := undecoded_line(path):
                return f"{path}, line {line}: not text in UTF-8; save or export it again as UTF-8"
    if failed := re.search(r"Python exception occurred while executing the UDF: \w+: (.+)", message):
        return f"a function of the query cannot be computed: {one_line(failed[1])}"
    if other := re.search(r"name and argument types '(\w+)\((.+)\)'", message):
        kinds = ", ".join(_KINDS.get(kind.partition("(")[0], kind.lower()) for kind in other[2].split(", "))
        return (
            f"{other[1]}() cannot be taken of {kinds}, which the query gives it or an operator that uses it; convert "
            "the value with tostring(), toreal() or todatetime()"
        )
    if re.search(r"argument types '[-+*/%<>=!]+\((.*, )?JSON", message):
        return (
            "the embedded engine does not compute with dynamic values; make numbers of them with tolong() or toreal()"
        )
    if message.startswith("Out of Memory"):
        what = f"{paths[0]}{f' and {len(paths) - 1:,} more files' if paths[1:] else ''}" if paths else "this"
        return (
            f"there is not enough memory for {what}; ask for a shorter window or fewer machines, or export as Parquet"
        )
    first = message.split("\n")[0]
    return one_line(re.sub(r"^[A-Z]\w+(?: \w+)? Error: ", "", first))


def _line_of(path, column, value):
    """Find the line on which the first record begins that has this value; only ever done for an error."""
    head = _head(path)
    if head is None or head.kind not in ("csv", "json"):
        return None
    if head.kind == "csv":
        at = head.header.index(column) if column in head.header else None
        rows = ((n, [row[at]] if at is not None and at < len(row) else row) for n, row in _csv_rows(head))
        return next((n for n, cells in rows if any(_told(cell) == value for cell in cells)), None)
    holding = []
    with open_text(head) as file:
        for number, line in enumerate(file, start=1):
            if value in line:
                holding.append(number)
            row = _row_on(line)
            if _is(row.get(column), value) if column and isinstance(row, dict) else not column and _is(row, value):
                return number
    return holding[0] if value and len(holding) == 1 else None


def _row_on(line):
    """Give what one line of JSON holds: a record, or of one that is laid out over several lines a key and its value."""
    text = line.strip().rstrip(",")
    for whole in (text, f"{{{text}}}"):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(whole, parse_int=_digits, parse_constant=str)
    return None


def _digits(text):
    return int(text) if len(text) < 400 else text  # of more than 4,300 Python makes no number


def _is(held, value):
    """Whether what a row holds is what DuckDB tells, which writes lists and objects in its own way."""
    return _row_on(value) == held if isinstance(held, list | dict) else _told(held) == value


def _told(value):
    """Write a value as DuckDB has it in a message, of which one line is kept."""
    value = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return value.split("\n")[0].replace("\0", "\\0")


def _shown(value):
    """Give a value as a sentence can hold it."""
    return f"{value[:_SHOWN]}…" if len(value) > _SHOWN else value


def _head(path):
    try:
        return head_of(Path(path))
    except AmakitError:
        return None


def _csv_rows(head):
    """Give each record below the header with the line on which it begins; a blank line counts as one."""
    csv.field_size_limit(2**31 - 1)  # DuckDB has read longer fields than the module takes by itself
    try:
        with open_text(head) as file:
            for _ in range(head.skip):
                file.readline()
            rows = csv.reader(file, delimiter=head.delimiter)
            next(rows, None)
            line = rows.line_num + head.skip + 1
            for row in rows:
                yield line, row
                line = rows.line_num + head.skip + 1
    except (csv.Error, UnicodeDecodeError, OSError, EOFError):
        return


def _csv_line(path, record):
    """Give the line of a record, which DuckDB counts, the header being the first."""
    head = _head(path)
    if head is None or head.kind != "csv":
        return record
    return next((line for n, (line, _) in enumerate(_csv_rows(head), start=2 + head.skip) if n == record), record)


def _broken_json_line(path, line):
    """Give the line that is broken; DuckDB names the line after a record that ends too early."""
    head = _head(path)
    if head is None or head.kind != "json":
        return line
    try:
        with open_text(head) as file:
            if head.framing == "unstructured":
                json.loads(file.read(), parse_int=str)
            for number, text in enumerate(file, start=1):
                if number > line:
                    break
                if text.strip() and not text.lstrip().startswith("["):
                    try:
                        row = json.loads(text.strip().rstrip(",]"), parse_int=str)
                        json.dumps(row, ensure_ascii=False).encode()  # half of a pair is no letter
                    except RecursionError:
                        continue
                    except ValueError:
                        return number
    except json.JSONDecodeError as error:
        return error.lineno
    except (UnicodeDecodeError, OSError, EOFError, RecursionError):
        pass
    return line


def _other_line_end(path):
    """Give the first line that ends otherwise than the first; None where all end alike."""
    head = _head(path)
    if head is None or head.kind != "csv":
        return None
    with open_text(head) as file:
        first = ""
        for number, line in enumerate(file, start=1):
            end = "\r\n" if line.endswith("\r\n") else line[-1:]
            first = first or end
            if end != first and end in "\r\n":
                return number
    return None


def check_whole(head: Head) -> None:
    """Read a compressed file to its end, where its checksum stands, and look at the end of a long one.

    Raises
    ------
    AmakitError
        When it is damaged, or its last line is longer than what DuckDB reads.
    """
    length, last = 0, 0
    try:
        if head.packed:
            with gzip.open(head.path) as file:
                while part := file.read(1 << 20):
                    at = part.rfind(b"\n", 0, len(part) if len(part) == 1 << 20 else len(part) - 1)
                    last = length + at if at >= 0 else last
                    length += len(part)
        elif (length := head.path.stat().st_size) > _LONGEST:
            with open(head.path, "rb") as file:  # noqa: PTH123
                file.seek(length - _LONGEST)
                last = length if b"\n" in file.read(_LONGEST - 1) else 0
    except (OSError, EOFError, zlib.error) as error:
        raise AmakitError(
            f"{head.path} is damaged or was not copied whole: {error}; export or copy it again"
        ) from error
    if head.kind == "csv" and length - last > _LONGEST:
        raise AmakitError(f"{head.path}: its last line is longer than 32 MB; take it out, or export as Parquet")


def undecoded_line(path: str) -> int | None:
    """Give the first line of a text that is not in UTF-8; None where all of it is."""
    head = _head(path)
    if head is None:
        return None
    number = 0
    try:
        with open_text(head) as file:
            for number, _ in enumerate(file, start=1):  # noqa: B007
                pass
    except UnicodeDecodeError:
        return number + 1
    except (OSError, EOFError):
        return None
    return None
