"""The recipe: a workspace and a window in, the result tables out."""

import contextlib
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pandas as pd

from amakit import causes, collect, events, gaps, outages, schemas, summary, transitions
from amakit.errors import AmakitError, UsageError
from amakit.intervals import Window, covered, instant, iso, isos, window
from amakit.schemas import result
from amakit.workspace import shown

if TYPE_CHECKING:
    from amakit.workspace import Workspace

#: The result tables, in the order in which they are written.
TABLES = ("machines", "transitions", "outages", "gaps", "events")

#: What it costs when a table is not there.
_EVIDENCE = {
    "Heartbeat": "versions cannot be read at all; nothing can be analysed",
    "AzureActivity": "attempts that failed before a heartbeat of the new version are not seen, and a machine that was "
    "stopped is told only by what it says itself",
    "Perf": "brackets are as wide as the interval of heartbeats, and no uptime counter tells of a restart",
    "Event": "what Windows says of stops and starts is missing",
    "Syslog": "what Linux says of stops and starts is missing",
}


@dataclass(frozen=True)
class Analysis:
    """What was found out about a window.

    The columns of the result tables, with their units, stand below.

    Attributes
    ----------
    window : Window
        The stretch of time that was asked for.
    machines : pandas.DataFrame
        One row per machine.
    transitions : pandas.DataFrame
        One row per change of version.
    outages : pandas.DataFrame
        One row per stretch in which an agent delivered nothing.
    gaps : pandas.DataFrame
        One row per periodic stream and outage.
    events : pandas.DataFrame
        One row per event table and outage: whether what happened meanwhile was picked up afterwards.
    runs : pandas.DataFrame
        One row per stretch in which a machine kept one version; see `amakit.transitions.runs`.
    samples : pandas.DataFrame
        The samples around every outage: resource_id, computer, data_type, stream, TimeGenerated.
    activity : pandas.DataFrame
        The operations of the control plane that may have to do with an outage; see `amakit.causes.rests_on`.
    run : dict
        The record of the run: version of amakit, window, horizon, unknown intervals, missing tables,
        workspace, each query with its text, rows, bytes, seconds, retries and the hash of its answer, and the hash of
        all answers.
    """

    window: Window
    machines: pd.DataFrame
    transitions: pd.DataFrame
    outages: pd.DataFrame
    gaps: pd.DataFrame
    events: pd.DataFrame
    runs: pd.DataFrame
    samples: pd.DataFrame
    activity: pd.DataFrame
    run: dict

    def __repr__(self) -> str:
        return summary.of_analysis(self).text()

    def _repr_html_(self):
        return summary.of_analysis(self).html()

    def save(self, folder: str | Path, form: str = "csv") -> list[Path]:
        """Write the result tables and ``run.json`` into a folder; each file appears whole or not at all.

        Parameters
        ----------
        folder : path-like
            Made if it is not there; files of the same names in it are replaced.
        form : {'csv', 'parquet'}
            Times are ISO 8601 with ``Z`` in CSV.

        Returns
        -------
        list of pathlib.Path
            What was written.

        Raises
        ------
        AmakitError
            When the folder cannot be written.
        """
        if form not in ("csv", "parquet"):
            raise UsageError(f"format {form!r} is not known; it is csv or parquet")
        with staged(folder) as stage:
            for name in TABLES:
                save_frame(getattr(self, name), stage / f"{name}.{form}")
            (stage / "run.json").write_text(json.dumps(self.run, indent=2) + "\n", encoding="utf-8", newline="\n")
        return [Path(folder) / f"{name}.{form}" for name in TABLES] + [Path(folder) / "run.json"]


Analysis.__doc__ = f"{Analysis.__doc__}{schemas.described()}"  # what help() tells; without docstrings there is "None"


def machine_labels(machines: pd.DataFrame) -> pd.Series:
    """Give each row the name that people call its machine by; where two share it, with their resource group.

    Parameters
    ----------
    machines : pandas.DataFrame
        Has resource_id and computer.

    Returns
    -------
    pandas.Series of str
        On the index of ``machines``.

    Examples
    --------
    >>> machine_labels(pd.DataFrame({"computer": ["app", "app", "db"], "resource_id":
    ...     ["/subscriptions/0/resourcegroups/east/x", "/subscriptions/0/resourcegroups/west/x", "/r/db"]})).tolist()
    ['app · east', 'app · west', 'db']
    """
    pairs = machines[["resource_id", "computer"]].drop_duplicates()
    twins = set(pairs.loc[pairs.duplicated("computer", keep=False), "computer"])
    group = machines["resource_id"].fillna("").str.extract(r"/resourcegroups/([^/]+)", expand=False)
    both = machines["computer"] + " · " + group.fillna(machines["resource_id"])
    return machines["computer"].where(~machines["computer"].isin(twins), both)


