"""What rests on unknown time is not claimed."""

from collections.abc import Collection, Iterable, Mapping

import pandas as pd

from amakit.fetch import samples
from amakit.intervals import instant
from amakit.schemas import MACHINE, result

_NO_TIME = pd.Timedelta(0)


def unknown_spans(unknown: Iterable[Mapping], table: str) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    """Give the unknown intervals of a table."""
    return [(instant(u["start"]), instant(u["end"])) for u in unknown if u["table"] == table]


def touches_none(
    start: pd.Series,
    end: pd.Series,
    spans: Iterable[tuple[pd.Timestamp, pd.Timestamp]],
    reach: pd.Series | pd.Timedelta = _NO_TIME,
) -> pd.Series:
    """Mark the stretches that touch no unknown interval."""
    apart = pd.Series(True, start.index)
    for since, until in spans:
        apart &= (start - reach > until) | (end + reach < since)
    return apart


def without_unknown_tables(
    rows: pd.DataFrame, found: pd.DataFrame, unknown: Collection[Mapping], horizon: pd.Timestamp
) -> pd.DataFrame:
    """Take a table out for the machines near one of whose outages it is unknown, as if they did not have it.

    A stream that only seems to pause would move the brackets of the outage, and count samples as lost.
    """
    for table in {u["table"] for u in unknown} - {"Heartbeat"}:
        near = ~touches_none(
            found["last"], found["first"].fillna(horizon), unknown_spans(unknown, table), samples.REACH
        )
        machines = set(found.loc[near, MACHINE].itertuples(index=False, name=None))
        keys = rows[MACHINE].itertuples(index=False, name=None)
        taken = rows["data_type"].eq(table) & pd.Series([key in machines for key in keys], rows.index, dtype=bool)
        rows = rows[~taken].reset_index(drop=True)
    return rows


def only_known(
    away: pd.DataFrame,
    lost: pd.DataFrame,
    verdicts: pd.DataFrame,
    unknown: Collection[Mapping],
    horizon: pd.Timestamp,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Keep the outages, gaps and verdicts that rest on nothing unknown."""
    if not unknown:
        return away, lost, verdicts
    machine, lost = MACHINE, result("gaps", lost)
    away = away[
        touches_none(away["start_earliest"], away["end_latest"].fillna(horizon), unknown_spans(unknown, "Heartbeat"))
    ]
    stretch = away[[*machine, "start_earliest", "end_latest"]].rename(columns={"start_earliest": "outage_start"})
    kept = []
    for frame, reach in ((lost, samples.REACH), (verdicts, pd.Timedelta(days=1))):
        rows = frame.merge(stretch.drop_duplicates([*machine, "outage_start"]), on=[*machine, "outage_start"])
        start, end = rows["outage_start"], rows["end_latest"].fillna(horizon)
        # events are measured against the day around the outage, or 24 times its length
        reaches = (24 * (end - start)).clip(lower=reach) if frame is verdicts else reach
        sure = pd.Series(True, rows.index)
        for table in {u["table"] for u in unknown} - {"Heartbeat"}:
            sure &= touches_none(start, end, unknown_spans(unknown, table), reaches) | (rows["data_type"] != table)
        kept.append(rows[sure][list(frame.columns)])
    return away, *kept
