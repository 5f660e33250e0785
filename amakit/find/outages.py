"""Outages: stretches in which an agent delivered no sample on any stream, with bracketed ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from amakit.find.schedules import Schedule, on_phase, schedule, split
from amakit.find.versions import versions_around
from amakit.schemas import MACHINE, RESULTS, frame_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from amakit.intervals import Window

#: Streams up to this interval say whether an agent runs; slower ones have too little to say.
FAST = 150.0
#: The platform's rows of an operation lie this far around the outage that it makes.
_LEAD, _TRAIL = pd.Timedelta(minutes=2), pd.Timedelta(minutes=5)
#: A stream whose last sample lies more intervals before an outage had ended by then.
_ALIVE = 2.5
#: Two intervals that differ by a larger share are those of two collection rules.
_CHANGED = 0.1
_EDGES = ("start_earliest", "start_latest", "end_earliest", "end_latest")


@dataclass(frozen=True)
class Track:
    """One stream beside an outage; times in seconds since 1970.

    Attributes
    ----------
    data_type, stream : str
    last, first : float
        The samples around the outage; ``first`` is NaN where none came.
    plan : Schedule
        From the samples before it, or after it where too few came before.
    kept : bool or None
        Whether the stream resumed on its old schedule; None where that cannot be told.
    back : float
        Seconds between samples afterwards; where a rule changed them with the outage, other than before.
    """

    data_type: str
    stream: str
    last: float
    first: float
    plan: Schedule
    kept: bool | None
    back: float = np.nan

    @property
    def interval_after(self) -> float:
        """Seconds between samples afterwards; those of before where nothing else is known."""
        return self.plan.interval if np.isnan(self.back) else self.back


@dataclass(frozen=True)
class Hole:
    """An outage as its streams show it: the four ends of its brackets in seconds since 1970, NaN for none.

    ``seen`` is False where only the version tells of it: then no stream missed a sample.
    """

    start_earliest: float
    start_latest: float
    end_earliest: float
    end_latest: float
    tracks: tuple
    seen: bool = True

    @property
    def ongoing(self) -> bool:
        """Whether nothing came back."""
        return bool(np.isnan(self.end_latest))


@dataclass(frozen=True)
class Stretch:
    """Where an outage may be, in seconds since 1970.

    Attributes
    ----------
    last, first : float
        The heartbeats around it; ``first`` is NaN where none came.
    previous, following : float
        The end of the outage before, and the last heartbeat before the next stretch.
    since : float
        The beginning of the outage before, or of those before it that followed each other at once.
    """

    last: float
    first: float
    previous: float
    following: float
    since: float = -np.inf


def candidates(silences: pd.DataFrame, changes: pd.DataFrame) -> pd.DataFrame:
    """Put together where an outage may be: every silence, and every change of version.

    Parameters
    ----------
    silences : pandas.DataFrame
        As `amakit.fetch.silences.silences` gives them.
    changes : pandas.DataFrame
        As `amakit.find.versions.transitions` gives them.

    Returns
    -------
    pandas.DataFrame
        resource_id, computer, last, first; of stretches of one machine that overlap only what they share.

    Examples
    --------
    >>> t = pd.to_datetime(["2026-03-02 10:00", "2026-03-02 10:05"], utc=True)
    >>> silent = pd.DataFrame({"resource_id": "", "computer": "a", "agent": "", "last": t[:1], "first": t[1:]})
    >>> change = pd.DataFrame({"resource_id": "", "computer": "a", "last_old": t[:1], "first_new": t[1:]})
    >>> len(candidates(silent, change))
    1
    """
    named = changes.rename(columns={"last_old": "last", "first_new": "first"})
    found = pd.concat([silences, named])[[*MACHINE, "last", "first"]]
    found = found.sort_values([*MACHINE, "last"], ignore_index=True)
    far = found["first"].fillna(pd.Timestamp("2262-01-01", tz="UTC").as_unit("us"))
    reached = far.groupby([found[k] for k in MACHINE]).cummax().groupby([found[k] for k in MACHINE]).shift()
    number = (~(found["last"] < reached)).cumsum()
    grouped = found.assign(far=far).groupby(number)
    shared = grouped.agg(**{k: (k, "first") for k in MACHINE}, last=("last", "max"), far=("far", "min"))
    unknown = shared["far"] >= pd.Timestamp("2262-01-01", tz="UTC")
    shared = shared.assign(first=shared["far"].mask(unknown)).drop(columns="far")
    return shared[shared["first"].isna() | (shared["last"] < shared["first"])].reset_index(drop=True)


def attempts(operations: pd.DataFrame, fleet_machines: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Find the stretches around operations on the agent's extension in which no outage is known yet.

    An attempt that failed before the new version sent a heartbeat may have cost less than one heartbeat; only
    faster streams show it then.

    Parameters
    ----------
    operations : pandas.DataFrame
        resource_id, computer, began, ended.
    fleet_machines : pandas.DataFrame
        resource_id and computer of every machine that reports.
    known : pandas.DataFrame
        As `candidates` gives them.

    Returns
    -------
    pandas.DataFrame
        resource_id, computer, last, first.
    """
    near = operations.merge(fleet_machines, on="resource_id")
    stretch = near.assign(last=near["began"] - _LEAD, first=near["ended"] + _TRAIL)
    pairs = stretch.reset_index().merge(known, on=MACHINE, suffixes=("", "_known"))
    overlap = (pairs["last_known"] < pairs["first"]) & ~(pairs["first_known"] <= pairs["last"])
    free = stretch.drop(index=pairs.loc[overlap, "index"].unique())
    return free[[*MACHINE, "last", "first"]].drop_duplicates(ignore_index=True)


