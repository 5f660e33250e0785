"""Events of the activity log as rows of AzureActivity, whichever way they were exported."""

from collections.abc import Mapping

#: What AzureActivity says where the log says otherwise.
STATUS = {"Started": "Start", "Succeeded": "Success", "Failed": "Failure", "Accepted": "Accept"}
#: Column of AzureActivity -> where it is, the first that holds something.  A path goes into a JSON object.
CLI = {
    "TimeGenerated": ("eventTimestamp",), "EventSubmissionTimestamp": ("submissionTimestamp",),
    "OperationName": ("operationName/localizedValue", "operationName/value", "operationName"),
    "OperationNameValue": ("operationName/value", "operationName"),
    "ActivityStatus": ("status/value", "status"),
    "ActivitySubstatusValue": ("subStatus/localizedValue", "subStatus/value", "subStatus"),
    "Caller": ("caller",), "CategoryValue": ("category/value", "category"), "Level": ("level",),
    "CorrelationId": ("correlationId",), "OperationId": ("operationId",), "EventDataId": ("eventDataId",),
    "Properties": ("properties",), "Claims": ("claims",), "Authorization": ("authorization",),
    "ResourceId": ("resourceId",), "ResourceGroup": ("resourceGroupName", "resourceGroup"),
    "ResourceProviderValue": ("resourceProviderName/value", "resourceProviderName"),
    "SubscriptionId": ("subscriptionId",), "TenantId": ("tenantId",),
}  # fmt: skip
#: The same in the spelling of PowerShell: OperationName/Value.
POWERSHELL = {
    column: tuple("/".join(part[0].upper() + part[1:] for part in place.split("/")) for place in places)
    for column, places in CLI.items()
}
STORAGE = {
    "TimeGenerated": ("time",), "OperationName": ("operationName",), "OperationNameValue": ("operationName",),
    "ActivityStatus": ("resultType",), "ActivitySubstatusValue": ("resultSignature",),
    "Caller": ("identity/claims/http:~1~1schemas.xmlsoap.org~1ws~12005~105~1identity~1claims~1upn",
               "identity/claims/http:~1~1schemas.xmlsoap.org~1ws~12005~105~1identity~1claims~1name",
               "identity/claims/appid", "caller"),
    "CallerIpAddress": ("callerIpAddress",), "CategoryValue": ("category",), "Level": ("level",),
    "CorrelationId": ("correlationId",), "Properties": ("properties",), "Claims": ("identity/claims",),
    "Authorization": ("identity/authorization",), "ResourceId": ("resourceId",), "TenantId": ("tenantId",),
}  # fmt: skip
PORTAL = {
    "TimeGenerated": ("Time", "Time stamp"), "OperationName": ("Operation name",),
    "OperationNameValue": ("Operation name",), "ActivityStatus": ("Status",), "Caller": ("Event initiated by",),
    "CategoryValue": ("Event category",), "Level": ("Level",), "CorrelationId": ("Correlation id",),
    "ResourceId": ("Resource",), "ResourceGroup": ("Resource group",), "ResourceType": ("Resource type",),
    "SubscriptionId": ("Subscription",),
}  # fmt: skip
LEGACY = {
    "TimeGenerated": ("TimeGenerated",), "OperationName": ("OperationName",), "OperationNameValue": ("OperationName",),
    "ActivityStatus": ("ActivityStatus",), "ActivitySubstatusValue": ("ActivitySubstatus",), "Caller": ("Caller",),
    "CallerIpAddress": ("CallerIpAddress",), "CategoryValue": ("Category",), "Level": ("Level",),
    "CorrelationId": ("CorrelationId",), "ResourceId": ("ResourceId", "_ResourceId"),
    "ResourceGroup": ("ResourceGroup",), "ResourceProviderValue": ("ResourceProvider",),
    "SubscriptionId": ("SubscriptionId",), "Properties": ("Properties",),
    "TenantId": ("TenantId",), "OperationId": ("OperationId",), "EventDataId": ("EventDataId",),
}  # fmt: skip
#: What the portal's words for an operation begin with, and the operation on a type of resource.
_VERBS = {
    "create or update": "WRITE", "creates or updates": "WRITE", "installs or updates": "WRITE", "update": "WRITE",
    "write": "WRITE", "delete": "DELETE", "deletes": "DELETE", "uninstall": "DELETE", "deallocate": "DEALLOCATE/ACTION",
    "power off": "POWEROFF/ACTION", "start": "START/ACTION", "restart": "RESTART/ACTION", "redeploy": "REDEPLOY/ACTION",
    "reimage": "REIMAGE/ACTION", "hibernate": "HIBERNATE/ACTION", "upgrade": "UPGRADEEXTENSIONS/ACTION",
    "upgrades": "UPGRADEEXTENSIONS/ACTION", "run command": "RUNCOMMAND/ACTION",
}  # fmt: skip


