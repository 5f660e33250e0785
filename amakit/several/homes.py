"""Which of several workspaces each machine reports to, and what is known of it from all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import pandas as pd

from amakit.errors import UsageError
from amakit.fetch.heartbeats import Fleet, named, refuse_unknown
from amakit.fetch.identity import with_machines
from amakit.fetch.silences import SILENT_AFTER
from amakit.intervals import instant, iso
from amakit.recorded.coverage import Coverage
from amakit.schemas import KQL_MACHINE, MACHINE

_OWN = ["own_id", "own_name"]


def asked_of(heard: Mapping[int, pd.DataFrame], machines: Sequence[str], workspaces: str) -> dict[int, list[str]]:
    """Say which names each workspace is to be asked for, where some machines are asked for only.

    Parameters
    ----------
    heard : dict of int to pandas.DataFrame
        By workspace, as `amakit.fetch.heartbeats.heard` gives it.
    machines : sequence of str
        Computer names or resource ids.
    workspaces : str
        What they are called, together.

    Returns
    -------
    dict of int to list of str
        Without the workspaces to which none of the machines reports.

    Raises
    ------
    Silent
        When a machine is in none of them.
    """
    asked = [name.strip().lower() for name in machines]
    rows = with_machines(_numbered(heard))
    refuse_unknown(workspaces, asked, rows)
    chosen = rows.merge(named(rows, asked)[MACHINE].drop_duplicates(), on=MACHINE)
    found = {}
    for number, own in chosen.groupby("workspace"):
        borne = {*own["Computer"], *own["ResourceId"]}
        found[int(number)] = sorted(set(asked) & borne) or sorted({*own["Computer"]} - {""})
    return found


def homes(fleets: Mapping[int, Fleet], labels: Sequence[str]) -> pd.DataFrame:
    """Find which machines of several workspaces are one.

    Parameters
    ----------
    fleets : dict of int to Fleet
        The first pass over each workspace.
    labels : sequence of str
        What the workspaces are called.

    Returns
    -------
    pandas.DataFrame
        workspace (its number), own_id and own_name (what the machine is called in that workspace alone), ResourceId and
        Computer (under which its rows come), Vm, FirstBeat, LastBeat, resource_id and computer, which the machine is
        called in all of them, and asked, whether it is under analysis.

    Raises
    ------
    UsageError
        When two machines of two workspaces have one name and no ids, so that their rows cannot be told apart.
    """
    rows = _numbered({number: fleet.everybody for number, fleet in fleets.items()})
    own = rows[MACHINE].set_axis(_OWN, axis=1)
    rows = with_machines(rows.drop(columns=MACHINE)).assign(**{column: own[column] for column in _OWN})
    _refuse_twins(rows, labels)
    asked = {
        (number, *machine)
        for number, fleet in fleets.items()
        for machine in pd.concat([fleet.days, fleet.before])[MACHINE].itertuples(index=False, name=None)
    }
    keys = rows[["workspace", *_OWN]].itertuples(index=False, name=None)
    columns = ["workspace", *_OWN, *KQL_MACHINE, *MACHINE, "Vm", "asked"]
    rows = rows.assign(asked=[key in asked for key in keys], Vm=rows["Vm"].fillna(""))
    return rows.groupby(columns, as_index=False).agg({"FirstBeat": "min", "LastBeat": "max"})


def _numbered(frames):
    """Join the frames of workspaces, with the number of each."""
    return pd.concat([frame.assign(workspace=number) for number, frame in frames.items()], ignore_index=True)


def _refuse_twins(rows, labels):
    """Refuse machines without an id that have one name in two workspaces, and no agent or hardware in common."""
    bare = rows[rows["resource_id"] == ""]
    for computer, own in bare.groupby("computer"):
        ids = [set(part["Agent"]) | set(part["Vm"].dropna()) for _, part in own.groupby("workspace")]
        if len(ids) > 1 and all(one - {""} for one in ids) and not set.intersection(*ids) - {""}:
            one, other, *_ = own["workspace"].unique()
            raise UsageError(
                f"{computer!r} is one machine in {labels[one]} and another in {labels[other]}, and its rows carry no "
                "resource id by which to tell them apart; export the column _ResourceId, or name one of the two"
            )


def groups(home: pd.DataFrame) -> pd.DataFrame:
    """Group machines by the workspaces that they report to, and by those that they reported to last.

    A workspace that a machine has left says nothing of it afterwards.

    Parameters
    ----------
    home : pandas.DataFrame
        As `homes` gives it.

    Returns
    -------
    pandas.DataFrame
        One row per machine under analysis: resource_id, computer, homes and last (tuples of numbers, rising).
    """
    last = home[home["asked"]].groupby([*MACHINE, "workspace"])["LastBeat"].max().reset_index()
    newest = last.groupby(MACHINE)["LastBeat"].transform("max")
    told = last.groupby(MACHINE)["workspace"].agg(lambda numbers: tuple(sorted(numbers))).rename("homes")
    still = last[newest - last["LastBeat"] <= SILENT_AFTER]
    left = still.groupby(MACHINE)["workspace"].agg(lambda numbers: tuple(sorted(numbers))).rename("last")
    return pd.concat([told, left], axis=1).reset_index()


def unattended(home: pd.DataFrame, group: pd.DataFrame, covers: Mapping[int, Coverage]) -> dict[tuple, list]:
    """Find where what a workspace did not record was recorded by no other one, as the machine did not report there yet.

    Parameters
    ----------
    home : pandas.DataFrame
        As `homes` gives it.
    group : pandas.DataFrame
        resource_id and computer of the machines in question.
    covers : dict of int to Coverage
        Of the workspaces that they report to.

    Returns
    -------
    dict of tuple to list
        By resource_id and computer, stretches in which heartbeats of that machine are unknown.
    """
    rows = home[home["workspace"].isin(list(covers))].merge(group[MACHINE], on=MACHINE)
    stays = rows.groupby([*MACHINE, "workspace"]).agg(first=("FirstBeat", "min"), last=("LastBeat", "max"))
    found: dict[tuple, list] = {}
    for machine, own in stays.reset_index("workspace").groupby(MACHINE):
        for number, cover in covers.items():
            others = own[own["workspace"] != number]
            alone = [
                (since, until)
                for since, until in cover.spans("Heartbeat")
                if not ((others["first"] < until) & (others["last"] > since)).any()
            ]
            if alone:
                found.setdefault(machine, []).extend(alone)
    return found


def united(covers: Mapping[int, Coverage], last: Sequence[int]) -> Coverage:
    """Unite what is known in several workspaces: unknown is what is unknown in all of them.

    Parameters
    ----------
    covers : dict of int to Coverage
    last : sequence of int
        The workspaces that were reported to last: they tell how far is known.

    Returns
    -------
    Coverage
        To which nothing is added.
    """
    whole = list(covers.values())
    extents = {}
    for cover in whole:
        for table, extent in cover.extents.items():
            known = extents.setdefault(table, dict(extent))
            known["begins"] = min(known["begins"], extent["begins"])
            known["ends"] = max(known["ends"], extent["ends"])
    missing = {t: why for t, why in whole[0].missing.items() if all(t in cover.missing for cover in whole)}
    stretches = []
    for table in sorted({stretch["table"] for cover in whole for stretch in cover.stretches} & extents.keys()):
        having = [cover for cover in whole if table in cover.extents]
        for several in product(*([s for s in cover.stretches if s["table"] == table] for cover in having)):
            start, end = max(s["start"] for s in several), min(s["end"] for s in several)
            if instant(end) - instant(start) > pd.Timedelta(seconds=1.5 * extents[table]["interval"]):
                reasons = "; ".join(dict.fromkeys(s["reason"] for s in several))
                stretches.append(several[0] | {"start": start, "end": end, "reason": reasons})
    horizon = max(covers[number].horizon for number in last)
    window = whole[0].window
    if horizon < window.end and not any(s["why"] == "ends" and s["table"] == "Heartbeat" for s in stretches):
        ends = {"start": iso(horizon), "end": iso(window.end), "table": "Heartbeat", "why": "ends"}
        stretches.append(ends | {"reason": f"its rows end at {iso(horizon)}"})
    return replace(
        whole[0], horizon=horizon, extents=extents, missing=missing, stretches=tuple(stretches), settled=True
    )
