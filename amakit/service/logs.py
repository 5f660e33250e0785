"""KQL against the query API of Azure Monitor Logs: the second way in, with Microsoft's azure-monitor-query.

It serves a private link, the Azure Cloud Shell and tenants that do not know Azure Data Explorer, and it can be asked
about one machine, a resource group or a subscription in the place of a workspace.
"""

import json
import logging
import re
from typing import TYPE_CHECKING, Any

from amakit import __version__
from amakit.errors import AmakitError, Unanswered, UsageError
from amakit.service.answers import SERVER_SECONDS, Said, innermost_message, meaning, pause, too_large
from amakit.service.engine import DEADLINE, Engine
from amakit.service.sign_in.address import Address, service_host
from amakit.service.sign_in.clouds import CLOUDS, cloud_of
from amakit.service.sign_in.credentials import CachedCredential, exception_chain, first_line
from amakit.service.sign_in.signer import signer

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

_ID = re.compile(
    r"(?P<subscription>/subscriptions/[0-9a-f-]+)(?P<group>/resourcegroups/(?!\.)[\w.()-]{1,90}(?<!\.))?(?P<resource>/"
    r"providers/(microsoft\.operationalinsights/workspaces|microsoft\.compute/virtualmachine(s|scalesets)"
    r"|microsoft\.hybridcompute/machines)/[\w.-]{1,80})?/?",
    re.IGNORECASE | re.ASCII,
)
#: So many tables, and so many workspaces, are named of those that are hidden.
_NAMED = 5


def scope_of(workspace: str) -> str:
    """Tell what an ARM id is of, where logs can be read by it.

    Parameters
    ----------
    workspace : str

    Returns
    -------
    str
        ``workspace``, ``machine``, ``group`` or ``subscription``; empty for everything else.

    Examples
    --------
    >>> scope_of("/subscriptions/0/resourceGroups/rg"), scope_of("/subscriptions/0"), scope_of("https://host/x")
    ('group', 'subscription', '')
    """
    parts = _ID.fullmatch(workspace)
    if parts is None or (parts["resource"] and not parts["group"]):
        return ""
    if parts["resource"]:
        return "workspace" if "/workspaces/" in parts["resource"].lower() else "machine"
    return "group" if parts["group"] else "subscription"


def api(cloud: str = "public", host: str = "") -> tuple[Address, str]:
    """Give the address of the query API, and the cloud for which a token may go there.

    Parameters
    ----------
    cloud : str
        A key of `amakit.service.sign_in.clouds.CLOUDS`.
    host : str
        Asked instead of the cloud's own; another of the cloud, or a server on this machine.

    Returns
    -------
    tuple of (Address, str)
        The second is empty on loopback, where nobody signs in.

    Raises
    ------
    UsageError
        When a token would go to somebody else.

    Examples
    --------
    >>> str(api("china")[0]), str(api(host="api.loganalytics.azure.com")[0])
    ('https://api.loganalytics.azure.cn', 'https://api.loganalytics.azure.com')
    >>> api(host="api.loganalytics.io.example.com")
    Traceback (most recent call last):
    amakit.errors.UsageError: 'api.loganalytics.io.example.com' is no host of the query API of Azure Monitor Logs in \
the cloud 'public', so no token is sent there; check --endpoint and --cloud
    """
    found = service_host(host, CLOUDS[cloud_of(cloud)].logs, "the query API of Azure Monitor Logs", cloud)
    return found, "" if found.loopback else cloud


