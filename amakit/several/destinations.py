"""Which workspace received nothing of a machine while another one did: its destination failed, the agent lived."""

from collections.abc import Iterable, Mapping

import pandas as pd

from amakit.intervals import instant, without
from amakit.schemas import MACHINE, RESULTS, Cause, frame_of

#: A shorter silence may be a lost sample.
_LEAST = pd.Timedelta(seconds=150)
#: What was not recorded for such a reason was not received; where rows begin or end, perhaps it was not exported.
_LACKED = ("hole", "cap")


def destinations(
    machines: Mapping[int, pd.DataFrame],
    outages: Mapping[int, pd.DataFrame],
    stretches: Mapping[int, Iterable[Mapping]],
    horizons: Mapping[int, pd.Timestamp],
) -> pd.DataFrame:
    """Find where one of the workspaces that a machine reports to received nothing, and another one did.

    Parameters
    ----------
    machines : dict of int to pandas.DataFrame
        By workspace, the result table ``machines`` of that workspace alone, for machines that report to several.
    outages : dict of int to pandas.DataFrame
        By workspace, their outages as that workspace alone shows them.
    stretches : dict of int to iterable of mapping
        By workspace, what was not recorded: start, end, table and why.
    horizons : dict of int to pandas.Timestamp
        By workspace, up to when its heartbeats are known.

    Returns
    -------
    pandas.DataFrame
        The columns of the result table, but ``workspace`` and ``received_by`` hold numbers, the latter a tuple.

    Examples
    --------
    >>> t = pd.date_range("2026-03-02", periods=4, freq="h", tz="UTC")
    >>> seen = pd.DataFrame({"resource_id": "", "computer": ["a"], "first_seen": t[0], "last_seen": t[3]})
    >>> away = pd.DataFrame({"resource_id": "", "computer": ["a"], "cause": "unexplained", "start_earliest": t[1],
    ...     "end_latest": t[2], "ongoing": False})
    >>> found = destinations({0: seen, 1: seen}, {0: away, 1: away[:0]}, {}, {0: t[3], 1: t[3]})
    >>> found[["workspace", "received_by"]].values.tolist()
    [[0, (1,)]]
    """
    away = {number: _spans(frame, horizons[number]) for number, frame in outages.items()}
    unknown = {number: [s for s in stretches.get(number, ()) if s["table"] == "Heartbeat"] for number in machines}
    lacked = {n: [_ends(s) for s in own if s["why"] in _LACKED] for n, own in unknown.items()}
    heard = {
        number: {
            (row.resource_id, row.computer): without(
                row.first_seen,
                row.last_seen,
                [span[:2] for span in away[number].get((row.resource_id, row.computer), [])]
                + [_ends(stretch) for stretch in unknown[number]],
            )
            for row in frame.dropna(subset=["first_seen"]).itertuples()
        }
        for number, frame in machines.items()
    }
    rows = []
    for number, frame in machines.items():
        for machine in frame[MACHINE].itertuples(index=False, name=None):
            spans = away[number].get(machine, []) + [(*span, False) for span in lacked[number]]
            for since, until, ongoing in sorted(spans):
                pieces = [
                    (max(since, a), min(until, b), other)
                    for other, own in heard.items()
                    if other != number
                    for a, b in own.get(machine, [])
                    if min(until, b) - max(since, a) > _LEAST
                ]
                if not pieces:
                    continue
                end = max(piece[1] for piece in pieces)
                going = ongoing and until - end <= _LEAST
                others = tuple(sorted({piece[2] for piece in pieces}))
                rows.append((*machine, min(p[0] for p in pieces), pd.NaT if going else end, going, others, number))
    columns = list(RESULTS["destinations"])
    found = pd.DataFrame(rows, columns=columns)
    typed = frame_of({c: found[c] for c in columns[:-2]}, {c: RESULTS["destinations"][c] for c in columns[:-2]})
    return typed.assign(received_by=found["received_by"], workspace=found["workspace"])


def _spans(outages, horizon):
    """Give from when to when each machine was away, by its last and its first sample; and whether that goes on."""
    gone = outages[~outages["cause"].isin([Cause.DISCONNECTED, Cause.NOT_RECORDED])]
    found: dict[tuple, list] = {}
    for row in gone.itertuples():
        end = horizon if pd.isna(row.end_latest) else row.end_latest
        found.setdefault((row.resource_id, row.computer), []).append((row.start_earliest, end, bool(row.ongoing)))
    return found


def _ends(stretch):
    return instant(stretch["start"]), instant(stretch["end"])
