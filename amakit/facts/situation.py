"""What has to be done, the most urgent first: agents still down, partly down, in doubt, recovered, other reasons.

Ongoing and ended outages are never added up.  The first screen of the write-up tells it, ``facts.json`` holds it.
"""

from typing import TYPE_CHECKING

import pandas as pd

from amakit.facts.silent_sources import stayed_away
from amakit.intervals import iso
from amakit.schemas import LOST, MACHINE, Cause, Verdict
from amakit.several.parts import known_until
from amakit.study import claims

if TYPE_CHECKING:
    from amakit.facts.gather import Facts

#: Causes for which the machine itself is off or gone: no agent is to be mended.
OFF = (Cause.MACHINE_STOPPED, Cause.MACHINE_REMOVED)
_FAILED = (Cause.ROLLED_BACK, Cause.ROLLBACK_FAILED)


def situation(known: "Facts") -> dict:
    """Sort what an analysis found by what is to be done about it.

    Parameters
    ----------
    known : amakit.facts.gather.Facts

    Returns
    -------
    dict
        JSON-serialisable:

        - ``down``: machines whose agent is still down though nothing says that the machine is off (machine, group,
          cause, since, lasted_s, step, and where an inventory tells the step ``taken``, its instant), and ``off``:
          those that are off or removed, the longest first;
        - ``partial``: streams that stay away from an agent that goes on, for each machine and table (machine, group,
          data_type, streams, since, lasted_s, lost);
        - ``stopped_sources``: event sources that have not come back, whose agent has (machine, group, data_type,
          source, since, lasted_s, expected), and ``silences``: those that have, with until;
        - ``doubtful``: machines with events that may be missing (machine, group, since, data_types, expected, inside);
        - ``destinations``: where one of several workspaces received nothing of a machine and another did; see
          `destinations`;
        - ``recovered``: ended upgrades and failed attempts: upgrades, open (those of them after which no newer version
          has reported yet), rolled_back, machines, median_s, longest_s, longest_machine, total_s, heartbeats,
          of_upgrades (heartbeats);
        - ``other``: ended outages by other causes, counted by cause; ``undecided``: checks of events that no verdict
          could be given for; ``unknown``: stretches of which nothing is known.

        Of several workspaces each entry with a group names the ``workspace`` that it is of.
    """
    outages = known.outages
    ongoing = outages["ongoing"].astype("bool")
    gone = outages[ongoing].sort_values("start_earliest", kind="stable").drop_duplicates(MACHINE)
    started_again = claims.unattended(outages, known.analysis.evidence).index
    off = gone["cause"].isin(OFF) & ~gone.index.isin(started_again)
    ended = outages[~ongoing]
    attempted = ended["cause"].isin((Cause.UPGRADE, *_FAILED))
    silences = _silences(known)
    others = ended.loc[~attempted, "cause"].value_counts()
    return {
        "down": [_down(row, known) for row in gone[~off].to_dict("records")],
        "off": [_down(row, known) for row in gone[off].to_dict("records")],
        "partial": _partial(known),
        "stopped_sources": [one for one in silences if one["until"] is None],
        "silences": [one for one in silences if one["until"] is not None],
        "doubtful": _doubtful(known, known.events[~known.events["outage"].isin(outages.index[ongoing])]),
        "destinations": destinations(known),
        "recovered": _recovered(known, ended[attempted]),
        "other": {str(cause): int(others[cause]) for cause in Cause if cause in others},
        "undecided": int((known.events["verdict"] == Verdict.UNDETERMINED).sum()),
        "unknown": len(known.analysis.run.get("unknown", [])),
    }


def subscription_of(resource_id: str) -> str:
    """Give the subscription in an id, empty where there is none.

    Examples
    --------
    >>> subscription_of("/subscriptions/0/resourcegroups/rg-web/providers/x"), subscription_of("")
    ('0', '')
    """
    return resource_id.partition("/subscriptions/")[2].partition("/")[0]


def group_of(resource_id: str) -> str:
    """Give the resource group in an id, empty where there is none.

    Examples
    --------
    >>> group_of("/subscriptions/0/resourcegroups/rg-web/providers/x")
    'rg-web'
    """
    return resource_id.partition("/resourcegroups/")[2].partition("/")[0]


def _down(row, known):
    step = {
        Cause.ROLLBACK_FAILED: "support",
        Cause.ROLLED_BACK: "support",
        Cause.AGENT_REMOVED: "reinstall",
        Cause.NOT_RECORDED: "record",
    }.get(row["cause"], "silent")
    listing = known.inventory or {"unlisted": [], "failed": []}
    for name, part in (("unlisted", "unlisted"), ("provisioning", "failed")):
        if step == "silent" and row["machine"] in {one["machine"] for one in listing[part]}:
            step = name
    told = {"cause": str(row["cause"]), "step": step}
    told |= {"taken": listing["taken"]} if step in ("unlisted", "provisioning") else {}
    return _since(row, row["start_earliest"], known) | told


