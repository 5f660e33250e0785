"""Which machines belong together, and since when each runs what."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from amakit.find.versions import version_key
from amakit.schemas import MACHINE, Cause

if TYPE_CHECKING:
    from amakit.analysis import Analysis


def places(machines: pd.DataFrame) -> pd.DataFrame:
    """Say where machines are and what they are, as far as their ids tell.

    Parameters
    ----------
    machines : pandas.DataFrame
        Has resource_id; also region, where the caller knows it.

    Returns
    -------
    pandas.DataFrame
        On the index of ``machines``: place (the region where one is given, else the resource group with its
        subscription, empty where there is neither) and resource_type (``scale_set``, ``virtual_machine``, ``arc`` or
        ``other``).

    Examples
    --------
    >>> places(pd.DataFrame({"resource_id": ["/subscriptions/0/resourcegroups/r/providers/microsoft.compute/"
    ...     "virtualmachines/a", ""]})).values.tolist()
    [['/subscriptions/0/resourcegroups/r', 'virtual_machine'], ['', 'other']]
    """
    ids = machines["resource_id"].fillna("").str.lower()
    group = ids.str.extract(r"^(.*/resourcegroups/[^/]+)", expand=False).fillna("")
    region = machines.get("region", pd.Series("", index=machines.index)).fillna("")
    kinds = {
        "arc": "/microsoft.hybridcompute/",
        "virtual_machine": "/virtualmachines/",
        "scale_set": "/virtualmachinescalesets/",
    }
    kind = pd.Series("other", index=machines.index, dtype="str")
    for name, part in kinds.items():  # an instance of a set may be a machine of its own below it
        kind = kind.mask(ids.str.contains(part, regex=False), name)
    return pd.DataFrame({"place": region.where(region != "", group).astype("str"), "resource_type": kind})


#: Causes in which an upgrade was attempted, and those among them in which it failed.
ATTEMPTS = (Cause.UPGRADE, Cause.ROLLED_BACK, Cause.ROLLBACK_FAILED)
FAILED = (Cause.ROLLED_BACK, Cause.ROLLBACK_FAILED)


DAY = pd.Timedelta(days=1)


def with_places(analysis: "Analysis") -> pd.DataFrame:
    """Give the machines, each with its place, which is its region where an inventory tells it, and kind of resource."""
    fleet = analysis.machines
    return pd.concat([fleet, places(fleet.assign(region=regions(analysis)))], axis=1)


def regions(analysis: "Analysis") -> pd.Series:
    """Give the region of each machine, on the index of ``machines``; empty where no inventory tells it."""
    told = analysis.inventory.drop_duplicates(MACHINE)[[*MACHINE, "region"]]
    found = analysis.machines[MACHINE].merge(told, how="left", on=MACHINE)["region"]
    return found.fillna("").astype("str").set_axis(analysis.machines.index)


def first_agent_runs(analysis: "Analysis") -> pd.DataFrame:
    """Give the runs of the first agent of each machine, with what versions are compared by."""
    runs = analysis.runs[analysis.runs["line"] == 0].sort_values([*MACHINE, "first"], kind="stable")
    return runs.assign(key=pd.Series([version_key(v) for v in runs["version"]], index=runs.index, dtype="object"))


def in_days(span: Any) -> Any:
    """Express lengths of time in days."""
    return span / DAY
