"""What an analysis and a workspace say of themselves when a notebook or a terminal shows them.

Nothing is computed that costs anything, and nothing is asked of a service.
"""

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from amakit.errors import AmakitError
from amakit.facts.summary import by_severity, losses_of_outages
from amakit.prose.language import Language, visible
from amakit.schemas import MACHINE

if TYPE_CHECKING:
    from amakit.analysis import Analysis
    from amakit.source.workspace import Workspace


@dataclass(frozen=True)
class Summary:
    """A title, some lines, and a small table.

    Attributes
    ----------
    title : str
    synthetic : bool
        Whether the data was made up, which then is said beside the title.
    lines : tuple of str
    heading : str
        Of the table.
    table : pandas.DataFrame
        Text only; may be empty.
    """

    title: str
    synthetic: bool
    lines: tuple[str, ...]
    heading: str
    table: pd.DataFrame

    def text(self) -> str:
        """Give it for a terminal.

        Examples
        --------
        >>> print(Summary("Logs", True, ("2 tables",), "Tables", pd.DataFrame({"Table": ["Heartbeat"]})).text())
        Logs (synthetic data)
        2 tables
        Tables
          Table
          Heartbeat
        """
        parts = [self.title + (" (synthetic data)" if self.synthetic else ""), *self.lines]
        if len(self.table):
            rows = [list(self.table.columns), *self.table.to_numpy().tolist()]
            widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
            told = ("  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip() for row in rows)
            parts += [self.heading, *(f"  {row}" for row in told)]
        return "\n".join(parts)

    def html(self) -> str:
        """Give it for a notebook: no colour of its own, so that it follows the theme, and every text escaped.

        Examples
        --------
        >>> print(Summary("<b>", False, (), "", pd.DataFrame()).html())
        <div><p><strong>&lt;b&gt;</strong></p></div>
        """
        made_up = " <em>synthetic data</em>" if self.synthetic else ""
        parts = [f"<p><strong>{html.escape(self.title)}</strong>{made_up}</p>"]
        if self.lines:
            parts.append("<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in self.lines) + "</ul>")
        if len(self.table):
            left = ' style="text-align: left"'
            head = "".join(f"<th{left}>{html.escape(column)}</th>" for column in self.table)
            rows = (
                "".join(f"<td{left}>{html.escape(cell)}</td>" for cell in row) for row in self.table.to_numpy().tolist()
            )
            body = "".join(f"<tr>{row}</tr>" for row in rows)
            parts.append(
                f"<table><caption{left}>{html.escape(self.heading)}</caption>"
                f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            )
        return f"<div>{''.join(parts)}</div>"


#: English and UTC, as everything on the screen of an analyst.
_WORDS = Language()


def _machines(machines):
    states = machines["state"].replace("", "in an unknown state").value_counts()
    told = ", ".join(f"{n:,} {state}" for state, n in states.items())
    return _WORDS.count(len(machines), "machine") + (f": {told}" if told else "")


def _changes(transitions):
    kinds = transitions["kind"].value_counts()
    told = ", ".join(_WORDS.count(n, kind) for kind, n in kinds.items())
    return _WORDS.count(len(transitions), "change") + " of version" + (f": {told}" if told else "")


def _causes(outages):
    causes = outages["cause"].value_counts()
    told = ", ".join(f"{_WORDS.cause(cause)} {n:,}" for cause, n in causes.items())
    return _WORDS.count(len(outages), "outage") + (f" by cause: {told}" if told else "")


def _lost(analysis):
    """Add up what was lost; a stream that stayed away from an agent that is back would grow without end."""
    losses = losses_of_outages(analysis)
    value, low, high = (int(losses.loc[~losses["away"], column].sum()) for column in ("lost", "lost_low", "lost_high"))
    bounds = f" ({low:,} to {high:,})" if low < high else ""
    streams = losses.loc[losses["away"], [*MACHINE, "data_type", "stream"]].drop_duplicates()
    away = f"; {_WORDS.count(len(streams), 'away')}" if len(streams) else ""
    return _WORDS.count(value, "sample") + bounds + away


def _worst(outages, most=3):
    """Tell the outages that go on, and then the longest."""
    rows = [
        {
            "machine": visible(row.computer, 40) or "–",
            "cause": _WORDS.cause(row.cause),
            "version": _versions(row),
            "began after": _WORDS.moment(row.start_earliest),
            "ended before": _WORDS.moment(row.end_latest) if pd.notna(row.end_latest) else "goes on",
            "nothing came for": _length(row),
        }
        for row in by_severity(outages).head(most).itertuples()
    ]
    return pd.DataFrame(rows)


def _versions(row):
    pair = [visible(version, 30) or "–" for version in (row.from_version, row.to_version)]
    return pair[0] if pair[0] == pair[1] else " → ".join(pair)


def _length(row):
    if pd.isna(row.downtime_s):
        return "–"
    low, high = _WORDS.duration(row.downtime_low_s), _WORDS.duration(row.downtime_high_s)
    return _WORDS.duration(row.downtime_s) + (f" ({low} to {high})" if low != high else "")


def _workspace(workspace):
    """Give the lines about a workspace, and the rows about its tables."""
    known, taken = workspace.known, workspace.taken
    lines = [] if workspace.kind == "demo" else [f"kind: {workspace.kind}"]
    if taken:
        source = visible(taken["workspace"], 80)
        lines.append(f"snapshot of {source}, {taken['start']} to {taken['end']}")
    if not known:
        asked = workspace.kind != "kusto"
        return [*lines, "no tables" if asked else "its tables have not been asked for yet"], []
    if workspace.live:  # it lists hundreds, most of them without a row
        listed = "1 table" if len(known) == 1 else f"{len(known):,} tables"
        return [*lines, f"{listed}; amakit.recorded.survey.survey(workspace) says which hold rows"], []
    return lines, [_table_row(workspace, table) for table in sorted(known)]


def _table_row(workspace, table):
    try:
        rows, *ends = workspace.extent(table)
    except AmakitError:  # it was closed
        rows, *ends = None, None, None
    first, last = (_WORDS.moment(pd.Timestamp(end, tz="UTC")) if end is not None else "" for end in ends)
    rows = "" if rows is None else f"{rows:,}"
    columns = len(workspace.known[table])
    return {
        "table": visible(table, 60),
        "columns": f"{columns}" if columns else "",
        "rows": rows,
        "first (UTC)": first,
        "last (UTC)": last,
    }


def of_analysis(analysis: "Analysis") -> Summary:
    """Summarise an analysis: what it counts, and the three worst outages.

    Parameters
    ----------
    analysis : amakit.Analysis

    Returns
    -------
    Summary
        The worst outages are those that go on, then the longest.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10", ["web-28"])
    >>> print(of_analysis(found).lines[2])
    1 outage by cause: machine stopped 1
    """
    run = analysis.run
    lines = [
        _machines(analysis.machines),
        _changes(analysis.transitions),
        _causes(analysis.outages),
        _lost(analysis),
    ]
    if run.get("unknown"):
        lines.append(f"unknown stretches, as not recorded or not answered: {len(run['unknown']):,}; see run")
    if run.get("missing_tables"):
        lines.append(f"tables that are not there: {', '.join(run['missing_tables'])}")
    window = f"{_WORDS.moment(analysis.window.start)} to {_WORDS.moment(analysis.window.end)} UTC"
    return Summary(
        f"Analysis of {visible(run['workspace'], 80)}, {window}",
        run["synthetic"],
        tuple(lines),
        "The worst outages, in UTC",
        _worst(analysis.outages),
    )


def of_workspace(workspace: "Workspace", name: str) -> Summary:
    """Summarise what a workspace holds, as far as it is known without asking a service or reading much.

    Parameters
    ----------
    workspace : amakit.Workspace
    name : str
        As others may see it.

    Returns
    -------
    Summary

    Examples
    --------
    >>> import amakit
    >>> print(of_workspace(amakit.connect("demo"), "demo").text().splitlines()[0])
    Workspace demo (synthetic data)
    """
    lines, rows = _workspace(workspace)
    table = pd.DataFrame(rows)
    table = table.loc[:, table.ne("").any()]  # what nobody has told yet takes no room
    return Summary(f"Workspace {visible(name, 80)}", workspace.synthetic, tuple(lines), "Tables", table)
