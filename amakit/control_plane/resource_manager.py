"""The control plane as a second witness: which versions are deployed in a region, and what the activity log tells.

Both are read from Azure Resource Manager with Microsoft's own clients, which ``pip install amakit[control-plane]``
brings.  Nothing is ever changed there.
"""

import json
import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pandas as pd

from amakit import __version__
from amakit.errors import AmakitError, Unanswered, UsageError, nearest, withheld
from amakit.fetch.samples import wide
from amakit.find.versions import version_key
from amakit.intervals import Window, iso
from amakit.output import save_frame
from amakit.schemas import frame_of, table_name, tables
from amakit.service.address import service_host
from amakit.service.answers import pause as pause_of
from amakit.service.retry import Pace, Patience, apart
from amakit.service.sign_in import CLOUDS, WRONG_TENANT, CachedCredential, cloud_of, not_signed_in, without_secrets
from amakit.study.releases import listed

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

#: Under this name the agent is published, as these types of extension.
PUBLISHER = "Microsoft.Azure.Monitor"
TYPES = {"Windows": "AzureMonitorWindowsAgent", "Linux": "AzureMonitorLinuxAgent"}
#: Whose operations the analysis reads: those on virtual machines, scale sets and Arc machines.
PROVIDERS = ("Microsoft.Compute", "Microsoft.HybridCompute")
#: The activity log lets a user ask 50 times in 30 seconds, and works 75 seconds on an answer: less than Log Analytics.
pace, DEADLINE = Pace(45, 30), 90.0
#: So far back the activity log reaches.
REACH = pd.Timedelta(days=90)

#: The activity log's own words, and those that the table AzureActivity has for them.
_STATUS = {"Started": "Start", "Accepted": "Accept", "Succeeded": "Success", "Failed": "Failure"}
_SUBSCRIPTION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_GROUP = re.compile(r"[\w.()-]{1,90}(?<!\.)")
_RESOURCE = re.compile(r"/subscriptions/[\w-]+/[\w.()/ -]+")
_NO_REGION = re.compile(r"NoRegisteredProviderFound|InvalidLocation|LocationNotAvailable", re.IGNORECASE)
_WRONG_TENANT = re.compile(r"TokenTenant|wrong issuer|AADSTS(50020|50034|90002|90072|700016|500213)\b")


