"""What a write-up says, for a program: the contents of ``facts.json``."""

import math

import pandas as pd

from amakit.facts.counts import counts
from amakit.facts.gather import Facts
from amakit.facts.situation import situation
from amakit.facts.summary import LOSSES, summary
from amakit.intervals import iso, isos
from amakit.prose.evidence import rendered

#: Grows when a key changes its meaning or goes away; new keys may come at any time.
SCHEMA = "amakit.facts/2"


def record(known: Facts) -> dict:
    """Put together everything that a write-up says, for a program.

    Parameters
    ----------
    known : Facts

    Returns
    -------
    dict
        JSON-serialisable, times as ISO 8601 in UTC, seconds as numbers, None for unknown:

        - ``schema``, ``amakit``, ``workspace``, ``synthetic``, ``window`` (start, end, horizon);
        - ``situation``: what has to be done, see `amakit.facts.situation.situation`;
        - ``counts``: the numbers that limits may be set to, see `amakit.facts.counts.COUNTS`;
        - ``verdict``: upgrades and failed attempts counted, see `verdict`;
        - ``causes``: for each cause outages, machines, blind, lost, events;
        - ``outages``: one for each outage, with its losses by data type, its events, its evidence in parts, and the
          activity-log rows beside it;
        - ``attempts``: failed upgrades with what followed, see `attempts`;
        - ``inventory``: only where there is one, what it tells beside the heartbeats, see `amakit.inventory.summary`;
        - ``limits`` and ``actions``: what cannot be shown and what to do next, each with a ``kind``;
        - ``run``: the record of the run; the texts of its queries are in ``run.json``.

    Examples
    --------
    >>> import amakit
    >>> from amakit.facts.gather import gather
    >>> known = gather(amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10"))
    >>> record(known)["schema"]
    'amakit.facts/2'
    """
    analysis, run = known.analysis, known.analysis.run
    told = {
        "schema": SCHEMA,
        "amakit": run["amakit"],
        "workspace": run["workspace"],
        "synthetic": run["synthetic"],
        "window": {"start": iso(analysis.window.start), "end": iso(analysis.window.end), "horizon": run["horizon"]},
        "situation": situation(known),
        "verdict": known.verdict,
        "causes": {cause: summary(own, known.losses, known.events) for cause, own in known.outages.groupby("cause")},
        "outages": _outages(known),
        "attempts": known.attempts,
        "limits": known.limits,
        "actions": known.actions,
        "run": run | {"queries": [{k: v for k, v in query.items() if k != "text"} for query in run["queries"]]},
    }
    told |= {"inventory": known.inventory} if known.inventory else {}
    return told | {"counts": counts(told)}


def _outages(known):
    """Give each outage with what belongs to it."""
    by_type = known.losses[~known.losses["away"]].groupby(["outage", "data_type"])
    by_type = pd.concat([by_type[LOSSES].sum(), by_type["unseen"].all()], axis=1).reset_index()
    by_type = by_type.sort_values(["outage", "unseen", "data_type"])
    lost = {}
    for index, name, *numbers, unseen in by_type.itertuples(index=False, name=None):
        own = dict(zip(LOSSES, map(int, numbers), strict=True)) | {"unseen": bool(unseen)}
        lost.setdefault(index, {})[name] = own
    seen = _records(known.events, ["data_type", "source", "rows_inside", "expected", "max_delay_s", "verdict"])
    acts = _records(
        known.analysis.activity, ["operation", "target", "status", "began", "ended", "caller", "correlation", "role"]
    )
    outages = known.analysis.outages
    told, evidence = _plain_rows(outages.drop(columns="evidence")), rendered(outages, known.analysis.evidence)
    return [
        {
            "machine": machine,
            **own,
            "lost": lost.get(index, {}),
            "events": seen.get(index, []),
            "evidence": statements,
            "activity": acts.get(index, []),
        }
        for index, machine, own, statements in zip(outages.index, known.outages["machine"], told, evidence, strict=True)
    ]


def _records(rows, columns):
    """Give the rows of each outage."""
    found = {}
    if len(rows):
        for index, row in zip(rows["outage"], _plain_rows(rows[columns]), strict=True):
            found.setdefault(index, []).append(row)
    return found


def _plain_rows(frame):
    columns = [
        [one or None for one in isos(frame[name])]
        if isinstance(frame[name].dtype, pd.DatetimeTZDtype)
        else map(_plain, frame[name].astype("object"))
        for name in frame
    ]
    return [dict(zip(frame.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def _plain(value):
    """Make a value of a frame one of JSON: missing is None, instants are ISO 8601."""
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return iso(value)
    if isinstance(value, float):
        return round(value, 3)
    return value.item() if hasattr(value, "item") else value
