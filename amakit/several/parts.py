"""What was found out in each of several workspaces, and from several as one, put together."""

import hashlib
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TYPE_CHECKING

import pandas as pd

from amakit.fetch.heartbeats import Fleet
from amakit.intervals import iso
from amakit.schemas import KQL_MACHINE, MACHINE, RESULTS, no_rows, result
from amakit.several import homes
from amakit.several.destinations import destinations
from amakit.source.records import shown, told_name

if TYPE_CHECKING:
    from amakit.intervals import Window
    from amakit.recorded.coverage import Coverage
    from amakit.source.records import Record
    from amakit.source.workspace import Workspace
    from amakit.source.workspaces import Workspaces

#: So many machines are asked for by name; of more, all are asked for.
_NAMED = 200
_OWN = ["own_id", "own_name"]


@dataclass(frozen=True, eq=False)
class Part:
    """What was found out from one workspace, or from several as one.

    Attributes
    ----------
    frames : dict of str to pandas.DataFrame
        The result tables, ``runs`` and ``samples``.
    acts : pandas.DataFrame
        What the control plane did; see `amakit.causes.operations.operations`.
    inventory : tuple of (pandas.DataFrame, list of dict)
        As `amakit.inventory.read` gives it.
    fleet : Fleet
    cover : Coverage
    unknown : list of dict
        What could not be fetched.
    refused : dict of str to str
        Tables that may not be read, and why.
    whole : bool
        Whether it rests on all that was asked for.
    told : dict
        What the record of the run says of it beside that.
    """

    frames: dict
    acts: pd.DataFrame
    inventory: tuple
    fleet: Fleet
    cover: "Coverage"
    unknown: list
    refused: dict
    whole: bool = True
    told: dict | None = None


def names_of(group: pd.DataFrame, home: pd.DataFrame, own: Iterable[int]) -> list[str]:
    """Give the names by which the machines of a group are asked for in their workspaces; none where all are."""
    rows = home[home["workspace"].isin(list(own))].merge(group[MACHINE], on=MACHINE)
    names = rows["ResourceId"].where(rows["ResourceId"] != "", rows["Computer"])
    return sorted(set(names)) if names.nunique() <= _NAMED else []


def united(
    workspaces: "Workspaces",
    alone: Mapping[int, Part],
    joint: Mapping[tuple[int, ...], Sequence[Part]],
    home: pd.DataFrame,
    grouped: pd.DataFrame,
    asked: Sequence[str],
) -> Part:
    """Put the parts together: the machines of one workspace from its own, those of several from what is joint.

    Parameters
    ----------
    workspaces : Workspaces
    alone : dict of int to Part
        By workspace.
    joint : dict of tuple of int to list of Part
        By the workspaces that are read as one.
    home, grouped : pandas.DataFrame
        See `amakit.several.homes.homes` and `amakit.several.homes.groups`.
    asked : sequence of str
        The machines that were asked for.

    Returns
    -------
    Part
    """
    labels = workspaces.labels
    parts: list[tuple[tuple[int, ...], Part]] = [((number,), part) for number, part in alone.items()]
    parts += [(own, part) for own, several in joint.items() for part in several]
    frames: dict[str, list] = {}
    unknown = []
    for own, part in parts:
        label = ", ".join(labels[number] for number in own)
        names = _named(part, home, own).merge(grouped.loc[grouped["homes"] == own, MACHINE], on=MACHINE)
        for name, frame in part.frames.items():
            rows = _renamed(frame, names)
            frames.setdefault(name, []).append(rows if "workspace" in rows else rows.assign(workspace=label))
        unknown += [stretch | {"workspace": label} for stretch in [*part.unknown, *part.cover.stretches]]
    whole = {name: pd.concat(own, ignore_index=True) for name, own in frames.items()}
    whole = {name: result(name, frame) if name in RESULTS else frame for name, frame in whole.items()}
    several = grouped[grouped["homes"].map(len) > 1]
    own_frames = {
        name: {
            number: _renamed(part.frames[name], _named(part, home, (number,)).merge(several[MACHINE], on=MACHINE))
            for number, part in alone.items()
        }
        for name in ("machines", "outages")
    }
    stretches = {number: part.cover.stretches for number, part in alone.items()}
    horizons = {number: part.cover.horizon for number, part in alone.items()}
    gone = destinations(own_frames["machines"], own_frames["outages"], stretches, horizons)
    gone = gone.assign(
        received_by=[", ".join(labels[number] for number in numbers) for numbers in gone["received_by"]],
        workspace=[labels[number] for number in gone["workspace"]],
    )
    whole["destinations"] = result("destinations", gone)
    cover = homes.united({number: part.cover for number, part in alone.items()}, list(alone))
    everybody = home[[*MACHINE, *KQL_MACHINE, "Vm", "LastBeat"]].drop_duplicates()
    first = next(iter(alone.values()))
    under = home.loc[home["asked"], MACHINE].drop_duplicates()
    fleet = replace(
        first.fleet,
        workspace=workspaces,
        days=under,
        before=under.iloc[:0],
        after=under.iloc[:0],
        asked=tuple(asked),
        everybody=everybody,
        horizon=cover.horizon,
    )
    refused: dict[str, str] = {}
    for number, part in alone.items():
        for table, why in part.refused.items():
            refused[table] = "; ".join(filter(None, [refused.get(table), f"{labels[number]}: {why}"]))
    return Part(
        whole,
        first.acts,
        first.inventory,
        fleet,
        cover,
        unknown,
        refused,
        all(part.whole for _, part in parts),
        {"workspaces": [_told(workspaces, number, alone.get(number), whole) for number in range(len(labels))]},
    )


