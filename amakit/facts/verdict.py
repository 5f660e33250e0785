"""Whether upgrades cost anything, and what became of those that failed."""

from itertools import chain, pairwise
from typing import TYPE_CHECKING

import pandas as pd

from amakit.find.causes import series
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
        a cause that is no attempt), back (whether every agent reported at the horizon with all of its streams).
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
        "elsewhere": sum(n for cause, n in changes["by_cause"].items() if cause not in ATTEMPTS),
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
        to_version, wait_s since the one before); outcome is the last one's cause,
        or ``upgrade`` where a newer version came later than that.  The link is that of the evidence:
        see `amakit.find.causes.series`.
    """
    failed = set(outages.index[outages["cause"].isin([Cause.ROLLED_BACK, Cause.ROLLBACK_FAILED])])
    chains = [rows for rows in series(outages) if failed.intersection(rows)]
    known, found = outages.loc[list(chain.from_iterable(chains))].to_dict("index"), []
    newer = transitions[transitions["kind"] == "upgrade"].groupby(MACHINE)["first_new"].max().to_dict()
    for rows in chains:
        own = [known[index] for index in rows]
        came = newer.get((own[0]["resource_id"], own[0]["computer"]))
        outcome = own[-1]["cause"]
        upgraded = came is not None and came > own[-1]["start_earliest"] and outcome in FAILED
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
                "outcome": str(Cause.UPGRADE) if upgraded else outcome,
                "attempts": tries,
            }
        )
    return sorted(found, key=lambda one: one["attempts"][0]["start"])
