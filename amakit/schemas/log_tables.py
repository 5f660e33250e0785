"""The tables that come in: the columns of Log Analytics' own tables, and of the kit's."""

import functools
import json
from importlib import resources

#: The kit's own table: what `amakit inventory` reads of Resource Graph; TimeGenerated is when it was asked.
OWN = {
    "AgentInventory": {
        "TimeGenerated": "datetime", "Kind": "string", "_ResourceId": "string", "_SubscriptionId": "string",
        "Computer": "string", "OSType": "string", "VMUUID": "string", "Location": "string", "ResourceTags": "dynamic",
        "PowerState": "string", "TimeCreated": "datetime", "UpgradePolicy": "string", "ExtensionName": "string",
        "ExtensionType": "string", "TypeHandlerVersion": "string", "AutoUpgradeMinorVersion": "bool",
        "EnableAutomaticUpgrade": "bool", "ProvisioningState": "string", "Type": "string",
    },
}  # fmt: skip
#: When the service received the row.  Log Analytics hides it from ``*``, so the table reference does not
#: list it; every table has it.
RECEIVED = {"_TimeReceived": "datetime"}
#: Standard columns that a list of columns may leave out although they are there; see "Standard columns in Azure Monitor
#: Logs" at learn.microsoft.com.
STANDARD = {"_ResourceId", "_SubscriptionId", "_IsBillable", "_BilledSize", "Type", "TenantId"}


@functools.cache
def public_tables() -> dict[str, dict[str, str]]:
    """Give the columns of the Log Analytics tables that the kit knows.

    Returns
    -------
    dict of str to dict of str to str
        Table name to column name to KQL type, from the public table reference.

    Examples
    --------
    >>> public_tables()["Heartbeat"]["TimeGenerated"]
    'datetime'
    >>> len(public_tables())
    22
    """
    text = resources.files("amakit").joinpath("schemas", "log_tables.json").read_text(encoding="utf-8")
    return {table: columns | RECEIVED for table, columns in json.loads(text).items()}


@functools.cache
def tables() -> dict[str, dict[str, str]]:
    """Give the columns of all tables that the kit knows: those of Log Analytics, and its own.

    Examples
    --------
    >>> set(tables()) - set(public_tables())
    {'AgentInventory'}
    """
    return public_tables() | OWN


def table_name(name: str) -> str:
    """Give the usual spelling of a table's name; a table that is not known keeps its own.

    The containers of a data-export rule are called ``am-heartbeat`` and so on; that prefix is taken off.

    Examples
    --------
    >>> table_name("heartbeat"), table_name("am-insightsmetrics"), table_name("MyApp_CL")
    ('Heartbeat', 'InsightsMetrics', 'MyApp_CL')
    """
    bare = name[3:] if name.lower().startswith("am-") else name
    return {known.lower(): known for known in tables()}.get(bare.lower(), bare)
