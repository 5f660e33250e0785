"""Which stretch of which table is really there: what everything that is claimed rests on."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from amakit.exports.table_files import LIMITS, limit_of
from amakit.intervals import Window, instant, iso
from amakit.recorded.common import MOST, SHARE, common_end, common_holes, near_by
from amakit.recorded.horizon import ALL, BEAT, STEADY, horizon
from amakit.recorded.other_machines import heartbeat_holes, table_holes
from amakit.recorded.survey import COSTS
from amakit.schemas import MACHINE

if TYPE_CHECKING:
    from amakit.source.workspace import Workspace

_NEAR = near_by(BEAT)
#: A machine that is silent for so long may be so because the workspace stopped collecting.
_STOPPED = pd.Timedelta(minutes=30)
#: The workspace's own messages lie this far from what they tell of.
_LAG = pd.Timedelta(minutes=15)
#: Files of a table with more rows than this are not counted one by one.
_COUNTED = 600_000
#: Of a stream with fewer samples the interval cannot be told.
_TELLING = 3
#: Tables end this much before the heartbeats without that meaning anything.
_SLACK = pd.Timedelta(minutes=5)


@dataclass(frozen=True)
class Coverage:
    """What is known of each table in a window, made once in an analysis and asked by everything else.

    Attributes
    ----------
    window : Window
    horizon : pandas.Timestamp
        Up to when heartbeats are known; see `known_until`.
    extents : dict of str to dict
        By table: begins and ends, the instants from and up to which it is known in the window, and interval, the
        seconds between its samples.
    missing : dict of str to str
        Why a table that the analysis would use tells nothing: it is absent, or gave no row in the window (empty, or
        hidden from the user), or what the service answered.
    stretches : tuple of dict
        What was not recorded: start, end, table, why (``begins``, ``ends``, ``hole``, ``cap`` or ``limit``) and
        reason, a sentence without its point.
    settled : bool
        Whether all of it is known, so that nothing is added; see `amakit.several.homes.united`.
    of_machines : dict
        By resource_id and computer, stretches in which heartbeats of that machine alone were not recorded.
    """

    window: Window
    horizon: pd.Timestamp
    extents: dict = field(default_factory=dict)
    missing: dict = field(default_factory=dict)
    stretches: tuple = ()
    settled: bool = False
    of_machines: dict = field(default_factory=dict)

    def spans(self, table: str) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
        """Give the stretches ``[start, end)`` of the window in which a table was not recorded."""
        return [(instant(s["start"]), instant(s["end"])) for s in self.stretches if s["table"] == table]

    def stopped(self) -> list[dict]:
        """Give the stretches of heartbeats in the midst of the window: nothing at all may have been recorded there."""
        return [s for s in self.stretches if s["table"] == "Heartbeat" and s["why"] in ("hole", "cap")]

    def near(self, table: str) -> pd.Timedelta:
        """Give how far from the edge of a stretch its last sample may lie: two intervals of the table."""
        return near_by(self.extents.get(table, {}).get("interval", BEAT))

    def with_streams(
        self,
        workspace: "Workspace",
        streams: pd.DataFrame,
        samples: pd.DataFrame,
        around: pd.DataFrame,
        everybody: pd.DataFrame,
    ) -> "Coverage":
        """Add where the tables beside Heartbeat begin, end and have holes; see `_extent`.

        Parameters
        ----------
        workspace : Workspace
        streams : pandas.DataFrame
            resource_id, computer, data_type, stream, First, Last, Samples of every stream in the window.
        samples : pandas.DataFrame
            resource_id, computer, data_type, TimeGenerated around what may be outages.
        around : pandas.DataFrame
            resource_id, computer, last and first of what may be outages: a machine whose rows end with its own
            outage says nothing of the table's end.
        everybody : pandas.DataFrame
            ResourceId and Computer of all machines there are.
        """
        if self.settled:
            return self
        extents, stretches = dict(self.extents), list(self.stretches)
        alone = not workspace.live and not workspace.taken
        computers = everybody.groupby("ResourceId")["Computer"].nunique()
        shared = sorted(set(computers.index[computers > 1]) - {""})
        for table, own in streams.groupby("data_type"):
            extent = _extent(own, around, self, alone)
            if extent is None:
                continue
            extents[table] = extent
            told = []
            if cut := _cut(workspace, table):
                told.append((self.window.start, self.window.end, "limit", cut))
            if extent["begins"] > self.window.start:
                told.append(_beginning(self.window, extent["begins"]))
            if extent["ends"] < self.horizon:
                told.append(_ending(self.window, extent["ends"]))
            rows = samples[samples["data_type"] == table]
            inside = around[(around["last"] > extent["begins"]) & (around["last"] < extent["ends"])]
            inside = inside.merge(own[MACHINE].drop_duplicates(), on=MACHINE)
            holes = table_holes(workspace, table, extent["interval"], rows, inside, shared)
            told += [(row.start, row.end, "hole", _lacked(row.machines)) for row in holes.itertuples()]
            stretches += _told(table, told)
        return replace(self, extents=extents, stretches=tuple(stretches))

    def with_stretches(self, tables: dict[str, list]) -> "Coverage":
        """Add where tables of events were not recorded; see `amakit.events.check`.

        Parameters
        ----------
        tables : dict of str to list
            By table: start, end, and how many machines lack it, or None where its rows begin or end there.
        """
        if self.settled:
            return self
        told = list(self.stretches)
        for table, stretches in tables.items():
            for start, end, machines in stretches:
                if machines:
                    reason = start, end, "hole", _lacked(machines)
                else:
                    reason = _ending(self.window, start) if end >= self.horizon else _beginning(self.window, end)
                told += _told(table, [reason])
        return replace(self, stretches=tuple(told))

    def with_missing(self, workspace: "Workspace", told: Iterable[str]) -> "Coverage":
        """Add which tables that the analysis would use tell nothing, and why.

        Parameters
        ----------
        workspace : Workspace
        told : iterable of str
            Tables of which rows were seen.  A table of which none were is asked whether it holds any.
        """
        if self.settled:
            return self
        missing, refused = {}, workspace.refused | (workspace.hidden or {})
        for table in sorted(set(COSTS) - set(told) - {"Heartbeat"}):
            if table in refused:
                missing[table] = refused[table]
            elif table not in workspace.tables:
                missing[table] = "absent"
            else:
                parts = [{"table": table, "start": w.start, "end": w.end} for w in self.window.slices()]
                rows = sum(int(frame["Rows"].sum()) for frame in workspace.ask_all("table_rows", parts))
                if workspace.hidden and table in workspace.hidden:
                    missing[table] = workspace.hidden[table]
                elif not rows:
                    missing[table] = "empty, or hidden from you"
        return replace(self, missing=missing)

    def record(self) -> dict:
        """Give what ``run.json`` says of each table."""
        told = {
            table: {name: iso(value) if name != "interval" else value for name, value in extent.items()}
            for table, extent in self.extents.items()
        }
        return told | {table: {"missing": why} for table, why in self.missing.items()}


def of_heartbeats(
    workspace: "Workspace",
    window: Window,
    until: pd.Timestamp,
    beats: pd.DataFrame,
    silences: pd.DataFrame,
    everybody: pd.DataFrame | None = None,
) -> Coverage:
    """Find where heartbeats were not recorded.

    Parameters
    ----------
    workspace : Workspace
    window : Window
    until : pandas.Timestamp
        As `known_until` gives it.
    beats : pandas.DataFrame
        resource_id, computer, FirstBeat, LastBeat, Beats (NaN where only the ends are known).
    silences : pandas.DataFrame
        As `amakit.fetch.silences.silences` gives them.
    everybody : pandas.DataFrame, optional
        Where ``beats`` and ``silences`` are those of some machines only: all of them, as
        `amakit.fetch.heartbeats.Fleet` has them.  The others are asked about around each long silence.

    Returns
    -------
    Coverage
    """
    all_beats = beats if everybody is None else everybody
    spans = all_beats.groupby(MACHINE).agg(first=("FirstBeat", "min"), last=("LastBeat", "max")).reset_index()
    intervals = _intervals(beats, silences)
    if everybody is None:
        holes = common_holes(silences, spans, intervals, BEAT)
    else:
        holes = heartbeat_holes(workspace, everybody, silences, intervals, BEAT)
    stops = _stops(workspace, window, silences, len(holes), len(spans))
    told = [
        (row.start, row.end, "cap", "the workspace stopped collecting, as its table Operation says")
        if any(stop - _LAG <= row.start and row.end <= start + _LAG for stop, start in stops)
        else (row.start, row.end, "hole", _lacked(row.machines))
        for row in holes.itertuples()
    ]
    for stop, start in stops:
        inside = silences[(silences["last"] >= stop - _LAG) & (silences["first"] <= start + _LAG)]
        inside = inside[inside["first"] - inside["last"] > (start - stop) / 2]
        if len(inside) and not any(since < start and until > stop for since, until, *_ in told):
            told.append(
                (
                    inside["last"].max(),
                    inside["first"].min(),
                    "cap",
                    "the workspace stopped collecting, as its table Operation says",
                )
            )
    begins = spans["first"].min() if len(spans) else window.end
    extent = {"begins": max(begins, window.start), "ends": until, "interval": BEAT}
    thin = _thinned(beats, window)
    if thin and (cut := _cut(workspace, "Heartbeat")):
        told += [(since, end, "limit", cut) for since, end in thin]
    if begins > window.start + _NEAR:
        told.append(_beginning(window, begins))
    if until < horizon(window):
        told.append(_ending(window, until))
    return Coverage(window, until, {"Heartbeat": extent}, stretches=_told("Heartbeat", told))


def _beginning(window, begins):
    return window.start, begins, "begins", f"its rows begin at {iso(begins)}"


def _ending(window, ends):
    return ends, window.end, "ends", f"its rows end at {iso(ends)}"


def _lacked(machines):
    return f"{machines} machines lack it at once"


def _told(table, stretches):
    return tuple(
        {"start": iso(start), "end": iso(end), "table": table, "why": why, "reason": reason}
        for start, end, why, reason in sorted(stretches)
    )


def _cut(workspace, table):
    """Say which files of a table a limit probably cut; nothing where none."""
    rows, *_ = workspace.extent(table)
    if workspace.taken or workspace.synthetic or rows is None or not min(LIMITS) <= rows <= _COUNTED:
        return ""
    counts = workspace.rows_by_file(table).items()
    files = [f"{Path(path).name} has exactly {n:,} rows, {limit}" for path, n in counts if (limit := limit_of(n))]
    return "; ".join(files)


def _thinned(beats, window):
    """Give the days on which nearly every machine lacks more than one beat in fifty; those that follow are joined."""
    days = beats[beats["Beats"] >= 2].assign(Day=lambda rows: rows["FirstBeat"].dt.floor("D").array)
    due = (days["LastBeat"] - days["FirstBeat"]).dt.total_seconds() / BEAT + 1
    thin = (days["Beats"].astype("float64") < 0.98 * due).groupby(days["Day"].array).mean()
    thin = thin[thin >= SHARE].index.to_series()
    ends = thin.groupby((thin.diff() != pd.Timedelta(days=1)).cumsum()).agg(["min", "max"])
    return [(max(a, window.start), min(b + pd.Timedelta(days=1), window.end)) for a, b in ends.itertuples(index=False)]


def _intervals(beats, silences):
    """Estimate the seconds between the beats of each machine from its days, without what is silent in them."""
    days = beats[beats["Beats"] >= STEADY].reset_index(drop=True)
    pairs = days.reset_index()[["index", *MACHINE, "FirstBeat", "LastBeat"]].merge(silences.dropna(), on=MACHINE)
    pairs = pairs[(pairs["last"] >= pairs["FirstBeat"]) & (pairs["first"] <= pairs["LastBeat"])]
    silent = (pairs["first"] - pairs["last"]).dt.total_seconds().groupby(pairs["index"]).agg(["sum", "size"])
    silent = silent.reindex(days.index, fill_value=0)
    length = (days["LastBeat"] - days["FirstBeat"]).dt.total_seconds()
    each = (length - silent["sum"]) / (days["Beats"].astype("float64") - 1 - silent["size"])
    return each.groupby([days[key] for key in MACHINE]).median()


def _stops(workspace, window, silences, holes, machines):
    """Read when the workspace stopped collecting, and began again, where nearly every machine was silent for long."""
    long = silences.loc[silences["first"] - silences["last"] >= _STOPPED, MACHINE].drop_duplicates()
    if "Operation" not in workspace.tables or not (holes or len(long) >= SHARE * machines):
        return []
    parts = [workspace.ask("collection_stops", start=part.start, end=part.end) for part in window.slices()]
    rows = pd.concat(parts).sort_values("TimeGenerated")
    found, since = [], None
    for row in rows.itertuples():
        if row.Stopped and since is None:
            since = row.TimeGenerated
        elif not row.Stopped and since is not None:
            found.append((since, row.TimeGenerated))
            since = None
    return found if since is None else [*found, (since, since + pd.Timedelta(days=1))]


def _extent(streams, around, cover, alone):
    """Give from when and up to when a table was recorded; nothing where its interval is not known."""
    each = (streams["Last"] - streams["First"]).dt.total_seconds() / (streams["Samples"] - 1).where(
        streams["Samples"] >= _TELLING
    )
    interval = each.groupby([streams[key] for key in MACHINE]).min().median()
    if pd.isna(interval):
        return None
    interval = round(float(interval), 3)
    edges = streams.groupby(MACHINE).agg(first=("First", "min"), last=("Last", "max")).reset_index()
    begins, ends = (_edge(edges, name, around, interval, alone) for name in ("first", "last"))
    slack = max(1.5 * near_by(interval), _SLACK)
    return {
        "begins": begins if begins > cover.window.start + slack else cover.window.start,
        "ends": ends if ends < cover.horizon - slack else cover.horizon,
        "interval": interval,
    }


def _edge(edges, name, around, interval, alone):
    """Give the common edge of the rows of machines, but for those whose rows end or begin with their own outage."""
    interval = max(interval, BEAT)
    near, at = near_by(interval), edges[[*MACHINE]].assign(at=edges[name])
    pairs = at.merge(around[[*MACHINE, "last", "first"]], on=MACHINE)
    own = pairs[(pairs["at"] >= pairs["last"] - near) & ~(pairs["at"] > pairs["first"] + near)]
    excused = pd.MultiIndex.from_frame(at[MACHINE]).isin(pd.MultiIndex.from_frame(own[MACHINE]))
    times = at.loc[~excused, "at"]
    if len(times) >= MOST:
        turned = ALL.start + (ALL.end - times)  # a common beginning is the common end of time turned round
        return common_end(times, interval) if name == "last" else ALL.start + (ALL.end - common_end(turned, interval))
    together = alone and len(times) and times.max() - times.min() <= near
    return (times.max() if name == "last" else times.min()) if together else pd.NaT