def holes(
    found: pd.DataFrame,
    samples: pd.DataFrame,
    streams: pd.DataFrame,
    horizon: pd.Timestamp,
    changed: set[tuple],
    beside: frozenset[tuple] = frozenset(),
) -> dict[int, Hole]:
    """Find the outage in each candidate stretch, and bracket its ends by all streams of its machine.

    Parameters
    ----------
    found : pandas.DataFrame
        As `candidates` gives them.
    samples, streams : pandas.DataFrame
        As `amakit.fetch.samples.samples_around` gives them.
    horizon : pandas.Timestamp
        Up to when data may be taken as complete.
    changed : set of tuple
        (resource_id, computer, last of the stretch) of the candidates at which the version changed.
    beside : set of tuple
        (resource_id, computer) of the machines on which another agent goes on: what still comes may be its.

    Returns
    -------
    dict of int to Hole
        By the index of ``found``; candidates that are no outage are left out.
    """
    seconds = samples["TimeGenerated"].astype("int64").to_numpy() / 1e6
    tracks = {}
    keys = [*MACHINE, "data_type", "stream"]
    for name, index in samples.groupby(keys, sort=False).indices.items():
        tracks.setdefault(name[:2], {})[name[2:]] = np.sort(seconds[index])
    latest = streams.groupby(MACHINE)["Last"].max().to_dict() if len(streams) else {}
    usual = {}
    for row in streams[streams["Samples"] > 1].itertuples():
        every = (row.Last - row.First).total_seconds() / (row.Samples - 1)
        usual.setdefault((row.resource_id, row.computer), {})[row.data_type, row.stream] = every
    result = {}
    ordered = found.sort_values([*MACHINE, "last"])[[*MACHINE, "last", "first"]]
    following = ordered.groupby(MACHINE)["last"].shift(-1)
    previous, since = {}, {}
    for (index, resource, computer, last, first), coming in zip(ordered.itertuples(), following, strict=True):
        machine = resource, computer
        own = tracks.get(machine, {})
        if pd.isna(first) and latest.get(machine, last) > last + pd.Timedelta(seconds=FAST):
            own = ended(own, last.timestamp(), machine in beside)
            if not own:
                continue  # the other streams go on: the heartbeat is lost, the agent is not
        stretch = Stretch(
            last.timestamp(),
            np.nan if pd.isna(first) else first.timestamp(),
            previous.get(machine, -np.inf),
            np.inf if pd.isna(coming) else coming.timestamp(),
            since.get(machine, -np.inf),
        )
        hole = _hole(own, usual.get(machine, {}), stretch, horizon.timestamp(), (*machine, last) in changed)
        if hole is not None:
            result[index] = hole
            if hole.start_earliest - stretch.previous > FAST:
                since[machine] = hole.start_earliest
            previous[machine] = hole.end_latest
    return result


def ended(streams: Mapping[tuple, np.ndarray], last: float, beside: bool) -> dict[tuple, np.ndarray]:
    """Find what ended with an agent's heartbeat where some of its machine's streams go on.

    Those that go on may be another agent's: one is known to be there, or a stream was fed by two schedules of which
    one ended.  Elsewhere the agent itself goes on, and nothing is given.
    """
    parts, proof, over = {}, beside, False
    for key, times in streams.items():
        schedules = split(times[times <= last + FAST], times[times > last + FAST])
        gone = [before for before, after in schedules if not len(after)]
        proof |= 0 < len(gone) < len(schedules)
        over |= len(gone) < len(schedules)
        if gone:
            parts[key] = np.sort(np.concatenate(gone))
    return parts if proof or not over else {}


