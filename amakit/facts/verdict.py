"""Whether upgrades cost anything, and what became of those that failed."""

from itertools import chain, pairwise
from typing import TYPE_CHECKING

import pandas as pd

from amakit.causes.decision import series
from amakit.intervals import iso
from amakit.schemas import MACHINE, Cause
from amakit.study import claims
from amakit.study.groups import ATTEMPTS, FAILED

if TYPE_CHECKING:
    from amakit.analysis import Analysis


def verdict(analysis: "Analysis", outages: pd.DataFrame, away: pd.DataFrame, attempted: dict) -> dict:
    """Give the numbers of the verdict.

    Parameters
    ----------
    analysis : Analysis
    outages, away, attempted
        As in `Facts`.

    Returns
    -------
    dict
        machines (in the fleet), upgrades, rolled_back, rollback_failed (outages), touched (machines with one of these),
        the `summary` of these outages, silent (machines that are not back, with the cause), streams_away, others
        (outages by other causes), hidden (versions that changed while the machine was stopped or restarted), seen
        (changes to a newer version, the one count of upgrades on all pages), elsewhere (those of them whose outage has
        a cause that is no attempt), unplaced (those that no outage holds, for the time beside them is unknown), open
        (upgrades after which no newer version has reported yet, which are not among them), reporting (whether every
        agent reported at the horizon), back (whether with all of its streams).
    """
    changes = claims.upgrades(analysis.transitions, outages)
    own = outages[outages["cause"].isin(ATTEMPTS)]
    counts = outages["cause"].value_counts()
    gone = claims.silent(outages)
    others = outages[~outages["cause"].isin(ATTEMPTS)]
    return {
        **attempted,
        "machines": len(analysis.machines),
        "upgrades": int(counts.get("upgrade", 0)),
        "rolled_back": int(counts.get("rolled_back", 0)),
        "rollback_failed": int(counts.get("rollback_failed", 0)),
        "touched": len(own[MACHINE].drop_duplicates()),
        "silent": [
            {"machine": machine, "cause": cause, "since": iso(since)}
            for machine, cause, since in gone[["machine", "cause", "start_earliest"]].itertuples(index=False)
        ],
        "streams_away": len(away),
        "others": {cause: int(n) for cause, n in others["cause"].value_counts().sort_index().items()},
        "other_machines": len(others[MACHINE].drop_duplicates()),
        "hidden": len(claims.hidden_changes(outages)),
        "seen": changes["seen"],
        "elsewhere": sum(n for cause, n in changes["by_cause"].items() if cause and cause not in ATTEMPTS),
        "unplaced": changes["by_cause"].get("", 0),
        "open": changes["open"],
        "reporting": claims.all_reporting(outages, analysis.machines),
        "back": claims.all_back(outages, analysis.gaps, analysis.machines),
    }


def attempts(outages: pd.DataFrame, transitions: pd.DataFrame) -> list[dict]:
    """Give the upgrades that failed, each with the attempts that followed it.

    Parameters
    ----------
    outages : pandas.DataFrame
        As in `Facts`.
    transitions : pandas.DataFrame
        As the result table.

    Returns
    -------
    list of dict
        One for each row of attempts: machine, and attempts (index of the outage, start, cause, from_version,
        to_version, wait_s since the one before); outcome is ``upgrade`` where a newer version came after the last
        failure, whatever the cause of its outage, ``underway`` where another attempt began of which no version tells
        yet, else the cause of the last failure.  The link is that of the evidence: see `amakit.causes.decision.series`.
    """
    failed = set(outages.index[outages["cause"].isin([Cause.ROLLED_BACK, Cause.ROLLBACK_FAILED])])
    chains = [rows for rows in series(outages) if failed.intersection(rows)]
    known, found = outages.loc[list(chain.from_iterable(chains))].to_dict("index"), []
    newer = transitions[transitions["kind"] == "upgrade"].groupby(MACHINE)["first_new"].max().to_dict()
    tried = outages[outages["cause"] == Cause.UPGRADE].groupby(MACHINE)["start_earliest"].max().to_dict()
    for rows in chains:
        own = [known[index] for index in rows]
        last = [row for row in own if row["cause"] in FAILED][-1]
        came, again = (times.get((last["resource_id"], last["computer"])) for times in (newer, tried))
        outcome = last["cause"]
        if came is not None and came > last["start_earliest"]:
            outcome = str(Cause.UPGRADE)
        elif again is not None and again > last["start_earliest"]:
            outcome = str(Cause.UPGRADE) if own[-1]["to_version"] else "underway"
        starts = [row["start_earliest"] for row in own]
        waits = [round((after - before).total_seconds(), 3) for before, after in pairwise(starts)]
        tries = [
            {
                "outage": int(index),
                "start": iso(row["start_earliest"]),
                "cause": row["cause"],
                "from_version": row["from_version"],
                "to_version": row["to_version"],
                "wait_s": wait,
            }
            for index, row, wait in zip(rows, own, [None, *waits], strict=True)
        ]
        found.append(
            {
                "machine": own[0]["machine"],
                "outcome": outcome,
                "attempts": tries,
            }
        )
    return sorted(found, key=lambda one: one["attempts"][0]["start"])
