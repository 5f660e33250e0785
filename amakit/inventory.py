"""The inventory as a witness: which machines of Azure report, which should and do not, and how their agents are set."""

import json
from typing import TYPE_CHECKING

import pandas as pd

from amakit.fetch.identity import short_name
from amakit.intervals import iso
from amakit.schemas import MACHINE, machine_labels, result

if TYPE_CHECKING:
    from amakit.fetch.heartbeats import Fleet

_TABLE = "AgentInventory"
#: Parts of an id that say that an inventory of its subscription would have the resource.
_COVERED = r"/providers/microsoft\.(?:compute/virtualmachine|hybridcompute/machines/)"
_OF_SET = ["Policy", "Extension", "Wanted", "Minor", "Automatic", "Provisioning"]
_NAMES = {
    "Kind": "kind", "Region": "region", "OSType": "os_type", "ResourceTags": "resource_tags", "Power": "power_state",
    "Created": "created", "Extension": "extension", "Wanted": "version_asked", "Minor": "auto_upgrade_minor",
    "Automatic": "automatic_upgrade", "Provisioning": "provisioning_state", "Policy": "upgrade_policy",
    "Taken": "taken",
}  # fmt: skip


def read(fleet: "Fleet") -> tuple[pd.DataFrame, list[dict]]:
    """Set the inventory beside the machines that report.

    Parameters
    ----------
    fleet : amakit.fetch.heartbeats.Fleet

    Returns
    -------
    tuple of (pandas.DataFrame, list of dict)
        The result table ``inventory``, without rows where the workspace has no inventory; and of each subscription that
        was read ``subscription`` and ``taken``, the instant of it.  Of several inventories of a subscription the newest
        counts.

    Notes
    -----
    A machine is found by its resource id, else by the id of its hardware.  An instance of a uniform scale set has the
    id of the set and its computer name; what the model of the set says of the extension holds for it.  A machine that
    reported and is not in the inventory has a row only where the inventory is younger than its last heartbeat, and
    tells of its subscription.

    Examples
    --------
    >>> from amakit import connect
    >>> from amakit.fetch.heartbeats import fleet
    >>> from amakit.intervals import window
    >>> read(fleet(connect("demo"), window("2026-03-02", "2026-03-03")))[1]
    []
    """
    if _TABLE not in fleet.workspace.tables:
        return result("inventory", pd.DataFrame(columns=[*MACHINE, *_NAMES.values(), "listed", "heard"])), []
    rows = fleet.workspace.ask("agent_inventory")
    rows = rows[rows["Taken"] == rows.groupby("Subscription")["Taken"].transform("max")]
    taken = rows.groupby("Subscription")["Taken"].max()
    rows = _with_models(rows[rows["Kind"] != "subscription"].reset_index(drop=True))
    names = fleet.everybody.assign(Vm=fleet.everybody["Vm"].fillna(""))
    pairs = _pairs(rows, names[[*MACHINE, "ResourceId", "Computer", "Vm"]].drop_duplicates())
    found = pd.concat([rows.loc[pairs["row"]].reset_index(drop=True), pairs[MACHINE]], axis=1).assign(heard=True)
    lone = rows.drop(index=pairs["row"].unique())
    with_instances = set(rows.loc[rows["Kind"] == "scale_set_instance", "Set"])
    lone = lone[~((lone["Kind"] == "scale_set") & lone["ResourceId"].isin(with_instances))]
    lone = lone.assign(resource_id=lone["ResourceId"], computer=lone["Computer"], heard=False)
    parts = [found.assign(listed=True), lone.assign(listed=True), _unlisted(names, pairs, taken)]
    whole = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True).rename(columns=_NAMES)
    if fleet.asked:
        own = pd.concat([fleet.days[MACHINE], fleet.before[MACHINE]]).drop_duplicates()
        whole = whole.merge(own, on=MACHINE)
    told = [{"subscription": name, "taken": iso(when)} for name, when in taken.items()]
    return result("inventory", whole), told


def unlisted(inventory: pd.DataFrame) -> pd.DataFrame:
    """Give the machines that reported before an inventory that does not have them."""
    return inventory[~inventory["listed"].astype("bool")]


