"""One packaged query asked in as many pieces as it takes, until each piece is whole or given up."""

import logging
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from amakit.errors import AmakitError, Unanswered
from amakit.intervals import Window, instant, iso
from amakit.kql import catalog
from amakit.schemas import no_rows
from amakit.service.answers import check_answer
from amakit.service.retry import halves
from amakit.source.records import Record, record_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from amakit.service.engine import Engine
    from amakit.service.transport import Auto
    from amakit.source.files import LocalEngine
    from amakit.source.workspace import Workspace

_LOG = logging.getLogger("amakit")
#: Kinds of values that an engine may hold and name in the text.
_HELD = ("datetime", "dynamic", "datatable")
#: After so many parts of one question stayed without an answer, no further part of it is cut.
_HOPELESS = 3


@dataclass
class Question:
    """One packaged query on its way: whom it is asked, what it became, and how hard that was."""

    workspace: "Workspace"
    engine: "LocalEngine | Engine | Auto"
    wanted: catalog.Query
    values: dict
    lacking: dict
    table: str
    still: "Callable[[], bool]"
    records: list = field(default_factory=list)
    retries: int = 0
    failed: int = 0

    def answer(self) -> tuple[pd.DataFrame, list[Record]]:
        """Ask it, in as many pieces as it takes; give the answer and what it cost."""
        bounds = [instant(self.values[key]) if key in self.values else None for key in ("start", "end")]
        frames = self._pieces(*bounds)
        empty = no_rows(self.wanted.returns)
        whole = frames[0] if len(frames) == 1 else pd.concat([empty, *frames], ignore_index=True)
        return whole[list(self.wanted.returns)], self.records

    def _pieces(self, start, end, bits=(), given=None):
        wanted, values, begun = self.wanted, dict(given or self.values), time.perf_counter()
        workspace = self.workspace
        if start is not None:
            values |= {"start": start, "end": end}
        # what cannot be written is refused before anything is held for it
        text = self._written(values, bits)
        held = {k: self.engine.held(v) if wanted.parameters[k][0] in _HELD else v for k, v in values.items()}
        asked = self._written(held, bits)
        cut = partial(halves, wanted.parts, start, end, bits)
        patience = workspace.patience
        if workspace.worn:
            patience = replace(patience, tries=min(2, patience.tries))
        before = self.retries
        try:
            frame = patience.call(
                partial(self._checked, asked, start, end),
                lambda error: (
                    self.still() and not (error.large and (cut(error.large == "rows") or error.large == "text"))
                ),
                self._again,
            )
        except Unanswered as error:
            self.retries += 1
            if error.large == "text" and self.still() and (parts := _with_half_the_windows(wanted, values)):
                return [frame for part in parts for frame in self._pieces(start, end, bits, part)]
            halved = cut(error.large == "rows") if error.large else []
            if not halved and workspace.unknown is not None and not bits and wanted.parts[0] != "none":
                workspace.worn = True
                halved = halves(("days",), start, end, ())  # the less is unknown the better
            if not self.still() or (workspace.unknown is None and not halved) or start is None:
                tries, window = self.retries - before, None if start is None else Window(start, end)
                raise given_up(workspace.name, f"{wanted.name} on {self.table}", error, tries, window) from error
            if halved and self.failed < _HOPELESS:
                return [frame for part in halved for frame in self._pieces(*part, given)]
            self.failed += 1
            lost = {"start": iso(start), "end": iso(end), "table": self.table, "reason": str(error)}
            if workspace.unknown is not None and lost not in workspace.unknown:
                workspace.unknown.append(lost)
            return []
        self.records.append(record_of(wanted.name, text, frame, begun, self.retries))
        self.retries = 0
        return [frame]

    def _written(self, values, bits):
        """Write the text of a query; only Log Analytics tells when a row was ingested, others when it was received."""
        text = catalog.render(self.wanted, self.lacking, **values)
        text += catalog.share(self.wanted.parts[1:], bits)
        return text if self.workspace.live else text.replace("ingestion_time()", "_TimeReceived")

    def _checked(self, asked, start, end):
        frame = self.engine.counted(asked)
        if self.workspace.kind == "kusto":
            check_answer(frame, self.wanted.returns, start, end)
        return frame

    def _again(self, error):
        self.retries += 1
        _LOG.debug("%s: %s; asked again", self.wanted.name, error)


def given_up(name: str, what: str, error: Exception, tries: int, window: Window | None = None) -> AmakitError:
    """Say that a workspace gave no whole answer, and what to do about it."""
    span = "" if window is None else f" from {window}"
    often = "once" if tries == 1 else f"{tries} times"
    way_out = "ask for less" if window is None else "take a shorter window, or let it pass with --allow-unknown"
    return AmakitError(
        f"{name} gave no whole answer to {what}{span}, asked {often}: {error}; try again later, {way_out}"
    )


def _with_half_the_windows(wanted, values):
    """Cut the longest table that a query carries in two, as whoever asks cuts windows; nothing if it has one row."""
    carried = [key for key, (kind, _) in wanted.parameters.items() if kind == "datatable"]
    longest = max(carried, key=lambda key: len(values[key]), default=None)
    if longest is None or len(values[longest]) < 2:
        return []
    rows, middle = values[longest], len(values[longest]) // 2
    return [values | {longest: part} for part in (rows.iloc[:middle], rows.iloc[middle:])]
