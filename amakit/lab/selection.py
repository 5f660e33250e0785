"""What is chosen in the explorer: window, machines, versions, causes; and what there is to choose."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from amakit.facts.summary import worst
from amakit.find.versions import version_key
from amakit.kql.literals import literal
from amakit.prose.language import visible
from amakit.schemas import MACHINE, Cause

if TYPE_CHECKING:
    from amakit.analysis import Analysis
    from amakit.prose.language import Language

#: What of the time around an outage the suggested query asks for.
_BESIDE = pd.Timedelta(minutes=5)


@dataclass(frozen=True)
class Choice:
    """What is selected of an analysis; an empty field leaves all.

    Attributes
    ----------
    os_type, cause : str
        As in ``analysis.outages``.
    pair : tuple of (str, str, str), or ()
        os_type, from_version and to_version.
    machine : tuple of (str, str), or ()
        resource_id and computer of the machine that is looked at.
    outage : int or None
        Index of the outage that is looked at.
    """

    os_type: str = ""
    cause: str = ""
    pair: tuple = ()
    machine: tuple = ()
    outage: int | None = None


def chosen(analysis: "Analysis", choice: Choice) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give the machines and outages that a choice leaves.

    Parameters
    ----------
    analysis : Analysis
    choice : Choice
        Its system, cause and version pair filter; machine and outage do not.

    Returns
    -------
    tuple of (pandas.DataFrame, pandas.DataFrame)
        Rows of ``analysis.machines`` and of ``analysis.outages``, with their index.  Under a cause or a pair, machines
        without such an outage are left out.

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")
    >>> machines, outages = chosen(found, Choice(cause="machine_stopped"))
    >>> set(outages["cause"]), len(machines) == len(outages.drop_duplicates(["resource_id", "computer"]))
    ({'machine_stopped'}, True)
    """
    machines, outages = analysis.machines, analysis.outages
    if choice.os_type:
        machines, outages = (part[part["os_type"] == choice.os_type] for part in (machines, outages))
    if choice.cause:
        outages = outages[outages["cause"] == choice.cause]
    if choice.pair:
        outages = outages[(outages[["os_type", "from_version", "to_version"]] == list(choice.pair)).all(axis=1)]
    if choice.cause or choice.pair:
        keys = pd.MultiIndex.from_frame(outages[MACHINE])
        machines = machines[pd.MultiIndex.from_frame(machines[MACHINE]).isin(keys)]
    return machines, outages


def values_of(analysis: "Analysis") -> dict[str, set]:
    """Give what each field of a choice may hold."""
    outages = analysis.outages
    return {
        "os_type": {"", *analysis.machines["os_type"]},
        "cause": {"", *outages["cause"]},
        "pair": {(), *outages[["os_type", "from_version", "to_version"]].itertuples(index=False, name=None)},
        "machine": {(), *machine_keys(analysis.machines)},
        "outage": {None, *outages.index},
    }


def filters_of(analysis: "Analysis", words: "Language") -> dict[str, list[tuple]]:
    """Give for each filter what can be chosen, in words with how often it is there, and its value."""
    away = analysis.outages
    causes = away["cause"].value_counts()
    moved = away[away["from_version"] != away["to_version"]]
    pairs = moved.groupby(["os_type", "from_version", "to_version"]).size()
    pairs = sorted(pairs.items(), key=lambda item: (item[0][0], *map(version_key, item[0][1:])))
    systems = analysis.machines["os_type"].value_counts().sort_index()
    return {
        "os_type": [(f"{visible(os, 40)} ({n:,})", os) for os, n in systems.items()],
        "cause": [(f"{words.cause(name)} ({causes[name]:,})", name) for name in Cause if name in causes],
        "pair": [
            (visible(" ".join([os, old, "→", new or "–", f"({n:,})"]), 80), (os, old, new))
            for (os, old, new), n in pairs
        ],
    }