def unheard(inventory: pd.DataFrame, horizon: pd.Timestamp) -> pd.DataFrame:
    """Give the machines that have the agent's extension and sent no heartbeat, in the window or around it.

    Parameters
    ----------
    inventory : pandas.DataFrame
        As the result table.
    horizon : pandas.Timestamp
        A machine that was made later could not have been heard.
    """
    expected = (inventory["extension"] != "") & ~inventory["heard"].astype("bool")
    return inventory[expected & ~(inventory["created"] >= horizon)].drop_duplicates(MACHINE)


def failed(inventory: pd.DataFrame) -> pd.DataFrame:
    """Give the machines whose last operation on the agent's extension had failed."""
    return inventory[inventory["provisioning_state"].str.lower() == "failed"].drop_duplicates(MACHINE)


def tag(inventory: pd.DataFrame, name: str) -> pd.Series:
    """Give the value of a tag of each row, whose name is compared without case; empty where a machine has none.

    Examples
    --------
    >>> tag(pd.DataFrame({"resource_tags": ['{"Env": "prod"}', ""]}), "env").tolist()
    ['prod', '']
    """

    def value(text):
        tags = json.loads(text) if text else {}
        return next((str(told) for key, told in tags.items() if key.lower() == name.lower()), "")

    return inventory["resource_tags"].map(value).astype("str")


def automatic(inventory: pd.DataFrame) -> pd.Series:
    """Say of each machine of which it is known whether its agent is upgraded automatically.

    Returns
    -------
    pandas.Series of bool
        By resource_id and computer; false where any of its extensions is opted out.
    """
    known = inventory[inventory["automatic_upgrade"].notna()]
    return known.astype({"automatic_upgrade": "bool"}).groupby(MACHINE)["automatic_upgrade"].all()


def summary(inventory: pd.DataFrame, told: list[dict], machines: pd.DataFrame, horizon: pd.Timestamp) -> dict | None:
    """Give what an inventory tells beside the heartbeats; None where there is none.

    Parameters
    ----------
    inventory : pandas.DataFrame
        As the result table.
    told : list of dict
        The subscriptions that were read, as `read` gives them; none without an inventory.
    machines : pandas.DataFrame
        The result table ``machines``.
    horizon : pandas.Timestamp

    Returns
    -------
    dict
        JSON-serialisable: taken and since (the last instant at which Azure was asked, and the first where subscriptions
        were asked at several), subscriptions (number of them), agents (machines with the agent's extension), and of
        machines with their name, group, region and power_state: unheard, failed, opted_out (of automatic upgrades) and
        unlisted; see the functions of these names.
    """
    if not told:
        return None
    every = pd.concat([machines[MACHINE], inventory[MACHINE]]).drop_duplicates(ignore_index=True)
    every["computer"] = every["computer"].where(every["computer"] != "", every["resource_id"].str.rpartition("/")[2])
    named = dict(zip(every.itertuples(index=False, name=None), machine_labels(every), strict=True))
    # as every page calls them, also where an inventory knows of a namesake
    named |= dict(zip(machines[MACHINE].itertuples(index=False, name=None), machine_labels(machines), strict=True))
    on = automatic(inventory)
    off = pd.MultiIndex.from_frame(inventory[MACHINE]).isin(on.index[~on])
    parts = {
        "unheard": unheard(inventory, horizon),
        "failed": failed(inventory),
        "opted_out": inventory[off].drop_duplicates(MACHINE),
        "unlisted": unlisted(inventory),
    }
    return {
        "taken": max(one["taken"] for one in told),
        "since": min(one["taken"] for one in told),
        "subscriptions": len(told),
        "agents": len(inventory.loc[inventory["extension"] != "", MACHINE].drop_duplicates()),
        **{part: [_entry(row, named) for row in rows.itertuples()] for part, rows in parts.items()},
    }


def _entry(row, named):
    name = named[row.resource_id, row.computer or row.resource_id.rpartition("/")[2]]
    group = row.resource_id.partition("/resourcegroups/")[2].partition("/")[0]
    return {"machine": name, "group": group, "region": row.region, "power_state": row.power_state}


