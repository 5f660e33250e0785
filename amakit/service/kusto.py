"""KQL against a Kusto endpoint, which is also how a Log Analytics workspace is read.

What this module gives is one honest attempt: a whole answer, or an error that says whether to ask again, to ask for
less, or to give up.  `amakit.service.retry` decides what is made of that.
"""

import json
import re
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pandas as pd

from amakit.errors import AmakitError, Unanswered, UsageError
from amakit.kql.catalog import counted
from amakit.schemas import frame_of
from amakit.service.address import address
from amakit.service.answers import (
    WRONG_TENANT,
    check_frames,
    error_code,
    innermost_message,
    pause,
    refusal,
    request_properties,
    too_large,
)
from amakit.service.retry import apart, pace
from amakit.service.sign_in import (
    CLOUDS,
    CachedCredential,
    cloud_of,
    endpoint,
    exception_chain,
    first_line,
    is_log_analytics,
    trusted,
    without_secrets,
)

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential


#: At most so many queries at once; Log Analytics lets a user have five.
AT_ONCE = 4
#: After so many seconds the answer to one request is waited for no longer: ten minutes is the service's own limit.
DEADLINE = 660.0
#: An answer that lost rows and has fewer than this was not cut at a cap; to ask for less would not help.
FEW = 50


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
        self.log_analytics = is_log_analytics(self.cluster)
        self.cloud = trusted(self.cluster, cloud or (cloud_of() if arm and not host else ""))
        self._credential = None
        if self.cloud:
            self._credential = CachedCredential(sign_in, self.cloud)
        self._workspace, self._sign_in = workspace, sign_in
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
            yield "endpoint", f"{self.cluster.host} is trusted in the cloud {self.cloud!r}"
            self._guarded(lambda: self._credential.get_token(f"{self._audience}/.default"))
            yield "credential", f"{self._credential!r} has a token for {self._audience}"
        else:
            yield "endpoint", str(self.cluster)
            yield "credential", "none, as on this machine nobody signs in"
        frame = self.run("print Answer = 1")
        yield "permission", f"queries are answered in the database {self._database!r}" if len(frame) else "no answer"

    def state(self) -> str:
        """Name what is asked and who asks; empty for a credential whose user nobody knows."""
        return f"{self.cluster} {self._database} {self._sign_in}" if isinstance(self._sign_in, str) else ""

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
        check_frames(answer.frames)
        if len(answer.primary_results) != 1:
            raise Unanswered(f"it answered with {len(answer.primary_results)} results where there must be one")
        table = answer.primary_results[0]
        types = {column.column_name: column.column_type for column in table.columns}
        rows = list(table.raw_rows)
        if any(not isinstance(row, list) or len(row) != len(types) for row in rows):
            raise Unanswered("it answered with rows that do not have its columns")
        cells = zip(*rows, strict=True) if rows else ([] for _ in types)
        try:
            "".join(cell for row in rows for cell in row if isinstance(cell, str)).encode()  # no half of a sign
            return frame_of(dict(zip(types, (list(c) for c in cells), strict=True)), types)
        except (AmakitError, OverflowError, TypeError, ValueError, LookupError) as error:
            raise Unanswered(
                f"it answered with values that are not of their type: {first_line(error)[:200]}"
            ) from error

    def held(self, value: object) -> object:
        """Give a value as it can stand in a query: here it travels in the text."""
        return value

    def counted(self, kql: str) -> pd.DataFrame:
        """Ask once as `run` does, and take the answer only with the rows that were counted where it was made.

        Parameters
        ----------
        kql : str
            One of the kit's own, see `amakit.kql.catalog.counted`.
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
        try:
            pace()
        except BaseException:  # Ctrl-C in the pause: no thread will give the place back
            self._places.release()
            raise
        return self._guarded(lambda: getattr(self._client(), method)(self._database, text, request_properties()),
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
                answer.frames = response_json  # type: ignore[union-attr]
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
        found = CloudSettings.get_cloud_info_for_cluster(str(self.cluster), None, bounded)  # type: ignore[arg-type]
        own = CLOUDS[self.cloud]
        if found is CloudSettings.DEFAULT_CLOUD:
            plain = {name: getattr(found, name) for name in ("login_mfa_required", "kusto_client_app_id",
                     "kusto_client_redirect_uri", "first_party_authority_url")}  # fmt: skip
            found = CloudInfo(login_endpoint=own.authority, kusto_service_resource_id=own.audience, **plain)
            CloudSettings.add_to_cache(str(self.cluster), found)
        if found.login_endpoint.rstrip("/").lower() != own.authority:
            raise AmakitError(
                f"{self._workspace} wants a sign-in at {found.login_endpoint}, which is not the cloud {self.cloud!r}; "
                "check the address and --cloud"
            )
        try:
            trusted(address(found.kusto_service_resource_id), self.cloud)
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
            return AmakitError(f"{self._workspace} {WRONG_TENANT} ({error_code(text)})")
        return AmakitError(
            f"signing in to {self._workspace} failed: {first_line(error)[:300]}; sign in, for example with "
            "'az login', or choose another way with --credential"
        )

    def _unreachable(self, error):
        chain = (
            " ".join(type(e).__name__ for e in exception_chain(error))
            + " "
            + " ".join(map(str, exception_chain(error)))
        )
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
        if large := too_large(told):
            return Unanswered("the answer was too large for it", large=large)
        if status == 429 or "throttl" in told.lower():
            return Unanswered("it was asked too often", pause(response))
        if status in (408, 504):
            return Unanswered("it did not answer in time", pause(response), large="work")
        if status >= 500 or getattr(getattr(error, "error", None), "permanent", None) is False:
            return Unanswered(
                f"it answered with status {status} ({innermost_message(error, response)[:200]})", pause(response)
            )
        if known := refusal(self._workspace, status, told):
            return known
        if 200 <= status < 300:
            return Unanswered("it answered with nothing, or with what is no answer of a Kusto service")
        if status == 0 and not re.search(r"Semantic|Syntax|BadRequest|SEM0|SYN0", told):
            return Unanswered(f"it broke off in the midst of its answer ({first_line(error)[:200]})")
        return AmakitError(
            f"{self._workspace} did not answer the query: {innermost_message(error, response)}; "
            "check the query and the address"
        )
