"""A workspace of logs: one face over the embedded engine and over a service, which proves that each answer is whole.

One file, as it is one class: most of its lines say what each of its answers means.
"""

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, cast

import pandas as pd

from amakit.errors import AmakitError, Refused, Unanswered, UsageError, nearest
from amakit.intervals import instant
from amakit.kql import catalog
from amakit.schemas import RECEIVED, STANDARD, no_rows, tables
from amakit.service.retry import Patience, together
from amakit.source.questions import Question, given_up
from amakit.source.records import Record, record_of, shown

if TYPE_CHECKING:
    from amakit.service.engine import Engine
    from amakit.service.transport import Auto
    from amakit.source.files import LocalEngine

_LOG = logging.getLogger("amakit")
#: What of the control plane may lie in a folder beside a service.
BESIDE = ("AgentInventory", "AzureActivity")
#: Rows of Log Analytics that are older come late no more.
CLOSED = pd.Timedelta(days=2)


class Workspace:
    """Tables of logs that answer KQL, wherever they are.  Made by `connect`.

    Attributes
    ----------
    name : str
        What was given to `connect`.
    kind : str
        ``demo``, ``folder``, ``duckdb`` or ``kusto``.
    synthetic : bool
        Whether the data was made by ``amakit demo``; then everything shown must say so.
    log : list of Record
        Every query so far.
    unknown : list of dict, or None
        Where what cannot be fetched is noted: start, end, table and reason.  None when it is to be a failure.
    hidden : dict of str to str, or None
        Tables that this user may not read, and why, where that is no failure; see `leaving_out`.
    patience : amakit.service.retry.Patience
        How long the service is asked again.
    taken : dict or None
        The manifest of a snapshot: what it was taken of.
    beside : Workspace or None
        A folder with tables of the control plane: those of `BESIDE` that it has are read there, by packaged queries.
    """

    #: Whether something stayed unknown, so that what else is not answered is not asked long.
    worn = False
    #: Called with the records of the queries that were answered, as they come; a notebook shows them.
    watched: Callable[[list[Record]], object] | None = None

    def __init__(
        self,
        name: str,
        kind: str,
        engine: "LocalEngine | Engine | Auto",
        synthetic: bool = False,
        taken: dict | None = None,
        beside: "Workspace | None" = None,
    ) -> None:
        self.name, self.kind, self.synthetic, self.taken, self.beside = name, kind, synthetic, taken, beside
        self.log: list[Record] = []
        self.unknown: list[dict] | None = None
        self.hidden: dict | None = None
        self.patience = Patience()
        self._engine, self._bar = engine, None

    def __repr__(self) -> str:
        return self._display().text()

    def _repr_html_(self):
        return self._display().html()

    def _display(self):
        from amakit.lab.display import of_workspace  # the one import upwards: a repr is words

        return of_workspace(self, shown(self.name))

    def __enter__(self) -> "Workspace":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def members(self) -> "tuple[Workspace, ...]":
        """The workspaces that it is made of: itself; see `amakit.source.workspaces.Workspaces`."""
        return (self,)

    @property
    def tables(self) -> list[str]:
        """Names of the tables, sorted."""
        own = self._patiently("the list of its tables", self._engine.tables)
        return sorted({*own, *self._aside}) if self._aside else own

    @property
    def _aside(self) -> set[str]:
        """The tables that are read in the folder beside it."""
        return set(BESIDE) & set(self.beside.tables) if self.beside else set()

    def holder(self, table: str) -> "Workspace":
        """Give the workspace in which a table is read: the folder beside it for some of the control plane."""
        return cast("Workspace", self.beside) if table in self._aside else self

    @property
    def cloud(self) -> str:
        """The cloud of its machines: that of the service, for files what the environment says; empty if not known."""
        if self.kind == "kusto":
            return self._engine.cloud  # type: ignore[union-attr]
        from amakit.service.sign_in.clouds import cloud_of

        try:
            return cloud_of(os.environ.get("AMAKIT_CLOUD", ""))
        except UsageError:  # an authority of one's own
            return ""

    @property
    def known(self) -> dict[str, dict[str, str]]:
        """KQL type of each column of each table, as far as it is known without asking: of a service what was asked."""
        return self._engine.known()

    def extent(self, table: str) -> tuple[int | None, datetime | None, datetime | None]:
        """Tell the extent of a table, as far as it costs next to nothing.

        Parameters
        ----------
        table : str

        Returns
        -------
        tuple of (int, datetime, datetime)
            Rows, first and last TimeGenerated in UTC.  None for what would have to be read: of a service all three, of
            text that no query has read yet, and the instants of a large table.
        """
        return self._engine.extent(table)

    @property
    def live(self) -> bool:
        """Whether it is a workspace of Log Analytics, whose rows come in all the time."""
        return self._engine.log_analytics

    def state(self, end: str | datetime | None) -> str:
        """Tell states of the data apart, as far as that can be done without reading it.

        Parameters
        ----------
        end : str, datetime or None
            Where the window ends.

        Returns
        -------
        str
            The same text for the same data: of files by path, size, time, first and last bytes, of a workspace of Log
            Analytics by its name once the window has been over for two days.  Empty where nothing tells.
        """
        over = self.live and end and instant(end) < pd.Timestamp.now("UTC") - CLOSED
        state = self._engine.state() if self._local or over else ""
        return f"{state} {self.beside.state(end)}" if state and self.beside else state

    @property
    def _local(self) -> "LocalEngine | None":
        return None if self.kind == "kusto" else cast("LocalEngine", self._engine)

    @property
    def refused(self) -> dict[str, str]:
        """Tables whose files cannot be read, and why: missing evidence.  Of a service none."""
        return self._local.refused() if self._local else {}

    @property
    def unread(self) -> dict[str, str]:
        """Files of a folder that make no table, and why."""
        return self._local.unread() if self._local else {}

    @property
    def notes(self) -> list[str]:
        """What whoever reads the answers of a service must know of how they came: by which way, and what is hidden."""
        return [] if self._local else list(cast("Engine", self._engine).notes)

    @property
    def client(self) -> str:
        """The package that asks: the embedded engine, or the official client of a service."""
        return "duckdb-kql" if self._local else cast("Engine", self._engine).package

    def files(self, table: str) -> list[tuple[str, str]]:
        """Files of a table, each with the form that was recognised; of a service none."""
        return self._local.files(table) if self._local else []

    def given(self, table: str) -> set[str]:
        """Columns that at least one file of a table has; the others are null."""
        return self._local.given(table) if self._local else set(self.columns(table))

    def rows_by_file(self, table: str) -> dict[str, int]:
        """Rows of each file of a table, by its path; see `amakit.exports.table_files.limit_of`.  Of a service none."""
        return self._local.rows_by_file(table) if self._local else {}

    def columns(self, table: str) -> dict[str, str]:
        """KQL type of each column of a table.

        Raises
        ------
        UsageError
            When there is no such table.
        """
        if table not in self.tables:
            if table in self.refused:
                raise AmakitError(self.refused[table])
            raise UsageError(f"there is no table {table!r} here; {nearest(table, self.tables)}")
        if table in self._aside:
            return self.beside.columns(table)  # type: ignore[union-attr]
        try:
            found = self._patiently(f"the columns of {table}", partial(self._engine.columns, table))
            # without it a machine has no id
            return found | ({"_ResourceId": "string"} if self._unlisted(table, "_ResourceId", found) else {})
        except AmakitError as error:
            self._leave_out(table, error)
            return {}

    def query(self, kql: str) -> pd.DataFrame:
        """Run any KQL.

        Parameters
        ----------
        kql : str
            The query.  The embedded engine knows a large part of KQL and refuses the rest.

        Returns
        -------
        pandas.DataFrame
            Columns as the query gives them; times in UTC with microseconds.

        Raises
        ------
        AmakitError
            When it cannot be run, or a service gives no whole answer.

        Notes
        -----
        A service is first asked for the number of rows; an answer with fewer is not taken.

        Examples
        --------
        >>> from amakit import connect
        >>> with connect("demo") as ws:
        ...     ws.query("Heartbeat | where Category == 'Azure Monitor Agent' | summarize Machines = dcount(Computer)")
           Machines
        0        39
        """
        begun, errors = time.perf_counter(), []
        frame = self._patiently("the query", partial(self._proved, kql), errors)
        self._note([record_of("", kql, frame, begun, len(errors))])
        return frame

    def ask(self, name: str | catalog.Query, **values: object) -> pd.DataFrame:
        """Run a packaged query.

        Parameters
        ----------
        name : str
            Which query.
        **values
            One for each of its parameters.

        Returns
        -------
        pandas.DataFrame
            The columns that the query's head names.

        Raises
        ------
        AmakitError
            When a table that it reads is not there, or the query cannot be run.
        """
        return self.ask_all(name, [values])[0]

    def ask_all(self, name: str | catalog.Query, several: Iterable[dict]) -> list[pd.DataFrame]:
        """Run a packaged query for several sets of values, side by side where the engine can.

        Parameters
        ----------
        name : str or amakit.kql.catalog.Query
            Which query.
        several : iterable of dict
            The values for each run.

        Returns
        -------
        list of pandas.DataFrame
            One for each set of values.  One that a service could not give in one piece was put together from
            smaller ones, the rows as from shorter slices of time.

        Raises
        ------
        AmakitError
            When a table that it reads is not there, or the query cannot be run.
        """
        wanted = catalog.query(name)
        several, nothing = list(several), no_rows(wanted.returns)
        table = catalog.table_of(wanted, several)
        if table in self._aside:
            return self._asked_aside(wanted, several)
        if self.hidden is None:
            answers = self._answers(wanted, several)
        else:
            try:
                answers = [(nothing, [])] * len(several) if table in self.hidden else self._answers(wanted, several)
            except Refused as error:
                self._leave_out(table, error)
                answers = [(nothing, [])] * len(several)
        self._note([record for _, records in answers for record in records])
        return [frame for frame, _ in answers]

    def _asked_aside(self, wanted, several):
        beside = cast("Workspace", self.beside)
        begun = len(beside.log)
        answers = beside.ask_all(wanted, several)
        self._note(beside.log[begun:])
        return answers

    def _leave_out(self, table, error):
        """Go on without a table that is refused, or of which nothing can be known where that is allowed."""
        unknown = self.unknown is not None and isinstance(error.__cause__, Unanswered)
        if self.hidden is None or not (isinstance(error, Refused) or unknown):
            raise error
        if table == "Heartbeat":
            raise type(error)(f"{error}; Heartbeat is the one table that an analysis cannot do without") from error
        self.hidden[table] = str(error).replace(self.name, "the workspace")  # as others may see it

    def _unlisted(self, table, column, found):
        """Whether a table has a standard column that the list of its columns leaves out."""
        if not self.live or column in found or column not in STANDARD:
            return False
        engine = cast("Engine", self._engine)
        return self._patiently(f"the column {column} of {table}", partial(engine.has, table, column))

    def _answers(self, wanted, several):
        asked = [partial(self._asked, wanted, values, *self._lacking(wanted, values)) for values in several]
        return together(asked, self._engine.at_once)

    def _asked(self, wanted, values, lacking, table, still):
        return Question(self, self._engine, wanted, values, lacking, table, still).answer()

    def total(self) -> str:
        """Say in one line what all queries so far cost.

        Examples
        --------
        >>> from amakit import connect
        >>> with connect("demo") as ws:
        ...     _ = ws.query("Heartbeat | take 2")
        ...     ws.total().split(",")[:2]
        ['1 query', ' 2 rows']
        """
        rows, size, seconds, retries = (
            sum(getattr(record, column) for record in self.log) for column in ("rows", "bytes", "seconds", "retries")
        )
        asked = "1 query" if len(self.log) == 1 else f"{len(self.log):,} queries"
        again = "1 retry" if retries == 1 else f"{retries:,} retries"
        return f"{asked}, {rows:,} rows, {size / 1e6:,.1f} MB, {seconds:,.1f} s, {again}"

    @contextmanager
    def leaving_out(self, allowed: bool = True) -> Iterator[list[dict]]:
        """Note what cannot be fetched, for as long as this context lasts, instead of giving up.

        A table other than Heartbeat that this user may not read has no rows meanwhile; ``hidden`` says why.

        Parameters
        ----------
        allowed : bool
            Whether what gave no whole answer is left out at all.

        Yields
        ------
        list of dict
            start, end, table and reason of everything that stayed unknown so far.
        """
        noted: list[dict] = []
        before = self.unknown, self.hidden
        self.unknown, self.worn, self.hidden = noted if allowed else None, False, {}
        try:
            yield noted
        finally:
            self.unknown, self.hidden = before

    def proof(self) -> Iterator[tuple[str, str]]:
        """Prove the way to the data step by step; see `amakit.service.engine.Engine.proof`.  Files need none."""
        return iter(()) if self._local else cast("Engine", self._engine).proof()

    def rest(self) -> None:
        """Take the progress bar away; nothing is asked for a while."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def close(self) -> None:
        """Let go of files and connections."""
        self.rest()
        self._engine.close()
        if self.beside:
            self.beside.close()

    # -- asking a service -----------------------------------------------------------------------------------

    def _lacking(self, wanted, values):
        """Give the columns that the tables of a query do not have, and the table that it is about."""
        lacking = {}
        stand_in = next((key for key, (kind, _) in wanted.parameters.items() if kind == "table"), None)
        for reads, columns in wanted.reads.items():
            table = values.get(stand_in, reads)
            if table in self.refused:
                raise AmakitError(self.refused[table])
            if table not in self.tables:
                raise AmakitError(f"{self.name} has no table {table}; it holds {', '.join(self.tables) or 'nothing'}")
            present = self.columns(table)
            if self.hidden and table in self.hidden:
                raise Refused(self.hidden[table])
            if self.live:
                present = present | RECEIVED  # every table of Log Analytics has it, but hides it from its schema
            missing = {
                c: tables()[reads][c] for c in columns if c not in present and not self._unlisted(table, c, present)
            }
            if missing:
                lacking[table] = missing
        return lacking, table

    def _proved(self, kql):
        """Ask a query of the user's own, whose text and order of rows are left as they are."""
        if self.kind != "kusto":
            return self._engine.run(kql)
        plain = re.sub(r"\|\s*render\s[^|]*$", "", kql.rstrip().rstrip(";"))
        try:
            counted = self._engine.run(f"{plain}\n| count")
        except Unanswered:
            raise
        except AmakitError:  # what cannot be counted may still be asked; else it says itself why not
            counted = pd.DataFrame({"Count": [0]})
        if len(counted) != 1:
            raise Unanswered("it counted nothing")
        frame, expected = self._engine.run(kql), counted.iloc[0, 0]
        if len(frame) < expected:  # more have come in since, perhaps
            raise Unanswered(f"{len(frame)} rows came of {expected}", large="rows")
        return frame

    def _patiently(self, what, ask, errors=None):
        errors = [] if errors is None else errors
        try:
            return self.patience.call(ask, retried=errors.append)
        except Unanswered as error:
            raise given_up(self.name, what, error, len(errors) + 1) from error

    def _note(self, records):
        self.log += records
        if records and self.watched is not None:
            self.watched(records)
        if self.kind != "kusto":
            return
        if self._bar is None and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(unit=" queries", leave=False, file=sys.stderr)
        for record in records:
            if self._bar is not None:
                self._bar.set_description(record.name or "query")
                self._bar.update()
            else:
                name, rows, seconds, again = record.name or "query", record.rows, record.seconds, record.retries
                _LOG.info("%s: %s rows in %.1f s, %s retries", name, f"{rows:,}", seconds, again)
