"""How to sign in: the credential of a run, and what a failure to sign in says."""

import logging
import os
import re
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from amakit.errors import AmakitError, Closed, UsageError, nearest, withheld, withhold
from amakit.service.sign_in.clouds import CLOUDS

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential

#: The ways of signing in by the name that ``--credential`` takes.
CREDENTIALS = ("default", "cli", "managed", "device", "browser", "workload", "environment", "pipelines")
#: So long may ``az`` take for a token; azure-identity gives it ten seconds, which a cold start on Windows outlasts.
CLI_SECONDS = 60
#: The application "Azure Data Explorer", which a tenant knows once somebody has asked a cluster there.
_DATA_EXPLORER = "2746ea77-4702-4b45-80ca-3c97e680e8b7"
WRONG_TENANT = (
    "belongs to another tenant than your sign-in; sign in to its own, for example with 'az login --tenant TENANT', or "
    "name it with --tenant"
)
#: What Microsoft Entra says, and what a person can do about it; {scope} stands for what a token was asked for.
_SAID = {
    r"AADSTS50173\b": "it was revoked, as by a new password; sign in again, for example with 'az login'",
    r"AADSTS(700082|700084|70043|50078)\b": "it has ended; sign in again, for example with 'az login'",
    r"AADSTS500011\b": "the tenant does not know the service for which a token is asked: either it is the wrong tenant "
        "(say --tenant), or nobody has asked Azure Data Explorer there yet: an administrator makes it known with 'az "
        f"ad sp create --id {_DATA_EXPLORER}', and --transport logs does without",
    r"AADSTS(50076|50079|50158)\b": "a second factor is asked for; sign in with 'az login --scope {scope}'",
    r"AADSTS5300\d\b": "a Conditional Access policy of the tenant does not let you in from here; try --transport logs, "
        "which asks another application, or ask the tenant's administrators",
    r"AADSTS65001\b": "nobody in the tenant has consented to this application; an administrator must",
    r"AADSTS(70021|70021[1-3])\b": "no federated credential of the application fits the issuer, subject and "
        "audience of this pipeline; compare them in the application's settings",
    r"AADSTS700024\b": "the pipeline's own assertion had ended, which holds for minutes; sign in right before, or let "
        "--credential pipelines or workload renew it",
    r"AudienceNotSupported|not a supported MSI token audience": "the Azure Cloud Shell gives no token for Azure Data "
        "Explorer; --transport logs does without",
    r"Failed to invoke the Azure CLI|[Tt]imed out waiting for (the )?Azure CLI": "az was slow and gave no token within "
        f"{CLI_SECONDS} seconds; run 'az account get-access-token' once, then try again",
}  # fmt: skip


