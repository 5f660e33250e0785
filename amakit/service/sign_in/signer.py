"""Who would sign in?  Told without asking anybody, so that what one user was shown is not shown to another."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

#: By these variables azure-identity chooses who it is.
_CHOOSING = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_USERNAME", "AZURE_FEDERATED_TOKEN_FILE",
             "AZURESUBSCRIPTION_CLIENT_ID", "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID")  # fmt: skip
#: Whoever sits there may be another one the next time.
_ANYBODY = ("device", "browser")


def signer(sign_in: "str | TokenCredential", environ: Mapping[str, str] = os.environ) -> str:
    """Tell those apart who would sign in.

    Parameters
    ----------
    sign_in : str or azure.core.credentials.TokenCredential
        As `amakit.connect` takes it.
    environ : mapping

    Returns
    -------
    str
        The same text for the same account of the Azure CLI and the same variables that choose an identity, with no name
        in it; empty where nobody can tell: of a credential object, and where a person signs in anew.

    Examples
    --------
    >>> signer("managed", {"AZURE_CLIENT_ID": "a"}) == signer("managed", {"AZURE_CLIENT_ID": "b"})
    False
    >>> signer("browser")
    ''
    """
    if not isinstance(sign_in, str) or sign_in in _ANYBODY:
        return ""
    told: list = [sign_in, *(environ.get(name, "") for name in _CHOOSING)]
    if sign_in in ("default", "cli"):
        folder = Path(environ.get("AZURE_CONFIG_DIR") or Path.home() / ".azure")
        try:
            told.append(_accounts(folder / "azureProfile.json"))
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return ""
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def _accounts(profile):
    """Give the accounts of the Azure CLI and the one that it uses; none where nobody is signed in there."""
    if not profile.exists():
        return []
    known = json.loads(profile.read_text(encoding="utf-8-sig"))["subscriptions"]
    return sorted([one["user"]["name"], one["tenantId"], bool(one.get("isDefault"))] for one in known)
