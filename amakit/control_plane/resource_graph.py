"""The inventory: what Azure Resource Graph knows of machines and of the agent's extension on them, at one instant."""

import json
import re
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from amakit.control_plane.connection import Connection, said, subscription_id
from amakit.control_plane.resource_manager import PUBLISHER, TYPES
from amakit.errors import AmakitError, Refused, Unanswered
from amakit.intervals import iso
from amakit.schemas import OWN, frame_of
from amakit.service.retry import Pace

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.core.exceptions import HttpResponseError

#: Resource Graph lets a user ask 15 times in 5 seconds, and its answers tell how often still.
pace = Pace(12, 5)
#: Rows of a page, and subscriptions of a question, at most.
PAGE, SCOPE = 1000, 1000
#: So often is a question asked whose pages do not make up the number of rows that the answers tell.
_TRIES = 3
TABLE = "AgentInventory"

_AGENT = f"=~ '{PUBLISHER}' and tostring({{}}.type) in~ ({', '.join(repr(kind) for kind in TYPES.values())})"
_OF_EXTENSION = """extension = tostring({0}name), agent = tostring({1}type),
    version = tostring({1}typeHandlerVersion), minor = tobool({1}autoUpgradeMinorVersion),
    automatic = tobool({1}enableAutomaticUpgrade), state = tostring({1}provisioningState)"""
#: What is asked.  Pages hold together only where rows have an id and are sorted by it.
QUERIES = {
    "subscriptions": "resourcecontainers\n| where type =~ 'microsoft.resources/subscriptions'\n"
        "| project id, type, subscriptionId, name",
    "machines": "resources\n| where type in~ ('microsoft.compute/virtualmachines', "
        "'microsoft.compute/virtualmachinescalesets', 'microsoft.hybridcompute/machines')\n"
        "| project id, type, subscriptionId, name, location, tags,\n"
        "    computer = tostring(coalesce(properties.extended.instanceView.computerName, "
        "properties.osProfile.computerName)),\n"
        "    system = tostring(coalesce(properties.storageProfile.osDisk.osType, properties.osType, "
        "properties.virtualMachineProfile.storageProfile.osDisk.osType)),\n"
        "    hardware = tostring(coalesce(properties.vmUuid, properties.vmId)),\n"
        "    power = tostring(coalesce(properties.extended.instanceView.powerState.code, properties.status)),\n"
        "    created = tostring(properties.timeCreated), policy = tostring(properties.upgradePolicy.mode)",
    "instances": "computeresources\n| where type =~ 'microsoft.compute/virtualmachinescalesets/virtualmachines'\n"
        "| project id, type, subscriptionId, name, location, tags, "
        "computer = tostring(properties.osProfile.computerName),\n"
        "    system = tostring(properties.storageProfile.osDisk.osType), hardware = tostring(properties.vmId),\n"
        "    power = tostring(properties.extended.instanceView.powerState.code), "
        "created = tostring(properties.timeCreated)",
    "extensions": "resources\n| where type in~ ('microsoft.compute/virtualmachines/extensions', "
        "'microsoft.hybridcompute/machines/extensions')\n"
        f"| where tostring(properties.publisher) {_AGENT.format('properties')}\n"
        f"| project id, {_OF_EXTENSION.format('', 'properties.')}",
    "models": "resources\n| where type =~ 'microsoft.compute/virtualmachinescalesets'\n"
        "| mv-expand one = properties.virtualMachineProfile.extensionProfile.extensions\n"
        f"| where tostring(one.properties.publisher) {_AGENT.format('one.properties')}\n"
        f"| project id = strcat(id, '/extensions/', tostring(one.name)), "
        f"{_OF_EXTENSION.format('one.', 'one.properties.')}",
}  # fmt: skip
_KINDS = {
    "microsoft.resources/subscriptions": "subscription",
    "microsoft.compute/virtualmachines": "virtual_machine",
    "microsoft.compute/virtualmachinescalesets": "scale_set",
    "microsoft.compute/virtualmachinescalesets/virtualmachines": "scale_set_instance",
    "microsoft.hybridcompute/machines": "arc",
}
#: Where nothing else is known, these are called as their resource is.
_NAMED = {"microsoft.compute/virtualmachines", "microsoft.hybridcompute/machines"}
#: Columns of the table, each with what the answers call it.
_COLUMNS = {
    "Computer": "computer", "OSType": "system", "VMUUID": "hardware", "Location": "location", "PowerState": "power",
    "UpgradePolicy": "policy",
}  # fmt: skip
_EXTENSION = {
    "ExtensionName": "extension", "ExtensionType": "agent", "TypeHandlerVersion": "version",
    "AutoUpgradeMinorVersion": "minor", "EnableAutomaticUpgrade": "automatic", "ProvisioningState": "state",
}  # fmt: skip


