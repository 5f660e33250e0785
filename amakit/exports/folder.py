"""A folder of exported tables: the form of each file, the tables that they make, and what is of no use."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from amakit.errors import AmakitError
from amakit.exports import relations
from amakit.exports.dates import is_iso, settle, survey_columns
from amakit.exports.forms import PARQUET, Recognised, recognise, table_of_columns
from amakit.exports.heads import Head, head_of
from amakit.exports.table_files import (
    kql_type_of,
    matched_columns,
    may_hold_rows,
    named_files,
    plain_table,
    quoted_name,
    suffix_of,
)
from amakit.schemas import public_tables, tables

_DATES = {name for columns in public_tables().values() for name, kind in columns.items() if kind == "datetime"}

_UNREADABLE = "is in a form that cannot be read; export it as CSV, JSON or Parquet"


@dataclass
class Folder:
    """What a folder holds.

    Attributes
    ----------
    sources : dict of str to list of Source
        By table.
    refused : dict of str to str
        Table -> why it cannot be read.
    unread : dict of str to str
        Path -> why a file that belongs to no table is of no use.
    copies : dict of str to str
        Path of a copy in UTF-8 -> path of the file.
    heads : dict of str to Head
        Path -> the beginning of a text file.
    strange : set of str
        Paths of text whose dates or numbers are not all of the form that cannot be mistaken.
    """

    sources: dict = field(default_factory=lambda: defaultdict(list))
    refused: dict = field(default_factory=dict)
    unread: dict = field(default_factory=dict)
    copies: dict = field(default_factory=dict)
    heads: dict = field(default_factory=dict)
    strange: set = field(default_factory=set)


def read_folder(run: Callable, folder: Path, spill: Path, date_format: str = "") -> Folder:
    """Look at each file of a folder, and say how the tables that they make are read.

    Parameters
    ----------
    run : callable
        Runs SQL and gives a cursor.
    folder : Path
    spill : Path
        Where copies in another encoding may lie.
    date_format : str
        ``day-first``, ``month-first`` or empty; see `amakit.exports.dates.settle`.

    Notes
    -----
    Of text only the first bytes are looked at, but for JSON, whose keys may begin late, and for dates whose form all
    rows must tell.  A file that belongs to a table and cannot be read refuses the table: without it the others would
    look like an outage.
    """
    found, groups = Folder(), defaultdict(list)
    for named in named_files(folder):
        try:
            _group(found, groups, named)
        except AmakitError as error:
            _refuse(found, named.table, str(named.path), error)
    for (table, _, spare, *_), members in groups.items():
        paths, heads, whats = zip(*members, strict=True)
        try:
            _add(found, run, spill, table, spare, [str(path) for path in paths], heads[0], whats[0])
        except AmakitError as error:
            _refuse(found, table, str(paths[0]), error)
    settle_dates(found, run, date_format)
    for table in found.refused:
        found.sources.pop(table, None)
    return found


def _refuse(found, table, path, error):
    text = str(error)
    for copy, original in found.copies.items():
        text = text.replace(copy, original)
    if table:
        found.refused.setdefault(table, text)
    else:
        found.unread[path] = text


def _group(found, groups, named):  # noqa: C901 - one branch for each kind of file
    """Put a file to those that are read together with it."""
    table, path = named.table, named.path
    looked = may_hold_rows(path)
    if looked is False and not (table and named.by == "file"):
        found.unread[str(path)] = f"{path} is no form of export; it is left alone"
        return
    if path.stat().st_size == 0:
        raise AmakitError(f"{path} is empty; export it again, or take it out of the folder")
    if suffix_of(path) == ".parquet" and path.suffix.lower() == ".parquet":
        groups[table, "parquet", named.spare].append((path, Head(path, "Parquet"), Recognised(PARQUET)))
        return
    head = head_of(path)
    if head.kind == "empty":
        raise AmakitError(f"{path} is empty; export it again, or take it out of the folder")
    what = recognise(head) if looked is not None or head.kind not in ("csv", "json", "text") else None
    if what is None or what.form.refusal:
        raise AmakitError(f"{path} {what.form.refusal if what else _UNREADABLE}")
    if head.kind == "Parquet":
        if head.packed:
            raise AmakitError(f"{path} is Parquet in gzip; unpack it")
        groups[table, "parquet", named.spare].append((path, head, what))
        return
    timed = any(str(column).lower().startswith("timegenerated") for column in what.row)
    if suffix_of(path) in (".txt", "") and not timed and not what.table:
        if table and named.by == "file":
            raise AmakitError(f"{path} {_UNREADABLE}")
        found.unread[str(path)] = f"{path} is no form of export; it is left alone"
        return
    row = {
        column: what.row.get(spelled)
        for column, (spelled, _) in matched_columns(path, dict.fromkeys(map(str, what.row), "")).items()
    }
    table = _table(named, what, row, path)
    if any(not is_iso(value) for value in _dates_of(head, what)) or head.delimiter in ";\t":
        found.strange.add(str(path))
    alone = str(path) if str(path) in found.strange or head.encoding.startswith("utf-16") else ""
    found.heads[str(path)] = head
    key = (
        head.kind,
        named.spare,
        what.form.name,
        what.rows,
        what.names,
        head.packed,
        head.framing,
        head.header,
        head.skip,
        head.delimiter,
    )
    groups[(table, *key, alone)].append((path, head, what))


def _dates_of(head, what):
    """Give the dates in the first rows of a text file."""
    rows = [dict(zip(head.header, row, strict=False)) for row in head.rows] or [what.row]
    names = [str(name) for name in (what.row or head.header)]
    places = set(what.columns.get("TimeGenerated", ()))
    places |= {name for name in names if name.partition("[")[0].strip() in _DATES or name == "_OriginalTimeGenerated"}
    values = (str(row[place]).strip() for row in rows for place in places if row.get(place) is not None)
    return [value for value in values if value not in ("", "null", "None", "NULL", "NaT")]


def _table(named, what, row, path):
    """Give the table of a file: by its form, name, rows or folder, in this order; empty where all rows must tell."""
    said = plain_table(str(row.get("_OriginalType") or row.get("Type") or ""))
    if what.table:
        if named.by == "file" and named.table != what.table:
            raise AmakitError(f"{path} holds events of the activity log, not {named.table}; call it AzureActivity")
        return what.table
    if named.by == "file" and named.table in tables():
        other = said if said in tables() else "" if said else table_of_columns(list(row))
        if other not in ("", named.table) and what.form.name != "messages of an event hub":
            raise AmakitError(f"{path} holds rows of {other} and not of {named.table}; call the file after its table")
    if named.by == "folder" and said in tables() and said != named.table:
        return ""
    return named.table


def _add(found, run, spill, table, spare, files, head, what):
    if head.kind == "Parquet":
        parts = relations.parquet(run, files, table)
    else:
        if head.encoding.startswith("utf-16"):
            copy = relations.in_utf8(head, spill)
            found.copies[copy], files = files[0], [copy]
            head = replace(head, packed=False)
        make = relations.csv if head.kind == "csv" else relations.json
        parts = make(run, head, files, what, table)
    for name, source in parts:
        name = name or table_of_columns(list(source.columns)) or spare
        known = name in tables()
        if known and source.columns and "TimeGenerated" not in source.columns:
            way = "`amakit activity` fetches the log itself" if name == "AzureActivity" else "export it again"
            raise AmakitError(f"{source.path} has no column TimeGenerated, which every row of {name} needs; {way}")
        usual = next((other for other in found.sources if other.lower() == name.lower()), name)
        found.sources[usual].append(replace(source, only=name if known and source.form != "parquet" else ""))


def settle_dates(found: Folder, run: Callable, date_format: str = "") -> None:
    """Choose how columns of dates and of numbers are read where their rows do not say it one by one.

    Each source's form of dates is put into ``found``; a table with one that nothing settles is refused.
    """
    surveyed = []
    for table, sources in list(found.sources.items()):
        for at, source in enumerate(sources):
            try:
                if source.form in ("csv", "json") and not found.strange & {
                    found.copies.get(f, f) for f in source.files
                }:
                    continue
                looked = _look(table, source, run)
            except AmakitError as error:
                _refuse(found, table, source.path, error)
                continue
            if looked:
                surveyed.append((table, at, *looked))
    every = [column for _, _, columns, _ in surveyed for column in columns]
    for table, at, columns, commas in surveyed:
        source = found.sources[table][at]
        try:
            dates = settle(columns, every, date_format)
        except AmakitError as error:
            _refuse(found, table, source.path, AmakitError(f"{source.path}: {error}"))
            continue
        found.sources[table][at] = replace(source, dates=dates, commas=frozenset(commas))


def _look(table, source, run):
    """Look at columns whose rows do not say one by one how they are read; None where all of them do."""
    kinds = dict(tables().get(table, {}))
    text = {c: place for c, place in source.columns.items() if str(place[1]).upper().startswith("VARCHAR")}
    kind_of = {c: kinds.get(c) or kql_type_of(c, place[1], source) for c, place in text.items()}
    dates = {c: filled(quoted_name(text[c][0])) for c, kind in kind_of.items() if kind == "datetime"}
    numbers = (
        [c for c, kind in kind_of.items() if kind in ("real", "decimal")] if source.delimiter in (";", "\t") else []
    )
    if dates:
        some = run(f"SELECT {', '.join(dates.values())} FROM {source.relation} LIMIT 50").fetchall()
        if all(is_iso(str(value)) for row in some for value in row if value is not None):
            dates = {}
    columns = survey_columns(run, source.relation, dates) if dates else []
    commas = set()
    if numbers:
        cells = [quoted_name(text[c][0]) for c in numbers]
        asked = ", ".join(f"bool_or({cell} LIKE '%,%'), bool_or({cell} LIKE '%.%')" for cell in cells)
        flags = run(f"SELECT {asked} FROM {source.relation}").fetchall()[0]
        for number, comma, point in zip(numbers, flags[::2], flags[1::2], strict=True):
            if comma and point:
                raise AmakitError(
                    f"{source.path}: column {number!r} has numbers with commas and with points; export again without "
                    "opening the file in a spreadsheet"
                )
            if comma:
                commas.add(number)
    return (columns, commas) if columns or commas else None


def filled(cell: str) -> str:
    """Give the SQL of a text that is no null; ways of exporting write null as a word, too."""
    return f"CASE WHEN {cell} NOT IN ('', 'null', 'None', 'NULL', 'NaT') THEN {cell} END"
