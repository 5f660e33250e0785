"""The service: KQL against a Kusto endpoint, which is also the door of a Log Analytics workspace.

What this module gives is one honest attempt: a whole answer, or an error that says whether to ask again, to ask for
less, or to give up.  `amakit.patience` decides what is made of that.
"""

import json
import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pandas as pd

from amakit.address import Address, address
from amakit.errors import AmakitError, Unanswered, UsageError, nearest, withheld, withhold
from amakit.patience import apart, pace
from amakit.queries import counted
from amakit.schemas import frame_of

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential


@dataclass(frozen=True)
class Cloud:
    """Where one of Microsoft's clouds keeps its doors.

    Attributes
    ----------
    host : str
        Answers the Kusto client for Log Analytics.  The documentation of the public cloud names a second one,
        ``adx.monitor.azure.com``.
    authority : str
        Signs people in.
    audience : str
        For whom a token must be made out, where the endpoint itself does not say.
    manager : str
        Answers for Azure Resource Manager, the control plane.
    manager_audience : str
        For whom a token must be made out there.
    """

    host: str
    authority: str
    audience: str
    manager: str
    manager_audience: str


#: The clouds by the name that ``--cloud`` takes.
CLOUDS = {
    "public": Cloud(
        "ade.loganalytics.io", "https://login.microsoftonline.com", "https://kusto.kusto.windows.net",
        "management.azure.com", "https://management.azure.com",
    ),
    "usgov": Cloud(
        "adx.monitor.azure.us", "https://login.microsoftonline.us", "https://kusto.kusto.usgovcloudapi.net",
        "management.usgovcloudapi.net", "https://management.core.usgovcloudapi.net",
    ),
    "china": Cloud(
        "adx.monitor.azure.cn", "https://login.partner.microsoftonline.cn", "https://kusto.kusto.chinacloudapi.cn",
        "management.chinacloudapi.cn", "https://management.chinacloudapi.cn",
    ),
}  # fmt: skip
#: The ways of signing in by the name that ``--credential`` takes.
CREDENTIALS = ("default", "cli", "managed", "device", "browser", "workload", "environment")
#: At most so many queries at once; Log Analytics lets a user have five.
AT_ONCE = 4
#: After so many seconds the answer to one request is waited for no longer: ten minutes is the service's own limit.
DEADLINE = 660.0

#: An answer that lost rows and has fewer than this was not cut at a cap; to ask for less would not help.
FEW = 50

_WORKSPACE_ID = re.compile(
    r"/subscriptions/[0-9a-f-]+/resourcegroups/(?!\.)[\w.()-]{1,90}(?<!\.)/providers/microsoft\.operationalinsights"
    r"/workspaces/(?P<name>[a-z0-9][a-z0-9-]{0,61}[a-z0-9])/?",
    re.IGNORECASE,
)


def cloud_of(name: str = "", environ: Mapping[str, str] = os.environ) -> str:
    """Tell which cloud is meant.

    Parameters
    ----------
    name : str
        A key of `CLOUDS`; empty for the one whose authority stands in ``AZURE_AUTHORITY_HOST``, as for every
        tool of azure-identity, and for the public cloud where nothing stands there.
    environ : mapping

    Returns
    -------
    str

    Raises
    ------
    UsageError
        When there is no such cloud.

    Examples
    --------
    >>> cloud_of("", {}), cloud_of("", {"AZURE_AUTHORITY_HOST": "login.microsoftonline.us"})
    ('public', 'usgov')
    """
    authority = environ.get("AZURE_AUTHORITY_HOST", "").strip().lower()
    if name:
        if name not in CLOUDS:
            raise UsageError(f"cloud {name!r} is not known; it is public, usgov or china")
        return name
    host = authority.removeprefix("https://").rstrip("/")
    by_host = {cloud.authority.removeprefix("https://"): key for key, cloud in CLOUDS.items()}
    by_host |= {"": "public", "login.windows.net": "public", "login.chinacloudapi.cn": "china"}
    if host not in by_host:
        raise UsageError(f"AZURE_AUTHORITY_HOST {authority!r} is the authority of no cloud; say --cloud, or unset it")
    return by_host[host]


