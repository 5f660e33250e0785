"""What the first bytes of a file show: how it is packed and encoded, its header, its first rows."""

import csv
import gzip
import io
import json
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from amakit.errors import AmakitError

#: How much of a file is looked at first, and how much where that does not hold its first row.
_FIRST, _MORE = 1 << 13, 1 << 20
_MAGIC = {
    b"PAR1": "Parquet", b"PK\x03\x04": "zip", b"\x1f\x8b": "gzip", b"\xd0\xcf\x11\xe0": "Excel", b"Obj\x01": "Avro",
    b"7z\xbc\xaf": "7z", b"Rar!": "rar", b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "zstd", b"%PDF": "PDF",
    b"SQLite": "SQLite",
}  # fmt: skip
_TOKEN = re.compile(r'\s+|"(?:[^"\\\n]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+(?=[\s,}\]])')


@dataclass(frozen=True)
class Head:
    """The beginning of a file.

    Attributes
    ----------
    kind : str
        ``csv``, ``json``, ``Parquet``, ``zip`` and so on, by what it begins with; ``empty`` for nothing but blanks.
    packed : bool
        Whether it is compressed with gzip.
    encoding : str
        Of text.
    skip, delimiter, header, rows
        Of CSV: lines before the header, and the first records.
    framing : str
        Of JSON: ``array``, ``newline_delimited`` or ``unstructured``, as DuckDB calls them.
    document : object
        Of JSON: the first document, as far as the beginning holds it.
    """

    path: Path
    kind: str
    packed: bool = False
    encoding: str = "utf-8"
    skip: int = 0
    delimiter: str = ","
    header: tuple = ()
    rows: tuple = ()
    framing: str = ""
    document: object = field(default=None, hash=False)


def head_of(path: Path) -> Head:
    """Look at the beginning of a file.

    Raises
    ------
    AmakitError
        When it cannot be read, or is text in no encoding that is sure.
    """
    try:
        found = _head(path, _FIRST)
        return _head(path, _MORE) if found is None else found
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise AmakitError(f"{path} is damaged or was not copied whole: {error}; export or copy it again") from error
    except OSError as error:
        raise AmakitError(f"{path} cannot be read: {error}; export or copy it again") from error


def _head(path, most):
    """Give the head of a file; None where the first bytes do not hold a first row, and there are more."""
    with open(path, "rb") as file:  # noqa: PTH123
        raw = file.read(most)
    packed = raw[:2] == b"\x1f\x8b"
    if packed:
        with gzip.open(path) as file:
            raw = file.read(most)
    elif str(path).lower().endswith(".gz") and raw:
        raise AmakitError(f"{path} is not compressed with gzip, although its name says so; export or copy it again")
    kind = next((name for magic, name in _MAGIC.items() if raw.startswith(magic)), "")
    if kind:
        return Head(path, kind, packed)
    encoding = encoding_of(raw)
    whole = len(raw) < most
    try:
        text = raw.decode(encoding) if whole else raw[: len(raw) // 4 * 4].decode(encoding, "ignore")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        name = "UTF-8" if encoding.startswith("utf-8") else "UTF-16"
        raise AmakitError(f"{path}, line {line}: not whole text in {name}; save or export it again as UTF-8") from error
    if not text.strip(" \r\n\t\0\ufeff"):
        return Head(path, "empty", packed, encoding)
    about = _json(text, whole) if text.lstrip()[0] in "[{" else _csv(text, whole)
    if about is None:
        return None if not whole and most < _MORE else Head(path, "text", packed, encoding)
    return Head(path, packed=packed, encoding=encoding, **about)


def encoding_of(raw: bytes) -> str:
    """Tell the encoding of text by its first bytes: a byte order mark, or the zeros of UTF-16 without one."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    if len(raw) > 3 and not any(raw[1:64:2]) and all(raw[0:64:2]):
        return "utf-16-le"
    return "utf-8-sig"


def open_text(head: Head) -> io.TextIOWrapper:
    """Open a text file, packed or not, from its first sign on."""
    raw = gzip.open(head.path) if head.packed else open(head.path, "rb")  # noqa: SIM115, PTH123
    return io.TextIOWrapper(raw, encoding=head.encoding, newline="")


def _csv(text, whole):
    skip, lines = 0, text.splitlines(keepends=True)
    delimiter = ""
    if lines[0].startswith("#TYPE"):  # Export-Csv of Windows PowerShell
        skip = 1
    elif lines[0].lower().startswith("sep=") and len(lines[0].strip()) == 5:  # what Excel is told
        skip, delimiter = 1, lines[0][4]
    if not whole and len(lines) < skip + 3:
        return None
    first = lines[skip] if len(lines) > skip else ""
    delimiter = delimiter or max(",;\t|", key=first.count)
    csv.field_size_limit(2**31 - 1)
    try:
        records = list(csv.reader(io.StringIO("".join(lines[skip:]), newline=""), delimiter=delimiter))
    except csv.Error:
        return None
    records = records if whole else records[:-1]
    header, rows = tuple(records[0]) if records else (), tuple(tuple(row) for row in records[1:51] if row)
    return {"kind": "csv", "skip": skip, "delimiter": delimiter, "header": header, "rows": rows}


def _json(text, whole):
    start = text.lstrip()
    array = start[0] == "["
    try:
        document, end = json.JSONDecoder().raw_decode(start)
        first_line = start.split("\n", 1)[0].rstrip()
        framing = "array" if array else "newline_delimited" if len(first_line) >= end else "unstructured"
    except json.JSONDecodeError as error:
        document = _closed(start)
        if document is None:
            return (
                None
                if not whole
                else {"kind": "json", "framing": "array" if array else "newline_delimited", "document": {}}
            )
        pretty = not array and "\n" in start[: error.pos].rstrip()
        framing = "array" if array else "unstructured" if pretty or not whole else "newline_delimited"
    except RecursionError:
        return {"kind": "text"}
    if not whole and not array and framing == "unstructured" and document == {}:
        return None
    return {"kind": "json", "framing": framing, "document": document}


def _closed(text):  # noqa: C901 - one branch for each kind of token
    """Read a JSON document that is cut off, up to its last whole value; None where there is none."""
    open_, safe, closing, end, key = [], 0, "", 0, False
    for token in _TOKEN.finditer(text):
        if token.start() != end:  # a text that is cut off, or no JSON
            break
        sign, end = token[0], token.end()
        if sign in "{[":
            open_.append("}" if sign == "{" else "]")
            if len(open_) > 200:
                return None
            key = sign == "{"
        elif sign in "}]":
            if not open_ or open_.pop() != sign:
                break
        elif sign == ":":
            key = False
            continue
        elif sign == ",":
            key = bool(open_) and open_[-1] == "}"
            continue
        elif sign.isspace() or key:
            continue
        safe, closing = end, "".join(reversed(open_))
        if not open_:
            break
    try:
        return json.loads(text[:safe] + closing) if safe else None
    except (json.JSONDecodeError, RecursionError):
        return None
