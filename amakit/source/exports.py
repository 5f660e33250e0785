"""Which files make a table, in which form."""

import csv
import gzip
import io
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from amakit.errors import AmakitError
from amakit.schemas import table_name, tables

_FORMS = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json"}
DUCKDB_TYPES = {
    "string": "VARCHAR", "guid": "VARCHAR", "datetime": "TIMESTAMP", "timespan": "INTERVAL", "int": "INTEGER",
    "long": "BIGINT", "real": "DOUBLE", "decimal": "DOUBLE", "bool": "BOOLEAN", "dynamic": "JSON",
}  # fmt: skip
#: What a failed conversion inside DuckDB says, so that it can be found again in the error that comes out.
BROKEN_VALUE = "amakit-broken-value"
#: What a snapshot says of itself, whole and while it is being taken.
MANIFEST, PARTIAL = "manifest.json", "manifest.partial.json"


@dataclass(frozen=True)
class Source:
    """Some files of one table that can be read together: the same form and the same columns."""

    form: str
    path: str  # the file, or the folder that holds all of them
    relation: str  # what DuckDB reads, with the columns as the files spell them
    columns: dict  # the usual name of each column -> (its name in the files, its DuckDB type)
    full: frozenset = frozenset()  # names of columns, as the files spell them, that surely hold no null


def files_by_table(folder: Path) -> dict[str, list[Path]]:
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
        if form_of(path) is None:
            if name in tables() and table_name(stems[-1]) == name:
                raise AmakitError(f"{path} is in a form that cannot be read; export it as CSV, JSON or Parquet")
            continue
        found[spelled.setdefault(name.lower(), name)].append(path)
    return found


def form_of(path: Path) -> str | None:
    """Tell the form of a file by its name."""
    name = path.name.lower().removesuffix(".gz")
    return _FORMS.get(Path(name).suffix)


def open_text(path: str | Path) -> io.TextIOWrapper:
    """Open a text file, packed or not, in UTF-8 with or without a byte order mark."""
    raw = gzip.open(path) if str(path).lower().endswith(".gz") else open(path, "rb")  # noqa: SIM115, PTH123
    return io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")


def layout_of(path: Path, form: str) -> str | tuple[str, tuple[str, ...]]:
    """Give what decides how a text file is read: for CSV its delimiter and header, for JSON its framing."""
    try:
        with open_text(path) as file:
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


def matched_columns(path: Path, columns: dict[str, str]) -> dict[str, tuple[str, str]]:
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


def kql_type_of(column: str, duckdb_type: str, source: Source) -> str:
    """Give the KQL type of a column that the table reference does not list."""
    from duckdb_kql.types import kusto_type

    if source.form in ("csv", "json"):  # text says nothing of its type; only the time is sure
        return "datetime" if column == "TimeGenerated" else "string"
    upper = str(duckdb_type).upper()
    kind = "string" if upper.startswith("ENUM") else kusto_type(upper)
    if upper in ("BLOB", "BIT", "TIME", "TIME WITH TIME ZONE") or (
        kind == "string" and not upper.startswith(("VARCHAR", "ENUM"))
    ):
        raise unreadable_column(source, column, duckdb_type, "no type of KQL")
    return kind


def quoted_text(value: str) -> str:
    """Write a text as a literal of SQL."""
    return "'" + value.replace("'", "''") + "'"


def quoted_name(value: str) -> str:
    """Write a name as SQL quotes it."""
    return '"' + value.replace('"', '""') + '"'


def one_line(error: Exception | str) -> str:
    """Give the message of an error on one line."""
    return " ".join(str(error).split())


def unreadable_column(source: Source, column: str, duckdb_type: str, wanted: str) -> AmakitError:
    """Say that the type of a column cannot be read as what KQL needs."""
    return AmakitError(
        f"{source.path}: column {column!r} has the type {duckdb_type}, which is {wanted}; "
        "convert the column, or leave it out of the export"
    )
