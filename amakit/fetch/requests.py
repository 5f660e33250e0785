"""One question cut into slices of time and batches of windows."""

from typing import TYPE_CHECKING

import pandas as pd

from amakit.fetch.identity import resolved
from amakit.intervals import Window, coalesce
from amakit.kql.catalog import query
from amakit.schemas import KQL_MACHINE, MACHINE, no_rows

if TYPE_CHECKING:
    from amakit.fetch.heartbeats import Fleet
    from amakit.source.workspace import Workspace


#: Windows that one query carries as a datatable; more make the text, not the scan, the cost.
WINDOWS_PER_QUERY = 500


def by_slice(workspace: "Workspace", name: str, window: Window, **values: object) -> list[pd.DataFrame]:
    """Ask a query over a window, at most 15 days at a time."""
    return workspace.ask_all(name, [{"start": w.start, "end": w.end, **values} for w in window.slices()])


def ask_in_slices(fleet: "Fleet", name: str, window: Window, **values: object) -> pd.DataFrame:
    """Ask a query over a window, at most 15 days at a time, and name the machine of each row."""
    parts = pd.concat(by_slice(fleet.workspace, name, window, **values))
    return parts.merge(machines_of(fleet, parts), on=KQL_MACHINE)


def machines_of(fleet: "Fleet", rows: pd.DataFrame) -> pd.DataFrame:
    """Find the machine of each id and name in the rows of another table; see `amakit.fetch.identity.resolved`."""
    names = spelled_names(fleet)
    everybody = pd.concat([names, fleet.everybody[[*MACHINE, *KQL_MACHINE]]]).drop_duplicates()
    return resolved(rows, everybody).merge(names[MACHINE].drop_duplicates(), on=MACHINE)


def overlaps(spans: pd.DataFrame) -> pd.DataFrame:
    """Find where the stretches of different versions of one agent overlap, so that their order is not known.

    Parameters
    ----------
    spans : pandas.DataFrame
        Has ResourceId, Computer, Agent, Version, FirstBeat and LastBeat.

    Returns
    -------
    pandas.DataFrame
        ResourceId, Computer, Agent, Start, End: half-open windows, each around stretches that touch.
    """
    keys = [*KQL_MACHINE, "Agent"]
    spans = spans.sort_values([*keys, "FirstBeat", "LastBeat"], ignore_index=True)
    found = spans.groupby(coalesce(spans, keys, "FirstBeat", "LastBeat")).agg(
        **{key: (key, "first") for key in [*keys, *MACHINE] if key in spans},
        Start=("FirstBeat", "min"),
        End=("LastBeat", "max"),
        Versions=("Version", "nunique"),
    )
    found["End"] += pd.Timedelta(microseconds=1)
    return found[found["Versions"] > 1].drop(columns="Versions").reset_index(drop=True)


def ask_in_windows(workspace: "Workspace", name: str, windows: pd.DataFrame, **values: object) -> pd.DataFrame:
    """Ask a query that takes windows, so many at a time, the neighbours in time together."""
    columns = query(name).returns
    calls = []
    windows = windows.sort_values("Start", ignore_index=True)
    for at in range(0, len(windows), WINDOWS_PER_QUERY):
        part = windows.iloc[at : at + WINDOWS_PER_QUERY]
        whole = Window(part["Start"].min(), part["End"].max())
        for cut in whole.slices():
            inside = part[(part["Start"] < cut.end) & (part["End"] > cut.start)]
            if inside.empty:
                continue
            table = inside[
                [c for c in (*KQL_MACHINE, "Start", "End", "Interval", "Usual") if c in inside]
            ].drop_duplicates()
            calls.append({"start": cut.start, "end": cut.end, "windows": table, **values})
    nothing = no_rows(columns)  # no window is no row
    return pd.concat([nothing, *workspace.ask_all(name, calls)]).drop_duplicates(ignore_index=True)


def coalesced_windows(windows: pd.DataFrame) -> pd.DataFrame:
    """Join the windows of a machine that touch."""
    windows = windows.sort_values([*KQL_MACHINE, "Start"], ignore_index=True)
    kept = {k: (k, "first") for k in (*KQL_MACHINE, "Interval") if k in windows}
    number = coalesce(windows, KQL_MACHINE, "Start", "End")
    return windows.groupby(number).agg(**kept, Start=("Start", "min"), End=("End", "max"))


def spelled_names(fleet: "Fleet") -> pd.DataFrame:
    """Give the ids and names under which each machine's rows come, also those that lack the id.

    They stand in the order in which machines are heard: where one of several under an id is taken, it is the first,
    in whatever order an engine answers.
    """
    rows = pd.concat(
        [
            fleet.days.assign(Heard=fleet.days["FirstBeat"]),
            fleet.before.assign(Heard=fleet.before["LastBeat"]),
            fleet.after.assign(Heard=fleet.after["FirstBeat"]),
        ]
    ).sort_values(["Heard", *MACHINE])
    return rows[[*MACHINE, *KQL_MACHINE]].drop_duplicates()
