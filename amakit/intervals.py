"""Instants and half-open intervals ``[start, end)``, always in UTC."""

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from amakit.errors import UsageError


@dataclass(frozen=True)
class Window:
    """A stretch of time under analysis, ``[start, end)``: the start belongs to it, the end does not.

    Attributes
    ----------
    start, end : pandas.Timestamp
        In UTC, with microseconds.

    Examples
    --------
    >>> w = window("2026-03-01", "2026-03-02T12:00:00+09:00")
    >>> print(w)
    2026-03-01T00:00:00Z to 2026-03-02T03:00:00Z
    >>> w.seconds
    97200.0
    """

    start: pd.Timestamp
    end: pd.Timestamp

    def __str__(self) -> str:
        return f"{iso(self.start)} to {iso(self.end)}"

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return (self.end - self.start).total_seconds()

    def slices(self, days: int = 15) -> "list[Window]":
        """Cut the window into parts of at most so many days, each of which begins where the last one ended.

        The cuts fall on midnight UTC, so that a day is never shared by two parts.

        Parameters
        ----------
        days : int
            The longest part.  Log Analytics calls queries over more than 15 days excessive.

        Returns
        -------
        list of Window

        Examples
        --------
        >>> [str(s) for s in window("2026-03-01T06:00Z", "2026-03-20").slices(15)]
        ['2026-03-01T06:00:00Z to 2026-03-16T00:00:00Z', '2026-03-16T00:00:00Z to 2026-03-20T00:00:00Z']
        """
        parts, start = [], self.start
        while start < self.end:
            end = min(start.normalize() + pd.Timedelta(days=days), self.end)
            parts.append(Window(start, end))
            start = end
        return parts


def covered(start: pd.Timestamp, end: pd.Timestamp, intervals: Iterable[tuple[pd.Timestamp, pd.Timestamp]]) -> float:
    """Count the seconds of ``[start, end)`` that intervals cover, once where they overlap.

    Parameters
    ----------
    start, end : pandas.Timestamp
    intervals : iterable of (pandas.Timestamp, pandas.Timestamp)

    Returns
    -------
    float

    Examples
    --------
    >>> day = window("2026-03-01", "2026-03-02")
    >>> noon = day.start + pd.Timedelta(hours=12)
    >>> covered(day.start, noon, [(day.start, day.end), (noon, day.end)])
    43200.0
    """
    total, reached = pd.Timedelta(0), start
    for since, until in sorted(intervals):
        since, until = max(since, reached), min(until, end)
        if until > since:
            total, reached = total + (until - since), until
    return total.total_seconds()


def without(
    start: pd.Timestamp, end: pd.Timestamp, intervals: Iterable[tuple[pd.Timestamp, pd.Timestamp]]
) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    """Give what intervals leave of ``[start, end)``, in order.

    Examples
    --------
    >>> day = window("2026-03-01", "2026-03-02")
    >>> hours = [day.start + pd.Timedelta(hours=n) for n in (6, 9, 12)]
    >>> [(a.hour, b.hour) for a, b in without(day.start, hours[2], [(hours[0], hours[1])])]
    [(0, 6), (9, 12)]
    """
    left = []
    for since, until in sorted(intervals):
        if until > start and since < end:
            left += [(start, since)] if since > start else []
            start = max(start, until)
    return [*left, (start, end)] if start < end else left


def reached_before(frame: pd.DataFrame, by: list[str], start: str, end: str) -> pd.Series:
    """Find how far the intervals of a group had reached before each of them began.

    Parameters
    ----------
    frame : pandas.DataFrame
        One interval per row, in any order; its index has no value twice.
    by : list of str
        Columns that name the group.
    start, end : str
        Columns of the interval's ends.

    Returns
    -------
    pandas.Series
        On the index of ``frame``: the latest end of the intervals of the same group that stand before this one in the
        order of start, then end; missing for the first.

    Examples
    --------
    >>> frame = pd.DataFrame({"machine": "a", "start": [1, 2, 7], "end": [5, 3, 8]})
    >>> reached_before(frame, ["machine"], "start", "end").tolist()
    [nan, 5.0, 5.0]
    """
    ordered = frame.sort_values([*by, start, end], kind="stable")
    keys = [ordered[key] for key in by]
    return ordered[end].groupby(keys).cummax().groupby(keys).shift().reindex(frame.index)


def middles(outages: pd.DataFrame, horizon: "pd.Timestamp | pd.Series") -> tuple[pd.Series, pd.Series]:
    """Give the middles of the brackets in which outages began and ended; the horizon for those that go on.

    Examples
    --------
    >>> t = pd.to_datetime(["2026-03-02 10:00", "2026-03-02 10:02", None], utc=True)
    >>> row = pd.DataFrame({"start_earliest": t[:1], "start_latest": t[1:2], "end_earliest": t[2:],
    ...     "end_latest": t[2:]})
    >>> [str(column.iloc[0]) for column in middles(row, t[1])]
    ['2026-03-02 10:01:00+00:00', '2026-03-02 10:02:00+00:00']
    """
    begin = outages["start_earliest"] + (outages["start_latest"] - outages["start_earliest"]) / 2
    end = outages["end_earliest"] + (outages["end_latest"] - outages["end_earliest"]) / 2
    return begin, end.fillna(horizon)