def noted(machines: pd.DataFrame, inventory: pd.DataFrame) -> pd.DataFrame:
    """Add to the notes of machines that an inventory does not have them."""
    gone = unlisted(inventory)[[*MACHINE, "taken"]]
    if gone.empty:
        return machines
    when = machines[MACHINE].merge(gone, how="left", on=MACHINE)["taken"]
    said = [f"not in the inventory of {iso(taken)}" if pd.notna(taken) else "" for taken in when]
    notes = ["; ".join(filter(None, pair)) for pair in zip(machines["note"], said, strict=True)]
    return machines.assign(note=notes).astype({"note": machines["note"].dtype})


def _with_models(rows):
    """Give instances of scale sets what the model of their set says."""
    sets = rows[rows["Kind"] == "scale_set"].set_index("ResourceId")
    rows = rows.assign(Set=rows["ResourceId"].str.replace(r"/virtualmachines/[^/]+$", "", regex=True))
    instances = rows["Kind"] == "scale_set_instance"
    if not instances.any() or sets.empty:
        return rows
    own = rows[instances].drop(columns=_OF_SET).merge(sets[_OF_SET], how="left", left_on="Set", right_index=True)
    return pd.concat([rows[~instances], own], ignore_index=True)[list(rows)].astype(rows.dtypes)


def _pairs(rows, names):
    """Pair rows of the inventory with machines: by id, instances by set and name, at last by hardware."""
    keyed = rows[["Kind", "ResourceId", "Set", "Vm"]].assign(row=rows.index, Short=short_name(rows["Computer"]))
    names = names.assign(Short=short_name(names["Computer"]))  # which a domain makes longer than its instance's
    instances = keyed["Kind"] == "scale_set_instance"
    parts = [
        keyed[["ResourceId", "row"]].merge(names, on="ResourceId"),
        keyed.loc[instances, ["Set", "Short", "row"]].merge(
            names, left_on=["Set", "Short"], right_on=["ResourceId", "Short"]
        ),
    ]
    found = pd.concat(parts)[["row", *MACHINE]]
    # of a set whose instances are known, each is itself and none stands for the others
    told = set(keyed.loc[instances, "Set"])
    of_set = found["row"].map(keyed.set_index("row")["Kind"]) == "scale_set"
    found = found[~(of_set & found["row"].map(keyed.set_index("row")["ResourceId"]).isin(told))]
    rest = keyed[~keyed["row"].isin(found["row"]) & (keyed["Vm"] != "")]
    others = names.merge(found[MACHINE].drop_duplicates(), how="left", on=MACHINE, indicator=True)
    others = others[others["_merge"] == "left_only"]
    by_hardware = rest[["Vm", "row"]].merge(others[[*MACHINE, "Vm"]].drop_duplicates(), on="Vm")
    by_hardware = by_hardware[~by_hardware.duplicated("row", keep=False)]
    return pd.concat([found, by_hardware])[["row", *MACHINE]].drop_duplicates(ignore_index=True)


def _unlisted(names, pairs, taken):
    """Give the machines of a subscription that was read later, and that were not in there."""
    last = names.groupby(MACHINE, as_index=False)["LastBeat"].max()
    known = last.merge(pairs[MACHINE].drop_duplicates(), how="left", on=MACHINE, indicator=True)
    gone = known[(known["_merge"] == "left_only") & known["resource_id"].str.contains(_COVERED, regex=True)]
    subscription = gone["resource_id"].str.extract(r"^/subscriptions/([^/]+)", expand=False)
    gone = gone.assign(Taken=subscription.map(taken))
    gone = gone[gone["Taken"] > gone["LastBeat"]][[*MACHINE, "Taken"]]
    nothing = dict.fromkeys(
        ("Kind", "Region", "OSType", "ResourceTags", "Power", *(c for c in _OF_SET if c not in ("Minor", "Automatic"))),
        "",
    )
    return gone.assign(**nothing, Created=pd.NaT, Minor=None, Automatic=None, heard=True, listed=False)