def endpoint(workspace: str, cloud: str = "public", host: str = "") -> tuple[Address, str]:
    """Split what names a remote workspace into the cluster that serves it and the database in there.

    Parameters
    ----------
    workspace : str
        The ARM id of a Log Analytics workspace, or a URL that ends in such an id or in the name of a database.
    cloud : str
        A key of `CLOUDS`, for an ARM id: the id itself does not tell.
    host : str
        Asked instead of the cloud's own, for an ARM id.

    Returns
    -------
    tuple of (Address, str)
        The cluster and the name of the database.

    Raises
    ------
    UsageError
        When it is none of these.

    Notes
    -----
    That a workspace answers the Kusto client under its ARM path, with its own name as the database, is
    documented at learn.microsoft.com under "Query data in Azure Monitor with Azure Data Explorer".

    Examples
    --------
    >>> cluster, database = endpoint("http://127.0.0.1:31415/logs")
    >>> print(cluster, database)
    http://127.0.0.1:31415 logs
    >>> logs = "/subscriptions/0/resourceGroups/rg/providers/Microsoft.OperationalInsights/workspaces/Ops"
    >>> endpoint(logs)[1], endpoint(logs, "usgov")[0].host
    ('Ops', 'adx.monitor.azure.us')
    >>> endpoint("https://adx.monitor.azure.com" + logs)[1]
    'Ops'
    """
    arm = _WORKSPACE_ID.fullmatch(workspace)
    if arm:
        base = host or CLOUDS[cloud_of(cloud)].host
        cluster = address(base if "://" in base else f"https://{base}")
        if cluster.path:
            raise UsageError(f"endpoint {host!r} is no host; write for example adx.monitor.azure.com")
        return replace(cluster, path=tuple(workspace.strip("/").split("/"))), arm["name"]
    if workspace.lower().startswith("/subscriptions/"):
        raise UsageError(
            f"workspace {workspace!r} is not the id of one; copy it from the portal's 'JSON view', as in /subscriptions"
            "/ID/resourceGroups/GROUP/providers/Microsoft.OperationalInsights/workspaces/NAME, or: /subscriptions/…"
            "/workspaces/NAME"
        )
    if host:
        raise UsageError(f"endpoint {host!r} goes with the ARM id of a workspace; {workspace!r} names its host itself")
    cluster = address(workspace)
    if not cluster.path:
        raise UsageError(
            f"workspace {workspace!r} is no Kusto endpoint; write http://127.0.0.1:PORT/DATABASE, "
            "https://HOST/DATABASE, or the ARM id /subscriptions/…/workspaces/NAME"
        )
    if _is_log_analytics(cluster):
        return cluster, cluster.path[-1]
    return replace(cluster, path=cluster.path[:-1]), cluster.path[-1]


def _is_log_analytics(cluster):
    return _WORKSPACE_ID.fullmatch("/" + "/".join(cluster.path)) is not None