def _told(workspaces, number, part, frames):
    """Record one of several workspaces."""
    label = workspaces.labels[number]
    told = {"workspace": label, "place": shown(workspaces.members[number].name)}
    if part is None:
        return told | {"machines": 0, "missing_tables": [], "refused": {}}
    own = frames["machines"]["workspace"].str.split(", ").map(lambda names: label in names)
    return told | {
        "machines": int(own.sum()),
        "horizon": iso(part.cover.horizon),
        "coverage": part.cover.record(),
        "missing_tables": sorted(part.cover.missing),
        "refused": part.refused,
    }


def _named(part, home, own):
    """Say what the machines of a part are called in all workspaces."""
    rows = home[home["workspace"].isin(own)]
    if len(own) == 1:
        names = rows[[*_OWN, *MACHINE]]
    else:
        borne = part.fleet.everybody[[*MACHINE, *KQL_MACHINE]].drop_duplicates()
        names = borne.set_axis([*_OWN, *KQL_MACHINE], axis=1).merge(rows[[*KQL_MACHINE, *MACHINE]], on=KQL_MACHINE)
    return names[[*_OWN, *MACHINE]].drop_duplicates(_OWN, keep="last")


def _renamed(frame, names):
    """Keep the rows of some machines, by the names that they bear in all workspaces."""
    columns = list(frame.columns)
    rows = frame.rename(columns=dict(zip(MACHINE, _OWN, strict=True))).merge(names, on=_OWN)
    return rows[columns]


def known_until(run: Mapping, workspace: str = "") -> pd.Timestamp:
    """Give up to when data may be taken as complete: of a workspace, or of the latest of several with commas between.

    Examples
    --------
    >>> east = {"workspace": "east", "horizon": "2026-03-02T00:00:00Z"}
    >>> run = {"horizon": "2026-03-03T00:00:00Z", "workspaces": [east]}
    >>> known_until(run, "east").day, known_until(run).day
    (2, 3)
    """
    told = {one["workspace"]: one.get("horizon") for one in run.get("workspaces", [])}
    own = [told[name] for name in workspace.split(", ") if told.get(name)]
    return pd.Timestamp(max(own, default=run["horizon"]))


def nothing() -> pd.DataFrame:
    """Give the table ``destinations`` of one workspace, which has no row."""
    return no_rows(RESULTS["destinations"])


def record(
    part: Part, workspace: "Workspace", asked: "Window", machines: Iterable[str], log: Iterable["Record"]
) -> dict:
    """Say on what an analysis rests: what was asked, of which machines, what is unknown, and each query."""
    from importlib.metadata import version

    from amakit import __version__

    unknown = part.unknown if part.told else [*part.unknown, *part.cover.stretches]
    used = {name for member in workspace.members for name in (member.client, _beside_client(member))}

    return {
        "amakit": __version__,
        "workspace": told_name(workspace),
        "cloud": workspace.cloud,
        "synthetic": workspace.synthetic,
        "start": iso(asked.start),
        "end": iso(asked.end),
        "horizon": iso(part.cover.horizon),
        "machines": list(machines or []),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ["pandas", *sorted(used)]},
        },
        "unknown": sorted(unknown, key=itemgetter("start", "table", "end")),
        "coverage": part.cover.record(),
        "missing_tables": sorted(part.cover.missing),
        "inputs_sha256": hashlib.sha256("".join(query.sha256 for query in log).encode()).hexdigest(),
        "queries": [query.__dict__ for query in log],
        "refused": part.refused,
        "notes": workspace.notes,
    } | (part.told or {})


def _beside_client(workspace):
    return "duckdb" if workspace.kind != "kusto" else "azure-identity"
