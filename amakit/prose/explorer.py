"""Notebook 00: what the filters of the explorer leave, and what one outage cost each stream and event source."""

import pandas as pd

from amakit.facts.gather import Facts
from amakit.facts.silent_sources import stayed_away
from amakit.facts.summary import by_severity
from amakit.prose.language import Language, visible
from amakit.prose.page import WHERE, Page, common, outage_cells, outage_closely
from amakit.schemas import MACHINE


def explorer(
    known: Facts,
    words: Language,
    machines: pd.DataFrame,
    outages: pd.DataFrame,
    machine: str = "",
    outage: int | None = None,
) -> Page:
    """Tell a selection: how much of the fleet the filters leave, and the outage that is looked at.

    Parameters
    ----------
    known : amakit.facts.gather.Facts
    words : Language
    machines, outages : pandas.DataFrame
        What the filters leave.
    machine : str
        Name of the machine that is looked at; empty for none.
    outage : int, optional
        Index of the outage that is looked at.

    Returns
    -------
    Page
        Sections data, left, around, quiet (there is no outage to look at), record.
    """
    told = common(known, words) | {
        "shown": {"machines": len(machines), "outages": len(outages), "total": len(known.outages)},
        "names": [machine] if machine else [],
        "around": None if outage is None else outage_closely(known, outage),
    }
    return Page("explorer", words, told)


def options(known: Facts, outages: pd.DataFrame, words: Language) -> list[tuple[str, int]]:
    """Name outages for a list to pick from, in order of time."""
    outages = known.outages.loc[outages.index].sort_values("start_earliest", kind="stable")
    cells = outage_cells(known, outages, words)[["began", "cause", "pair", "downtime"]]
    return [(" · ".join(row), index) for index, row in zip(cells.index, cells.to_numpy(), strict=True)]


def outages_table(known: Facts, outages: pd.DataFrame, first: int | None, most: int, words: Language) -> pd.DataFrame:
    """Give outages with their evidence, the one that is looked at on top."""
    order = by_severity(known.outages.loc[outages.index])
    on_top = [first] if first in order.index else []
    cells = outage_cells(known, order.loc[[*on_top, *order.index.drop(on_top)]].head(most), words)
    where = [name for name in WHERE if name in cells]
    return words.table(cells, ["computer", *where, "cause", "pair", "began", "downtime", "evidence"])


def streams_table(known: Facts, outage: int | None, words: Language) -> pd.DataFrame:
    """Give what each stream lost in an outage."""
    lost = known.losses[known.losses["outage"] == outage]
    cells = lost.assign(
        data_type=lost["data_type"].map(lambda text: visible(text, 80)),
        stream=lost["stream"].str.rstrip(" \\").map(lambda text: visible(text, 120)),
        every=["–" if pd.isna(s) else words.duration(s) for s in lost["interval_s"]],
        last_before=_moments(lost["last_before"], words),
        first_after=_moments(lost["first_after"], words),
        lost=[words.range(*row) for row in lost[["lost", "lost_low", "lost_high"]].itertuples(index=False, name=None)],
    )
    return words.table(cells, ["data_type", "stream", "every", "last_before", "first_after", "lost"])


def events_table(known: Facts, outage: int | None, words: Language) -> pd.DataFrame:
    """Give what became of the rows of each event source in an outage."""
    events = known.events[known.events["outage"] == outage]
    cells = events.assign(
        data_type=events["data_type"].map(lambda text: visible(text, 80)),
        source=events["source"].map(lambda text: visible(text, 120) or "–"),
        expected=events["expected"].map("{:,.1f}".format),
        max_delay=["–" if pd.isna(s) else words.duration(s) for s in events["max_delay_s"]],
        verdict=events["verdict"].map(words.heading),
    )
    return words.table(cells, ["data_type", "source", "rows_inside", "expected", "max_delay", "verdict"])


def sources_table(known: Facts, machines: pd.DataFrame, most: int, words: Language) -> pd.DataFrame:
    """Give the event sources of some machines that stayed away although their agent reported."""
    rows = stayed_away(known.analysis).merge(machines[MACHINE], on=MACHINE).head(most)
    cells = rows.assign(
        computer=[visible(known.names[row], 80) for row in rows[MACHINE].itertuples(index=False, name=None)],
        data_type=rows["data_type"].map(lambda text: visible(text, 80)),
        source=rows["source"].map(lambda text: visible(text, 120) or "–"),
        silent_from=_moments(rows["silent_from"], words),
        silent_to=_moments(rows["silent_to"], words),
        expected=rows["expected"].map("{:,.0f}".format),
    )
    return words.table(cells, ["computer", "data_type", "source", "silent_from", "silent_to", "expected"])


def _moments(times, words):
    return ["–" if pd.isna(time) else words.moment(time) for time in times]
