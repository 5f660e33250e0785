"""Clouds and hosts: where each of Microsoft's clouds keeps its doors, and who may be asked."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from amakit.errors import UsageError
from amakit.service.sign_in.address import Address, address


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
    portal : str
        Shows people their resources.
    logs : tuple of str
        Answer the query API of Azure Monitor Logs; the first is asked.
    logs_audience : str
        For whom a token must be made out there.
    """

    host: str
    authority: str
    audience: str
    manager: str
    manager_audience: str
    portal: str
    logs: tuple[str, ...]
    logs_audience: str


#: The clouds by the name that ``--cloud`` takes.
CLOUDS = {
    "public": Cloud(
        "ade.loganalytics.io", "https://login.microsoftonline.com", "https://kusto.kusto.windows.net",
        "management.azure.com", "https://management.azure.com", "https://portal.azure.com",
        ("api.loganalytics.io", "api.loganalytics.azure.com"), "https://api.loganalytics.io",
    ),
    "usgov": Cloud(
        "adx.monitor.azure.us", "https://login.microsoftonline.us", "https://kusto.kusto.usgovcloudapi.net",
        "management.usgovcloudapi.net", "https://management.core.usgovcloudapi.net",
        "https://portal.azure.us",
        ("api.loganalytics.us",), "https://api.loganalytics.us",
    ),
    "china": Cloud(
        "adx.monitor.azure.cn", "https://login.partner.microsoftonline.cn", "https://kusto.kusto.chinacloudapi.cn",
        "management.chinacloudapi.cn", "https://management.chinacloudapi.cn",
        "https://portal.azure.cn",
        ("api.loganalytics.azure.cn",), "https://api.loganalytics.azure.cn",
    ),
}  # fmt: skip
#: Other names under which the authorities of the clouds are known.
_ALIASES = {
    "": "public", "login.windows.net": "public", "login.microsoft.com": "public", "sts.windows.net": "public",
    "login-us.microsoftonline.com": "usgov", "login.chinacloudapi.cn": "china",
}  # fmt: skip
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
    by_host |= _ALIASES
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
    form = "http://127.0.0.1:PORT/DATABASE, https://HOST/DATABASE, or the ARM id /subscriptions/…/workspaces/NAME"
    cluster = address(workspace, form)
    if not cluster.path:
        raise UsageError(f"workspace {workspace!r} is no Kusto endpoint; write {form}")
    if is_log_analytics(cluster):
        return cluster, cluster.path[-1]
    return replace(cluster, path=cluster.path[:-1]), cluster.path[-1]


def is_log_analytics(cluster: Address) -> bool:
    """Whether the path of an address is the ARM id of a workspace."""
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
