"""Which files make a table: their names, then what they hold."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from amakit.errors import AmakitError
from amakit.exports.dates import DateForm
from amakit.exports.forms import Form
from amakit.schemas import public_tables, table_name, tables

DUCKDB_TYPES = {
    "string": "VARCHAR", "guid": "VARCHAR", "datetime": "TIMESTAMP", "timespan": "INTERVAL", "int": "INTEGER",
    "long": "BIGINT", "real": "DOUBLE", "decimal": "DOUBLE", "bool": "BOOLEAN", "dynamic": "JSON",
}  # fmt: skip
#: What a failed conversion inside DuckDB says, so that it can be found again in the error that comes out.
BROKEN_VALUE, OTHER_TABLE, NOT_WHOLE = "amakit-broken-value", "amakit-other-table", "amakit-not-whole"
#: What a snapshot says of itself, whole and while it is being taken.
MANIFEST, PARTIAL = "manifest.json", "manifest.partial.json"
#: Rows at which the ways of exporting stop without a word.
LIMITS = {
    10_000: "what the portal gave until 2021", 30_000: "what the portal exports at most",
    500_000: "what the query API answers at most", 1_000_000: "what a search job keeps at most",
}  # fmt: skip
#: Suffixes of files that may hold rows; what has another is named by `amakit check` and nowhere else.
_READ = {".parquet", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".txt", ""}
_PERHAPS = {".zip", ".7z", ".rar", ".tar", ".tgz", ".bz2", ".zst", ".xlsx", ".xls", ".xlsm", ".xlsb", ".avro", ".orc",
            ".xml", ".html", ".htm", ".ods"}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """Some files of one table that can be read together: the same form and the same columns."""

    form: str  # parquet, csv, json or duckdb: how DuckDB reads it
    path: str  # the file, or the folder that holds all of them
    relation: str  # what DuckDB reads, with the columns as the files spell them
    columns: Mapping  # the usual name of each column -> (its name in the files, its DuckDB type)
    full: frozenset = frozenset()  # names of columns, as the files spell them, that surely hold no null
    files: tuple = ()  # each of them
    about: Form | None = None  # the way of exporting
    dates: Mapping[str, DateForm] = field(default_factory=dict)  # the form of each column of dates; else ISO 8601
    commas: frozenset = frozenset()  # columns of numbers with a decimal comma
    only: str = ""  # the table that each row must be of
    delimiter: str = ""


def limit_of(rows: int) -> str:
    """Say of which limit a number of rows smells; empty where of none.

    Examples
    --------
    >>> limit_of(30_000), limit_of(29_999)
    ('what the portal exports at most', '')
    """
    return LIMITS.get(rows, "")


def plain_table(name: str) -> str:
    """Give the table that a name stands for: its own, or the one that was searched or restored.

    Examples
    --------
    >>> plain_table("Heartbeat_SRCH"), plain_table("perf_rst"), plain_table("MyApp_CL")
    ('Heartbeat', 'Perf', 'MyApp_CL')
    """
    return table_name(re.sub(r"_(?:SRCH|RST)$", "", name.strip(), flags=re.IGNORECASE))


def is_table(name: str) -> bool:
    """Whether a name is that of a table that the kit knows, or of a custom one."""
    return plain_table(name) in tables() or plain_table(name).lower().endswith("_cl")


@dataclass(frozen=True)
class Named:
    """A file, and the table that its path says.

    Attributes
    ----------
    path : Path
    table : str
        Empty where the path says none.
    by : str
        What says it: ``file``, ``container`` or ``folder``.
    spare : str
        The name that is taken where its rows say nothing either.
    """

    path: Path
    table: str
    by: str
    spare: str


def named_files(folder: Path) -> Iterator[Named]:
    """Give each file below a folder but hidden ones, in order, with the table that its path names.

    The name of a file beats the name of its folder, and the nearest folder beats those above it.
    """
    demo = (folder / "_demo.json").exists()  # then truth/ holds what really happened, which no query may see
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        parts = path.relative_to(folder).parts
        if parts[0] in (MANIFEST, PARTIAL) or any(part.startswith((".", "_")) for part in parts):
            continue
        if demo and parts[0] == "truth":
            continue
        stem = re.sub(r" ?\(\d+\)$", "", parts[-1].split(".")[0])
        container = next((a for a, b in pairwise(parts) if b.startswith("WorkspaceResourceId=")), "")
        above = next((part for part in reversed(parts[:-1]) if is_table(part)), "")
        spare = plain_table(parts[0] if len(parts) > 1 else stem)
        for name, by in ((container, "container"), (stem if is_table(stem) else "", "file"), (above, "folder")):
            if name:
                yield Named(path, plain_table(name), by, spare)
                break
        else:
            yield Named(path, "", "", spare)


def suffix_of(path: Path) -> str:
    """Give the suffix that tells the form, without that of gzip."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def may_hold_rows(path: Path) -> bool | None:
    """Whether a file is looked into; None where it may hold rows but surely cannot be read."""
    suffix = suffix_of(path)
    return True if suffix in _READ else None if suffix in _PERHAPS else False


def matched_columns(path: "str | Path", columns: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Pair the columns of a file with their usual names, which are compared without case.

    Of a search job's result the row's own time and table are taken, not those of the job.
    """
    usual = {name.lower(): name for table in public_tables().values() for name in table}
    matched = {}
    for name, kind in columns.items():
        plain, bracket, zone = name.strip().partition("[")
        plain = plain.strip() if bracket and zone.endswith("]") else name.strip()
        if bracket and zone.endswith("]") and zone.rstrip("] ").upper() not in ("UTC", "Z", "UTC+00:00"):
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
    lower = {name.lower(): name for name in matched}
    for column in ("TimeGenerated", "Type"):
        if own := lower.get(f"_original{column.lower()}"):
            matched[column] = matched[own]
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
    """Write text for SQL."""
    return "'" + value.replace("'", "''") + "'"


def quoted_name(value: str) -> str:
    """Write a name for SQL."""
    return '"' + value.replace('"', '""') + '"'


def one_line(error: object) -> str:
    """Write an error in one line."""
    return " ".join(str(error).split())


def unreadable_column(source: Source, column: str, duckdb_type: str, wanted: str) -> AmakitError:
    """Make the error of a column whose type does not fit."""
    return AmakitError(
        f"{source.path}: column {column!r} has the type {duckdb_type}, which is {wanted}; "
        "convert the column, or leave it out of the export"
    )
