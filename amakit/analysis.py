"""The recipe: a workspace and a window in, the result tables out.

One file, as who asks what an analysis does reads its steps from the first query to the last table in one place.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pandas as pd

from amakit import inventory, schemas
from amakit.causes import decision, evidence, operations
from amakit.errors import Silent, UsageError
from amakit.events import tables as events
from amakit.fetch import heartbeats
from amakit.fetch.identity import made_anew, of_two_machines, within
from amakit.fetch.sample_intervals import heartbeat_intervals
from amakit.fetch.samples import activity, evidence_around, machines_beside, other_agents, samples_around
from amakit.fetch.silences import silences
from amakit.find import losses, outages, versions
from amakit.find import machines as machine_table
from amakit.find.disconnections import disconnections, with_versions
from amakit.find.machines import segments
from amakit.find.partial_agents import ended_tables, lost_heartbeats, partial_machines
from amakit.find.unknown import (
    not_recorded,
    only_known,
    touches_none,
    unknown_spans,
    unrecorded_changes,
    widened,
    without_unknown_tables,
    without_unrecorded_samples,
    without_unrecorded_tables,
)
from amakit.intervals import Window, instant, iso, window
from amakit.output import save_frame, staged
from amakit.recorded import coverage
from amakit.recorded.clocks import clock_steps
from amakit.recorded.horizon import data_span, scope
from amakit.schemas import MACHINE, of_outages, result
from amakit.several import homes, parts
from amakit.source.cache import code, keep, load
from amakit.source.records import shown, told_name

if TYPE_CHECKING:
    import amakit.lab.explorer
    from amakit.source.workspace import Workspace
    from amakit.source.workspaces import Workspaces

#: Log Analytics keeps rows for 4,383 days at most.
LONGEST = pd.Timedelta(days=4383)
#: The result tables, in the order in which they are written.
TABLES = ("machines", "transitions", "outages", "gaps", "events", "sources", "evidence")


@dataclass(frozen=True, eq=False)  # frames have no one answer to "equal"
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
        One row per event source and outage: whether what happened meanwhile was picked up afterwards.
    sources : pandas.DataFrame
        One row per silence of an event source that its own rhythm does not explain, with an outage or without.
    evidence : pandas.DataFrame
        One row per piece of evidence beside an outage; its kinds are those of `amakit.causes.evidence`.
    runs : pandas.DataFrame
        One row per stretch in which a machine kept one version; see `amakit.find.versions.runs`.
    samples : pandas.DataFrame
        The samples around every outage: resource_id, computer, data_type, stream, TimeGenerated.
    activity : pandas.DataFrame
        The operations of the control plane that may have to do with an outage; see
        `amakit.causes.evidence.operations_beside`.
    inventory : pandas.DataFrame
        One row per machine of the workspace's inventory, if it has one, and per machine that is not in it; see
        `amakit.inventory.read`.
    destinations : pandas.DataFrame
        Of several workspaces, one row per stretch in which one of them received nothing of a machine and another one
        did: its destination failed, the agent lived.
    run : dict
        The record of the run: version of amakit, workspace, window, horizon, unknown intervals, missing tables, those
        of them that were refused and why, notes on how the service was asked, each query with its text, rows, bytes,
        seconds, retries and the hash of its answer, and the hash of all answers; ``kept`` is when, where an earlier run
        kept what a service answered; ``inventory`` is of which subscriptions there is one, and of when.  Of several
        workspaces ``workspaces`` holds the name of each, its horizon, coverage, missing and refused tables, and the
        number of its machines; then all frames but those of the control plane have a column ``workspace``.
    """

    window: Window
    machines: pd.DataFrame
    transitions: pd.DataFrame
    outages: pd.DataFrame
    gaps: pd.DataFrame
    events: pd.DataFrame
    sources: pd.DataFrame
    evidence: pd.DataFrame
    runs: pd.DataFrame
    samples: pd.DataFrame
    activity: pd.DataFrame
    inventory: pd.DataFrame
    run: dict
    destinations: pd.DataFrame = field(default_factory=parts.nothing)

    def __repr__(self) -> str:
        return self._display().text()

    def _repr_html_(self):
        return self._display().html()

    def _display(self):
        from amakit.lab.display import of_analysis  # the one import upwards: a repr is words

        return of_analysis(self)

    def show(
        self, workspace: "Workspace | None" = None, language: str = "en", timezone: str = "UTC"
    ) -> "amakit.lab.explorer.Explorer":
        """Explore it in JupyterLab: the map of the fleet, one machine closely, and the numbers behind both.

        Parameters
        ----------
        workspace : Workspace, optional
            To ask in KQL beside it, and to analyse another window of.
        language : {'en', 'ja'}
        timezone : str
            Zone in which times are told.

        Returns
        -------
        amakit.lab.explorer.Explorer

        Examples
        --------
        >>> from amakit import connect
        >>> found = analyze(connect("demo"), "2026-03-09", "2026-03-10")
        >>> found.show().choice.outage in found.outages.index
        True
        """
        from amakit.lab.explorer import Explorer  # upwards, as a repr: only who looks needs it

        return Explorer(self, workspace, language, timezone)

    def known_until(self, rows: pd.DataFrame) -> pd.Series:
        """Give up to when the data of each row's machine may be taken as complete: the horizon of its workspace."""
        names = rows["workspace"] if "workspace" in rows else pd.Series("", rows.index)
        told = {name: parts.known_until(self.run, name) for name in names.unique()}
        return names.map(told).astype("datetime64[us, UTC]")

    @property
    def segments(self) -> pd.DataFrame:
        """One row per stretch without data of a machine, to mask one's own metrics with; see `amakit.mask`."""
        return segments(self.outages, self.gaps, self.sources, self.machines, self.run.get("unknown", []))

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
        names = [*TABLES, "segments", *(["inventory"] if "inventory" in self.run else [])]
        names += ["destinations"] if "workspaces" in self.run else []
        with staged(folder) as stage:
            for name in names:
                save_frame(getattr(self, name), stage / f"{name}.{form}")
            (stage / "run.json").write_text(json.dumps(self.run, indent=2) + "\n", encoding="utf-8", newline="\n")
        return [Path(folder) / f"{name}.{form}" for name in names] + [Path(folder) / "run.json"]


