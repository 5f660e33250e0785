"""Notebook 01: which machines changed the version of their agent, and when."""

from typing import TYPE_CHECKING

import pandas as pd

from amakit.facts.gather import gather
from amakit.find.versions import rolled_back
from amakit.prose.language import Language, visible
from amakit.prose.page import Page, common, machines_of, shown_names
from amakit.schemas import MACHINE

if TYPE_CHECKING:
    from amakit.analysis import Analysis

#: Rows of the two tables; all are in the result tables.
_CHANGES, _UNSTEADY = 200, 100


def transitions(analysis: "Analysis", language: str = "en", timezone: str = "UTC") -> Page:
    """Tell which versions ran where, when each machine changed, and which ones went back.

    Parameters
    ----------
    analysis : Analysis
    language : {'en', 'ja'}
    timezone : str
        Zone in which times are told, for example ``Asia/Tokyo``.

    Returns
    -------
    Page
        Sections data, inventory, changes, adoption, timing, unsteady, limits, record; tables changes (the newest
        first) and unsteady (machines that changed more than once or went back, those with the most changes first).

    Examples
    --------
    >>> import amakit
    >>> page = transitions(amakit.analyze(amakit.connect("demo"), "2026-03-02", "2026-03-02T01:00"))
    >>> page["changes"]
    'No machine changed its version between 2026-03-02 00:00 and 2026-03-02 01:00.'
    """
    known, words = gather(analysis), Language(language, timezone)
    changes = analysis.transitions.assign(
        machine=[known.names[m] for m in analysis.transitions[MACHINE].itertuples(index=False, name=None)],
        back=rolled_back(analysis.transitions),
        width=(analysis.transitions["first_new"] - analysis.transitions["last_old"]).dt.total_seconds(),
    )
    told = common(known, words) | {
        "inventory": _inventory(known),
        "changes": _changes(changes),
        "adoption": _adoption(analysis),
        "undone": known.machines(changes[changes["back"]]),
        "often": known.machines(changes[changes.groupby(MACHINE)["kind"].transform("size") >= 3]),
    }
    tables = {"changes": _changes_table(changes, words), "unsteady": _unsteady_table(changes, words)}
    return Page("transitions", words, told, tables)


def _inventory(known):
    """Count the versions that report at the end, and name who is silent."""
    machines = known.analysis.machines
    reporting = machines[machines["state"].isin(["reporting", "partial"])]
    silent = machines[machines["state"] == "silent"]
    named = (reporting["os_type"] + " " + reporting["version"]).value_counts().sort_index()
    told = {"reporting": len(reporting), "versions": len(named), "silent": known.machines(silent)}
    return told | ({"common": named.idxmax(), "most": int(named.max())} if len(named) else {})


def _changes(changes):
    if changes.empty:
        return None
    kinds, width = changes["kind"].value_counts(), changes["width"]
    return {
        "machines": machines_of(changes),
        "upgrades": int(kinds.get("upgrade", 0)),
        "downgrades": int(kinds.get("downgrade", 0)),
        "median": width.quantile(0.5, interpolation="higher"),
        "widest": width.max(),
        "machine": visible(changes["machine"][width.idxmax()], 80),
    }


def _adoption(analysis):
    """Give the version that gained the most machines; None where none did."""
    runs = analysis.runs[analysis.runs["line"] == 0].sort_values("last").groupby(MACHINE)[["os_type", "version"]]
    before, after = ((part["os_type"] + " " + part["version"]).value_counts() for part in (runs.first(), runs.last()))
    gained = after.sub(before, fill_value=0).sort_index()
    if gained.empty or gained.max() <= 0:
        return None
    most = gained.idxmax()
    return {"version": most, "before": int(before.get(most, 0)), "after": int(after[most])}


def _changes_table(changes, words):
    changes = changes.sort_values("first_new", ascending=False).head(_CHANGES)
    cells = changes[["os_type", "from_version", "to_version"]].assign(
        computer=shown_names(changes["machine"]),
        kind=changes["kind"].map(words.heading),
        last_old=changes["last_old"].map(words.moment),
        first_new=changes["first_new"].map(words.moment),
        bracket=changes["width"].map(words.duration),
    )
    columns = ["computer", "os_type", "from_version", "to_version", "kind", "last_old", "first_new", "bracket"]
    return words.table(cells, columns)


def _unsteady_table(changes, words):
    machines = changes.groupby(["machine", *MACHINE], as_index=False).agg(
        os_type=("os_type", "first"),
        changes=("kind", "size"),
        back=("back", "any"),
        start=("from_version", "first"),
        steps=("to_version", list),
    )
    machines = machines[(machines["changes"] > 1) | machines["back"]]
    machines = machines.sort_values(["changes", "machine"], ascending=[False, True]).head(_UNSTEADY)
    order = [" → ".join([start, *steps]) for start, steps in machines[["start", "steps"]].itertuples(index=False)]
    cells = machines[["os_type", "changes"]].assign(
        computer=shown_names(machines["machine"]), versions=pd.Series(order, index=machines.index, dtype="str")
    )
    return words.table(cells, ["computer", "os_type", "changes", "versions"])