def coalesce(frame: pd.DataFrame, by: list[str], start: str, end: str, touching: bool = True) -> pd.Series:
    """Number the intervals so that those of a group that overlap have one number: their union is one interval.

    Parameters
    ----------
    frame, by, start, end
        As `reached_before` takes them.
    touching : bool
        Whether an interval that begins where another ends belongs to it.

    Returns
    -------
    pandas.Series of int
        On the index of ``frame``; a number belongs to one group only, and they rise with group and start.

    Examples
    --------
    >>> frame = pd.DataFrame({"machine": "a", "start": [1, 2, 5], "end": [5, 3, 8]})
    >>> coalesce(frame, ["machine"], "start", "end").tolist()
    [1, 1, 1]
    >>> coalesce(frame, ["machine"], "start", "end", touching=False).tolist()
    [1, 1, 2]
    """
    ordered = frame.sort_values([*by, start, end], kind="stable")
    reached = reached_before(ordered, by, start, end)
    joined = ordered[start] <= reached if touching else ordered[start] < reached
    return (~joined).cumsum().reindex(frame.index)


def instant(value: str | dt.datetime, name: str = "time") -> pd.Timestamp:
    """Read an instant; one without a zone is UTC.

    Parameters
    ----------
    value : str, datetime or pandas.Timestamp
        ISO 8601, as ``2026-03-01`` or ``2026-03-01T08:21:01.494Z``.
    name : str
        What the value is called, for the error.

    Returns
    -------
    pandas.Timestamp
        In UTC, with microseconds.

    Raises
    ------
    UsageError
        When the value is no instant.

    Examples
    --------
    >>> instant("2026-03-01T09:00+09:00")
    Timestamp('2026-03-01 00:00:00+0000', tz='UTC')
    >>> instant("yesterday", "start")
    Traceback (most recent call last):
    amakit.errors.UsageError: start 'yesterday' is not a time; write it as 2026-03-01 or 2026-03-01T08:30:00Z
    """
    # pandas would take "now" as well, which no second run could repeat, and "2026-01-02-03" for three o'clock
    written = _iso_text(value) if isinstance(value, str) else value if isinstance(value, dt.date) else None
    read = pd.to_datetime(written, utc=True, errors="coerce") if written else pd.NaT
    if pd.isna(read):
        raise UsageError(f"{name} {str(value)!r} is not a time; write it as 2026-03-01 or 2026-03-01T08:30:00Z")
    return read.as_unit("us")


#: A date of ISO 8601, by itself or with a time of day and its zone.
_ISO = re.compile(
    r"\d{4}-\d\d-\d\d|\d{8}|(\d{4}-\d\d-\d\d|\d{8})[T ]\d\d(:?\d\d(:?\d\d([.,]\d+)?)?)?(Z|[+-]\d\d(:?\d\d)?)?",
    re.IGNORECASE,
)


def _iso_text(text):
    """Give a text as pandas reads it if it is ISO 8601, where a blank before the zone and "UTC" for "Z" do no harm."""
    text = re.sub(r"\s*UTC$", "Z", re.sub(r"\s+(?=[-+Z]|UTC$)", "", text.strip()))
    return text.replace(",", ".") if _ISO.fullmatch(text) else None


def window(start: str | dt.datetime, end: str | dt.datetime) -> "Window":
    """Make the half-open window from two instants.

    Parameters
    ----------
    start, end : str, datetime or pandas.Timestamp
        See `instant`.

    Returns
    -------
    Window

    Raises
    ------
    UsageError
        When either is no instant, or the end is not after the start.

    Examples
    --------
    >>> window("2026-03-02", "2026-03-01")
    Traceback (most recent call last):
    amakit.errors.UsageError: end 2026-03-01T00:00:00Z is not after start 2026-03-02T00:00:00Z; a window \
needs an end that is later
    """
    start, end = instant(start, "start"), instant(end, "end")
    if end <= start:
        raise UsageError(f"end {iso(end)} is not after start {iso(start)}; a window needs an end that is later")
    return Window(start, end)


def iso(when: dt.datetime) -> str:
    """Write an instant as ISO 8601 in UTC with ``Z``; fractions of a second only where there are any.

    Examples
    --------
    >>> iso(instant("2026-03-01T09:00:00.25+09:00"))
    '2026-03-01T00:00:00.250000Z'
    >>> iso(pd.NaT)
    ''
    """
    if pd.isna(when):
        return ""
    when = pd.Timestamp(when).tz_convert("UTC")
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if when.microsecond else "%Y-%m-%dT%H:%M:%SZ")


def isos(times: pd.Series) -> list[str]:
    """Write the instants of a column as `iso` does, all at once.

    Examples
    --------
    >>> isos(pd.Series(pd.to_datetime(["2026-03-01T09:00:00.25+09:00", None], utc=True)))
    ['2026-03-01T00:00:00.250000Z', '']
    """
    told = np.datetime_as_string(times.dt.tz_convert(None).dt.as_unit("us").to_numpy())
    return ["" if one == "NaT" else one.removesuffix(".000000") + "Z" for one in told.tolist()]
