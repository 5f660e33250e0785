"""The service: KQL against a Kusto endpoint, which is also the door of a Log Analytics workspace."""

import re
from urllib.parse import quote, unquote, urlsplit

from amakit.errors import AmakitError, UsageError
from amakit.schemas import frame_of

_WORKSPACE_ID = re.compile(
    r"/subscriptions/[^/]+/resourcegroups/[^/]+/providers/microsoft\.operationalinsights/workspaces/(?P<name>[^/]+)/?",
    re.IGNORECASE,
)


def endpoint(workspace):
    """Split what names a remote workspace into the cluster that serves it and the database in there.

    Parameters
    ----------
    workspace : str
        The ARM id of a Log Analytics workspace (public cloud), or a URL whose last part is the database.

    Returns
    -------
    tuple of (str, str)
        Cluster URL and database name.

    Raises
    ------
    UsageError
        When it is neither.

    Notes
    -----
    That a workspace answers the Kusto client at ``ade.loganalytics.io`` under its ARM path, with its own name
    as the database, is documented at learn.microsoft.com under "Query data in Azure Monitor with Azure Data
    Explorer".

    Examples
    --------
    >>> endpoint("http://127.0.0.1:31415/logs")
    ('http://127.0.0.1:31415', 'logs')
    >>> endpoint("/subscriptions/0/resourceGroups/rg/providers/Microsoft.OperationalInsights/workspaces/Ops")[1]
    'Ops'
    """
    arm = _WORKSPACE_ID.fullmatch(workspace)
    if arm:
        return f"https://ade.loganalytics.io{quote(workspace.rstrip('/'))}", arm["name"]
    try:
        parts = urlsplit(workspace)
        port_is_one = parts.port is None or parts.port > 0  # reading it fails for what is no port
    except ValueError:
        parts, port_is_one = urlsplit(""), False
    path = parts.path.strip("/")
    if parts.scheme not in ("http", "https") or not parts.netloc or not path or not port_is_one:
        raise UsageError(
            f"workspace {workspace!r} is no Kusto endpoint; write http://127.0.0.1:PORT/DATABASE, "
            "https://HOST/DATABASE, or the ARM id /subscriptions/…/workspaces/NAME"
        )
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise UsageError(f"workspace {workspace!r} would be asked without encryption; write https://")
    parent, _, database = path.rpartition("/")
    return f"{parts.scheme}://{parts.netloc}" + (f"/{parent}" if parent else ""), unquote(database)


class KustoEngine:
    """KQL against a Kusto endpoint, through the official client.

    On loopback nobody is asked who they are; elsewhere the default chain of azure-identity signs in.

    Parameters
    ----------
    workspace : str
        See `endpoint`.
    """

    def __init__(self, workspace):
        from azure.kusto.data import KustoClient, KustoConnectionStringBuilder

        cluster, self._database = endpoint(workspace)
        if cluster.startswith("http://"):
            target = KustoConnectionStringBuilder.with_no_authentication(cluster)
        else:
            from azure.identity import DefaultAzureCredential

            target = KustoConnectionStringBuilder.with_azure_token_credential(cluster, DefaultAzureCredential())
        self._workspace = workspace
        self._client = KustoClient(target)
        self._names, self._columns = None, {}

    def tables(self):
        """Give the names of the tables; asked once."""
        if self._names is None:
            self._names = sorted(self._ask_tables())
        return self._names

    def columns(self, table):
        """Give the KQL type of each column of a table; asked once."""
        if table not in self._columns:
            frame = self.run(f"['{table}'] | getschema | project ColumnName, ColumnType")
            self._columns[table] = dict(zip(frame["ColumnName"], frame["ColumnType"], strict=True))
        return self._columns[table]

    def close(self):
        """Close the connection."""
        self._client.close()

    def run(self, kql):
        """Run KQL and give the result as a frame.

        Raises
        ------
        AmakitError
            When the endpoint cannot be reached, refuses the query, or answers without a result.
        """
        answer = self._call(self._client.execute_query, kql)  # execute() would run control commands as well
        if len(answer.primary_results) != 1:
            raise AmakitError(
                f"{self._workspace} answered with {len(answer.primary_results)} results where there must be one; "
                "run the query again"
            )
        table = answer.primary_results[0]
        types = {column.column_name: column.column_type for column in table.columns}
        rows = list(table.raw_rows)
        cells = zip(*rows, strict=True) if rows else ([] for _ in types)
        return frame_of(dict(zip(types, (list(c) for c in cells), strict=True)), types)

    def _ask_tables(self):
        """Ask the catalogue: Log Analytics knows one command, the local server another."""
        import json

        try:
            answer = self._call(self._client.execute_mgmt, f".show database ['{self._database}'] schema as json")
            schema = json.loads(answer.primary_results[0].raw_rows[0][0])
            return [name for database in schema["Databases"].values() for name in database["Tables"]]
        except AmakitError:
            answer = self._call(self._client.execute_mgmt, ".show tables | project TableName")
            return [row[0] for row in answer.primary_results[0].raw_rows]

    def _call(self, method, text):
        from azure.core.exceptions import ClientAuthenticationError
        from azure.kusto.data.exceptions import KustoError, KustoNetworkError

        try:
            return method(self._database, text)
        except ClientAuthenticationError as error:
            raise AmakitError(
                f"signing in to {self._workspace} failed: {_first_line(error)}; sign in, for example with 'az login'"
            ) from error
        except KustoNetworkError as error:
            raise AmakitError(
                f"{self._workspace} cannot be reached; check the address, the network and that the server runs"
            ) from error
        except (KustoError, KeyError) as error:  # a gateway's answer escapes the client as a bare KeyError
            raise AmakitError(
                f"{self._workspace} did not answer the query: {_first_line(error)}; check the query and the address"
            ) from error


def _first_line(error):
    line = " ".join(str(error).split("\n")[0].split())
    return re.sub(r" expecting \{.*", "", line).rstrip(".!;")  # what could stand there are 100 words
