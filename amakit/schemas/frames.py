"""Frames from rows: the one pandas dtype of each KQL type."""

import functools
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from amakit.errors import AmakitError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_DTYPES = {
    "string": "str", "guid": "str", "datetime": "datetime64[us, UTC]", "timespan": "timedelta64[us]",
    "int": "Int64", "long": "Int64", "real": "float64", "decimal": "float64", "bool": "boolean",
    "dynamic": "object",
}  # fmt: skip


def frame_of(columns: "Mapping[str, ArrayLike]", types: Mapping[str, str]) -> pd.DataFrame:
    """Make a frame whose dtypes follow from the KQL types alone, so that both engines give equal frames.

    Parameters
    ----------
    columns : dict of str to array-like
        Values by column name; a missing value may be None, NaN, NaT or masked.
    types : dict of str to str
        KQL type by column name, in the order that the frame shall have.

    Returns
    -------
    pandas.DataFrame
        datetime as ``datetime64[us, UTC]``, timespan as ``timedelta64[us]``, int and long as ``Int64``,
        real as ``float64``, bool as ``boolean``, string and guid as ``str``, dynamic as Python values.  A
        string is never missing, only empty, as in KQL.

    Raises
    ------
    AmakitError
        When a value does not fit its type.

    Examples
    --------
    >>> frame_of({"n": [1, None]}, {"n": "long"}).dtypes["n"]
    Int64Dtype()
    """
    return pd.DataFrame({name: _cells(name, columns[name], kind) for name, kind in types.items()})


def no_rows(types: Mapping[str, str]) -> pd.DataFrame:
    """Make a frame of these columns that has no row.

    Examples
    --------
    >>> no_rows({"n": "long"})
    Empty DataFrame
    Columns: [n]
    Index: []
    """
    return _no_rows(tuple(types.items())).copy(deep=False)


@functools.lru_cache(maxsize=256)
def _no_rows(types):
    return frame_of({name: [] for name, _ in types}, dict(types))


def _cells(name, values, kind):
    """Give the cells of a column; those that are of their dtype already as they are."""
    dtype = _DTYPES.get(kind, "str")
    if not len(values):
        return pd.array([], dtype=dtype)
    if isinstance(values, pd.Series) and values.dtype == dtype and kind not in ("string", "dynamic"):
        return values.array
    values = _unmasked(values, kind)
    try:
        if kind == "datetime":
            return _instants(values)
        if kind == "timespan":
            values = [_timespan(v) for v in values] if not _is_time(values) else values
            return pd.Series(values, dtype="timedelta64[us]").array
        if kind == "dynamic":
            return pd.Series([_json(v) for v in values], dtype="object").array
        if kind in ("real", "decimal"):  # on the wire NaN and the infinities are words
            values = [np.nan if v is None else float(v) for v in values] if not _is_float(values) else values
        if isinstance(values, list):  # a list with None in it would become float64, which has no 64-bit integers
            values = pd.Series(values, dtype="object")
        return _text(values, kind) if dtype == "str" else pd.Series(values).astype(dtype).array
    except (ValueError, TypeError) as error:
        raise AmakitError(
            f"column {name!r} came as {kind}, but a value in it is not one: {str(error).splitlines()[0]}"
        ) from error


def _instants(values):
    """Make instants of times that know no zone, of such that do, or of their text."""
    if not _is_time(values):  # on the wire times count 100 ns, for which pandas knows too few years
        values = [re.sub(r"(\.\d{6})\d+", r"\1", v) if isinstance(v, str) else v for v in values]
        values = pd.to_datetime(values, utc=True, format="ISO8601")
    times = pd.DatetimeIndex(values)
    return (times.tz_localize("UTC") if times.tz is None else times.tz_convert("UTC")).as_unit("us").array


def _text(values, kind):
    """Make a column of text in which equal values are one object: whatever groups it compares them by identity."""
    codes, texts = pd.factorize(np.asarray(values, dtype="object"), use_na_sentinel=False)
    typed = pd.Series(texts).astype("str")
    typed = typed.fillna("") if kind == "string" else typed  # KQL has no null string, only an empty one
    return typed.array.take(codes)


def _unmasked(values, kind):
    """Turn DuckDB's masked arrays into plain ones with the missing value of their kind, and a column into its cells."""
    if not isinstance(values, np.ma.MaskedArray):
        return values.array if isinstance(values, pd.Series) else values
    mask, plain = np.ma.getmaskarray(values), np.asarray(values.data)
    if not mask.any():
        return plain
    if kind in ("datetime", "timespan"):
        return np.where(mask, np.array("NaT", dtype=plain.dtype), plain)
    if kind in ("real", "decimal"):
        return np.where(mask, np.nan, plain)
    if kind in ("int", "long"):
        return pd.arrays.IntegerArray(plain.astype("int64"), mask)
    cells: Any = plain.astype("object")
    return np.where(mask, None, cells)


def _is_time(values):
    return getattr(getattr(values, "dtype", None), "kind", "") in ("m", "M")


def _is_float(values):
    return getattr(getattr(values, "dtype", None), "kind", "") == "f"


def _json(value):
    if value is None or not isinstance(value, str):
        return value.tolist() if isinstance(value, np.ndarray) else value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):  # text, a number of thousands of digits, brackets by thousands
        return value


def _timespan(value):
    """Read ``[-][d.]hh:mm:ss[.fffffff]``, the form of a timespan on the wire."""
    if value is None or isinstance(value, pd.Timedelta):
        return value
    text = str(value)
    sign = -1 if text.startswith("-") else 1
    hours, minutes, seconds = text.lstrip("-").split(":")
    days, _, hours = hours.rpartition(".")
    micros = round(float(seconds) * 1_000_000)
    return sign * pd.Timedelta(days=int(days or 0), hours=int(hours), minutes=int(minutes), microseconds=micros)
