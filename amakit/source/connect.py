"""``connect()``: which kind of workspace a name is, and what opens it."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from amakit.errors import AmakitError, UsageError
from amakit.exports.dates import checked
from amakit.source.records import distinct, remote
from amakit.source.workspace import BESIDE, Workspace
from amakit.source.workspaces import Workspaces

if TYPE_CHECKING:
    from amakit.service.kusto import TokenCredential


def connect(
    workspace: str | Path | Sequence[str | Path] = "demo",
    cloud: str = "",
    endpoint: str = "",
    credential: "str | TokenCredential" = "",
    date_format: str = "",
    tenant: str = "",
    transport: str = "",
    control_plane: str | Path = "",
) -> "Workspace":
    """Open a workspace.

    Parameters
    ----------
    workspace : str or path-like, or list of them
        ``demo``; a folder of exported tables; a ``.duckdb`` file; ``http://127.0.0.1:PORT/DATABASE`` or another
        Kusto endpoint; or the ARM id of a Log Analytics workspace, of a machine, a resource group or a subscription.
        Several are analysed as one; see `amakit.source.workspaces.Workspaces`.
    cloud : str
        ``public``, ``usgov`` or ``china``; by default as ``AMAKIT_CLOUD``, ``AZURE_AUTHORITY_HOST`` or the address
        says.
    endpoint : str
        The host to ask for an ARM id, instead of the cloud's own: ``adx.monitor.azure.com`` for example.  By
        default ``AMAKIT_ENDPOINT``.
    credential : str or azure.core.credentials.TokenCredential
        How to sign in: ``default`` for the chain of azure-identity, ``cli``, ``managed``, ``device``, ``browser``,
        ``workload``, ``environment`` or ``pipelines``; or a credential.  By default ``AMAKIT_CREDENTIAL``, or the
        chain.
    date_format : str
        ``day-first`` or ``month-first``: how dates of exported text are read that fit both, where no row and no
        other file shows which it is.  By default ``AMAKIT_DATE_FORMAT``.
    tenant : str
        In which to sign in: its id or a domain.  By default ``AMAKIT_TENANT``, ``AZURE_TENANT_ID``, or the
        credential's own.
    transport : str
        ``kusto`` for the Kusto endpoint of a Log Analytics workspace, ``logs`` for the query API of Azure Monitor Logs
        (with ``amakit[logs]``), or ``auto``: the first, and where it is closed to you or from here the second.  By
        default ``AMAKIT_TRANSPORT``, or ``auto``.
    control_plane : str or path-like
        A folder with what ``amakit activity`` and ``amakit inventory`` fetched, for a service that does not have it:
        the tables AzureActivity and AgentInventory are read there.  By default ``AMAKIT_CONTROL_PLANE``.

    Returns
    -------
    Workspace

    Raises
    ------
    AmakitError
        When there is nothing there that can be read.

    Examples
    --------
    >>> connect("demo").tables[:3]
    ['AMAHealth', 'AppLog_CL', 'AzureActivity']
    >>> connect("nowhere")
    Traceback (most recent call last):
    amakit.errors.AmakitError: workspace 'nowhere' does not exist; give a folder of exported tables, a .duckdb \
file, a Kusto endpoint, the ARM id of a workspace, or 'demo'
    """
    if not isinstance(workspace, str | Path):
        service: dict = {"cloud": cloud, "endpoint": endpoint, "credential": credential, "tenant": tenant}
        service |= {"transport": transport, "control_plane": control_plane}
        return _several(distinct(workspace), date_format, service)
    name = str(workspace)
    if remote(name):
        from amakit.service.transport import engine

        told = [
            given or os.environ.get(f"AMAKIT_{variable}", "")
            for given, variable in (
                (cloud, "CLOUD"),
                (endpoint, "ENDPOINT"),
                (credential, "CREDENTIAL"),
                (tenant, "TENANT"),
                (transport, "TRANSPORT"),
            )
        ]
        asked = engine(name, str(told[0]), str(told[1]), told[2] or "default", str(told[3]), str(told[4]) or "auto")
        folder = control_plane or os.environ.get("AMAKIT_CONTROL_PLANE", "")
        return Workspace(name, "kusto", asked, beside=_beside(folder) if folder else None)
    checked(date_format)
    if control_plane:
        raise UsageError(
            f"workspace {name!r} is on this machine; put the tables of {str(control_plane)!r} into it, and leave "
            "--control-plane out"
        )
    if cloud or endpoint or credential or tenant or transport:
        raise UsageError(
            f"workspace {name!r} is on this machine; cloud, endpoint, credential, tenant and transport are for remote "
            "ones"
        )
    if name == "demo":
        from amakit import demo
        from amakit.source.files import LocalEngine

        return Workspace(name, "demo", LocalEngine(demo.cached()), synthetic=True)
    path = Path(name).expanduser()
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        pass  # it is told below
    except OSError as error:
        raise AmakitError(
            f"workspace {name!r} cannot be opened: {error.strerror}; ask for the right to read it, or copy it to a "
            "folder of your own"
        ) from error
    if path.is_dir() or (path.is_file() and path.suffix.lower() in (".duckdb", ".db")):
        from amakit.exports.manifest import whole_snapshot
        from amakit.source.files import LocalEngine

        kind, taken = ("folder", whole_snapshot(path)) if path.is_dir() else ("duckdb", None)
        made_up = (path / "_demo.json").exists() or bool(taken and taken["synthetic"])
        order = date_format or os.environ.get("AMAKIT_DATE_FORMAT", "")
        return Workspace(name, kind, LocalEngine(path, order), made_up, taken)
    if path.is_file():
        raise AmakitError(f"workspace {name!r} is a single file; give the folder that it lies in, or a .duckdb file")
    raise AmakitError(
        f"workspace {name!r} does not exist; give a folder of exported tables, a .duckdb file, a Kusto endpoint, "
        "the ARM id of a workspace, or 'demo'"
    )


def _several(names, date_format, service):
    """Open several workspaces as one; what is said of a service holds for those that are remote."""
    if not names:
        raise UsageError("no workspace is named; give a folder of exported tables, an ARM id, or 'demo'")
    if len(names) == 1 or (any(service.values()) and not any(map(remote, names))):
        return connect(names[0], date_format=date_format, **service)  # which says what is of no use there
    with ExitStack() as opened:
        members = [
            opened.enter_context(connect(name, date_format=date_format, **(service if remote(name) else {})))
            for name in names
        ]
        opened.pop_all()
    return Workspaces(members)


def _beside(folder):
    """Open a folder of tables of the control plane."""
    if not Path(folder).expanduser().is_dir():
        raise AmakitError(
            f"control plane {str(folder)!r} is no folder; give the one that 'amakit activity' or 'amakit inventory' "
            "wrote to"
        )
    found = connect(folder)
    if not set(BESIDE) & {*found.tables, *found.refused}:
        found.close()
        raise AmakitError(
            f"control plane {str(folder)!r} has neither {' nor '.join(BESIDE)}; 'amakit inventory' and 'amakit "
            "activity' write them"
        )
    for table in BESIDE:
        if table in found.refused:
            raise AmakitError(found.refused[table])
    return found
