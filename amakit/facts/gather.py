"""What a write-up rests on: computed once for an analysis, from its result tables, with no word in it."""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from amakit import inventory
from amakit.facts.actions import actions, limits
from amakit.facts.silent_sources import stayed_away
from amakit.facts.summary import LOSSES, losses_of_outages, summary
from amakit.facts.verdict import attempts, verdict
from amakit.schemas import MACHINE, Cause, machine_labels, of_outages
from amakit.study import alert_coverage, claims
from amakit.study.groups import ATTEMPTS

if TYPE_CHECKING:
    from amakit.analysis import Analysis


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of one analysis; made by `gather`.

    Attributes
    ----------
    analysis : Analysis
    names : dict of (str, str) to str
        How people call each machine, by resource id and computer.
    outages : pandas.DataFrame
        ``analysis.outages`` with ``machine`` (its name), and lost, lost_low, lost_high (samples of all streams that
        came back with the agent).
    losses : pandas.DataFrame
        See `losses_of_outages`.
    events : pandas.DataFrame
        The rows of ``analysis.events``, and outage (index of the outage) and machine (its name, with the workspace
        whose rows were judged where the machine reports to several).
    away : pandas.DataFrame
        Rows of ``analysis.gaps``, one for each stream that is missing although its agent goes on, with ``machine``.
    upgrades, attempted, others : dict
        The `summary` of upgrades, of upgrades and failed attempts, and of all other outages.
    silent : pandas.DataFrame
        See `amakit.study.alert_coverage.silences`.
    verdict : dict
        See `verdict`.
    attempts, limits, actions : list of dict
        See the functions of these names.
    inventory : dict or None
        See `amakit.inventory.summary`.
    """

    analysis: "Analysis"
    names: dict[tuple[str, str], str]
    outages: pd.DataFrame
    losses: pd.DataFrame
    events: pd.DataFrame
    away: pd.DataFrame
    upgrades: dict
    attempted: dict
    others: dict
    silent: pd.DataFrame
    verdict: dict
    attempts: list[dict]
    limits: list[dict]
    actions: list[dict]
    inventory: dict | None

    @property
    def horizon(self) -> pd.Timestamp:
        """Up to when data may be taken as complete."""
        return pd.Timestamp(self.analysis.run["horizon"])

    def machines(self, frame: pd.DataFrame) -> list[str]:
        """Name the machines of a frame, each once, in order."""
        return sorted({self.names[machine] for machine in frame[MACHINE].itertuples(index=False, name=None)})


@functools.lru_cache(maxsize=1)  # a page and its facts.json, and all pages of one window, are of one analysis
def gather(analysis: "Analysis") -> Facts:
    """Compute what every page tells of an analysis, once for the same one.

    Parameters
    ----------
    analysis : Analysis

    Returns
    -------
    Facts

    Notes
    -----
    The last analysis and its facts stay in memory.  A table of it that is changed in place afterwards is not seen; make
    another analysis of it with `dataclasses.replace`.

    Examples
    --------
    >>> import amakit
    >>> known = gather(amakit.analyze(amakit.connect("demo"), "2026-03-09", "2026-03-10"))
    >>> known.verdict["upgrades"] == sum(known.outages["cause"] == Cause.UPGRADE)
    True
    """
    fleet, outages = analysis.machines, analysis.outages
    names = dict(zip(fleet[MACHINE].itertuples(index=False, name=None), machine_labels(fleet), strict=True))
    losses = losses_of_outages(analysis)
    totals = losses[~losses["away"]].groupby("outage")[LOSSES].sum().reindex(outages.index, fill_value=0)
    outages = pd.concat([outages, totals], axis=1).assign(machine=_named(outages, names))
    events = of_outages(analysis.events, outages)
    events = events.assign(machine=_named(events, names) + _of_workspace(events, fleet))
    away = claims.half_back(outages, analysis.gaps)
    away = away.assign(machine=_named(away, names))
    attempted = outages["cause"].isin(ATTEMPTS)
    known = {
        "analysis": analysis,
        "names": names,
        "outages": outages,
        "losses": losses,
        "events": events,
        "away": away,
        "upgrades": summary(outages[outages["cause"] == Cause.UPGRADE], losses, events),
        "attempted": summary(outages[attempted], losses, events),
        "others": summary(outages[~attempted], losses, events),
        "silent": alert_coverage.silences(outages, analysis.gaps, analysis.known_until(outages)),
    }
    known["verdict"] = verdict(analysis, outages, away, known["attempted"])
    known["attempts"] = attempts(outages, analysis.transitions)
    known["inventory"] = inventory.summary(
        analysis.inventory, analysis.run.get("inventory", []), fleet, pd.Timestamp(analysis.run["horizon"])
    )
    known["limits"] = limits(analysis, known["verdict"], known["inventory"])
    quiet = stayed_away(analysis)
    quiet = quiet.assign(machine=_named(quiet, names))
    told = (outages, away, events, quiet, known["attempts"], known["silent"], known["inventory"])
    known["actions"] = actions(analysis, *told)
    return Facts(**known)


def _named(frame, names):
    called = [names[machine] for machine in frame[MACHINE].itertuples(index=False, name=None)]
    return pd.Series(called, index=frame.index, dtype="str")


def _of_workspace(rows, machines):
    """Tell the rows of one workspace from those of another, of machines that report to both."""
    if "workspace" not in rows:
        return ""
    whole = rows[MACHINE].merge(machines[[*MACHINE, "workspace"]], how="left", on=MACHINE)["workspace"]
    return (" · " + rows["workspace"]).where(rows["workspace"] != whole.set_axis(rows.index), "")
