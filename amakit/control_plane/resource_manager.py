"""The control plane as a second witness: which versions are deployed in a region, and what the activity log tells.

Both are read from Azure Resource Manager with Microsoft's own clients, which ``pip install amakit[control-plane]``
brings.  Nothing is ever changed there.
"""

import json
import os
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from amakit.control_plane.connection import NO_REGION, Connection, said, subscription_id
from amakit.errors import AmakitError, Unanswered, UsageError
from amakit.fetch.samples import wide
from amakit.find.versions import version_key
from amakit.intervals import Window, iso
from amakit.output import save_frame
from amakit.schemas import frame_of, table_name, tables
from amakit.service.retry import Pace
from amakit.study.rollout.releases import listed

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

#: Under this name the agent is published, as these types of extension.
PUBLISHER = "Microsoft.Azure.Monitor"
TYPES = {"Windows": "AzureMonitorWindowsAgent", "Linux": "AzureMonitorLinuxAgent"}
#: Whose operations the analysis reads: those on virtual machines, scale sets and Arc machines.
PROVIDERS = ("Microsoft.Compute", "Microsoft.HybridCompute")
#: The activity log lets a user ask 50 times in 30 seconds: less than Log Analytics.
pace = Pace(45, 30)
#: So far back the activity log reaches.
REACH = pd.Timedelta(days=90)

#: The activity log's own words, and those that the table AzureActivity has for them.
_STATUS = {"Started": "Start", "Accepted": "Accept", "Succeeded": "Success", "Failed": "Failure"}
_GROUP = re.compile(r"[\w.()-]{1,90}(?<!\.)")
_RESOURCE = re.compile(r"/subscriptions/[\w-]+/[\w.()/ -]+")


