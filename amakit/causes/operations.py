"""What the activity log tells: one row for each operation on the agent's extension or on a machine."""

import re

import numpy as np
import pandas as pd

#: What an operation does, by the parts of its name; of an extension or of the machine.
_AGENT_KINDS = {"write": "agent_write", "delete": "agent_delete", "upgradeextensions": "agent_upgrade",
                "extensionrollingupgrade": "agent_write"}  # fmt: skip
_KINDS = {
    "deallocate": "machine_stop", "poweroff": "machine_stop", "hibernate": "machine_stop",
    "start": "machine_start", "restart": "machine_restart", "redeploy": "machine_restart",
    "reimage": "machine_restart", "reimageall": "machine_restart", "performmaintenance": "machine_restart",
    "installpatches": "patching", "applyupdates": "patching", "osrollingupgrade": "patching",
    "rollingupgrades": "patching", "manualupgrade": "patching", "scaledown": "scale_in", "scalein": "scale_in",
    "healthevent": "health", "delete": "machine_delete",
}  # fmt: skip
#: What an operation of these kinds is done to.
_WHOLE = {"virtualmachines", "virtualmachinescalesets", "machines", "autoscalesettings"}
ATTEMPTS = ("agent_write", "agent_upgrade")
ON_AGENT = (*ATTEMPTS, "agent_delete")
ON_POWER = ("machine_stop", "machine_start", "machine_restart", "machine_delete", "scale_in", "patching", "health")
#: The words that the column OperationName has, where there is no OperationNameValue.
_LEGACY = {
    "create or update virtual machine extension": "microsoft.compute/virtualmachines/extensions/write",
    "create or update virtual machine extensions": "microsoft.compute/virtualmachines/extensions/write",
    "delete virtual machine extension": "microsoft.compute/virtualmachines/extensions/delete",
    "create or update virtual machine scale set extension":
        "microsoft.compute/virtualmachinescalesets/extensions/write",
    "delete virtual machine scale set extension": "microsoft.compute/virtualmachinescalesets/extensions/delete",
    "create or update azure arc extensions": "microsoft.hybridcompute/machines/extensions/write",
    "create or update azure arc machine extensions": "microsoft.hybridcompute/machines/extensions/write",
    "delete azure arc extensions": "microsoft.hybridcompute/machines/extensions/delete",
    "delete azure arc machine extensions": "microsoft.hybridcompute/machines/extensions/delete",
    "upgrade extensions on azure arc machines": "microsoft.hybridcompute/machines/upgradeextensions/action",
    "deallocate virtual machine": "microsoft.compute/virtualmachines/deallocate/action",
    "power off virtual machine": "microsoft.compute/virtualmachines/poweroff/action",
    "hibernate virtual machine": "microsoft.compute/virtualmachines/hibernate/action",
    "start virtual machine": "microsoft.compute/virtualmachines/start/action",
    "restart virtual machine": "microsoft.compute/virtualmachines/restart/action",
    "redeploy virtual machine": "microsoft.compute/virtualmachines/redeploy/action",
    "reimage virtual machine": "microsoft.compute/virtualmachines/reimage/action",
    "perform maintenance on virtual machine": "microsoft.compute/virtualmachines/performmaintenance/action",
    "install os update patches on virtual machine": "microsoft.compute/virtualmachines/installpatches/action",
    "delete virtual machine": "microsoft.compute/virtualmachines/delete",
    "delete virtual machines in a virtual machine scale set": "microsoft.compute/virtualmachinescalesets/delete/action",
    "deallocate virtual machine scale set": "microsoft.compute/virtualmachinescalesets/deallocate/action",
    "power off virtual machine scale set": "microsoft.compute/virtualmachinescalesets/poweroff/action",
    "restart virtual machine scale set": "microsoft.compute/virtualmachinescalesets/restart/action",
}  # fmt: skip
_AGENT = re.compile(r"azuremonitor(windows|linux)?agent")
#: Extensions of others that are met most; one of another name may be the agent under a name of the user's own.
_OTHERS = re.compile(
    r"dependencyagent|keyvault|customscript|runcommand|microsoftmonitoringagent|omsagent|antimalware|mde\.|defender|azurepolicy"
    r"|guestconfig|configurationfor|vmaccess|networkwatcher|bginfo|aadlogin|aadssh|aadssh|changetracking|vmsnapshot|diskencryption|\bdsc"
    r"|hybridworker|sqliaas|sqlserver|adminpolicy|domainjoin|jsonadd|osupdate|ospatching|vmpatching|healthextension|apphealth"
    r"|guestattestation|azurebackup|siterecovery|diagnostics|iaasdiag|winrm|nvidia|gpudriver|qualys|rapid7|azuredefender"
)
_PROPERTY = re.compile(
    r'"(title|type|healtheventtype|cause|healtheventcause|currenthealthstatus|publisher|rebootsetting|rebootstatus)"\s*:\s*"([^"]*)"',
    re.IGNORECASE,
)
_SCALE_SET = re.compile(r'/subscriptions/[^"\\ ]+/virtualmachinescalesets/[^"\\/ ]+', re.IGNORECASE)