def trusted(cluster: Address, cloud: str = "") -> str:
    """Tell to which cloud an endpoint belongs, before anybody signs in for it.

    Parameters
    ----------
    cluster : Address
        As `endpoint` gives it.
    cloud : str
        The cloud that was asked for; empty where it may follow from the host.

    Returns
    -------
    str
        A key of `CLOUDS`; empty on loopback, where nobody signs in.

    Raises
    ------
    UsageError
        When the host is none that Microsoft lists for that cloud: a token would go to somebody else.

    Examples
    --------
    >>> trusted(address("https://adx.monitor.azure.cn/subscriptions/0"))
    'china'
    >>> trusted(address("https://logs.example.com/x"))
    Traceback (most recent call last):
    amakit.errors.UsageError: 'logs.example.com' is no host of Azure Data Explorer or Azure Monitor, so no token is \
sent there; check the address
    """
    from azure.kusto.data.exceptions import KustoError
    from azure.kusto.data.kusto_trusted_endpoints import well_known_kusto_endpoints

    host = cluster.host
    if cluster.loopback:
        return ""
    found = []
    for name, known in CLOUDS.items():
        try:
            well_known_kusto_endpoints.validate_hostname_is_trusted(host, known.authority)
        except KustoError:
            continue
        found.append(name)
    if not found:
        raise UsageError(
            f"{host!r} is no host of Azure Data Explorer or Azure Monitor, so no token is sent there; check the address"
        )
    if cloud and cloud not in found:
        raise UsageError(f"{host!r} is no host of the cloud {cloud!r}; it belongs to {found[0]!r}")
    return cloud or (cloud_of() if cloud_of() in found else found[0])


def credential(
    name: str = "default", cloud: str = "public", environ: Mapping[str, str] = os.environ
) -> "TokenCredential":
    """Make the one credential of a run.

    Parameters
    ----------
    name : str
        One of `CREDENTIALS`: the default chain of azure-identity, the sign-in of ``az login``, a managed identity,
        a code to type in on another device, a browser, a workload identity, or a service principal from
        environment variables.
    cloud : str
        A key of `CLOUDS`, whose authority is asked.
    environ : mapping
        ``AZURE_TENANT_ID`` and ``AZURE_CLIENT_ID`` are heeded where the way of signing in needs them.

    Returns
    -------
    azure.core.credentials.TokenCredential

    Raises
    ------
    UsageError
        When there is no such way, or its environment variables are missing.

    Examples
    --------
    >>> credential("cli").__class__.__name__
    'AzureCliCredential'
    >>> credential("clii")
    Traceback (most recent call last):
    amakit.errors.UsageError: credential 'clii' is not known; the nearest is 'cli'
    """
    from azure import identity

    if name not in CREDENTIALS:
        raise UsageError(f"credential {name!r} is not known; {nearest(name, CREDENTIALS)}")
    # azure-identity tells of every way that failed; what matters of it is in the error
    logging.getLogger("azure").addHandler(logging.NullHandler())
    authority = CLOUDS[cloud].authority
    tenant = {"tenant_id": environ["AZURE_TENANT_ID"]} if environ.get("AZURE_TENANT_ID") else {}
    client = {"client_id": environ["AZURE_CLIENT_ID"]} if environ.get("AZURE_CLIENT_ID") else {}
    make = {
        "default": lambda: identity.DefaultAzureCredential(authority=authority),
        "cli": lambda: identity.AzureCliCredential(**tenant),  # type: ignore[arg-type]
        "managed": lambda: identity.ManagedIdentityCredential(**client),  # type: ignore[arg-type]
        "device": lambda: identity.DeviceCodeCredential(authority=authority, prompt_callback=_tell, **tenant),  # type: ignore[arg-type]
        "browser": lambda: identity.InteractiveBrowserCredential(authority=authority, **tenant),
        "workload": lambda: identity.WorkloadIdentityCredential(authority=authority),
        "environment": lambda: identity.EnvironmentCredential(authority=authority),
    }
    try:
        return make[name]()  # type: ignore[return-value]
    except ValueError as error:
        raise UsageError(f"credential {name!r} cannot be used here: {_first_line(error)}") from error


def _tell(address, code, _until):
    """Show the code on stderr: standard output may be a table in a pipe."""
    import sys

    print(f"to sign in, open {address} and type the code {code}", file=sys.stderr)