Analysis.__doc__ = f"{Analysis.__doc__}{schemas.described()}"  # what help() tells; without docstrings there is "None"


def analyze(
    workspace: "Workspace | Sequence[Workspace]",
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    machines: Iterable[str] | None = None,
    allow_unknown: bool = False,
    cache: bool = True,
) -> "Analysis":
    """Find out what happened to the agents of a workspace in a window.

    Parameters
    ----------
    workspace : Workspace, or list of them
        From `amakit.connect`.
    start, end : str, datetime or pandas.Timestamp, optional
        The window ``[start, end)``; without a zone in UTC.  Either may be left out for files, which then
        are taken whole on that side.
    machines : list of str, optional
        Computer names or resource ids, in any case; all by default.
    allow_unknown : bool
        Whether what a service cannot give becomes unknown and is listed in ``run``, instead of a failure.  No
        outage, gap or verdict rests on unknown time, and it does not count as known.
    cache : bool
        Whether an analysis that an earlier run kept is taken, and this one kept, where the data cannot have changed:
        files of the same size, time, first and last bytes, or a window of Log Analytics that has been over for two
        days.  Of the latter ``run`` says under ``kept`` since when.  Never with ``AMAKIT_NO_CACHE`` in the environment.

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
    if isinstance(workspace, Sequence):
        from amakit.source.workspaces import together

        workspace = together(workspace)
    machines = list(machines or ())
    key = _key(workspace, start, end, machines) if cache and not os.environ.get("AMAKIT_NO_CACHE") else None
    if key and (kept := load(key)):
        frames, beside = kept
        run = beside["run"] | {"cloud": workspace.cloud} | ({"kept": beside["kept"]} if workspace.live else {})
        return Analysis(window(run["start"], run["end"]), **frames, run=run)
    found, whole = _analyze(workspace, start, end, machines, allow_unknown)
    # what a service could not give today it may give tomorrow; and a file may have changed meanwhile
    if key and whole and key == _key(workspace, start, end, machines):
        frames = {one.name: getattr(found, one.name) for one in fields(found) if one.name not in ("window", "run")}
        keep(key, frames, {"run": found.run})
    return found


def _key(workspace, start, end, machines):
    """Name all that an analysis depends on; nothing where the data may change unnoticed."""
    state = workspace.state(end)
    if not state:
        return None
    ends = {name: iso(instant(t, name)) if t else "" for name, t in {"start": start, "end": end}.items()}
    asked = {"workspace": told_name(workspace), "machines": sorted({name.strip().lower() for name in machines})}
    return {"code": code(), "state": state} | asked | ends


def _analyze(workspace, start, end, machines, allow_unknown):
    """Give the analysis, and whether it rests on all that was asked for."""
    asked = _window(workspace, start, end)
    begun = len(workspace.log)
    if len(workspace.members) > 1:
        part = _of_several(workspace, asked, machines, allow_unknown)
    else:
        machines = scope(workspace, asked, machines)
        part = _part(workspace, asked, machines, allow_unknown)
    listing, taken = part.inventory
    found = Analysis(
        asked,
        **part.frames,
        activity=evidence.operations_beside(part.frames["outages"], part.acts, part.cover.horizon),
        inventory=listing,
        run=parts.record(part, workspace, asked, machines, workspace.log[begun:])
        | ({"inventory": taken} if taken else {})
        | ({"control_plane": shown(workspace.beside.name)} if workspace.beside else {}),
    )
    return found, part.whole


def _of_several(workspaces: "Workspaces", asked: Window, machines: list[str], allow_unknown: bool) -> parts.Part:
    """Analyse each workspace, then the machines that report to several of them from all of those."""
    having = ["Heartbeat" in member.tables for member in workspaces.members]
    numbers = [n for n, there in enumerate(having) if there] or [0]
    names = {number: list(machines) for number in numbers}
    if machines:
        heard = {number: heartbeats.heard(workspaces.members[number], asked) for number in numbers}
        names = homes.asked_of(heard, machines, workspaces.name)
    alone, joint, silent = {}, {}, {}

    def part(own, names, *settled):
        some = workspaces.of(own)
        try:
            return _part(some, asked, scope(some, asked, names), allow_unknown, *settled)
        finally:
            workspaces.log += some.log

    with workspaces.leaving_out(allow_unknown):
        for number, own in names.items():
            try:
                alone[number] = part([number], own)
            except Silent as error:
                silent[workspaces.labels[number]] = error
        if not alone:
            raise next(iter(silent.values()))
        home = homes.homes({number: one.fleet for number, one in alone.items()}, workspaces.labels)
        grouped = homes.groups(home)
        for (own, last), group in grouped[grouped["homes"].map(len) > 1].groupby(["homes", "last"]):
            covers = {number: alone[number].cover for number in own}
            cover = replace(homes.united(covers, last), of_machines=homes.unattended(home, group, covers))
            stopped = [each.stopped() for each in covers.values()]
            joint.setdefault(own, []).append(part(own, parts.names_of(group, home, own), cover, stopped))
        whole = parts.united(workspaces, alone, joint, home, grouped, machines)
        notes = [
            f"{label} has no table Heartbeat, so of its machines nothing is told"
            for label, there in zip(workspaces.labels, having, strict=True)
            if not there
        ]
        notes += [f"{label} has no heartbeat in the window, so of its machines nothing is told" for label in silent]
        whole = replace(whole, told=(whole.told or {}) | {"notes": [*workspaces.notes, *notes]})
        return replace(whole, inventory=inventory.read(whole.fleet), whole=whole.whole and not silent)


def _part(workspace, asked, machines, allow_unknown, cover=None, stopped=None):
    """Find out what happened in one workspace; or in several read as one, with their cover and where each stopped."""
    with workspace.leaving_out(allow_unknown) as unknown:
        fleet = heartbeats.fleet(workspace, asked, machines, cover.horizon if cover else None)
        spans = heartbeats.version_spans(fleet)
        runs = versions.runs(spans)
        changes = versions.transitions(runs)
        intervals = heartbeat_intervals(fleet)
        anew = made_anew(pd.concat([fleet.days, fleet.before, fleet.after], ignore_index=True))
        changes = changes[~within(changes.rename(columns={"last_old": "last", "first_new": "first"}), anew)]
        silent = silences(fleet, intervals)
        silent = silent[~within(silent, anew)]
        cover = cover or coverage.of_heartbeats(
            workspace, asked, fleet.horizon, heartbeats.beats(fleet), silent, fleet.everybody if fleet.asked else None
        )
        away, lost, samples, acts, proof, cover = _outages(fleet, runs, changes, silent, cover, unknown, intervals)
        everybody = heartbeats.everybody(fleet)
        stopped = stopped or [cover.stopped()]
        verdicts, quiet, unrecorded = _events(workspace, away, asked, everybody, machines, unknown, stopped)
        cover = cover.with_stretches(unrecorded)
        quiet = quiet[~of_two_machines(quiet, anew)]
        listing, taken = inventory.read(fleet)
        refused = dict(workspace.hidden or {})
        cover = replace(cover, missing=refused | cover.missing)
        whole = not unknown and not refused and not workspace.notes  # what is hidden may be shown tomorrow
    away, lost, verdicts = only_known(away, lost, verdicts, unknown, cover.horizon)
    changes = decision.of_changes(changes[changes["first_new"] >= asked.start], away)
    tables = {
        "machines": machine_table.table(
            fleet,
            spans,
            runs,
            intervals,
            anew,
            away,
            cover,
            unknown_spans(unknown, "Heartbeat"),
            partial_machines(result("gaps", lost)),
        ),
        "transitions": changes,
        "outages": away,
        "gaps": lost,
        "events": verdicts,
        "sources": quiet,
        "evidence": of_outages(proof, away),
    }
    tables = {name: result(name, frame) for name, frame in tables.items()}
    tables["machines"] = inventory.noted(tables["machines"], listing)
    tables["outages"]["evidence"] = _in_english(tables["outages"], tables["evidence"])
    frames = tables | {"runs": runs, "samples": samples}
    return parts.Part(frames, acts, (listing, taken), fleet, cover, unknown, refused, whole)


def _events(workspace, away, asked, everybody, machines, unknown, stopped):
    """Judge the event sources of each workspace by themselves: whoever reads one of them has not what another got."""
    if len(workspace.members) == 1:
        return events.check(workspace, away, asked, everybody, machines, unknown, stopped[0])
    judged, labels = [], cast("Workspaces", workspace).labels
    for member, label, own in zip(workspace.members, labels, stopped, strict=True):
        begun = len(member.log)
        verdicts, quiet, _ = events.check(member, away, asked, everybody, machines, unknown, own)
        workspace.log += member.log[begun:]
        judged.append((verdicts.assign(workspace=label), quiet.assign(workspace=label)))
    verdicts, quiet = (pd.concat(frames, ignore_index=True) for frames in zip(*judged, strict=True))
    return verdicts, quiet, {}


def _outages(fleet, runs, changes, silent, cover, unknown, intervals):
    """Find the outages of a fleet, their causes, and what each cost each stream."""
    acts = operations.operations(activity(fleet))
    tried = operations.on_agent(acts).rename(columns={"base": "resource_id"})
    silent = outages.candidates(silent, changes)
    machines = runs[MACHINE].drop_duplicates()
    sought = outages.attempts(tried, machines, silent)
    found = pd.concat([silent.assign(sought=False), sought.assign(sought=True)], ignore_index=True)
    unfetched = partial(unknown_spans, unknown, "Heartbeat")
    found = found[touches_none(found["last"], found["first"].fillna(cover.horizon), unfetched())]
    unrecorded = found[not_recorded(found, cover)]
    found = found.drop(index=unrecorded.index)
    samples, streams, beats = samples_around(fleet, found.reset_index(drop=True))
    cover = cover.with_streams(fleet.workspace, streams, samples, found, fleet.everybody)
    found = found[touches_none(found["last"], found["first"].fillna(cover.horizon), unfetched())]
    changed = set(changes[["resource_id", "computer", "last_old"]].itertuples(index=False, name=None))
    at_change = pd.MultiIndex.from_frame(found[[*MACHINE, "last"]]).isin(list(changed))
    found = found[at_change | ~clock_steps(found, beats)].reset_index(drop=True)
    samples, streams = (without_unknown_tables(frame, found, unknown, cover.horizon) for frame in (samples, streams))
    samples, streams = (without_unrecorded_tables(frame, found, cover) for frame in (samples, streams))
    beside = _with_other_agents(fleet, found, streams)
    holes = outages.holes(found, samples, streams, cover.horizon, changed, beside)
    holes = {
        index: widened(hole, cover)
        for index, hole in holes.items()
        if not found.loc[index, "sought"] or outages.touches(hole, fleet.window)
    }
    away = outages.table(found, holes, runs)
    around = evidence_around(fleet, found)
    proof = evidence.gather(away, acts, around["system"], around["uptime"], around["messages"], cover.horizon)
    said = [*(["AzureActivity"] if len(acts) else []), *streams["data_type"], *around["system"]["data_type"]]
    cover = cover.with_missing(fleet.workspace, said)
    undone = changes[versions.rolled_back(changes)]
    undone = set(undone[["resource_id", "computer", "from_version", "to_version"]].itertuples(index=False, name=None))
    away = away.assign(cause=decision.decide(away, proof, undone, cover.horizon), evidence="")
    proof = evidence.table(pd.concat([proof, decision.linked(away)]), away)
    lost = without_unrecorded_samples(losses.gaps(away, holes, cover.horizon), cover)
    heard = found[~found["sought"]]
    missed = lost_heartbeats(
        heard, {n: hole for n, hole in holes.items() if n in heard.index}, intervals, cover.horizon
    )
    seen = runs.groupby(MACHINE, as_index=False)["last"].max().rename(columns={"last": "last_seen"})
    over = ended_tables(streams, seen, cover.horizon)
    stream = [*MACHINE, "data_type", "stream"]
    told = over[stream].merge(lost.loc[lost["ongoing"].astype("bool"), stream].assign(told=True), how="left", on=stream)
    over = over[told["told"].isna().to_numpy()]
    reporting = len(machines) + len(machines_beside(fleet)[MACHINE].drop_duplicates())
    cut_off = disconnections(around["late"], away, reporting).merge(machines, on=MACHINE)
    cut_off = with_versions(cut_off, runs)
    unharmed = losses.unharmed(cut_off, streams)
    proof = pd.concat([proof, evidence.of_disconnections(cut_off)])
    unseen = unrecorded_changes(unrecorded, runs, changed)
    away = result("outages", pd.concat([away, cut_off.assign(evidence=""), unseen], ignore_index=True))
    return away, pd.concat([lost, unharmed, missed, over], ignore_index=True), samples, acts, proof, cover


def _with_other_agents(fleet, found, streams):
    """Name the machines whose heartbeat stays away while other tables go on, and another kind of agent as well."""
    latest = streams.groupby(MACHINE, as_index=False)["Last"].max()
    gone = found[found["first"].isna()].merge(latest, on=MACHINE)
    gone = gone[gone["Last"] > gone["last"] + pd.Timedelta(seconds=outages.FAST)]
    return frozenset(other_agents(fleet, gone).itertuples(index=False, name=None)) if len(gone) else frozenset()


def _in_english(away, proof):
    """Render the evidence of each outage for the column that people read; code reads the frame."""
    from amakit.prose.evidence import rendered  # the other import upwards: a rendering is words

    return pd.Series(["; ".join(statements) for statements in rendered(away, proof)], away.index, "str")


def _window(workspace, start, end):
    if start in (None, "") or end in (None, ""):
        span = data_span(workspace)
        start, end = (
            given if given not in (None, "") else own for given, own in ((start, span.start), (end, span.end))
        )
        return window(start, end)
    asked = window(start, end)
    if asked.end - asked.start > LONGEST:
        raise UsageError(
            f"the window from {iso(asked.start)} to {iso(asked.end)} is longer than the {LONGEST.days // 365} years "
            "for which Log Analytics keeps rows; give a shorter one"
        )
    return asked