def _hole(streams, usual, stretch, horizon, changed):
    """Bracket the outage in a stretch by all streams; None where there is none."""
    if np.isnan(stretch.first):
        before = [t[t <= horizon] for t in streams.values()]
        left, right = max([stretch.last, *(t[-1] for t in before if len(t))]), np.nan
    else:
        found = _where(streams, stretch)
        if found is None and not changed:
            return None
        if found is None:  # the version changed, and no stream shows when
            left, right = stretch.last, stretch.first
            return Hole(left, right, left, right, _tracks(streams, left, right, usual, stretch), seen=False)
        left, right = found
    tracks = _tracks(streams, left, right, usual, stretch)
    start_latest, end_earliest = _inner(tracks, left, right, stretch)
    hole = Hole(left, start_latest, end_earliest, right, tracks)
    return hole if changed or np.isnan(right) or _is_outage(tracks, right, stretch) else None


def _where(streams, stretch):
    """Find the longest time without any sample that all streams which missed one, or lost their phase, share."""
    left, right = stretch.last, stretch.first
    inside, off = [], False
    for times in _schedules(streams, stretch):
        inside.append(times[(times >= stretch.last) & (times <= stretch.first)])
        plan = schedule(times[times <= stretch.last])
        reach = np.inf if plan is None else plan.interval
        near = times[(times >= stretch.last - reach) & (times <= stretch.first + reach)]
        if plan is None or len(near) < 2 or near[0] < stretch.previous:
            continue
        wrong = np.abs(np.diff(near) - plan.interval)
        at = int(np.argmax(wrong))
        if wrong[at] > plan.tolerance() and near[at] < right and near[at + 1] > left:
            left, right, off = max(left, near[at]), min(right, near[at + 1]), True
    if not off:
        return None
    merged = np.unique(np.concatenate([*inside, [left, right]]))
    merged = merged[(merged >= left) & (merged <= right)]
    at = int(np.argmax(np.diff(merged)))
    return float(merged[at]), float(merged[at + 1])


def _schedules(streams, stretch):
    """Give the samples of each schedule around a stretch: a stream that two rules feed has two."""
    for times in streams.values():
        for before, after in split(times[times <= stretch.last], times[times > stretch.last]):
            yield np.concatenate([before, after])


def _tracks(streams, left, right, usual, stretch):
    found = []
    for key, times in streams.items():
        before = times[times <= left]
        after = times[times >= right] if not np.isnan(right) else times[:0]
        found += [_track(key, *part, left, usual.get(key), stretch) for part in split(before, after)]
    return tuple(track for track in found if track is not None)


def _track(key, before, after, left, usual, stretch):
    """Describe a stream beside an outage; None where it had ended before, or there is too little to say of it."""
    plan = schedule(before) or schedule(after[:60])
    if plan is None and usual is not None:  # too few samples near: what the whole window says is rougher
        plan = Schedule(usual, 0.01 * usual, 0.01 * usual)
    if plan is None or not len(before):
        return None
    reach = _ALIVE * plan.interval  # it may not have come back yet after an outage just before
    if before[-1] < (left if left - stretch.previous > reach else min(left, stretch.since)) - reach:
        return None
    first = after[0] if len(after) else np.nan
    later = schedule(after[:60])
    changed = later is not None and abs(later.interval - plan.interval) > _CHANGED * plan.interval
    kept = on_phase(before[-1], first, plan) if len(after) and not changed else None
    table, stream = key
    back = later.interval if later is not None and changed else plan.interval
    return Track(table, stream, float(before[-1]), float(first), plan, False if changed else kept, back)


def _inner(tracks, left, right, stretch):
    """Give the latest start and the earliest end that the schedules allow.

    A stream that was not seen since the outage before says nothing of the start, and one that comes back only
    after the outage that follows says nothing of the end.
    """
    far = np.inf if np.isnan(right) else right
    start, end = far, left
    for track in tracks:
        tolerance = track.plan.tolerance()
        due = track.last + track.plan.interval + tolerance
        if track.last >= stretch.previous and left <= due < far - 2 * tolerance:
            start = min(start, due)
        back = track.first - track.interval_after - tolerance
        if track.first <= stretch.following + track.interval_after and left <= back <= far:
            end = max(end, back)
    if np.isnan(right):
        return (start if np.isfinite(start) else left), np.nan
    return min(start, far), max(end, left)