class staged:
    """Write files into a folder whole or not at all.

    Gives a temporary folder beside the target; what lies in it at the end is moved over, each file by one
    rename.  After an error nothing is.

    Parameters
    ----------
    folder : path-like
        The target, made if it is not there.

    Raises
    ------
    AmakitError
        When the target cannot be written.

    Examples
    --------
    >>> target = Path(tempfile.mkdtemp())
    >>> with staged(target / "out") as stage:
    ...     _ = (stage / "a.txt").write_text("whole")
    >>> [p.name for p in (target / "out").iterdir()]
    ['a.txt']
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    def __enter__(self) -> Path:
        self._made = not self._folder.exists()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._stage = Path(tempfile.mkdtemp(prefix=".amakit-", dir=self._folder))
        except OSError as error:
            raise AmakitError(
                f"nothing can be written to {self._folder}: {error.strerror}; choose another folder"
            ) from error
        return self._stage

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        try:
            if kind is None:
                for path in sorted(self._stage.iterdir()):
                    os.replace(path, self._folder / path.name)  # noqa: PTH105 - replaces on Windows too
        except OSError as failed:
            raise AmakitError(
                f"{self._folder / path.name} cannot be replaced: {failed.strerror}; close what has it open"
            ) from failed
        finally:
            shutil.rmtree(self._stage, ignore_errors=True)
            if kind is not None and self._made:
                with contextlib.suppress(OSError):  # something may have been left there on purpose
                    self._folder.rmdir()


def save_frame(frame: pd.DataFrame, target: str | Path | BinaryIO) -> None:
    """Write a frame as CSV or Parquet, whole or not at all.

    Parameters
    ----------
    frame : pandas.DataFrame
    target : path-like or binary file
        ``.csv`` or ``.parquet``; an open file gets CSV.  Times are ISO 8601 with ``Z`` in CSV.

    Raises
    ------
    UsageError
        When the name ends otherwise.
    AmakitError
        When the file cannot be written.
    """
    if hasattr(target, "write"):
        return _csv(frame, target)
    target = Path(target)
    if target.suffix not in (".csv", ".parquet"):
        raise UsageError(f"{target} must end in .csv or .parquet, which says what to write")
    with staged(target.parent) as stage:
        (_csv if target.suffix == ".csv" else _parquet)(frame, stage / target.name)
    return None


def _csv(frame, target):
    times = {c: isos(frame[c]) for c in frame.select_dtypes("datetimetz")}
    frame.assign(**times).to_csv(target, index=False, lineterminator="\n")


def _parquet(frame, target):
    import duckdb

    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("result", frame)
        connection.sql("FROM result").write_parquet(str(target))


def survey(workspace: "Workspace") -> tuple[pd.DataFrame, dict[str, str]]:
    """Look at what a workspace holds.

    Parameters
    ----------
    workspace : Workspace

    Returns
    -------
    tuple of (pandas.DataFrame, dict of str to str)
        One row per table: Table, Rows, First, Last (of TimeGenerated), PerHour; and for each table that the
        analysis would use but that is not there or cannot be read, what its absence costs.

    Notes
    -----
    A live workspace lists hundreds of tables and keeps years: only the tables that the kit knows and custom ones
    are looked at, over the last 15 days, and those without a row are left out.

    Examples
    --------
    >>> from amakit import connect
    >>> found, missing = survey(connect("demo"))
    >>> list(found.columns), missing
    (['Table', 'Rows', 'First', 'Last', 'PerHour'], {})
    """
    columns = ["Table", "Rows", "First", "Last"]
    parts, unread = [], {}
    for table in workspace.tables:
        if workspace.live and not (table in schemas.tables() or table.lower().endswith("_cl")):
            continue
        timed = "TimeGenerated" in workspace.columns(table)
        recent = " | where TimeGenerated >= ago(15d)" if workspace.live and timed else ""
        span = ", First = min(TimeGenerated), Last = max(TimeGenerated)" if timed else ""
        try:
            row = workspace.query(f"['{table}']{recent} | summarize Rows = count(){span}")
        except AmakitError as error:
            if "Basic or Auxiliary" not in str(error):
                raise
            unread[table] = str(error)
            continue
        if row["Rows"].iloc[0] or not workspace.live:
            parts.append(row.assign(Table=table).reindex(columns=columns))
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    hours = (
        pd.to_datetime(found["Last"], utc=True) - pd.to_datetime(found["First"], utc=True)
    ).dt.total_seconds() / 3600
    found["PerHour"] = (found["Rows"].astype("float64") / hours.where(hours > 0)).round(1)
    there = set(found["Table"])
    missing = {table: cost for table, cost in _EVIDENCE.items() if table not in there}
    return found, {table: f"{unread[table]}; {cost}" if table in unread else cost for table, cost in missing.items()}


def analyze(
    workspace: "Workspace",
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    machines: Iterable[str] | None = None,
    allow_unknown: bool = False,
) -> "Analysis":
    """Find out what happened to the agents of a workspace in a window.

    Parameters
    ----------
    workspace : Workspace
        From `amakit.connect`.
    start, end : str, datetime or pandas.Timestamp, optional
        The window ``[start, end)``; without a zone in UTC.  Either may be left out for files, which then
        are taken whole on that side.
    machines : list of str, optional
        Computer names or resource ids, in any case; all by default.
    allow_unknown : bool
        Whether what a service cannot give becomes unknown and is listed in ``run``, instead of a failure.  No
        outage, gap or verdict rests on unknown time, and it does not count as known.

    Returns
    -------
    Analysis

    Raises
    ------
    AmakitError
        When the workspace cannot be read or a query fails.
    UsageError
        When the window ends before it starts or holds nothing, or a machine is not known.

    Examples
    --------
    >>> from amakit import connect
    >>> found = analyze(connect("demo"), "2026-03-09", "2026-03-10")
    >>> list(found.transitions.columns[:5])
    ['resource_id', 'computer', 'os_type', 'from_version', 'to_version']
    """
    asked = _window(workspace, start, end)
    machines = collect.scope(workspace, asked, machines or ())
    begun = len(workspace.log)
    horizon = collect.horizon(asked)
    with workspace.leaving_out(allow_unknown) as unknown:
        fleet = collect.fleet(workspace, asked, machines)
        spans = collect.version_spans(fleet)
        runs = transitions.runs(spans)
        changes = transitions.transitions(runs)
        away, lost, samples, acts = _outages(fleet, runs, changes, horizon, unknown)
        verdicts = events.verdicts(workspace, away, asked, collect.everybody(fleet))
        unknown = sorted(unknown, key=lambda lost: (lost["start"], lost["table"], lost["end"]))
    away, lost, verdicts = _certain(away, lost, verdicts, unknown, horizon)
    changes = _with_causes(changes[changes["first_new"] >= asked.start], away)
    tables = {
        "machines": _machines(spans, runs, away, asked, horizon, _spans(unknown, "Heartbeat")),
        "transitions": changes,
        "outages": away,
        "gaps": lost,
        "events": verdicts,
    }
    tables = {name: result(name, frame) for name, frame in tables.items()}
    return Analysis(
        asked,
        **tables,
        runs=runs,
        samples=samples,
        activity=causes.rests_on(tables["outages"], acts),
        run=_record(workspace, asked, machines, horizon, unknown, workspace.log[begun:]),
    )


def _outages(fleet, runs, changes, horizon, unknown):
    """Find the outages of a fleet, their causes, and what each cost each stream."""
    acts = causes.operations(collect.activity(fleet))
    tried = causes.on_agent(acts).rename(columns={"base": "resource_id"})
    silent = outages.candidates(collect.silences(fleet), changes)
    machines = runs[["resource_id", "computer"]].drop_duplicates()
    sought = outages.attempts(tried, machines, silent)
    found = pd.concat([silent.assign(sought=False), sought.assign(sought=True)], ignore_index=True)
    found = found[_apart(found["last"], found["first"].fillna(horizon), _spans(unknown, "Heartbeat"))]
    samples, streams = collect.samples(fleet, found.reset_index(drop=True))
    found = found[_apart(found["last"], found["first"].fillna(horizon), _spans(unknown, "Heartbeat"))]
    found = found.reset_index(drop=True)
    samples, streams = (_without_unknown(frame, found, unknown, horizon) for frame in (samples, streams))
    changed = set(changes[["resource_id", "computer", "last_old"]].itertuples(index=False, name=None))
    holes = outages.holes(found, samples, streams, horizon, changed)
    holes = {index: hole for index, hole in holes.items()
             if not found.loc[index, "sought"] or outages.touches(hole, fleet.window)}  # fmt: skip
    away = outages.table(found, holes, runs)
    evidence = collect.evidence(fleet, found)
    undone = changes[transitions.rolled_back(changes)]
    undone = set(undone[["resource_id", "computer", "from_version", "to_version"]].itertuples(index=False, name=None))
    away = away.join(causes.explain(away, acts, evidence, undone))
    away["evidence"] = causes.linked(away)
    lost = gaps.gaps(away, holes, horizon)
    cut_off = _with_versions(outages.disconnections(evidence["late"], away), runs)
    unharmed = gaps.unharmed(cut_off, streams)
    away = result("outages", pd.concat([away, cut_off], ignore_index=True))
    return away, pd.concat([lost, unharmed], ignore_index=True), samples, acts


# -- what is unknown proves nothing ----------------------------------------------------------------------------

_NO_TIME = pd.Timedelta(0)


def _spans(unknown, table):
    """Give the unknown intervals of a table."""
    return [(instant(u["start"]), instant(u["end"])) for u in unknown if u["table"] == table]


def _apart(start, end, spans, reach=_NO_TIME):
    """Mark the stretches that touch no unknown interval."""
    apart = pd.Series(True, start.index)
    for since, until in spans:
        apart &= (start - reach > until) | (end + reach < since)
    return apart


def _without_unknown(rows, found, unknown, horizon):
    """Take a table out for the machines near one of whose outages it is unknown, as if they did not have it.

    A stream that only seems to pause would move the brackets of the outage, and count samples as lost.
    """
    for table in {u["table"] for u in unknown} - {"Heartbeat"}:
        near = ~_apart(found["last"], found["first"].fillna(horizon), _spans(unknown, table), collect.REACH)
        machines = set(found.loc[near, ["resource_id", "computer"]].itertuples(index=False, name=None))
        keys = rows[["resource_id", "computer"]].itertuples(index=False, name=None)
        taken = rows["data_type"].eq(table) & pd.Series([key in machines for key in keys], rows.index, dtype=bool)
        rows = rows[~taken].reset_index(drop=True)
    return rows


def _certain(away, lost, verdicts, unknown, horizon):
    """Keep the outages, gaps and verdicts that rest on nothing unknown."""
    if not unknown:
        return away, lost, verdicts
    machine, lost = ["resource_id", "computer"], result("gaps", lost)
    away = away[_apart(away["start_earliest"], away["end_latest"].fillna(horizon), _spans(unknown, "Heartbeat"))]
    stretch = away[[*machine, "start_earliest", "end_latest"]].rename(columns={"start_earliest": "outage_start"})
    kept = []
    for frame, reach in ((lost, collect.REACH), (verdicts, pd.Timedelta(days=1))):
        rows = frame.merge(stretch.drop_duplicates([*machine, "outage_start"]), on=[*machine, "outage_start"])
        start, end = rows["outage_start"], rows["end_latest"].fillna(horizon)
        # events are measured against the day around the outage, or 24 times its length
        reaches = (24 * (end - start)).clip(lower=reach) if frame is verdicts else reach
        sure = pd.Series(True, rows.index)
        for table in {u["table"] for u in unknown} - {"Heartbeat"}:
            sure &= _apart(start, end, _spans(unknown, table), reaches) | (rows["data_type"] != table)
        kept.append(rows[sure][list(frame.columns)])
    return away, *kept


def _with_versions(cut_off, runs):
    """Name the version that a machine kept while only its network was away."""
    last = runs.sort_values("last").merge(
        cut_off[["resource_id", "computer", "start_latest"]], on=["resource_id", "computer"]
    )
    last = last[last["first"] <= last["start_latest"]].groupby(["resource_id", "computer", "start_latest"]).last()
    named = last[["version", "os_type"]].reset_index()
    merged = cut_off.merge(named, how="left", on=["resource_id", "computer", "start_latest"])
    return merged.assign(from_version=merged["version"], to_version=merged["version"]).drop(columns="version")


def _with_causes(changes, away):
    """Give each change of version the cause of the outage in which it happened."""
    pairs = changes.reset_index()[["index", "resource_id", "computer", "last_old", "first_new"]].merge(
        away[["resource_id", "computer", "start_earliest", "end_latest", "cause"]], on=["resource_id", "computer"]
    )
    inside = pairs[(pairs["start_earliest"] >= pairs["last_old"]) & (pairs["end_latest"] <= pairs["first_new"])]
    return changes.assign(cause=inside.drop_duplicates("index").set_index("index")["cause"]).assign(
        cause=lambda frame: frame["cause"].fillna("")
    )


def _window(workspace, start, end):
    if start in (None, "") or end in (None, ""):
        span = collect.data_span(workspace)
        start, end = (given if given not in (None, "") else own
                      for given, own in ((start, span.start), (end, span.end)))  # fmt: skip
    return window(start, end)


def _machines(spans, runs, away, asked, horizon, unknown):
    """Summarise each machine that reported in the window or shortly before it."""
    machine = ["resource_id", "computer"]
    inside = spans[spans["beats"] > 0]
    seen_before = spans.loc[spans["beats"] == 0, machine].drop_duplicates().assign(before=True)
    latest = runs.sort_values("last", kind="stable").groupby(machine).last()[["version", "last", "os_type"]]
    found = latest.rename(columns={"last": "last_seen"}).assign(
        first_seen=inside.groupby(machine)["first"].min(),
        environment=spans[spans["environment"] != ""].groupby(machine)["environment"].last(),
        before=seen_before.set_index(machine)["before"],
        blind=_blind(away, asked, horizon),
        lines=runs[runs["beats"] > 0].groupby(machine)["line"].nunique(),
    )
    reporting = found["last_seen"] >= horizon - collect.SILENT_AFTER
    found["state"] = reporting.map({True: "reporting", False: "silent"}).astype("str")
    # a machine that reports for the first time may not have existed before
    began = found["first_seen"].where(found["before"].isna(), asked.start)
    unseen = began.map(lambda since: covered(since, horizon, unknown) if unknown and pd.notna(since) else 0.0)
    found["known_s"] = (horizon - began).dt.total_seconds().clip(lower=0.0) - unseen
    if unknown:  # who knows whether it reported since
        found.loc[~reporting & (found["last_seen"] < max(end for _, end in unknown)), "state"] = ""
    found["active_s"] = (found["known_s"] - found["blind"].fillna(0.0)).clip(lower=0.0)
    found.loc[found["first_seen"].isna(), "active_s"] = 0.0
    notes = found["lines"].map(lambda n: f"{n:.0f} agents report at once" if n > 1 else "").astype("str")
    found["note"] = notes.where(found["first_seen"].notna(), "no heartbeat in the window")
    return found.reset_index()


def _blind(away, asked, horizon):
    """Seconds of the window in which each machine's agent delivered nothing, by the middles of the brackets."""
    gone = away[away["cause"] != "disconnected"]
    start = gone["start_earliest"] + (gone["start_latest"] - gone["start_earliest"]) / 2
    end = (gone["end_earliest"] + (gone["end_latest"] - gone["end_earliest"]) / 2).fillna(horizon)
    inside = end.clip(upper=horizon) - start.clip(lower=asked.start)
    return inside.dt.total_seconds().clip(lower=0).groupby([gone["resource_id"], gone["computer"]]).sum()


def _record(workspace, asked, machines, horizon, unknown, log):
    from importlib.metadata import version

    from amakit import __version__

    used = ["duckdb", "duckdb-kql"] if workspace.kind != "kusto" else ["azure-kusto-data", "azure-identity"]

    return {
        "amakit": __version__,
        "workspace": shown(workspace.name),
        "synthetic": workspace.synthetic,
        "start": iso(asked.start),
        "end": iso(asked.end),
        "horizon": iso(horizon),
        "machines": list(machines or []),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ["pandas", *used]}},
        "unknown": unknown,
        "missing_tables": sorted(set(_EVIDENCE) - set(workspace.tables)),
        "inputs_sha256": hashlib.sha256("".join(record.sha256 for record in log).encode()).hexdigest(),
        "queries": [record.__dict__ for record in log],
    }
