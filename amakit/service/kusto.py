"""KQL against a Kusto endpoint, which is also the first way in which a Log Analytics workspace is read."""

import json
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING

from amakit.errors import AmakitError, Closed, Unanswered, UsageError
from amakit.service.answers import Said, check_frames, innermost_message, meaning, pause, request_properties
from amakit.service.engine import Engine
from amakit.service.sign_in.address import address
from amakit.service.sign_in.clouds import CLOUDS, cloud_of, endpoint, is_log_analytics, trusted
from amakit.service.sign_in.credentials import CachedCredential, first_line
from amakit.service.sign_in.signer import signer

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

#: Names of databases are told apart by case; ids of workspaces are not, and are often pasted in lower case.
_NO_DATABASE = re.compile(r"kind 'Database' was not found|Database '[^']*' (could not be found|does not exist)")


class _NoDatabase(AmakitError):
    """There is no database of that name."""


class KustoEngine(Engine):
    """KQL against a Kusto endpoint, through the official client; each call is one attempt.

    On loopback nobody is asked who they are.

    Parameters
    ----------
    workspace : str
        See `amakit.service.sign_in.clouds.endpoint`.
    cloud, host : str
        See there; an empty cloud follows from ``AZURE_AUTHORITY_HOST`` or from the address.
    sign_in : str or azure.core.credentials.TokenCredential
        One of `amakit.service.sign_in.credentials.CREDENTIALS`, or a credential.
    tenant : str
        In which tokens are asked for.

    Attributes
    ----------
    log_analytics : bool
        Whether it is a workspace of Log Analytics, not a cluster or a server on this machine.
    cluster : amakit.service.sign_in.address.Address
    cloud : str
        Empty on loopback.
    """

    package = "azure-kusto-data"

    def __init__(
        self,
        workspace: str,
        cloud: str = "",
        host: str = "",
        sign_in: "str | TokenCredential" = "default",
        tenant: str = "",
    ) -> None:
        arm = workspace.lower().startswith("/subscriptions/")
        if cloud:
            cloud_of(cloud)
        self.cluster, self._database = endpoint(workspace, cloud_of(cloud) if arm and not host else "public", host)
        self.log_analytics = is_log_analytics(self.cluster)
        self.cloud = trusted(self.cluster, cloud or (cloud_of() if arm and not host else ""))
        super().__init__(workspace, CachedCredential(sign_in, self.cloud, tenant) if self.cloud else None)
        who = signer(sign_in)
        self._state = f"{self.cluster} {self._database} {who} {tenant}" if who else ""
        self._nowhere: AmakitError | None = None

    def _described(self):
        trusted = f"{self.cluster.host} is trusted in the cloud {self.cloud!r}"
        return str(self.cluster), trusted, f"in the database {self._database!r}"

    def _answer(self, kql):
        answer = self._asked("execute_query", kql)  # execute() would run control commands as well
        check_frames(answer.frames)
        if len(answer.primary_results) != 1:
            raise Unanswered(f"it answered with {len(answer.primary_results)} results where there must be one")
        table = answer.primary_results[0]
        return {column.column_name: column.column_type for column in table.columns}, list(table.raw_rows)

    def _listed(self):
        """Ask the catalogue: the schema, else the names; of Log Analytics else what has rows.

        The endpoint of Log Analytics parses commands strictly and knows few of them: no operator may follow one.
        """
        for ask in (self._from_schema, self._from_names):
            try:
                return ask()
            except (Unanswered, Closed):
                raise
            except AmakitError:
                if ask == self._from_names and not self.log_analytics:
                    raise
        return self._usual_tables()

    def _from_schema(self):
        answer = self._asked("execute_mgmt", f".show database ['{self._database}'] schema as json")
        try:
            schema = json.loads(answer.primary_results[0].raw_rows[0][0])
            tables = {name: table for each in schema["Databases"].values() for name, table in each["Tables"].items()}
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise Unanswered("it answered with no list of tables") from error
        for name, table in tables.items():
            columns = {c.get("Name"): c.get("CslType") for c in table.get("OrderedColumns") or []}
            if columns and all(columns.values()):
                self._columns[name] = columns
        return tables

    def _from_names(self):
        answer = self._asked("execute_mgmt", ".show tables")
        try:
            names = [column.column_name for column in answer.primary_results[0].columns]
            return [row[names.index("TableName")] for row in answer.primary_results[0].raw_rows]
        except (ValueError, LookupError, TypeError) as error:
            raise Unanswered("it answered with no list of tables") from error

    def _asked(self, method, text):
        """Send one request; where the database is called otherwise, find its name and ask once more."""
        try:
            return self._call(lambda: getattr(self._client(), method)(self._database, text, request_properties()))
        except _NoDatabase as error:
            if self._nowhere is not None:
                raise self._nowhere from error
            try:
                self._database = self._spelled(error)
            except Unanswered:
                raise
            except AmakitError as known:
                self._nowhere = known
                raise
            self._nowhere = error  # it will not be searched again
        return self._asked(method, text)

    def _spelled(self, error):
        try:
            answer = self._call(
                lambda: self._client().execute_mgmt(self._database, ".show databases", request_properties())
            )
        except Unanswered:
            raise
        except AmakitError:
            raise AmakitError(f"{error}; names of databases are told apart by case: copy it from the portal") from error
        table = answer.primary_results[0]
        names = [column.column_name for column in table.columns]
        places = [names.index(name) for name in ("DatabaseName", "PrettyName") if name in names]
        rows = [[row[place] or "" for place in places] for row in table.raw_rows]
        for row in rows:
            if self._database.lower() in [name.lower() for name in row]:
                return row[0]
        there = ", ".join(sorted(row[0] for row in rows)[:10]) or "none that you may read"
        raise AmakitError(f"{error}; there are: {there}") from error

    def _connected(self):
        from azure.kusto.data import KustoClient, KustoConnectionStringBuilder
        from azure.kusto.data.response import KustoResponseDataSetV1, KustoResponseDataSetV2

        class Client(KustoClient):
            """The client leaves out the last frame, in which alone some errors stand; here it is kept."""

            @staticmethod
            def _kusto_parse_by_endpoint(endpoint, response_json):
                query = endpoint.endswith("v2/rest/query")
                answer = (KustoResponseDataSetV2 if query else KustoResponseDataSetV1)(response_json)
                answer.frames = response_json  # type: ignore[union-attr]
                return answer

        # as text it would be read as "key=value;key=value", so the path goes in as a property
        if self._credential is None:
            connection = KustoConnectionStringBuilder.with_no_authentication(self.cluster.base)
        else:
            self.scope = f"{self._metadata().kusto_service_resource_id}/.default"
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
        found = CloudSettings.get_cloud_info_for_cluster(str(self.cluster), None, bounded)  # type: ignore[arg-type]
        own = CLOUDS[self.cloud]
        audience = own.audience if found is CloudSettings.DEFAULT_CLOUD else found.kusto_service_resource_id
        login = own.authority if found is CloudSettings.DEFAULT_CLOUD else found.login_endpoint
        try:
            wanted = cloud_of("", {"AZURE_AUTHORITY_HOST": login})
        except UsageError:
            wanted = ""
        if wanted != self.cloud:
            raise AmakitError(
                f"{self._workspace} wants a sign-in at {login}, which is not the cloud {self.cloud!r}; check the "
                "address and --cloud"
            )
        plain = {
            name: getattr(found, name)
            for name in (
                "login_mfa_required",
                "kusto_client_app_id",
                "kusto_client_redirect_uri",
                "first_party_authority_url",
            )
        }
        found = CloudInfo(login_endpoint=own.authority, kusto_service_resource_id=audience, **plain)
        CloudSettings.add_to_cache(str(self.cluster), found)  # under an alias of the login host it trusts none
        try:
            trusted(address(found.kusto_service_resource_id), self.cloud)
        except UsageError as error:
            raise AmakitError(
                f"{self._workspace} wants a token for {found.kusto_service_resource_id!r}, which is none of Azure Data "
                "Explorer or Azure Monitor, so none is asked for; check the address and the proxy"
            ) from error
        return found

    def _meaning(self, error):
        from azure.core.exceptions import ClientAuthenticationError
        from azure.kusto.data.exceptions import KustoAuthenticationError, KustoError, KustoNetworkError

        if isinstance(error, (KustoAuthenticationError, ClientAuthenticationError)):
            return self._signed_out(getattr(error, "exception", error))
        if isinstance(error, KustoNetworkError):
            return self._unreachable(error)
        if not isinstance(error, KustoError):
            return None
        self._reached = True
        response = getattr(error, "http_response", None)
        if response is None:
            response = next((a for a in error.args if hasattr(a, "status_code")), None)
        body = getattr(response, "text", "")
        line = first_line(error)
        if line.startswith("Unknown Kusto service error"):
            line = innermost_message(body) or line
        told = " ".join(f"{error} {body}".split())
        if _NO_DATABASE.search(told):
            return _NoDatabase(f"{self._workspace} has no database {self._database!r}")
        passing = getattr(getattr(error, "error", None), "permanent", None) is False
        status = getattr(response, "status_code", 0)
        return meaning(self._workspace, Said(status, told, line, pause(getattr(response, "headers", {})), passing))