class ControlPlane:
    """What Azure Resource Manager tells of one subscription.

    On loopback nobody is asked who they are, and no token is sent there.

    Parameters
    ----------
    subscription : str
        Its id; else ``AZURE_SUBSCRIPTION_ID``.
    cloud : str
        A key of `amakit.service.sign_in.CLOUDS`; empty for the one that ``AZURE_AUTHORITY_HOST`` says.
    host : str
        Asked instead of the cloud's own.
    sign_in : str or azure.core.credentials.TokenCredential
        One of `amakit.service.sign_in.CREDENTIALS`, or a credential.
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
        if not _SUBSCRIPTION.fullmatch(self.subscription):
            raise UsageError(
                f"subscription {self.subscription!r} is no id, which is 32 hexadecimal digits in five groups; "
                "'az account list' shows names and ids"
            )
        self._base, self._cloud = manager(cloud_of(cloud), host)
        self._sign_in, self._tenant, self._reached, self._clients = sign_in or "default", tenant, False, {}

    def __repr__(self) -> str:
        return f"<control plane of subscription {self.subscription} at {self._base}>"

    def deployed(self, location: str, releases: pd.DataFrame) -> pd.DataFrame:
        """List the versions of the agent that are deployed in a region, as ``Get-AzVMExtensionImage`` does.

        Parameters
        ----------
        location : str
            The region, as ``westeurope`` or ``West Europe``.
        releases : pandas.DataFrame
            As `amakit.study.releases.known` gives them.

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
            for version in sorted(self._asked(lambda kind=kind: self._versions(region, kind)), key=version_key)
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

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()

    # -- one request --------------------------------------------------------------------------------------

    def _versions(self, region, kind):
        from azure.core.exceptions import ResourceNotFoundError

        images = self._client("compute", "ComputeManagementClient").virtual_machine_extension_images
        try:
            return [image.name for image in images.list_versions(region, PUBLISHER, kind)]
        except ResourceNotFoundError as error:
            code, _ = _said(error.response)
            if not code or "subscription" in code.lower() or _NO_REGION.search(code):
                raise
            return []  # the type is not published in this region

    def _events(self, limits):
        """Give the rows of all pages."""
        events, link, links = [], None, set()
        while True:
            page, link = self._asked(lambda link=link: self._page(limits, link))
            events += page
            if link is None:
                return events
            if link in links:
                raise AmakitError(f"{self._name} leads from page to page in a circle; try again later")
            links.add(link)

    def _page(self, limits, link):
        logs = self._client("monitor", "MonitorManagementClient").activity_logs
        pages = logs.list(limits).by_page(continuation_token=link)
        return [_row(event) for event in next(pages)], pages.continuation_token

    def _client(self, package, name):
        if package not in self._clients:
            from importlib import import_module

            try:
                client = getattr(import_module(f"azure.mgmt.{package}"), name)
            except ImportError as error:
                raise AmakitError(
                    f"the control plane is read with azure-mgmt-{package}, which is not here; install it with "
                    "'pip install amakit[control-plane]'"
                ) from error
            self._clients[package] = self._made(client)
        return self._clients[package]

    def _made(self, client):
        from azure.core.pipeline.policies import BearerTokenCredentialPolicy, ContentDecodePolicy, UserAgentPolicy

        logging.getLogger("azure").addHandler(logging.NullHandler())  # what matters of it is in the error
        scope = f"{CLOUDS[self._cloud].manager_audience}/.default" if self._cloud else ""
        # the client wants a credential; on this machine nothing asks it for a token
        who = CachedCredential(self._sign_in, self._cloud, self._tenant) if self._cloud else object()
        # of its own, so that it neither retries nor follows redirects nor registers providers behind our back
        policies = [
            UserAgentPolicy(f"amakit/{__version__}"),
            ContentDecodePolicy(),
            _answers_of(self._base, self._name),
        ]
        policies += [BearerTokenCredentialPolicy(who, scope)] if self._cloud else []  # type: ignore[arg-type]
        return client(
            who,
            self.subscription,
            base_url=self._base,
            credential_scopes=[scope],
            policies=policies,
            connection_timeout=30,
            read_timeout=DEADLINE,
        )

    # -- what went wrong ----------------------------------------------------------------------------------

    @property
    def _name(self):
        return f"subscription {self.subscription}"

    def _asked(self, call):
        """Ask until there is an answer, and say in one sentence why there is none."""
        try:
            return Patience().call(lambda: self._attempt(call))
        except Unanswered as error:
            raise AmakitError(f"{self._name} gave no whole answer: {error}; try again later") from error

    def _attempt(self, call):
        from azure.core.exceptions import (
            ClientAuthenticationError,
            HttpResponseError,
            ServiceRequestError,
            ServiceResponseError,
        )

        pace()
        try:
            answer = apart(call, DEADLINE)
        except (AmakitError, MemoryError):
            raise
        except HttpResponseError as error:
            if isinstance(error, ClientAuthenticationError) and error.response is None:
                raise self._not_signed_in(error) from without_secrets(error)
            self._reached = True
            raise self._refusal(error) from without_secrets(error)
        except ServiceRequestError as error:
            if self._reached:
                raise Unanswered("the connection broke") from error
            raise AmakitError(f"{self._base} cannot be reached; check the network, --cloud and --endpoint") from error
        except ServiceResponseError as error:
            raise Unanswered("the connection broke") from error
        except TimeoutError as error:
            raise Unanswered(f"it did not answer within {DEADLINE:.0f} seconds") from error
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise Unanswered("it answered with what is no answer of Azure Resource Manager") from error
        self._reached = True
        return answer

    def _not_signed_in(self, error):
        return not_signed_in(self._name, error, f"{CLOUDS[self._cloud].manager_audience}/.default")

    def _wrong_tenant(self):
        return AmakitError(f"{self._name} {WRONG_TENANT}")

    def _refusal(self, error):
        """Read an error of Azure Resource Manager: ask again, or what a person can do."""
        response = error.response
        status = getattr(response, "status_code", 0)
        code, message = _said(response)
        if not status:
            return Unanswered("the connection broke")  # in the midst of an answer
        if status in (200, 204):
            return Unanswered("it answered with what is no answer of Azure Resource Manager")
        if status in (408, 429) or status >= 500:
            often = "it was asked too often" if status == 429 else f"it answered with status {status}"
            return Unanswered(often, pause_of(getattr(response, "headers", {})))
        if 300 <= status < 400:
            return AmakitError(f"{self._name} sends you elsewhere, where no token follows; check the proxy")
        if _WRONG_TENANT.search(f"{code} {message}"):
            return self._wrong_tenant()
        if status == 401:
            return AmakitError(
                f"{self._name} did not accept the sign-in; sign in again, for example with 'az login', or choose "
                f"another way with --credential ({code or 'status 401'})"
            )
        if _NO_REGION.search(code):
            region = re.search(r"location '([^']*)'", message)
            there = re.search(r"supported locations are '([^']*)'", message)
            names = re.findall(r"[a-z0-9]+", there[1]) if there else []
            near = f"; {nearest(region[1], names)}" if region and names else "; 'az account list-locations' shows them"
            return AmakitError(f"there is no region {region[1] if region else ''!r} in this cloud{near} ({code})")
        if status == 403:
            return AmakitError(
                f"{self._name} does not let you read this; ask its owner for the role Reader, or Monitoring Reader for "
                f"the activity log ({code or 'status 403'})"
            )
        if "Subscription" in code and status in (400, 404):
            return AmakitError(
                f"{self._name} is not there: deleted, or in another tenant or cloud; check --subscription and --cloud "
                f"({code})"
            )
        return AmakitError(
            f"{self._name} did not answer: {' '.join(message.split())[:300].rstrip('.') or f'status {status}'}; check "
            f"what was asked for ({code or f'status {status}'})"
        )