def _since(row, since, known):
    where = _where(row)
    until = known_until(known.analysis.run, where.get("workspace", ""))
    lasted = None if pd.isna(since) else round((until - since).total_seconds())
    return {
        "machine": known.names[row["resource_id"], row["computer"]],
        "group": group_of(row["resource_id"]),
        **where,
        "since": None if pd.isna(since) else iso(since),
        "lasted_s": lasted,
    }


def _where(row):
    """Name the workspace of a row where there are several."""
    return {"workspace": row["workspace"]} if "workspace" in row else {}


def destinations(known: "Facts") -> list[dict]:
    """Give the destinations that failed while the agent lived, those that go on first, then the longest.

    Parameters
    ----------
    known : amakit.facts.gather.Facts

    Returns
    -------
    list of dict
        JSON-serialisable: machine, group, silent (the workspace that received nothing), received_by, since, until (None
        while it goes on); empty where one workspace was analysed.
    """
    rows = known.analysis.destinations
    until = rows["silent_to"].fillna(known.horizon)
    rows = rows.assign(length=until - rows["silent_from"])
    rows = rows.sort_values(["ongoing", "length"], ascending=False, kind="stable")
    return [
        {
            "machine": known.names[row.resource_id, row.computer],
            "group": group_of(row.resource_id),
            "silent": row.workspace,
            "received_by": row.received_by,
            "since": iso(row.silent_from),
            "until": None if row.ongoing else iso(row.silent_to),
        }
        for row in rows.itertuples()
    ]


def _partial(known):
    """Give the streams that are missing, of machines whose agent is not down as a whole."""
    found = []
    for _, part in known.away.groupby([*MACHINE, "data_type"]):
        found.append(
            _since(part.iloc[0], part["last_before"].min(), known)
            | {
                "data_type": part["data_type"].iloc[0],
                "streams": sorted(part["stream"].str.rstrip(" \\")),
                "lost": int(part["lost"].sum()),
            }
        )
    return sorted(found, key=lambda one: -(one["lasted_s"] or 0))


def _silences(known):
    """Give the silences of event sources that no outage of the agent explains, those that go on first."""
    return [
        _since(row, row["silent_from"], known)
        | {
            "until": None if row["ongoing"] else iso(row["silent_to"]),
            "data_type": row["data_type"],
            "source": "" if row["alone"] else row["source"],
            "expected": int(float(f"{row['expected']:.2g}")),
        }
        for row in stayed_away(known.analysis).to_dict("records")
    ]


def _doubtful(known, events):
    """Give the outages in which sources may have lost rows, but for the silences that are told by themselves."""
    source = [*MACHINE, "data_type", "source", *(["workspace"] if "workspace" in events else [])]
    told = pd.MultiIndex.from_frame(stayed_away(known.analysis)[source])
    away = events["verdict"].isin([Verdict.STOPPED, Verdict.RETURNED_LATE])
    away &= pd.MultiIndex.from_frame(events[source]).isin(told)
    rows, found = events[events["verdict"].isin(LOST) & ~away], []
    one = [*MACHINE, "outage_start", *(["workspace"] if "workspace" in rows else [])]
    for _, part in rows.groupby(one):
        first = part.iloc[0]
        found.append(
            {
                "machine": known.names[first["resource_id"], first["computer"]],
                "group": group_of(first["resource_id"]),
                **_where(first),
                "since": iso(first["outage_start"]),
                "data_types": sorted(set(part["data_type"])),
                "expected": round(part["expected"].sum()),
                "inside": int(part["rows_inside"].sum()),
            }
        )
    return sorted(found, key=lambda one: -one["expected"])


def _recovered(known, attempted):
    """Say what upgrades and failed attempts that ended cost; the heartbeats are those surely or most probably lost."""
    beats = known.losses[(known.losses["data_type"] == "Heartbeat") & ~known.losses["away"]]
    lost = beats.groupby("outage")["lost"].sum().reindex(attempted.index, fill_value=0)
    seconds, upgrade = attempted["downtime_s"].dropna(), attempted["cause"] == Cause.UPGRADE
    longest = None if seconds.empty else seconds.idxmax()
    return {
        "upgrades": int(upgrade.sum()),
        "open": int((upgrade & (attempted["to_version"] == "")).sum()),
        "rolled_back": int((~upgrade).sum()),
        "machines": len(attempted[MACHINE].drop_duplicates()),
        "median_s": None if longest is None else round(seconds.median(), 3),
        "longest_s": None if longest is None else round(float(seconds[longest]), 3),
        "longest_machine": None if longest is None else attempted.loc[longest, "machine"],
        "total_s": round(float(seconds.sum()), 3),
        "heartbeats": int(lost.sum()),
        "of_upgrades": int(lost[upgrade].sum()),
    }
