"""Python values as KQL literals.

Log Analytics refuses ``declare query_parameters``, so values enter a query as literals.  They are rendered
here and nowhere else, so that no text from a machine can ever become a part of a query.
"""

import datetime as dt
import math
import re
from dataclasses import dataclass

import pandas as pd

from amakit.errors import UsageError

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_TABLE = re.compile(r"\w[\w .-]*")


def literal(value: object, kind: str | None = None) -> str:
    """Write a Python value as a KQL literal that means exactly that value.

    Parameters
    ----------
    value : str, bool, int, float, datetime, timedelta, list, dict, pandas.DataFrame or None
        A datetime needs a zone; a frame becomes a ``datatable`` whose column types follow from its dtypes.  One that
        an engine holds already is named.
    kind : str, optional
        The KQL type.  Only needed for None, whose literal depends on it; otherwise it is checked.

    Returns
    -------
    str
        Text that can stand wherever KQL takes a literal.

    Raises
    ------
    UsageError
        For a value that no literal can carry: half of a surrogate pair, a datetime without a zone, a
        time finer than a microsecond or beyond what KQL can hold, an integer beyond 64 bits, an object of
        another type.

    Notes
    -----
    Of the escapes that KQL knows only those are used that every engine reads alike; other control
    characters stand in the text as they are.

    Examples
    --------
    >>> print(literal('say "no" \\\\ yes'))
    "say \\"no\\" \\\\ yes"
    >>> literal(pd.Timestamp("2026-03-01", tz="UTC"))
    'datetime(2026-03-01T00:00:00.000000Z)'
    >>> literal(pd.Timedelta(days=1, seconds=90)), literal(["a", 1]), literal(None, "long")
    ('timespan(1.00:01:30.000000)', 'dynamic(["a",1])', 'long(null)')
    >>> print(literal(pd.DataFrame({"Name": ["x"], "Size": [3]})))
    datatable(Name:string, Size:long)["x",long(3)]
    """
    if isinstance(value, pd.DataFrame):
        return _datatable(value)
    if isinstance(value, Held):
        return f"{table_literal(value.name)} | project {', '.join(value.columns)}"
    found = _kind(value)
    if kind is not None and found not in (None, kind) and (found, kind) != ("long", "real"):
        raise UsageError(f"{value!r} is of the KQL type {found}, but {kind} is asked for")
    if found is None:
        if kind is None:
            raise UsageError("None needs a KQL type to be written; name it, for example 'long'")
        return '""' if kind == "string" else f"{kind}(null)"
    return _WRITERS[kind or found](value)


def _kind(value):
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool) or type(value).__name__ == "bool":  # NumPy's own bool is no Python bool
        return "bool"
    if isinstance(value, (list, tuple, dict)):
        return "dynamic"
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, dt.datetime):
        return "datetime"
    if isinstance(value, dt.timedelta):
        return "timespan"
    if hasattr(value, "__index__"):
        return "long"
    if isinstance(value, float):
        return "real"
    raise UsageError(f"{value!r} is a {type(value).__name__}, for which KQL has no literal")


def _string(value):
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"{value!r} holds half of a surrogate pair, which no query can carry") from error
    return f'"{value.translate(_ESCAPES)}"'


def _long(value):
    value = int(value)
    if not -(2**63) <= value < 2**63:
        raise UsageError(f"{value} does not fit into the 64 bits of a KQL long")
    return f"long({value})"


def _real(value):
    value = float(value)
    if math.isnan(value):
        return "real(nan)"
    if math.isinf(value):
        return "real(+inf)" if value > 0 else "real(-inf)"
    return f"real({value!r})"


def _datetime(value):
    value = pd.Timestamp(value)
    if value.tzinfo is None:
        raise UsageError(f"{value} has no time zone; KQL times are UTC, so say which one is meant")
    if value.nanosecond:
        raise UsageError(f"{value} is finer than the microseconds that both engines keep")
    utc = value.tz_convert("UTC")
    if not 1 <= utc.year <= 9999:
        raise UsageError(f"{value} lies outside the years 1 to 9999 of a KQL datetime")
    return f"datetime({utc.tz_localize(None).isoformat(timespec='microseconds')}Z)"


