"""For which stretches of time do the data of a machine lack samples?"""

from collections.abc import Iterable, Mapping

import pandas as pd

from amakit.find.unknown import concerned
from amakit.intervals import instant
from amakit.schemas import MACHINE, RESULTS, Cause, of_outages, result


def segments(
    outages: pd.DataFrame,
    gaps: pd.DataFrame,
    sources: pd.DataFrame,
    machines: pd.DataFrame,
    unknown: Iterable[Mapping],
) -> pd.DataFrame:
    """Give the stretches without data of each machine.

    Parameters
    ----------
    outages, gaps, sources, machines : pandas.DataFrame
        The result tables.
    unknown : iterable of mapping
        Stretches of which nothing is known: start, end, table.

    Returns
    -------
    pandas.DataFrame
        The result table ``segments``.  An outage by a network that was away is not among them: its rows came late.
    """
    away = outages[outages["cause"] != Cause.DISCONNECTED]
    sure = ~(away["start_latest"] >= away["end_earliest"])  # also where it has no end
    lost = of_outages(gaps.drop(columns="cause"), outages[outages["ongoing"].astype("bool")], how="left")
    alone = lost[(lost["ongoing"].astype("bool") & lost["outage"].isna()) | lost["outage_start"].isna()]
    whole = machines[[*MACHINE, *(["workspace"] if "workspace" in machines else [])]].assign(ongoing=False)
    parts = [
        _between(away.assign(kind="outage"), "start_earliest", "end_latest").assign(
            sure_start=away["start_latest"].where(sure), sure_end=away["end_earliest"].where(sure)
        ),
        _between(alone.assign(kind="stream", source=alone["stream"]), "last_before", "first_after"),
        # a rhythm is never sure
        _between(sources.assign(kind="source"), "silent_from", "silent_to", sure=sources["silent_from"].isna()),
        *(
            _between(
                whole[concerned(machines, stretch)].assign(
                    kind="unknown",
                    data_type=stretch["table"],
                    since=instant(stretch["start"]),
                    until=instant(stretch["end"]),
                ),
                "since",
                "until",
            )
            for stretch in unknown
        ),
    ]
    return result("segments", pd.concat([result("segments", part) for part in parts], ignore_index=True))


def _between(rows, since, until, sure=None):
    """Give stretches from row to row, both of which were there, the columns of the result table."""
    sure = rows[since].notna() if sure is None else sure
    ends = {
        "start": rows[since],
        "end": rows[until],
        "sure_start": rows[since].where(sure),
        "sure_end": rows[until].where(sure),
    }
    last = ["workspace"] if "workspace" in rows else []
    return rows.assign(**ends).reindex(columns=[*RESULTS["segments"], *last])
