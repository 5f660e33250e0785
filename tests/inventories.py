"""Small fleets with an inventory, as Resource Graph would give it."""

import pandas as pd
from fleet import analyzed, at, every, heartbeats

SUB = "/subscriptions/11111111-1111-1111-1111-111111111111"
OTHER = "/subscriptions/22222222-2222-2222-2222-222222222222"
START, END = "2026-03-02", "2026-03-03"
LATER = "2026-03-03T06:00"


def vm(name, subscription=SUB):
    return f"{subscription}/resourcegroups/rg/providers/microsoft.compute/virtualmachines/{name}"


SET = f"{SUB}/resourcegroups/rg/providers/microsoft.compute/virtualmachinescalesets/front"


def beating(name, start=START, end="2026-03-03T02:00", resource=None, **columns):
    return heartbeats(name, every(60, start, end), _ResourceId=resource or vm(name).upper(), **columns)


def known(resource, computer="", kind="virtual_machine", taken=LATER, agent=True, **columns):
    """A row of the table AgentInventory."""
    own = {
        "ExtensionName": "ama",
        "TypeHandlerVersion": "1.0",
        "EnableAutomaticUpgrade": True,
        "ProvisioningState": "Succeeded",
    }
    usual = {
        "TimeGenerated": at(taken),
        "Kind": kind,
        "_ResourceId": resource,
        "_SubscriptionId": resource.split("/")[2],
        "Computer": computer or resource.rpartition("/")[2],
        "OSType": "Linux",
        "Location": "westeurope",
        "ExtensionName": "",
        "VMUUID": "",
        "UpgradePolicy": "",
        "EnableAutomaticUpgrade": None,
        "ProvisioningState": "",
        "PowerState": "running",
        "ResourceTags": "",
    }
    return usual | (own if agent else {}) | columns


def subscription(path=SUB, taken=LATER):
    return known(path, kind="subscription", taken=taken, agent=False)


def found_in(tmp_path, beats, rows, machines=None):
    stock = pd.DataFrame(rows).astype({"EnableAutomaticUpgrade": "boolean"})
    return analyzed(tmp_path / "logs", START, END, machines, Heartbeat=beats, AgentInventory=stock)