class CachedCredential:
    """A credential that is asked for a new token only when the last one is about to end.

    The client asks before every query, and ``az`` takes a second for each.  Its tokens stand in no message.

    Parameters
    ----------
    sign_in : str or azure.core.credentials.TokenCredential
        One of `CREDENTIALS`, or a credential.
    cloud : str
        A key of `CLOUDS`.
    """

    def __init__(self, sign_in: "str | TokenCredential", cloud: str) -> None:
        self._inner = credential(sign_in, cloud) if isinstance(sign_in, str) else sign_in
        self._tokens, self._lock = {}, threading.Lock()

    def __repr__(self) -> str:
        return type(self._inner).__name__

    def get_token(self, *scopes: str, **options: Any) -> "AccessToken":
        """Give a token that holds for five minutes at least."""
        with self._lock:
            kept = self._tokens.get(scopes)
            if kept is None or kept.expires_on - pd.Timestamp.now("UTC").timestamp() < 300:
                kept = self._tokens[scopes] = self._inner.get_token(*scopes, **options)
                withhold(kept.token)
            return kept

    def close(self) -> None:
        """Close the credential."""
        getattr(self._inner, "close", lambda: None)()


class KustoEngine:
    """KQL against a Kusto endpoint, through the official client; each call is one attempt.

    On loopback nobody is asked who they are.

    Parameters
    ----------
    workspace : str
        See `endpoint`.
    cloud, host : str
        See `endpoint`; an empty cloud follows from ``AZURE_AUTHORITY_HOST`` or from the address.
    sign_in : str or azure.core.credentials.TokenCredential
        One of `CREDENTIALS`, or a credential.

    Attributes
    ----------
    log_analytics : bool
        Whether it is a workspace of Log Analytics, not a cluster or a server on this machine.
    """

    at_once = AT_ONCE

    def __init__(
        self, workspace: str, cloud: str = "", host: str = "", sign_in: "str | TokenCredential" = "default"
    ) -> None:
        arm = workspace.lower().startswith("/subscriptions/")
        if cloud:
            cloud_of(cloud)
        self.cluster, self._database = endpoint(workspace, cloud_of(cloud) if arm and not host else "public", host)
        self.log_analytics = _is_log_analytics(self.cluster)
        self._cloud = trusted(self.cluster, cloud or (cloud_of() if arm and not host else ""))
        self._credential = None
        if self._cloud:
            self._credential = CachedCredential(sign_in, self._cloud)
        self._workspace = workspace
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._making, self._made, self._reached = threading.Lock(), None, False
        self._names: list[str] | None = None
        self._columns: dict[str, dict[str, str]] = {}

    def proof(self) -> Iterator[tuple[str, str]]:
        """Prove the way to the data step by step.

        Yields
        ------
        tuple of (str, str)
            The step and what was found; the first that fails raises what a person can act on.
        """
        if self._credential is not None:
            self._guarded(self._client)
            yield "endpoint", f"{self.cluster.host} is trusted in the cloud {self._cloud!r}"
            self._guarded(lambda: self._credential.get_token(f"{self._audience}/.default"))
            yield "credential", f"{self._credential!r} has a token for {self._audience}"
        else:
            yield "endpoint", str(self.cluster)
            yield "credential", "none, as on this machine nobody signs in"
        frame = self.run("print Answer = 1")
        yield "permission", f"queries are answered in the database {self._database!r}" if len(frame) else "no answer"

    def tables(self) -> list[str]:
        """Give the names of the tables; asked once."""
        if self._names is None:
            self._names = sorted(self._ask_tables())
        return self._names

    def columns(self, table: str) -> dict[str, str]:
        """Give the KQL type of each column of a table; asked once."""
        if table not in self._columns:
            frame = self.counted(f"['{table}'] | getschema | project ColumnName, ColumnType")
            self._columns[table] = dict(zip(frame["ColumnName"], frame["ColumnType"], strict=True))
        return self._columns[table]

    def known(self) -> dict[str, dict[str, str]]:
        """Give the KQL type of each column of each table, as far as it was asked for; nothing is asked now."""
        return {name: {} for name in self._names or ()} | self._columns

    def extent(self, _table: str) -> tuple[None, None, None]:
        """Tell nothing: the service would have to read the whole table."""
        return None, None, None

    def close(self) -> None:
        """Close the connection."""
        if self._made is not None:
            self._made.close()

    def run(self, kql: str) -> pd.DataFrame:
        """Ask once and give the result as a frame.

        Raises
        ------
        Unanswered
            When this time there was no whole answer.
        AmakitError
            When the endpoint cannot be reached or refuses.
        """
        answer = self._call("execute_query", kql)  # execute() would run control commands as well
        _whole(answer.frames)
        if len(answer.primary_results) != 1:
            raise Unanswered(f"it answered with {len(answer.primary_results)} results where there must be one")
        table = answer.primary_results[0]
        types = {column.column_name: column.column_type for column in table.columns}
        rows = list(table.raw_rows)
        if any(not isinstance(row, list) or len(row) != len(types) for row in rows):
            raise Unanswered("it answered with rows that do not have its columns")
        cells = zip(*rows, strict=True) if rows else ([] for _ in types)
        return frame_of(dict(zip(types, (list(c) for c in cells), strict=True)), types)

    def held(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Give a frame as it can stand in a query: here it travels in the text."""
        return frame

    def counted(self, kql: str) -> pd.DataFrame:
        """Ask once as `run` does, and take the answer only with the rows that were counted where it was made.

        Parameters
        ----------
        kql : str
            One of the kit's own, see `amakit.queries.counted`.
        """
        frame = self.run(counted(kql))
        if "AnswerRows" not in frame:
            raise Unanswered("its answer has other columns than were asked for")
        rows, told = frame[frame["AnswerRows"].isna()], frame["AnswerRows"].dropna()
        if len(told) != 1 or told.iloc[0] != len(rows):
            capped = "rows" if len(rows) >= FEW else ""
            raise Unanswered(f"{len(rows)} rows came of {told.iloc[0] if len(told) else 'more'}", large=capped)
        return rows.drop(columns="AnswerRows").reset_index(drop=True)

    def _ask_tables(self):
        """Ask the catalogue: Log Analytics knows one command, the local server another."""
        try:
            answer = self._call("execute_mgmt", f".show database ['{self._database}'] schema as json")
            try:
                schema = json.loads(answer.primary_results[0].raw_rows[0][0])
                tables = {
                    name: table for each in schema["Databases"].values() for name, table in each["Tables"].items()
                }
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise Unanswered("it answered with no list of tables") from error
            for name, table in tables.items():
                columns = {c.get("Name"): c.get("CslType") for c in table.get("OrderedColumns") or []}
                if columns and all(columns.values()):
                    self._columns[name] = columns
        except Unanswered:
            raise
        except AmakitError:
            if self.log_analytics:
                raise
            answer = self._call("execute_mgmt", ".show tables | project TableName")
            if not answer.primary_results:
                raise Unanswered("it answered with no list of tables") from None
            tables = [row[0] for row in answer.primary_results[0].raw_rows]
        return tables

    def _call(self, method, text):
        """Send one request, no faster than is allowed and never waiting for ever."""
        if not self._places.acquire(timeout=DEADLINE):
            raise Unanswered("none of its earlier answers came")
        pace()
        return self._guarded(lambda: getattr(self._client(), method)(self._database, text, _properties()),
                             self._places.release)  # fmt: skip

    def _guarded(self, call, after=None):
        """Call the client, and say in one sentence what went wrong."""
        from azure.core.exceptions import ClientAuthenticationError
        from azure.kusto.data.exceptions import KustoAuthenticationError, KustoError, KustoNetworkError

        try:
            answer = apart(call, DEADLINE, after)
        except (AmakitError, MemoryError):
            raise
        except (KustoAuthenticationError, ClientAuthenticationError) as error:
            raise self._not_signed_in(getattr(error, "exception", error)) from without_secrets(error)
        except KustoNetworkError as error:
            raise self._unreachable(error) from without_secrets(error)
        except KustoError as error:
            self._reached = True
            raise self._refusal(error) from without_secrets(error)
        except TimeoutError as error:
            raise Unanswered(f"it did not answer within {DEADLINE:.0f} seconds", large="work") from error
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            self._reached = True  # a gateway's answer escapes the client as a bare KeyError, and the like
            raise Unanswered("it answered with what is no answer of a Kusto service") from error
        self._reached = True
        return answer

    def _client(self):
        with self._making:
            if self._made is None:
                self._made = self._connected()
            return self._made

    def _connected(self):
        from azure.kusto.data import KustoClient, KustoConnectionStringBuilder
        from azure.kusto.data.response import KustoResponseDataSetV1, KustoResponseDataSetV2

        class Client(KustoClient):
            """The client leaves out the last frame, in which alone some errors stand; here it is kept."""

            @staticmethod
            def _kusto_parse_by_endpoint(endpoint, response_json):
                query = endpoint.endswith("v2/rest/query")
                answer = (KustoResponseDataSetV2 if query else KustoResponseDataSetV1)(response_json)
                answer.frames = response_json
                return answer

        # as text it would be read as "key=value;key=value", so the path goes in as a property
        if self._credential is None:
            connection = KustoConnectionStringBuilder.with_no_authentication(self.cluster.base)
        else:
            self._audience = self._metadata().kusto_service_resource_id
            connection = KustoConnectionStringBuilder.with_azure_token_credential(self.cluster.base, self._credential)
        connection["Data Source"] = str(self.cluster)
        return Client(connection)

    def _metadata(self):
        """Learn for whom tokens must be made out; the client itself would wait for that without a limit.

        Where the endpoint does not say, the client takes what holds in the public cloud.
        """
        import requests
        from azure.kusto.data._cloud_settings import CloudInfo, CloudSettings

        bounded = SimpleNamespace(get=lambda url, **options: requests.get(url, timeout=30, **options))
        found = CloudSettings.get_cloud_info_for_cluster(str(self.cluster), None, bounded)
        own = CLOUDS[self._cloud]
        if found is CloudSettings.DEFAULT_CLOUD:
            plain = {name: getattr(found, name) for name in ("login_mfa_required", "kusto_client_app_id",
                     "kusto_client_redirect_uri", "first_party_authority_url")}  # fmt: skip
            found = CloudInfo(login_endpoint=own.authority, kusto_service_resource_id=own.audience, **plain)
            CloudSettings.add_to_cache(str(self.cluster), found)
        if found.login_endpoint.rstrip("/").lower() != own.authority:
            raise AmakitError(
                f"{self._workspace} wants a sign-in at {found.login_endpoint}, which is not the cloud {self._cloud!r}; "
                "check the address and --cloud"
            )
        try:
            trusted(address(found.kusto_service_resource_id), self._cloud)
        except UsageError as error:
            raise AmakitError(
                f"{self._workspace} wants a token for {found.kusto_service_resource_id!r}, which is none of Azure Data "
                "Explorer or Azure Monitor, so none is asked for; check the address and the proxy"
            ) from error
        return found

    # -- what went wrong ----------------------------------------------------------------------------------

    def _not_signed_in(self, error):
        text = " ".join(str(error).split())
        if re.search(r"AADSTS(50020|50034|90002|90072|500011|700016|50173|500213)|[Tt]enant .* not found", text):
            return AmakitError(f"{self._workspace} {_WRONG_TENANT} ({_code(text)})")
        return AmakitError(
            f"signing in to {self._workspace} failed: {_first_line(error)[:300]}; sign in, for example with "
            "'az login', or choose another way with --credential"
        )

    def _unreachable(self, error):
        chain = " ".join(type(e).__name__ for e in _causes(error)) + " " + " ".join(map(str, _causes(error)))
        never = re.search(r"NewConnectionError|NameResolutionError|ConnectionRefused|SSLError", chain)
        if never and not self._reached:
            return AmakitError(
                f"{self._workspace} cannot be reached; check the address, the network and that the server runs"
            )
        late = "Timeout" in chain
        return Unanswered("it did not answer in time" if late else "the connection broke", large="work" * late)

    def _refusal(self, error):
        """Read an error of the service: ask again, ask for less, or what a person can do."""
        response = getattr(error, "http_response", None)
        if response is None:
            response = next((a for a in error.args if hasattr(a, "status_code")), None)
        status = getattr(response, "status_code", 0)
        told = " ".join(f"{error} {getattr(response, 'text', '')}".split())
        if large := _too_large(told):
            return Unanswered("the answer was too large for it", large=large)
        if status == 429 or "throttl" in told.lower():
            return Unanswered("it was asked too often", pause(response))
        if status in (408, 504):
            return Unanswered("it did not answer in time", pause(response), large="work")
        if status >= 500 or getattr(getattr(error, "error", None), "permanent", None) is False:
            return Unanswered(f"it answered with status {status} ({_reason(error, response)[:200]})", pause(response))
        for pattern, sentence in _REFUSED.items():
            if re.search(pattern, f"status={status} {told}", re.IGNORECASE):
                return AmakitError(f"{self._workspace} {sentence} ({_code(told) or f'status {status}'})")
        if 200 <= status < 300:
            return Unanswered("it answered with nothing, or with what is no answer of a Kusto service")
        if status == 0 and not re.search(r"Semantic|Syntax|BadRequest|SEM0|SYN0", told):
            return Unanswered(f"it broke off in the midst of its answer ({_first_line(error)[:200]})")
        return AmakitError(
            f"{self._workspace} did not answer the query: {_reason(error, response)}; check the query and the address"
        )


_WRONG_TENANT = (
    "belongs to another tenant than your sign-in; sign in to its own, for example with 'az login --tenant TENANT'"
)
_TOO_LARGE = {
    "rows": re.compile(
        r"E_QUERY_RESULT_SET_TOO_LARGE|0x80DA0001|0x80DA0003|ResponseSizeError|result set.{0,40} exceeded"
        r"|exceeded the .{0,40}(record|row|size)|truncat",
        re.IGNORECASE,
    ),
    "work": re.compile(
        r"E_RUNAWAY_QUERY|0x80DA0007|E_QUERY_TIMEOUT|E_LOW_MEMORY|QueryTimeout|Request_(Execution)?Timeout|GatewayTimeout",
        re.IGNORECASE,
    ),
}  # fmt: skip
#: What the service says, and what a person can do about it; the first that fits.
_REFUSED = {
    r"status=3": "sends you elsewhere, where no token follows; check the address and the proxy",
    r"status=40[134].*(private ?link|public ?network|network ?security ?perimeter|Nsp(Validation|Access)|FromPublic)":
        "is open to a private link only, which this way in does not serve; export its tables into a folder from "
        "inside that network and analyse the folder",
    r"status=40[134].*(TokenTenant|wrong (issuer|tenant)|(different|another) tenant|InvalidTenant|cross-?tenant)":
        _WRONG_TENANT,
    r"status=40[0-4].*(\b(basic|auxiliary)\b.{0,60}\b(plan|tier|logs?|table)|\b(plan|tier)\b.{0,40}\b(basic|auxiliary)\b)":
        "has this table on the Basic or Auxiliary plan, which this way in cannot read; switch the table to the "
        "Analytics plan, or export it into a folder",
    r"status=401|status=403.*(AuthenticationToken|AuthenticationFailed)":
        "did not accept the sign-in; sign in again, for example with 'az login', or choose another way with "
        "--credential",
    r"status=404|status=40[03].*(PathNotFound|(Workspace|Resource|ResourceGroup|Subscription|Database)NotFound)":
        "is not there: deleted, or in another subscription or cloud; check the id and --cloud (a deleted workspace "
        "can be recovered for 14 days)",
    r"status=403": "does not let you read it; ask its owner for the role Log Analytics Reader",
}  # fmt: skip


def _properties():
    from azure.kusto.data import ClientRequestProperties

    wanted = ClientRequestProperties()
    wanted.set_option("results_progressive_enabled", False)  # such an answer is parsed to nothing
    return wanted


def _whole(frames):
    """Check the frames of an answer: its client takes one that broke off for a whole one.

    Raises
    ------
    Unanswered

    Examples
    --------
    >>> _whole([{"FrameType": "DataSetHeader"}, {"FrameType": "DataSetCompletion", "HasErrors": True}])
    Traceback (most recent call last):
    amakit.errors.Unanswered: it broke off and said so at the end
    """
    kinds = [frame.get("FrameType") for frame in frames]
    if any(kind in ("TableHeader", "TableFragment", "TableProgress", "TableCompletion") for kind in kinds):
        raise Unanswered("it answered piece by piece, which the client takes for nothing")
    if kinds[-1:] != ["DataSetCompletion"]:
        raise Unanswered("its answer has no end")
    last = frames[-1]
    told = [frame for frame in frames if frame.get("TableKind") == "QueryCompletionInformation"]
    bad = [row for frame in told for row in frame["Rows"] if _level(frame, row) < 4]
    if last.get("HasErrors") or last.get("Cancelled") or last.get("OneApiErrors") or bad:
        words = json.dumps([last, *bad])
        raise Unanswered("it broke off and said so at the end", large=_too_large(words))


def _too_large(words):
    return next((kind for kind, pattern in _TOO_LARGE.items() if pattern.search(words)), "")


def _level(frame, row):
    names = [column["ColumnName"] for column in frame["Columns"]]
    level = dict(zip(names, row, strict=False)).get("Level") if isinstance(row, list) else 0
    return 4 if level is None else level


def pause(response: object) -> float:
    """Read for how many seconds the service wants to be left alone."""
    text = getattr(response, "headers", {}).get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,6}(\.\d+)?", text):
        return float(text)
    try:
        until = pd.Timestamp(parsedate_to_datetime(text))
        until = until.tz_localize("UTC") if until.tzinfo is None else until
        return max(0.0, (until - pd.Timestamp.now("UTC")).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def without_secrets(error: BaseException) -> BaseException:
    """Take secrets out of an error and of those behind it: a traceback prints them all."""
    for each in _causes(error):
        said = [argument if isinstance(argument, str) else repr(argument) for argument in each.args]
        if any(withheld(text) != text for text in (*said, str(each))):
            each.args = (withheld(" ".join(said)),)
            each.message = each.args[0]  # azure-core tells this instead of its arguments
    return error


def _causes(error):
    chain = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain


def _code(text):
    """Find the service's own code in what it said; it is what a search or a ticket needs."""
    found = re.search(r"AADSTS\d+", text) or re.search(r'"code"\s*:\s*"([\w.]{3,60})"(?!.*"code")', text)
    return found[found.lastindex or 0] if found else ""


def _reason(error, response):
    """Give the innermost message: Log Analytics nests them, and its client prints none."""
    line = _first_line(error)
    if not line.startswith("Unknown Kusto service error"):
        return line
    try:
        told = response.json()["error"]
        while isinstance(told.get("innererror"), dict):
            told = told["innererror"]
        return _first_line(f"{told.get('code', '')} {told.get('message', '')}".strip()) or line
    except (ValueError, LookupError, TypeError, AttributeError):
        return line


def _first_line(error):
    line = withheld(" ".join(str(error).strip().split("\n")[0].split()))
    return re.sub(r" expecting \{.*", "", line).rstrip(".!;:")  # what could stand there are 100 words
