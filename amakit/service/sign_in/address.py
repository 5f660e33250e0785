"""Which host does an address name?  Read once; the host that is judged is the host that is asked.

Two parsers can see two hosts in one text: ``https://evil.test\\.kusto.windows.net`` ends in a trusted name for
`urllib.parse` and names ``evil.test`` for `urllib3`.  So an address is taken only when it holds nothing but signs that
every parser reads alike, and what is handed on is made anew from its parts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

from amakit.errors import UsageError

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_ADDRESS = re.compile(
    rf"(?P<scheme>https?)://(?P<host>\[::1\]|{_LABEL}(\.{_LABEL})*)(:(?P<port>[0-9]{{1,5}}))?(?P<path>(/[^\x00-\x1f\x7f\\]*)?)",
    re.IGNORECASE | re.ASCII,
)
#: In a step of a path these would end it, begin a query, or be read as a property of a connection string.
_STRANGE = re.compile(r"[\x00-\x1f\x7f/\\?#;=@&\"'<>^`{|}\ufffd]")  # the last: what was no UTF-8
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class Address:
    """An address in its parts; `str` gives it back as one text, which has no other reading.

    Attributes
    ----------
    scheme : str
        ``http`` or ``https``.
    host : str
        In lower case; the loopback of IPv6 in brackets.
    port : int or None
        None for the scheme's own.
    path : tuple of str
        Its steps, decoded.
    """

    scheme: str
    host: str
    port: int | None = None
    path: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.base + "".join(f"/{quote(step, safe='()')}" for step in self.path)

    @property
    def base(self) -> str:
        """The address without its path."""
        return f"{self.scheme}://{self.host}" + ("" if self.port is None else f":{self.port}")

    @property
    def loopback(self) -> bool:
        """Whether it is on this machine."""
        return self.host in _LOOPBACK


def address(text: str, form: str = "https://HOST/PATH") -> Address:
    """Read an address.

    Parameters
    ----------
    text : str
        ``http`` or ``https``, a host, a port, a path; no user, no query, no fragment, and no sign that parsers or
        connection strings read in ways of their own.
    form : str
        What a refusal tells people to write.

    Returns
    -------
    Address

    Raises
    ------
    UsageError
        When it is anything else, or would be asked in the open beyond this machine.

    Examples
    --------
    >>> address("https://Help.kusto.windows.net:443/My%20Logs")
    Address(scheme='https', host='help.kusto.windows.net', port=443, path=('My Logs',))
    >>> print(address("http://[::1]:31415/logs/"))
    http://[::1]:31415/logs
    >>> address("https://evil.test\\\\.kusto.windows.net")
    Traceback (most recent call last):
    amakit.errors.UsageError: 'https://evil.test\\\\.kusto.windows.net' is no address; write https://HOST/PATH, with \
no other signs than letters, digits, dots and dashes in the host
    """
    parts = _ADDRESS.fullmatch(text)
    if parts is None or not 0 < int(parts["port"] or 1) < 65536:
        raise UsageError(
            f"{text!r} is no address; write {form}, with no other signs than letters, digits, dots and dashes in "
            "the host"
        )
    steps = tuple(unquote(step) for step in parts["path"].strip("/").split("/")) if parts["path"].strip("/") else ()
    for step in steps:
        if step in ("", ".", "..") or _STRANGE.search(step):
            raise UsageError(f"{text!r} is no address: {step!r} cannot stand in its path; write {form}")
    found = Address(
        parts["scheme"].lower(), parts["host"].lower(), int(parts["port"]) if parts["port"] else None, steps
    )
    if found.scheme == "http" and not found.loopback:
        raise UsageError(f"{text!r} would be asked without encryption; write https://")
    if found.scheme == "https" and found.loopback:
        raise UsageError(f"{text!r} is on this machine, where nobody signs in; write http://")
    return found


def service_host(given: str, known: Sequence[str], service: str, cloud: str) -> Address:
    """Give the address of a host of a service that a token may go to, or of a server on this machine.

    Parameters
    ----------
    given : str
        A host or an address; empty for the first that is known.
    known : sequence of str
        The hosts of the service in that cloud.
    service, cloud : str
        As the error names them.

    Returns
    -------
    Address
        Without a path.

    Raises
    ------
    UsageError
        When a token would go to somebody else.

    Examples
    --------
    >>> str(service_host("", ["management.azure.com"], "Azure Resource Manager", "public"))
    'https://management.azure.com'
    >>> service_host("management.example.com", ["management.azure.com"], "Azure Resource Manager", "public")
    Traceback (most recent call last):
    amakit.errors.UsageError: 'management.example.com' is no host of Azure Resource Manager in the cloud 'public', so \
no token is sent there; check --endpoint and --cloud
    """
    stranger = UsageError(
        f"{given!r} is no host of {service} in the cloud {cloud!r}, so no token is sent there; check --endpoint and "
        "--cloud"
    )
    try:
        asked = address(given if "://" in given else f"https://{given or known[0]}")
    except UsageError as error:
        raise stranger from error
    if asked.loopback:
        return Address(asked.scheme, asked.host, asked.port)
    if asked.host not in known or asked.port not in (None, 443) or asked.path:
        raise stranger
    return Address("https", asked.host)