def rows_of_activity(cells: Mapping[str, str], relation: str) -> tuple[str, list[str]]:
    """Give the SQL of rows of AzureActivity, and their columns, all text.

    Parameters
    ----------
    cells : mapping of str to str
        Column of AzureActivity -> SQL of its text; null where there is none.
    relation : str
        Has these, and the column ``amakit file``.
    """
    chosen = ", ".join(f'{sql} AS "{column}"' for column, sql in cells.items())
    kind, group, subscription = (
        f'"{column}"' if column in cells else "''" for column in ("ResourceType", "ResourceGroup", "SubscriptionId")
    )
    # the portal may give the name alone: app-01/Agent of the type Microsoft.Compute/virtualMachines/extensions
    steps = f"list_zip(string_split({kind}, '/')[2:], string_split(\"ResourceId\", '/'))"
    path = f"list_transform({steps}, lambda pair: '/' || coalesce(pair[1], '') || '/' || coalesce(pair[2], ''))"
    named = (
        f"CASE WHEN \"ResourceId\" LIKE '/%' OR coalesce({kind}, '') = '' THEN \"ResourceId\" "
        f"ELSE '/subscriptions/' || {subscription} || '/resourceGroups/' || {group} || '/providers/' || "
        f"split_part({kind}, '/', 1) || "
        f"list_aggregate({path}, 'string_agg', '') END"
    )
    first = f'SELECT {chosen}, "amakit file" FROM {relation}'
    second = f'SELECT * REPLACE ({named} AS "ResourceId") FROM ({first})'
    below = "regexp_extract(\"ResourceId\", '(?i)^.*/providers/([^/]+/.*)$', 1)"
    within = f"upper(regexp_replace({below}, '/([^/]+)/[^/]+', '/\\1', 'g'))"
    said = '"OperationNameValue"'
    words = f"lower({said})"
    verbs = " ".join(
        f"WHEN starts_with({words}, '{verb} ') THEN {within} || '/{action}'" for verb, action in _VERBS.items()
    )
    operation = f"CASE WHEN {said} LIKE '%/%' THEN upper({said}) {verbs} ELSE {said} END"
    status = " ".join(f"WHEN '{said}' THEN '{value}'" for said, value in STATUS.items())
    derived = {
        "OperationNameValue": operation,
        "ActivityStatusValue": f'CASE "ActivityStatus" {status} ELSE "ActivityStatus" END',
        "_ResourceId": 'lower("ResourceId")',
        "Category": '"CategoryValue"',
        "Resource": "regexp_extract(\"ResourceId\", '[^/]*$')",
        "Type": "'AzureActivity'",
        "Claims_d": '"Claims"',
        "Properties_d": '"Properties"',
        "Authorization_d": '"Authorization"',
    }
    derived = {column: sql for column, sql in derived.items() if not sql.startswith('"') or sql.strip('"') in cells}
    kept = [column for column in cells if column not in derived and column != "ResourceType"]
    chosen = ", ".join([f'"{column}"' for column in kept] + [f'{sql} AS "{column}"' for column, sql in derived.items()])
    return f'(SELECT {chosen}, "amakit file" FROM ({second}))', [*kept, *derived]