class ControlPlane(Connection):
    """What Azure Resource Manager tells of one subscription.

    On loopback nobody is asked who they are, and no token is sent there.

    Parameters
    ----------
    subscription : str
        Its id; else ``AZURE_SUBSCRIPTION_ID``.
    cloud : str
        A key of `amakit.service.sign_in.clouds.CLOUDS`; empty for the one that ``AZURE_AUTHORITY_HOST`` says.
    host : str
        Asked instead of the cloud's own.
    sign_in : str or azure.core.credentials.TokenCredential
        One of `amakit.service.sign_in.credentials.CREDENTIALS`, or a credential.
    tenant : str
        In which tokens are asked for.

    Raises
    ------
    UsageError
        When the subscription is no id, or the host is none of Azure Resource Manager.

    Examples
    --------
    >>> ControlPlane("01234567-89ab-cdef-0123-456789abcdef", cloud="usgov")
    <control plane of subscription 01234567-89ab-cdef-0123-456789abcdef at https://management.usgovcloudapi.net>
    """

    def __init__(
        self,
        subscription: str = "",
        cloud: str = "",
        host: str = "",
        sign_in: "str | TokenCredential" = "default",
        tenant: str = "",
    ) -> None:
        self.subscription = (subscription or os.environ.get("AZURE_SUBSCRIPTION_ID", "")).strip()
        if not self.subscription:
            raise UsageError(
                "the control plane is asked about one subscription; give its id as --subscription, or in "
                "AZURE_SUBSCRIPTION_ID ('az account show' prints it)"
            )
        subscription_id(self.subscription)
        super().__init__(f"subscription {self.subscription}", pace, cloud, host, sign_in, tenant)

    def __repr__(self) -> str:
        return f"<control plane of subscription {self.subscription} at {self._base}>"

    def deployed(self, location: str, releases: pd.DataFrame) -> pd.DataFrame:
        """List the versions of the agent that are deployed in a region, as ``Get-AzVMExtensionImage`` does.

        Parameters
        ----------
        location : str
            The region, as ``westeurope`` or ``West Europe``.
        releases : pandas.DataFrame
            As `amakit.study.rollout.releases.known` gives them.

        Returns
        -------
        pandas.DataFrame
            os_type, version, listed (whether it is among ``releases``), publisher, type, location; in the order of
            the versions.

        Raises
        ------
        AmakitError
            When there is no such region, or it may not be read.
        """
        region = "".join(location.split()).lower()
        if not re.fullmatch(r"[a-z0-9]+", region):
            raise UsageError(f"region {location!r} is none; write for example westeurope")
        rows = [
            {"os_type": system, "version": version, "publisher": PUBLISHER, "type": kind, "location": region}
            for system, kind in sorted(TYPES.items())
            for version in sorted(self.asked(partial(self._versions, region, kind)), key=version_key)
        ]
        names = ("os_type", "version", "publisher", "type", "location")
        found = frame_of({name: [row[name] for row in rows] for name in names}, dict.fromkeys(names, "string"))
        found.insert(2, "listed", listed(found, releases))
        return found

    def activity(self, window: Window, groups: Iterable[str] = (), resources: Iterable[str] = ()) -> pd.DataFrame:
        """Read the activity log, in the columns of the table AzureActivity.

        Parameters
        ----------
        window : amakit.intervals.Window
            The one that will be analysed, at most 90 days back.  What is read begins a day earlier and ends an hour
            later, as the analysis wants it.
        groups, resources : iterable of str
            Resource groups and ids of resources; without any, the whole subscription.

        Returns
        -------
        pandas.DataFrame
            Operations of `PROVIDERS` only, by time.  What the kit does not read and what tells of a person more than
            the caller (authorization, the HTTP request, of the claims all but the application) stays empty.

        Raises
        ------
        UsageError
            When the window begins earlier than the log, or a group or resource cannot be one.
        AmakitError
            When it cannot be read whole.

        Notes
        -----
        The log is asked page by page; a page that fails is asked again, and one that does not look like a page
        ends it all.  The log itself does not say how many events there are.  It is up to 20 minutes late.
        """
        begins = _now() - REACH
        if window.start < begins:
            raise UsageError(
                f"start {iso(window.start)} is more than 90 days back, where the activity log ends; begin at "
                f"{iso(begins.ceil('h'))} or later, or export the table AzureActivity from a workspace that keeps it"
            )
        around, rows = wide(window), []
        for part in Window(max(around.start, begins), around.end).slices():
            for scope in _scopes(groups, resources):
                limits = f"eventTimestamp ge '{iso(part.start)}' and eventTimestamp le '{iso(part.end)}' and {scope}"
                rows += [row for row in self._events(limits) if part.start <= row["TimeGenerated"] < part.end]
        own = [row for row in rows if row["OperationNameValue"].startswith(tuple(f"{p.upper()}/" for p in PROVIDERS))]
        types = {
            name: "string" if kind == "dynamic" else kind  # written as JSON, which is read as dynamic again
            for name, kind in tables()["AzureActivity"].items()
            if name != "_TimeReceived"
        }
        found = frame_of({name: [row.get(name) for row in own] for name in types}, types)
        again = found["EventDataId"].duplicated() & (found["EventDataId"] != "")  # a resource may be in a group
        return found[~again].sort_values("TimeGenerated", ignore_index=True, kind="stable")

    # -- one request --------------------------------------------------------------------------------------

    def _versions(self, region, kind):
        from azure.core.exceptions import ResourceNotFoundError

        images = self.client("compute", "ComputeManagementClient", self.subscription).virtual_machine_extension_images
        try:
            return [image.name for image in images.list_versions(region, PUBLISHER, kind)]
        except ResourceNotFoundError as error:
            code, _ = said(error.response)
            if not code or "subscription" in code.lower() or NO_REGION.search(code):
                raise
            return []  # the type is not published in this region

    def _events(self, limits):
        """Give the rows of all pages."""
        events, link, links = [], None, set()
        while True:
            page, link = self.asked(partial(self._page, limits, link))
            events += page
            if link is None:
                return events
            if link in links:
                raise AmakitError(f"{self._name} leads from page to page in a circle; try again later")
            links.add(link)

    def _page(self, limits, link):
        logs = self.client("monitor", "MonitorManagementClient", self.subscription).activity_logs
        pages = logs.list(limits).by_page(continuation_token=link)
        return [_row(event) for event in next(pages)], pages.continuation_token