class ResourceGraph(Connection):
    """What Resource Graph tells of some subscriptions, or of all that the sign-in may read in its tenant.

    Parameters
    ----------
    subscriptions : iterable of str
        Their ids.
    cloud, host, sign_in, tenant
        See `amakit.control_plane.connection.Connection`.

    Attributes
    ----------
    notes : list of str
        What whoever reads the rows must know of how they came.

    Raises
    ------
    UsageError
        When a subscription is no id, or the host is none of Azure Resource Manager.

    Examples
    --------
    >>> ResourceGraph(["01234567-89ab-cdef-0123-456789abcdef"], cloud="china")
    <Resource Graph of subscription 01234567-89ab-cdef-0123-456789abcdef at https://management.chinacloudapi.cn>
    """

    def __init__(
        self,
        subscriptions: Iterable[str] = (),
        cloud: str = "",
        host: str = "",
        sign_in: "str | TokenCredential" = "default",
        tenant: str = "",
    ) -> None:
        self.subscriptions = list(dict.fromkeys(subscription_id(one).lower() for one in subscriptions))
        self.notes: list[str] = []
        named = ", ".join(self.subscriptions[:3]) + (" and others" if len(self.subscriptions) > 3 else "")
        name = f"Resource Graph of subscription{'s' * (len(self.subscriptions) > 1)} {named}" if named else ""
        super().__init__(name or "Resource Graph", pace, cloud, host, sign_in, tenant)
        self._rest, self._page_rows = 0.0, PAGE

    def __repr__(self) -> str:
        return f"<{self._name} at {self._base}>"

    def inventory(self) -> pd.DataFrame:
        """Read the machines, and the agent's extension on each.

        Returns
        -------
        pandas.DataFrame
            The table AgentInventory: a row for each machine, scale set and instance of one, for each extension of the
            agent on it; and one for each subscription whose machines were read.  TimeGenerated is the instant at which
            it was begun.

        Raises
        ------
        AmakitError
            When it cannot be read whole, or nothing of it can.

        Notes
        -----
        Resource Graph leaves out what the sign-in may not read, without a word.  Of subscriptions that were named
        ``notes`` says which gave nothing.  Each page tells how many rows there are, and all of them must have come.
        """
        asked = pd.Timestamp.now("UTC").floor("s")
        self.notes.clear()
        found: dict[str, list[dict]] = {}
        for name, kql in QUERIES.items():
            try:
                found[name] = [row for scope in self._scopes() for row in self._rows(kql, scope)]
            except Refused as error:
                if name != "instances":
                    raise
                found[name] = []  # the table is not in every cloud
                self.notes.append(f"instances of scale sets are left out: {error}")
        machines = [*found["machines"], *found["instances"]]
        self._say_what_gave_nothing(found["subscriptions"], machines)
        extensions: dict[str, list[dict]] = {}
        for one in [*found["extensions"], *found["models"]]:
            extensions.setdefault(one["id"].lower().rpartition("/extensions/")[0], []).append(one)
        rows = [_row(asked, one, {}) for one in found["subscriptions"]]
        rows += [_row(asked, one, own) for one in machines for own in extensions.get(one["id"].lower(), [{}])]
        types = OWN[TABLE] | {"ResourceTags": "string"}  # written as JSON, which is read as dynamic again
        made = frame_of({name: [row.get(name) for row in rows] for name in types}, types)
        return made.sort_values(["Kind", "_ResourceId", "ExtensionName"], ignore_index=True, kind="stable")

    def _say_what_gave_nothing(self, subscriptions, machines):
        gave = {one["subscriptionId"].lower() for one in (*subscriptions, *machines)}
        if not gave:
            raise AmakitError(
                f"{self._name} holds no subscription that you may read; ask for the role Reader on it, or sign in to "
                "its tenant with --tenant"
            )
        for one in self.subscriptions:
            if one not in gave:
                self.notes.append(
                    f"subscription {one} gave nothing: it is not in this tenant, or you may not read it; the inventory "
                    "says nothing of it"
                )

    def _scopes(self) -> Iterator[list[str] | None]:
        """Give the subscriptions as they may be asked for at once; None for all of the tenant."""
        for at in range(0, len(self.subscriptions), SCOPE):
            yield self.subscriptions[at : at + SCOPE]
        if not self.subscriptions:
            yield None

    def _rows(self, kql, scope):
        """Give all rows of a question.  What changes meanwhile may move rows between pages: then it is asked anew."""
        for _ in range(_TRIES):
            rows, total = self._pages(kql, scope)
            if len(rows) == total == len({row["id"].lower() for row in rows}):
                return rows
        raise AmakitError(f"{self._name} gave {len(rows):,} of {total:,} rows; try again later")

    def _pages(self, kql, scope):
        rows, token, tokens = [], None, set()
        while True:
            try:
                page, total, token = self.asked(partial(self._page, kql, scope, token))
            except _TooLarge:
                self._page_rows //= 2
                rows, token, tokens = [], None, set()
                continue
            rows += page
            if not token:
                return rows, total
            if token in tokens:
                raise AmakitError(f"{self._name} leads from page to page in a circle; try again later")
            tokens.add(token)

    def _page(self, kql, scope, token):
        client = self.client("resourcegraph", "ResourceGraphClient")
        from azure.mgmt.resourcegraph.models import QueryRequest, QueryRequestOptions

        if self._rest:
            self._pace.sleep(self._rest)
        options = QueryRequestOptions(top=self._page_rows, skip_token=token, result_format="objectArray")
        asked = QueryRequest(query=f"{kql}\n| order by id asc", subscriptions=scope, options=options)
        answer, headers = client.resources(asked, cls=lambda raw, made, _: (made, raw.http_response.headers))
        self._rest = _until_more(headers) if headers.get("x-ms-user-quota-remaining") == "0" else 0.0
        if headers.get("x-ms-tenant-subscription-limit-hit", "").lower() == "true":
            raise self._too_many()
        if not all(isinstance(row.get("id"), str) for row in answer.data):
            raise Unanswered("it answered with rows that have no id")
        return answer.data, answer.total_records, answer.skip_token

    def _too_many(self):
        return AmakitError(f"{self._name} has too many subscriptions for one question; name yours with --subscription")

    def refusal(self, error: "HttpResponseError") -> AmakitError:
        """Read an error of Resource Graph."""
        code, message = said(error.response)
        if code == "ResponsePayloadTooLarge" and self._page_rows > 1:
            return _TooLarge(message)
        if code == "TooManySubscriptionsUnderScope":
            return self._too_many()
        if getattr(error.response, "status_code", 0) == 400:
            return Refused(f"{self._name} refused the question: {message[:300].rstrip('.')} ({code})")
        found = super().refusal(error)
        if isinstance(found, Unanswered):
            found.wait = max(found.wait, _until_more(getattr(error.response, "headers", {})))
        return found