def credential(
    name: str = "default", cloud: str = "public", environ: Mapping[str, str] = os.environ, tenant: str = ""
) -> "TokenCredential":
    """Make the one credential of a run.

    Parameters
    ----------
    name : str
        One of `CREDENTIALS`: the default chain of azure-identity, the sign-in of ``az login``, a managed identity,
        a code to type in on another device, a browser, a workload identity, a service principal from
        environment variables, or the service connection of an Azure pipeline.
    cloud : str
        A key of `CLOUDS`, whose authority is asked.
    environ : mapping
        ``AZURE_CLIENT_ID`` is heeded where the way of signing in needs it; of a pipeline what its tasks set.
    tenant : str
        Its id or one of its domains.

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
    own = {"tenant_id": tenant} if tenant else {}
    also: dict[str, Any] = {"authority": authority} | ({"additionally_allowed_tenants": [tenant]} if tenant else {})
    client = {"client_id": environ["AZURE_CLIENT_ID"]} if environ.get("AZURE_CLIENT_ID") else {}
    make = {
        "default": lambda: identity.DefaultAzureCredential(process_timeout=CLI_SECONDS, **also),
        "cli": lambda: identity.AzureCliCredential(process_timeout=CLI_SECONDS, **own),  # type: ignore[arg-type]
        "managed": lambda: identity.ManagedIdentityCredential(**client),  # type: ignore[arg-type]
        "device": lambda: identity.DeviceCodeCredential(authority=authority, prompt_callback=_tell, **own),  # type: ignore[arg-type]
        "browser": lambda: identity.InteractiveBrowserCredential(authority=authority, **own),
        "workload": lambda: identity.WorkloadIdentityCredential(**also),
        "environment": lambda: identity.EnvironmentCredential(**also),
        "pipelines": lambda: identity.AzurePipelinesCredential(
            tenant_id=tenant or environ.get("AZURESUBSCRIPTION_TENANT_ID", ""),
            client_id=environ.get("AZURESUBSCRIPTION_CLIENT_ID", ""),
            service_connection_id=environ.get("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", ""),
            system_access_token=environ.get("SYSTEM_ACCESSTOKEN", ""),
            authority=authority,
        ),
    }
    try:
        return make[name]()  # type: ignore[return-value]
    except ValueError as error:
        said = (
            first_line(error)
            if name != "pipelines"
            else (
                "it wants a task of Azure Pipelines with a service connection, which sets AZURESUBSCRIPTION_TENANT_ID, "
                "_CLIENT_ID and _SERVICE_CONNECTION_ID, and SYSTEM_ACCESSTOKEN mapped to $(System.AccessToken)"
            )
        )
        raise UsageError(f"credential {name!r} cannot be used here: {said}") from error


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
    tenant : str
        In which tokens are asked for: its id or a domain; else ``AZURE_TENANT_ID``, else the credential's own.
    """

    def __init__(self, sign_in: "str | TokenCredential", cloud: str, tenant: str = "") -> None:
        tenant = tenant or (os.environ.get("AZURE_TENANT_ID", "") if isinstance(sign_in, str) else "")
        if not re.fullmatch(r"[\w.-]*", tenant, re.ASCII):
            raise UsageError(f"tenant {tenant!r} is none; give its id, or a domain such as contoso.onmicrosoft.com")
        self._inner = credential(sign_in, cloud, tenant=tenant) if isinstance(sign_in, str) else sign_in
        self._where = {"tenant_id": tenant} if tenant else {}
        self._tokens, self._lock = {}, threading.Lock()

    def __repr__(self) -> str:
        return type(self._inner).__name__

    def get_token(self, *scopes: str, **options: Any) -> "AccessToken":
        """Give a token that holds for five minutes at least."""
        with self._lock:
            kept = self._tokens.get(scopes)
            if kept is None or kept.expires_on - pd.Timestamp.now("UTC").timestamp() < 300:
                kept = self._tokens[scopes] = self._inner.get_token(*scopes, **self._where | options)
                withhold(kept.token)
            return kept

    def close(self) -> None:
        """Close the credential."""
        getattr(self._inner, "close", lambda: None)()


def not_signed_in(name: str, error: BaseException, scope: str = "") -> AmakitError:
    """Say why nobody is signed in, and what to do about it.

    Parameters
    ----------
    name : str
        What was to be read.
    error : Exception
        Of azure-identity: what Microsoft Entra said may stand anywhere in it, or in one behind it.
    scope : str
        For what a token was asked.

    Returns
    -------
    AmakitError

    Examples
    --------
    >>> not_signed_in("Ops", ValueError("None worked.\\n\\tAzureCliCredential: AADSTS50173: The grant expired"))
    AmakitError("signing in to Ops failed: it was revoked, as by a new password; sign in again, for example with \
'az login' (AADSTS50173)")
    """
    told = " ".join(" ".join(str(each).split()) for each in exception_chain(error))
    code = found[0] if (found := re.search(r"AADSTS\d+", told)) else ""
    shown = f" ({code})" if code else ""
    if re.search(r"AADSTS(50020|50034|90002|90072|700016|500213)\b|[Tt]enant .* not found", told):
        return AmakitError(f"{name} {WRONG_TENANT}{shown}")
    for pattern, sentence in _SAID.items():
        if re.search(pattern, told):
            kind = Closed if "--transport" in sentence else AmakitError
            return kind(f"signing in to {name} failed: {sentence.format(scope=scope)}{shown}")
    return AmakitError(
        f"signing in to {name} failed: {_innermost(error)[:300]}; sign in, for example with 'az login', or choose "
        f"another way with --credential{shown}"
    )


def _innermost(error):
    """Give the reason of the way that people use: the chain tells of each that it tried, on a line of its own."""
    lines = [line.strip() for line in str(error).splitlines()]
    used = next((line for line in lines[1:] if line.startswith("AzureCliCredential: ")), "")
    return first_line(used or error)


def without_secrets(error: BaseException) -> BaseException:
    """Take secrets out of an error and of those behind it: a traceback prints them all."""
    for each in exception_chain(error):
        said = [argument if isinstance(argument, str) else repr(argument) for argument in each.args]
        if any(withheld(text) != text for text in (*said, str(each))):
            each.args = (withheld(" ".join(said)),)
            vars(each)["message"] = each.args[0]  # azure-core tells this instead of its arguments
    return error


def exception_chain(error: BaseException | None) -> list[BaseException]:
    """Give an error and all those that it came of."""
    chain = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain


def first_line(error: object) -> str:
    """Give the first line of a message, fit to stand inside a sentence."""
    line = withheld(" ".join(str(error).strip().split("\n")[0].split()))
    return re.sub(r" expecting \{.*", "", line).rstrip(".!;:")  # what could stand there are 100 words