class LogsEngine(Engine):
    """KQL against the query API of Azure Monitor Logs, through the official client; each call is one attempt.

    On loopback nobody is asked who they are.

    Parameters
    ----------
    workspace : str
        The ARM id of a workspace, a machine, a resource group or a subscription.
    cloud, host : str
        See `api`; an empty cloud follows from ``AZURE_AUTHORITY_HOST``.
    sign_in : str or azure.core.credentials.TokenCredential
        One of `amakit.service.sign_in.credentials.CREDENTIALS`, or a credential.
    tenant : str
        In which tokens are asked for.
    """

    package = "azure-monitor-query"

    def __init__(
        self,
        workspace: str,
        cloud: str = "",
        host: str = "",
        sign_in: "str | TokenCredential" = "default",
        tenant: str = "",
    ) -> None:
        self._kind = scope_of(workspace)
        if not self._kind:
            raise UsageError(
                f"workspace {workspace!r} cannot be asked with --transport logs, which wants the ARM id of a "
                "workspace, a machine, a resource group or a subscription"
            )
        self.server, self.cloud = api(cloud_of(cloud), host)
        super().__init__(workspace, CachedCredential(sign_in, self.cloud, tenant) if self.cloud else None)
        self.scope = f"{CLOUDS[self.cloud].logs_audience}/.default" if self.cloud else ""
        who = signer(sign_in)
        self._state = f"{self.server} {workspace} {who} {tenant}" if who else ""
        self._looked = False

    def _described(self):
        trusted = f"{self.server.host} is the query API of the cloud {self.cloud!r}"
        return str(self.server), trusted, f"of this {self._kind}"

    def _answer(self, kql):
        part, body = self._call(lambda: self._asked(kql))
        if part or body.get("error"):
            raise Unanswered("it gave a part of its answer and said so", large=too_large(json.dumps(body.get("error"))))
        if len(body["tables"]) != 1:
            raise Unanswered(f"it answered with {len(body['tables'])} results where there must be one")
        (table,) = body["tables"]
        if not isinstance(table.get("rows"), list):
            raise Unanswered("it answered without rows")
        return {column["name"]: column["type"] for column in table["columns"]}, table["rows"]

    def _asked(self, kql):
        """Let the client ask, and take the answer as it came: its own rows are turned into objects one by one."""
        client, kept = self._client(), {}
        from azure.monitor.query import LogsQueryStatus

        def taken(pipeline, _body, _headers):
            kept.update(pipeline.http_response.json())
            _ = [(column["name"], column["type"]) for table in kept["tables"] for column in table["columns"]]
            return {"tables": [], "error": kept.get("error")}

        asked = client.query_resource(
            self._workspace.rstrip("/"), kql, timespan=None, server_timeout=SERVER_SECONDS, cls=taken
        )
        return asked.status != LogsQueryStatus.SUCCESS, kept

    def _listed(self):
        """Tell which tables have rows: the API has no catalogue that its client can ask."""
        if self._kind != "workspace" and not self._looked:
            self._looked = True
            told = {"timespan": None, "cls": self._permissions, "permissions": True}
            self._call(lambda: self._client().query_resource(self._workspace.rstrip("/"), "print 1", **told))
        return self._usual_tables()

    def _permissions(self, pipeline, _body, _headers):
        self.notes += hidden(pipeline.http_response.json().get("permissions") or {})
        return {"tables": []}

    def _connected(self):
        try:
            from azure.monitor.query import LogsQueryClient
        except ImportError as error:
            raise AmakitError(
                "the query API of Azure Monitor Logs is asked with azure-monitor-query, which is not here; install it "
                "with 'pip install amakit[logs]'"
            ) from error
        from azure.core.pipeline.policies import (
            BearerTokenCredentialPolicy,
            ContentDecodePolicy,
            SansIOHTTPPolicy,
            UserAgentPolicy,
        )

        class Permissions(SansIOHTTPPolicy):
            def on_request(self, request):
                if request.context.options.pop("permissions", False):
                    request.http_request.headers["Prefer"] = "include-permissions=true"

        logging.getLogger("azure").addHandler(logging.NullHandler())  # what matters of it is in the error
        # of its own, so that it neither retries nor follows redirects behind our back
        policies: list = [UserAgentPolicy(f"amakit/{__version__}"), Permissions(), ContentDecodePolicy()]
        who: Any = self._credential or object()  # the client wants one; on this machine nothing asks it for a token
        policies += [BearerTokenCredentialPolicy(who, self.scope)] if self._credential else []
        return LogsQueryClient(
            who,
            endpoint=str(self.server),
            credential_scopes=[self.scope],
            policies=policies,
            connection_timeout=30,
            read_timeout=DEADLINE,
        )

    def _meaning(self, error):
        from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, ServiceRequestError

        for each in exception_chain(error):  # the client wraps what the credential said
            if isinstance(each, ClientAuthenticationError) and each.response is None:
                return self._signed_out(each)
        if not isinstance(error, AzureError):
            return None
        response = getattr(error, "response", None)
        if response is None:
            if isinstance(error, ServiceRequestError) or not isinstance(error, HttpResponseError):
                return self._unreachable(error)
            return Unanswered("the connection broke")
        self._reached = True
        body = response.text()
        line = innermost_message(body) or first_line(error)
        told = " ".join(f"{error.message} {body}".split())
        return meaning(self._workspace, Said(response.status_code, told, line, pause(response.headers)))


def hidden(permissions: dict) -> list[str]:
    """Say what of the logs of resources this user may not read: the service leaves it out without a word.

    Parameters
    ----------
    permissions : dict
        As the API gives it with ``Prefer: include-permissions=true``.

    Returns
    -------
    list of str

    Examples
    --------
    >>> vm = {"resourceId": "/vm", "dataSources": ["/w1", "/w2"], "denyTables": ["SecurityEvent"]}
    >>> hidden({"resources": [vm], "dataSources": [{"resourceId": "/W1", "denyTables": ["Event"]}]})
    ['rows of Event and SecurityEvent are hidden from you for some resources', \
'rows in the workspace /w2 are hidden from you']
    """
    resources, sources = permissions.get("resources") or [], permissions.get("dataSources") or []
    tables = sorted({table for one in (*resources, *sources) for table in one.get("denyTables") or []})
    open_ones = {one["resourceId"].lower() for one in sources}
    shut = sorted({name for one in resources for name in one.get("dataSources") or [] if name.lower() not in open_ones})
    lines = [f"rows of {_some(tables)} are hidden from you for some resources"] if tables else []
    return lines + ([f"rows in the workspace{'s' * (len(shut) > 1)} {_some(shut)} are hidden from you"] if shut else [])


def _some(names):
    named, more = names[:_NAMED], len(names) - _NAMED
    if more > 0:
        return f"{', '.join(named)} and {more} more"
    return " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))