class _TooLarge(AmakitError):
    """A page is larger than Resource Graph sends; fewer rows may do."""


def told(rows: pd.DataFrame) -> list[str]:
    """Say what an inventory holds.

    Parameters
    ----------
    rows : pandas.DataFrame
        As `ResourceGraph.inventory` gives them.

    Returns
    -------
    list of str
        A line on all of it, and one for each subscription.

    Examples
    --------
    >>> told(frame_of({name: [] for name in OWN["AgentInventory"]}, OWN["AgentInventory"]))
    []
    """
    if rows.empty:
        return []
    machines = rows[rows["Kind"] != "subscription"]
    with_agent = machines[machines["ExtensionName"] != ""]
    lines = [
        f"taken {iso(rows['TimeGenerated'].iloc[0])}: {machines['_ResourceId'].nunique():,} machines, scale sets and "
        f"instances, {with_agent['_ResourceId'].nunique():,} with the agent's extension"
    ]
    for one in sorted(set(rows["_SubscriptionId"])):
        own = machines.loc[machines["_SubscriptionId"] == one, "_ResourceId"]
        lines.append(f"subscription {one}: {own.nunique():,}")
    return lines


def _row(asked, one, extension):
    """Give a resource of the answers, and an extension of it, as a row of the table."""
    row = {column: one.get(name) for column, name in _COLUMNS.items()}
    row |= {column: extension.get(name) for column, name in _EXTENSION.items()}
    kind = one["type"].lower()
    return row | {
        "TimeGenerated": asked,
        "Kind": _KINDS.get(kind, kind),
        "_ResourceId": one["id"].lower(),
        "_SubscriptionId": one["subscriptionId"].lower(),
        "Computer": row["Computer"] or (one.get("name") if kind in _NAMED else ""),
        "OSType": (row["OSType"] or "").capitalize(),
        "PowerState": re.sub(r"^powerstate/", "", (row["PowerState"] or "").lower()),
        "ResourceTags": json.dumps(one["tags"], ensure_ascii=False, sort_keys=True) if one.get("tags") else "",
        "TimeCreated": one.get("created") or None,
        "Type": TABLE,
    }


def _until_more(headers):
    """Read after how many seconds Resource Graph lets one ask again."""
    found = re.fullmatch(r"(\d+):(\d+):(\d+)(\.\d+)?", headers.get("x-ms-user-quota-resets-after") or "")
    return float(int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3])) if found else 0.0
