"""Scores of `amakit analyze` against fleets whose truth is known, and the slow obvious way to the brackets.

For development: ``python tests/scores.py --seeds 1-10 [--demo] [--worst N]`` prints the figures of several fleets
side by side and, for each figure, what spoilt it most.

What the definitions leave open is left out, not guessed: an outage that took nothing and changed no version cannot
be found, and one that took from other streams only, no heartbeat, has a figure of its own; how much an agent that never came back has lost depends on the horizon; a network failure has no bracket.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))
from simulator import Truth, simulate

from amakit.schemas import RESULTS, Verdict

#: Name of a figure to the least that design.md section 6 asks for; None where nothing is asked.
TARGETS = {
    "outages found": 1.0, "found, no beat lost": None, "outages that are true": 1.0, "upgrades that are true": 1.0, "transitions found": 1.0,
    "transitions that are true": 1.0, "transition causes": 0.98, "cause right": 0.98, "versions right": 1.0,
    "ongoing right": 1.0, "true starts inside": 0.995, "true ends inside": 0.995, "downtime inside": 0.995,
    "losses inside": 0.995, "losses exact": 0.90, "losses exact, some lost": None, "losses ongoing": None,
    "partial agents found": 1.0, "partial agents true": 1.0, "gap rows that are true": 1.0, "network failures inside": None,
    "event verdicts": 0.97, "event losses found": 0.97, "event losses true": 1.0, "event recoveries found": None, "machines listed": 1.0, "frames sane": 1.0,
}  # fmt: skip
_EDGES = ["start_earliest", "start_latest", "end_earliest", "end_latest"]
_MACHINE = ["resource_id", "computer"]
_LOSS = {"partial_loss", "possible_loss", "returned_late", "stopped"}
_FAR = pd.Timestamp("2200-01-01", tz="UTC")


@dataclass
class Figure:
    """How often something was right, and every time that it was not: (how bad, what was expected and what came)."""

    hits: int = 0
    total: int = 0
    worst: list = field(default_factory=list)

    def add(self, right, told="", badness=1.0):
        self.hits += bool(right)
        self.total += 1
        if not right:
            self.worst.append((float(badness), told))

    @property
    def value(self):
        return self.hits / self.total if self.total else np.nan


@dataclass
class Score:
    """All figures of one fleet.

    Attributes
    ----------
    figures : dict of str to Figure
        By the names in `TARGETS`.
    causes, verdicts : Counter
        Pairs of what was true and what was said.
    widths : dict of str to float
        Medians in seconds.
    by_type : dict of str to tuple of Figure
        For each data type, and for each way to keep the phase: losses inside, losses exact.
    left_out : int
        True outages that nothing in the rows can show, and that were not found either.
    """

    figures: dict
    causes: Counter
    verdicts: Counter
    widths: dict
    by_type: dict
    left_out: int = 0

    def __getitem__(self, name):
        return self.figures[name].value


# -- the truth of a demo folder ------------------------------------------------------------------------------------


def truth_of_demo(folder):
    """Read the truth that ``amakit demo`` wrote beside its tables."""
    folder = Path(folder)
    about = json.loads((folder / "_demo.json").read_text(encoding="utf-8"))
    frames = {
        name: pd.read_csv(folder / "truth" / f"{name}.csv", keep_default_na=False)
        for name in ("machines", "outages", "transitions", "losses", "events")
    }
    for frame in frames.values():
        frame[_MACHINE] = frame[_MACHINE].astype(str).apply(lambda c: c.str.lower())
        for column in {"start", "end", "outage_start", "last_old", "first_new"} & set(frame):
            frame[column] = pd.to_datetime(frame[column], utc=True, format="ISO8601")
        if "ongoing" in frame:
            frame["ongoing"] = frame["ongoing"].astype(str).str.lower() == "true"
    frames["machines"] = frames["machines"].rename(columns={"version_at_end": "version"})
    outages, losses = frames["outages"], frames["losses"]
    taken = losses.groupby([*_MACHINE, "outage_start"])["lost"].sum()
    lost = pd.Series([taken.get((o.resource_id, o.computer, o.start), 0) for o in outages.itertuples()], outages.index)
    changed = outages["from_version"] != outages["to_version"]
    roles = np.array(_of_machine(outages, frames["machines"], "role"))
    frames["outages"] = outages.assign(
        findable=(lost > 1) | changed | (outages["cause"] == "disconnected"),
        # after a crash nothing says whether somebody pulled the plug
        cause_also=np.where(roles == "crashed", "machine_stopped", ""),
        machine_off=outages["cause"].isin(["machine_stopped", "machine_restarted"]),
        story=roles,
        phase=_of_machine(outages, frames["machines"], "phase"),
    )
    return Truth(pd.Timestamp(about["start"]), pd.Timestamp(about["end"]), **frames)


def _of_machine(outages, machines, column):
    known = {_who(m): getattr(m, column) for m in machines.itertuples()}
    return [known.get(_who(o), "") for o in outages.itertuples()]


# -- which found outage is which true one ------------------------------------------------------------------------------


def _who(row):
    return str(row.resource_id).lower(), str(row.computer).lower()


def _numbers(version):
    """Give a version as four numbers, for comparing; an unknown one is empty."""
    parts = [int(p) for p in re.findall(r"\d+", str(version).split("-")[0])] if isinstance(version, str) else []
    return tuple(parts + [0] * (4 - len(parts))) if parts else ()


def _seconds(delta):
    return delta.total_seconds()


def _overlap(true, found):
    """Say how much of both is shared, from 0 to 1; what still goes on ends far in the future."""
    ends = [_FAR if pd.isna(e) else e for e in (true.end, found.end_latest)]
    if ends[0] < ends[1] == _FAR:  # else every claim that goes on forever would look equally bad
        ends[1] = max(ends[0], found.start_latest) + pd.Timedelta(days=30)
    shared = _seconds(min(ends) - max(true.start, found.start_earliest))
    whole = _seconds(max(ends) - min(true.start, found.start_earliest))
    return shared / whole if shared > 0 and whole > 0 else 0.0


def match(found, truth):
    """Pair found and true outages of the same machine one to one, those that overlap most first.

    Parameters
    ----------
    found, truth : pandas.DataFrame
        `outages` of an analysis and of the truth.

    Returns
    -------
    dict of int to int
        Position of the true one to position of the found one.
    """
    by_machine = {}
    for n, row in enumerate(found.itertuples()):
        by_machine.setdefault(_who(row), []).append((n, row))
    pairs = [
        (_overlap(true, row), t, n)
        for t, true in enumerate(truth.itertuples())
        for n, row in by_machine.get(_who(true), [])
    ]
    matched = {}
    for share, t, n in sorted(pairs, key=lambda p: (-p[0], p[1], p[2])):
        if share > 0 and t not in matched and n not in matched.values():
            matched[t] = n
    return matched


# -- the figures ---------------------------------------------------------------------------------------------------------


def _at(time):
    return "never" if pd.isna(time) else f"{time:%m-%d %H:%M:%S.%f}"[:-3]


def _tell(true):
    """Name a true outage so that it can be looked up."""
    length = "" if pd.isna(true.end) else f" {_seconds(true.end - true.start):.1f} s"
    story = f" [{true.story}{'/' + true.phase if hasattr(true, 'phase') else ''}]"
    return f"{true.computer}{story} {true.cause} {_at(true.start)} to {_at(true.end)}{length}"


def _tell_found(found):
    return (
        f"{found.computer} {found.cause} {_at(found.start_earliest)}…{_at(found.start_latest)} to "
        f"{_at(found.end_earliest)}…{_at(found.end_latest)} ({found.evidence})"
    )


def score(analysis, truth):
    """Compare what was found with the truth.

    Parameters
    ----------
    analysis : object
        Has machines, transitions, outages, gaps, events as in `amakit.schemas.RESULTS`.
    truth : simulator.Truth
        From `simulate` or `truth_of_demo`.

    Returns
    -------
    Score
    """
    analysis = _whole(analysis)
    out = Score({name: Figure() for name in TARGETS}, Counter(), Counter(), {}, {})
    matched = match(analysis.outages, truth.outages)
    found = list(analysis.outages.itertuples())
    pairs = [(true, found[matched[t]] if t in matched else None) for t, true in enumerate(truth.outages.itertuples())]
    _score_found(out, pairs, found, matched, truth)
    _score_brackets(out, pairs, truth)
    _score_transitions(out, analysis, truth)
    _score_losses(out, analysis, truth, pairs)
    _score_events(out, analysis, truth, pairs)
    _score_machines(out, analysis, truth)
    _score_sanity(out, analysis)
    return out


def _whole(analysis):
    """Take a table that an analysis does not have (yet) for an empty one."""
    return SimpleNamespace(
        **{name: getattr(analysis, name, pd.DataFrame(columns=list(columns))) for name, columns in RESULTS.items()}
    )


def _score_found(out, pairs, found, matched, truth):
    figures, without = out.figures, _without_a_beat(truth)
    for true, got in pairs:
        which = "found, no beat lost" if (*_who(true), true.start) in without else "outages found"
        if got is None:
            if true.findable:
                figures[which].add(False, _tell(true), 1e9 if true.ongoing else _seconds(true.end - true.start))
                out.causes[true.cause, "(missed)"] += 1
            out.left_out += not true.findable
            continue
        figures[which].add(True)
        out.causes[true.cause, got.cause] += 1
        figures["cause right"].add(
            got.cause in {true.cause, true.cause_also} - {""}, f"{_tell(true)}: said {got.cause} ({got.evidence})"
        )
        figures["ongoing right"].add(bool(got.ongoing) == true.ongoing, f"{_tell(true)}: ongoing is {got.ongoing}")
        figures["versions right"].add(*_versions(true, got))
    for n, got in enumerate(found):
        true = n in matched.values()
        again = any(_overlap(t, got) > 0 for t, _ in pairs if _who(t) == _who(got))
        note = " - overlaps a true one that is matched with another row" if again else ""
        figures["outages that are true"].add(true, _tell_found(got) + note)
        if not true:
            out.causes["(none)", got.cause] += 1
        if got.cause == "upgrade":
            changes = [t for t, g in pairs if g is got and "upgrade" in (t.cause, t.cause_also)]
            figures["upgrades that are true"].add(bool(changes), _tell_found(got))


def _without_a_beat(truth):
    """Name the outages that took no heartbeat and changed no version: who counts beats alone cannot see them."""
    beats = truth.losses[(truth.losses["data_type"] == "Heartbeat") & (truth.losses["lost"] == 0)]
    quiet = set(beats[[*_MACHINE, "outage_start"]].itertuples(index=False, name=None))
    told = {
        (*_who(o), o.start)
        for o in truth.outages.itertuples()
        if o.ongoing or o.cause == "disconnected" or _numbers(o.from_version) != _numbers(o.to_version)
    }
    return quiet - told


def _versions(true, got):
    """Compare versions as numbers; where none changed, or none reports any more, empty will do."""
    pairs = [(true.from_version, got.from_version), (true.to_version, got.to_version)]
    same = _numbers(true.from_version) == _numbers(true.to_version)
    right = all(_numbers(t) == _numbers(g) or (not _numbers(g) and same) for t, g in pairs)
    if true.ongoing:
        right = _numbers(got.from_version) in (_numbers(true.from_version), ())
        right &= _numbers(got.to_version) in ((), _numbers(true.from_version))
    return (
        right,
        f"{_tell(true)}: {true.from_version} to {true.to_version}, said {got.from_version} to {got.to_version}",
    )


def _inside(low, true, high):
    """Say whether a true instant lies between its bounds, and how far out it lies (in seconds)."""
    if pd.isna(low) or pd.isna(high):
        return False, 1e9
    out = max(_seconds(low - true), _seconds(true - high), 0.0)
    return out <= 1e-3, out


def _score_brackets(out, pairs, truth):
    finest = (
        truth.losses[~truth.losses["ongoing"].astype(bool)].groupby([*_MACHINE, "outage_start"])["interval_s"].min()
    )
    widths = {
        "start": [],
        "end": [],
        "both, upgrades with a counter of 10 s or less": [],
        "both": [],
        "downtime off by": [],
    }
    for true, got in ((t, g) for t, g in pairs if g is not None):
        name = f"{_tell(true)}: said {_tell_found(got)}"
        right, far = _inside(got.start_earliest, true.start, got.start_latest)
        if true.cause == "disconnected":
            far_end = _inside(got.end_earliest, true.end, got.end_latest)
            out.figures["network failures inside"].add(right and far_end[0], name, max(far, far_end[1]))
            continue
        out.figures["true starts inside"].add(right, f"by {far:.3f} s: {name}", far)
        if true.ongoing or got.ongoing:
            continue
        right, far = _inside(got.end_earliest, true.end, got.end_latest)
        out.figures["true ends inside"].add(right, f"by {far:.3f} s: {name}", far)
        length = _seconds(true.end - true.start)
        far = max(got.downtime_low_s - length, length - got.downtime_high_s)
        out.figures["downtime inside"].add(
            far <= 2e-3, f"{length:.3f} s, said {got.downtime_low_s:.3f} to {got.downtime_high_s:.3f}: {name}", far
        )
        start, end = _seconds(got.start_latest - got.start_earliest), _seconds(got.end_latest - got.end_earliest)
        widths["start"].append(start)
        widths["end"].append(end)
        widths["both"].append(start + end)
        widths["downtime off by"].append(abs(got.downtime_s - length))
        if true.cause == "upgrade" and finest.get((*_who(true), true.start), 1e9) <= 10:
            widths["both, upgrades with a counter of 10 s or less"].append(start + end)
    out.widths = {name: float(np.median(values)) if values else np.nan for name, values in widths.items()}


def _score_transitions(out, analysis, truth):
    def key(row):
        return (*_who(row), row.last_old.round("1ms"), row.first_new.round("1ms"))

    found = {key(row): row for row in analysis.transitions.itertuples()}
    true = {key(row): row for row in truth.transitions.itertuples()}
    also = {(*_who(o), o.from_version, o.to_version): o.cause_also for o in truth.outages.itertuples()}
    for k, row in true.items():
        got = found.get(k)
        told = f"{row.computer} {row.from_version} to {row.to_version} {_at(row.last_old)} to {_at(row.first_new)}"
        right = got is not None and got.kind == row.kind
        right = right and all(
            _numbers(getattr(got, c)) == _numbers(getattr(row, c)) for c in ("from_version", "to_version")
        )
        out.figures["transitions found"].add(right, told)
        if got is not None:
            fine = {row.cause, also.get((*_who(row), row.from_version, row.to_version), "")} - {""}
            out.figures["transition causes"].add(got.cause in fine, f"{told} {row.cause}, said {got.cause!r}")
    for k, got in found.items():
        told = f"{got.computer} {got.from_version} to {got.to_version} {_at(got.last_old)} to {_at(got.first_new)}"
        out.figures["transitions that are true"].add(k in true, told)


def _stream(key):
    """Compare the keys of streams without regard to empty parts, spaces and case."""
    return tuple(p for p in (part.strip().lower() for part in str(key).split("\\")) if p and p != "nan")


def _stream_of(row):
    """Name a stream; the heartbeat is one, even where two agents beat."""
    key = () if row.data_type.lower() == "heartbeat" else _stream(row.stream)
    return (*_who(row), row.data_type.lower(), key)


def _claims(gaps):
    """Give what is said about each stream and outage: lost_low, lost, lost_high, of two agents together."""
    said = {}
    for g in gaps.itertuples():
        key = (*_stream_of(g), g.outage_start)
        mine = (g.lost_low, g.lost, g.lost_high)
        said[key] = tuple(a + b for a, b in zip(said[key], mine, strict=True)) if key in said else mine
    return said


def _score_losses(out, analysis, truth, pairs):
    known, without = {(*_who(true), true.start): (true, got) for true, got in pairs}, _without_a_beat(truth)
    gaps = _claims(analysis.gaps)
    open_gaps = {_stream_of(g) for g in analysis.gaps.itertuples() if g.ongoing}
    for row in truth.losses.itertuples():
        true, got = known[(*_who(row), row.outage_start)]
        if row.ongoing and not true.ongoing:
            told = f"{_tell(true)}: {row.data_type} {row.stream} never came back"
            out.figures["partial agents found"].add(_stream_of(row) in open_gaps, told)
            continue
        if got is None and (not true.findable or (*_who(true), true.start) in without):
            continue
        claimed = gaps.get((*_stream_of(row), got.start_earliest)) if got is not None else None
        _one_loss(out, true, row, claimed or (0, 0, 0), "" if claimed else "no row")
    _score_gap_rows(out, analysis, truth, pairs)


def _one_loss(out, true, row, claimed, note):
    """Compare one claim; an unknown number is wrong unless nothing was lost."""
    low, lost, high = (None if pd.isna(c) else int(c) for c in claimed)
    known = None not in (low, lost, high)
    told = (
        f"{_tell(true)}: {row.data_type} {row.stream} every {row.interval_s:g} s lost {row.lost}, "
        f"said {low} ≤ {lost} ≤ {high} {note}"
    )
    inside = known and low <= row.lost <= high
    off = max(low - row.lost, row.lost - high) if known else 1e6
    if true.ongoing:  # the horizon that is held back costs some samples
        slack = 2 + 2 * 3600 / float(row.interval_s)
        out.figures["losses ongoing"].add(known and low - slack <= row.lost <= high + slack, told, off)
        return
    out.figures["losses inside"].add(inside, told, off)
    out.figures["losses exact"].add(known and lost == row.lost, told, abs(lost - row.lost) if known else 1e6)
    if row.lost:
        out.figures["losses exact, some lost"].add(
            known and lost == row.lost, told, abs(lost - row.lost) if known else 1e6
        )
    for group in (row.data_type, f"phase {getattr(true, 'phase', '')}"):
        both = out.by_type.setdefault(group, (Figure(), Figure()))
        both[0].add(inside, told, off)
        both[1].add(known and lost == row.lost, told)


def _score_gap_rows(out, analysis, truth, pairs):
    """Look for rows about streams or outages that do not exist, and for streams called dead that live."""
    quiet = set(map(_who, truth.machines.itertuples())) - set(map(_who, truth.outages.itertuples()))
    streams = {_stream_of(row) for row in truth.losses.itertuples()}
    dead = {_stream_of(row) for row in truth.losses.itertuples() if row.ongoing}
    starts = {(*_who(got), got.start_earliest) for _, got in pairs if got is not None}
    over = {_who(true) for true, _ in pairs if true.ongoing}
    missed = {_who(m): m.missed for m in truth.machines.itertuples() if hasattr(m, "missed")}
    for g in analysis.gaps.itertuples():
        told = f"{g.computer} {g.data_type} {g.stream} {_at(g.outage_start)} {g.cause} lost {g.lost_low} ≤ {g.lost} ≤ {g.lost_high}"
        claims = pd.isna(g.lost_low) or g.lost_low > 0
        partial = bool(g.ongoing) and _who(g) not in over
        single = pd.isna(g.outage_start) and g.data_type == "Heartbeat" and not g.ongoing  # beside other streams
        single = single and g.lost_low <= sum(g.last_before < at < g.first_after for at in missed.get(_who(g), ()))
        right = partial or single or not claims or (_stream_of(g) in streams and (*_who(g), g.outage_start) in starts)
        out.figures["gap rows that are true"].add(right, told + (" on a quiet machine" if _who(g) in quiet else ""))
        if partial:
            out.figures["partial agents true"].add(_stream_of(g) in dead, told)


def _score_events(out, analysis, truth, pairs):
    known = {(*_who(true), true.start): (true, got) for true, got in pairs}
    # the truth is by table; of its sources the one with the strongest verdict speaks
    strength = {verdict: n for n, verdict in enumerate(Verdict)}
    events = analysis.events.sort_values("verdict", key=lambda verdicts: verdicts.map(strength), kind="stable")
    found = {(*_who(e), e.data_type.lower(), e.outage_start): e for e in events.itertuples()}
    for row in truth.events.itertuples():
        true, got = known[(*_who(row), row.outage_start)]
        if got is None:
            continue
        verdict = found.get((*_who(row), row.data_type.lower(), got.start_earliest))
        said = verdict.verdict if verdict is not None else "(no row)"
        kind, fine = _verdicts(true, row)
        out.verdicts[kind, said] += 1
        more = f" rows {verdict.rows_inside}, expected {verdict.expected:.1f}" if verdict is not None else ""
        told = (
            f"{_tell(true)}: {row.data_type} happened {row.happened_inside}, arrived {row.arrived}; said {said}{more}"
        )
        if fine:
            out.figures["event verdicts"].add(said in fine, told, max(row.lost, 1))
        # who always says undetermined finds no loss, who always says lost is not true
        if kind == "all lost":
            out.figures["event losses found"].add(said in fine, told, row.lost)
        if said in _LOSS and not true.ongoing:
            out.figures["event losses true"].add(row.lost > 0, told)
        if row.lost == 0 and row.arrived > 0 and not true.ongoing:
            out.figures["event recoveries found"].add(said == "recovered", told, row.arrived)


def _verdicts(true, row):
    """Name the case and the verdicts that are right for it; none where nothing certain can be asked."""
    few = {"none_expected", "undetermined", "recovered"}
    if true.ongoing:
        return "never came back", {"possible_loss", "undetermined", "none_expected", "(no row)"}
    if row.happened_inside == 0:
        return "nothing happened", {"none_expected", "undetermined", "(no row)"}
    if row.lost == 0:
        # recovered is said only where a loss of half would have shown: up to about 100 rows that cannot always be told
        return ("few, all arrived", few) if row.arrived < 100 else ("many, all arrived", {"recovered"})
    if row.arrived == 0 and row.lost >= 12:
        return "all lost", {"possible_loss", "returned_late", "stopped"}
    return "few or in part lost", few | {"possible_loss"} if row.arrived == 0 else ()


def _score_machines(out, analysis, truth):
    found = {_who(m): m for m in analysis.machines.itertuples()}
    for row in truth.machines.itertuples():
        got = found.get(_who(row))
        right = got is not None and _numbers(got.version) == _numbers(row.version)
        out.figures["machines listed"].add(
            right, f"{row.computer} at {row.version}, said {got.version if got else 'nothing'}"
        )
    for who in set(found) - set(map(_who, truth.machines.itertuples())):
        out.figures["machines listed"].add(False, f"{who} does not exist")


def _score_sanity(out, analysis):
    """Check what must hold whatever the truth is."""
    sane = out.figures["frames sane"]
    for o in analysis.outages.itertuples():
        edges = [e for e in (getattr(o, c) for c in _EDGES) if not pd.isna(e)]
        ordered = o.start_earliest <= o.start_latest and o.start_earliest <= edges[-1] and o.start_latest <= edges[-1]
        if not o.ongoing:
            ordered &= len(edges) == 4 and o.end_earliest <= o.end_latest
            ordered &= 0 <= o.downtime_low_s <= o.downtime_s + 1e-6 and o.downtime_s <= o.downtime_high_s + 1e-6
        sane.add(
            ordered,
            f"edges or downtime out of order: {_tell_found(o)} {o.downtime_low_s} {o.downtime_s} {o.downtime_high_s}",
        )
        sane.add(bool(o.evidence), f"no evidence: {_tell_found(o)}")
    starts = {(*_who(o), o.start_earliest) for o in analysis.outages.itertuples()}
    for g in analysis.gaps.itertuples():
        known = not any(pd.isna(v) for v in (g.lost_low, g.lost, g.lost_high))
        sane.add(not known or 0 <= g.lost_low <= g.lost <= g.lost_high, f"not low ≤ lost ≤ high: {g}")
        beside = g.data_type == "Heartbeat" and pd.isna(g.outage_start)  # other streams went on
        sane.add((*_who(g), g.outage_start) in starts or beside or bool(g.ongoing), f"a gap without its outage: {g}")
    keys = {"outages": ["start_earliest"], "gaps": ["outage_start", "last_before", "data_type", "stream"]}
    for name, key in keys.items():
        twice = getattr(analysis, name).duplicated([*_MACHINE, *key])
        sane.add(not twice.any(), f"{twice.sum()} rows of {name} twice")


# -- in print --------------------------------------------------------------------------------------------------------------


def table(scores, worst=5):
    """Print the figures of several fleets side by side, and what spoilt each figure most.

    Parameters
    ----------
    scores : dict of str to Score
        By the name of the fleet.
    worst : int
        How many offenders each figure names.

    Returns
    -------
    str
    """
    lines = [f"{'':<28}{'target':>8}{'all':>9}  " + "".join(f"{name:>9}" for name in scores)]
    for name, target in TARGETS.items():
        every = [s.figures[name] for s in scores.values()]
        total = sum(f.total for f in every)
        value = sum(f.hits for f in every) / total if total else np.nan
        mark = " <" if target is not None and value < target else "  "
        cells = "".join(f"{'' if not f.total else _share(f.value):>9}" for f in every)
        lines.append(f"{name:<28}{'' if target is None else target:>8}{_share(value):>9}{mark}{cells}   of {total}")
    lines += ["", "medians, in seconds"]
    for name in next(iter(scores.values())).widths:
        values = [s.widths[name] for s in scores.values()]
        lines.append(
            f"{name[:45]:<47}{np.nanmedian(values) if not np.isnan(values).all() else np.nan:>9.1f}"
            + "".join(f"{v:>9.1f}" for v in values)
        )
    lines.append(f"\nnot to be found, and not found: {sum(s.left_out for s in scores.values())}")
    lines += ["", "losses by table and by phase (inside, exact, of)"]
    for data_type in sorted({t for s in scores.values() for t in s.by_type}):
        both = [s.by_type[data_type] for s in scores.values() if data_type in s.by_type]
        total = sum(b[0].total for b in both)
        lines.append(
            f"{data_type:<28}"
            + "".join(f"{_share(sum(b[k].hits for b in both) / total):>9}" for k in (0, 1))
            + f"{total:>7}"
        )
    lines += ["", "causes (true down, said across)", _cross(sum((s.causes for s in scores.values()), Counter()))]
    lines += ["", "verdicts (true down, said across)", _cross(sum((s.verdicts for s in scores.values()), Counter()))]
    return "\n".join(lines + _offenders(scores, worst))


def _share(value):
    return "" if np.isnan(value) else f"{value:.4f}"


def _cross(counter):
    if not counter:
        return "(none)"
    rows = pd.Series(counter).unstack(fill_value=0)
    return rows.to_string()


def _offenders(scores, worst):
    lines = []
    for name in TARGETS:
        found = [(bad, fleet, told) for fleet, s in scores.items() for bad, told in s.figures[name].worst]
        if found and worst:
            lines.append(f"\n{name}: {len(found)} wrong")
            lines += [f"  {fleet}: {told}" for _, fleet, told in sorted(found, key=lambda f: -f[0])[:worst]]
    return lines


# -- the slow obvious way -----------------------------------------------------------------------------------------------------


def oracle(streams, low, high):
    """Bracket the widest silence of one machine by the definition, with plain loops.

    For streams with exact intervals: no jitter is allowed for.

    Parameters
    ----------
    streams : dict of str to tuple of (list of float, float)
        Sample times in seconds and the interval, by stream.
    low, high : float
        The neighbourhood: it holds the outage, and no longer silence.

    Returns
    -------
    dict
        start_earliest, start_latest, end_earliest, end_latest; and ``lost``: by stream the least and the most
        samples of its old schedule that fit between any pair of ends that the brackets allow.
    """
    everything = sorted(t for times, _ in streams.values() for t in times if low <= t <= high)
    widest, inside = max((b - a, (a + b) / 2) for a, b in pairwise(everything))
    last, first = {}, {}
    for name, (times, _) in streams.items():
        for t in times:
            if t < inside and (name not in last or t > last[name]):
                last[name] = t
            if t >= inside and (name not in first or t < first[name]):
                first[name] = t
    start = [max(last.values()), min(last[name] + streams[name][1] for name in last)]
    end = [max(first[name] - streams[name][1] for name in first), min(first.values())]
    start[1] = min(start[1], end[1])  # it ended after it began
    end[0] = max(end[0], start[0])
    lost = {name: _oracle_lost(last[name], streams[name][1], start, end) for name in last}
    return dict(zip(_EDGES, [*start, *end], strict=True)) | {"lost": lost, "silence": widest}


def _oracle_lost(last, interval, start, end):
    """Count scheduled samples for the shortest and the longest outage; all others lie between."""
    counts = []
    for begin, stop in ((start[1], end[0]), (start[0], end[1])):
        count, due = 0, last + interval
        while due < stop:
            count += due >= begin
            due += interval
        counts.append(count)
    return tuple(counts)


# -- as a command ---------------------------------------------------------------------------------------------------------------


def _seeds(text):
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def run(seed, demo=False, folder=None, machines=None, days=None, **options):
    """Make one fleet, analyse it, score it.

    Returns
    -------
    tuple of (Score, Analysis, Truth)
    """
    import amakit

    with tempfile.TemporaryDirectory() as scratch:
        place = Path(folder) / f"{'demo' if demo else 'sim'}{seed}" if folder else Path(scratch) / "fleet"
        if demo:
            from amakit import demo as generator

            if not (place / "truth").exists():
                generator.write(place, machines=machines or 40, days=days or 14, seed=seed)
            truth = truth_of_demo(place)
        else:
            truth = simulate(place, seed, machines or 25, days or 5, **options)
        with amakit.connect(str(place)) as workspace:
            found = amakit.analyze(workspace, truth.start, truth.end)
        return score(found, truth), found, truth


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=_seeds, default=range(1, 11), help="for instance 1-10")
    parser.add_argument("--demo", action="store_true", help="fleets of amakit demo instead of the simulator's")
    parser.add_argument("--folder", help="keep the fleets here")
    parser.add_argument("--machines", type=int)
    parser.add_argument("--days", type=int)
    parser.add_argument("--worst", type=int, default=5, help="offenders that each figure names")
    parser.add_argument("--phase", choices=["kept", "at_once", "anywhere"])
    parser.add_argument("--jitter", type=float)
    parser.add_argument("--without", nargs="*", default=[], choices=["activity", "perf", "events", "twists", "shuffle"])
    given = parser.parse_args(arguments)
    options = {} if given.demo else dict.fromkeys(given.without, False) | {"phase": given.phase, "jitter": given.jitter}
    scores = {}
    for seed in given.seeds:
        begun = time.perf_counter()
        scores[str(seed)] = run(seed, given.demo, given.folder, given.machines, given.days, **options)[0]
        print(f"seed {seed}: {time.perf_counter() - begun:.1f} s", file=sys.stderr)
    print(table(scores, given.worst))


if __name__ == "__main__":
    main()