def save(
    rows: pd.DataFrame, folder: str | Path, table: str = "AzureActivity", name: str = "activity-log.parquet"
) -> Path:
    """Put rows of the control plane into a folder of exported tables, whole or not at all.

    Parameters
    ----------
    rows : pandas.DataFrame
        As `ControlPlane.activity` gives them, of one subscription or several; or as
        `amakit.control_plane.resource_graph.ResourceGraph.inventory` does.
    folder : path-like
        Made if it is not there.  Rows that were put there before are replaced.
    table, name : str
        Of the table and of the file.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    AmakitError
        When the folder has that table from elsewhere: every row would count twice.
    """
    folder = Path(folder).expanduser()
    target = folder / table / name
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        own = table in {table_name(part.split(".")[0]) for part in parts}
        if own and path.is_file() and path != target and not any(part.startswith((".", "_")) for part in parts):
            raise AmakitError(
                f"{folder} has the table {table} already, in {path}; the analysis reads it as it is, so nothing "
                "was added"
            )
    save_frame(rows, target)
    return target


def _now():
    return pd.Timestamp.now("UTC")


def _scopes(groups, resources):
    """Give the ways to ask that the activity log's filter knows; without a group or a resource, by provider.

    Examples
    --------
    >>> _scopes(["rg-1"], [])
    ["resourceGroupName eq 'rg-1'"]
    """
    for name in groups:
        if not _GROUP.fullmatch(name):
            raise UsageError(f"resource group {name!r} is no name of one; it has letters, digits and . _ - ( ) only")
    for name in resources:
        if not _RESOURCE.fullmatch(name):
            raise UsageError(f"resource {name!r} is no id of one; write /subscriptions/…/virtualMachines/NAME")
    if groups or resources:
        return [f"resourceGroupName eq '{g}'" for g in groups] + [f"resourceUri eq '{r}'" for r in resources]
    return [f"resourceProvider eq '{provider}'" for provider in PROVIDERS]


def _row(event):
    """Give an event of the activity log as the row of AzureActivity that an export makes of it."""
    if event.event_timestamp is None:
        raise Unanswered("it answered with an event that has no time")
    status, sub, operation, category, provider = (
        (part.value or "", part.localized_value or "") if part is not None else ("", "")
        for part in (event.status, event.sub_status, event.operation_name, event.category, event.resource_provider_name)
    )
    entity = event.resource_id or ""
    properties = json.dumps(event.properties or {}, ensure_ascii=False)
    application = (event.claims or {}).get("appid")  # tells a service from a person; the rest tells of people
    return {
        "TimeGenerated": event.event_timestamp,
        "EventSubmissionTimestamp": event.submission_timestamp,
        "OperationName": operation[1],
        "OperationNameValue": operation[0].upper(),
        "ActivityStatus": status[0],
        "ActivityStatusValue": _STATUS.get(status[0], status[0]),
        "ActivitySubstatus": sub[1],
        "ActivitySubstatusValue": sub[1] or sub[0],
        "Caller": event.caller,
        "Category": category[0],
        "CategoryValue": category[0],
        "Level": event.level,
        "CorrelationId": event.correlation_id,
        "OperationId": event.operation_id,
        "EventDataId": event.event_data_id,
        "Properties": properties,
        "Properties_d": properties,
        "Claims": json.dumps({"appid": application}) if application else "",
        "ResourceId": entity,
        "_ResourceId": entity.lower(),
        "Resource": entity.rpartition("/")[2],
        "ResourceGroup": event.resource_group_name,
        "ResourceProvider": provider[1],
        "ResourceProviderValue": (provider[0] or operation[0].partition("/")[0]).upper(),
        "SubscriptionId": event.subscription_id,
        "_SubscriptionId": (event.subscription_id or "").lower(),
        "TenantId": event.tenant_id,
        "SourceSystem": "Azure",
        "Type": "AzureActivity",
    }