def settled(analysis: "Analysis", choice: Choice) -> Choice:
    """Give a choice whose machine and outage agree with each other and with the filters.

    A machine brings the worst of its outages that the filters leave; without a machine it is that of all, see
    `amakit.facts.summary.worst`.

    Parameters
    ----------
    analysis : Analysis
    choice : Choice

    Returns
    -------
    Choice

    Examples
    --------
    >>> import amakit
    >>> found = amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10")
    >>> settled(found, Choice()).outage == worst(found.outages)
    True
    """
    machines, outages = chosen(analysis, choice)
    if choice.outage in outages.index:
        return replace(choice, machine=_key(outages.loc[choice.outage]))
    if choice.machine in set(machine_keys(machines)):
        outage = worst(rows_of_machine(choice.machine, outages))
        return replace(choice, outage=outage)
    outage = worst(outages)
    return replace(choice, outage=outage, machine=() if outage is None else _key(outages.loc[outage]))


#: Windows that can be asked for by name: days before an end, or around an outage.
SPANS = {"day": 1, "week": 7, "month": 30, "outage": 1}


def span(name: str, end: pd.Timestamp, outage: pd.Series | None) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Give a window that is asked for by name.

    Parameters
    ----------
    name : str
        A key of `SPANS`.
    end : pandas.Timestamp
        Of what there is.
    outage : pandas.Series or None
        That which is looked at, a row of ``analysis.outages``; ``outage`` without one is the last day.

    Returns
    -------
    tuple of (pandas.Timestamp, pandas.Timestamp)
        The hours around an outage reach past its end, however long it was.

    Examples
    --------
    >>> end = pd.Timestamp("2026-03-15T00:00Z")
    >>> span("week", end, None)[0].day
    8
    >>> gap = pd.Series({"start_earliest": end - pd.Timedelta(days=9), "end_latest": pd.NaT, "start_latest": pd.NaT})
    >>> [str(edge)[:13] for edge in span("outage", end, gap)]
    ['2026-03-05 12', '2026-03-06 12']
    """
    length = pd.Timedelta(days=SPANS[name])
    if name != "outage" or outage is None:
        return end - length, end
    over = outage[["start_earliest", "start_latest", "end_latest"]].max()
    return outage["start_earliest"] - length / 2, min(over + length / 2, max(end, over))


def heartbeats_around(outage: pd.Series | None) -> str:
    """Write the query for the heartbeats of a machine around an outage, or for how many all machines sent."""
    if outage is None:
        return "Heartbeat\n| summarize Beats = count(), Last = max(TimeGenerated) by Computer, Version"
    over = outage["start_latest"] + pd.Timedelta(hours=1) if pd.isna(outage["end_latest"]) else outage["end_latest"]
    begin, end = (literal(at) for at in (outage["start_earliest"] - _BESIDE, over + _BESIDE))
    return (
        f"Heartbeat\n| where TimeGenerated between ({begin} .. {end})\n"
        f"| where Computer =~ {literal(outage['computer'])}\n| project TimeGenerated, Computer, Version, Category\n"
        "| order by TimeGenerated asc"
    )


def machine_called(name: str, known: dict[str, tuple[str, str]]) -> tuple[str, str] | None:
    """Find the machine of a name in lower case; a computer name without its domain will do."""
    short: dict[str, list] = {}
    for label, key in known.items():
        short.setdefault(label.split(".")[0], []).append(key)
    return known.get(name) or (short[name][0] if len(short.get(name, [])) == 1 else None)


def _key(row):
    return row["resource_id"], row["computer"]


def rows_of_machine(machine: tuple[str, str], frame: pd.DataFrame) -> pd.DataFrame:
    """Give the rows of one machine."""
    return frame[np.array([key == machine for key in machine_keys(frame)], dtype="bool")]


def machine_keys(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Give the key of the machine of each row."""
    return list(zip(frame["resource_id"], frame["computer"], strict=True))