def operations(activity: pd.DataFrame) -> pd.DataFrame:
    """Make one row of each operation from the rows that the activity log writes of it.

    Parameters
    ----------
    activity : pandas.DataFrame
        As the packaged query ``activity`` gives it.

    Returns
    -------
    pandas.DataFrame
        operation, target, base (the machine or set), began, ended, status (``started``, ``succeeded`` or ``failed``;
        of Resource Health ``available`` or ``unavailable``), caller, actor (the caller, or the application where the
        caller is one), correlation, kind (see `ON_AGENT` and `ON_POWER`; empty for what concerns neither), text (what
        its properties say).  Both spellings of a status and both generations of columns are understood.

    Examples
    --------
    >>> t = pd.to_datetime(["2026-03-02 10:00", "2026-03-02 10:03"], utc=True)
    >>> rows = pd.DataFrame({"TimeGenerated": t, "Operation": "x/extensions/write", "Status": ["started", "failure"],
    ...     "Target": "/vm", "Entity": "/vm/extensions/azuremonitorlinuxagent", "Caller": "c", "Application": "",
    ...     "CorrelationId": "1", "Properties": ""})
    >>> operations(rows)[["status", "kind"]]
       status         kind
    0  failed  agent_write
    """
    rows = activity.sort_values("TimeGenerated", kind="stable")
    longer = rows["Entity"].str.len() > rows["Target"].str.len()
    operation = rows["Operation"].map(lambda name: _LEGACY.get(name, name)).astype("str")
    rows = rows.assign(target=rows["Target"].mask(longer, rows["Entity"]).astype("str"), Operation=operation)
    rows["rank"] = rows["Status"].str[:4].map({"fail": 2, "canc": 2, "succ": 1}).fillna(0)
    health = rows["Operation"].str.contains("healthevent", regex=False)
    rows["number"] = np.where(health, np.arange(len(rows)), -1)  # each event of Resource Health stands for itself
    grouped = rows.groupby(["CorrelationId", "Operation", "target", "number"], sort=False)
    acts = grouped.agg(
        began=("TimeGenerated", "min"),
        ended=("TimeGenerated", "max"),
        rank=("rank", "max"),
        caller=("Caller", "last"),
        application=("Application", "max"),
        said=("Properties", "max"),
    ).reset_index()
    acts["status"] = acts["rank"].map({2: "failed", 1: "succeeded", 0: "started"}).astype("str")
    acts["base"] = acts["target"].str.replace(r"/extensions/.*$", "", regex=True)
    person = acts["caller"].str.contains("@", regex=False) | (acts["application"] == "")
    acts["actor"] = acts["caller"].where(person, acts["application"])
    acts = acts.rename(columns={"Operation": "operation", "CorrelationId": "correlation"})
    acts = acts.sort_values("began", ignore_index=True, kind="stable")
    read = [_read(*row) for row in acts[["operation", "target", "said"]].itertuples(index=False)]
    acts["kind"], told, acts["text"] = (
        (pd.Series(part, dtype="str") for part in zip(*read, strict=True)) if read else [pd.Series([], dtype="str")] * 3
    )
    acts["status"] = acts["status"].mask(told != "", told)
    scaled = acts["kind"] == "scale_in"
    acts.loc[scaled, "base"] = [_scaled(*row) for row in acts.loc[scaled, ["said", "base"]].itertuples(index=False)]
    named = set(acts.loc[acts["kind"].isin(ON_AGENT), "base"])
    maybe = (acts["kind"] == "maybe") & ~acts["base"].isin(named)
    acts["text"] = acts["text"].mask(maybe, acts["target"].str.rsplit("/").str[-1])
    acts["kind"] = acts["kind"].mask(maybe, "agent_" + acts["operation"].str.rsplit("/").str[-1])
    acts["kind"] = acts["kind"].mask(acts["kind"] == "maybe", "")
    return acts[
        ["operation", "target", "base", "began", "ended", "status", "caller", "correlation", "actor", "kind", "text"]
    ]


