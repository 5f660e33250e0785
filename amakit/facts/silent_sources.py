"""Which sources of events stayed away while their agent reported?"""

from typing import TYPE_CHECKING

import pandas as pd

from amakit.schemas import MACHINE, of_outages

if TYPE_CHECKING:
    from amakit.analysis import Analysis

_REPLAY = pd.Timedelta(minutes=5)


def stayed_away(analysis: "Analysis") -> pd.DataFrame:
    """Give the silences of sources that their agent's own outage does not explain.

    Parameters
    ----------
    analysis : Analysis

    Returns
    -------
    pandas.DataFrame
        The rows of ``sources`` whose silence began without an outage or outlasts it, those that go on first, then
        by the rows that are missing; with ``alone``: whether the table of the machine has only this source.
    """
    silent, away = analysis.sources, analysis.outages
    rows = of_outages(silent, away.drop_duplicates([*MACHINE, "start_earliest"]), how="left")
    ends = away[["end_latest", "ongoing"]]
    rows = rows.merge(ends, how="left", left_on="outage", right_index=True, suffixes=("", "_agent"))
    over = rows["silent_to"].isna() | ~(rows["silent_to"] <= rows["end_latest"] + _REPLAY)
    kept = rows["ongoing_agent"].isna() | (over & ~rows["ongoing_agent"].fillna(True).astype("bool"))
    many = pd.concat([analysis.events, silent])[[*MACHINE, "data_type", "source"]].drop_duplicates()
    many = many.groupby([*MACHINE, "data_type"]).size().rename("sources").reset_index()
    rows = rows[kept].merge(many, how="left", on=[*MACHINE, "data_type"])
    rows["alone"] = rows["sources"] <= 1
    return rows.sort_values(["ongoing", "expected"], ascending=False, kind="stable", ignore_index=True)
