"""Several workspaces as one: a packaged query is asked of each, and what they answer about one machine is united."""

import copy
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import NoReturn

import pandas as pd

from amakit.errors import UsageError, nearest
from amakit.intervals import coalesce
from amakit.kql import catalog
from amakit.source.records import Record, labels
from amakit.source.workspace import BESIDE, Workspace

_MACHINE = ["ResourceId", "Computer"]
#: What tells the rows of counted heartbeats apart, by the packaged query that gives them.
_COUNTED = {
    "heartbeat_days": [*_MACHINE, "Agent", "Version", "Day"],
    "heartbeat_hours": [*_MACHINE, "Agent", "Version", "Hour"],
}


class Workspaces(Workspace):
    """Several workspaces that are analysed as one.  Made by `connect`.

    It answers the packaged queries that an analysis asks about machines.  A sample counts as delivered if any of the
    workspaces has it, once.

    Attributes
    ----------
    labels : tuple of str
        What each of them is called where they must be told apart; see `amakit.source.records.labels`.
    log : list of Record
        Every query so far.

    Examples
    --------
    >>> from amakit import connect
    >>> connect(["demo", "demo"]).kind
    'demo'
    """

    def __init__(self, members: Sequence[Workspace], called: Sequence[str] = ()) -> None:
        self._members = tuple(members)
        self.labels = tuple(called) or tuple(labels([member.name for member in members]))
        self.name, self.kind, self.taken, self.beside = ", ".join(self.labels), "several", None, None
        self.synthetic = any(member.synthetic for member in members)
        self.log: list[Record] = []
        self.unknown = None

    def __repr__(self) -> str:
        return "\n".join(map(repr, self.members))

    def _repr_html_(self):
        return "".join(member._repr_html_() for member in self.members)

    @property
    def members(self) -> tuple[Workspace, ...]:
        """The workspaces that it is made of."""
        return self._members

    def of(self, numbers: Iterable[int]) -> Workspace:
        """Give some of them, by number, as one: tables of the control plane are read in all, whoever keeps them."""
        numbers = list(numbers)
        if len(numbers) == 1:
            only = copy.copy(self.members[numbers[0]])
            only.beside, only.log = self, []
            return only
        some = Workspaces([self.members[n] for n in numbers], [self.labels[n] for n in numbers])
        some.beside = self
        return some

    @property
    def tables(self) -> list[str]:
        """Names of the tables that any of them has, sorted."""
        return sorted({*self._aside, *(table for member in self.members for table in member.tables)})

    def columns(self, table: str) -> dict[str, str]:
        """KQL type of each column that a table has in any of them."""
        if table in self._aside:
            return self.beside.columns(table)  # type: ignore[union-attr]
        having = [member for member in self.members if table in member.tables]
        if not having:
            raise UsageError(f"there is no table {table!r} in {self.name}; {nearest(table, self.tables)}")
        return {column: kind for member in having for column, kind in member.columns(table).items()}

    @property
    def cloud(self) -> str:
        """The cloud of their machines; empty where they are in different ones."""
        clouds = {member.cloud for member in self.members}
        return clouds.pop() if len(clouds) == 1 else ""

    @property
    def live(self) -> bool:
        """Whether rows come in all the time in any of them."""
        return any(member.live for member in self.members)

    @property
    def refused(self) -> dict[str, str]:
        """Tables that cannot be read where they are, and that no other of them has."""
        told = {table: why for member in self.members for table, why in member.refused.items()}
        return {table: why for table, why in told.items() if table not in self.tables}

    @property
    def unread(self) -> dict[str, str]:
        """Files that make no table, and why."""
        return {file: why for member in self.members for file, why in member.unread.items()}

    @property
    def hidden(self) -> dict[str, str] | None:  # type: ignore[override]
        """Tables that may not be read in any of those that have them, and why."""
        if all(member.hidden is None for member in self.members):
            return None
        told = {table: why for member in self.members for table, why in (member.hidden or {}).items()}
        having = {table: [m for m in self.members if table in m.tables] for table in told}
        return {table: why for table, why in told.items() if all(table in (m.hidden or {}) for m in having[table])}

    @property
    def notes(self) -> list[str]:
        """What is to be known of how the answers of their services came."""
        return list(dict.fromkeys(note for member in self.members for note in member.notes))

    def state(self, end: str | datetime | None) -> str:
        """Tell states of the data apart; see `Workspace.state`."""
        states = [member.state(end) for member in self.members]
        return os.linesep.join(states) if all(states) else ""

    def query(self, kql: str) -> NoReturn:
        """Refuse a query of the user's own: its tables would have to be one table each.

        Raises
        ------
        UsageError
            Always.
        """
        raise UsageError(f"a query is asked of one workspace, and these are {self.name}; name the one that is meant")

    def ask_all(self, name: str | catalog.Query, several: Iterable[dict]) -> list[pd.DataFrame]:
        """Run a packaged query for several sets of values on each workspace that has the table, and unite the answers.

        Parameters
        ----------
        name : str or amakit.kql.catalog.Query
            Which query.
        several : iterable of dict
            The values for each run.

        Returns
        -------
        list of pandas.DataFrame
            One for each set of values; see `united`.
        """
        wanted, several = catalog.query(name), list(several)
        table = catalog.table_of(wanted, several)
        if wanted.name == "heartbeat_hours":  # a day that is whole in one need not be in another
            several = [one | {"windows": one["windows"].assign(Interval=float("nan"))} for one in several]
        members = self.beside.members if self.beside and table in BESIDE else self.members
        having = [member for member in members if table in member.tables] or list(members[:1])
        answers = []
        for member in having:
            begun = len(member.log)
            answers.append(member.ask_all(wanted, several))
            self.log += member.log[begun:]
        found = [united(wanted.name, list(frames)) for frames in zip(*answers, strict=True)]
        if wanted.name == "heartbeat_late" and len(having) > 1:
            found = [self._late_everywhere(*pair) for pair in zip(found, several, strict=True)]
        return found

    def _late_everywhere(self, late, values):
        """Keep the late heartbeats that no other workspace received sooner."""
        if late.empty:
            return late
        tick = pd.Timedelta(microseconds=1)
        windows = late.groupby(_MACHINE, as_index=False)["TimeGenerated"].agg(Start="min", End="max")
        windows = windows.assign(End=windows["End"] + tick)
        ends = {"start": windows["Start"].min(), "end": windows["End"].max()}
        first = self.ask("heartbeat_rows", **ends, windows=windows)[[*_MACHINE, "TimeGenerated", "Received"]]
        return late.merge(first.drop_duplicates())

    @contextmanager
    def leaving_out(self, allowed: bool = True) -> Iterator[list[dict]]:
        """Note what cannot be fetched of any of them instead of giving up; see `Workspace.leaving_out`."""
        noted: list[dict] = []
        with ExitStack() as stack:
            for member in self.members:
                stack.enter_context(member.leaving_out(allowed))
                member.unknown = noted if allowed else None
            stack.callback(setattr, self, "unknown", None)
            self.unknown = noted if allowed else None
            yield noted

    def rest(self) -> None:
        """Take the progress bars away."""
        for member in self.members:
            member.rest()

    def close(self) -> None:
        """Let go of files and connections."""
        for member in self.members:
            member.close()