def _timespan(value):
    if getattr(value, "nanoseconds", 0):
        raise UsageError(f"{value} is finer than the microseconds that both engines keep")
    micros = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    if abs(micros) * 10 >= 2**63:
        raise UsageError(f"{value} is longer than a KQL timespan, which counts 100 ns in 64 bits")
    seconds, micros_left = divmod(abs(micros), 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    sign = "-" if micros < 0 else ""
    return f"timespan({sign}{days}.{hours:02}:{minutes:02}:{seconds:02}.{micros_left:06})"


def _element(value):
    """Write what stands inside ``dynamic()``: JSON, with the escapes of `_string`."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_string(str(k))}:{_element(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_element(v) for v in value) + "]"
    kind = _kind(value)
    if kind == "real" and not math.isfinite(value):
        raise UsageError(f"{value!r} cannot stand in a dynamic value, which is JSON")
    if kind in ("string", "bool"):
        return _WRITERS[kind](value)
    if kind in ("long", "real"):
        return _WRITERS[kind](value).partition("(")[2][:-1]
    raise UsageError(f"{value!r} cannot stand in a dynamic value; write it as text")


_WRITERS = {
    "string": _string, "long": _long, "real": _real, "datetime": _datetime, "timespan": _timespan,
    "bool": lambda value: "true" if value else "false",
    "dynamic": lambda value: f"dynamic({_element(value)})",
}  # fmt: skip


def _datatable(frame):
    kinds = {}
    for name, dtype in frame.dtypes.items():
        letter = dtype.kind if hasattr(dtype, "kind") else "O"
        kind = {"M": "datetime", "m": "timespan", "i": "long", "u": "long", "f": "real", "b": "bool"}
        kinds[name] = kind.get(letter, "string")
        if not re.fullmatch(r"[A-Za-z_]\w*", str(name), re.ASCII):
            raise UsageError(f"{name!r} cannot name a column of a datatable; use letters, digits and _")
    head = ", ".join(f"{name}:{kind}" for name, kind in kinds.items())
    cells = (
        literal(None if not isinstance(v, (list, dict)) and pd.isna(v) else v, kind)
        for row in frame.itertuples(index=False)
        for v, kind in zip(row, kinds.values(), strict=True)
    )
    return f"datatable({head})[{','.join(cells)}]"


@dataclass(frozen=True)
class Held:
    """A frame that an engine on this machine holds as a table: to parse a long ``datatable`` takes longer than to run.

    Attributes
    ----------
    name : str
        Of the table.
    columns : tuple of str
    """

    name: str
    columns: tuple


def table_literal(name: object) -> str:
    """Write the name of a table, which no literal can stand for; what could end the brackets is refused."""
    if not isinstance(name, str) or not _TABLE.fullmatch(name):
        raise UsageError(f"{name!r} cannot be the name of a table; it has letters, digits, spaces and _ . - only")
    return f"['{name}']"


def columns_literal(names: object) -> str:
    """Write the values of some columns as one text; the digits of dates in a path count as one, as logs are rotated.

    Examples
    --------
    >>> print(columns_literal(["DeviceVendor", "DeviceProduct"]))
    strcat(tostring(['DeviceVendor']), " \\\\ ", tostring(['DeviceProduct']))
    >>> columns_literal([])
    '""'
    """
    cells = []
    for name in names if isinstance(names, list | tuple) else [names]:
        if not isinstance(name, str) or not _TABLE.fullmatch(name):
            raise UsageError(f"{name!r} cannot be the name of a column; it has letters, digits, spaces and _ . - only")
        cell = f"tostring(['{name}'])"
        cells.append(f'replace_regex({cell}, @"[0-9]{{4,}}([-_.]?[0-9]+)*", "#")' if name.endswith("Path") else cell)
    joined = r', " \\ ", '.join(cells)
    return f"strcat({joined})" if len(cells) > 1 else joined or '""'