def manager(cloud: str = "public", host: str = "") -> tuple[str, str]:
    """Give the address of Azure Resource Manager, and the cloud for which a token may go there.

    Parameters
    ----------
    cloud : str
        A key of `amakit.service.sign_in.CLOUDS`.
    host : str
        Asked instead of the cloud's own; that of another cloud, or a server on this machine.

    Returns
    -------
    tuple of (str, str)
        The second is empty on loopback, where nobody signs in.

    Raises
    ------
    UsageError
        When a token would go to somebody else.

    Examples
    --------
    >>> manager("china"), manager(host="http://127.0.0.1:8080/")
    (('https://management.chinacloudapi.cn', 'china'), ('http://127.0.0.1:8080', ''))
    >>> manager(host="management.example.com")
    Traceback (most recent call last):
    amakit.errors.UsageError: 'management.example.com' is no host of Azure Resource Manager in the cloud 'public', so \
no token is sent there; check --endpoint and --cloud
    """
    found = service_host(host, [CLOUDS[cloud].manager], "Azure Resource Manager", cloud)
    return found.base, "" if found.loopback else cloud


def save(rows: pd.DataFrame, folder: str | Path) -> Path:
    """Put rows of the activity log into a folder of exported tables, whole or not at all.

    Parameters
    ----------
    rows : pandas.DataFrame
        As `ControlPlane.activity` gives them, of one subscription or several.
    folder : path-like
        Made if it is not there.  Rows that were put there before are replaced.

    Returns
    -------
    pathlib.Path
        The file, ``AzureActivity/activity-log.parquet``.

    Raises
    ------
    AmakitError
        When the folder has that table from elsewhere: every operation would count twice.
    """
    folder = Path(folder).expanduser()
    target = folder / "AzureActivity" / "activity-log.parquet"
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        own = "AzureActivity" in {table_name(part.split(".")[0]) for part in parts}
        if own and path.is_file() and path != target and not any(part.startswith((".", "_")) for part in parts):
            raise AmakitError(
                f"{folder} has the table AzureActivity already, in {path}; the analysis reads it as it is, so nothing "
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


def _said(response):
    """Give the code and the message of an error; empty where it is none of Azure Resource Manager."""
    try:
        told = json.loads(response.text())
        told = told.get("error", told)
        return withheld(str(told.get("code") or "")), withheld(str(told.get("message") or ""))
    except (ValueError, AttributeError, TypeError):
        return "", ""


def _answers_of(base, name):
    """Make the step of the client's pipeline that asks nobody else, and takes nothing else for an answer."""
    from azure.core.pipeline.policies import SansIOHTTPPolicy

    class Answers(SansIOHTTPPolicy):
        def on_request(self, request):
            asked, own = urlsplit(request.http_request.url), urlsplit(base)
            if (asked.scheme, asked.netloc.lower()) != (own.scheme, own.netloc.lower()):
                raise AmakitError(f"{name} sends you to {asked.hostname!r}, where no token follows; check the proxy")

        def on_response(self, request, response):
            if response.http_response.status_code != 200:
                return
            try:
                told = json.loads(response.http_response.text())
            except ValueError as error:
                raise Unanswered("it answered with what is no answer of Azure Resource Manager") from error
            # the client takes an object without rows for a page without rows
            rows = told.get("value") if isinstance(told, dict) else told
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise Unanswered("it answered with what is no answer of Azure Resource Manager")

    return Answers()