def together(workspaces: Sequence[Workspace]) -> Workspace:
    """Make one of several workspaces that are open.

    Raises
    ------
    UsageError
        When there is none.
    """
    members = list(dict.fromkeys(member for workspace in workspaces for member in workspace.members))
    if not members:
        raise UsageError("no workspace is given; open one with amakit.connect")
    return members[0] if len(members) == 1 else Workspaces(members)


def united(name: str, frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Unite what several workspaces answer to one packaged query.

    Rows are told once.  Of heartbeats that were counted by the day or the hour, the fullest count stands for all, with
    the first and the last beat of any: where they are not those of one workspace that lacks nothing, too few beats are
    counted between them, so that the hour, or the single beat, is asked for.

    Parameters
    ----------
    name : str
        Of the packaged query.
    frames : sequence of pandas.DataFrame
        The answers.

    Returns
    -------
    pandas.DataFrame

    Examples
    --------
    >>> t = pd.date_range("2026-03-02", periods=3, freq="min", tz="UTC")
    >>> hour = {"ResourceId": "", "Computer": "a", "Agent": "s", "Version": "1", "Hour": t[:1]}
    >>> one = pd.DataFrame(hour | {"FirstBeat": t[:1], "LastBeat": t[1:2], "Beats": 2, "Whole": False})
    >>> united("heartbeat_hours", [one, one.assign(LastBeat=t[2], Beats=1)])[["LastBeat", "Beats"]].values.tolist()
    [[Timestamp('2026-03-02 00:02:00+0000', tz='UTC'), 2]]
    """
    filled = [frame for frame in frames if len(frame)]
    if len(filled) < 2:
        return filled[0] if filled else frames[0]
    rows = pd.concat(filled, ignore_index=True)
    if keys := _COUNTED.get(name):
        first, last, *sums = (c for c in ("FirstBeat", "LastBeat", "Beats", "Offset") if c in rows)
        least = [column for column in ("Delay", "Least") if column in rows]
        return _without_copies(rows, keys, first, last, sums, least)
    if name.endswith("_streams"):
        return _without_copies(rows, [*_MACHINE, "Stream"], "First", "Last", ["Samples"])
    if "Received" in rows:
        keys = [column for column in rows if column != "Received"]
        return rows.sort_values("Received").drop_duplicates(keys, ignore_index=True)
    return rows.drop_duplicates(ignore_index=True)


def _without_copies(rows, keys, first, last, sums, least=()):
    """Unite counts of samples: those of one time are of the same samples, of which the fullest is kept."""
    stretch = coalesce(rows, keys, first, last)
    ordered = rows.assign(stretch=stretch).sort_values(["stretch", sums[0], first], ascending=[True, False, True])
    ends = ordered.groupby("stretch").agg({first: "min", last: "max"} | dict.fromkeys(least, "min"))
    fullest = ordered.drop_duplicates("stretch").set_index("stretch").assign(**{c: ends[c] for c in ends})
    whole = {first: "min", last: "max"} | dict.fromkeys(sums, "sum") | dict.fromkeys(least, "min")
    whole |= {column: "first" for column in rows if column not in {*keys, *whole}}
    return fullest.groupby(keys, as_index=False, sort=False).agg(whole)[list(rows)]