def _read(operation, target, said):
    """Give the kind of an operation, the status that its properties say, and their text."""
    said = said.replace("\\", "")
    properties = {key.lower(): value for key, value in _PROPERTY.findall(said)}
    parts = operation.split("/")
    if "extension" in operation:
        text = ": ".join(filter(None, (properties.get("publisher", ""), properties.get("type", ""))))
        return _extension(parts, target, said.lower()), "", text
    *before, verb = parts[:-1] if parts[-1] == "action" else parts
    verb = "healthevent" if "healthevent" in before else verb
    # what is done to a part of a machine, such as a run command or a diagnostic setting, is not done to it
    kind = _KINDS.get(verb, "") if verb == "healthevent" or {*before[-1:]} & _WHOLE else ""
    if kind == "health":
        now = properties.get("currenthealthstatus", "").lower() or (
            "available" if "resolved" in parts else "unavailable"
        )
        down = properties.get("type", properties.get("healtheventtype", "Downtime")) == "Downtime"
        kind = "health" if down and now in ("available", "unavailable") else ""  # unknown or degraded is not down
        by = properties.get("cause", "") or properties.get("healtheventcause", "")
        return kind, "available" if now == "available" else "unavailable", f"{properties.get('title', '')} ({by})"
    if kind == "patching" and {properties.get("rebootsetting", ""), properties.get("rebootstatus", "")} & {
        "Never",
        "NeverReboot",
        "NotNeeded",
    }:
        kind = ""
    return kind, "", ""


def _extension(parts, target, said):
    """Say what an operation on an extension does to the agent; ``maybe`` where its name is one of the user's own."""
    verb = parts[-2] if parts[-1] == "action" else parts[-1]
    kind, name = _AGENT_KINDS.get(verb, ""), target.partition("/extensions/")[2]
    if not kind:
        return ""
    if _AGENT.search(name) or _AGENT.search(said) or (not name and "extensiontargets" not in said):
        return kind
    other = not name or _OTHERS.search(name) or '"publisher"' in said or '"type"' in said
    return "" if other else "maybe"


def _scaled(said, base):
    """Give the scale set that an event of autoscale is about; its own id may be that of the setting."""
    named = _SCALE_SET.search(said.replace("\\", ""))
    return named[0].lower() if named and "/virtualmachinescalesets/" not in base else base


def on_agent(acts: pd.DataFrame) -> pd.DataFrame:
    """Keep the operations, as `operations` gives them, that concern the agent's extension."""
    return acts[acts["kind"].isin(ON_AGENT)]
