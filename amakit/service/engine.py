"""One honest attempt to ask a service: a whole answer, or an error that says whether to ask again, or for less.

What the two ways of asking share; how each of them asks is in `amakit.service.kusto` and `amakit.service.logs`, and
`amakit.service.retry` decides what is made of an error.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pandas as pd

from amakit.errors import Absent, AmakitError, Refused, Unanswered
from amakit.kql.catalog import counted
from amakit.schemas import frame_of, public_tables
from amakit.service.retry import apart, pace, together
from amakit.service.sign_in.credentials import (
    CachedCredential,
    exception_chain,
    first_line,
    not_signed_in,
    without_secrets,
)

#: At most so many queries at once; Log Analytics lets a user have five.
AT_ONCE = 4
#: After so many seconds the answer to one request is waited for no longer: ten minutes is the service's own limit.
DEADLINE = 660.0
#: An answer that lost rows and has fewer than this was not cut at a cap; to ask for less would not help.
FEW = 50
#: Where no catalogue answers, these have rows of late; of the others that the kit knows each is asked for.
_USAGE = "Usage | where TimeGenerated > ago(30d) | distinct DataType"


class Engine(ABC):
    """KQL against a service, through an official client; each call is one attempt.

    Attributes
    ----------
    log_analytics : bool
        Whether its rows are those of Log Analytics, not of a cluster or a server on this machine.
    scope : str
        For what tokens are asked; empty where nobody signs in.
    package : str
        The official client.
    notes : list of str
        What whoever reads the answers must know of how they came.
    """

    at_once = AT_ONCE
    log_analytics = True
    scope = ""
    package = ""
    _state = ""

    def __init__(self, workspace: str, credential: CachedCredential | None) -> None:
        self._workspace, self._credential = workspace, credential
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._making, self._made, self._reached = threading.Lock(), None, False
        self._names: list[str] | None = None
        self._columns: dict[str, dict[str, str]] = {}
        self._beside: dict[tuple[str, str], bool] = {}
        self.notes: list[str] = []

    # -- what each way does in its own way ------------------------------------------------------------------

    @abstractmethod
    def _answer(self, kql: str) -> tuple[dict[str, str], list]:
        """Ask once; give the KQL type of each column, and the rows, of an answer that says nothing of a failure."""

    @abstractmethod
    def _listed(self) -> Sequence[str]:
        """Ask for the names of the tables; raise `AmakitError` where there is no catalogue."""

    @abstractmethod
    def _connected(self) -> Any:
        """Make the official client."""

    @abstractmethod
    def _meaning(self, error: Exception) -> AmakitError | None:
        """Say what an error of the client means; nothing where it is none of its own."""

    @abstractmethod
    def _described(self) -> tuple[str, str, str]:
        """Give the address, what tells that it may be asked with a token, and of what it answers queries."""

    # -- what is asked ----------------------------------------------------------------------------------------

    def proof(self) -> Iterator[tuple[str, str]]:
        """Prove the way to the data step by step.

        Yields
        ------
        tuple of (str, str)
            The step and what was found; the first that fails raises what a person can act on.
        """
        address, trusted, answered = self._described()
        self._guarded(self._client)
        if self._credential is not None:
            yield "endpoint", trusted
            self._guarded(lambda: self._credential.get_token(self.scope))
            yield "credential", f"{self._credential!r} has a token for {self.scope.removesuffix('/.default')}"
        else:
            yield "endpoint", address
            yield "credential", "none, as on this machine nobody signs in"
        frame = self.run("print Answer = 1")
        yield "permission", f"queries are answered {answered}" if len(frame) else "no answer"

    def state(self) -> str:
        """Name what is asked and who asks; empty for a credential whose user nobody knows."""
        return self._state

    def tables(self) -> list[str]:
        """Give the names of the tables; asked once."""
        if self._names is None:
            self._names = sorted(self._listed())
        return self._names

    def columns(self, table: str) -> dict[str, str]:
        """Give the KQL type of each column of a table; asked once."""
        if table not in self._columns:
            frame = self.counted(f"['{table}'] | getschema | project ColumnName, ColumnType")
            self._columns[table] = dict(zip(frame["ColumnName"], frame["ColumnType"], strict=True))
        return self._columns[table]

    def has(self, table: str, column: str) -> bool:
        """Tell whether a table has a column that its list of columns leaves out; asked once."""
        if (table, column) not in self._beside:
            try:
                self.run(f"['{table}'] | take 0 | project {column}")
            except (Refused, Unanswered):
                raise
            except AmakitError:
                self._beside[table, column] = False
            else:
                self._beside[table, column] = True
        return self._beside[table, column]

    def known(self) -> dict[str, dict[str, str]]:
        """Give the KQL type of each column of each table, as far as it was asked for; nothing is asked now."""
        return {name: {} for name in self._names or ()} | self._columns

    def extent(self, _table: str) -> tuple[None, None, None]:
        """Tell nothing: the service would have to read the whole table."""
        return None, None, None

    def held(self, value: object) -> object:
        """Give a value as it can stand in a query: here it travels in the text."""
        return value

    def close(self) -> None:
        """Close the connection."""
        if self._made is not None:
            self._made.close()

    def run(self, kql: str) -> pd.DataFrame:
        """Ask once and give the result as a frame.

        Raises
        ------
        Unanswered
            When this time there was no whole answer.
        AmakitError
            When the service cannot be reached or refuses.
        """
        types, rows = self._answer(kql)
        if any(not isinstance(row, list) or len(row) != len(types) for row in rows):
            raise Unanswered("it answered with rows that do not have its columns")
        cells = zip(*rows, strict=True) if rows else ([] for _ in types)
        try:
            "".join(cell for row in rows for cell in row if isinstance(cell, str)).encode()  # no half of a sign
            return frame_of(dict(zip(types, (list(c) for c in cells), strict=True)), types)
        except (AmakitError, OverflowError, TypeError, ValueError, LookupError) as error:
            raise Unanswered(
                f"it answered with values that are not of their type: {first_line(error)[:200]}"
            ) from error

    def counted(self, kql: str) -> pd.DataFrame:
        """Ask once as `run` does, and take the answer only with the rows that were counted where it was made.

        Parameters
        ----------
        kql : str
            One of the kit's own, see `amakit.kql.catalog.counted`.
        """
        frame = self.run(counted(kql))
        if "AnswerRows" not in frame:
            raise Unanswered("its answer has other columns than were asked for")
        rows, told = frame[frame["AnswerRows"].isna()], frame["AnswerRows"].dropna()
        if len(told) != 1 or told.iloc[0] != len(rows):
            capped = "rows" if len(rows) >= FEW else ""
            raise Unanswered(f"{len(rows)} rows came of {told.iloc[0] if len(told) else 'more'}", large=capped)
        return rows.drop(columns="AnswerRows").reset_index(drop=True)

    def _usual_tables(self):
        """Give the tables that have rows of late, and those of the others that the kit knows which are there."""
        try:
            billed = set(self.counted(_USAGE)["DataType"])
        except Refused:
            billed = set()
        others = [name for name in public_tables() if name not in billed]
        there = together([partial(self._is_there, name) for name in others], self.at_once)
        return billed | {name for name, found in zip(others, there, strict=True) if found}

    def _is_there(self, table, _wanted):
        try:
            self.columns(table)
        except Absent:
            return False
        except Refused:  # it is there, and whoever asks for its rows is told
            return True
        return True

    # -- one request --------------------------------------------------------------------------------------------

    def _call(self, call: Callable[[], Any]) -> Any:
        """Send one request, no faster than is allowed and never waiting for ever."""
        if not self._places.acquire(timeout=DEADLINE):
            raise Unanswered("none of its earlier answers came")
        try:
            pace()
        except BaseException:  # Ctrl-C in the pause: no thread will give the place back
            self._places.release()
            raise
        return self._guarded(call, self._places.release)

    def _guarded(self, call, after=None):
        """Call the client, and say in one sentence what went wrong."""
        try:
            answer = apart(call, DEADLINE, after)
        except (AmakitError, MemoryError):
            raise
        except Exception as error:
            if isinstance(error, TimeoutError):
                late = f"it did not answer within {DEADLINE:.0f} seconds"
                raise Unanswered(late, large="work") from error
            meaning = self._meaning(error)
            if meaning is not None:
                raise meaning from without_secrets(error)
            if not isinstance(error, (LookupError, TypeError, ValueError, AttributeError)):
                raise
            self._reached = True  # a gateway's answer escapes the client as a bare KeyError, and the like
            raise Unanswered("it answered with what is no answer of such a service") from error
        self._reached = True
        return answer

    def _client(self):
        with self._making:
            if self._made is None:
                self._made = self._connected()
            return self._made

    def _signed_out(self, error):
        return not_signed_in(self._workspace, error, self.scope)

    def _unreachable(self, error):
        """Say of an error of the network whether to ask again."""
        chain = exception_chain(error)
        names, words = (" ".join(type(each).__name__ for each in chain), " ".join(map(str, chain)))
        never = any(
            w in f"{names} {words}"
            for w in ("NewConnectionError", "NameResolutionError", "ConnectionRefused", "SSLError")
        )
        if never and not self._reached:
            return AmakitError(
                f"{self._workspace} cannot be reached; check the address, the network and that the server runs"
            )
        late = "Timeout" in f"{names} {words}"
        return Unanswered("it did not answer in time" if late else "the connection broke", large="work" * late)