def _is_outage(tracks, right, stretch):
    """Say whether a hole without a change of version is more than one stream's lost sample."""
    fast = [t for t in tracks if t.plan.interval <= FAST and t.last >= stretch.previous]
    missed = [t for t in fast if t.last + t.plan.interval < right - t.plan.tolerance()]
    restarted = [t for t in fast if t.kept is False]
    return len(missed) >= 2 or (bool(missed) and (len(fast) == 1 or len(restarted) * 2 > len(fast)))


def touches(hole: Hole, window: "Window") -> bool:
    """Say whether an outage reaches into a window; attempts are read from a day before it, and may show others.

    Parameters
    ----------
    hole : Hole
    window : Window

    Returns
    -------
    bool

    Examples
    --------
    >>> from amakit.intervals import window
    >>> at = pd.Timestamp("2026-03-02", tz="UTC").timestamp()
    >>> touches(Hole(at - 90, at - 80, at - 20, at, ()), window("2026-03-02", "2026-03-03"))
    False
    """
    start, end = window.start.timestamp(), window.end.timestamp()
    return hole.start_earliest < end and (hole.ongoing or hole.end_latest > start)


def table(found: pd.DataFrame, holes: Mapping[int, Hole], runs: pd.DataFrame) -> pd.DataFrame:
    """Lay out the outages as rows, with the versions around them; their causes are not known yet.

    Parameters
    ----------
    found : pandas.DataFrame
        As `candidates` gives them.
    holes : dict of int to Hole
    runs : pandas.DataFrame
        As `amakit.find.versions.runs` gives them.

    Returns
    -------
    pandas.DataFrame
        On the index of ``found``: the columns of the result table ``outages`` but for cause and evidence.
    """
    at = pd.Index(list(holes), dtype="int64")
    own = found.loc[at, [*MACHINE, "last", "first"]]
    before, after = versions_around(own, runs)
    systems = runs.groupby(MACHINE)["os_type"].last().rename("os_type")
    edges = [np.array([getattr(hole, edge) for hole in holes.values()], dtype="float64") for edge in _EDGES]
    columns = {
        **{key: found.loc[at, key] for key in MACHINE},
        "os_type": own.join(systems, on=MACHINE)["os_type"],
        "from_version": before,
        "to_version": after,
        **dict(zip(_EDGES, map(instants, edges), strict=True)),
        **dict(zip(("downtime_s", "downtime_low_s", "downtime_high_s"), downtime(*edges), strict=True)),
        "ongoing": [hole.ongoing for hole in holes.values()],
    }
    types = {name: kind for name, kind in RESULTS["outages"].items() if name not in ("cause", "evidence")}
    return frame_of({name: pd.Series(columns[name]).array for name in types}, types).set_index(at)


def downtime(start_earliest: Any, start_latest: Any, end_earliest: Any, end_latest: Any) -> tuple:
    """Give the difference of the two midpoints, and the least and the most that the brackets allow.

    To the microsecond: instants in seconds since 1970 hold no more, and an outage of nothing has not a length of 1e-7.
    """
    middle = (end_earliest + end_latest - start_earliest - start_latest) / 2
    spans = np.maximum(middle, 0.0), np.maximum(end_earliest - start_latest, 0.0), end_latest - start_earliest
    return tuple(np.round(span, 6) for span in spans)


def instants(seconds: "ArrayLike") -> pd.DatetimeIndex:
    """Turn seconds since 1970 into instants; NaN into none."""
    seconds = np.asarray(seconds, dtype="float64")
    whole = np.where(np.isnan(seconds), np.iinfo("int64").min, np.round(np.nan_to_num(seconds) * 1e6)).astype("int64")
    return pd.DatetimeIndex(whole.view("M8[us]"), tz="UTC")


def phase_kept(hole: Hole) -> bool:
    """Say whether the agent went on with its old schedule, as most of its fast streams show.

    Parameters
    ----------
    hole : Hole

    Returns
    -------
    bool
        False also where it cannot be told, which makes bounds wider, not narrower.
    """
    told = [t.kept for t in hole.tracks if t.kept is not None and t.plan.interval <= FAST]
    return bool(told) and sum(told) * 2 > len(told)
