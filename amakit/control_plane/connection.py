"""Asking Azure Resource Manager: its host, the sign-in, the pace, and what an error of it means.

Microsoft's own clients ask, which ``pip install amakit[control-plane]`` brings.  Nothing is ever changed there.
"""

import json
import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from amakit import __version__
from amakit.errors import AmakitError, Unanswered, UsageError, nearest, withheld
from amakit.service.answers import pause as pause_of
from amakit.service.retry import Pace, Patience, apart
from amakit.service.sign_in.address import service_host
from amakit.service.sign_in.clouds import CLOUDS, cloud_of
from amakit.service.sign_in.credentials import WRONG_TENANT, CachedCredential, not_signed_in, without_secrets

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.core.exceptions import HttpResponseError

_Answer = TypeVar("_Answer")

#: Seconds that an answer may take: Azure Resource Manager itself works 75 on one.
DEADLINE = 90.0
_SUBSCRIPTION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
NO_REGION = re.compile(r"NoRegisteredProviderFound|InvalidLocation|LocationNotAvailable", re.IGNORECASE)
_WRONG_TENANT = re.compile(r"TokenTenant|wrong issuer|AADSTS(50020|50034|90002|90072|700016|500213)\b")


def subscription_id(text: str) -> str:
    """Give the id of a subscription as it was given.

    Raises
    ------
    UsageError
        When it is none.

    Examples
    --------
    >>> subscription_id("ops")
    Traceback (most recent call last):
    amakit.errors.UsageError: subscription 'ops' is no id, which is 32 hexadecimal digits in five groups; \
'az account list' shows names and ids
    """
    if not _SUBSCRIPTION.fullmatch(text.strip()):
        raise UsageError(
            f"subscription {text!r} is no id, which is 32 hexadecimal digits in five groups; 'az account list' shows "
            "names and ids"
        )
    return text.strip()


class Connection:
    """A way to Azure Resource Manager.  On loopback nobody is asked who they are, and no token is sent there.

    Parameters
    ----------
    name : str
        What is read, as errors name it.
    pace : amakit.service.retry.Pace
        Of the service that is asked.
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
        When the host is none of Azure Resource Manager.
    """

    def __init__(
        self,
        name: str,
        pace: Pace,
        cloud: str = "",
        host: str = "",
        sign_in: "str | TokenCredential" = "default",
        tenant: str = "",
    ) -> None:
        self._name, self._pace = name, pace
        self._base, self._cloud = manager(cloud_of(cloud), host)
        self._sign_in, self._tenant, self._reached, self._clients = sign_in or "default", tenant, False, {}

    def client(self, package: str, name: str, *arguments: str) -> Any:
        """Give a client of Microsoft's, made at the first call.

        Parameters
        ----------
        package : str
            Its name behind ``azure-mgmt-``.
        name : str
            Its class.
        *arguments : str
            What the class wants beside the credential.
        """
        if package not in self._clients:
            from importlib import import_module

            try:
                made = getattr(import_module(f"azure.mgmt.{package}"), name)
            except ImportError as error:
                raise AmakitError(
                    f"the control plane is read with azure-mgmt-{package}, which is not here; install it with "
                    "'pip install amakit[control-plane]'"
                ) from error
            self._clients[package] = self._made(made, arguments)
        return self._clients[package]

    def _made(self, client, arguments):
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
            *arguments,
            base_url=self._base,
            credential_scopes=[scope],
            policies=policies,
            connection_timeout=30,
            read_timeout=DEADLINE,
        )

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()

    def asked(self, call: Callable[[], _Answer]) -> _Answer:
        """Ask until there is an answer.

        Parameters
        ----------
        call : callable
            One request, or what belongs together.

        Raises
        ------
        AmakitError
            One sentence on why there is none.
        """
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

        self._pace()
        try:
            answer = apart(call, DEADLINE)
        except (AmakitError, MemoryError):
            raise
        except HttpResponseError as error:
            if isinstance(error, ClientAuthenticationError) and error.response is None:
                raise self._not_signed_in(error) from without_secrets(error)
            self._reached = True
            raise self.refusal(error) from without_secrets(error)
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

    def refusal(self, error: "HttpResponseError") -> AmakitError:
        """Read an error of Azure Resource Manager: ask again, or what a person can do."""
        response = error.response
        status = getattr(response, "status_code", 0)
        code, message = said(response)
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
        if NO_REGION.search(code):
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
        A key of `amakit.service.sign_in.clouds.CLOUDS`.
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


def said(response: Any) -> tuple[str, str]:
    """Give the innermost code and message of an error; empty where it is none of Azure Resource Manager."""
    try:
        told = json.loads(response.text())
        told = told.get("error", told)
        told = (told.get("details") or [told])[-1]  # around it Resource Graph says only whom to ask
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
            rows = told.get("value", told.get("data")) if isinstance(told, dict) else told
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise Unanswered("it answered with what is no answer of Azure Resource Manager")

    return Answers()
